/* kernels/cpu/gather.c: chosen rows. */
#include <string.h>

#include "kernels/cpu/simple.h"

enum { TASK_ROWS = 16 };

typedef struct gather_job {
    tsr_view y, x;
    const int32_t *row;
} gather_job;

static void gather_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const gather_job *j = arg;
    size_t bytes = (size_t)j->y.cols * tsr_dtype_bytes(j->y.type);
    for (int64_t r = task * TASK_ROWS; r < (task + 1) * TASK_ROWS && r < j->y.rows; r++)
        memcpy(tsr_row(j->y, r), tsr_row(j->x, j->row[r]), bytes);
}

void tsr_cpu_gather(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row)
{
    tsr_pool_run(q->pool, (y.rows + TASK_ROWS - 1) / TASK_ROWS, gather_task, &(gather_job){y, x, row});
}
