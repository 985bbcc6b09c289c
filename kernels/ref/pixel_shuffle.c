/* kernels/ref/pixel_shuffle.c: four neighbours become one row. */
#include "kernels/ref/ref.h"

void tsr_ref_pixel_shuffle(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version)
{
    (void)q;
    int64_t d = x.cols, n_q = grid.cols / 2, n_p = grid.rows / 2, each = n_p * n_q;
    for (int64_t r = 0; r < y.rows; r++) {
        int64_t tile = r / each, t = r % each;
        int64_t p = version == 2 ? t / n_q : t % n_p;
        int64_t column = version == 2 ? t % n_q : t / n_p;
        for (int64_t m = 0; m < y.cols; m++) {
            int64_t from_row = 2 * p + m / (2 * d), from_col = 2 * column + m % (2 * d) / d;
            int64_t from = (tile * grid.rows + from_row) * grid.cols + from_col;
            tsr_ref_put(tsr_row(y, r), y.type, m, tsr_ref_at(x, from, m % d));
        }
    }
}
