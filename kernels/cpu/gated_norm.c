/* kernels/cpu/gated_norm.c: gate, then RMS over groups of columns. Compiled per level. */
#include <assert.h>
#include <math.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

typedef struct gated_job {
    tsr_pool *pool;
    tsr_view y, x, z;
    const tsr_mixer *m;
    int64_t task_rows;
} gated_job;

/* x[i] *= silu(z[i]) for the `some` elements from i on, at most LANES; their squares are added to sum. */
INLINE vf gate_some(float *x, const void *z, tsr_dtype type, int64_t i, int64_t some, vf sum)
{
    vf u = type == TSR_F32 ? vf_load_n((const float *)z + i, some)
                           : vf_load_bf16_n((const uint16_t *)z + i, some);
    vf v = vf_load_n(x + i, some) * vf_silu(u);
    vf_store_n(x + i, v, some);
    return vf_fma(v, v, sum);
}

/* The sum of the squares of the gated x. */
INLINE float gate(float *x, const void *z, tsr_dtype type, int64_t n)
{
    vf sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) sum = gate_some(x, z, type, i, LANES, sum);
    if (i < n) sum = gate_some(x, z, type, i, n - i, sum);
    return vf_sum(sum);
}

static void gated_row(const gated_job *j, int64_t r, float *row)
{
    const tsr_norm_weight *norm = &j->m->norm;
    int64_t width = j->x.cols / j->m->n_groups;
    const float *gain = norm->w.data;
    const char *z = tsr_row(j->z, r);
    load_row(row, j->x, r);
    for (int64_t c = 0; c < j->x.cols; c += width) {
        const void *z_group = z + (size_t)c * tsr_dtype_bytes(j->z.type);
        float squares = j->z.type == TSR_F32 ? gate(row + c, z_group, TSR_F32, width)
                                             : gate(row + c, z_group, TSR_BF16, width);
        float inverse = 1 / sqrtf(squares / (float)width + norm->eps);
        for (int64_t i = c; i < c + width; i++) row[i] = row[i] * inverse * gain[i];
    }
    store_row(j->y, r, row);
}

static void gated_task(void *arg, int64_t task, int worker)
{
    const gated_job *j = arg;
    int64_t begin = task * j->task_rows, end = begin + j->task_rows;
    float *row = tsr_pool_scratch(j->pool, worker);
    for (int64_t r = begin; r < end && r < j->x.rows; r++) gated_row(j, r, row);
}

void TSR_AT(tsr_cpu_gated_norm)(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    assert(x.cols <= MAX_ROW);
    gated_job j = {q->pool, y, x, z, m, rows_per_task(x.cols)};
    tsr_pool_run(q->pool, (x.rows + j.task_rows - 1) / j.task_rows, gated_task, &j);
}
