/* kernels/cpu/kv_write.c: new keys and values into their pages. Compiled per level. */
#include "kernels/cpu/paged.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

typedef struct write_job {
    tsr_pages pages;
    tsr_view k, v;
    tsr_heads heads;
    const tsr_step *step;
} write_job;

static void put_codes(uint8_t *to, float scale, const void *from, tsr_dtype type, int64_t n)
{
    float piece[256];
    for (int64_t at = 0; at < n; at += 256) {
        int64_t some = n - at < 256 ? n - at : 256;
        widen(piece, (const char *)from + (size_t)at * tsr_dtype_bytes(type), type, some);
        for (int64_t i = 0; i < some; i++) to[at + i] = tsr_to_fp8(piece[i] / scale);
    }
}

static void put_head(void *to, tsr_dtype type, const float *scale, tsr_view x, int64_t t, int64_t col,
                     int64_t n)
{
    const char *from = (const char *)tsr_row(x, t) + (size_t)col * tsr_dtype_bytes(x.type);
    if (type == TSR_FP8)
        put_codes(to, *scale, from, x.type, n);
    else if (x.type == type)
        memcpy(to, from, (size_t)n * tsr_dtype_bytes(type));
    else if (type == TSR_F32)
        widen(to, from, x.type, n);
    else
        narrow(to, type, (const float *)from, n);
}

static void write_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const write_job *j = arg;
    int64_t seq = task / j->heads.n_kv, head = task % j->heads.n_kv, dim = j->heads.head_dim;
    int64_t first = j->step->spans.start[seq];
    for (int64_t t = first; t < j->step->spans.start[seq + 1]; t++) {
        tsr_paged at = tsr_paged_at(j->pages, dim, j->step, seq, head, j->step->pos[seq] + t - first);
        if (!at.k) continue;
        put_head(at.k, j->pages.type, j->pages.k_scale, j->k, t, head * dim, dim);
        put_head(at.v, j->pages.type, j->pages.v_scale, j->v, t, head * dim, dim);
    }
}

void TSR_AT(tsr_cpu_kv_write)(tsr_queue *q, tsr_pages pages, tsr_view k, tsr_view v, tsr_heads heads,
                              const tsr_step *step)
{
    tsr_pool_run(q->pool, step->n_seqs * heads.n_kv, write_task, &(write_job){pages, k, v, heads, step});
}
