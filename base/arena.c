/* base/arena.c: take, align, saturate. */
#include "base/arena.h"

void *tsr_arena_take(tsr_arena *a, size_t bytes)
{
    size_t begin = a->used;
    size_t rounded = tsr_add(bytes, TSR_ARENA_ALIGN - 1);
    rounded = rounded == SIZE_MAX ? rounded : rounded & ~(TSR_ARENA_ALIGN - 1);
    a->used = tsr_add(begin, rounded);
    if (a->used > a->peak) a->peak = a->used;
    if (!a->base || a->used > a->capacity) return NULL;
    return a->base + begin;
}

void *tsr_arena_array(tsr_arena *a, int64_t count, size_t each)
{
    return tsr_arena_take(a, count < 0 ? SIZE_MAX : tsr_mul((size_t)count, each));
}

tsr_view tsr_arena_view(tsr_arena *a, tsr_dtype type, tsr_scale_kind scaled, int64_t rows, int64_t cols)
{
    tsr_view v = tsr_view_of(NULL, type, rows, cols);
    v.scaled = scaled;
    v.stride = cols < 0 || cols > INT64_MAX - 15 ? cols : (cols + 15) / 16 * 16;
    bool absurd = rows < 0 || cols < 0 || v.stride > INT32_MAX * (int64_t)1024;
    v.data = tsr_arena_take(
        a, absurd ? SIZE_MAX : tsr_mul(tsr_mul((size_t)rows, (size_t)v.stride), tsr_dtype_bytes(type)));
    if (scaled == TSR_SCALE_ROW) v.scale_stride = 1;
    if (scaled == TSR_SCALE_BLOCK) v.scale_stride = (cols + TSR_SCALE_BLOCK_COLS - 1) / TSR_SCALE_BLOCK_COLS;
    if (v.scale_stride) v.scale = tsr_arena_array(a, rows, (size_t)v.scale_stride * sizeof(float));
    return v;
}
