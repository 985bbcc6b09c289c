/* kernels/ref/gather.c: chosen rows. */
#include "kernels/ref/ref.h"

void tsr_ref_gather(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row)
{
    (void)q;
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t c = 0; c < y.cols; c++) tsr_ref_put(tsr_row(y, r), y.type, c, tsr_ref_at(x, row[r], c));
}
