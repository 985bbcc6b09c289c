/* kernels/ref/norm.c: RMSNorm and LayerNorm. */
#include <math.h>

#include "kernels/ref/ref.h"

typedef struct norm_row {
    tsr_view x;
    int64_t r;
    const tsr_norm_weight *w;
    double mean, inverse; /* 1 / sqrt(var + eps); mean is 0 unless centred */
} norm_row;

static double value(void *ctx, int64_t c)
{
    const norm_row *n = ctx;
    double y = (tsr_ref_at(n->x, n->r, c) - n->mean) * n->inverse * tsr_ref_at(n->w->w, 0, c);
    return n->w->b.rows ? y + tsr_ref_at(n->w->b, 0, c) : y;
}

void tsr_ref_norm(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    (void)q;
    for (int64_t r = 0; r < x.rows; r++) {
        norm_row n = {.x = x, .r = r, .w = w};
        double sum = 0, squares = 0;
        if (w->centred)
            for (int64_t c = 0; c < x.cols; c++) sum += tsr_ref_at(x, r, c);
        n.mean = sum / (double)x.cols;
        for (int64_t c = 0; c < x.cols; c++) {
            double v = tsr_ref_at(x, r, c) - n.mean;
            squares += v * v;
        }
        n.inverse = 1 / sqrt(squares / (double)x.cols + w->eps);
        tsr_ref_put_row(y, r, value, &n);
    }
}
