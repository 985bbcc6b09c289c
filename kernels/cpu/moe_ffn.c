/* kernels/cpu/moe_ffn.c: experts one after another, each with the rows that chose it. */
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

/* Working memory, carved by one walk that is also what measures it. */
typedef struct work {
    int32_t *row;  /* of the rows of one expert, ascending */
    float *gate;   /* their gates */
    tsr_view t;    /* those rows, in 4 bytes an element at most */
    tsr_view h, u; /* what up and down make of them */
    tsr_view sum;  /* of all experts so far, for every row */
    void *linear;
} work;

static work lay_out(tsr_arena *a, const tsr_linear_level *level, const tsr_weight *up, const tsr_weight *down,
                    int64_t rows)
{
    size_t first = tsr_cpu_linear_bytes(level, rows, up), second = tsr_cpu_linear_bytes(level, rows, down);
    return (work){.row = tsr_arena_array(a, rows, sizeof(int32_t)),
                  .gate = tsr_arena_array(a, rows, sizeof(float)),
                  .t = tsr_arena_view(a, TSR_F32, TSR_SCALE_NONE, rows, up->cols),
                  .h = tsr_arena_view(a, TSR_F32, TSR_SCALE_NONE, rows, up->rows),
                  .u = tsr_arena_view(a, TSR_F32, TSR_SCALE_NONE, rows, down->rows),
                  .sum = tsr_arena_view(a, TSR_F32, TSR_SCALE_NONE, rows, down->rows),
                  .linear = tsr_arena_take(a, first > second ? first : second)};
}

static size_t work_bytes(const tsr_linear_level *level, const tsr_weight *up, const tsr_weight *down,
                         tsr_view ids)
{
    tsr_arena a = {0};
    lay_out(&a, level, up, down, ids.rows);
    return a.used;
}

/* The matrix of expert e alone. */
static tsr_weight expert(const tsr_weight *w, int64_t e)
{
    tsr_weight one = *w;
    one.data = (const char *)w->data + (size_t)(e * w->rows * w->cols) * tsr_dtype_bytes(w->type);
    if (w->scaled == TSR_SCALE_ROW) one.scale = w->scale + e * w->rows;
    one.n_experts = 1;
    return one;
}

/* Collect the rows that chose expert e. */
static int64_t gather(work *k, tsr_view t, tsr_view ids, tsr_view gates, int64_t e)
{
    int64_t n = 0;
    for (int64_t r = 0; r < ids.rows; r++)
        for (int64_t i = 0; i < ids.cols; i++) {
            if (((const int32_t *)tsr_row(ids, r))[i] != e) continue;
            k->row[n] = (int32_t)r;
            k->gate[n] = ((const float *)tsr_row(gates, r))[i];
            memcpy(tsr_row(k->t, n++), tsr_row(t, r), (size_t)t.cols * tsr_dtype_bytes(t.type));
            break;
        }
    return n;
}

static void moe_ffn(const tsr_linear_level *level, tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up,
                    const tsr_weight *down, tsr_view ids, tsr_view gates, tsr_view add)
{
    tsr_arena a = {.base = q->work, .capacity = SIZE_MAX};
    work k = lay_out(&a, level, up, down, ids.rows);
    k.t.type = t.type;
    for (int64_t r = 0; r < y.rows; r++) memset(tsr_row(k.sum, r), 0, (size_t)y.cols * sizeof(float));

    for (int64_t e = 0; e < up->n_experts; e++) {
        int64_t n = gather(&k, t, ids, gates, e), n_stream = 0;
        if (n == 0) continue;
        while (n_stream < n && k.row[n_stream] < q->n_stream) n_stream++;
        tsr_weight up_e = expert(up, e), down_e = expert(down, e);
        tsr_view h = tsr_rows(k.h, 0, n), u = tsr_rows(k.u, 0, n);
        tsr_cpu_linear_at(level, q->pool, k.linear, n_stream, h, tsr_rows(k.t, 0, n), &up_e,
                          (tsr_linear_opts){.act = TSR_RELU2});
        tsr_cpu_linear_at(level, q->pool, k.linear, n_stream, u, h, &down_e, (tsr_linear_opts){0});
        for (int64_t i = 0; i < n; i++) {
            float *sum = tsr_row(k.sum, k.row[i]);
            const float *term = tsr_row(u, i);
            for (int64_t c = 0; c < y.cols; c++) sum[c] += k.gate[i] * term[c];
        }
    }
    for (int64_t r = 0; r < y.rows; r++) {
        const float *sum = tsr_row(k.sum, r);
        for (int64_t c = 0; c < y.cols; c++)
            tsr_store(tsr_row(y, r), y.type, c, tsr_load(tsr_row(add, r), add.type, c) + sum[c]);
    }
}

/* The slots of one level. */
#define LEVEL(suffix, level)                                                                                 \
    void tsr_cpu_moe_ffn##suffix(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up,                 \
                                 const tsr_weight *down, tsr_view ids, tsr_view gates, tsr_view add)         \
    {                                                                                                        \
        moe_ffn(&tsr_linear_levels[level], q, y, t, up, down, ids, gates, add);                              \
    }                                                                                                        \
    size_t tsr_cpu_moe_ffn_work##suffix(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down,    \
                                        tsr_view ids)                                                        \
    {                                                                                                        \
        (void)q;                                                                                             \
        return work_bytes(&tsr_linear_levels[level], up, down, ids);                                         \
    }

LEVEL(, TSR_LINEAR_SCALAR)
LEVEL(_avx2, TSR_LINEAR_AVX2)
LEVEL(_avx512, TSR_LINEAR_AVX512)
LEVEL(_avx512bf16, TSR_LINEAR_AVX512BF16)
LEVEL(_amx, TSR_LINEAR_AMX)
