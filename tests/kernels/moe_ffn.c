/* tests/kernels/moe_ffn.c: rows through their experts: some experts get no row, some all. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t rows = kt_model(t, kt_pick(t, 0, 1, 2, 5, 33), 1, 64);
    int64_t n_in = kt_model(t, kt_pick(t, 16, 60, 130), 2688), m = kt_model(t, kt_pick(t, 16, 50, 129), 1856);
    int64_t d = kt_model(t, kt_pick(t, 16, 64, 100), 2688), n_experts = kt_model(t, kt_pick(t, 1, 2, 8), 16);
    int64_t top_k = kt_model(t, kt_pick(t, 1, 2, n_experts), 6);
    if (top_k > n_experts) top_k = n_experts;
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_pick(t, TSR_F32, TSR_BF16, TSR_FP8), TSR_BF16);
    kt_rowwise(t, rows);
    kt_stream(t);

    kt_weight_opts o = {.type = type, .rows = m, .cols = n_in, .experts = (int)n_experts};
    if (type == TSR_FP8) {
        o.scaled = (tsr_scale_kind)kt_pick(t, TSR_SCALE_TENSOR, TSR_SCALE_ROW);
        o.input =
            (tsr_input_mode)kt_pick(t, TSR_INPUT_KEEP, TSR_INPUT_KEEP, TSR_INPUT_STATIC, TSR_INPUT_DYNAMIC);
        o.input_scale = 0.02f;
        o.equal_scales = kt_chance(t, 50);
    }
    tsr_weight up = kt_weight(t, o);
    o.rows = d;
    o.cols = m;
    tsr_weight down = kt_weight(t, o);

    tsr_dtype t_type = kt_flt(t);
    tsr_view u = kt_in(t, t_type, rows, n_in);
    tsr_view ids = kt_in(t, TSR_I32, rows, top_k), gates = kt_in_range(t, TSR_F32, rows, top_k, 0.05, 1);
    for (int64_t r = 0; r < rows; r++) { /* different experts, often the same for many rows */
        int64_t first = kt_chance(t, 50) ? 0 : kt_int(t, 0, n_experts - 1);
        bool up_or_down = kt_chance(t, 50);
        for (int64_t i = 0; i < top_k; i++)
            kt_set(ids, r, i, (double)((first + (up_or_down ? i : n_experts - i)) % n_experts));
    }
    /* u, then relu^2 of a sum (twice its relative error), then a sum of those. */
    kt_tol tol = kt_worse(kt_worse(kt_sum(n_in), kt_sum(n_in)), kt_sum(m));
    if (type != TSR_F32) tol.terms += 9 * 0x1p-8;
    if (o.input != TSR_INPUT_KEEP) tol.terms += 9 * 0x1p-4;
    tsr_dtype y_type = kt_flt(t);
    bool same = kt_chance(t, 60);
    tsr_view y = same ? kt_inout(t, y_type, rows, d, "y", tol) : kt_out(t, y_type, rows, d, "y", tol);
    tsr_view add = same ? y : kt_in(t, kt_flt(t), rows, d);
    tsr_moe_ffn(t->q, kt_part(t, y), kt_part(t, u), &up, &down, kt_part(t, ids), kt_part(t, gates),
                kt_part(t, add));
}

const kt_case kt_case_moe_ffn = {
    .name = "moe_ffn", .run = run, .op = TSR_OP_MOE_FFN, .loads = true, .seeds = 60, .benches = 2};
