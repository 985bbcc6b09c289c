/* tests/kernels/linear.c: every weight type, form of x and y, and epilogue. */
#include <math.h>
#include <stdlib.h>

#include "tests/kernels/kt.h"

typedef struct setup {
    tsr_view x; /* what is multiplied, after norm */
    const tsr_weight *w;
    tsr_linear_opts o;
} setup;

/* The size of each element's terms: the root of the sum of their squares, carried through act and gain. */
static void fill_sizes(double *size, setup s)
{
    const tsr_weight *w = s.w;
    for (int64_t r = 0; r < s.x.rows; r++)
        for (int64_t j = 0; j < w->rows; j++) {
            double scale = w->scaled == TSR_SCALE_NONE ? 1 : w->scale[w->scaled == TSR_SCALE_ROW ? j : 0];
            bool clamps = w->input == TSR_INPUT_STATIC && s.x.scaled == TSR_SCALE_NONE;
            double most = clamps ? TSR_FP8_MAX * *w->input_scale : INFINITY;
            double sum = 0, squares = 0, bias = w->bias ? w->bias[j] : 0;
            for (int64_t k = 0; k < w->cols; k++) {
                double x = fmax(-most, fmin(most, kt_at(s.x, r, k)));
                double term = x * scale * tsr_load(w->data, w->type, j * w->cols + k);
                sum += term;
                squares += term * term;
            }
            double terms = sqrt(squares) + fabs(bias) * 0.1;
            if (s.o.act == TSR_GELU) terms *= 1.13; /* the largest slope of gelu */
            if (s.o.act == TSR_RELU2) terms *= 2 * fabs(sum + bias) + 0.1 * terms;
            if (s.o.gain.rows) terms *= fabs(kt_at(s.o.gain, 0, j));
            if (s.o.add.rows) terms += 0.1 * fabs(kt_at(s.o.add, r, j));
            size[r * w->rows + j] = isfinite(terms) ? terms : 0;
        }
}

/* x on the grid of E4M3 times a power of two, its largest value at the end of it in every row: rounding an input
 * of this kind changes nothing, so products are held to the narrow tolerance. */
static void put_on_grid(kt *t, tsr_view x, float scale)
{
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t c = 0; c < x.cols; c++) {
            double code = (double)kt_int(t, -15, 15) * ldexp(1, (int)kt_int(t, 0, 3)); /* at most 120 */
            kt_set(x, r, c, tsr_from_fp8(tsr_to_fp8((float)code)) * scale);
        }
        if (x.cols) kt_set(x, r, kt_int(t, 0, x.cols - 1), TSR_FP8_MAX * scale);
    }
}

static void run(kt *t)
{
    int64_t rows = kt_pick(t, 0, 1, 2, 3, 4, 5, 8, 16, 33, 63, 64, 65, 128, 257);
    int64_t n_in = kt_pick(t, 1, 7, 64, 80, 129, 256, 588, 1000, 2100);
    int64_t n_out = kt_pick(t, 1, 2, 15, 64, 65, 129, 200);
    if (kt_chance(t, 8))
        rows = kt_int(t, 1, 5), n_in = kt_pick(t, 4096, 21504), n_out = kt_pick(t, 1, 15, 65);
    if (kt_chance(t, 4)) rows = kt_int(t, 1, 17), n_in = kt_pick(t, 64, 129), n_out = 4096;
    if (rows * n_in * n_out > 7000000) rows = 1 + rows % 16;
    rows = kt_model(t, rows, 1, 1, 1, 512, 512, 1025);
    n_in = kt_model(t, n_in, 4096, 4096, 4096, 4096, 4096, 1024);
    n_out = kt_model(t, n_out, 8192, 8192, 8192, 4096, 4096, 4096);
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_pick(t, TSR_F32, TSR_BF16, TSR_F16, TSR_FP8, TSR_FP8),
                                         TSR_BF16, TSR_FP8, TSR_F32, TSR_BF16, TSR_FP8, TSR_BF16);
    kt_weight_opts wo = {.type = type, .rows = n_out, .cols = n_in};
    wo.parts = (int)kt_pick(t, 1, 1, 2, 3);
    wo.scaled = (tsr_scale_kind)kt_pick(t, TSR_SCALE_TENSOR, TSR_SCALE_ROW);
    if (type != TSR_FP8 && kt_chance(t, 80)) wo.scaled = TSR_SCALE_NONE;
    wo.equal_scales = kt_chance(t, 50);
    wo.bias = kt_chance(t, 50);
    wo.input =
        (tsr_input_mode)kt_pick(t, TSR_INPUT_KEEP, TSR_INPUT_KEEP, TSR_INPUT_STATIC, TSR_INPUT_DYNAMIC);
    wo.input_scale = (float)ldexp(1, (int)kt_int(t, -9, -5));
    if (type != TSR_FP8 || t->bench >= 0) wo.input = TSR_INPUT_KEEP;
    if (t->bench >= 0)
        wo.parts = 1, wo.bias = false, wo.scaled = type == TSR_FP8 ? TSR_SCALE_TENSOR : TSR_SCALE_NONE;

    kt_rowwise(t, rows);
    kt_stream(t);
    tsr_weight w = kt_weight(t, wo);

    bool grid = kt_chance(t, 50), fp8_x = kt_chance(t, 15) && t->bench < 0;
    tsr_dtype x_type = (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32);
    t->q->type = x_type;
    tsr_view x;
    if (fp8_x) {
        x = kt_in_fp8(t, (tsr_scale_kind)kt_pick(t, TSR_SCALE_TENSOR, TSR_SCALE_ROW, TSR_SCALE_BLOCK), rows,
                      n_in);
    } else {
        x = kt_in(t, x_type, rows, n_in);
        if (wo.input != TSR_INPUT_KEEP && grid)
            put_on_grid(t, x, wo.input_scale);
        else
            kt_stress(t, x, true);
        if (wo.input == TSR_INPUT_STATIC && rows && kt_chance(t, 50))
            kt_set(x, kt_int(t, 0, rows - 1), kt_int(t, 0, n_in - 1), 3e4); /* to be clamped */
    }

    /* A fused or a separate norm before: outputs of order 1, rounded to the queue's type or to FP8. */
    tsr_norm_weight norm = kt_norm_weight(t, n_in, kt_chance(t, 50), kt_chance(t, 50));
    bool normed = kt_chance(t, 25) && !fp8_x && t->bench < 0;

    tsr_linear_opts o = {.norm = normed ? &norm : NULL};
    o.act = (tsr_act)kt_model(t, kt_pick(t, TSR_LINEAR, TSR_LINEAR, TSR_GELU, TSR_RELU2), TSR_LINEAR);
    bool gain = kt_chance(t, 30), add = kt_chance(t, 40), same = kt_chance(t, 60);
    if (gain && t->bench < 0) o.gain = kt_dense(t, TSR_F32, 1, n_out);

    bool keeps_x = wo.input == TSR_INPUT_KEEP || fp8_x || (grid && !normed);
    bool to_bf16 = (x_type == TSR_F32 || fp8_x) && (type == TSR_BF16 || type == TSR_FP8);
    kt_tol tol = !keeps_x ? kt_fp8(n_in) : to_bf16 || normed ? kt_bf16(n_in) : kt_sum(n_in);
    /* Tensor cores multiply E4M3 by E4M3 with sums of 32 products, each of which is cut 13 bits below the largest:
     * sqrt(33 / 3) 2^-13 of that in the root mean square, three times over. */
    if (type == TSR_FP8 && wo.input != TSR_INPUT_KEEP) tol.terms += 0x1p-10;
    if (o.act == TSR_GELU) tol.relative += 0x1p-20, tol.terms += 0x1p-20; /* erf */
    tsr_dtype y_type = kt_flt(t);
    tsr_view y;
    if (add && same && t->bench < 0) {
        y = kt_inout(t, y_type, rows, n_out, "y", tol);
        o.add = y;
    } else {
        if (add && t->bench < 0) o.add = kt_in(t, kt_flt(t), rows, n_out);
        if (kt_chance(t, 15) && t->bench < 0) { /* FP8 outputs pass through the queue's type */
            tol.relative += 0x1p-7;
            y = kt_out_any(t, rows, n_out, "y", tol);
        } else {
            y = kt_out(t, y_type, rows, n_out, "y", tol);
        }
    }

    double *size = kt_size(t, y);
    if (size) {
        tsr_view u = x;
        if (normed) {
            u = tsr_view_of(calloc((size_t)(rows * n_in) + 1, sizeof(float)), TSR_F32, rows, n_in);
            t->q->ops->norm(t->q, u, x, &norm);
        }
        fill_sizes(size, (setup){u, &w, o});
        if (normed) free(u.data);
    }
    tsr_linear_opts part = o;
    if (o.add.rows) part.add = kt_part(t, o.add);
    tsr_linear(t->q, kt_part(t, y), kt_part(t, x), &w, part);
}

const kt_case kt_case_linear = {.name = "linear",
                                .run = run,
                                .op = TSR_OP_LINEAR,
                                .calls = 1u << TSR_OP_NORM | 1u << TSR_OP_CONVERT,
                                .loads = true,
                                .by_rows = true,
                                .seeds = 150,
                                .benches = 6};
