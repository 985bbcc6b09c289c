/* preprocess/resize.c: bicubic resize of 8-bit RGB, bit for bit what the reference processor does.
 *
 * The reference widens its filter when it shrinks, works in fixed point and rounds between its two passes. Its
 * rounding is part of the model's input, so the integers are reproduced here rather than approximated in float.
 * A pass that keeps its size has weights of exactly 1, so it needs no case of its own.
 */
#include "preprocess/resize.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/cpu.h"
#include "preprocess/resize_kernels.h"

enum { ROWS_PER_TASK = 8 };

#define HUGE_PAGE ((size_t)2 << 20)

/* One target's way: rows first (in -> mid -> out) or columns first (in -> mid -> wide -> out). */
typedef struct target_plan {
    tsr_resize_target to;
    bool columns_first;
    tsr_taps across, down;
    uint8_t *mid; /* rows first: [height, stride]; columns first: [to.height, stride] */
    int64_t mid_stride;
    uint8_t *wide; /* columns first only: [to.height, wide_stride] */
    int64_t wide_stride;
} target_plan;

struct tsr_resize {
    const tsr_resize_kernels *kernels;
    int64_t width, height;
    const uint8_t *in; /* the whole picture, for targets that begin with columns */
    int n_targets;
    target_plan plans[TSR_RESIZE_MAX_TARGETS];
};

const tsr_resize_kernels *tsr_resize_kernels_pick(unsigned features)
{
#if defined(__x86_64__)
    if (features & TSR_CPU_AVX512_VNNI) return &tsr_resize_vnni;
    if (features & TSR_CPU_AVX2) return &tsr_resize_avx2;
#endif
    (void)features;
    return &tsr_resize_scalar;
}

/* ---- Plain C ---- */

static uint8_t clamp(int32_t sum)
{
    int32_t value = sum >> TSR_WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void scalar_pack(int32_t *to, const int32_t *weights)
{
    memcpy(to, weights, TSR_TAP_GROUP * sizeof *to);
}

static void scalar_across(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride,
                          int64_t n_rows, const tsr_taps *t)
{
    for (int64_t y = 0; y < n_rows; y++) {
        for (int64_t x = 0; x < t->n_out; x++) {
            const uint8_t *from = in + y * in_stride + 3 * (int64_t)t->lo[x];
            const int32_t *weight = t->packed + x * t->stride;
            int32_t r = 1 << (TSR_WEIGHT_BITS - 1), g = r, b = r;
            for (int64_t k = 0; k < t->n[x]; k++) {
                r += from[3 * k] * weight[k];
                g += from[3 * k + 1] * weight[k];
                b += from[3 * k + 2] * weight[k];
            }
            uint8_t *to = out + y * out_stride + 3 * x;
            to[0] = clamp(r);
            to[1] = clamp(g);
            to[2] = clamp(b);
        }
    }
}

static void scalar_down(uint8_t *out, const uint8_t *in, int64_t in_stride, int64_t n_bytes,
                        const int32_t *packed, int64_t n_taps)
{
    for (int64_t i = 0; i < n_bytes; i++) {
        int32_t sum = 1 << (TSR_WEIGHT_BITS - 1);
        for (int64_t k = 0; k < n_taps; k++) sum += in[k * in_stride + i] * packed[k];
        out[i] = clamp(sum);
    }
}

const tsr_resize_kernels tsr_resize_scalar = {"scalar", 4, scalar_pack, scalar_across, scalar_down};

/* ---- Weights ---- */

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static void close_taps(tsr_taps *t)
{
    tsr_free(t->lo);
    tsr_free(t->n);
    tsr_free(t->packed);
}

/* Taps from n_in to n_out values. All in double, in the reference's order of operations. */
static tsr_status open_taps(tsr_taps *t, const tsr_resize_kernels *kernels, int64_t n_in, int64_t n_out)
{
    double scale = (double)n_in / (double)n_out;
    double filter_scale = scale < 1.0 ? 1.0 : scale;
    double support = 2.0 * filter_scale;
    double per_step = 1.0 / filter_scale;
    int64_t n_max = (int64_t)ceil(support) * 2 + 1;
    int64_t n_groups = (n_max + TSR_TAP_GROUP - 1) / TSR_TAP_GROUP;

    t->n_out = (n_out + 3) / 4 * 4;
    t->stride = n_groups * kernels->words;
    t->lo = tsr_calloc((size_t)t->n_out, sizeof *t->lo);
    t->n = tsr_calloc((size_t)t->n_out, sizeof *t->n);
    t->packed = tsr_calloc(tsr_mul((size_t)t->n_out, (size_t)t->stride), sizeof *t->packed);
    double *w = tsr_alloc(tsr_mul((size_t)n_max, sizeof *w));
    int32_t *q = tsr_calloc((size_t)n_groups * TSR_TAP_GROUP, sizeof *q);
    tsr_status st = TSR_OK;
    if (!t->lo || !t->n || !t->packed || !w || !q) {
        st = tsr_fail(TSR_E_NOMEM, "no memory for the weights of a resize from %lld to %lld", (long long)n_in,
                      (long long)n_out);
        goto done;
    }

    for (int64_t o = 0; o < n_out; o++) {
        double center = ((double)o + 0.5) * scale;
        int64_t lo = (int64_t)(center - support + 0.5), hi = (int64_t)(center + support + 0.5);
        if (lo < 0) lo = 0;
        if (hi > n_in) hi = n_in;
        int64_t n = hi - lo;

        double sum = 0.0;
        for (int64_t k = 0; k < n; k++) {
            w[k] = cubic(((double)(k + lo) - center + 0.5) * per_step);
            sum += w[k];
        }
        memset(q, 0, (size_t)n_groups * TSR_TAP_GROUP * sizeof *q);
        for (int64_t k = 0; k < n; k++) {
            double weight = sum != 0.0 ? w[k] / sum : w[k];
            q[k] = (int32_t)(weight * (1 << TSR_WEIGHT_BITS) + (weight < 0 ? -0.5 : 0.5));
        }
        t->lo[o] = (int32_t)lo;
        t->n[o] = (int32_t)n;
        for (int64_t g = 0; g < n_groups; g++)
            kernels->pack(t->packed + o * t->stride + g * kernels->words, q + g * TSR_TAP_GROUP);
    }

done:
    tsr_free(w);
    tsr_free(q);
    return st;
}

/* ---- Plan ---- */

uint8_t *tsr_pixels_alloc(size_t bytes)
{
    if (bytes < 2 * HUGE_PAGE) return tsr_alloc_aligned(64, bytes);
    uint8_t *pixels = tsr_alloc_aligned(HUGE_PAGE, bytes);
    if (pixels) madvise(pixels, bytes, MADV_HUGEPAGE); /* advice: a refusal changes nothing */
    return pixels;
}


static bool columns_first(tsr_resize_order order, int64_t w, int64_t h, int64_t to_w, int64_t to_h)
{
    if (h <= to_h) return false;
    switch (order) {
    case TSR_ORDER_PILLOW_13: return h - to_h > 2 * (w - to_w);
    case TSR_ORDER_PILLOW_12_2: return h > 100 * w;
    case TSR_ORDER_PILLOW_9: return false;
    }
    return false;
}

/* Bytes from row to row of an intermediate picture: whole vectors, and room for what `across` writes and reads
 * past its last pixel. */
static int64_t padded(int64_t pixels)
{
    return (3 * (pixels + 3) + 63) / 64 * 64 + TSR_RGB_SLACK;
}

static tsr_status open_plan(target_plan *p, const tsr_resize *r, tsr_resize_order order)
{
    int64_t mid_rows = r->height;
    p->mid_stride = padded(p->to.width);
    p->columns_first = columns_first(order, r->width, r->height, p->to.width, p->to.height);
    if (p->columns_first) {
        mid_rows = p->to.height;
        p->mid_stride = padded(r->width);
        p->wide_stride = padded(p->to.width);
        p->wide = tsr_pixels_alloc(tsr_mul((size_t)p->to.height, (size_t)p->wide_stride));
        if (!p->wide) goto no_memory;
    }
    p->mid = tsr_pixels_alloc(tsr_mul((size_t)mid_rows, (size_t)p->mid_stride));
    if (!p->mid) goto no_memory;

    tsr_status st = open_taps(&p->across, r->kernels, r->width, p->to.width);
    if (!st) st = open_taps(&p->down, r->kernels, r->height, p->to.height);
    return st;

no_memory:
    return tsr_fail(TSR_E_NOMEM, "no memory to resize %lld x %lld pixels to %lld x %lld", (long long)r->width,
                    (long long)r->height, (long long)p->to.width, (long long)p->to.height);
}

tsr_status tsr_resize_open(tsr_resize **out, const tsr_resize_target *targets, int n_targets, int64_t width,
                           int64_t height, tsr_resize_order order)
{
    assert(n_targets >= 0 && n_targets <= TSR_RESIZE_MAX_TARGETS);
    tsr_resize *r = tsr_calloc(1, sizeof *r);
    if (!r) return tsr_fail(TSR_E_NOMEM, "no memory for a resize");
    r->kernels = tsr_resize_kernels_pick(tsr_cpu_features());
    r->width = width;
    r->height = height;
    r->n_targets = n_targets;
    for (int i = 0; i < n_targets; i++) {
        r->plans[i].to = targets[i];
        tsr_status st = open_plan(&r->plans[i], r, order);
        if (st) {
            tsr_resize_close(r);
            return st;
        }
    }
    *out = r;
    return TSR_OK;
}

void tsr_resize_close(tsr_resize *r)
{
    if (!r) return;
    for (int i = 0; i < r->n_targets; i++) {
        close_taps(&r->plans[i].across);
        close_taps(&r->plans[i].down);
        tsr_free(r->plans[i].mid);
        tsr_free(r->plans[i].wide);
    }
    tsr_free(r);
}

/* ---- Passes ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool tsr_resize_takes_rows(const tsr_resize *r)
{
    for (int i = 0; i < r->n_targets; i++)
        if (r->plans[i].columns_first) return false;
    return true;
}

void tsr_resize_rows(tsr_resize *r, const uint8_t *rows, int64_t first, int64_t n_rows)
{
    assert(first >= 0 && n_rows >= 0 && first + n_rows <= r->height);
    for (int i = 0; i < r->n_targets; i++) {
        target_plan *p = &r->plans[i];
        if (!p->columns_first)
            r->kernels->across(p->mid + first * p->mid_stride, p->mid_stride, rows, 3 * r->width, n_rows,
                               &p->across);
    }
}

static void down_row(const tsr_resize *r, const target_plan *p, uint8_t *out, const uint8_t *in,
                     int64_t in_stride, int64_t n_bytes, int64_t y)
{
    r->kernels->down(out, in + p->down.lo[y] * in_stride, in_stride, n_bytes,
                     p->down.packed + y * p->down.stride, p->down.n[y]);
}

/* Where columns x .. of row y of a target lie: each tile is dense. */
static uint8_t *target_at(const tsr_resize_target *to, int64_t column, int64_t y, int64_t tile_w,
                          int64_t tile_h)
{
    int64_t columns = to->width / tile_w;
    int64_t index = y / tile_h * columns + column;
    return to->out + ((index * tile_h + y % tile_h) * tile_w) * 3;
}

static void finish_rows(const tsr_resize *r, const target_plan *p, int64_t first, int64_t n)
{
    int64_t tile_w = p->to.tile ? p->to.tile : p->to.width;
    int64_t tile_h = p->to.tile ? p->to.tile : p->to.height;
    if (p->columns_first) {
        for (int64_t y = first; y < first + n; y++)
            down_row(r, p, p->mid + y * p->mid_stride, r->in, 3 * r->width, 3 * r->width, y);
        r->kernels->across(p->wide + first * p->wide_stride, p->wide_stride, p->mid + first * p->mid_stride,
                           p->mid_stride, n, &p->across);
    }
    for (int64_t y = first; y < first + n; y++) {
        for (int64_t column = 0; column < p->to.width / tile_w; column++) {
            uint8_t *out = target_at(&p->to, column, y, tile_w, tile_h);
            int64_t at = column * tile_w * 3;
            if (p->columns_first)
                memcpy(out, p->wide + y * p->wide_stride + at, (size_t)(tile_w * 3));
            else
                down_row(r, p, out, p->mid + at, p->mid_stride, tile_w * 3, y);
        }
    }
}

static int64_t row_tasks(const target_plan *p)
{
    return (p->to.height + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
}

static void finish_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const tsr_resize *r = arg;
    const target_plan *p = r->plans;
    while (task >= row_tasks(p)) task -= row_tasks(p++);
    int64_t first = task * ROWS_PER_TASK;
    finish_rows(r, p, first, least(ROWS_PER_TASK, p->to.height - first));
}

void tsr_resize_run(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg)
{
    if (pool)
        tsr_pool_run(pool, n_tasks, fn, arg);
    else
        for (int64_t i = 0; i < n_tasks; i++) fn(arg, i, 0);
}

void tsr_resize_finish(tsr_resize *r, tsr_pool *pool)
{
    int64_t n_tasks = 0;
    for (int i = 0; i < r->n_targets; i++) n_tasks += row_tasks(&r->plans[i]);
    tsr_resize_run(pool, n_tasks, finish_task, r);
}

static void rows_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    tsr_resize *r = arg;
    int64_t first = task * ROWS_PER_TASK;
    tsr_resize_rows(r, r->in + first * 3 * r->width, first, least(ROWS_PER_TASK, r->height - first));
}

void tsr_resize_picture(tsr_resize *r, const uint8_t *in, tsr_pool *pool)
{
    r->in = in;
    tsr_resize_run(pool, (r->height + ROWS_PER_TASK - 1) / ROWS_PER_TASK, rows_task, r);
    tsr_resize_finish(r, pool);
}

tsr_status tsr_resize_rgb(uint8_t *out, int64_t out_width, int64_t out_height, const uint8_t *in,
                          int64_t width, int64_t height, tsr_resize_order order, tsr_pool *pool)
{
    tsr_resize *r = NULL;
    tsr_resize_target target = {out, out_width, out_height, 0};
    tsr_status st = tsr_resize_open(&r, &target, 1, width, height, order);
    if (st) return st;
    tsr_resize_picture(r, in, pool);
    tsr_resize_close(r);
    return TSR_OK;
}
