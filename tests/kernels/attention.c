/* tests/kernels/attention.c: kv_write and kv_attend in one, against their composition on ref. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    bool usual = kt_chance(t, 40) && t->bench < 0;
    tsr_heads h = usual ? kt_heads_usual(t) : kt_heads(t);
    kt_step_opts o = kt_step_long(t);
    o.page_tokens = usual ? kt_pick(t, 16, 64) : kt_model(t, kt_pick(t, 1, 4, 16, 64), 64);
    kt_steps k = kt_step(t, o);
    tsr_dtype kv = (tsr_dtype)kt_model(t, kt_page_type(t), TSR_BF16);
    kt_paged p = kt_pages(t, &k, h, kv, true);
    t->q->type = kt_flt(t);
    tsr_view qkv = kt_in(t, usual ? TSR_BF16 : kt_flt(t), k.all.n_rows, (h.n_q + 2 * h.n_kv) * h.head_dim);
    kt_tol tol = kt_attend(h.head_dim, k.all.max_ctx, 1, kv);
    tol.relative += 0x1p-7; /* an FP8 output passes through the queue's type, which may be bf16 */
    tsr_view y = kt_out_any(t, k.all.n_rows, h.n_q * h.head_dim, "y", tol);
    double *size = kt_size(t, y);
    if (size) kt_paged_size(size, &k, h, &p, qkv, qkv);
    tsr_attention(t->q, kt_part(t, y), kt_part(t, qkv), p.pages, h, &k.part);
}

const kt_case kt_case_attention = {.name = "attention",
                                   .run = run,
                                   .op = TSR_OP_ATTENTION,
                                   .calls =
                                       1u << TSR_OP_KV_WRITE | 1u << TSR_OP_KV_ATTEND | 1u << TSR_OP_CONVERT,
                                   .seeds = 40,
                                   .benches = 2};
