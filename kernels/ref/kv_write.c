/* kernels/ref/kv_write.c: new keys and values into their pages. */
#include "kernels/ref/ref.h"

static void put(void *page, tsr_dtype type, const float *scale, int64_t at, double value)
{
    if (type == TSR_FP8)
        ((uint8_t *)page)[at] = tsr_ref_quantise(value, *scale);
    else
        tsr_ref_put(page, type, at, value);
}

void tsr_ref_kv_write(tsr_queue *q, tsr_pages pages, tsr_view k, tsr_view v, tsr_heads heads,
                      const tsr_step *step)
{
    (void)q;
    for (int64_t i = 0; i < step->n_seqs; i++)
        for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++) {
            int64_t pos = step->pos[i] + t - step->spans.start[i];
            int64_t page = tsr_ref_page_of(pages, step, i, pos);
            if (page < 0) continue;
            void *to_k = (char *)pages.k + page * pages.page_stride;
            void *to_v = (char *)pages.v + page * pages.page_stride;
            for (int64_t c = 0; c < k.cols; c++) {
                int64_t head = c / heads.head_dim, d = c % heads.head_dim;
                int64_t at = tsr_ref_page_index(pages, heads.head_dim, head, pos) + d;
                put(to_k, pages.type, pages.k_scale, at, tsr_ref_at(k, t, c));
                put(to_v, pages.type, pages.v_scale, at, tsr_ref_at(v, t, c));
            }
        }
}
