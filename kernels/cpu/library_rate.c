/* kernels/cpu/library_rate.c: how fast the matrix library multiplies on this machine, as a ceiling for bench. */
#include <time.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/cpu.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm_onednn.h"

typedef struct product {
    tsr_onednn *slab[TSR_MAX_THREADS]; /* one run of weight rows for each thread */
    int64_t first[TSR_MAX_THREADS];
    const void *x;
    const unsigned char *w;
    float *y;
    int64_t rows, row_bytes;
    tsr_status failed[TSR_MAX_THREADS];
} product;

static void run_slab(void *arg, int64_t task, int worker)
{
    (void)worker;
    product *p = arg;
    p->failed[task] = tsr_onednn_run(p->slab[task], p->y + p->first[task] * p->rows, p->x,
                                     p->w + p->first[task] * p->row_bytes);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Numbers that are neither zero nor denormal, of either type, and not all the same. */
static void fill(void *to, size_t bytes)
{
    uint16_t *h = to;
    for (size_t i = 0; i < bytes / 2; i++)
        h[i] = (uint16_t)(0x3d00 + (i * 2654435761u >> 20 & 0xff) + (i & 1) * 0x8000);
}

tsr_status tsr_cpu_library_seconds(double *seconds, tsr_pool *pool, int64_t rows, int64_t n, int64_t k)
{
    tsr_dtype type = tsr_cpu_features() & TSR_CPU_AVX512_BF16 ? TSR_BF16 : TSR_F32;
    size_t each = tsr_dtype_bytes(type);
    int threads = tsr_pool_threads(pool);
    if (threads > n) threads = (int)n;
    product p = {.rows = rows, .row_bytes = k * (int64_t)each};
    size_t x_bytes = tsr_mul(tsr_mul((size_t)rows, (size_t)k), each);
    size_t w_bytes = tsr_mul(tsr_mul((size_t)n, (size_t)k), each);
    void *x = tsr_alloc_aligned(64, x_bytes), *w = tsr_alloc_aligned(64, w_bytes);
    p.y = tsr_alloc_aligned(64, tsr_mul(tsr_mul((size_t)rows, (size_t)n), sizeof(float)));
    tsr_status st = x && w && p.y ? TSR_OK
                                  : tsr_fail(TSR_E_NOMEM, "no memory for a product of %lld x %lld x %lld",
                                             (long long)rows, (long long)n, (long long)k);
    for (int i = 0; !st && i < threads; i++) {
        p.first[i] = n * i / threads;
        st = tsr_onednn_open(&p.slab[i], type, rows, n * (i + 1) / threads - p.first[i], k);
    }
    if (!st) {
        fill(x, x_bytes);
        fill(w, w_bytes);
        p.x = x;
        p.w = w;
        double best = 0;
        for (int turn = 0; turn < 3; turn++) { /* the first one warms up; the better of the others counts */
            double began = now();
            tsr_pool_run(pool, threads, run_slab, &p);
            double took = now() - began;
            if (turn == 1 || (turn > 1 && took < best)) best = took;
        }
        *seconds = best;
        for (int i = 0; !st && i < threads; i++) st = p.failed[i];
    }
    for (int i = 0; i < threads; i++) tsr_onednn_close(p.slab[i]);
    tsr_free(x);
    tsr_free(w);
    tsr_free(p.y);
    return st;
}
