/* kernels/ops.c: the front doors: shapes and types checked once, work counted, compositions spelled out. */
#include "kernels/ops.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/profile.h"

typedef struct timer {
    tsr_op_count *count;
    struct timespec began;
} timer;

/* Count one call of op with the weights `part`, NULL for none; true when the backend is to run. */
static bool begin(tsr_queue *q, timer *t, tsr_op_id op, const char *part, double flops, double bytes)
{
    t->count = &q->counts[op];
    t->count->calls++;
    t->count->flops += flops;
    t->count->bytes += bytes;
    if (q->dry || q->failed) return false;
    if (q->profile) tsr_profile_begin(q->profile, op, part, flops, bytes);
    if (q->timed) clock_gettime(CLOCK_MONOTONIC, &t->began);
    return true;
}

static void end(tsr_queue *q, timer *t, tsr_op_id op)
{
    if (q->profile) tsr_profile_end(q->profile);
    if (q->ops->memory && (q->timed || q->sync_each)) {
        bool failed_before = q->failed;
        q->ops->memory->sync(q);
        if (q->sync_each && !failed_before && q->failed == TSR_E_DEVICE) {
            char what[sizeof q->message];
            memcpy(what, q->message, sizeof what);
            snprintf(q->message, sizeof q->message, "%s: %.*s", tsr_op_name(op), (int)sizeof what - 32, what);
        }
    }
    if (!q->timed) return;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    t->count->seconds +=
        (double)(now.tv_sec - t->began.tv_sec) + 1e-9 * (double)(now.tv_nsec - t->began.tv_nsec);
}

/* Run `call` as op `op` on the weights `part`, between the two above. */
#define RUN_PART(q, op, part, flops, bytes, call)                                                            \
    do {                                                                                                     \
        timer timer_;                                                                                        \
        if (begin(q, &timer_, op, part, flops, bytes)) {                                                     \
            call;                                                                                            \
            end(q, &timer_, op);                                                                             \
        }                                                                                                    \
    } while (0)
#define RUN(q, op, flops, bytes, call) RUN_PART(q, op, NULL, flops, bytes, call)

static double view_bytes(tsr_view v)
{
    return (double)v.rows * (double)v.cols * (double)tsr_dtype_bytes(v.type);
}

static double weight_bytes(const tsr_weight *w)
{
    return (double)w->n_experts * (double)w->rows * (double)w->cols * (double)tsr_dtype_bytes(w->type);
}

static bool is_empty(tsr_view v)
{
    return v.rows == 0 && v.cols == 0;
}

static bool is_any(tsr_view v)
{
    return tsr_is_flt(v) || (v.type == TSR_FP8 && v.scaled != TSR_SCALE_NONE);
}

static bool is_f32(tsr_view v)
{
    return v.type == TSR_F32 && v.scaled == TSR_SCALE_NONE;
}

static bool is_row(tsr_view v, int64_t cols)
{
    return is_f32(v) && v.rows == 1 && v.cols == cols;
}

void tsr_norm(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    bool fits = tsr_same_shape(y, x) && is_any(y) && tsr_is_flt(x) && is_row(w->w, x.cols) &&
                (is_empty(w->b) || is_row(w->b, x.cols));
    if (!tsr_expect(q, fits, "norm %s: y %s, x %s, w %s", w->name, TSR_SHAPE(y), TSR_SHAPE(x),
                    TSR_SHAPE(w->w)))
        return;
    RUN_PART(q, TSR_OP_NORM, w->name, 4.0 * (double)x.rows * (double)x.cols, view_bytes(x) + view_bytes(y),
             q->ops->norm(q, y, x, w));
}

void tsr_convert(tsr_queue *q, tsr_view y, tsr_view x)
{
    bool fits = tsr_same_shape(y, x) && is_any(y) && is_any(x);
    if (!tsr_expect(q, fits, "convert: y %s, x %s", TSR_SHAPE(y), TSR_SHAPE(x))) return;
    RUN(q, TSR_OP_CONVERT, 0, view_bytes(x) + view_bytes(y), q->ops->convert(q, y, x));
}

static bool weight_fits(const tsr_weight *w)
{
    bool typed = w->type == TSR_F32 || w->type == TSR_BF16 || w->type == TSR_F16 || w->type == TSR_FP8;
    return typed &&
           (w->scaled == TSR_SCALE_NONE || w->scaled == TSR_SCALE_TENSOR || w->scaled == TSR_SCALE_ROW);
}

void tsr_linear(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    bool fits = y.rows == x.rows && y.cols == w->rows && x.cols == w->cols && is_any(y) && is_any(x) &&
                weight_fits(w) && w->n_experts == 1 && (is_empty(o.gain) || is_row(o.gain, w->rows)) &&
                (is_empty(o.add) || (tsr_same_shape(o.add, y) && tsr_is_flt(o.add)));
    if (!tsr_expect(q, fits, "linear %s [%lld, %lld]: y %s, x %s, gain %s, add %s", w->name,
                    (long long)w->rows, (long long)w->cols, TSR_SHAPE(y), TSR_SHAPE(x), TSR_SHAPE(o.gain),
                    TSR_SHAPE(o.add)))
        return;

    tsr_mark mark = tsr_scratch_mark(q);
    bool fused = o.norm && !q->unfused && q->ops->fuses_norm && q->ops->fuses_norm(q, w, x.rows);
    if (o.norm && !fused) {
        tsr_view u = tsr_input_for(q, w, x.rows);
        tsr_norm(q, u, x, o.norm);
        tsr_tap(q, u, "%s", o.norm->name);
        x = u;
        o.norm = NULL;
    }
    tsr_view out = y;
    bool converts = !tsr_is_flt(y) && !(q->ops->linear_writes && q->ops->linear_writes(q, y, x, w));
    if (converts) y = tsr_scratch(q, q->type, y.rows, y.cols);
    if (q->watch && !q->dry && !q->failed) q->watch->linear(q->watch->user, w, x);
    q->work = q->ops->linear_work ? tsr_scratch_bytes(q, q->ops->linear_work(q, y, x, w)) : NULL;
    RUN_PART(q, TSR_OP_LINEAR, w->name, 2.0 * (double)x.rows * (double)w->rows * (double)w->cols,
             weight_bytes(w) + view_bytes(x) + view_bytes(y) + view_bytes(o.add),
             q->ops->linear(q, y, x, w, o));
    if (converts) tsr_convert(q, out, y);
    tsr_scratch_release(q, mark);
}

void tsr_embed(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image, const tsr_step *step)
{
    bool fits = tsr_is_flt(x) && x.rows == step->n_rows && x.cols == table->cols && weight_fits(table) &&
                table->n_experts == 1 && (is_empty(image) || (tsr_is_flt(image) && image.cols == x.cols));
    if (!tsr_expect(q, fits, "embed %s [%lld, %lld]: x %s, image rows %s, step of %lld rows", table->name,
                    (long long)table->rows, (long long)table->cols, TSR_SHAPE(x), TSR_SHAPE(image),
                    (long long)step->n_rows))
        return;
    RUN(q, TSR_OP_EMBED, 0, 2 * view_bytes(x), q->ops->embed(q, x, table, image, step));
}

void tsr_patchify(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid)
{
    int64_t n = grid.rows * grid.cols;
    int64_t per_patch = n > 0 && tiles.cols % (3 * n) == 0 ? tiles.cols / (3 * n) : -1; /* p * p */
    bool square = false;
    for (int64_t p = 1; p * p <= per_patch; p++) square = square || p * p == per_patch;
    bool fits = square && tiles.type == TSR_U8 && tsr_is_flt(y) && y.rows == tiles.rows * n &&
                y.cols >= 3 * per_patch && is_f32(table) && table.rows == 3 && table.cols == 256;
    if (!tsr_expect(q, fits, "patchify: y %s, tiles %s, table %s, grid %lld x %lld", TSR_SHAPE(y),
                    TSR_SHAPE(tiles), TSR_SHAPE(table), (long long)grid.rows, (long long)grid.cols))
        return;
    RUN(q, TSR_OP_PATCHIFY, 0, view_bytes(tiles) + view_bytes(y), q->ops->patchify(q, y, tiles, table, grid));
}

void tsr_vit_enter(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos)
{
    int64_t n_patches = pos.rows - prefix.rows;
    bool fits = n_patches > 0 && patches.rows % n_patches == 0 && tsr_is_flt(x) && tsr_is_flt(patches) &&
                is_f32(pos) && pos.cols == x.cols && patches.cols == x.cols &&
                (is_empty(prefix) || (is_f32(prefix) && prefix.cols == x.cols)) &&
                x.rows == patches.rows / n_patches * pos.rows;
    if (!tsr_expect(q, fits, "vit_enter: x %s, patches %s, prefix %s, pos %s", TSR_SHAPE(x),
                    TSR_SHAPE(patches), TSR_SHAPE(prefix), TSR_SHAPE(pos)))
        return;
    RUN(q, TSR_OP_VIT_ENTER, 0, view_bytes(patches) + view_bytes(x),
        q->ops->vit_enter(q, x, patches, prefix, pos));
}

void tsr_vit_leave(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches)
{
    int64_t each = n_prefix + n_patches;
    bool fits = n_prefix >= 0 && n_patches > 0 && x.rows % each == 0 && y.rows == x.rows / each * n_patches &&
                y.cols == x.cols && tsr_is_flt(x) && y.type == x.type && y.scaled == TSR_SCALE_NONE;
    if (!tsr_expect(q, fits, "vit_leave: y %s, x %s, %lld of %lld rows", TSR_SHAPE(y), TSR_SHAPE(x),
                    (long long)n_patches, (long long)each))
        return;
    RUN(q, TSR_OP_VIT_LEAVE, 0, 2 * view_bytes(y), q->ops->vit_leave(q, y, x, n_prefix, n_patches));
}

void tsr_gather(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row)
{
    bool fits = y.cols == x.cols && tsr_is_flt(x) && y.type == x.type && y.scaled == TSR_SCALE_NONE;
    if (!tsr_expect(q, fits, "gather: y %s, x %s", TSR_SHAPE(y), TSR_SHAPE(x))) return;
    RUN(q, TSR_OP_GATHER, 0, 2 * view_bytes(y), q->ops->gather(q, y, x, row));
}

static bool heads_fit(tsr_heads h)
{
    return h.n_kv > 0 && h.head_dim > 0 && h.n_q > 0 && h.n_q % h.n_kv == 0;
}

void tsr_attend(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans)
{
    bool fits = heads_fit(heads) && y.rows == qkv.rows && tsr_is_flt(y) && tsr_is_flt(qkv) &&
                y.cols == heads.n_q * heads.head_dim &&
                qkv.cols == (heads.n_q + 2 * heads.n_kv) * heads.head_dim && spans.max_rows <= y.rows;
    if (!tsr_expect(q, fits, "attend: y %s, qkv %s, %lld and %lld heads of %lld", TSR_SHAPE(y),
                    TSR_SHAPE(qkv), (long long)heads.n_q, (long long)heads.n_kv, (long long)heads.head_dim))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    q->work = q->ops->attend_work ? tsr_scratch_bytes(q, q->ops->attend_work(q, y, heads, spans)) : NULL;
    RUN(q, TSR_OP_ATTEND, 4.0 * (double)y.rows * (double)spans.max_rows * (double)y.cols,
        view_bytes(qkv) + view_bytes(y), q->ops->attend(q, y, qkv, heads, spans));
    tsr_scratch_release(q, mark);
}

void tsr_pixel_shuffle(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version)
{
    int64_t n = grid.rows * grid.cols;
    bool fits = grid.rows > 0 && grid.cols > 0 && grid.rows % 2 == 0 && grid.cols % 2 == 0 &&
                x.rows % n == 0 && y.rows * 4 == x.rows && y.cols == 4 * x.cols && tsr_is_flt(x) &&
                y.type == x.type && y.scaled == TSR_SCALE_NONE && (version == 1 || version == 2);
    if (!tsr_expect(q, fits, "pixel_shuffle: y %s, x %s, grid %lld x %lld, version %d", TSR_SHAPE(y),
                    TSR_SHAPE(x), (long long)grid.rows, (long long)grid.cols, version))
        return;
    RUN(q, TSR_OP_PIXEL_SHUFFLE, 0, 2 * view_bytes(y), q->ops->pixel_shuffle(q, y, x, grid, version));
}

static bool mixer_fits(const tsr_mixer *m)
{
    int64_t d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m);
    return m->n_heads > 0 && m->head_dim > 0 && m->n_groups > 0 && m->n_heads % m->n_groups == 0 &&
           m->d_state > 0 && m->chunk > 0 && is_f32(m->taps) && m->taps.rows == m->conv_width &&
           m->taps.cols == d_conv && is_row(m->conv_bias, d_conv) && is_row(m->a, m->n_heads) &&
           is_row(m->d, m->n_heads) && is_row(m->dt_bias, m->n_heads) && is_row(m->norm.w, d);
}

static bool step_fits(tsr_view v, const tsr_step *step)
{
    return v.rows == step->n_rows;
}

void tsr_conv(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv, const tsr_step *step)
{
    bool fits = mixer_fits(m) && step_fits(y, step) && tsr_same_shape(y, x) &&
                y.cols == tsr_mixer_d_conv(m) && is_f32(y) && tsr_is_flt(x) &&
                (conv.type == TSR_F32 || conv.type == TSR_BF16);
    if (!tsr_expect(q, fits, "conv %s: y %s, x %s, step of %lld rows", m->name, TSR_SHAPE(y), TSR_SHAPE(x),
                    (long long)step->n_rows))
        return;
    RUN(q, TSR_OP_CONV, 2.0 * (double)m->conv_width * (double)y.rows * (double)y.cols,
        view_bytes(x) + view_bytes(y), q->ops->conv(q, y, x, m, conv, step));
}

/* Bytes of SSM state that a step reads and writes. */
static double state_bytes(const tsr_mixer *m, tsr_slots ssm, const tsr_step *step)
{
    return 2.0 * (double)tsr_dtype_bytes(ssm.type) * (double)step->n_seqs * (double)tsr_mixer_d(m) *
           (double)m->d_state;
}

void tsr_scan(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
              const tsr_step *step)
{
    bool fits = mixer_fits(m) && step_fits(y, step) && step_fits(xbc, step) && step_fits(dt, step) &&
                is_f32(y) && is_f32(xbc) && tsr_is_flt(dt) && y.cols == tsr_mixer_d(m) &&
                xbc.cols == tsr_mixer_d_conv(m) && dt.cols == m->n_heads &&
                (ssm.type == TSR_F32 || ssm.type == TSR_F16);
    if (!tsr_expect(q, fits, "scan %s: y %s, xbc %s, dt %s, step of %lld rows", m->name, TSR_SHAPE(y),
                    TSR_SHAPE(xbc), TSR_SHAPE(dt), (long long)step->n_rows))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    q->work = q->ops->scan_work ? tsr_scratch_bytes(q, q->ops->scan_work(q, m, step)) : NULL;
    RUN(q, TSR_OP_SCAN, 6.0 * (double)y.rows * (double)y.cols * (double)m->d_state,
        view_bytes(xbc) + view_bytes(dt) + view_bytes(y) + state_bytes(m, ssm, step),
        q->ops->scan(q, y, xbc, dt, m, ssm, step));
    tsr_scratch_release(q, mark);
}

void tsr_gated_norm(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    bool fits = mixer_fits(m) && tsr_same_shape(y, x) && tsr_same_shape(x, z) && x.cols == tsr_mixer_d(m) &&
                is_any(y) && is_f32(x) && tsr_is_flt(z) && x.cols % m->n_groups == 0;
    if (!tsr_expect(q, fits, "gated_norm %s: y %s, x %s, z %s", m->name, TSR_SHAPE(y), TSR_SHAPE(x),
                    TSR_SHAPE(z)))
        return;
    RUN(q, TSR_OP_GATED_NORM, 8.0 * (double)x.rows * (double)x.cols,
        view_bytes(x) + view_bytes(z) + view_bytes(y), q->ops->gated_norm(q, y, x, z, m));
}

/* A dry walk has pages without an address, and so without scales. */
static bool pages_fit(const tsr_queue *q, tsr_pages p)
{
    bool scaled = (p.k_scale && p.v_scale) || q->dry;
    return p.page_tokens > 0 &&
           (p.type == TSR_F32 || p.type == TSR_BF16 || (p.type == TSR_FP8 && q->ops->fp8_pages && scaled));
}

void tsr_kv_write(tsr_queue *q, tsr_pages pages, tsr_view k, tsr_view v, tsr_heads heads,
                  const tsr_step *step)
{
    bool fits = heads_fit(heads) && pages_fit(q, pages) && step_fits(k, step) && tsr_same_shape(k, v) &&
                k.cols == heads.n_kv * heads.head_dim && tsr_is_flt(k) && tsr_is_flt(v) && k.type == v.type;
    if (!tsr_expect(q, fits, "kv_write: k %s, v %s, %lld heads of %lld, %s pages, step of %lld rows",
                    TSR_SHAPE(k), TSR_SHAPE(v), (long long)heads.n_kv, (long long)heads.head_dim,
                    tsr_dtype_name(pages.type), (long long)step->n_rows))
        return;
    if (q->watch && q->watch->keys && !q->dry && !q->failed) q->watch->keys(q->watch->user, k, v);
    RUN(q, TSR_OP_KV_WRITE, 0, view_bytes(k) * 4, q->ops->kv_write(q, pages, k, v, heads, step));
}

/* Multiply-adds and bytes of causal attention over the pages of a step, from its host integers: exact for one
 * sequence, an upper bound when lengths differ. */
static double attend_pairs(const tsr_step *step)
{
    double rows = (double)step->n_rows;
    return rows * ((double)step->max_ctx - 0.5 * (double)(step->max_new - 1));
}

void tsr_kv_attend(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                   const tsr_step *step)
{
    bool fits = heads_fit(heads) && pages_fit(q, pages) && step_fits(y, step) && tsr_same_shape(y, x) &&
                y.cols == heads.n_q * heads.head_dim && tsr_is_flt(y) && tsr_is_flt(x) &&
                step->max_ctx <= step->max_pages * pages.page_tokens;
    if (!tsr_expect(q, fits,
                    "kv_attend: y %s, q %s, %lld and %lld heads of %lld, context %lld in %lld %s pages",
                    TSR_SHAPE(y), TSR_SHAPE(x), (long long)heads.n_q, (long long)heads.n_kv,
                    (long long)heads.head_dim, (long long)step->max_ctx, (long long)step->max_pages,
                    tsr_dtype_name(pages.type)))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    q->work = q->ops->kv_attend_work ? tsr_scratch_bytes(q, q->ops->kv_attend_work(q, heads, step)) : NULL;
    double kv = 2.0 * (double)step->n_seqs * (double)step->max_ctx * (double)(heads.n_kv * heads.head_dim) *
                (double)tsr_dtype_bytes(pages.type);
    RUN(q, TSR_OP_KV_ATTEND, 4.0 * attend_pairs(step) * (double)y.cols, kv + view_bytes(x) + view_bytes(y),
        q->ops->kv_attend(q, y, x, pages, heads, step));
    tsr_scratch_release(q, mark);
}

void tsr_moe_route(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *r)
{
    bool fits = ids.type == TSR_I32 && is_f32(gates) && tsr_is_flt(u) && tsr_same_shape(ids, gates) &&
                ids.rows == u.rows && ids.cols == r->top_k && r->top_k <= TSR_MAX_TOP_K && is_f32(r->w) &&
                r->w.cols == u.cols && is_row(r->bias, r->w.rows) && r->top_k <= r->w.rows;
    if (!tsr_expect(q, fits, "moe_route: ids %s, gates %s, u %s, w %s, top %lld", TSR_SHAPE(ids),
                    TSR_SHAPE(gates), TSR_SHAPE(u), TSR_SHAPE(r->w), (long long)r->top_k))
        return;
    RUN(q, TSR_OP_MOE_ROUTE, 2.0 * (double)u.rows * (double)u.cols * (double)r->w.rows,
        view_bytes(u) + view_bytes(r->w), q->ops->moe_route(q, ids, gates, u, r));
}

void tsr_moe_ffn(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                 tsr_view ids, tsr_view gates, tsr_view add)
{
    bool fits = tsr_is_flt(y) && tsr_is_flt(t) && tsr_is_flt(add) && tsr_same_shape(y, add) &&
                weight_fits(up) && weight_fits(down) && up->n_experts == down->n_experts &&
                up->cols == t.cols && down->cols == up->rows && down->rows == y.cols && ids.type == TSR_I32 &&
                is_f32(gates) && tsr_same_shape(ids, gates) && ids.rows == y.rows && t.rows == y.rows;
    if (!tsr_expect(q, fits, "moe_ffn %s: y %s, t %s, ids %s, add %s", up->name, TSR_SHAPE(y), TSR_SHAPE(t),
                    TSR_SHAPE(ids), TSR_SHAPE(add)))
        return;
    if (q->watch && !q->dry && !q->failed) q->watch->experts(q->watch->user, up, down, t, ids);
    tsr_mark mark = tsr_scratch_mark(q);
    q->work = q->ops->moe_ffn_work ? tsr_scratch_bytes(q, q->ops->moe_ffn_work(q, up, down, ids)) : NULL;
    double used = (double)(ids.rows * ids.cols < up->n_experts ? ids.rows * ids.cols : up->n_experts);
    RUN(q, TSR_OP_MOE_FFN, 4.0 * (double)ids.rows * (double)ids.cols * (double)up->rows * (double)up->cols,
        used / (double)up->n_experts * (weight_bytes(up) + weight_bytes(down)),
        q->ops->moe_ffn(q, y, t, up, down, ids, gates, add));
    tsr_scratch_release(q, mark);
}

void tsr_sample(tsr_queue *q, const tsr_step *step, tsr_view logits)
{
    bool fits = is_f32(logits) && logits.rows == step->n_logits && step->seen_words * 32 >= logits.cols;
    if (!tsr_expect(q, fits, "sample: logits %s for %lld rows", TSR_SHAPE(logits), (long long)step->n_logits))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    q->work = q->ops->sample_work ? tsr_scratch_bytes(q, q->ops->sample_work(q, logits)) : NULL;
    RUN(q, TSR_OP_SAMPLE, 0, view_bytes(logits), q->ops->sample(q, step, logits));
    tsr_scratch_release(q, mark);
}

void tsr_advance(tsr_queue *q, const tsr_step *step, const tsr_ring *ring)
{
    bool fits = step->n_decode == step->n_seqs && step->n_logits == step->n_seqs && ring->depth > 0;
    if (!tsr_expect(q, fits, "advance: %lld sequences, %lld of which decode, %lld rows of logits",
                    (long long)step->n_seqs, (long long)step->n_decode, (long long)step->n_logits))
        return;
    RUN(q, TSR_OP_ADVANCE, 0, 16.0 * (double)step->n_seqs, q->ops->advance(q, step, ring));
}

static bool block_in(tsr_blocks b, int64_t i)
{
    return i >= 0 && i < b.n;
}

void tsr_slot_copy(tsr_queue *q, tsr_blocks blocks, int64_t dst, int64_t src)
{
    if (!tsr_expect(q, block_in(blocks, dst) && block_in(blocks, src), "slot_copy: %lld to %lld of %lld",
                    (long long)src, (long long)dst, (long long)blocks.n))
        return;
    RUN(q, TSR_OP_SLOT_COPY, 0, 2.0 * (double)blocks.bytes, q->ops->slot_copy(q, blocks, dst, src));
}

void tsr_slot_read(tsr_queue *q, void *host, tsr_blocks blocks, int64_t i)
{
    if (!tsr_expect(q, block_in(blocks, i), "slot_read: %lld of %lld", (long long)i, (long long)blocks.n))
        return;
    RUN(q, TSR_OP_SLOT_READ, 0, (double)blocks.bytes, q->ops->slot_read(q, host, blocks, i));
}

void tsr_slot_write(tsr_queue *q, tsr_blocks blocks, int64_t i, const void *host)
{
    if (!tsr_expect(q, block_in(blocks, i), "slot_write: %lld of %lld", (long long)i, (long long)blocks.n))
        return;
    RUN(q, TSR_OP_SLOT_WRITE, 0, (double)blocks.bytes, q->ops->slot_write(q, blocks, i, host));
}

void tsr_mamba_mix(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                   const tsr_step *step)
{
    bool fits = mixer_fits(m) && step_fits(p, step) && step_fits(y, step) && tsr_is_flt(p) && is_any(y) &&
                p.cols == tsr_mixer_d_in(m) && y.cols == tsr_mixer_d(m) &&
                (s.ssm.type == TSR_F32 || s.ssm.type == TSR_F16);
    if (!tsr_expect(q, fits, "mamba_mix %s: y %s, p %s, step of %lld rows", m->name, TSR_SHAPE(y),
                    TSR_SHAPE(p), (long long)step->n_rows))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    if (q->ops->mamba_mix && !q->unfused) {
        q->work = q->ops->mamba_mix_work ? tsr_scratch_bytes(q, q->ops->mamba_mix_work(q, y, m, step)) : NULL;
        RUN(q, TSR_OP_MAMBA_MIX, 6.0 * (double)y.rows * (double)y.cols * (double)m->d_state,
            view_bytes(p) + view_bytes(y) + state_bytes(m, s.ssm, step),
            q->ops->mamba_mix(q, y, p, m, s, step));
        tsr_scratch_release(q, mark);
        return;
    }
    int64_t d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m);
    tsr_view xbc = tsr_scratch(q, TSR_F32, p.rows, d_conv);
    tsr_view h = tsr_scratch(q, TSR_F32, p.rows, d);
    tsr_conv(q, xbc, tsr_cols(p, d, d_conv), m, s.conv, step);
    tsr_tap(q, xbc, "%s.conv", m->name);
    tsr_scan(q, h, xbc, tsr_cols(p, d + d_conv, m->n_heads), m, s.ssm, step);
    tsr_tap(q, h, "%s.scan", m->name);
    tsr_gated_norm(q, y, h, tsr_cols(p, 0, d), m);
    tsr_scratch_release(q, mark);
}

void tsr_attention(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_pages pages, tsr_heads heads,
                   const tsr_step *step)
{
    int64_t d_q = heads.n_q * heads.head_dim, d_kv = heads.n_kv * heads.head_dim;
    bool fits = heads_fit(heads) && pages_fit(q, pages) && tsr_is_flt(qkv) && qkv.cols == d_q + 2 * d_kv &&
                y.cols == d_q && is_any(y) && step_fits(qkv, step) && step_fits(y, step);
    if (!tsr_expect(q, fits, "attention: y %s, qkv %s, %lld and %lld heads of %lld, %s pages", TSR_SHAPE(y),
                    TSR_SHAPE(qkv), (long long)heads.n_q, (long long)heads.n_kv, (long long)heads.head_dim,
                    tsr_dtype_name(pages.type)))
        return;
    tsr_mark mark = tsr_scratch_mark(q);
    if (q->ops->attention && !q->unfused) {
        q->work =
            q->ops->attention_work ? tsr_scratch_bytes(q, q->ops->attention_work(q, y, heads, step)) : NULL;
        RUN(q, TSR_OP_ATTENTION, 4.0 * attend_pairs(step) * (double)d_q, view_bytes(qkv) + view_bytes(y),
            q->ops->attention(q, y, qkv, pages, heads, step));
        tsr_scratch_release(q, mark);
        return;
    }
    tsr_view a = tsr_is_flt(y) ? y : tsr_scratch(q, q->type, y.rows, y.cols);
    tsr_kv_write(q, pages, tsr_cols(qkv, d_q, d_kv), tsr_cols(qkv, d_q + d_kv, d_kv), heads, step);
    tsr_kv_attend(q, a, tsr_cols(qkv, 0, d_q), pages, heads, step);
    if (!tsr_is_flt(y)) tsr_convert(q, y, a);
    tsr_scratch_release(q, mark);
}
