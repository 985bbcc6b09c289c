/* tests/kernels/pages.c: KV pages: blocks of other layers' data with one layer's keys and values somewhere inside. */
#include <math.h>

#include "tests/kernels/kt.h"

tsr_heads kt_heads(kt *t)
{
    tsr_heads h = {.n_kv = kt_model(t, kt_pick(t, 1, 2, 3), 8),
                   .head_dim = kt_model(t, kt_pick(t, 8, 16, 64, 128), 128)};
    h.n_q = h.n_kv * kt_model(t, kt_pick(t, 1, 2, 4, 16), 4);
    if (t->bench < 0 && h.n_q * h.head_dim > 512) h.n_q = h.n_kv;
    h.scale = (float)(1 / sqrt((double)h.head_dim));
    return h;
}

tsr_dtype kt_page_type(kt *t)
{
    return (tsr_dtype)kt_pick(t, TSR_F32, TSR_BF16, TSR_FP8);
}

static const float *page_scale(kt *t)
{
    tsr_view scale = kt_in_range(t, TSR_F32, 1, 1, 0.004, 0.02);
    return scale.data;
}

/* Put sequence i's tokens before `ctx` into the pages. */
static void fill_context(kt *t, kt_paged *p, const kt_steps *k, tsr_heads h, int64_t i, int64_t ctx)
{
    double k_scale = p->pages.k_scale ? *p->pages.k_scale : 1;
    double v_scale = p->pages.v_scale ? *p->pages.v_scale : 1;
    for (int64_t pos = 0; pos < ctx; pos++) {
        int64_t page = k->all.pages[i * k->all.max_pages + pos / k->page_tokens];
        for (int64_t head = 0; head < h.n_kv && page >= 0; head++) {
            int64_t at = (head * k->page_tokens + pos % k->page_tokens) * h.head_dim;
            for (int64_t d = 0; d < h.head_dim; d++) {
                kt_set(p->block, page, p->k_at + at + d, kt_normal(t) / k_scale);
                kt_set(p->block, page, p->v_at + at + d, kt_normal(t) / v_scale);
            }
        }
    }
}

kt_paged kt_pages(kt *t, const kt_steps *k, tsr_heads h, tsr_dtype type, bool written)
{
    int64_t each = h.n_kv * k->page_tokens * h.head_dim;
    kt_paged p = {.k_at = kt_int(t, 0, 9)};
    p.v_at = p.k_at + each + kt_int(t, 0, 9);
    int64_t cols = p.v_at + each + kt_int(t, 0, 9);
    p.block =
        written ? kt_inout(t, type, k->n_pages, cols, "pages", kt_exact()) : kt_in(t, type, k->n_pages, cols);
    if (written) kt_own(t, p.block, k->page_owner);
    size_t bytes = tsr_dtype_bytes(type);
    p.pages = (tsr_pages){.k = (char *)p.block.data + (size_t)p.k_at * bytes,
                          .v = (char *)p.block.data + (size_t)p.v_at * bytes,
                          .page_stride = p.block.stride * (int64_t)bytes,
                          .page_tokens = k->page_tokens,
                          .type = type};
    if (type == TSR_FP8) {
        p.pages.k_scale = page_scale(t);
        p.pages.v_scale = page_scale(t);
        t->fp8_pages = true;
    }
    for (int64_t page = 0; page < k->n_pages; page++) kt_fill_row(p.block, page, NAN);
    for (int64_t i = 0; i < k->all.n_seqs; i++) {
        int64_t rows = k->all.spans.start[i + 1] - k->all.spans.start[i];
        fill_context(t, &p, k, h, i, k->all.pos[i] + (written ? 0 : rows));
    }
    return p;
}
