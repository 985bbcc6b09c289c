/* kernels/ref/kv_attend.c: causal grouped-query attention over pages. */
#include <math.h>

#include "kernels/ref/ref.h"

size_t tsr_ref_kv_attend_work(const tsr_queue *q, tsr_heads heads, const tsr_step *step)
{
    (void)q, (void)heads;
    return tsr_mul((size_t)step->max_ctx, sizeof(double));
}

/* One sequence's keys or values, page by page. */
typedef struct paged {
    const char *data; /* pages.k or pages.v */
    tsr_pages pages;
    const tsr_step *step;
    int64_t seq, head_dim;
    double scale; /* of fp8 codes, otherwise 1 */
} paged;

static double paged_at(const paged *p, int64_t head, int64_t pos, int64_t d)
{
    int64_t page = tsr_ref_page_of(p->pages, p->step, p->seq, pos);
    if (page < 0) return 0;
    return p->scale * tsr_load(p->data + page * p->pages.page_stride, p->pages.type,
                               tsr_ref_page_index(p->pages, p->head_dim, head, pos) + d);
}

/* One head of row r, which stands at position `last`. */
static void attend_row(tsr_view y, tsr_view x, const paged *k, const paged *v, tsr_heads h, int64_t head,
                       int64_t r, int64_t last, double *p)
{
    int64_t kv_head = head / (h.n_q / h.n_kv), col = head * h.head_dim;
    double max = -INFINITY, sum = 0;
    for (int64_t pos = 0; pos <= last; pos++) {
        double score = 0;
        for (int64_t d = 0; d < h.head_dim; d++)
            score += tsr_ref_at(x, r, col + d) * paged_at(k, kv_head, pos, d);
        p[pos] = score * h.scale;
        max = fmax(max, p[pos]);
    }
    for (int64_t pos = 0; pos <= last; pos++) sum += p[pos] = exp(p[pos] - max);
    for (int64_t d = 0; d < h.head_dim; d++) {
        double value = 0;
        for (int64_t pos = 0; pos <= last; pos++) value += p[pos] * paged_at(v, kv_head, pos, d);
        tsr_ref_put(tsr_row(y, r), y.type, col + d, value / sum);
    }
}

void tsr_ref_kv_attend(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                       const tsr_step *step)
{
    bool scaled = pages.type == TSR_FP8;
    for (int64_t i = 0; i < step->n_seqs; i++) {
        paged k = {pages.k, pages, step, i, heads.head_dim, scaled ? *pages.k_scale : 1};
        paged v = {pages.v, pages, step, i, heads.head_dim, scaled ? *pages.v_scale : 1};
        for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++)
            for (int64_t head = 0; head < heads.n_q; head++)
                attend_row(y, x, &k, &v, heads, head, t, step->pos[i] + t - step->spans.start[i], q->work);
    }
}
