/* kernels/cpu/attend.c: full softmax attention inside spans. Compiled per level. */
#include <assert.h>

#include "kernels/cpu/flash.h"
#include "kernels/cpu/simple.h"

typedef struct attend_job {
    tsr_pool *pool;
    tsr_view y, qkv;
    tsr_heads heads;
    tsr_spans spans;
    int64_t n_parts; /* of the longest span */
    int64_t part;    /* rows of q in a task */
} attend_job;

static const void *at(tsr_view x, int64_t r, int64_t c)
{
    return (const char *)tsr_row(x, r) + (size_t)c * tsr_dtype_bytes(x.type);
}

/* Rows of qkv lie pages apart, where no hardware looks ahead. */
enum { AHEAD = 16 };

INLINE void fetch_row(const void *row, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)row + i);
}

static void pack_keys(flash *f, tsr_view qkv, int64_t k_col, int64_t v_col, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < n) {
            fetch_row(at(qkv, first + i + AHEAD, k_col), (size_t)f->dim * tsr_dtype_bytes(qkv.type));
            fetch_row(at(qkv, first + i + AHEAD, v_col), (size_t)f->dim * tsr_dtype_bytes(qkv.type));
        }
        widen(f->row + i * f->ld, at(qkv, first + i, k_col), qkv.type, f->dim);
        widen(f->v + i * f->ld, at(qkv, first + i, v_col), qkv.type, f->dim);
    }
    int64_t padded = round_lanes(n);
    memset(f->row + n * f->ld, 0, (size_t)((padded - n) * f->ld) * sizeof *f->row);
    transpose(f->k, FLASH_KEYS, f->row, f->ld, padded, f->dim);
}

/* Some rows of one span and head. */
static void attend_task(void *arg, int64_t task, int worker)
{
    const attend_job *j = arg;
    const tsr_heads h = j->heads;
    int64_t part = task % j->n_parts, head = task / j->n_parts % h.n_q, span = task / j->n_parts / h.n_q;
    int64_t begin = j->spans.start[span], end = j->spans.start[span + 1];
    int64_t first = begin + part * j->part, last = first + j->part < end ? first + j->part : end;
    if (first >= last) return;
    int64_t kv_head = head / (h.n_q / h.n_kv), q_col = head * h.head_dim;
    int64_t k_col = (h.n_q + kv_head) * h.head_dim, v_col = (h.n_q + h.n_kv + kv_head) * h.head_dim;

    flash f = flash_open(tsr_pool_scratch(j->pool, worker), h.head_dim);
    memset(f.v, 0, (size_t)(FLASH_KEYS * f.ld) * sizeof *f.v);
    for (int64_t r = first; r < last; r++)
        flash_query(&f, r - first, at(j->qkv, r, q_col), j->qkv.type, h.scale, end - begin);
    for (int64_t key = begin; key < end; key += FLASH_KEYS) {
        int64_t n = end - key < FLASH_KEYS ? end - key : FLASH_KEYS;
        pack_keys(&f, j->qkv, k_col, v_col, key, n);
        flash_block(&f, last - first, key - begin, n);
    }
    for (int64_t r = first; r < last; r++)
        flash_finish(&f, r - first, (void *)at(j->y, r, q_col), j->y.type, 1);
}

void TSR_AT(tsr_cpu_attend)(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans)
{
    assert(heads.head_dim <= FLASH_MAX_DIM);
    attend_job j = {.pool = q->pool, .y = y, .qkv = qkv, .heads = heads, .spans = spans};
    int64_t max_rows = flash_max_rows(heads.head_dim);
    j.n_parts = (spans.max_rows + max_rows - 1) / max_rows;
    if (!j.n_parts) return;
    j.part = (spans.max_rows + j.n_parts - 1) / j.n_parts;
    tsr_pool_run(q->pool, spans.n * heads.n_q * j.n_parts, attend_task, &j);
}
