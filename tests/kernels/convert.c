/* tests/kernels/convert.c: every form into every other, exactly. */
#include <math.h>

#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t rows = kt_model(t, kt_pick(t, 0, 1, 3, kt_int(t, 1, 30)), 512);
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 80, 127, 128, 129, 300, 1024), 4096);
    kt_rowwise(t, rows);
    tsr_view x;
    bool from_fp8 = kt_chance(t, 30) && t->bench < 0;
    if (from_fp8) {
        x = kt_in_fp8(t, (tsr_scale_kind)kt_pick(t, TSR_SCALE_TENSOR, TSR_SCALE_ROW, TSR_SCALE_BLOCK), rows,
                      d);
    } else {
        x = kt_in(t, (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32), rows, d);
        kt_stress(t, x, true);
    }
    /* Two roundings instead of one may end a step away: code times scale has more bits than f32 keeps. */
    kt_tol tol = from_fp8 ? kt_ulp(1) : kt_exact();
    if (t->bench >= 0 || kt_chance(t, 50)) {
        tsr_view y = t->bench >= 0 ? kt_out_fp8(t, TSR_SCALE_ROW, 0, rows, d, "y", tol)
                                   : kt_out_any(t, rows, d, "y", tol);
        tsr_convert(t->q, kt_part(t, y), kt_part(t, x));
        return;
    }
    /* Edges of E4M3 under a scale of a power of two: ties, the largest, just above it, subnormals, zeros. */
    float scale = (float)ldexp(1, (int)kt_int(t, -8, 3));
    static const double edges[] = {448,         449,    463,    464,    465,     480,      1e6,
                                   INFINITY,    0,      -0.0,   0x1p-9, 0x1p-10, 0x1.8p-9, 0x1.8p-10,
                                   0x1.001p-10, 1.0625, 1.1875, 17,     19,      0x1.cp-7};
    for (int64_t r = 0; r < rows && !from_fp8; r++)
        for (int64_t c = 0; c < d; c++) {
            double edge = edges[kt_int(t, 0, sizeof edges / sizeof *edges - 1)] * scale;
            kt_set(x, r, c, kt_chance(t, 50) ? edge : -edge);
        }
    tsr_view y = kt_out_fp8(t, TSR_SCALE_TENSOR, scale, rows, d, "y", tol);
    tsr_convert(t->q, kt_part(t, y), kt_part(t, x));
}

const kt_case kt_case_convert = {
    .name = "convert", .run = run, .op = TSR_OP_CONVERT, .seeds = 80, .benches = 1};
