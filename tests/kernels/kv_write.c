/* tests/kernels/kv_write.c: new keys and values into scattered pages. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    tsr_heads h = kt_heads(t);
    kt_step_opts o = kt_step_draw(t, 8);
    o.page_tokens = kt_model(t, kt_pick(t, 1, 4, 16), 256);
    kt_steps k = kt_step(t, o);
    tsr_dtype type = kt_flt(t);
    tsr_dtype kv = (tsr_dtype)kt_model(t, kt_page_type(t), TSR_BF16);
    kt_paged p = kt_pages(t, &k, h, kv, true);
    tsr_view key = kt_in(t, type, k.all.n_rows, h.n_kv * h.head_dim);
    tsr_view value = kt_in(t, type, k.all.n_rows, h.n_kv * h.head_dim);
    tsr_kv_write(t->q, p.pages, kt_part(t, key), kt_part(t, value), h, &k.part);
}

const kt_case kt_case_kv_write = {
    .name = "kv_write", .run = run, .op = TSR_OP_KV_WRITE, .seeds = 60, .benches = 2};
