/* tests/kernels/norm.c: RMSNorm and LayerNorm into every form. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t rows = kt_model(t, kt_pick(t, 0, 1, 2, 5, kt_int(t, 1, 40)), 1, 1025);
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 16, 80, 129, 896, 1024, 1280, 4096, 8192), 4096, 1024);
    bool centred = kt_chance(t, 50), bias = kt_chance(t, 50), in_place = kt_chance(t, 20);
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32);
    kt_rowwise(t, rows);

    /* RMSNorm cancels nothing, so its error is a part of each element; LayerNorm subtracts first. */
    tsr_norm_weight w = kt_norm_weight(t, d, centred, bias);
    kt_tol tol = kt_sum(d);
    if (in_place && t->bench < 0) {
        tsr_view x = kt_inout(t, type, rows, d, "y", tol);
        kt_stress(t, x, true);
        tsr_norm(t->q, kt_part(t, x), kt_part(t, x), &w);
        return;
    }
    tsr_view x = kt_in(t, type, rows, d);
    kt_stress(t, x, true);
    if (kt_chance(t, 20)) /* a mean far from zero */
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < d; c++) kt_set(x, r, c, kt_at(x, r, c) + 8);
    tsr_view y = t->bench < 0 ? kt_out_any(t, rows, d, "y", tol) : kt_out(t, type, rows, d, "y", tol);
    tsr_norm(t->q, kt_part(t, y), kt_part(t, x), &w);
}

const kt_case kt_case_norm = {.name = "norm", .run = run, .op = TSR_OP_NORM, .seeds = 60, .benches = 2};
