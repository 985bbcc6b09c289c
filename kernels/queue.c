/* kernels/queue.c: failures kept until sync, scratch by mark and release, taps. */
#include "kernels/queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/ops.h"

const char *tsr_op_name(tsr_op_id op)
{
    static const char *const names[TSR_N_OPS] = {
        "norm",       "convert",   "linear",    "embed",         "patchify",  "vit_enter",
        "vit_leave",  "gather",    "attend",    "pixel_shuffle", "conv",      "scan",
        "gated_norm", "kv_write",  "kv_attend", "moe_route",     "moe_ffn",   "sample",
        "advance",    "slot_copy", "slot_read", "slot_write",    "mamba_mix", "attention"};
    return names[op];
}

tsr_status tsr_queue_open(tsr_queue **out, const tsr_ops *ops, tsr_pool *pool, tsr_dtype type,
                          size_t scratch_bytes)
{
    tsr_queue *q = tsr_calloc(1, sizeof *q);
    if (!q) return tsr_fail(TSR_E_NOMEM, "no memory for a queue");
    q->ops = ops;
    q->pool = pool;
    q->type = type;
    q->dry = scratch_bytes == 0;
    if (scratch_bytes) {
        const char *sync = getenv("TSR_SYNC");
        void *block = NULL;
        tsr_status st = ops->memory ? ops->memory->open(q) : TSR_OK;
        if (!st) st = tsr_memory_take(&block, ops->memory, scratch_bytes);
        if (st) {
            tsr_queue_close(q);
            return tsr_wrap(st, "%zu bytes of scratch", scratch_bytes);
        }
        q->scratch.base = block;
        q->scratch.capacity = scratch_bytes;
        q->sync_each = ops->memory && sync && !strcmp(sync, "1");
    }
    *out = q;
    return TSR_OK;
}

void tsr_queue_close(tsr_queue *q)
{
    if (!q) return;
    tsr_memory_give(q->ops->memory, q->scratch.base);
    if (q->stream) q->ops->memory->close(q);
    tsr_free(q);
}

tsr_status tsr_queue_sync(tsr_queue *q)
{
    if (q->stream) q->ops->memory->sync(q);
    tsr_status status = q->failed;
    q->failed = TSR_OK;
    return status ? tsr_fail(status, "%s", q->message) : TSR_OK;
}

static void fail_v(tsr_queue *q, tsr_status code, const char *format, va_list args)
{
    if (q->failed) return;
    q->failed = code;
    vsnprintf(q->message, sizeof q->message, format, args);
}

void tsr_queue_fail(tsr_queue *q, tsr_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_v(q, code, format, args);
    va_end(args);
}

bool tsr_expect(tsr_queue *q, bool ok, const char *format, ...)
{
    if (!ok) {
        va_list args;
        va_start(args, format);
        fail_v(q, TSR_E_SHAPE, format, args);
        va_end(args);
    }
    if (!q->failed && q->cancel && __atomic_load_n(q->cancel, __ATOMIC_RELAXED))
        tsr_queue_fail(q, TSR_E_CANCELLED, "cancelled");
    return !q->failed;
}

const char *tsr_view_text(tsr_view v)
{
    static _Thread_local char texts[8][64];
    static _Thread_local int next;
    static const char *const scales[] = {"", "/tensor", "/row", "/block"};
    char *text = texts[next++ % 8];
    snprintf(text, sizeof texts[0], "%s%s [%lld, %lld]", tsr_dtype_name(v.type), scales[v.scaled],
             (long long)v.rows, (long long)v.cols);
    return text;
}

tsr_view tsr_scratch_scaled(tsr_queue *q, tsr_dtype type, tsr_scale_kind scaled, int64_t rows, int64_t cols)
{
    tsr_view v = tsr_arena_view(&q->scratch, type, scaled, rows, cols);
    if (!q->dry && !tsr_arena_fits(&q->scratch))
        tsr_queue_fail(q, TSR_E_NOMEM, "scratch of %zu bytes is too small for %s", q->scratch.capacity,
                       TSR_SHAPE(v));
    return v;
}

tsr_view tsr_scratch(tsr_queue *q, tsr_dtype type, int64_t rows, int64_t cols)
{
    return tsr_scratch_scaled(q, type, TSR_SCALE_NONE, rows, cols);
}

void *tsr_scratch_bytes(tsr_queue *q, size_t bytes)
{
    void *block = tsr_arena_take(&q->scratch, bytes);
    if (!q->dry && !tsr_arena_fits(&q->scratch))
        tsr_queue_fail(q, TSR_E_NOMEM, "scratch of %zu bytes is too small for %zu more", q->scratch.capacity,
                       bytes);
    return block;
}

tsr_view tsr_input_for(tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    tsr_form form = {q->type, TSR_SCALE_NONE};
    if (q->ops->input_form) form = q->ops->input_form(q, w, rows);
    tsr_view v = tsr_scratch_scaled(q, form.type, form.scaled, rows, w->cols);
    if (form.scaled == TSR_SCALE_TENSOR)
        v.scale = (float *)(uintptr_t)w->input_scale; /* read, never written */
    return v;
}

/* `value` in one block of host memory, *block, with its scales behind it; an empty view when there is none. */
static tsr_view fetch(tsr_queue *q, void **block, tsr_view value)
{
    size_t bytes = (size_t)(value.rows * value.stride) * tsr_dtype_bytes(value.type);
    size_t padded = (bytes + 63) / 64 * 64;
    int64_t n_scales = value.scaled == TSR_SCALE_NONE     ? 0
                       : value.scaled == TSR_SCALE_TENSOR ? 1
                                                          : value.rows * value.scale_stride;
    *block = tsr_alloc_aligned(64, padded + (size_t)n_scales * sizeof(float));
    if (!*block) {
        tsr_queue_fail(q, TSR_E_NOMEM, "no memory to show %s", TSR_SHAPE(value));
        return (tsr_view){0};
    }
    float *scale = (float *)(void *)((char *)*block + padded);
    if (value.rows) /* the last row may end with its columns */
        tsr_memory_download(q, *block, value.data,
                            bytes - (size_t)(value.stride - value.cols) * tsr_dtype_bytes(value.type));
    tsr_memory_download(q, scale, value.scale, (size_t)n_scales * sizeof(float));
    q->ops->memory->sync(q);
    value.data = *block;
    if (n_scales) value.scale = scale;
    return value;
}

void tsr_tap(tsr_queue *q, tsr_view value, const char *format, ...)
{
    if (!q->tap || q->dry || q->failed) return;
    char name[96];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    void *block = NULL;
    if (q->ops->memory) value = fetch(q, &block, value);
    if (!q->failed) q->tap(q->tap_user, name, value);
    tsr_free(block);
}
