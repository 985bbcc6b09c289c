/* tests/kernels/kt.c: random numbers, guarded memory, weights and tolerances of kernel cases. */
#include "tests/kernels/kt_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 256, WIDEST_GUARD = 1 << 18, GUARD_BYTE = 0xff };

/* The checker's own memory: it has no way to go on without. */
static void *take(size_t bytes)
{
    void *block = NULL;
    if (posix_memalign(&block, 64, bytes ? bytes : 1)) {
        fprintf(stderr, "kernels: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return block;
}

void kt_begin(kt *t, uint64_t seed, unsigned char fill)
{
    t->rng = seed * 0x9E3779B97F4A7C15u + 1;
    t->part_rng = t->rng ^ 0x5555;
    t->fill = fill;
    t->bench = -1;
}

void kt_end(kt *t)
{
    for (int64_t i = 0; i < t->n_buffers; i++) {
        free(t->buffers[i].block);
        free(t->buffers[i].size);
        free(t->buffers[i].owner);
        free(t->buffers[i].sealed);
    }
    free(t->buffers);
    free(t->agreements);
    free(t->unit_start);
    *t = (kt){0};
}

/* ---------------------------------------------------------------- drawing ------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

int64_t kt_int(kt *t, int64_t low, int64_t high)
{
    return low + (int64_t)(next(&t->rng) % (uint64_t)(high - low + 1));
}

double kt_real(kt *t, double low, double high)
{
    return low + (high - low) * (double)(next(&t->rng) >> 11) * 0x1p-53;
}

double kt_normal(kt *t)
{
    uint64_t r = next(&t->rng);
    double sum = 0; /* four uniform numbers of variance 1/12 */
    for (int i = 0; i < 4; i++) sum += (double)(r >> 16 * i & 0xffff) * 0x1p-16 - 0.5;
    return sum * 1.7320508;
}

bool kt_chance(kt *t, int percent)
{
    return kt_int(t, 0, 99) < percent;
}

int64_t kt_pick_of(kt *t, const int64_t *values, int64_t n)
{
    return values[kt_int(t, 0, n - 1)];
}

int64_t kt_model_of(kt *t, int64_t drawn, const int64_t *values, int64_t n)
{
    if (t->bench < 0) return drawn;
    return values[t->bench < n ? t->bench : n - 1];
}

tsr_dtype kt_flt(kt *t)
{
    return kt_chance(t, 50) ? TSR_F32 : TSR_BF16;
}

/* ---------------------------------------------------------------- tolerances ---------------------------- */

kt_tol kt_exact(void)
{
    return (kt_tol){0};
}

kt_tol kt_ulp(double n)
{
    return (kt_tol){.steps = n};
}

kt_tol kt_sum(int64_t n)
{
    return (kt_tol){.steps = 1, .relative = 0x1p-22, .terms = 0x1p-24 * (4 + 3 * sqrt((double)n))};
}

kt_tol kt_bf16(int64_t n)
{
    kt_tol tol = kt_sum(n);
    tol.terms += 3 * 0x1p-8;
    return tol;
}

kt_tol kt_fp8(int64_t n)
{
    kt_tol tol = kt_sum(n);
    tol.terms += 3 * 0x1p-4;
    return tol;
}

kt_tol kt_attend(int64_t head_dim, int64_t n, double score, tsr_dtype type)
{
    kt_tol tol = kt_sum(n);
    double weight = 0x1p-24 * score * (2 + 3 * sqrt((double)head_dim));
    tol.terms += weight;
    tol.relative += weight;
    if (type != TSR_F32) tol.terms += 3 * 0x1p-8;
    return tol;
}

kt_tol kt_scan(const tsr_mixer *m, int64_t n)
{
    kt_tol tol = kt_sum(m->d_state);
    tol.terms += 0x1p-24 * (3 * sqrt((double)n) + 32);
    return tol;
}

kt_tol kt_kept(kt_tol tol, tsr_dtype state)
{
    if (state == TSR_F16) tol.terms += 3 * 0x1p-10;
    return tol;
}

kt_tol kt_group(kt_tol tol, int64_t group)
{
    tol.group = group;
    return tol;
}

kt_tol kt_worse(kt_tol a, kt_tol b)
{
    return (kt_tol){a.steps + b.steps, a.relative + b.relative, a.terms + b.terms, a.group};
}

double kt_step_at(tsr_view v, int64_t r, int64_t c, double value)
{
    int digits = 24, lowest = -149; /* significant bits; exponent of the smallest step */
    double scale = 1;
    if (v.type == TSR_BF16) digits = 8, lowest = -133;
    if (v.type == TSR_F16) digits = 11, lowest = -24;
    if (v.type == TSR_FP8) {
        digits = 4, lowest = -9;
        scale = v.scale[r * v.scale_stride + (v.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0)];
    }
    if (value / scale == 0 || !isfinite(value / scale)) return ldexp(scale, lowest);
    int exponent = ilogb(value / scale) - (digits - 1);
    return ldexp(scale, exponent > lowest ? exponent : lowest);
}

/* ---------------------------------------------------------------- memory -------------------------------- */

static kt_buffer *push(kt *t)
{
    if (t->n_buffers == t->cap_buffers) {
        t->cap_buffers = t->cap_buffers ? 2 * t->cap_buffers : 16;
        t->buffers = realloc(t->buffers, (size_t)t->cap_buffers * sizeof *t->buffers);
        if (!t->buffers) exit(1);
    }
    kt_buffer *b = &t->buffers[t->n_buffers++];
    *b = (kt_buffer){0};
    return b;
}

/* A new buffer of rows every `stride` elements, the first one `lead` elements behind an aligned address. Its
 * elements are `fill`, all else is guard. */
static kt_buffer *make(kt *t, kt_kind kind, tsr_dtype type, int64_t rows, int64_t cols, int64_t stride,
                       int64_t lead, unsigned char fill)
{
    size_t each = tsr_dtype_bytes(type), row = (size_t)stride * each;
    kt_buffer *b = push(t);
    b->kind = kind;
    b->guard = GUARD;
    if (row < WIDEST_GUARD)
        b->guard += (row + 63) / 64 * 64; /* so that a write to row -1 is seen, not fatal */
    b->bytes = 2 * b->guard + (size_t)(lead + rows * stride) * each;
    b->block = take(b->bytes);
    memset(b->block, GUARD_BYTE, b->bytes);
    b->view = tsr_view_of(b->block + b->guard + (size_t)lead * each, type, rows, cols);
    b->view.stride = stride;
    for (int64_t r = 0; r < rows; r++) memset(tsr_row(b->view, r), fill, (size_t)cols * each);
    return b;
}

/* As scratch lays them out, or as a slice of a wider matrix would lie. */
static kt_buffer *make_strided(kt *t, kt_kind kind, tsr_dtype type, int64_t rows, int64_t cols,
                               unsigned char fill)
{
    int64_t stride = (cols + 15) / 16 * 16, lead = 0;
    if (kt_chance(t, 40) && t->bench < 0) stride = cols + kt_int(t, 0, 20), lead = kt_int(t, 0, 9);
    return make(t, kind, type, rows, cols, stride, lead, fill);
}

void kt_set(tsr_view v, int64_t r, int64_t c, double value)
{
    if (v.type == TSR_I32)
        ((int32_t *)tsr_row(v, r))[c] = (int32_t)value;
    else if (v.type == TSR_U8)
        ((uint8_t *)tsr_row(v, r))[c] = (uint8_t)value;
    else
        tsr_store(tsr_row(v, r), v.type, c, (float)value);
}

double kt_at(tsr_view v, int64_t r, int64_t c)
{
    if (v.type == TSR_I32) return ((int32_t *)tsr_row(v, r))[c];
    if (v.type == TSR_U8) return ((uint8_t *)tsr_row(v, r))[c];
    double value = tsr_load(tsr_row(v, r), v.type, c);
    if (v.scaled == TSR_SCALE_NONE) return value;
    return value * v.scale[r * v.scale_stride + (v.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0)];
}

void kt_fill_row(tsr_view v, int64_t r, double value)
{
    for (int64_t c = 0; c < v.cols; c++) kt_set(v, r, c, value);
}

static void fill_normal(kt *t, tsr_view v)
{
    for (int64_t r = 0; r < v.rows; r++)
        for (int64_t c = 0; c < v.cols; c++)
            if (v.type == TSR_U8)
                kt_set(v, r, c, (double)(next(&t->rng) & 255));
            else
                kt_set(v, r, c, kt_normal(t));
}

tsr_view kt_in(kt *t, tsr_dtype type, int64_t rows, int64_t cols)
{
    tsr_view v = make_strided(t, KT_INPUT, type, rows, cols, 0)->view;
    fill_normal(t, v);
    return v;
}

tsr_view kt_in_range(kt *t, tsr_dtype type, int64_t rows, int64_t cols, double low, double high)
{
    tsr_view v = make_strided(t, KT_INPUT, type, rows, cols, 0)->view;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) kt_set(v, r, c, kt_real(t, low, high));
    return v;
}

tsr_view kt_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols)
{
    tsr_view v = make(t, KT_INPUT, type, rows, cols, cols, 0, 0)->view;
    fill_normal(t, v);
    return v;
}

int32_t *kt_ints(kt *t, int64_t n)
{
    return make(t, KT_INPUT, TSR_I32, 1, n, n, 0, 0)->view.data;
}

/* Any of the 254 codes that are numbers. */
static uint8_t draw_code(kt *t)
{
    uint8_t code = (uint8_t)next(&t->rng);
    return (code & 0x7f) == 0x7f ? 0x38 : code;
}

/* Codes spread over all exponents have an rms of about 128 / sqrt(2 ln 2 * 8); scales bring them near 1. */
static float draw_scale(kt *t)
{
    return (float)kt_real(t, 0.004, 0.02);
}

static int64_t scale_cols(tsr_scale_kind scaled, int64_t cols)
{
    return scaled == TSR_SCALE_BLOCK ? (cols + TSR_SCALE_BLOCK_COLS - 1) / TSR_SCALE_BLOCK_COLS : 1;
}

tsr_view kt_in_fp8(kt *t, tsr_scale_kind scaled, int64_t rows, int64_t cols)
{
    tsr_view v = make_strided(t, KT_INPUT, TSR_FP8, rows, cols, 0)->view;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) ((uint8_t *)tsr_row(v, r))[c] = draw_code(t);
    int64_t scale_rows = scaled == TSR_SCALE_TENSOR ? 1 : rows;
    tsr_view s =
        make(t, KT_INPUT, TSR_F32, scale_rows, scale_cols(scaled, cols), scale_cols(scaled, cols), 0, 0)
            ->view;
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t c = 0; c < s.cols; c++) kt_set(s, r, c, draw_scale(t));
    v.scaled = scaled;
    v.scale = s.data;
    v.scale_stride = scaled == TSR_SCALE_TENSOR ? 0 : s.stride;
    return v;
}

/* The units own the rows of an output that has one for each of theirs. */
static void own_by_units(kt *t, kt_buffer *b)
{
    if (t->n_units == 0 || b->view.rows != t->unit_start[t->n_units]) return;
    b->owner = take((size_t)b->view.rows * sizeof *b->owner);
    for (int64_t u = 0; u < t->n_units; u++)
        for (int64_t r = t->unit_start[u]; r < t->unit_start[u + 1]; r++) b->owner[r] = (int32_t)u;
}

tsr_view kt_out(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol)
{
    kt_buffer *b = make_strided(t, KT_OUTPUT, type, rows, cols, t->fill);
    b->name = name;
    b->tol = tol;
    own_by_units(t, b);
    return b->view;
}

tsr_view kt_out_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol)
{
    kt_buffer *b = make(t, KT_OUTPUT, type, rows, cols, cols, 0, t->fill);
    b->name = name;
    b->tol = tol;
    own_by_units(t, b);
    return b->view;
}

tsr_view kt_out_fp8(kt *t, tsr_scale_kind scaled, float scale, int64_t rows, int64_t cols, const char *name,
                    kt_tol tol)
{
    int64_t at = t->n_buffers;
    tsr_view v = kt_out(t, TSR_FP8, rows, cols, name, tol);
    v.scaled = scaled;
    if (scaled == TSR_SCALE_TENSOR) {
        tsr_view s = kt_dense(t, TSR_F32, 1, 1);
        kt_set(s, 0, 0, scale);
        v.scale = s.data;
    } else {
        v.scale_stride = scale_cols(scaled, cols);
        kt_buffer *b = make(t, KT_OUTPUT, TSR_F32, rows, v.scale_stride, v.scale_stride, 0, t->fill);
        b->name = "scale";
        b->tol = tol;
        own_by_units(t, b);
        v.scale = b->view.data;
    }
    t->buffers[at].view = v; /* the comparison reads it, scales and all */
    return v;
}

tsr_view kt_out_any(kt *t, int64_t rows, int64_t cols, const char *name, kt_tol tol)
{
    switch (kt_int(t, 0, 5)) {
    case 0: return kt_out_fp8(t, TSR_SCALE_TENSOR, (float)kt_real(t, 0.002, 0.02), rows, cols, name, tol);
    case 1: return kt_out_fp8(t, TSR_SCALE_ROW, 0, rows, cols, name, tol);
    case 2: return kt_out_fp8(t, TSR_SCALE_BLOCK, 0, rows, cols, name, tol);
    case 3: return kt_out(t, TSR_BF16, rows, cols, name, tol);
    default: return kt_out(t, TSR_F32, rows, cols, name, tol);
    }
}

static tsr_view as_state(kt *t, kt_buffer *b, const char *name, kt_tol tol)
{
    b->name = name;
    b->tol = tol;
    own_by_units(t, b);
    tsr_view v = b->view;
    fill_normal(t, v);
    return v;
}

tsr_view kt_inout(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol)
{
    return as_state(t, make_strided(t, KT_STATE, type, rows, cols, 0), name, tol);
}

tsr_view kt_inout_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol)
{
    return as_state(t, make(t, KT_STATE, type, rows, cols, cols, 0, 0), name, tol);
}

void kt_stress(kt *t, tsr_view v, bool with_nan)
{
    if (v.rows == 0 || v.cols == 0 || t->bench >= 0) return;
    int64_t r = kt_int(t, 0, v.rows - 1), c = kt_int(t, 0, v.cols - 1);
    int64_t r2 = kt_int(t, 0, v.rows - 1), c2 = kt_int(t, 0, v.cols - 1), r3 = kt_int(t, 0, v.rows - 1);
    bool zeros = kt_chance(t, 30), huge = kt_chance(t, 20), nan_too = kt_chance(t, 10) && with_nan;
    if (zeros) kt_fill_row(v, r3, 0);
    if (huge) kt_set(v, r, c, kt_chance(t, 50) ? 0x1p20 : -0x1p20);
    if (nan_too) kt_set(v, r2, c2, NAN);
}

static kt_buffer *find(kt *t, tsr_view v)
{
    for (int64_t i = 0; i < t->n_buffers; i++)
        if (t->buffers[i].view.data == v.data) return &t->buffers[i];
    fprintf(stderr, "kernels: a case named a view that is not an output\n");
    exit(1);
}

double *kt_size(kt *t, tsr_view output)
{
    if (!t->sizes) return NULL;
    kt_buffer *b = find(t, output);
    size_t n = (size_t)(b->view.rows * b->view.cols);
    b->size = take(n * sizeof *b->size);
    memset(b->size, 0, n * sizeof *b->size);
    return b->size;
}

void kt_agree(kt *t, tsr_view a, tsr_view b, kt_tol tol)
{
    if (t->n_agreements == t->cap_agreements) {
        t->cap_agreements = t->cap_agreements ? 2 * t->cap_agreements : 4;
        t->agreements = realloc(t->agreements, (size_t)t->cap_agreements * sizeof *t->agreements);
        if (!t->agreements) exit(1);
    }
    t->agreements[t->n_agreements++] = (kt_agreement){a, b, tol};
}

void kt_fails(kt *t, tsr_status status)
{
    t->want_status = status;
}

/* ---------------------------------------------------------------- alone and in company ------------------ */

static int64_t below(uint64_t *state, int64_t n)
{
    return (int64_t)(next(state) % (uint64_t)n);
}

void kt_spanwise(kt *t, const int32_t *start, int64_t n)
{
    t->n_units = n;
    t->unit_start = take((size_t)(n + 1) * sizeof *t->unit_start);
    memcpy(t->unit_start, start, (size_t)(n + 1) * sizeof *start);
    t->first = 0;
    t->end = n;
    if (!t->alone || n < 2) return;
    t->first = below(&t->part_rng, n);
    t->end = t->first + 1;
    if (below(&t->part_rng, 3) == 0) t->end += below(&t->part_rng, n - t->first);
}

void kt_rowwise(kt *t, int64_t rows)
{
    int32_t *start = take((size_t)(rows + 1) * sizeof *start);
    for (int64_t r = 0; r <= rows; r++) start[r] = (int32_t)r;
    kt_spanwise(t, start, rows);
    free(start);
}

tsr_view kt_part(kt *t, tsr_view v)
{
    if (t->n_units == 0) return v;
    return tsr_rows(v, t->unit_start[t->first], t->unit_start[t->end] - t->unit_start[t->first]);
}

int64_t kt_part_rows(kt *t)
{
    return t->unit_start[t->end] - t->unit_start[t->first];
}

/* Keep the block as it is now; nobody may have left its elements until here. */
static void seal(kt *t, kt_buffer *b)
{
    for (size_t i = 0; i < b->guard; i++)
        if (b->block[i] != GUARD_BYTE || b->block[b->bytes - 1 - i] != GUARD_BYTE) t->overrun = true;
    b->sealed = take(b->bytes);
    memcpy(b->sealed, b->block, b->bytes);
}

int32_t *kt_part_ints(kt *t, const int32_t *values, int64_t n)
{
    kt_buffer *b = make(t, KT_SEALED, TSR_I32, 1, n, n, 0, 0);
    memcpy(b->view.data, values, (size_t)n * sizeof *values);
    seal(t, b);
    return b->view.data;
}

void kt_own(kt *t, tsr_view output, const int32_t *owner)
{
    kt_buffer *b = find(t, output);
    if (!b->owner) b->owner = take((size_t)b->view.rows * sizeof *owner);
    memcpy(b->owner, owner, (size_t)b->view.rows * sizeof *owner);
}

void kt_stream(kt *t)
{
    int64_t rows = t->n_units ? t->unit_start[t->n_units] : 0;
    int64_t n = kt_pick(t, 0, rows, kt_int(t, 0, rows));
    n = kt_model(t, n, rows);
    int64_t left = n - (t->n_units ? t->unit_start[t->first] : 0), here = t->n_units ? kt_part_rows(t) : 0;
    t->q->n_stream = left < 0 ? 0 : left > here ? here : left;
}

/* ---------------------------------------------------------------- weights ------------------------------- */

/* One part, as a file would hold it: dense, and not always aligned. */
static tsr_matrix draw_part(kt *t, kt_weight_opts o, int64_t rows, float scale)
{
    bool misaligned = kt_chance(t, 20) && t->bench < 0;
    size_t each = tsr_dtype_bytes(o.type);
    kt_buffer *b = make(t, KT_INPUT, TSR_U8, 1, rows * o.cols * (int64_t)each, rows * o.cols * (int64_t)each,
                        misaligned, 0);
    unsigned char *to = b->view.data;
    double size = (o.gain ? o.gain : 1) / sqrt((double)o.cols);
    for (int64_t i = 0; i < rows * o.cols; i++, to += each) {
        union {
            float f32;
            uint16_t u16;
            uint8_t fp8;
        } value;
        if (o.type == TSR_FP8)
            value.fp8 = draw_code(t);
        else
            tsr_store(&value, o.type, 0, (float)(size * kt_normal(t)));
        memcpy(to, &value, each);
    }
    tsr_matrix m = {.name = "part", .data = b->view.data, .rows = rows, .cols = o.cols, .type = o.type};
    if (o.scaled == TSR_SCALE_NONE) return m;
    m.n_scales = o.scaled == TSR_SCALE_ROW ? rows : 1;
    tsr_view s = kt_dense(t, TSR_F32, 1, m.n_scales);
    for (int64_t i = 0; i < m.n_scales; i++)
        kt_set(s, 0, i, o.scaled == TSR_SCALE_ROW ? draw_scale(t) * size : scale * size);
    m.scale = s.data;
    return m;
}

tsr_weight kt_weight(kt *t, kt_weight_opts o)
{
    enum { MOST = 64 };
    tsr_matrix parts[MOST];
    int n = o.experts ? o.experts : o.parts > 1 ? o.parts : 1;
    if (n > MOST || (!o.experts && n > o.rows)) n = 1;
    float scale = draw_scale(t);
    for (int i = 0; i < n; i++) {
        int64_t rows = o.experts ? o.rows : o.rows * (i + 1) / n - o.rows * i / n;
        parts[i] = draw_part(t, o, rows, o.equal_scales ? scale : draw_scale(t));
    }
    tsr_linear_source source = {
        .name = "w", .parts = parts, .n_parts = n, .experts = o.experts > 0, .input = o.input};
    if (o.bias) source.bias = kt_dense(t, TSR_F32, 1, o.rows).data;
    if (o.input == TSR_INPUT_STATIC) {
        tsr_view s = kt_dense(t, TSR_F32, 1, 1);
        kt_set(s, 0, 0, o.input_scale);
        source.input_scale = s.data;
    }

    size_t bytes = t->q->ops->linear_bytes(&source);
    kt_buffer *b = make(t, KT_SEALED, TSR_U8, 1, (int64_t)bytes, (int64_t)bytes, 0, GUARD_BYTE);
    tsr_weight w = {.name = "w"};
    t->q->ops->linear_pack(t->q, &w, b->view.data, &source);
    seal(t, b);
    return w;
}

tsr_norm_weight kt_norm_weight(kt *t, int64_t d, bool centred, bool bias)
{
    tsr_norm_weight w = {.name = "norm", .w = kt_dense(t, TSR_F32, 1, d), .eps = 1e-5f, .centred = centred};
    if (bias) w.b = kt_dense(t, TSR_F32, 1, d);
    return w;
}
