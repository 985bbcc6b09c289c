/* kernels/cpu/linear.c: linear cut into tasks; see linear.h for the plan. */
#include "kernels/cpu/linear.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

#define SCALAR &tsr_linear_scalar
#if defined(__x86_64__)
#define AVX2 &tsr_linear_avx2
#define AVX512 &tsr_linear_avx512
#define BF16 &tsr_linear_avx512bf16
#define AMX &tsr_linear_amx
#else /* never entered there */
#define AVX2 SCALAR
#define AVX512 SCALAR
#define BF16 SCALAR
#define AMX SCALAR
#endif

/* f32, bf16, f16, fp8. f16 stays with the f32 kernels: bf16 could not hold its mantissa. */
const tsr_linear_level tsr_linear_levels[] = {
    [TSR_LINEAR_SCALAR] = {{SCALAR, SCALAR, SCALAR, SCALAR}, {SCALAR, SCALAR, SCALAR, SCALAR}},
    [TSR_LINEAR_AVX2] = {{AVX2, AVX2, AVX2, AVX2}, {AVX2, AVX2, AVX2, AVX2}},
    [TSR_LINEAR_AVX512] = {{AVX512, AVX512, AVX512, AVX512}, {AVX512, AVX512, AVX512, AVX512}},
    [TSR_LINEAR_AVX512BF16] = {{AVX512, BF16, AVX512, BF16}, {AVX512, BF16, AVX512, BF16}},
    [TSR_LINEAR_AMX] = {{AVX512, BF16, AVX512, BF16}, {AVX512, AMX, AVX512, AMX}},
};

enum {
    PIECE = 512,            /* columns converted at a time for `place` */
    TASK_BYTES = 512 << 10, /* weight bytes of a streaming task: many tasks to share out, few starts */
    SLAB = 256,             /* weight rows of a streaming task at most */
    ALONE = 1 << 16         /* elements of x one thread converts sooner than others would have woken */
};

typedef struct job {
    const tsr_linear_kernel *kernel;
    tsr_linear_rows rows;
    tsr_view x;
    tsr_linear_finish finish;
    int64_t slab;   /* weight rows of a streaming task */
    tsr_pool *pool; /* for its scratch */
} job;

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One line beyond the padded width: rows a multiple of 4 KiB apart would fight for the same lines of L1. */
static int64_t packed_stride(const tsr_linear_kernel *kernel, int64_t cols)
{
    return round_up(cols, TSR_LINEAR_STEP) + 64 / (int64_t)tsr_dtype_bytes(kernel->type);
}

static size_t packed_bytes(const tsr_linear_kernel *kernel, int64_t rows, int64_t cols)
{
    size_t row = (size_t)packed_stride(kernel, cols) * tsr_dtype_bytes(kernel->type);
    return tsr_mul((size_t)round_up(rows, kernel->unit), row);
}

static size_t scale_bytes(int64_t rows)
{
    return (size_t)round_up(rows, 16) * sizeof(float);
}

size_t tsr_cpu_linear_bytes(const tsr_linear_level *level, int64_t rows, const tsr_weight *w)
{
    const tsr_linear_kernel *stream = level->stream[w->type], *block = level->block[w->type];
    size_t s = packed_bytes(stream, rows, w->cols), b = packed_bytes(block, rows, w->cols);
    /* Both kinds of rows together are `rows`; the unit of the block kernel may pad once more. */
    size_t most = tsr_add(s > b ? s : b, packed_bytes(block, block->unit, w->cols));
    return tsr_add(most, scale_bytes(rows));
}

/* ---------------------------------------------------------------- rows of x ----------------------------- */

/* What row r of x is divided by on its way through E4M3; 0: it keeps its values. */
static float input_scale(const job *j, int64_t r)
{
    const tsr_weight *w = j->finish.w;
    if (j->x.scaled != TSR_SCALE_NONE || w->input == TSR_INPUT_KEEP) return 0;
    if (w->input == TSR_INPUT_STATIC) return w->input_scale[0];
    float amax = 0;
    for (int64_t c = 0; c < j->x.cols; c++) {
        float a = fabsf(tsr_load(tsr_row(j->x, r), j->x.type, c));
        if (a > amax) amax = a;
    }
    return amax > 0 ? amax / TSR_FP8_MAX : 1.0f;
}

/* Whether columns have another order than in the file. */
static bool dealt(const job *j)
{
    return j->kernel->deal && j->finish.w->type == TSR_FP8;
}

/* Convert packed rows task * unit ... of the job. */
static void pack_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    job *j = arg;
    const tsr_linear_kernel *kernel = j->kernel;
    const tsr_linear_rows *to = &j->rows;
    size_t each = tsr_dtype_bytes(kernel->type);
    int64_t width = round_up(j->x.cols, TSR_LINEAR_STEP), row = task * kernel->unit;
    _Alignas(64) unsigned char piece[TSR_LINEAR_COLLECT * PIECE * sizeof(float)];
    float scale[TSR_LINEAR_COLLECT];

    int64_t there = least(kernel->unit, to->rows - row);
    for (int64_t i = 0; i < there; i++) {
        int64_t r = to->first + row + i;
        bool whole_row = j->x.scaled == TSR_SCALE_TENSOR || j->x.scaled == TSR_SCALE_ROW;
        scale[i] = input_scale(j, r);
        to->scale[row + i] = scale[i] != 0 ? scale[i] : whole_row ? j->x.scale[r * j->x.scale_stride] : 1.0f;
    }
    for (int64_t c = 0; c < width; c += PIECE) {
        int64_t n = least(PIECE, width - c), real = least(n, j->x.cols - c);
        for (int64_t i = 0; i < kernel->unit; i++) {
            unsigned char *out =
                kernel->place ? piece + (size_t)(i * n) * each
                              : (unsigned char *)to->data + (size_t)((row + i) * to->stride + c) * each;
            if (i < there) kernel->convert(out, kernel->type, j->x, to->first + row + i, c, real, scale[i]);
            int64_t filled = i < there ? real : 0;
            memset(out + (size_t)filled * each, 0, (size_t)(n - filled) * each);
            if (dealt(j)) kernel->deal(out, n);
        }
        if (kernel->place) kernel->place(to, row, c, n, piece);
    }
}

static void pack(job *j, tsr_pool *pool)
{
    int64_t tasks = round_up(j->rows.rows, j->kernel->unit) / j->kernel->unit;
    if (j->rows.rows * j->x.cols <= ALONE)
        for (int64_t i = 0; i < tasks; i++) pack_task(j, i, 0);
    else
        tsr_pool_run(pool, tasks, pack_task, j);
}

/* ---------------------------------------------------------------- products ------------------------------ */

static void finish_row(const job *j, float *sums, int64_t row, int64_t first, int64_t n)
{
    j->kernel->finish(&j->finish, sums, j->rows.scale[row], j->rows.first + row, first, n);
}

/* A slab of weight rows for all rows, each read from memory once. */
static void few_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    job *j = arg;
    const tsr_weight *w = j->finish.w;
    float sums[TSR_LINEAR_COLLECT * SLAB];
    int64_t w_bytes = w->cols * (int64_t)tsr_dtype_bytes(w->type), first = task * j->slab;
    int64_t n = least(j->slab, w->rows - first);
    j->kernel->few[w->type](sums, SLAB, &j->rows, j->rows.rows, (const char *)w->data + first * w_bytes,
                            w_bytes, n, w->cols);
    for (int64_t i = 0; i < j->rows.rows; i++) finish_row(j, sums + i * SLAB, i, first, n);
}

/* Floats and bytes of a worker's scratch: accumulators, sums, a piece of a panel. */
static size_t acc_floats(const tsr_linear_kernel *kernel)
{
    return (size_t)(kernel->pass * kernel->panel);
}

static size_t sum_floats(const tsr_linear_kernel *kernel)
{
    return (size_t)(TSR_LINEAR_COLLECT * kernel->panel);
}

/* Again one line more than the piece is wide. */
static size_t piece_stride(const tsr_linear_kernel *kernel)
{
    return (size_t)kernel->depth * tsr_dtype_bytes(kernel->type) + 64;
}

/* A panel of weight rows for a pass of rows, piece by piece along the depth. */
static void block_task(void *arg, int64_t task, int worker)
{
    job *j = arg;
    const tsr_linear_kernel *kernel = j->kernel;
    const tsr_weight *w = j->finish.w;
    float *acc = tsr_pool_scratch(j->pool, worker), *sums = acc + acc_floats(kernel);
    unsigned char *piece = (unsigned char *)(sums + sum_floats(kernel));
    int64_t piece_bytes = (int64_t)piece_stride(kernel);

    int64_t panels = (w->rows + kernel->panel - 1) / kernel->panel;
    int64_t row = task / panels * kernel->pass, n_x = least(kernel->pass, j->rows.rows - row);
    int64_t first = task % panels * kernel->panel, n_w = least(kernel->panel, w->rows - first);
    int64_t each = (int64_t)tsr_dtype_bytes(w->type), to_each = (int64_t)tsr_dtype_bytes(kernel->type);
    int64_t w_bytes = w->cols * each;
    const char *panel = (const char *)w->data + first * w_bytes;
    /* Rows of the file serve as they are when they end with a step. */
    bool plain = w->type == kernel->type && w->cols % kernel->step == 0;

    for (int64_t c = 0; c < w->cols; c += kernel->depth) {
        int64_t n = least(kernel->depth, w->cols - c),
                padded = round_up(n, dealt(j) ? TSR_LINEAR_STEP : kernel->step);
        const void *from = panel + c * each;
        if (!plain) {
            for (int64_t i = 0; i < n_w; i++) {
                unsigned char *to = piece + i * piece_bytes;
                kernel->widen(to, panel + i * w_bytes + c * each, w->type, n);
                if (!dealt(j)) memset(to + n * to_each, 0, (size_t)((padded - n) * to_each));
            }
            from = piece;
        }
        kernel->block(acc, &j->rows, row, round_up(n_x, kernel->unit), c, padded, from,
                      plain ? w_bytes : piece_bytes, n_w);
    }
    for (int64_t i = 0; i < n_x; i++) {
        float *row_sums = acc + i * kernel->panel;
        if (kernel->collect) {
            if (i % TSR_LINEAR_COLLECT == 0) kernel->collect(sums, acc, i, n_w);
            row_sums = sums + i % TSR_LINEAR_COLLECT * kernel->panel;
        }
        finish_row(j, row_sums, row + i, first, n_w);
    }
}

/* Rows first .. first + n of the call, by one kernel. */
static void multiply(job *j, const tsr_linear_kernel *kernel, float *scale, void *data, int64_t first,
                     int64_t n)
{
    const tsr_weight *w = j->finish.w;
    if (n == 0) return;
    j->kernel = kernel;
    j->rows = (tsr_linear_rows){.data = data,
                                .scale = scale,
                                .first = first,
                                .rows = n,
                                .stride = packed_stride(kernel, w->cols),
                                .type = kernel->type};
    pack(j, j->pool);

    if (n <= kernel->few_rows) {
        int64_t row_bytes = w->cols * (int64_t)tsr_dtype_bytes(w->type) + 1;
        j->slab = round_up(TASK_BYTES / row_bytes + 1, 4);
        if (j->slab > SLAB) j->slab = SLAB;
        tsr_pool_run(j->pool, (w->rows + j->slab - 1) / j->slab, few_task, j);
        return;
    }
    assert((acc_floats(kernel) + sum_floats(kernel)) * sizeof(float) +
               piece_stride(kernel) * (size_t)kernel->panel <=
           TSR_WORKER_BYTES);
    int64_t panels = (w->rows + kernel->panel - 1) / kernel->panel,
            passes = (n + kernel->pass - 1) / kernel->pass;
    tsr_pool_run(j->pool, panels * passes, block_task, j);
}

void tsr_cpu_linear_at(const tsr_linear_level *level, tsr_pool *pool, void *work, int64_t n_stream,
                       tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    const tsr_linear_kernel *stream = level->stream[w->type], *block = level->block[w->type];
    job j = {.x = x, .finish = {.y = y, .w = w, .o = o}, .pool = pool};
    float *scale = work;
    unsigned char *data = (unsigned char *)work + scale_bytes(x.rows);
    int64_t split = stream == block ? x.rows : least(n_stream, x.rows);

    multiply(&j, stream, scale, data, 0, split);
    multiply(&j, block, scale + split, data + packed_bytes(stream, split, w->cols), split, x.rows - split);
}

/* The slots of one level. */
#define LEVEL(suffix, level)                                                                                 \
    void tsr_cpu_linear##suffix(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w,                   \
                                tsr_linear_opts o)                                                           \
    {                                                                                                        \
        tsr_cpu_linear_at(&tsr_linear_levels[level], q->pool, q->work, q->n_stream, y, x, w, o);             \
    }                                                                                                        \
    size_t tsr_cpu_linear_work##suffix(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w)      \
    {                                                                                                        \
        (void)q, (void)y;                                                                                    \
        return tsr_cpu_linear_bytes(&tsr_linear_levels[level], x.rows, w);                                   \
    }

LEVEL(, TSR_LINEAR_SCALAR)
LEVEL(_avx2, TSR_LINEAR_AVX2)
LEVEL(_avx512, TSR_LINEAR_AVX512)
LEVEL(_avx512bf16, TSR_LINEAR_AVX512BF16)
LEVEL(_amx, TSR_LINEAR_AMX)
