/* kernels/ref/patchify.c: 8-bit tiles to normalised patches. */
#include "kernels/ref/ref.h"

void tsr_ref_patchify(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid)
{
    (void)q;
    int64_t n = grid.rows * grid.cols;
    int64_t p = 1;
    while (3 * n * p * p < tiles.cols) p++;
    int64_t width = grid.cols * p; /* pixels of one line of a tile */
    for (int64_t r = 0; r < y.rows; r++) {
        const uint8_t *tile = tsr_row(tiles, r / n);
        int64_t top = r % n / grid.cols * p, left = r % grid.cols * p;
        for (int64_t i = 0; i < y.cols; i++) {
            int64_t c = i / (p * p), ky = i / p % p, kx = i % p;
            double value = 0;
            if (c < 3) value = tsr_ref_at(table, c, tile[((top + ky) * width + left + kx) * 3 + c]);
            tsr_ref_put(tsr_row(y, r), y.type, i, value);
        }
    }
}
