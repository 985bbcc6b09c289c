/* kernels/cpu/convert.c: one form of activations into another. Compiled per level. */
#include <assert.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

typedef struct convert_job {
    tsr_pool *pool;
    tsr_view y, x;
    int64_t task_rows;
} convert_job;

static void convert_task(void *arg, int64_t task, int worker)
{
    const convert_job *j = arg;
    int64_t begin = task * j->task_rows, end = begin + j->task_rows;
    float *row = tsr_pool_scratch(j->pool, worker);
    for (int64_t r = begin; r < end && r < j->x.rows; r++) {
        load_row(row, j->x, r);
        store_row(j->y, r, row);
    }
}

void TSR_AT(tsr_cpu_convert)(tsr_queue *q, tsr_view y, tsr_view x)
{
    assert(x.cols <= MAX_ROW);
    convert_job j = {q->pool, y, x, rows_per_task(x.cols)};
    tsr_pool_run(q->pool, (x.rows + j.task_rows - 1) / j.task_rows, convert_task, &j);
}
