/* tests/kernels/bench_mixer.c: the decode step of the 8B model's Mamba mixer on the device, beside the rate of copies.
 *
 *   bench_mixer
 *
 * mamba_mix on 1, 8, 64 and 256 sequences with states of f32 and f16, recorded once and replayed, as decoding does. States
 * of at least 4 layers and 512 MiB take turns, so that none is met again in a cache. A time is the median of 9 replays by
 * the device's clock. The ceiling, a copy of 1 GiB within the device, is measured in turns with them; both count what
 * is read and what is written.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "kernels/module.h"

enum { RUNS = 9, MOST = 256, D = 8192, D_STATE = 128, GROUPS = 8, HEADS = 128, WIDTH = 4 };
enum { D_CONV = D + 2 * GROUPS * D_STATE, D_IN = D + D_CONV + HEADS, TAIL = (WIDTH - 1) * D_CONV };

static const size_t pool_bytes = (size_t)5 << 30, copied_bytes = (size_t)1 << 30;

typedef struct bench {
    tsr_queue *q;
    const tsr_memory *memory;
    unsigned char *states, *tails;
    tsr_view p, y;
    tsr_mixer mixer;
    tsr_step step;
    void *begin, *end; /* marks */
} bench;

static void must(tsr_status st)
{
    if (!st) return;
    fprintf(stderr, "bench_mixer: %s\n", tsr_message());
    exit(1);
}

static void *take(bench *b, size_t bytes)
{
    void *block;
    must(b->memory->take(&block, bytes));
    return block;
}

/* n values of a type, uniform between low and high, in the device's memory. */
static void *values(bench *b, tsr_dtype type, int64_t n, double low, double high)
{
    size_t each = tsr_dtype_bytes(type);
    char *host = malloc((size_t)n * each);
    void *block = take(b, (size_t)n * each);
    uint32_t state = 1;
    if (!host) exit(1);
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        tsr_store(host, type, i, (float)(low + (high - low) * (double)(state >> 8) * 0x1p-24));
    }
    b->memory->upload(b->q, block, host, (size_t)n * each);
    must(tsr_queue_sync(b->q));
    free(host);
    return block;
}

static tsr_view vector(bench *b, int64_t rows, int64_t cols, double low, double high)
{
    return tsr_view_of(values(b, TSR_F32, rows * cols, low, high), TSR_F32, rows, cols);
}

static int32_t *numbers(bench *b, int64_t first, int64_t step)
{
    int32_t host[MOST];
    int32_t *block = take(b, sizeof host);
    for (int i = 0; i < MOST; i++) host[i] = (int32_t)(first + i * step);
    b->memory->upload(b->q, block, host, sizeof host);
    must(tsr_queue_sync(b->q));
    return block;
}

static void open_bench(bench *b, tsr_ops *ops)
{
    must(tsr_cuda_ops(ops));
    b->memory = ops->memory;
    must(tsr_queue_open(&b->q, ops, NULL, TSR_BF16, 1 << 20));
    must(b->memory->take_mark(&b->begin));
    must(b->memory->take_mark(&b->end));
    b->states = take(b, pool_bytes);
    b->tails = values(b, TSR_BF16, (int64_t)128 * MOST * TAIL, -1, 1);
    b->memory->fill(b->q, b->states, 0x2c, pool_bytes); /* 2e-12 as f32, 0.07 as f16 */
    b->p = tsr_view_of(values(b, TSR_BF16, (int64_t)MOST * D_IN, -2, 2), TSR_BF16, MOST, D_IN);
    b->y = tsr_view_of(take(b, (size_t)MOST * D), TSR_FP8, MOST, D);
    b->y.scaled = TSR_SCALE_TENSOR;
    b->y.scale = values(b, TSR_F32, 1, 0.01, 0.01);
    b->mixer = (tsr_mixer){.name = "mixer",
                           .n_heads = HEADS,
                           .head_dim = D / HEADS,
                           .n_groups = GROUPS,
                           .d_state = D_STATE,
                           .conv_width = WIDTH,
                           .chunk = 128,
                           .dt_max = INFINITY,
                           .taps = vector(b, WIDTH, D_CONV, -0.5, 0.5),
                           .conv_bias = vector(b, 1, D_CONV, -0.25, 0.25),
                           .a = vector(b, 1, HEADS, -8, -1),
                           .d = vector(b, 1, HEADS, 0.75, 1.25),
                           .dt_bias = vector(b, 1, HEADS, -6, -1),
                           .norm = {.name = "norm", .w = vector(b, 1, D, 0.5, 1.5), .eps = 1e-5f}};
    b->step = (tsr_step){.max_new = 1, .max_ctx = 1001, .pos = numbers(b, 1000, 0), .slot = numbers(b, 0, 1)};
    b->step.spans.start = numbers(b, 0, 1);
    b->step.spans.max_rows = 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, RUNS, sizeof *values, by_size);
    return values[RUNS / 2];
}

static double stop(bench *b)
{
    b->memory->mark(b->q, b->end);
    must(tsr_queue_sync(b->q));
    return b->memory->between_marks(b->begin, b->end);
}

static double copy_once(bench *b)
{
    b->memory->mark(b->q, b->begin);
    b->memory->copy(b->q, b->states + 2 * copied_bytes, b->states, copied_bytes);
    return stop(b);
}

/* As many calls as there are layers. */
static void queue_calls(bench *b, tsr_dtype type, int64_t n, int64_t layers)
{
    size_t ssm = (size_t)D * D_STATE * tsr_dtype_bytes(type), conv = (size_t)TAIL * 2;
    b->step.n_rows = b->step.n_seqs = b->step.n_decode = b->step.spans.n = n;
    for (int64_t i = 0; i < layers; i++) {
        tsr_mamba_state s = {.conv = {b->tails + (size_t)i * conv, (int64_t)conv * layers, TSR_BF16},
                             .ssm = {b->states + (size_t)i * ssm, (int64_t)ssm * layers, type}};
        tsr_mamba_mix(b->q, tsr_rows(b->y, 0, n), tsr_rows(b->p, 0, n), &b->mixer, s, &b->step);
    }
}

static void measure(bench *b, tsr_dtype type, int64_t n)
{
    size_t bytes = (size_t)D * D_STATE * tsr_dtype_bytes(type) * (size_t)n;
    int64_t layers = (int64_t)(((size_t)512 << 20) / bytes);
    double times[RUNS], copies[RUNS];
    if (layers < 4) layers = 4;
    queue_calls(b, type, n, layers); /* once, so that kernels are loaded */
    must(tsr_queue_sync(b->q));
    b->memory->record(b->q);
    queue_calls(b, type, n, layers);
    int64_t n_launches;
    void *recording = b->memory->recorded(b->q, &n_launches);
    must(tsr_queue_sync(b->q));
    for (int i = 0; i < RUNS; i++) {
        copies[i] = copy_once(b);
        b->memory->mark(b->q, b->begin);
        b->memory->replay(b->q, recording);
        times[i] = stop(b) / (double)layers;
    }
    b->memory->forget(recording);
    double t = median(times), rate = 2 * (double)bytes / t, roof = 2 * (double)copied_bytes / median(copies);
    printf("%-4s %5lld %9.1f %7.0f %8.2f\n", tsr_dtype_name(type), (long long)n, t * 1e6, rate * 1e-9,
           rate / roof);
    fflush(stdout);
}

int main(void)
{
    static tsr_ops ops;
    static bench b;
    open_bench(&b, &ops);
    copy_once(&b);
    printf("%s\ncopying 1 GiB: %.0f GB/s\nstate  seqs        us    GB/s  of copy\n", b.memory->about,
           2e-9 * (double)copied_bytes / copy_once(&b));
    static const tsr_dtype types[] = {TSR_F32, TSR_F16};
    static const int64_t counts[] = {1, 8, 64, 256};
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 4; i++) measure(&b, types[t], counts[i]);
    return 0;
}
