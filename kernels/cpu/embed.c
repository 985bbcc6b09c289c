/* kernels/cpu/embed.c: rows of the embedding table, with image rows in their places. Compiled per level. */
#include <assert.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

typedef struct embed_job {
    tsr_pool *pool;
    tsr_view x, table, image;
    const tsr_step *step;
    int64_t rows; /* of a task, whosever they are */
} embed_job;

static void embed_row(const embed_job *j, int64_t seq, int64_t t, float *row)
{
    int32_t id = j->step->ids[t], slot = j->step->slot[seq];
    if (id == TSR_ID_LAST && slot < 0) {
        memset(row, 0, (size_t)j->x.cols * sizeof *row);
    } else {
        if (id == TSR_ID_LAST) id = j->step->last_id[slot];
        if (id >= 0)
            load_row(row, j->table, id);
        else
            load_row(row, j->image, -1 - (int64_t)id);
    }
    store_row(j->x, t, row);
}

static void embed_task(void *arg, int64_t task, int worker)
{
    const embed_job *j = arg;
    float *row = tsr_pool_scratch(j->pool, worker);
    int64_t first = task * j->rows, end = first + j->rows < j->x.rows ? first + j->rows : j->x.rows, seq = 0;
    for (int64_t t = first; t < end; t++) {
        while (j->step->spans.start[seq + 1] <= t) seq++;
        embed_row(j, seq, t, row);
    }
}

void TSR_AT(tsr_cpu_embed)(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image,
                           const tsr_step *step)
{
    assert(x.cols <= MAX_ROW);
    tsr_view rows = {.data = (void *)table->data,
                     .scale = (float *)table->scale,
                     .rows = table->rows,
                     .cols = table->cols,
                     .stride = table->cols,
                     .scale_stride = table->scaled == TSR_SCALE_ROW,
                     .type = table->type,
                     .scaled = table->scaled};
    embed_job j = {q->pool, x, rows, image, step, rows_per_task(x.cols)};
    tsr_pool_run(q->pool, (x.rows + j.rows - 1) / j.rows, embed_task, &j);
}
