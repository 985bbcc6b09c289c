/* tests/kernels/kv_attend.c: causal attention over scattered pages; what was not written is NaN. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    bool usual = kt_chance(t, 40) && t->bench < 0;
    tsr_heads h = usual ? kt_heads_usual(t) : kt_heads(t);
    kt_step_opts o = kt_step_long(t);
    o.page_tokens = usual ? kt_pick(t, 16, 64) : kt_model(t, kt_pick(t, 1, 4, 16, 64), 64);
    if (!usual && t->bench < 0 && kt_chance(t, 10)) { /* a context in several pieces */
        h = (tsr_heads){4 * h.n_kv, h.n_kv, 16, 0.25f};
        o.max_pos = 1300;
    }
    kt_steps k = kt_step(t, o);
    tsr_dtype kv = (tsr_dtype)kt_model(t, kt_page_type(t), TSR_BF16);
    kt_paged p = kt_pages(t, &k, h, kv, false);
    tsr_view x = kt_in(t, usual ? TSR_BF16 : kt_flt(t), k.all.n_rows, h.n_q * h.head_dim);
    double score = 1;
    if (kt_chance(t, 30)) { /* sharp: a few keys carry everything */
        score = 20;
        for (int64_t r = 0; r < x.rows; r++)
            for (int64_t c = 0; c < x.cols; c++) kt_set(x, r, c, 20 * kt_at(x, r, c));
    }
    kt_tol tol = kt_attend(h.head_dim, k.all.max_ctx, score, kv);
    tsr_view y = kt_out(t, kt_flt(t), k.all.n_rows, h.n_q * h.head_dim, "y", tol);
    double *size = kt_size(t, y);
    if (size) kt_paged_size(size, &k, h, &p, x, (tsr_view){0});
    tsr_kv_attend(t->q, kt_part(t, y), kt_part(t, x), p.pages, h, &k.part);
}

const kt_case kt_case_kv_attend = {
    .name = "kv_attend", .run = run, .op = TSR_OP_KV_ATTEND, .seeds = 60, .benches = 2};
