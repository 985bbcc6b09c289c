/* tests/device/busy.c: how long the GPU works on a decode step that is replayed from a recording, by CUPTI.
 *
 *   nvcc -shared -cudart none -Xcompiler=-fPIC -o busy.so tests/device/busy.c -lcupti
 *   CUDA_INJECTION64_PATH=$PWD/busy.so tessera bench --backend cuda --table 1 --repeats 3
 *
 * The driver loads it into the program, which knows nothing of it. When the program ends it tells, on stderr, in how many
 * steps (kernels of `advance`) the device was busy for how long: the union of the intervals of all kernels of recordings,
 * as they may overlap. Watching makes the gaps between kernels longer and hardly the kernels: so idle time is 1 minus
 * this over the time of a step that nobody watched.
 */
#include <cupti.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 8 << 20 };

typedef struct span {
    uint64_t begin, end;
} span;

static span *spans;
static size_t n_spans, capacity, n_steps;

static void CUPTIAPI request(uint8_t **buffer, size_t *bytes, size_t *most)
{
    *buffer = aligned_alloc(8, BUFFER_BYTES);
    *bytes = *buffer ? BUFFER_BYTES : 0;
    *most = 0;
}

static void keep(const CUpti_ActivityKernel10 *k)
{
    if (k->graphId == 0) return; /* not of a recording */
    if (n_spans == capacity) {
        size_t wanted = capacity ? 2 * capacity : 1 << 16;
        span *grown = realloc(spans, wanted * sizeof *spans);
        if (!grown) return;
        spans = grown;
        capacity = wanted;
    }
    spans[n_spans++] = (span){k->start, k->end};
    n_steps += strstr(k->name, "advance") != NULL;
}

static void CUPTIAPI complete(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes, size_t valid)
{
    CUpti_Activity *record = NULL;
    (void)context, (void)stream, (void)bytes;
    while (!cuptiActivityGetNextRecord(buffer, valid, &record))
        if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) keep((CUpti_ActivityKernel10 *)record);
    free(buffer);
}

static int by_begin(const void *a, const void *b)
{
    uint64_t x = ((const span *)a)->begin, y = ((const span *)b)->begin;
    return (x > y) - (x < y);
}

static void report(void)
{
    uint64_t busy = 0, until = 0;
    cuptiActivityFlushAll(1);
    qsort(spans, n_spans, sizeof *spans, by_begin);
    for (size_t i = 0; i < n_spans; i++) {
        uint64_t from = spans[i].begin > until ? spans[i].begin : until;
        if (spans[i].end <= from) continue;
        busy += spans[i].end - from;
        until = spans[i].end;
    }
    double steps = n_steps ? (double)n_steps : 1;
    fprintf(stderr, "busy: %zu steps of %.1f kernels, %.2f us each\n", n_steps, (double)n_spans / steps,
            1e-3 * (double)busy / steps);
    free(spans);
}

int InitializeInjection(void)
{
    if (cuptiActivityRegisterCallbacks(request, complete) ||
        cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL)) {
        fprintf(stderr, "busy: CUPTI does not record kernels here\n");
        return 1;
    }
    atexit(report);
    return 1;
}
