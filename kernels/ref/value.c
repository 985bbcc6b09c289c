/* kernels/ref/value.c: reading, rounding and multiplying, one element at a time. */
#include <math.h>

#include "kernels/ref/ref.h"

static int64_t scale_index(tsr_view v, int64_t r, int64_t c)
{
    return r * v.scale_stride + (v.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0);
}

double tsr_ref_scaled_at(tsr_view x, int64_t r, int64_t c)
{
    return (double)tsr_from_fp8(((const uint8_t *)tsr_row(x, r))[c]) * x.scale[scale_index(x, r, c)];
}

/* The f32 that rounds to bf16 as `value` itself would: cut towards zero, with the last bit set when anything
 * was cut, so that no tie is made that was none. */
static float round_to_odd(double value)
{
    float f = (float)value;
    if ((double)f == value || isnan(value)) return f;
    if (fabs((double)f) > fabs(value)) f = nextafterf(f, 0);
    return tsr_float_of(tsr_bits_of(f) | 1);
}

void tsr_ref_put(void *data, tsr_dtype type, int64_t i, double value)
{
    tsr_store(data, type, i, type == TSR_BF16 ? round_to_odd(value) : (float)value);
}

uint8_t tsr_ref_quantise(double value, float scale)
{
    return tsr_to_fp8((float)(value / scale));
}

float tsr_ref_scale_for(double amax)
{
    float scale = (float)(amax / TSR_FP8_MAX);
    return scale > 0 ? scale : 1;
}

static double amax_of(tsr_ref_value_fn *value, void *ctx, int64_t begin, int64_t end)
{
    double amax = 0;
    for (int64_t c = begin; c < end; c++) amax = fmax(amax, fabs(value(ctx, c)));
    return amax;
}

void tsr_ref_put_row(tsr_view y, int64_t r, tsr_ref_value_fn *value, void *ctx)
{
    if (y.scaled == TSR_SCALE_NONE) {
        for (int64_t c = 0; c < y.cols; c++) tsr_ref_put(tsr_row(y, r), y.type, c, value(ctx, c));
        return;
    }
    int64_t block = y.scaled == TSR_SCALE_BLOCK ? TSR_SCALE_BLOCK_COLS : y.cols;
    for (int64_t begin = 0; begin < y.cols; begin += block) {
        int64_t end = begin + block < y.cols ? begin + block : y.cols;
        float *scale = &y.scale[scale_index(y, r, begin)];
        if (y.scaled != TSR_SCALE_TENSOR) *scale = tsr_ref_scale_for(amax_of(value, ctx, begin, end));
        for (int64_t c = begin; c < end; c++)
            ((uint8_t *)tsr_row(y, r))[c] = tsr_ref_quantise(value(ctx, c), *scale);
    }
}

void tsr_ref_round_input(double *row, const tsr_weight *w)
{
    float scale;
    if (w->input == TSR_INPUT_STATIC) {
        scale = *w->input_scale;
    } else if (w->input == TSR_INPUT_DYNAMIC) {
        double amax = 0;
        for (int64_t k = 0; k < w->cols; k++) amax = fmax(amax, fabs(row[k]));
        scale = tsr_ref_scale_for(amax);
    } else {
        return;
    }
    for (int64_t k = 0; k < w->cols; k++)
        row[k] = (double)tsr_from_fp8(tsr_ref_quantise(row[k], scale)) * scale;
}

double tsr_ref_dot(const tsr_weight *w, int64_t e, int64_t j, const double *x)
{
    int64_t row = e * w->rows + j;
    const char *data = (const char *)w->data + (size_t)(row * w->cols) * tsr_dtype_bytes(w->type);
    double sum = 0;
    switch (w->type) { /* outside the loop, as the loop is most of the backend's time */
    case TSR_F32:
        for (int64_t k = 0; k < w->cols; k++) sum += x[k] * ((const float *)data)[k];
        break;
    case TSR_BF16:
        for (int64_t k = 0; k < w->cols; k++) sum += x[k] * tsr_from_bf16(((const uint16_t *)data)[k]);
        break;
    case TSR_FP8:
        for (int64_t k = 0; k < w->cols; k++) sum += x[k] * tsr_from_fp8(((const uint8_t *)data)[k]);
        break;
    default:
        for (int64_t k = 0; k < w->cols; k++) sum += x[k] * tsr_load(data, w->type, k);
    }
    if (w->scaled == TSR_SCALE_TENSOR) return sum * w->scale[0];
    if (w->scaled == TSR_SCALE_ROW) return sum * w->scale[row];
    return sum;
}

double tsr_ref_act(tsr_act act, double u)
{
    switch (act) {
    case TSR_GELU: return 0.5 * u * (1 + erf(u * 0.70710678118654752440));
    case TSR_RELU2: return u <= 0 ? 0 : u * u; /* NaN stays NaN */
    default: return u;
    }
}

double tsr_ref_silu(double u)
{
    return u / (1 + exp(-u));
}
