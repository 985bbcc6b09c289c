/* kernels/cpu/vit_enter.c: prefix rows and positions in, prefix rows out. Compiled per level. */
#include <assert.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

enum { TASK_ROWS = 16 };

typedef struct enter_job {
    tsr_pool *pool;
    tsr_view x, patches, prefix, pos;
} enter_job;

static void enter_task(void *arg, int64_t task, int worker)
{
    const enter_job *j = arg;
    float *row = tsr_pool_scratch(j->pool, worker);
    int64_t n_patches = j->pos.rows - j->prefix.rows;
    for (int64_t r = task * TASK_ROWS; r < (task + 1) * TASK_ROWS && r < j->x.rows; r++) {
        int64_t tile = r / j->pos.rows, i = r % j->pos.rows;
        const float *pos = tsr_row(j->pos, i);
        if (i < j->prefix.rows)
            load_row(row, j->prefix, i);
        else
            load_row(row, j->patches, tile * n_patches + i - j->prefix.rows);
        for (int64_t c = 0; c < j->x.cols; c++) row[c] += pos[c];
        store_row(j->x, r, row);
    }
}

void TSR_AT(tsr_cpu_vit_enter)(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos)
{
    assert(x.cols <= MAX_ROW);
    tsr_pool_run(q->pool, (x.rows + TASK_ROWS - 1) / TASK_ROWS, enter_task,
                 &(enter_job){q->pool, x, patches, prefix, pos});
}

typedef struct leave_job {
    tsr_view y, x;
    int64_t n_prefix, n_patches;
} leave_job;

static void leave_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const leave_job *j = arg;
    size_t bytes = (size_t)j->y.cols * tsr_dtype_bytes(j->y.type);
    for (int64_t r = task * TASK_ROWS; r < (task + 1) * TASK_ROWS && r < j->y.rows; r++) {
        int64_t from = r / j->n_patches * (j->n_prefix + j->n_patches) + j->n_prefix + r % j->n_patches;
        memcpy(tsr_row(j->y, r), tsr_row(j->x, from), bytes);
    }
}

void TSR_AT(tsr_cpu_vit_leave)(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches)
{
    tsr_pool_run(q->pool, (y.rows + TASK_ROWS - 1) / TASK_ROWS, leave_task,
                 &(leave_job){y, x, n_prefix, n_patches});
}
