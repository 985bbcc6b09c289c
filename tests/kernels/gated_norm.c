/* tests/kernels/gated_norm.c: the gate, then RMS over groups. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    tsr_mixer m = kt_mixer(t);
    int64_t rows = kt_model(t, kt_pick(t, 0, 1, 2, 9), 1, 512), d = tsr_mixer_d(&m);
    kt_rowwise(t, rows);
    kt_tol tol = kt_sum(d / m.n_groups);
    tol.relative += 0x1p-20; /* the exponential of silu */
    tsr_view z = kt_in(t, (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32), rows, d);
    if (rows && kt_chance(t, 30)) /* gates that are open or shut altogether */
        for (int64_t c = 0; c < d; c++) kt_set(z, 0, c, kt_pick(t, -200, -88, -20, 20, 88, 200));
    if (kt_chance(t, 20) && t->bench < 0) {
        tsr_view x = kt_inout(t, TSR_F32, rows, d, "y", tol);
        kt_stress(t, x, false);
        tsr_gated_norm(t->q, kt_part(t, x), kt_part(t, x), kt_part(t, z), &m);
        return;
    }
    tsr_view x = kt_in(t, TSR_F32, rows, d);
    kt_stress(t, x, true);
    tsr_view y = t->bench < 0 ? kt_out_any(t, rows, d, "y", tol) : kt_out(t, TSR_F32, rows, d, "y", tol);
    tsr_gated_norm(t->q, kt_part(t, y), kt_part(t, x), kt_part(t, z), &m);
}

const kt_case kt_case_gated_norm = {
    .name = "gated_norm", .run = run, .op = TSR_OP_GATED_NORM, .seeds = 60, .benches = 2};
