/* kernels/cpu/norm.c: RMSNorm and LayerNorm. Compiled per level. */
#include <assert.h>
#include <math.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

enum { SUMS = 4 }; /* enough in flight to hide the latency of an addition */

typedef struct norm_job {
    tsr_pool *pool;
    tsr_view y, x;
    const tsr_norm_weight *w;
    int64_t task_rows;
} norm_job;

/* Sum of v[i] - mean, or of its square. */
INLINE float sum_of(const float *v, int64_t n, float mean, bool squared)
{
    vf sums[SUMS] = {{0}};
    int64_t i = 0;
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int k = 0; k < SUMS; k++) {
            vf u = vf_load(v + i + k * LANES) - mean;
            sums[k] = squared ? vf_fma(u, u, sums[k]) : sums[k] + u;
        }
    float rest = 0;
    for (; i < n; i++) rest += squared ? (v[i] - mean) * (v[i] - mean) : v[i] - mean;
    return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

static void norm_row(tsr_view y, tsr_view x, const tsr_norm_weight *w, int64_t r, float *row)
{
    int64_t n = x.cols;
    const float *gain = w->w.data, *shift = w->b.rows ? w->b.data : NULL;
    load_row(row, x, r);
    float mean = w->centred ? sum_of(row, n, 0, false) / (float)n : 0;
    float inverse = 1 / sqrtf(sum_of(row, n, mean, true) / (float)n + w->eps);
    for (int64_t i = 0; i < n; i++) row[i] = (row[i] - mean) * inverse * gain[i];
    if (shift)
        for (int64_t i = 0; i < n; i++) row[i] += shift[i];
    store_row(y, r, row);
}

static void norm_task(void *arg, int64_t task, int worker)
{
    const norm_job *j = arg;
    int64_t begin = task * j->task_rows, end = begin + j->task_rows;
    float *row = tsr_pool_scratch(j->pool, worker);
    for (int64_t r = begin; r < end && r < j->x.rows; r++) norm_row(j->y, j->x, j->w, r, row);
}

void TSR_AT(tsr_cpu_norm)(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    assert(x.cols <= MAX_ROW);
    norm_job j = {q->pool, y, x, w, rows_per_task(x.cols)};
    tsr_pool_run(q->pool, (x.rows + j.task_rows - 1) / j.task_rows, norm_task, &j);
}
