/* kernels/ref/attend.c: full softmax attention inside spans. */
#include <math.h>

#include "kernels/ref/ref.h"

size_t tsr_ref_attend_work(const tsr_queue *q, tsr_view y, tsr_heads heads, tsr_spans spans)
{
    (void)q, (void)y, (void)heads;
    return tsr_mul((size_t)spans.max_rows, sizeof(double));
}

/* One head of row r over the rows begin..end-1. */
static void attend_row(tsr_view y, tsr_view qkv, tsr_heads h, int64_t head, int64_t r, int64_t begin,
                       int64_t end, double *p)
{
    int64_t kv_head = head / (h.n_q / h.n_kv);
    int64_t q_col = head * h.head_dim;
    int64_t k_col = (h.n_q + kv_head) * h.head_dim;
    int64_t v_col = (h.n_q + h.n_kv + kv_head) * h.head_dim;
    double max = -INFINITY, sum = 0;
    for (int64_t j = begin; j < end; j++) {
        double score = 0;
        for (int64_t d = 0; d < h.head_dim; d++)
            score += tsr_ref_at(qkv, r, q_col + d) * tsr_ref_at(qkv, j, k_col + d);
        p[j - begin] = score * h.scale;
        max = fmax(max, p[j - begin]);
    }
    for (int64_t j = 0; j < end - begin; j++) sum += p[j] = exp(p[j] - max);
    for (int64_t d = 0; d < h.head_dim; d++) {
        double value = 0;
        for (int64_t j = begin; j < end; j++) value += p[j - begin] * tsr_ref_at(qkv, j, v_col + d);
        tsr_ref_put(tsr_row(y, r), y.type, q_col + d, value / sum);
    }
}

void tsr_ref_attend(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans)
{
    for (int64_t i = 0; i < spans.n; i++)
        for (int64_t r = spans.start[i]; r < spans.start[i + 1]; r++)
            for (int64_t head = 0; head < heads.n_q; head++)
                attend_row(y, qkv, heads, head, r, spans.start[i], spans.start[i + 1], q->work);
}
