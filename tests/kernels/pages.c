/* tests/kernels/pages.c: KV pages: blocks of other layers' data with one layer's keys and values somewhere inside. */
#include <math.h>
#include <stdlib.h>

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

tsr_heads kt_heads_usual(kt *t)
{
    tsr_heads h = {.n_kv = kt_pick(t, 1, 2), .head_dim = kt_pick(t, 64, 128)};
    h.n_q = h.n_kv * kt_pick(t, 1, 4, 8);
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
    bool aligned = kt_chance(t, 60); /* as the pool lays them out; otherwise anywhere */
    kt_paged p = {.k_at = aligned ? 64 : kt_int(t, 0, 9)};
    p.v_at = aligned ? p.k_at + (each + 63) / 64 * 64 : p.k_at + each + kt_int(t, 0, 9);
    int64_t cols = p.v_at + each + kt_int(t, 0, 9);
    if (aligned) cols = (cols + 63) / 64 * 64;
    if (written)
        p.block = (aligned ? kt_inout_dense : kt_inout)(t, type, k->n_pages, cols, "pages", kt_exact());
    else
        p.block = (aligned ? kt_dense : kt_in)(t, type, k->n_pages, cols);
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

void kt_attend_size(double *size, const double *query, const double *keys, const double *values, int64_t n,
                    int64_t d, double scale)
{
    double max = -INFINITY, total = 0;
    double *weight = calloc((size_t)n, sizeof *weight);
    if (!weight) exit(1);
    for (int64_t p = 0; p < n; p++) {
        for (int64_t c = 0; c < d; c++) weight[p] += query[c] * keys[p * d + c] * scale;
        max = fmax(max, weight[p]);
    }
    for (int64_t c = 0; c < d; c++) size[c] = 0;
    for (int64_t p = 0; p < n; p++) {
        double w = exp(weight[p] - max);
        total += w;
        for (int64_t c = 0; c < d; c++) size[c] += w * w * values[p * d + c] * values[p * d + c];
    }
    for (int64_t c = 0; c < d; c++) size[c] = sqrt(size[c]) / total;
    free(weight);
}

/* Keys (or values) of one head of sequence i, [ctx][d]; new rows from qkv if it has any. */
static void gather_head(double *to, const kt_steps *k, tsr_heads h, const kt_paged *p, int64_t i,
                        int64_t head, bool key, tsr_view qkv)
{
    int64_t pos = k->all.pos[i], first = k->all.spans.start[i], ctx = pos + k->all.spans.start[i + 1] - first;
    const float *scale = key ? p->pages.k_scale : p->pages.v_scale;
    for (int64_t t = 0; t < ctx; t++)
        for (int64_t c = 0; c < h.head_dim; c++) {
            int64_t page = k->all.pages[i * k->all.max_pages + t / k->page_tokens];
            int64_t at = (head * k->page_tokens + t % k->page_tokens) * h.head_dim + c;
            double *here = &to[t * h.head_dim + c];
            if (page < 0)
                *here = 0;
            else if (t >= pos && qkv.rows)
                *here = kt_at(qkv, first + t - pos, (h.n_q + (key ? 0 : h.n_kv) + head) * h.head_dim + c);
            else
                *here = kt_at(p->block, page, (key ? p->k_at : p->v_at) + at) * (scale ? *scale : 1);
        }
}

void kt_paged_size(double *size, const kt_steps *k, tsr_heads h, const kt_paged *p, tsr_view x, tsr_view qkv)
{
    int64_t d = h.head_dim, group = h.n_q / h.n_kv;
    double *keys = calloc((size_t)(2 * k->all.max_ctx * d + d), sizeof *keys);
    if (!keys) exit(1);
    double *values = keys + k->all.max_ctx * d, *query = values + k->all.max_ctx * d;
    for (int64_t i = 0; i < k->all.n_seqs; i++)
        for (int64_t head = 0; head < h.n_kv; head++) {
            gather_head(keys, k, h, p, i, head, true, qkv);
            gather_head(values, k, h, p, i, head, false, qkv);
            for (int64_t r = k->all.spans.start[i]; r < k->all.spans.start[i + 1]; r++)
                for (int64_t j = head * group; j < (head + 1) * group; j++) {
                    for (int64_t c = 0; c < d; c++) query[c] = kt_at(x, r, j * d + c);
                    kt_attend_size(size + r * h.n_q * d + j * d, query, keys, values,
                                   k->all.pos[i] + r - k->all.spans.start[i] + 1, d, h.scale);
                }
        }
    free(keys);
}
