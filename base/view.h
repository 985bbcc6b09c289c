/* base/view.h: a matrix of activations, passed by value. */
#ifndef TSR_VIEW_H
#define TSR_VIEW_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

typedef enum tsr_scale_kind {
    TSR_SCALE_NONE,
    TSR_SCALE_TENSOR, /* one scale, known before the data (static) */
    TSR_SCALE_ROW,    /* one per row (dynamic) */
    TSR_SCALE_BLOCK   /* one per row and 128 columns */
} tsr_scale_kind;

#define TSR_SCALE_BLOCK_COLS 128

typedef struct tsr_view {
    void *data;
    float *scale;         /* value = element * scale; NULL when unscaled */
    int64_t rows, cols;   /* rows may be strided, columns never */
    int64_t stride;       /* elements from row to row; padding is never read and never written */
    int64_t scale_stride; /* floats from one row's scales to the next; 0: one for all */
    tsr_dtype type;
    tsr_scale_kind scaled;
} tsr_view;

/* A dense view of [rows, cols] over the caller's memory. */
static inline tsr_view tsr_view_of(void *data, tsr_dtype type, int64_t rows, int64_t cols)
{
    return (tsr_view){.data = data, .rows = rows, .cols = cols, .stride = cols, .type = type};
}

/* Rows first .. first + n - 1 of x, scales with them. */
static inline tsr_view tsr_rows(tsr_view x, int64_t first, int64_t n)
{
    assert(first >= 0 && n >= 0 && first + n <= x.rows);
    if (x.data) x.data = (char *)x.data + (size_t)(first * x.stride) * tsr_dtype_bytes(x.type);
    if (x.scale) x.scale += first * x.scale_stride;
    x.rows = n;
    return x;
}

/* Columns first .. first + n - 1 of an unscaled x. */
static inline tsr_view tsr_cols(tsr_view x, int64_t first, int64_t n)
{
    assert(first >= 0 && n >= 0 && first + n <= x.cols && x.scaled == TSR_SCALE_NONE);
    if (x.data) x.data = (char *)x.data + (size_t)first * tsr_dtype_bytes(x.type);
    x.cols = n;
    return x;
}

/* Address of row r. */
static inline void *tsr_row(tsr_view x, int64_t r)
{
    return (char *)x.data + (size_t)(r * x.stride) * tsr_dtype_bytes(x.type);
}

static inline bool tsr_same_shape(tsr_view a, tsr_view b)
{
    return a.rows == b.rows && a.cols == b.cols;
}

/* f32 or bf16: the types activations have between linears. */
static inline bool tsr_is_flt(tsr_view x)
{
    return (x.type == TSR_F32 || x.type == TSR_BF16) && x.scaled == TSR_SCALE_NONE;
}

#endif
