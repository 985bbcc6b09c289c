/* kernels/ref/vit_enter.c: prefix rows and positions in, prefix rows out. */
#include "kernels/ref/ref.h"

void tsr_ref_vit_enter(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos)
{
    (void)q;
    int64_t n_patches = pos.rows - prefix.rows;
    for (int64_t r = 0; r < x.rows; r++) {
        int64_t tile = r / pos.rows, i = r % pos.rows;
        for (int64_t c = 0; c < x.cols; c++) {
            double value = i < prefix.rows ? tsr_ref_at(prefix, i, c)
                                           : tsr_ref_at(patches, tile * n_patches + i - prefix.rows, c);
            tsr_ref_put(tsr_row(x, r), x.type, c, value + tsr_ref_at(pos, i, c));
        }
    }
}

void tsr_ref_vit_leave(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches)
{
    (void)q;
    for (int64_t r = 0; r < y.rows; r++) {
        int64_t from = r / n_patches * (n_prefix + n_patches) + n_prefix + r % n_patches;
        for (int64_t c = 0; c < y.cols; c++) tsr_ref_put(tsr_row(y, r), y.type, c, tsr_ref_at(x, from, c));
    }
}
