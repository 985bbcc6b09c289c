/* kernels/cpu/rows.h: rows of activations in and out of f32, whatever their form. Compiled per level. */
#ifndef TSR_CPU_ROWS_H
#define TSR_CPU_ROWS_H

#include "base/pool.h"
#include "base/view.h"
#include "kernels/cpu/vec.h"

/* A row that is worked on in f32 lies in the worker's memory. */
enum { MAX_ROW = TSR_WORKER_BYTES / sizeof(float) };

/* out[i] = element i of an unscaled array of any floating type. */
static inline void widen(float *out, const void *data, tsr_dtype type, int64_t n)
{
    if (type == TSR_F32) {
        memcpy(out, data, (size_t)n * sizeof *out);
    } else if (type == TSR_BF16) {
        const uint16_t *from = data;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) vf_store(out + i, vf_load_bf16(from + i));
        for (; i < n; i++) out[i] = tsr_from_bf16(from[i]);
    } else if (type == TSR_FP8) {
        const uint8_t *from = data;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) vf_store(out + i, vf_load_fp8(from + i));
        for (; i < n; i++) out[i] = tsr_from_fp8(from[i]);
    } else {
        for (int64_t i = 0; i < n; i++) out[i] = tsr_load(data, type, i);
    }
}

/* The reverse, for f32 and bf16. */
static inline void narrow(void *data, tsr_dtype type, const float *values, int64_t n)
{
    if (type == TSR_F32) {
        memcpy(data, values, (size_t)n * sizeof *values);
        return;
    }
    uint16_t *to = data;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vf_store_bf16(to + i, vf_load(values + i));
    for (; i < n; i++) to[i] = tsr_to_bf16(values[i]);
}

/* Columns that share the scale of column c end here. */
static inline int64_t scale_end(tsr_view x, int64_t c)
{
    int64_t end = x.scaled == TSR_SCALE_BLOCK ? c + TSR_SCALE_BLOCK_COLS : x.cols;
    return end < x.cols ? end : x.cols;
}

static inline float *scale_at(tsr_view x, int64_t r, int64_t c)
{
    return x.scale + r * x.scale_stride + (x.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0);
}

/* Row r of x, scale multiplied out. */
static inline void load_row(float *out, tsr_view x, int64_t r)
{
    widen(out, tsr_row(x, r), x.type, x.cols);
    if (x.scaled == TSR_SCALE_NONE) return;
    for (int64_t c = 0; c < x.cols;) {
        float scale = *scale_at(x, r, c);
        for (int64_t end = scale_end(x, c); c < end; c++) out[c] *= scale;
    }
}

/* The largest magnitude; NaN is passed over. */
static inline float amax_of(const float *values, int64_t n)
{
    float amax = 0;
    for (int64_t i = 0; i < n; i++) {
        float a = values[i] < 0 ? -values[i] : values[i];
        amax = a > amax ? a : amax;
    }
    return amax;
}

/* Write row r of y in y's form: ROW and BLOCK scales are found from the values, TENSOR is read. */
static inline void store_row(tsr_view y, int64_t r, const float *values)
{
    if (y.scaled == TSR_SCALE_NONE) {
        narrow(tsr_row(y, r), y.type, values, y.cols);
        return;
    }
    uint8_t *to = tsr_row(y, r);
    for (int64_t c = 0; c < y.cols;) {
        float *scale = scale_at(y, r, c);
        int64_t end = scale_end(y, c);
        if (y.scaled != TSR_SCALE_TENSOR) {
            *scale = amax_of(values + c, end - c) / TSR_FP8_MAX;
            if (*scale == 0) *scale = 1;
        }
        for (; c < end; c++) to[c] = tsr_to_fp8(values[c] / *scale);
    }
}

/* Rows of a task: enough work to be worth handing out. */
static inline int64_t rows_per_task(int64_t cols)
{
    int64_t n = 16384 / (cols + 1);
    return n > 0 ? n : 1;
}

#endif
