/* kernels/ref/conv.c: the causal depthwise convolution of a Mamba-2 layer. */
#include "kernels/ref/ref.h"

/* Row t of sequence i, where t < 0 reaches back into the slot. */
static double history_at(tsr_view x, const tsr_mixer *m, tsr_slots conv, const tsr_step *step, int64_t i,
                         int64_t t, int64_t c)
{
    if (t >= 0) return tsr_ref_at(x, step->spans.start[i] + t, c);
    if (!tsr_ref_continues(step, i)) return 0;
    return tsr_load(tsr_ref_slot(conv, step->slot[i]), conv.type, (m->conv_width - 1 + t) * x.cols + c);
}

void tsr_ref_conv(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                  const tsr_step *step)
{
    (void)q;
    int64_t tail = m->conv_width - 1;
    for (int64_t i = 0; i < step->n_seqs; i++) {
        int64_t first = step->spans.start[i], n = step->spans.start[i + 1] - first;
        for (int64_t c = 0; c < x.cols; c++) {
            for (int64_t t = 0; t < n; t++) {
                double a = tsr_ref_at(m->conv_bias, 0, c);
                for (int64_t k = 0; k < m->conv_width; k++)
                    a += tsr_ref_at(m->taps, k, c) * history_at(x, m, conv, step, i, t - tail + k, c);
                tsr_ref_put(tsr_row(y, first + t), y.type, c, tsr_ref_silu(a));
            }
            if (step->slot[i] < 0 || n == 0) continue;
            /* Oldest first: each entry is read from a place that is not written yet. */
            for (int64_t k = 0; k < tail; k++)
                tsr_ref_put(tsr_ref_slot(conv, step->slot[i]), conv.type, k * x.cols + c,
                            history_at(x, m, conv, step, i, n - tail + k, c));
        }
    }
}
