/* tests/device/endtoend.c: whole checkpoints on one backend against ref, through the public API alone.
 *
 *   endtoend BACKEND FOLDER
 *
 * Every checkpoint in FOLDER reads a prompt (with a picture, where it has eyes) in two pieces and then one id at a
 * time, so that prefill, its continuation and decoding all run: stage by stage with the fused ops taken apart, and
 * once more as it runs in earnest, where only what stands between ops is compared. Each stage is compared in L2 over
 * all its rows, and may differ by what ref's own results move when the same roundings are switched on (the limits are
 * in docs/numerics.md, "Devices"); the stage nearest to its limit is shown. Needs no test library, so that a portable
 * build can be carried to the machine with the device.
 */
#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tessera.h"

/* A step of 96 rows is past the kernels for few rows, the one that goes on after it is not. */
enum { N_PROMPT = 150, N_STEPS = 6, MAX_ROWS = 96, MAX_STAGES = 512, MAX_MODELS = 64 };

typedef struct stage {
    char name[64];
    float *values;
    int64_t n, capacity, cols;
} stage;

typedef struct record {
    stage stages[MAX_STAGES];
    int n;
} record;

typedef struct form {
    const char *label, *dtype, *fp8, *kv, *parts;
} form;

/* W8A8 and KV8 are for FP8 checkpoints with their scales, WIDE8 and ALL8 for wider ones with eyes, whose every linear
 * becomes FP8 as it is loaded. */
enum { F32, BF16, W8A8, KV8, WIDE8, ALL8, N_FORMS };
static const form forms[N_FORMS] = {
    [F32] = {"f32", "f32", "off", "auto", NULL},
    [BF16] = {"bf16", "bf16", "off", "auto", NULL},
    [W8A8] = {"w8a8", "bf16", "on", "auto", NULL},
    [KV8] = {"kv8", "bf16", "off", "fp8", NULL},
    [WIDE8] = {"fp8", "fp8", "off", "auto", "attention,vision,projector"},
    [ALL8] = {"fp8 w8a8", "fp8", "on", "auto", "attention,vision,projector"},
};

/* A checkpoint on ref, in every form. */
typedef struct answers {
    char weights[64], pattern[512];
    bool has_vision, has[N_FORMS];
    record of[N_FORMS];
} answers;

static void must(tsr_status status)
{
    if (!status) return;
    fprintf(stderr, "endtoend: %s\n", tsr_message());
    exit(1);
}

static void *checked(void *block)
{
    if (!block) {
        fprintf(stderr, "endtoend: no memory\n");
        exit(1);
    }
    return block;
}

/* ---------------------------------------------------------------- one run ------------------------------- */

static void keep(void *user, const char *name, const char *type, const int64_t *shape, int n_dims,
                 const void *data)
{
    record *r = user;
    if (strcmp(type, "f32") != 0) return;
    int64_t elements = 1;
    for (int i = 0; i < n_dims; i++) elements *= shape[i];
    stage *s = NULL;
    for (int i = 0; i < r->n && !s; i++)
        if (!strcmp(r->stages[i].name, name)) s = &r->stages[i];
    if (!s) {
        if (r->n == MAX_STAGES) return;
        s = &r->stages[r->n++];
        snprintf(s->name, sizeof s->name, "%s", name);
        s->cols = shape[n_dims - 1];
    }
    if (s->n + elements > s->capacity) {
        s->capacity = 2 * (s->n + elements);
        s->values = checked(realloc(s->values, (size_t)s->capacity * sizeof *s->values));
    }
    memcpy(s->values + s->n, data, (size_t)elements * sizeof *s->values);
    s->n += elements;
}

static void forget(record *r)
{
    for (int i = 0; i < r->n; i++) free(r->stages[i].values);
    *r = (record){.n = 0};
}

static int64_t draw(int64_t i, int64_t below)
{
    uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15u + 0x1234567;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)below);
}

/* Read the prompt and the ids after it, and keep what was tapped; `of` may be NULL. False when the
 * backend has no such KV, with the reason in tsr_message. */
static bool run(record *to, const char *path, const char *picture, const char *backend, const form *f,
                bool unfused, answers *of)
{
    tsr_model *model;
    tsr_engine *engine;
    tsr_session *session;
    tsr_image *image = NULL;
    tsr_model_opts mo = {
        .backend = backend, .dtype = f->dtype, .fp8_activations = f->fp8, .fp8_parts = f->parts};
    must(tsr_model_open(&model, path, &mo));
    const tsr_model_info *about = tsr_model_about(model);
    if (of) {
        snprintf(of->weights, sizeof of->weights, "%s", about->weight_types);
        snprintf(of->pattern, sizeof of->pattern, "%s", about->pattern);
        of->has_vision = about->has_vision;
    }
    if (about->has_vision) must(tsr_image_open(&image, model, picture, &(tsr_image_opts){.max_tiles = 2}));
    int64_t n_rows = image ? tsr_image_about(image)->n_tokens : 0, n_prompt = N_PROMPT + n_rows;
    tsr_status st = tsr_engine_open(
        &engine, model,
        &(tsr_engine_opts){
            .n_ctx = n_prompt + N_STEPS, .max_rows = MAX_ROWS, .unfused = unfused, .kv = f->kv});
    if (st == TSR_E_UNSUPPORTED && !strcmp(f->kv, "fp8")) {
        tsr_image_close(image);
        tsr_model_close(model);
        return false;
    }
    must(st);
    must(tsr_session_open(&session, engine));
    tsr_engine_trace(engine, keep, to);

    int32_t *ids = checked(malloc((size_t)(n_prompt + N_STEPS) * sizeof *ids));
    for (int64_t i = 0; i < n_prompt + N_STEPS; i++)
        ids[i] = i >= 5 && i < 5 + n_rows ? (int32_t)(-1 - (i - 5)) : (int32_t)draw(i, about->n_vocab);
    const tsr_image *images[] = {image};
    must(tsr_session_add_ids(session, ids, n_prompt, images, image ? 1 : 0));
    must(tsr_session_read(session, NULL, NULL)); /* in steps of max_rows */
    for (int i = 0; i < N_STEPS; i++) {
        must(tsr_session_add_ids(session, ids + n_prompt + i, 1, NULL, 0));
        must(tsr_session_read(session, NULL, NULL));
    }
    free(ids);
    tsr_session_close(session);
    tsr_engine_close(engine);
    tsr_image_close(image);
    tsr_model_close(model);
    return true;
}

/* ---------------------------------------------------------------- comparing ----------------------------- */

static double drift(const stage *got, const stage *want)
{
    double error = 0, size = 0;
    if (got->n != want->n) return INFINITY;
    for (int64_t i = 0; i < want->n; i++) {
        double e = (double)got->values[i] - (double)want->values[i];
        error += e * e;
        size += (double)want->values[i] * (double)want->values[i];
    }
    if (isnan(error)) return INFINITY;
    return error == 0 ? 0 : sqrt(error / size);
}

/* Share of rows whose largest logit is the same one. */
static double agreement(const stage *got, const stage *want)
{
    int64_t rows = want->n / want->cols, same = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t a = 0, b = 0;
        for (int64_t c = 1; c < want->cols; c++) {
            if (got->values[r * want->cols + c] > got->values[r * want->cols + a]) a = c;
            if (want->values[r * want->cols + c] > want->values[r * want->cols + b]) b = c;
        }
        same += a == b;
    }
    return rows ? (double)same / (double)rows : 1;
}

static const stage *find(const record *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (!strcmp(r->stages[i].name, name)) return &r->stages[i];
    return NULL;
}

/* Experts are chosen by comparison, and may be others where values are rounded: from the first layer of them on,
 * such a model is not compared. */
static bool compared(const char *name, const char *pattern, bool exact)
{
    const char *first = strchr(pattern, 'E');
    if (exact || !first) return true;
    if (!strncmp(name, "lm.layer.", 9)) return atoi(name + 9) < first - pattern;
    return strncmp(name, "lm.", 3) != 0 || !strcmp(name, "lm.embed");
}

static bool is_norm(const char *name)
{
    const char *last = strrchr(name, '.');
    return last && !strncmp(last, ".norm", 5);
}

/* Made inside a layer, or by a norm that a product may take in. */
static bool is_inside(const char *name)
{
    const char *last = strrchr(name, '.');
    return is_norm(name) || (last && strstr(name, ".layer.") && !isdigit((unsigned char)last[1]));
}

/* What is compared of this form. A norm before a product with inputs in FP8 is shown as the product takes it, in
 * codes on one backend and before its rounding on another. */
static bool is_shown(const char *name, int kind, bool unfused)
{
    return unfused ? strcmp(forms[kind].fp8, "on") != 0 || !is_norm(name) : !is_inside(name);
}

static double moved(const answers *ref, int a, int b, const char *name)
{
    const stage *x = find(&ref->of[a], name), *y = find(&ref->of[b], name);
    return x && y ? drift(x, y) : 0;
}

/* Of the L2 error of a stage; docs/numerics.md derives it. */
static double limit_of(const answers *ref, int kind, const char *name)
{
    double floor = 1e-4, bf16 = moved(ref, BF16, F32, name);
    switch (kind) {
    case F32: return floor + (strcmp(ref->weights, "f32") != 0 ? 1.5 * bf16 : 0);
    case W8A8:
    case KV8: return floor + 2 * bf16 + 1.5 * moved(ref, kind, BF16, name);
    case ALL8: return floor + 2 * bf16 + 1.5 * moved(ref, ALL8, WIDE8, name);
    default: return floor + 2 * bf16;
    }
}

static bool check(const answers *ref, const char *path, const char *label, const char *picture,
                  const char *backend, int kind, bool unfused)
{
    static record got;
    if (!run(&got, path, picture, backend, &forms[kind], unfused, NULL)) {
        printf("%-14s %-8s %s\n", label, forms[kind].label, tsr_message());
        return true;
    }

    bool exact = kind == F32 && !strcmp(ref->weights, "f32");
    double worst = 0, error = 0, limit = 0;
    const char *where = "", *passed = NULL;
    int n = 0;
    for (int i = 0; i < ref->of[kind].n; i++) {
        const stage *want = &ref->of[kind].stages[i], *mine = find(&got, want->name);
        if (!compared(want->name, ref->pattern, exact) || !is_shown(want->name, kind, unfused)) continue;
        double d = mine ? drift(mine, want) : INFINITY, most = limit_of(ref, kind, want->name);
        if (d / most >= worst) worst = d / most, error = d, limit = most, where = want->name;
        if (!(d <= most) && !passed) passed = want->name; /* the first in the order of the network */
        n++;
    }
    const stage *logits = find(&ref->of[kind], "lm.logits"), *mine = find(&got, "lm.logits");
    double same = logits && mine && logits->n == mine->n ? agreement(mine, logits) : 0;
    bool ok = !passed && n > 0 && logits;
    printf("%-14s %-8s %-8s %3d stages  %.1e of %.1e at %-22s same choice %5.1f%%  %s%s\n", label,
           forms[kind].label, unfused ? "unfused" : "fused", n, error, limit, where, 100 * same,
           ok ? "ok" : "FAILED at ",
           ok       ? ""
           : passed ? passed
                    : "lm.logits");
    fflush(stdout);
    forget(&got);
    return ok;
}

/* A checkpoint in every form, on ref and on the backend; returns how many comparisons failed. */
static int check_all(const char *path, const char *label, const char *picture, const char *backend)
{
    static answers ref;
    int failed = 0;
    for (int f = 0; f < N_FORMS; f++) {
        bool is_fp8 = strstr(ref.weights, "fp8"), has_eyes = ref.has_vision && !is_fp8;
        ref.has[f] = f <= BF16 || (f <= KV8 ? is_fp8 : has_eyes);
        if (ref.has[f])
            ref.has[f] = run(&ref.of[f], path, picture, "ref", &forms[f], true, f == F32 ? &ref : NULL);
    }
    for (int f = 0; f < N_FORMS; f++)
        for (int unfused = 1; unfused >= 0 && ref.has[f]; unfused--)
            failed += !check(&ref, path, label, picture, backend, f, unfused);
    for (int f = 0; f < N_FORMS; f++) forget(&ref.of[f]);
    return failed;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

int main(int argc, char **argv)
{
    static char names[MAX_MODELS][64];
    if (argc != 3 || strlen(argv[2]) > 4000) {
        fprintf(stderr, "usage: endtoend BACKEND FOLDER\n");
        return 2;
    }
    DIR *folder = opendir(argv[2]);
    if (!folder) {
        fprintf(stderr, "endtoend: %s cannot be read\n", argv[2]);
        return 1;
    }
    int n = 0, failed = 0;
    for (const struct dirent *e; (e = readdir(folder)) && n < MAX_MODELS;)
        if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof names[0])
            snprintf(names[n++], 64, "%s", e->d_name);
    closedir(folder);
    qsort(names, (size_t)n, sizeof names[0], by_name);

    char path[8192], picture[8192];
    snprintf(picture, sizeof picture, "%s/chat-a/expect/png.png", argv[2]);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", argv[2], names[i]);
        failed += check_all(path, names[i], picture, argv[1]);
    }
    printf("%d checkpoints, %d comparisons failed\n", n, failed);
    return failed || n == 0;
}
