/* kernels/cpu/patchify.c: 8-bit tiles to normalised patches. */
#include <string.h>

#include "kernels/cpu/simple.h"

typedef struct patchify_job {
    tsr_view y, tiles, table;
    tsr_grid grid;
    int64_t p; /* pixels along one side of a patch */
} patchify_job;

static void put_line(void *row, tsr_dtype type, int64_t at, const uint8_t *pixel, const float *table,
                     int64_t p)
{
    if (type == TSR_F32)
        for (int64_t i = 0; i < p; i++) ((float *)row)[at + i] = table[pixel[3 * i]];
    else
        for (int64_t i = 0; i < p; i++) ((uint16_t *)row)[at + i] = tsr_to_bf16(table[pixel[3 * i]]);
}

/* One row of patches of one tile. */
static void patchify_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const patchify_job *j = arg;
    int64_t p = j->p, line = j->grid.cols * p * 3; /* bytes of one line of a tile */
    size_t each = tsr_dtype_bytes(j->y.type);
    const uint8_t *top =
        (const uint8_t *)tsr_row(j->tiles, task / j->grid.rows) + task % j->grid.rows * p * line;
    for (int64_t column = 0; column < j->grid.cols; column++) {
        char *row = tsr_row(j->y, task * j->grid.cols + column);
        for (int64_t c = 0; c < 3; c++)
            for (int64_t ky = 0; ky < p; ky++)
                put_line(row, j->y.type, (c * p + ky) * p, top + ky * line + column * p * 3 + c,
                         tsr_row(j->table, c), p);
        memset(row + (size_t)(3 * p * p) * each, 0, (size_t)(j->y.cols - 3 * p * p) * each);
    }
}

void tsr_cpu_patchify(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid)
{
    int64_t p = 1;
    while (3 * grid.rows * grid.cols * p * p < tiles.cols) p++;
    tsr_pool_run(q->pool, tiles.rows * grid.rows, patchify_task, &(patchify_job){y, tiles, table, grid, p});
}
