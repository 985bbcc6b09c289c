/* kernels/cpu/pixel_shuffle.c: four neighbours become one row. */
#include <string.h>

#include "kernels/cpu/simple.h"

typedef struct shuffle_job {
    tsr_view y, x;
    tsr_grid grid;
    int version;
} shuffle_job;

/* Two rows of patches of one tile, which are one row of tokens. */
static void shuffle_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const shuffle_job *j = arg;
    int64_t n_p = j->grid.rows / 2, n_q = j->grid.cols / 2;
    int64_t tile = task / n_p, p = task % n_p;
    size_t bytes = (size_t)(2 * j->x.cols) * tsr_dtype_bytes(j->x.type);
    for (int64_t column = 0; column < n_q; column++) {
        int64_t token = j->version == 2 ? p * n_q + column : column * n_p + p;
        char *to = tsr_row(j->y, tile * n_p * n_q + token);
        for (int64_t side = 0; side < 2; side++)
            for (int64_t half = 0; half < 2; half++) {
                int64_t from = (tile * j->grid.rows + 2 * p + side) * j->grid.cols + 2 * column + half;
                memcpy(to + (size_t)side * bytes + (size_t)half * (bytes / 2), tsr_row(j->x, from),
                       bytes / 2);
            }
    }
}

void tsr_cpu_pixel_shuffle(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version)
{
    tsr_pool_run(q->pool, x.rows / grid.cols / 2, shuffle_task, &(shuffle_job){y, x, grid, version});
}
