/* kernels/cpu/kv_attend.c: causal grouped-query attention over pages. Compiled per level.
 *
 * Prefill rows go through the blocks of flash.h; the query heads of one KV head are rows of one task. A decode
 * row is bound by reading K and V: its context is cut at multiples of SPLIT positions, each piece is attended
 * by itself, and the pieces are joined in order.
 */
#include <assert.h>

#include "kernels/cpu/flash.h"
#include "kernels/cpu/paged.h"
#include "kernels/cpu/simple.h"

enum { SPLIT = 512 };

typedef struct attend_job {
    tsr_pool *pool;
    tsr_view y, x;
    tsr_pages pages;
    tsr_heads heads;
    const tsr_step *step;
    float q_scale, y_scale; /* of scores and sums; the pages' own scales are in them */
    int64_t n_parts, part;  /* prefill: of the longest sequence; its rows */
    int64_t n_splits;       /* decode: of the longest context */
    float *pieces;          /* decode: [n_decode][n_splits][n_q][piece_floats] */
} attend_job;

static const void *query_at(const attend_job *j, int64_t t, int64_t head)
{
    return (const char *)tsr_row(j->x, t) + (size_t)(head * j->heads.head_dim) * tsr_dtype_bytes(j->x.type);
}

static void *result_at(const attend_job *j, int64_t t, int64_t head)
{
    return (char *)tsr_row(j->y, t) + (size_t)(head * j->heads.head_dim) * tsr_dtype_bytes(j->y.type);
}

/* ---------------------------------------------------------------- prefill ------------------------------- */

/* Positions first .. first + n - 1 into f->k and f->v. */
static void pack_keys(flash *f, const attend_job *j, int64_t seq, int64_t kv_head, int64_t first, int64_t n)
{
    size_t each = tsr_dtype_bytes(j->pages.type) * (size_t)f->dim;
    for (int64_t i = 0; i < n;) {
        tsr_paged at = tsr_paged_at(j->pages, f->dim, j->step, seq, kv_head, first + i);
        int64_t some = at.n < n - i ? at.n : n - i;
        for (int64_t k = 0; k < some; k++, i++) {
            if (at.k) {
                widen(f->row + i * f->ld, (const char *)at.k + (size_t)k * each, j->pages.type, f->dim);
                widen(f->v + i * f->ld, (const char *)at.v + (size_t)k * each, j->pages.type, f->dim);
            } else {
                memset(f->row + i * f->ld, 0, (size_t)f->dim * sizeof *f->row);
                memset(f->v + i * f->ld, 0, (size_t)f->dim * sizeof *f->v);
            }
        }
    }
    int64_t padded = round_lanes(n);
    memset(f->row + n * f->ld, 0, (size_t)((padded - n) * f->ld) * sizeof *f->row);
    transpose(f->k, FLASH_KEYS, f->row, f->ld, padded, f->dim);
}

/* Some rows of one sequence and some query heads of one KV head: row by row, head by head. */
static void prefill_rows(const attend_job *j, flash *f, int64_t seq, int64_t head, int64_t n_heads,
                         int64_t first, int64_t last)
{
    int64_t pos = j->step->pos[seq] - j->step->spans.start[seq], i = 0;
    for (int64_t t = first; t < last; t++)
        for (int64_t h = head; h < head + n_heads; h++)
            flash_query(f, i++, query_at(j, t, h), j->x.type, j->q_scale, pos + t + 1);
    for (int64_t key = 0; key < pos + last; key += FLASH_KEYS) {
        int64_t n = pos + last - key < FLASH_KEYS ? pos + last - key : FLASH_KEYS;
        pack_keys(f, j, seq, head / (j->heads.n_q / j->heads.n_kv), key, n);
        flash_block(f, i, key, n);
    }
    i = 0;
    for (int64_t t = first; t < last; t++)
        for (int64_t h = head; h < head + n_heads; h++)
            flash_finish(f, i++, result_at(j, t, h), j->y.type, j->y_scale);
}

static void prefill_task(void *arg, int64_t task, int worker)
{
    const attend_job *j = arg;
    int64_t part = task % j->n_parts, kv_head = task / j->n_parts % j->heads.n_kv;
    int64_t seq = j->step->n_decode + task / j->n_parts / j->heads.n_kv;
    int64_t begin = j->step->spans.start[seq], end = j->step->spans.start[seq + 1];
    int64_t first = begin + part * j->part, last = first + j->part < end ? first + j->part : end;
    if (first >= last) return;

    flash f = flash_open(tsr_pool_scratch(j->pool, worker), j->heads.head_dim);
    memset(f.v, 0, (size_t)(FLASH_KEYS * f.ld) * sizeof *f.v);
    int64_t group = j->heads.n_q / j->heads.n_kv, fit = f.max_rows / j->part;
    for (int64_t h = 0; h < group; h += fit)
        prefill_rows(j, &f, seq, kv_head * group + h, group - h < fit ? group - h : fit, first, last);
}

/* ---------------------------------------------------------------- decode -------------------------------- */

/* Query heads that read a key together. */
enum { TOGETHER = 4 };

/* What is left of a piece: the weighted sum of values [head_dim], the largest score, the sum of weights. */
static int64_t piece_floats(int64_t head_dim)
{
    return (head_dim + 2 + 15) / 16 * 16;
}

static float *piece_at(const attend_job *j, int64_t seq, int64_t split, int64_t head)
{
    return j->pieces + ((seq * j->n_splits + split) * j->heads.n_q + head) * piece_floats(j->heads.head_dim);
}

/* n of the elements from i on; n is at most LANES. */
INLINE vf load_kv(const void *data, tsr_dtype type, int64_t i, int64_t n)
{
    const float *f32 = (const float *)data + i;
    const uint16_t *bf16 = (const uint16_t *)data + i;
    const uint8_t *fp8 = (const uint8_t *)data + i;
    if (type == TSR_F32) return n >= LANES ? vf_load(f32) : vf_load_n(f32, n);
    if (type == TSR_BF16) return n >= LANES ? vf_load_bf16(bf16) : vf_load_bf16_n(bf16, n);
    return n >= LANES ? vf_load_fp8(fp8) : vf_load_fp8_n(fp8, n);
}

/* s[h * SPLIT + key] = q_h k for n keys; q is [heads][ld]. */
INLINE void scores_of(float *s, const float *q, int64_t ld, int heads, const void *k, tsr_dtype type,
                      int64_t n, int64_t dim)
{
    for (int64_t key = 0; key < n; key++) {
        vf sum[TOGETHER] = {{0}};
        for (int64_t d = 0; d < dim; d += LANES) {
            vf kd = load_kv(k, type, key * dim + d, dim - d);
            for (int h = 0; h < heads; h++) sum[h] = vf_fma(vf_load(q + h * ld + d), kd, sum[h]);
        }
        for (int h = 0; h < heads; h++) s[h * SPLIT + key] = vf_sum(sum[h]);
    }
}

/* y[h][d ..] += sum over keys of p[h * SPLIT + key] v[key][d ..], so many vectors of it. */
INLINE void values_of(float *y, int64_t ld, int heads, const float *p, const void *v, tsr_dtype type,
                      int64_t n, int64_t dim, int64_t d, int vecs)
{
    vf sum[TOGETHER][TILE_VECS];
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < vecs; i++) sum[h][i] = vf_load(y + h * ld + d + i * LANES);
    for (int64_t key = 0; key < n; key++)
        for (int i = 0; i < vecs; i++) {
            int64_t left = vecs > 1 ? LANES : dim - d;
            vf vd = load_kv(v, type, key * dim + d + i * LANES, left);
            for (int h = 0; h < heads; h++) sum[h][i] = vf_fma(vf_all(p[h * SPLIT + key]), vd, sum[h][i]);
        }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < vecs; i++) vf_store(y + h * ld + d + i * LANES, sum[h][i]);
}

/* Heads head .. head + heads - 1, of one KV head, over one piece of the context. */
INLINE void attend_piece(const attend_job *j, float *memory, int64_t seq, int64_t split, int64_t head,
                         int heads, tsr_dtype type)
{
    int64_t dim = j->heads.head_dim, ld = round_lanes(dim), kv_head = head / (j->heads.n_q / j->heads.n_kv);
    int64_t first = split * SPLIT, last = first + SPLIT, n_ctx = j->step->pos[seq] + 1;
    if (last > n_ctx) last = n_ctx;
    float *q = memory, *y = q + TOGETHER * ld, *s = y + TOGETHER * ld;
    memset(q, 0, (size_t)(2 * TOGETHER * ld) * sizeof *q);
    for (int64_t h = 0; h < heads; h++) {
        widen(q + h * ld, query_at(j, seq, head + h), j->x.type, dim);
        for (int64_t d = 0; d < dim; d++) q[h * ld + d] *= j->q_scale;
    }

    for (int64_t pos = first; pos < last;) {
        tsr_paged at = tsr_paged_at(j->pages, dim, j->step, seq, kv_head, pos);
        int64_t n = at.n < last - pos ? at.n : last - pos;
        if (at.k)
            scores_of(s + pos - first, q, ld, heads, at.k, type, n, dim);
        else
            for (int64_t h = 0; h < heads; h++) memset(s + h * SPLIT + pos - first, 0, (size_t)n * sizeof *s);
        pos += n;
    }
    for (int64_t h = 0; h < heads; h++) {
        float *end = piece_at(j, seq, split, head + h) + dim;
        end[0] = -INFINITY;
        end[1] = 0;
        flash_weights(s + h * SPLIT, last - first, last - first, &end[0], &end[1]);
    }
    for (int64_t pos = first; pos < last;) {
        tsr_paged at = tsr_paged_at(j->pages, dim, j->step, seq, kv_head, pos);
        int64_t n = at.n < last - pos ? at.n : last - pos, d = 0;
        const float *p = s + pos - first;
        for (; at.v && d + TILE_VECS * LANES <= dim; d += TILE_VECS * LANES)
            values_of(y, ld, heads, p, at.v, type, n, dim, d, TILE_VECS);
        for (; at.v && d < dim; d += LANES) values_of(y, ld, heads, p, at.v, type, n, dim, d, 1);
        pos += n;
    }
    for (int64_t h = 0; h < heads; h++)
        memcpy(piece_at(j, seq, split, head + h), y + h * ld, (size_t)dim * sizeof *y);
}

/* The type as a constant, so that each has its own loop. */
INLINE void attend_heads(const attend_job *j, float *memory, int64_t seq, int64_t split, int64_t head,
                         int heads)
{
    switch (j->pages.type) {
    case TSR_F32: attend_piece(j, memory, seq, split, head, heads, TSR_F32); break;
    case TSR_BF16: attend_piece(j, memory, seq, split, head, heads, TSR_BF16); break;
    default: attend_piece(j, memory, seq, split, head, heads, TSR_FP8); break;
    }
}

static void decode_task(void *arg, int64_t task, int worker)
{
    const attend_job *j = arg;
    int64_t kv_head = task % j->heads.n_kv, split = task / j->heads.n_kv % j->n_splits;
    int64_t seq = task / j->heads.n_kv / j->n_splits, group = j->heads.n_q / j->heads.n_kv;
    if (split * SPLIT > j->step->pos[seq]) return;
    float *memory = tsr_pool_scratch(j->pool, worker);
    int64_t head = kv_head * group, end = head + group;
    for (; head + TOGETHER <= end; head += TOGETHER) attend_heads(j, memory, seq, split, head, TOGETHER);
    for (; head < end; head++) attend_heads(j, memory, seq, split, head, 1);
}

/* All pieces of one sequence and head. */
static void join_task(void *arg, int64_t task, int worker)
{
    const attend_job *j = arg;
    int64_t seq = task / j->heads.n_q, head = task % j->heads.n_q, dim = j->heads.head_dim;
    int64_t n = j->step->pos[seq] / SPLIT + 1;
    float *y = tsr_pool_scratch(j->pool, worker), largest = -INFINITY, total = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, piece_at(j, seq, i, head)[dim]);
    memset(y, 0, (size_t)dim * sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        const float *piece = piece_at(j, seq, i, head);
        float share = expf(piece[dim] - largest);
        total += share * piece[dim + 1];
        for (int64_t d = 0; d < dim; d++) y[d] += share * piece[d];
    }
    for (int64_t d = 0; d < dim; d++) y[d] = y[d] / total * j->y_scale;
    narrow(result_at(j, seq, head), j->y.type, y, dim);
}

/* ---------------------------------------------------------------- both ---------------------------------- */

static int64_t splits_of(const tsr_step *step)
{
    return (step->max_ctx + SPLIT - 1) / SPLIT;
}

size_t TSR_AT(tsr_cpu_kv_attend_work)(const tsr_queue *q, tsr_heads heads, const tsr_step *step)
{
    (void)q;
    size_t pieces = tsr_mul((size_t)step->n_decode, tsr_mul((size_t)splits_of(step), (size_t)heads.n_q));
    return tsr_mul(pieces, (size_t)piece_floats(heads.head_dim) * sizeof(float));
}

void TSR_AT(tsr_cpu_kv_attend)(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                               const tsr_step *step)
{
    assert(heads.head_dim <= FLASH_MAX_DIM);
    bool scaled = pages.type == TSR_FP8;
    attend_job j = {.pool = q->pool,
                    .y = y,
                    .x = x,
                    .pages = pages,
                    .heads = heads,
                    .step = step,
                    .q_scale = scaled ? heads.scale * *pages.k_scale : heads.scale,
                    .y_scale = scaled ? *pages.v_scale : 1};
    if (step->n_decode) {
        j.pieces = q->work;
        j.n_splits = splits_of(step);
        tsr_pool_run(q->pool, step->n_decode * j.n_splits * heads.n_kv, decode_task, &j);
        tsr_pool_run(q->pool, step->n_decode * heads.n_q, join_task, &j);
    }
    if (step->n_seqs > step->n_decode && step->max_new) {
        int64_t rows = flash_max_rows(heads.head_dim) / (heads.n_q / heads.n_kv);
        if (rows < 1) rows = 1;
        j.n_parts = (step->max_new + rows - 1) / rows;
        j.part = (step->max_new + j.n_parts - 1) / j.n_parts;
        tsr_pool_run(q->pool, (step->n_seqs - step->n_decode) * heads.n_kv * j.n_parts, prefill_task, &j);
    }
}
