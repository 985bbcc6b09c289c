/* tests/kernels/bench_linear.c: linear beside its ceilings, in one run.
 *
 *   bench_linear [stream|block] [--threads N]
 *
 * `stream`: one row of x against the streaming-read rate, measured in turns with it; weights rotate through
 * more than a gigabyte. `block`: many rows against oneDNN's bare product, each thread with its slab of weight
 * rows. Rates are medians of 9; a ratio is the median of 9 ratios of neighbours, once by the clock on the wall
 * and once by processor time, which a neighbour on the machine disturbs less (it is a fair measure only where
 * both sides keep their threads busy). Not a test: CTest does not run it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "kernels/backend.h"
#include "kernels/cpu/gemm_onednn.h"

enum { PAIRS = 9, CHUNK = 1 << 20 };

typedef struct bench {
    tsr_pool *pool;
    tsr_ops ops;
    unsigned char *buffer; /* what weights are taken from, in turn */
    size_t bytes, next;
} bench;

typedef struct sample {
    double wall, cpu;
} sample;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static sample now(void)
{
    return (sample){seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static sample since(sample began)
{
    sample t = now();
    return (sample){t.wall - began.wall, t.cpu - began.cpu};
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values)
{
    double sorted[PAIRS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, PAIRS, sizeof *sorted, by_size);
    return sorted[PAIRS / 2];
}

/* The next stretch of the buffer that no recent call has touched. */
static unsigned char *turn(bench *b, size_t bytes)
{
    if (b->next + bytes > b->bytes) b->next = 0;
    unsigned char *p = b->buffer + b->next;
    b->next += (bytes + 4095) / 4096 * 4096;
    return p;
}

static void *take(size_t bytes)
{
    void *p = tsr_alloc_aligned(64, bytes ? bytes : 64);
    if (!p) exit(1);
    return p;
}

/* ---------------------------------------------------------------- streaming ----------------------------- */

typedef struct reading {
    const unsigned char *from;
    uint64_t sum[TSR_MAX_THREADS][8];
} reading;

/* Four streams, since one alone waits for memory; plain sums, which every compiler makes vectors of. */
static void read_chunk(void *arg, int64_t task, int worker)
{
    enum { STREAMS = 4, WORDS = CHUNK / STREAMS / 8, LINE = 8, AHEAD = 2048 / 8 };
    reading *r = arg;
    const uint64_t *p = (const uint64_t *)(r->from + task * CHUNK);
    uint64_t sum[STREAMS][LINE] = {0};
    for (int64_t i = 0; i < WORDS; i += LINE)
        for (int s = 0; s < STREAMS; s++) {
            __builtin_prefetch(p + s * WORDS + i + AHEAD);
            for (int k = 0; k < LINE; k++) sum[s][k] += p[s * WORDS + i + k];
        }
    for (int s = 0; s < STREAMS; s++)
        for (int k = 0; k < LINE; k++) r->sum[worker][k] += sum[s][k];
}

static sample read_once(bench *b, size_t bytes)
{
    static reading r;
    r.from = turn(b, bytes);
    sample began = now();
    tsr_pool_run(b->pool, (int64_t)(bytes / CHUNK), read_chunk, &r);
    return since(began);
}

static sample linear_once(bench *b, const tsr_weight *like, int64_t rows, int64_t n_stream, const float *x,
                          float *y)
{
    tsr_weight w = *like;
    w.data = turn(b, (size_t)(w.rows * w.cols) * tsr_dtype_bytes(w.type));
    tsr_queue q = {.ops = &b->ops, .pool = b->pool, .type = TSR_F32, .n_stream = n_stream};
    tsr_view xv = tsr_view_of((void *)(uintptr_t)x, TSR_F32, rows, w.cols);
    tsr_view yv = tsr_view_of(y, TSR_F32, rows, w.rows);
    q.work = take(b->ops.linear_work(&q, yv, xv, &w));
    sample began = now();
    b->ops.linear(&q, yv, xv, &w, (tsr_linear_opts){0});
    sample t = since(began);
    tsr_free(q.work);
    return t;
}

static float *random_floats(int64_t n)
{
    float *x = take((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(rand() % 2001 - 1000) * 1e-3f;
    return x;
}

static const float one = 1;

static tsr_weight weight(tsr_dtype type, int64_t rows, int64_t cols)
{
    return (tsr_weight){.name = "w",
                        .scale = &one,
                        .rows = rows,
                        .cols = cols,
                        .n_experts = 1,
                        .type = type,
                        .scaled = type == TSR_FP8 ? TSR_SCALE_TENSOR : TSR_SCALE_NONE};
}

static void stream(bench *b)
{
    static const int64_t shapes[][2] = {
        {18560, 4096}, {4096, 8192}, {21504, 4096}, {4096, 21504}, {131072, 4096}};
    static const tsr_dtype types[] = {TSR_BF16, TSR_FP8, TSR_F32};
    printf("one row: weight bytes over time, beside the streaming-read rate of the same bytes\n");
    printf("%-5s %15s %10s %10s %8s %10s\n", "type", "N x K", "read GB/s", "ours GB/s", "ratio", "cpu ratio");
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            tsr_weight w = weight(types[t], shapes[s][0], shapes[s][1]);
            size_t bytes = (size_t)(w.rows * w.cols) * tsr_dtype_bytes(w.type) / CHUNK * CHUNK;
            if (bytes > b->bytes / 2) continue;
            float *x = random_floats(w.cols), *y = take((size_t)w.rows * sizeof *y);
            double read[PAIRS], ours[PAIRS], ratio[PAIRS], cpu[PAIRS];
            for (int i = -1; i < PAIRS; i++) { /* the first pair warms up */
                sample r = read_once(b, bytes), o = linear_once(b, &w, 1, 1, x, y);
                if (i < 0) continue;
                read[i] = (double)bytes / r.wall * 1e-9;
                ours[i] = (double)bytes / o.wall * 1e-9;
                ratio[i] = r.wall / o.wall;
                cpu[i] = r.cpu / o.cpu;
            }
            printf("%-5s %8lld x %5lld %10.1f %10.1f %8.2f %10.2f\n", tsr_dtype_name(w.type),
                   (long long)w.rows, (long long)w.cols, median(read), median(ours), median(ratio),
                   median(cpu));
            tsr_free(x), tsr_free(y);
        }
}

/* ---------------------------------------------------------------- blocks -------------------------------- */

typedef struct slab {
    tsr_onednn *product[TSR_MAX_THREADS];
    const unsigned char *w;
    const void *x;
    float *y;
    int64_t rows, n, row_bytes; /* rows of x; weight rows of a slab */
    bool failed;
} slab;

static void slab_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    slab *s = arg;
    if (tsr_onednn_run(s->product[task], s->y + task * s->rows * s->n, s->x,
                       s->w + task * s->n * s->row_bytes))
        s->failed = true;
}

static bool open_slabs(slab *s, tsr_dtype type, int threads, int64_t rows, int64_t n, int64_t k)
{
    *s = (slab){.rows = rows, .n = n / threads, .row_bytes = k * (int64_t)tsr_dtype_bytes(type)};
    for (int i = 0; i < threads; i++)
        if (tsr_onednn_open(&s->product[i], type, rows, s->n, k)) {
            printf("%s\n", tsr_message());
            return false;
        }
    return true;
}

static void block(bench *b)
{
    static const int64_t rows[] = {64, 512, 1024};
    static const tsr_dtype types[] = {TSR_BF16, TSR_FP8, TSR_F32, TSR_F16};
    const int64_t n = 8192, k = 4096;
    int threads = tsr_pool_threads(b->pool);
    printf(
        "many rows: %lld x %lld weights against oneDNN's product of bf16, or of f32 where we multiply f32\n",
        (long long)n, (long long)k);
    printf("%-5s %6s %14s %14s %8s %10s  %s\n", "type", "rows", "oneDNN GFLOP/s", "ours GFLOP/s", "ratio",
           "cpu ratio", "oneDNN's kernel");
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t m = 0; m < sizeof rows / sizeof *rows; m++) {
            tsr_weight w = weight(types[t], n, k);
            bool rounds =
                (w.type == TSR_BF16 || w.type == TSR_FP8) && tsr_cpu_features() & TSR_CPU_AVX512_BF16;
            tsr_dtype peer = rounds ? TSR_BF16 : TSR_F32;
            slab s;
            float *x = random_floats(rows[m] * k), *y = take((size_t)(rows[m] * n) * sizeof *y);
            if (open_slabs(&s, peer, threads, rows[m], n, k)) {
                double theirs[PAIRS], ours[PAIRS], ratio[PAIRS], cpu[PAIRS];
                double flops = 2.0 * (double)rows[m] * (double)n * (double)k;
                for (int i = -1; i < PAIRS; i++) {
                    s.w = turn(b, (size_t)(n * s.row_bytes)), s.x = x, s.y = y;
                    sample began = now();
                    tsr_pool_run(b->pool, threads, slab_task, &s);
                    sample d = since(began), o = linear_once(b, &w, rows[m], 0, x, y);
                    if (i < 0) continue;
                    theirs[i] = flops / d.wall * 1e-9;
                    ours[i] = flops / o.wall * 1e-9;
                    ratio[i] = d.wall / o.wall;
                    cpu[i] = d.cpu / o.cpu;
                }
                printf("%-5s %6lld %14.0f %14.0f %8.2f %10.2f  %s%s\n", tsr_dtype_name(w.type),
                       (long long)rows[m], median(theirs), median(ours), median(ratio), median(cpu),
                       tsr_onednn_kernel(s.product[0]), s.failed ? " FAILED" : "");
            }
            for (int i = 0; i < threads; i++) tsr_onednn_close(s.product[i]);
            tsr_free(x), tsr_free(y);
        }
}

int main(int argc, char **argv)
{
    bool all = true, want_stream = false, want_block = false;
    int threads = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "stream"))
            want_stream = true, all = false;
        else if (!strcmp(argv[i], "block"))
            want_block = true, all = false;
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            threads = atoi(argv[++i]);
        else
            return fprintf(stderr, "usage: bench_linear [stream|block] [--threads N]\n"), 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* a line at a time into a pipe too: runs are long */
    bench b = {.bytes = (size_t)2304 << 20, .ops = tsr_cpu_ops(tsr_cpu_features())};
    if (tsr_pool_open(&b.pool, threads)) return fprintf(stderr, "%s\n", tsr_message()), 1;
    b.buffer = take(b.bytes);
    /* Values that are ordinary numbers read as any of the types. */
    uint32_t state = 1;
    for (size_t i = 0; i < b.bytes; i += 2) {
        state = state * 1664525u + 1013904223u;
        uint16_t v = (uint16_t)((state >> 16 & 0x83ff) | 0x3800);
        memcpy(b.buffer + i, &v, sizeof v);
    }
    char model[128];
    tsr_cpu_model(model, sizeof model);
    printf("%s, %d threads, level %s\n", model, tsr_pool_threads(b.pool),
           tsr_cpu_level_name(tsr_cpu_features()));
    if (all || want_stream) stream(&b);
    if (all || want_block) block(&b);
    tsr_free(b.buffer);
    tsr_pool_close(b.pool);
    return 0;
}
