/* kernels/load.c: find, check, convert; two walks over one arena. */
#include "kernels/load.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/made_up.h"

#define MAX_NAME 192  /* of an expanded spelling; the longest of ours has under 100 characters */
#define NAME_BYTES 64 /* kept per weight, for messages and taps */

struct tsr_loader {
    tsr_queue *q;
    tsr_loader_opts opts;
    const char *const *ignores[TSR_LOADER_MAX_IGNORES];
    int n_ignores;

    /* of the walk that runs */
    const char *const *prefixes;
    enum { MEASURE, FILL, SETTLE } pass;
    tsr_arena names; /* of the host */
    tsr_arena
        values; /* what walks write: on a device, FILL writes a copy here and SETTLE hands out its place there */
    tsr_arena packed;            /* what linear_pack writes */
    unsigned char *values_there; /* NULL on the host */
    size_t weight_bytes;
    tsr_status failed;
    size_t done_bytes; /* loaded so far, of all networks */

    /* of the linear that is being made */
    tsr_matrix *parts;
    int64_t parts_capacity;
    float *scales;
    int64_t scales_capacity;
    void *made; /* a made-up matrix on its way to a device */
    size_t made_bytes;
    bool rounded; /* to FP8, here */
};

tsr_status tsr_loader_open(tsr_loader **out, tsr_queue *q, tsr_loader_opts opts)
{
    tsr_loader *l = tsr_calloc(1, sizeof *l);
    if (!l) return tsr_fail(TSR_E_NOMEM, "no memory for a loader");
    l->q = q;
    l->opts = opts;
    if (!opts.fp8_parts) l->opts.fp8_parts = TSR_FP8_DEFAULT_PARTS;
    *out = l;
    return TSR_OK;
}

void tsr_loader_close(tsr_loader *l)
{
    if (!l) return;
    tsr_free(l->parts);
    tsr_free(l->scales);
    tsr_free(l->made);
    tsr_free(l);
}

void tsr_loaded_release(tsr_loaded *loaded)
{
    tsr_memory_give(loaded->memory, loaded->block);
    tsr_free(loaded->names);
    *loaded = (tsr_loaded){0};
}

static tsr_arena arena_over(void *base, size_t bytes)
{
    return (tsr_arena){.base = base, .capacity = bytes};
}

static void begin_walk(tsr_loader *l, int pass)
{
    l->pass = pass;
    l->names.used = l->values.used = l->packed.used = 0;
    l->weight_bytes = 0;
}

static void tell(tsr_loader *l)
{
    if (l->opts.progress) l->opts.progress(l->opts.progress_user, l->done_bytes, l->opts.total_bytes);
}

/* On the host: one block for everything, which the walk fills. */
static tsr_status fill_here(tsr_loader *l, tsr_loaded *out, tsr_load_walk *walk, void *network)
{
    size_t names = l->names.used, values = l->values.used, packed = l->packed.used;
    size_t bytes = tsr_add(out->block_bytes, TSR_ARENA_ALIGN);
    tsr_status st = tsr_memory_take(&out->block, NULL, bytes);
    if (st) return tsr_wrap(st, "weights");
    unsigned char *base = out->block;
    l->names = arena_over(base, names);
    l->values = arena_over(base + names, values);
    l->packed = arena_over(base + names + values, packed);
    begin_walk(l, FILL);
    walk(l, network);
    return l->failed ? l->failed : tsr_queue_sync(l->q);
}

/* On a device: linears go there one by one, what the walk writes goes in one piece, and a last walk hands out
 * the addresses it has there. */
static tsr_status fill_there(tsr_loader *l, tsr_loaded *out, tsr_load_walk *walk, void *network)
{
    const tsr_memory *d = l->q->ops->memory;
    size_t values = l->values.used, packed = l->packed.used, done_before = l->done_bytes;
    void *here = NULL;
    tsr_status st = tsr_memory_take(&out->names, NULL, l->names.used);
    if (!st) st = tsr_memory_take(&here, NULL, values);
    if (!st) st = tsr_memory_take(&out->block, d, tsr_add(values, packed));
    if (st) {
        tsr_free(here);
        return tsr_wrap(st, "weights");
    }
    out->memory = d;
    l->values_there = out->block;
    l->names = arena_over(out->names, l->names.used);
    l->values = arena_over(here, values);
    l->packed = arena_over(l->values_there + values, packed);
    begin_walk(l, FILL);
    walk(l, network);
    if (!l->failed) {
        tsr_memory_upload(l->q, out->block, here, values);
        l->values = arena_over(out->block, values);
        begin_walk(l, SETTLE);
        walk(l, network);
    }
    l->values_there = NULL;
    tsr_status synced = tsr_queue_sync(l->q);
    tsr_free(here);
    l->done_bytes = done_before + out->block_bytes; /* with what lies between weights, and names */
    tell(l);
    return l->failed ? l->failed : synced;
}

tsr_status tsr_loader_run(tsr_loader *l, tsr_loaded *out, const char *const *prefixes, tsr_load_walk *walk,
                          void *network)
{
    l->prefixes = prefixes;
    l->names = l->values = l->packed = (tsr_arena){0};
    l->failed = TSR_OK;
    begin_walk(l, MEASURE);
    walk(l, network);
    if (l->failed) return l->failed;

    tsr_loaded loaded = {.block_bytes = tsr_add(tsr_add(l->names.used, l->values.used), l->packed.used),
                         .weight_bytes = l->weight_bytes};
    if (!l->opts.dry) {
        tsr_status st =
            l->q->ops->memory ? fill_there(l, &loaded, walk, network) : fill_here(l, &loaded, walk, network);
        assert(st || l->names.used + l->values.used + l->packed.used == loaded.block_bytes);
        if (st) {
            tsr_loaded_release(&loaded);
            return st;
        }
    }
    *out = loaded;
    return TSR_OK;
}

void tsr_loader_ignore(tsr_loader *l, const char *const *patterns)
{
    assert(l->n_ignores < TSR_LOADER_MAX_IGNORES);
    l->ignores[l->n_ignores++] = patterns;
}

static bool is_ignored(const tsr_loader *l, const char *name)
{
    for (int i = 0; i < l->n_ignores; i++)
        for (const char *const *p = l->ignores[i]; *p; p++)
            if (fnmatch(*p, name, FNM_NOESCAPE) == 0) return true;
    return false;
}

tsr_status tsr_loader_finish(tsr_loader *l)
{
    for (int64_t i = 0; l->opts.files && i < tsr_safetensors_count(l->opts.files); i++) {
        const tsr_tensor *t = tsr_safetensors_at(l->opts.files, i);
        char shape[128];
        if (!t->used && !is_ignored(l, t->name))
            return tsr_fail(TSR_E_FORMAT, "%s: tensor '%s' %s %s is no part of this network", t->file,
                            t->name, t->dtype_name, tsr_shape_text(shape, sizeof shape, t->shape, t->n_dims));
    }
    return TSR_OK;
}

bool tsr_load_from_files(const tsr_loader *l)
{
    return l->opts.files != NULL;
}

void tsr_load_fail(tsr_loader *l, tsr_status code, const char *format, ...)
{
    if (l->failed) return;
    va_list args;
    va_start(args, format);
    l->failed = tsr_fail_v(code, format, args);
    va_end(args);
}

void *tsr_load_bytes(tsr_loader *l, size_t bytes)
{
    return l->failed ? NULL : tsr_arena_take(&l->values, bytes);
}

bool tsr_load_filling(const tsr_loader *l)
{
    return l->pass == FILL && !l->failed;
}

static bool is_filling(const tsr_loader *l)
{
    return tsr_load_filling(l);
}

/* Where kernels will find what the walk writes at `here`. */
static const float *kept_at(const tsr_loader *l, const float *here)
{
    if (!here || !l->values_there) return here;
    return (const float *)(const void *)(l->values_there + ((const unsigned char *)here - l->values.base));
}

/* ---------------------------------------------------------------- names --------------------------------- */

/* Write `pattern` with its marks replaced and `suffix` behind it. */
static void expand(char to[MAX_NAME], const char *pattern, const char *prefix, const char *layer_format,
                   int64_t layer, int64_t expert, const char *suffix)
{
    size_t n = 0;
    for (; *pattern; pattern++) {
        char piece[MAX_NAME] = {*pattern};
        if (*pattern == '$') snprintf(piece, sizeof piece, "%s", prefix);
        if (*pattern == '#') snprintf(piece, sizeof piece, layer_format, (int)layer);
        if (*pattern == '@') snprintf(piece, sizeof piece, "%d", (int)expert);
        size_t length = strlen(piece);
        assert(n + length < MAX_NAME);
        memcpy(to + n, piece, length);
        n += length;
    }
    assert(n + strlen(suffix) < MAX_NAME);
    snprintf(to + n, MAX_NAME - n, "%s", suffix);
}

/* Our own name, for messages: the layer has two digits, as in docs/model.md. */
static const char *our_name(char to[MAX_NAME], const char *name, int64_t layer)
{
    expand(to, name, "", "%02d", layer, 0, "");
    return to;
}

/* Kept beside the values; the pattern itself while measuring. */
const char *tsr_load_name(tsr_loader *l, const char *name, int64_t layer)
{
    char text[MAX_NAME];
    char *to = l->failed ? NULL : tsr_arena_take(&l->names, NAME_BYTES);
    if (!to) return name;
    snprintf(to, NAME_BYTES, "%.*s", NAME_BYTES - 1, our_name(text, name, layer));
    return to;
}

/* The tensor under the first spelling that exists; `stem` is that spelling without the suffix, or the first
 * one of all when there is none. */
static tsr_tensor *find(tsr_loader *l, char stem[MAX_NAME], const tsr_tensor_names *n, int64_t layer,
                        int64_t expert, const char *suffix)
{
    static const char *const no_prefix[] = {"", NULL};
    char name[MAX_NAME];
    stem[0] = '\0';
    for (int s = 0; s < TSR_MAX_SPELLINGS && n->spellings[s] && l->opts.files; s++) {
        const char *const *prefixes = strchr(n->spellings[s], '$') ? l->prefixes : no_prefix;
        for (; *prefixes; prefixes++) {
            expand(name, n->spellings[s], *prefixes, "%d", layer, expert, suffix);
            tsr_tensor *t = tsr_safetensors_find(l->opts.files, name);
            if (t || !stem[0]) expand(stem, n->spellings[s], *prefixes, "%d", layer, expert, "");
            if (t) return t;
        }
    }
    return NULL;
}

const tsr_tensor *tsr_load_find(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, const char *suffix)
{
    char stem[MAX_NAME];
    return find(l, stem, n, layer, 0, suffix);
}

/* ---------------------------------------------------------------- checks -------------------------------- */

/* Equal but for dimensions of size 1: files keep [1, 1, d], [channels, 1, taps] and [1] for a scalar. */
static bool shape_is(const tsr_tensor *t, const int64_t *want, int n_want)
{
    int i = 0, j = 0;
    for (;;) {
        while (i < t->n_dims && t->shape[i] == 1) i++;
        while (j < n_want && want[j] == 1) j++;
        if (i == t->n_dims || j == n_want) return i == t->n_dims && j == n_want;
        if (t->shape[i++] != want[j++]) return false;
    }
}

static bool check_shape(tsr_loader *l, const tsr_tensor *t, const int64_t *want, int n_want)
{
    char found[128], wanted[128];
    if (shape_is(t, want, n_want)) return true;
    tsr_load_fail(l, TSR_E_SHAPE, "%s: tensor '%s' has shape %s, wanted %s", t->file, t->name,
                  tsr_shape_text(found, sizeof found, t->shape, t->n_dims),
                  tsr_shape_text(wanted, sizeof wanted, want, n_want));
    return false;
}

static bool check_float(tsr_loader *l, const tsr_tensor *t)
{
    if (t->type == TSR_F32 || t->type == TSR_BF16 || t->type == TSR_F16) return true;
    tsr_load_fail(l, TSR_E_SHAPE, "%s: tensor '%s' has type %s, wanted F32, BF16 or F16", t->file, t->name,
                  t->dtype_name);
    return false;
}

static void fail_missing(tsr_loader *l, const char *name, int64_t layer, const char *stem, const char *suffix,
                         const int64_t *want, int n_want)
{
    char ours[MAX_NAME], wanted[128];
    tsr_load_fail(l, TSR_E_FORMAT, "no tensor '%s%s' nor any other spelling of %s, wanted %s", stem, suffix,
                  our_name(ours, name, layer), tsr_shape_text(wanted, sizeof wanted, want, n_want));
}

/* A needed tensor of floats, checked and marked; NULL after a failure and without files. */
static const tsr_tensor *need_floats(tsr_loader *l, const tsr_tensor_names *n, int64_t layer,
                                     const int64_t *want, int n_want)
{
    char stem[MAX_NAME];
    if (!l->opts.files || l->failed) return NULL;
    tsr_tensor *t = find(l, stem, n, layer, 0, "");
    if (!t) {
        fail_missing(l, n->name, layer, stem, "", want, n_want);
        return NULL;
    }
    if (!check_float(l, t) || !check_shape(l, t, want, n_want)) return NULL;
    t->used = true;
    return t;
}

/* Element i of a tensor whose data may be misaligned. */
static float element(const tsr_tensor *t, int64_t i)
{
    uint32_t aligned = 0;
    size_t bytes = tsr_dtype_bytes(t->type);
    memcpy(&aligned, (const char *)t->data + (size_t)i * bytes, bytes);
    return tsr_load(&aligned, t->type, 0);
}

/* ---------------------------------------------------------------- vectors and tables -------------------- */

tsr_view tsr_load_table(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, int64_t rows, int64_t cols,
                        bool transposed, tsr_range made_up)
{
    const int64_t want[2] = {transposed ? cols : rows, transposed ? rows : cols};
    const tsr_tensor *t = need_floats(l, n, layer, want, 2);
    float *to = tsr_load_bytes(l, tsr_mul(tsr_mul((size_t)rows, (size_t)cols), sizeof *to));
    uint64_t key = tsr_made_up_key(l->opts.seed, n->name, layer);
    for (int64_t r = 0; r < rows && is_filling(l); r++)
        for (int64_t c = 0; c < cols; c++)
            to[r * cols + c] =
                t ? element(t, transposed ? c * rows + r : r * cols + c)
                  : made_up.lo + (made_up.hi - made_up.lo) * tsr_made_up_unit(key, r * cols + c);
    return tsr_view_of(to, TSR_F32, rows, cols);
}

tsr_view tsr_load_vector(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, int64_t count,
                         tsr_range made_up)
{
    return tsr_load_table(l, n, layer, 1, count, false, made_up);
}

tsr_view tsr_load_zeros(tsr_loader *l, int64_t count)
{
    float *to = tsr_load_bytes(l, tsr_mul((size_t)count, sizeof *to));
    if (is_filling(l)) memset(to, 0, (size_t)count * sizeof *to);
    return tsr_view_of(to, TSR_F32, 1, count);
}

void tsr_load_norm(tsr_loader *l, tsr_norm_weight *out, const tsr_tensor_names *w, const tsr_tensor_names *b,
                   int64_t layer, int64_t d, float eps)
{
    *out = (tsr_norm_weight){.name = tsr_load_name(l, w->name, layer), .eps = eps, .centred = b != NULL};
    out->w = tsr_load_vector(l, w, layer, d, (tsr_range){0.75f, 1.25f});
    if (b) out->b = tsr_load_vector(l, b, layer, d, (tsr_range){-0.25f, 0.25f});
}

/* ---------------------------------------------------------------- linears ------------------------------- */

/* While measuring, what has no address yet points here: whether a scale or bias exists decides sizes, their
 * values do not. */
static const _Alignas(64) float placeholder[16];

static bool make_room(tsr_loader *l, int64_t n_parts, int64_t n_scales)
{
    void *parts = l->parts, *scales = l->scales;
    bool ok = !l->failed && tsr_grow(&parts, &l->parts_capacity, n_parts, sizeof *l->parts);
    l->parts = parts;
    ok = ok && tsr_grow(&scales, &l->scales_capacity, n_scales, sizeof *l->scales);
    l->scales = scales;
    if (!ok) tsr_load_fail(l, TSR_E_NOMEM, "no memory for the parts of a weight");
    return ok;
}

/* One scale, checked. */
static float scale_of(tsr_loader *l, const tsr_tensor *t, int64_t i)
{
    float scale = element(t, i);
    if (!(scale > 0 && isfinite(scale)))
        tsr_load_fail(l, TSR_E_FORMAT, "%s: tensor '%s' holds %g, wanted positive finite scales", t->file,
                      t->name, (double)scale);
    return scale;
}

const float *tsr_load_scale(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, float made_up)
{
    const int64_t want = 1;
    const tsr_tensor *t = need_floats(l, n, layer, &want, 1);
    float *to = tsr_load_bytes(l, sizeof *to), scale = t ? scale_of(l, t, 0) : made_up;
    if (is_filling(l)) *to = scale;
    return to;
}

bool tsr_load_rounds(const tsr_loader *l, tsr_linear_part part)
{
    return l->opts.quantise && part != TSR_PART_TABLE && l->opts.fp8_parts >> part & 1;
}

/* The weight's scales behind the n already in l->scales; how many, 0 after a failure. */
static int64_t read_scales(tsr_loader *l, int64_t n, const char *stem, int64_t rows)
{
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s.weight_scale", stem);
    tsr_tensor *t = tsr_safetensors_find(l->opts.files, name);
    if (!t) {
        tsr_load_fail(l, TSR_E_FORMAT, "'%s.weight' is FP8, but there is no tensor '%s'", stem, name);
        return 0;
    }
    if (!check_float(l, t)) return 0;
    if (t->elements != 1 && !check_shape(l, t, &rows, 1)) return 0;
    if (!make_room(l, 0, n + t->elements)) return 0;
    t->used = true;
    for (int64_t i = 0; i < t->elements; i++) l->scales[n + i] = scale_of(l, t, i);
    return t->elements;
}

/* The larger of *largest and the static scale beside an FP8 weight; it may be missing while it is not used. */
static void read_input_scale(tsr_loader *l, float *largest, const char *stem)
{
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s.input_scale", stem);
    tsr_tensor *t = tsr_safetensors_find(l->opts.files, name);
    if (t && check_float(l, t) && check_shape(l, t, NULL, 0)) {
        t->used = true;
        *largest = fmaxf(*largest, scale_of(l, t, 0));
    } else if (!t && l->opts.fp8_input == TSR_INPUT_STATIC) {
        tsr_load_fail(l, TSR_E_FORMAT,
                      "'%s.weight' is FP8 and its input is to be too, but there is no tensor '%s'", stem,
                      name);
    }
}

/* Made-up inputs of up to 28 are covered: what norms and relu^2 make of values about 1. */
#define MADE_UP_INPUT_SCALE 0.0625f

static void tell_bound(const tsr_loader *l, const char *name, int64_t layer, const tsr_tensor *t)
{
    char ours[MAX_NAME];
    if (l->opts.bound && is_filling(l)) l->opts.bound(l->opts.bound_user, our_name(ours, name, layer), t);
}

/* One matrix of a file into *m; its scales go behind the *n_scales before it. */
static void read_part(tsr_loader *l, tsr_matrix *m, const char *name, int64_t layer, tsr_tensor *t,
                      const char *stem, const char *suffix, const int64_t *want, int n_want,
                      int64_t *n_scales)
{
    if (!t) {
        fail_missing(l, name, layer, stem, suffix, want, n_want);
        return;
    }
    if (t->type != TSR_FP8 && !check_float(l, t)) return;
    if (!check_shape(l, t, want, n_want)) return;
    t->used = true;
    tell_bound(l, name, layer, t);
    *m = (tsr_matrix){.name = t->name, .data = t->data, .rows = want[0], .type = t->type};
    m->cols = t->elements / (want[0] ? want[0] : 1);
    if (m->type != l->parts[0].type)
        tsr_load_fail(l, TSR_E_UNSUPPORTED, "%s: tensor '%s' is %s, but '%s' beside it is %s", t->file,
                      t->name, tsr_dtype_name(t->type), l->parts[0].name, tsr_dtype_name(l->parts[0].type));
    if (m->type == TSR_FP8) {
        m->n_scales = read_scales(l, *n_scales, stem, m->rows);
        *n_scales += m->n_scales;
    }
}

/* Give each part its scales, which lie behind each other: among the values, or in l->scales when not filling. */
static void keep_scales(tsr_loader *l, int64_t n_parts, int64_t n_scales)
{
    if (!n_scales) return;
    float *kept = tsr_load_bytes(l, tsr_mul((size_t)n_scales, sizeof *kept));
    l->weight_bytes = tsr_add(l->weight_bytes, (size_t)n_scales * sizeof *kept);
    if (is_filling(l))
        memcpy(kept, l->scales, (size_t)n_scales * sizeof *kept);
    else
        kept = l->scales;
    for (int64_t p = 0; p < n_parts; p++) {
        l->parts[p].scale = kept;
        kept += l->parts[p].n_scales;
    }
}

/* From l->parts to the backend's weight. `input_scale` 0: none. */
static void pack(tsr_loader *l, tsr_weight *out, const char *name, int64_t layer, int64_t n_parts,
                 int64_t n_scales, bool experts, const float *bias, float input_scale)
{
    const tsr_matrix *first = l->parts;
    tsr_input_mode input = first->type == TSR_FP8 ? l->opts.fp8_input : TSR_INPUT_KEEP;
    if (l->rounded && input == TSR_INPUT_STATIC) input = TSR_INPUT_DYNAMIC;
    keep_scales(l, n_parts, n_scales);
    float *kept_input = input_scale > 0 ? tsr_load_bytes(l, sizeof *kept_input) : NULL;
    if (kept_input && is_filling(l)) *kept_input = input_scale;

    tsr_linear_source source = {.name = tsr_load_name(l, name, layer),
                                .parts = l->parts,
                                .n_parts = (int)n_parts,
                                .experts = experts,
                                .bias = bias,
                                .input_scale = kept_input,
                                .input = input};
    if (input_scale > 0 && !kept_input) source.input_scale = placeholder;

    int64_t rows = 0;
    for (int64_t p = 0; p < n_parts; p++) rows += first[p].rows;
    l->weight_bytes = tsr_add(
        l->weight_bytes, tsr_mul(tsr_mul((size_t)rows, (size_t)first->cols), tsr_dtype_bytes(first->type)));
    if (l->failed) return;
    size_t bytes = l->q->ops->linear_bytes(&source);
    void *block = tsr_arena_take(&l->packed, bytes);
    if (l->pass == SETTLE) return; /* it is where it stays */
    if (is_filling(l)) {
        source.bias = kept_at(l, source.bias);
        source.input_scale = kept_at(l, source.input_scale);
        l->q->ops->linear_pack(l->q, out, block, &source);
        l->done_bytes += bytes;
        if (l->q->ops->memory) tell(l);
        return;
    }
    *out = (tsr_weight){.name = source.name,
                        .rows = experts ? first->rows : rows,
                        .cols = first->cols,
                        .n_experts = experts ? n_parts : 1,
                        .type = first->type,
                        .input = source.input};
    if (n_scales) out->scaled = n_scales == 1 ? TSR_SCALE_TENSOR : TSR_SCALE_ROW;
    out->bias = bias ? placeholder : NULL;
}

/* Memory for made-up matrices: in the block; on a device, memory of the host that is used again and again. NULL
 * when nothing is to be written. */
static unsigned char *place_made_up(tsr_loader *l, size_t bytes)
{
    bool from_map = l->opts.dry && !l->rounded; /* stands for a file's, which is read where it lies */
    if (!l->q->ops->memory) return from_map || l->failed ? NULL : tsr_arena_take(&l->packed, bytes);
    if (!is_filling(l)) return NULL;
    if (bytes > l->made_bytes) {
        tsr_free(l->made);
        l->made = tsr_alloc(bytes);
        l->made_bytes = l->made ? bytes : 0;
        if (!l->made) tsr_load_fail(l, TSR_E_NOMEM, "no memory for %zu made-up bytes", bytes);
    }
    return l->made;
}

/* Rows of one part on their way to FP8. */
typedef struct row_rounding {
    const tsr_matrix *from;
    uint8_t *codes; /* NULL: scales alone */
    float *scales;  /* one per row; NaN for a row that is not finite */
} row_rounding;

/* n values of a matrix whose data may be misaligned. */
static void widen(float *to, const tsr_matrix *m, int64_t first, int64_t n)
{
    size_t bytes = tsr_dtype_bytes(m->type);
    const char *from = (const char *)m->data + (size_t)first * bytes;
    for (int64_t i = 0; i < n && m->type == TSR_BF16; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        to[i] = tsr_from_bf16(half);
    }
    for (int64_t i = 0; i < n && m->type != TSR_BF16; i++) {
        uint32_t aligned = 0;
        memcpy(&aligned, from + (size_t)i * bytes, bytes);
        to[i] = tsr_load(&aligned, m->type, 0);
    }
}

/* In pieces that stay in the cache: once for the largest value, once for the codes. */
static void round_row(void *arg, int64_t row, int worker)
{
    enum { PIECE = 1024 };
    const row_rounding *r = arg;
    float values[PIECE];
    int64_t first = row * r->from->cols, cols = r->from->cols;
    uint32_t largest = 0; /* bits of absolute values, which order as these do, with NaN on top */
    (void)worker;
    for (int64_t at = 0; at < cols; at += PIECE) {
        int64_t n = cols - at < PIECE ? cols - at : PIECE;
        widen(values, r->from, first + at, n);
        for (int64_t i = 0; i < n; i++) {
            uint32_t size = tsr_bits_of(values[i]) & 0x7fffffffu;
            largest = size > largest ? size : largest;
        }
    }
    float amax = largest < 0x7f800000u ? tsr_float_of(largest) : NAN;
    float scale = amax / TSR_FP8_MAX;
    r->scales[row] = scale == 0 ? 1 : scale;
    for (int64_t at = 0; at < cols && r->codes; at += PIECE) {
        int64_t n = cols - at < PIECE ? cols - at : PIECE;
        widen(values, r->from, first + at, n);
        for (int64_t i = 0; i < n; i++) r->codes[first + at + i] = tsr_to_fp8(values[i] / r->scales[row]);
    }
}

/* Round all parts; returns how many scales they have. Scales are needed while measuring where there is one to a
 * part, because equal ones are stored once. */
static int64_t round_parts(tsr_loader *l, tsr_linear_part part, int64_t n_parts)
{
    int64_t rows = 0, row = 0;
    l->rounded = tsr_load_rounds(l, part) && l->parts[0].type != TSR_FP8;
    if (!l->rounded || l->failed) return 0;
    for (int64_t p = 0; p < n_parts; p++) rows += l->parts[p].rows;
    size_t cols = (size_t)l->parts[0].cols;
    unsigned char *data = place_made_up(l, tsr_mul((size_t)rows, cols));
    if (!make_room(l, n_parts, rows)) return 0;
    uintptr_t first = data ? (uintptr_t)data : TSR_ARENA_ALIGN;
    for (int64_t p = 0; p < n_parts; p++) {
        tsr_matrix *m = &l->parts[p];
        row_rounding r = {m, is_filling(l) ? data + (size_t)row * cols : NULL, l->scales + row};
        int64_t n = is_filling(l) || m->rows == 1 ? m->rows : 0;
        if (l->q->pool)
            tsr_pool_run(l->q->pool, n, round_row, &r);
        else
            for (int64_t i = 0; i < n; i++) round_row(&r, i, 0);
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(r.scales[i]))
                tsr_load_fail(l, TSR_E_FORMAT, "tensor '%s', row %lld: values that are not finite", m->name,
                              (long long)i);
        m->type = TSR_FP8;
        m->data = (const void *)(first + (size_t)row * cols);
        m->n_scales = m->rows;
        row += m->rows;
    }
    return rows;
}

/* Made-up parts: one matrix for all rows, or one for each expert, lying behind each other. */
static int64_t make_up(tsr_loader *l, const char *name, int64_t layer, int64_t n_parts, int64_t rows,
                       int64_t cols, tsr_linear_part part, float *input_scale)
{
    tsr_dtype type = l->opts.type;
    if (type == TSR_FP8 && (part == TSR_PART_TABLE || !(l->opts.fp8_parts >> part & 1))) type = TSR_BF16;
    l->rounded = tsr_load_rounds(l, part);
    if (l->rounded) type = TSR_FP8;
    uint64_t key = tsr_made_up_key(l->opts.seed, name, layer);
    float rms = 1.0f / sqrtf((float)cols);
    size_t each = tsr_mul(tsr_mul((size_t)rows, (size_t)cols), tsr_dtype_bytes(type));
    unsigned char *data = place_made_up(l, tsr_mul((size_t)n_parts, each));
    int64_t per_part = type != TSR_FP8 ? 0 : l->rounded || l->opts.scaled == TSR_SCALE_ROW ? rows : 1;
    if (!make_room(l, n_parts, n_parts * per_part)) return 0;
    for (int64_t i = 0; i < n_parts * per_part; i++)
        l->scales[i] = rms * (0.5f + 0.4f * tsr_made_up_unit(key, i));
    /* While measuring, the parts lie behind each other as they will, only not anywhere. */
    uintptr_t first = data ? (uintptr_t)data : TSR_ARENA_ALIGN;
    for (int64_t p = 0; p < n_parts; p++) {
        l->parts[p] = (tsr_matrix){.name = name,
                                   .data = (const void *)(first + (size_t)p * each),
                                   .rows = rows,
                                   .cols = cols,
                                   .type = type};
        l->parts[p].n_scales = per_part;
    }
    if (is_filling(l)) /* the mean square of 1 to 2 is 7 / 3, its root about 1.5 */
        tsr_made_up_fill(l->q->pool, data, (size_t)n_parts * each, key, type,
                         (int)floorf(log2f(rms / 1.5f) + 0.5f));
    if (type == TSR_FP8 && !l->rounded) *input_scale = MADE_UP_INPUT_SCALE;
    return n_parts * per_part;
}

/* The bias of all parts behind each other. */
static const float *load_bias(tsr_loader *l, const char *name, const tsr_load_part *parts, int n_parts,
                              int64_t layer, int64_t rows)
{
    float *bias = tsr_load_bytes(l, tsr_mul((size_t)rows, sizeof *bias));
    int64_t at = 0;
    for (int p = 0; p < n_parts && !l->failed && l->opts.files; p++) {
        char stem[MAX_NAME];
        tsr_tensor *t = find(l, stem, parts[p].names, layer, 0, ".bias");
        if (!t) fail_missing(l, parts[p].names->name, layer, stem, ".bias", &parts[p].rows, 1);
        if (!t || !check_float(l, t) || !check_shape(l, t, &parts[p].rows, 1)) return NULL;
        t->used = true;
        for (int64_t i = 0; i < t->elements && is_filling(l); i++) bias[at + i] = element(t, i);
        at += parts[p].rows;
    }
    for (int64_t i = 0; i < rows && !l->opts.files && is_filling(l); i++)
        bias[i] = 0.2f * tsr_made_up_unit(tsr_made_up_key(l->opts.seed, name, layer) + 1, i) - 0.1f;
    return is_filling(l) ? bias : placeholder;
}

void tsr_load_linear(tsr_loader *l, tsr_weight *out, const char *name, const tsr_load_part *parts,
                     int n_parts, int64_t layer, int64_t cols, tsr_load_linear_opts o)
{
    int64_t rows = 0, n_scales = 0;
    float input_scale = 0;
    for (int p = 0; p < n_parts; p++) rows += parts[p].rows;
    if (!make_room(l, n_parts, 0)) return;

    if (!l->opts.files) n_scales = make_up(l, name, layer, 1, rows, cols, o.part, &input_scale);
    for (int p = 0; p < n_parts && l->opts.files && !l->failed; p++) {
        char stem[MAX_NAME];
        int64_t want[4] = {parts[p].rows, o.inner[0] ? o.inner[0] : cols, o.inner[1], o.inner[2]};
        tsr_tensor *t = find(l, stem, parts[p].names, layer, 0, ".weight");
        if (p == 0 && t) l->parts[0].type = t->type;
        read_part(l, &l->parts[p], parts[p].names->name, layer, t, stem, ".weight", want, o.inner[0] ? 4 : 2,
                  &n_scales);
        if (!l->failed && l->parts[p].type == TSR_FP8) read_input_scale(l, &input_scale, stem);
    }
    if (l->opts.files) n_scales += round_parts(l, o.part, n_parts);
    const float *bias = o.bias ? load_bias(l, name, parts, n_parts, layer, rows) : NULL;
    if (!l->failed)
        pack(l, out, name, layer, l->opts.files ? n_parts : 1, n_scales, false, bias, input_scale);
}

void tsr_load_experts(tsr_loader *l, tsr_weight *out, const tsr_tensor_names *each,
                      const tsr_tensor_names *stacked, int64_t layer, int64_t n_experts, int64_t rows,
                      int64_t cols)
{
    char stem[MAX_NAME];
    int64_t n_scales = 0;
    float input_scale = 0;
    if (!make_room(l, n_experts, 0)) return;

    tsr_tensor *all = find(l, stem, stacked, layer, 0, "");
    if (!l->opts.files) {
        n_scales = make_up(l, each->name, layer, n_experts, rows, cols, TSR_PART_DECODER, &input_scale);
    } else if (all) {
        const int64_t want[3] = {n_experts, rows, cols};
        if (!check_float(l, all) || !check_shape(l, all, want, 3)) return;
        all->used = true;
        tell_bound(l, stacked->name, layer, all);
        for (int64_t e = 0; e < n_experts; e++)
            l->parts[e] = (tsr_matrix){.name = all->name,
                                       .rows = rows,
                                       .cols = cols,
                                       .type = all->type,
                                       .data = (const char *)all->data +
                                               (size_t)(e * rows * cols) * tsr_dtype_bytes(all->type)};
    } else {
        const int64_t want[2] = {rows, cols};
        for (int64_t e = 0; e < n_experts && !l->failed; e++) {
            tsr_tensor *t = find(l, stem, each, layer, e, ".weight");
            if (e == 0 && t) l->parts[0].type = t->type;
            read_part(l, &l->parts[e], each->name, layer, t, stem, ".weight", want, 2, &n_scales);
            if (!l->failed && l->parts[e].type == TSR_FP8) read_input_scale(l, &input_scale, stem);
        }
    }
    if (l->opts.files && !l->failed) n_scales += round_parts(l, TSR_PART_DECODER, n_experts);
    if (!l->failed) pack(l, out, each->name, layer, n_experts, n_scales, true, NULL, input_scale);
}
