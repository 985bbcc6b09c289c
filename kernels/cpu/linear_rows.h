/* kernels/cpu/linear_rows.h: what linear does row by row around the products, compiled once per level.
 *
 * Plain loops that a compiler turns into the vectors it was told it has. No step contracts a * b + c, so every
 * level gets the same bits here.
 */
#ifndef TSR_CPU_LINEAR_ROWS_H
#define TSR_CPU_LINEAR_ROWS_H

#include <math.h>
#include <string.h>

#include "kernels/cpu/linear.h"

#define INLINE static inline __attribute__((always_inline))

enum { ROWS_PIECE = 256 }; /* columns converted or finished at a time: a piece stays in registers and L1 */

/* tsr_dtype_bytes that a compiler sees through. */
static inline int64_t type_bytes(tsr_dtype type)
{
    return type == TSR_F32 ? 4 : type == TSR_FP8 ? 1 : 2;
}

/* exp(v) for v in [-87, 0]: 2^n times a polynomial over |r| <= ln 2 / 2; error below 2 units in the last
 * place. */
static inline float exp_negative(float v)
{
    float n = (v * 0x1.715476p+0f + 0x1.8p23f) - 0x1.8p23f; /* adding 1.5 * 2^23 rounds to an integer */
    float r = (v - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f;  /* ln 2 in two parts, the first with short bits */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * tsr_float_of((uint32_t)((int32_t)n + 127) << 23);
}

/* v Phi(v), with Phi(-z) = exp(-z^2 / 2) g(z) for z >= 0 and Phi(z) = 1 - Phi(-z), so that nothing cancels in
 * the left tail. g is a polynomial in u = 1 / (1 + z / 4) - 5 / 8, fitted for the least relative error over
 * 0 <= z <= 12 (7.5e-9). Error: 4 units in the last place of v; of the result itself 5 above -3, 12 above -6. */
static inline float gelu(float v)
{
    static const float g[10] = {0.14603314f, 0.49625838f,  0.764306f,     0.86353916f,   0.6649951f,
                                0.26483572f, -0.05495718f, -0.109151915f, -0.004849608f, 0.036109567f};
    float z = fabsf(v);
    float clamped = z < 13.0f ? z : 13.0f; /* beyond, Phi(-z) is below 1e-38; NaN takes 13 and stays in v */
    float u = 1.0f / (1.0f + 0.25f * clamped) - 0.625f;
    float p = g[9];
    for (int i = 8; i >= 0; i--) p = p * u + g[i];
    float tail = exp_negative(-0.5f * clamped * clamped) * p;
    return v * (v < 0 ? tail : 1.0f - tail);
}

static inline float block_scale(tsr_view x, int64_t r, int64_t c)
{
    return x.scale[r * x.scale_stride + c / TSR_SCALE_BLOCK_COLS];
}

static void rows_convert(void *out, tsr_dtype to, tsr_view x, int64_t r, int64_t c0, int64_t n, float scale)
{
    float piece[ROWS_PIECE];
    for (int64_t c = 0; c < n; c += ROWS_PIECE) {
        int64_t m = n - c < ROWS_PIECE ? n - c : ROWS_PIECE;
        const char *src = (const char *)tsr_row(x, r) + (c0 + c) * type_bytes(x.type);
        if (x.type == TSR_F32)
            memcpy(piece, src, (size_t)m * sizeof(float));
        else if (x.type == TSR_BF16)
            for (int64_t i = 0; i < m; i++) piece[i] = tsr_from_bf16(((const uint16_t *)src)[i]);
        else
            for (int64_t i = 0; i < m; i++) piece[i] = tsr_from_fp8(((const uint8_t *)src)[i]);
        if (x.scaled == TSR_SCALE_BLOCK)
            for (int64_t i = 0; i < m; i++) piece[i] *= block_scale(x, r, c0 + c + i);
        if (scale != 0)
            for (int64_t i = 0; i < m; i++) piece[i] = tsr_from_fp8(tsr_to_fp8(piece[i] / scale));

        if (to == TSR_F32)
            memcpy((float *)out + c, piece, (size_t)m * sizeof(float));
        else
            for (int64_t i = 0; i < m; i++) ((uint16_t *)out)[c + i] = tsr_to_bf16(piece[i]);
    }
}

static void rows_finish(const tsr_linear_finish *f, float *sums, float row_scale, int64_t r, int64_t first,
                        int64_t n)
{
    const tsr_weight *w = f->w;
    if (w->scaled == TSR_SCALE_ROW)
        for (int64_t j = 0; j < n; j++) sums[j] *= w->scale[first + j] * row_scale;
    else if (w->scaled == TSR_SCALE_TENSOR || row_scale != 1.0f) {
        float scale = (w->scaled == TSR_SCALE_TENSOR ? w->scale[0] : 1.0f) * row_scale;
        for (int64_t j = 0; j < n; j++) sums[j] *= scale;
    }
    if (w->bias)
        for (int64_t j = 0; j < n; j++) sums[j] += w->bias[first + j];
    if (f->o.act == TSR_GELU)
        for (int64_t j = 0; j < n; j++) sums[j] = gelu(sums[j]);
    else if (f->o.act == TSR_RELU2)
        for (int64_t j = 0; j < n; j++) sums[j] = sums[j] < 0 ? 0 : sums[j] * sums[j]; /* NaN stays */
    if (f->o.gain.rows) {
        const float *gain = (const float *)f->o.gain.data + first;
        for (int64_t j = 0; j < n; j++) sums[j] *= gain[j];
    }
    if (f->o.add.rows && f->o.add.type == TSR_F32) {
        const float *add = (const float *)tsr_row(f->o.add, r) + first;
        for (int64_t j = 0; j < n; j++) sums[j] += add[j];
    } else if (f->o.add.rows) {
        const uint16_t *add = (const uint16_t *)tsr_row(f->o.add, r) + first;
        for (int64_t j = 0; j < n; j++) sums[j] += tsr_from_bf16(add[j]);
    }
    if (f->y.type == TSR_F32) {
        memcpy((float *)tsr_row(f->y, r) + first, sums, (size_t)n * sizeof(float));
    } else {
        uint16_t *y = (uint16_t *)tsr_row(f->y, r) + first;
        for (int64_t j = 0; j < n; j++) y[j] = tsr_to_bf16(sums[j]);
    }
}

#endif
