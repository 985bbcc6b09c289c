/* tests/runtime/quantize.c: FP8 checkpoints against torch's rounding and transformers' inputs.
 *
 * tests/vectors/quantize (tools/oracle_quantize.py) has a hash of every matrix's codes, its scale, bit for bit, and
 * the largest input that transformers saw on the same ids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "kernels/backend.h"
#include "runtime/calibrate.h"
#include "tests/unit/temp.h"

#define MODELS TSR_SOURCE_DIR "/tests/vectors/models/"
#define CASES TSR_SOURCE_DIR "/tests/vectors/quantize/"
#define PLACEHOLDER TSR_SOURCE_DIR "/tests/placeholder"
#define PICTURE MODELS "chat-a/expect/png.png"

static temp files;
static tsr_json *expected; /* case.json of the checkpoint at hand */

static int setup(void **state)
{
    (void)state;
    expected = NULL;
    temp_open(&files);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tsr_json_close(expected);
    temp_close(&files);
    return 0;
}

static const char *at(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", files.folder, name);
    return path;
}

static void read_case(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, CASES "%s/case.json", name);
    assert_int_equal(tsr_json_open(&expected, path, 1 << 20), TSR_OK);
}

/* The ids of the case as calib/a.ids. */
static void write_ids(void)
{
    char text[4096];
    int n = 0;
    const tsr_json_value *ids = tsr_json_find(tsr_json_root(expected), "ids");
    for (const tsr_json_value *line = tsr_json_first(ids); line; line = tsr_json_next(line)) {
        for (const tsr_json_value *id = tsr_json_first(line); id; id = tsr_json_next(id))
            n += snprintf(text + n, sizeof text - (size_t)n, "%d ", (int)tsr_json_number(id));
        n += snprintf(text + n, sizeof text - (size_t)n, "\n");
    }
    temp_write(&files, "calib/a.ids", text, (size_t)n);
}

static void quantise(const char *model, const tsr_quantize_opts *opts, tsr_quantize_info *info)
{
    char out[512];
    snprintf(out, sizeof out, "%s", at("out"));
    tsr_model_opts o = {.backend = "ref"};
    if (tsr_quantize(out, model, &o, opts, info)) fail_msg("%s: %s", model, tsr_message());
}

static float scalar(tsr_safetensors *made, const char *stem, const char *suffix)
{
    char name[512];
    float value;
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    const tsr_tensor *t = tsr_safetensors_find(made, name);
    assert_non_null(t);
    assert_true(t->type == TSR_F32 && t->n_dims == 0);
    memcpy(&value, t->data, sizeof value);
    return value;
}

static void check_linear(tsr_safetensors *made, const tsr_json_value *want, double input_tolerance)
{
    char name[512], hex[65];
    const char *stem = tsr_json_key(want);
    snprintf(name, sizeof name, "%s.weight", stem);
    const tsr_tensor *t = tsr_safetensors_find(made, name);
    if (!t || t->type != TSR_FP8) fail_msg("%s is not in FP8", name);

    unsigned char digest[32];
    tsr_sha256 sum;
    tsr_sha256_begin(&sum);
    tsr_sha256_add(&sum, t->data, t->bytes);
    tsr_sha256_end(&sum, digest);
    tsr_sha256_hex(hex, digest);
    if (strcmp(hex, tsr_json_string(tsr_json_find(want, "codes")))) fail_msg("%s has other codes", name);
    assert_true((double)tsr_bits_of(scalar(made, stem, ".weight_scale")) ==
                tsr_json_number(tsr_json_find(want, "weight_scale")));

    /* The static scale covers what the reference saw, and no more than that. */
    const tsr_json_value *input_max = tsr_json_find(want, "input_max");
    double covered = (double)scalar(made, stem, ".input_scale") * 448;
    assert_true(covered > 0 && isfinite(covered));
    if (tsr_json_kind_of(input_max) != TSR_JSON_NUMBER) return;
    double seen = tsr_json_number(input_max);
    if (!(fabs(covered - seen) <= input_tolerance * seen))
        fail_msg("%s: inputs up to %g are covered, %g were seen", stem, covered, seen);
}

/* The scale of keys or values, if the reference saw some, covers them and no more. */
static int64_t check_kv(tsr_safetensors *made, const tsr_json_value *want, double tolerance)
{
    const char *stem = tsr_json_key(want);
    const tsr_json_value *most = tsr_json_find(want, "output_max");
    if (!most || tsr_json_kind_of(most) != TSR_JSON_NUMBER) return 0;
    bool is_k = !strcmp(stem + strlen(stem) - strlen("k_proj"), "k_proj");
    double seen = tsr_json_number(most),
           covered = (double)scalar(made, stem, is_k ? ".k_scale" : ".v_scale") * 448;
    if (!(fabs(covered - seen) <= tolerance * seen))
        fail_msg("%s: keys or values up to %g are covered, %g were seen", stem, covered, seen);
    return 1;
}

/* Everything that is neither codes nor a scale is as it was. */
static int64_t check_rest(tsr_safetensors *made, const char *model)
{
    tsr_safetensors *old = NULL;
    int64_t same = 0;
    assert_int_equal(tsr_safetensors_open(&old, model), TSR_OK);
    for (int64_t i = 0; i < tsr_safetensors_count(old); i++) {
        const tsr_tensor *before = tsr_safetensors_at(old, i),
                         *now = tsr_safetensors_find(made, before->name);
        if (!now || now->type == TSR_FP8) continue;
        assert_string_equal(now->dtype_name, before->dtype_name);
        assert_int_equal(now->bytes, before->bytes);
        assert_memory_equal(now->data, before->data, now->bytes);
        assert_int_equal((uintptr_t)now->data % tsr_dtype_bytes(now->type), 0);
        same++;
    }
    tsr_safetensors_close(old);
    return same;
}

static void check_out(const char *model, double input_tolerance, bool kv)
{
    tsr_safetensors *made = NULL;
    assert_int_equal(tsr_safetensors_open(&made, at("out")), TSR_OK);
    const tsr_json_value *linears = tsr_json_find(tsr_json_root(expected), "linears");
    for (const tsr_json_value *l = tsr_json_first(linears); l; l = tsr_json_next(l))
        check_linear(made, l, input_tolerance);
    int64_t n_kv = 0;
    for (const tsr_json_value *l = tsr_json_first(linears); l && kv; l = tsr_json_next(l))
        n_kv += check_kv(made, l, input_tolerance);
    assert_true(!kv || n_kv > 0);
    int64_t same = check_rest(made, model);
    assert_int_equal(tsr_safetensors_count(made), same + 3 * tsr_json_count(linears) + n_kv);
    tsr_safetensors_close(made);
    assert_int_not_equal(access(at("out.part"), F_OK), 0);
}

/* f32 checkpoints to the last bits of f32; keys and values of the others are kept in bf16. */
static void text_models(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double tolerance;
    } models[] = {{"text-moe", 2e-5}, {"golden", 1e-2}, {"text-runs", 1e-2}, {"text-f16", 1e-2}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char model[512], calib[512];
        tsr_quantize_info info;
        teardown(NULL);
        setup(NULL);
        read_case(models[i].name);
        write_ids();
        snprintf(model, sizeof model, MODELS "%s", models[i].name);
        snprintf(calib, sizeof calib, "%s", at("calib"));
        quantise(model, &(tsr_quantize_opts){.calibration = calib, .kv = 1}, &info);
        assert_int_equal(info.n_sequences, 3);
        assert_int_equal(info.n_tokens, 60);
        check_out(model, models[i].tolerance, true);

        tsr_model *m = NULL;
        tsr_model_opts opts = {.fp8_activations = "on"};
        if (tsr_model_open(&m, at("out"), &opts)) fail_msg("%s: %s", models[i].name, tsr_message());
        tsr_engine *e = NULL;
        if (tsr_engine_open(&e, m, &(tsr_engine_opts){.kv = "fp8"}))
            fail_msg("%s: %s", models[i].name, tsr_message());
        tsr_engine_close(e);
        tsr_model_close(m);
    }
}

/* Encoder, projector and head too, pictures to calibrate, many files. */
static void whole_model(void **state)
{
    (void)state;
    char calib[512], link[600];
    tsr_quantize_info info;
    read_case("chat-b");
    write_ids();
    snprintf(calib, sizeof calib, "%s", at("calib"));
    snprintf(link, sizeof link, "%s/picture.png", calib);
    assert_int_equal(symlink(PICTURE, link), 0);
    tsr_quantize_opts o = {
        .calibration = calib, .lm_head = 1, .vision = 1, .projector = 1, .max_shard_bytes = 60000};
    quantise(MODELS "chat-b", &o, &info);
    assert_int_equal(info.n_sequences, 4);
    assert_true(info.n_shards > 2);
    check_out(MODELS "chat-b", 1e-2, false);

    tsr_model *m = NULL;
    if (tsr_model_open(&m, at("out"), NULL)) fail_msg("%s", tsr_message());
    tsr_model_close(m);
}

/* Without a path: the built-in texts. */
static void placeholder(void **state)
{
    (void)state;
    tsr_quantize_info info;
    read_case("placeholder");
    quantise(PLACEHOLDER, NULL, &info);
    assert_true(info.n_sequences >= 128);
    check_out(PLACEHOLDER, 1, false);
}

/* ---------------------------------------------------------------- how far FP8 is off ---------------------- */

typedef struct comparison {
    tsr_queue *q; /* ref */
    const tsr_weight *fp8[256];
    int n_fp8, n_compared;
    tsr_input_mode input; /* of the FP8 linears */
} comparison;

static void keep_weight(void *user, const tsr_weight *w, tsr_view x)
{
    comparison *c = user;
    (void)x;
    for (int i = 0; i < c->n_fp8; i++)
        if (c->fp8[i] == w) return;
    assert_true(c->n_fp8 < 256);
    c->fp8[c->n_fp8++] = w;
}

static const tsr_weight *same_named(const comparison *c, const tsr_weight *w)
{
    for (int i = 0; i < c->n_fp8; i++)
        if (!strcmp(c->fp8[i]->name, w->name)) return c->fp8[i];
    fail_msg("%s did not run", w->name);
    return NULL;
}

/* Sum of squares of the terms of element (row, j). */
static double size2(const tsr_weight *w, int64_t j, const float *x)
{
    double sum = 0;
    for (int64_t k = 0; k < w->cols; k++) {
        double term = (double)tsr_load(w->data, w->type, j * w->cols + k) * (double)x[k];
        sum += term * term;
    }
    return sum;
}

/* Both factors of each term rounded to E4M3: in L2 0.4 x 2^-4 each (docs/numerics.md), and independent; 1.5 for
 * matrices as small as these. */
static void compare_linear(void *user, const tsr_weight *w, tsr_view x)
{
    comparison *c = user;
    const tsr_weight *fp8 = same_named(c, w);
    if (fp8->type != TSR_FP8) return;
    assert_int_equal(fp8->input, c->input);
    float *out = malloc((size_t)(2 * x.rows * w->rows) * sizeof *out);
    tsr_view y = tsr_view_of(out, TSR_F32, x.rows, w->rows);
    tsr_view z = tsr_view_of(out + x.rows * w->rows, TSR_F32, x.rows, w->rows);
    tsr_linear(c->q, y, x, w, (tsr_linear_opts){0});
    tsr_linear(c->q, z, x, fp8, (tsr_linear_opts){0});
    assert_int_equal(tsr_queue_sync(c->q), TSR_OK);
    double error = 0, size = 0;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t j = 0; j < w->rows; j++) {
            double d =
                (double)((float *)y.data)[r * w->rows + j] - (double)((float *)z.data)[r * w->rows + j];
            error += d * d;
            size += size2(w, j, tsr_row(x, r));
        }
    double bound = 1.5 * 0.4 * 0x1p-4 * sqrt(2);
    if (!(sqrt(error) <= bound * sqrt(size)))
        fail_msg("%s: %.4f of the terms, %.4f is the bound", w->name, sqrt(error / size), bound);
    c->n_compared++;
    free(out);
}

static void no_experts(void *user, const tsr_weight *up, const tsr_weight *down, tsr_view t, tsr_view ids)
{
    (void)user, (void)up, (void)down, (void)t, (void)ids;
}

/* A few ids, behind a picture of one tile for models with eyes. */
static void run_ids(tsr_engine *e, const tsr_watch *watch)
{
    static const int32_t ids[] = {5, 90, 17, 33, 41, 12, 77, 60, 3, 28, 54, 99};
    tsr_session *s = NULL;
    tsr_image *image = NULL;
    assert_int_equal(tsr_session_open(&s, e), TSR_OK);
    e->queue->watch = watch;
    if (e->model->has_vision) {
        assert_int_equal(tsr_image_open(&image, e->model, PICTURE, &(tsr_image_opts){.max_tiles = 1}),
                         TSR_OK);
        assert_int_equal(tsr_session_say(s, TSR_USER, &(tsr_part){.image = image}, 1), TSR_OK);
    }
    assert_int_equal(tsr_session_read(s, NULL, NULL), TSR_OK);
    assert_int_equal(tsr_session_add_ids(s, ids, sizeof ids / sizeof *ids, NULL, 0), TSR_OK);
    if (!image) assert_int_equal(tsr_session_read(s, NULL, NULL), TSR_OK);
    e->queue->watch = NULL;
    tsr_image_close(image);
    tsr_session_close(s);
}

/* One run of each model, FP8 first: its weights are then known by name. */
static void run_both(const char *wide, const char *fp8, const tsr_model_opts *fp8_opts,
                     const tsr_watch *first, const tsr_watch *second)
{
    static const tsr_model_opts ref = {.backend = "ref"};
    static const tsr_engine_opts unfused = {.unfused = 1};
    tsr_model *m[2] = {0};
    tsr_engine *e[2] = {0};
    if (tsr_model_open(&m[0], wide, &ref) || tsr_model_open(&m[1], fp8, fp8_opts))
        fail_msg("%s", tsr_message());
    for (int i = 0; i < 2; i++) assert_int_equal(tsr_engine_open(&e[i], m[i], &unfused), TSR_OK);
    run_ids(e[1], first);
    run_ids(e[0], second);
    for (int i = 0; i < 2; i++) {
        tsr_engine_close(e[i]);
        tsr_model_close(m[i]);
    }
}

static void compare(comparison *c, const char *wide, const char *fp8, const tsr_model_opts *o, int n)
{
    assert_int_equal(tsr_queue_open(&c->q, &tsr_ref_ops, NULL, TSR_F32, 1 << 20), TSR_OK);
    run_both(wide, fp8, o, &(tsr_watch){keep_weight, no_experts, c, NULL},
             &(tsr_watch){compare_linear, no_experts, c, NULL});
    assert_int_equal(c->n_compared, n);
    tsr_queue_close(c->q);
}

/* Other ids than those of the calibration, every linear given the wide model's own input. */
static void accuracy(void **state)
{
    (void)state;
    char calib[512], out[512];
    read_case("text-runs");
    write_ids();
    snprintf(calib, sizeof calib, "%s", at("calib"));
    snprintf(out, sizeof out, "%s", at("out"));
    quantise(MODELS "text-runs", &(tsr_quantize_opts){.calibration = calib}, NULL);
    tsr_model_opts of_files = {.backend = "ref", .fp8_activations = "on"};
    compare(&(comparison){.input = TSR_INPUT_STATIC}, MODELS "text-runs", out, &of_files,
            24); /* two in each of 12 layers: q, k and v are one */

    tsr_model_opts at_load = {.backend = "ref", .dtype = "fp8", .fp8_activations = "on"};
    compare(&(comparison){.input = TSR_INPUT_DYNAMIC}, MODELS "text-runs", MODELS "text-runs", &at_load, 24);
}

/* The same with encoder, projector and head, behind a picture. */
static void accuracy_of_eyes(void **state)
{
    (void)state;
    char calib[512], link[600], out[512];
    read_case("chat-b");
    write_ids();
    snprintf(calib, sizeof calib, "%s", at("calib"));
    snprintf(link, sizeof link, "%s/picture.png", calib);
    assert_int_equal(symlink(PICTURE, link), 0);
    snprintf(out, sizeof out, "%s", at("out"));
    tsr_quantize_opts all = {.calibration = calib, .lm_head = 1, .vision = 1, .projector = 1};
    quantise(MODELS "chat-b", &all, NULL);
    tsr_model_opts of_files = {.backend = "ref", .fp8_activations = "on"};
    compare(&(comparison){.input = TSR_INPUT_STATIC}, MODELS "chat-b", out, &of_files, 29);

    tsr_model_opts at_load = {.backend = "ref", .dtype = "fp8", .fp8_parts = "all", .fp8_activations = "on"};
    compare(&(comparison){.input = TSR_INPUT_DYNAMIC}, MODELS "chat-b", MODELS "chat-b", &at_load, 29);
}

/* ---------------------------------------------------------------- FP8 at load ----------------------------- */

/* Row by row: the scale is amax / 448, the codes are those of the row over the scale. */
static void check_rows(const tsr_weight *wide, const tsr_weight *fp8)
{
    const uint8_t *codes = fp8->data;
    assert_int_equal(fp8->type, TSR_FP8);
    assert_int_equal(fp8->scaled, TSR_SCALE_ROW);
    assert_int_equal(fp8->input, TSR_INPUT_KEEP);
    for (int64_t r = 0; r < wide->rows * wide->n_experts; r++) {
        float amax = 0;
        for (int64_t c = 0; c < wide->cols; c++)
            amax = fmaxf(amax, fabsf(tsr_load(wide->data, wide->type, r * wide->cols + c)));
        assert_true(fp8->scale[r] == amax / 448);
        for (int64_t c = 0; c < wide->cols; c++)
            assert_int_equal(
                codes[r * wide->cols + c],
                tsr_to_fp8(tsr_load(wide->data, wide->type, r * wide->cols + c) / fp8->scale[r]));
    }
}

static void keep_experts(void *user, const tsr_weight *up, const tsr_weight *down, tsr_view t, tsr_view ids)
{
    (void)ids;
    keep_weight(user, up, t);
    keep_weight(user, down, t);
}

static void check_linear_rows(void *user, const tsr_weight *w, tsr_view x)
{
    comparison *c = user;
    const tsr_weight *fp8 = same_named(c, w);
    (void)x;
    if (!strcmp(w->name, "lm.head")) {
        assert_int_equal(fp8->type, w->type);
        return;
    }
    check_rows(w, fp8);
    c->n_compared++;
}

static void check_expert_rows(void *user, const tsr_weight *up, const tsr_weight *down, tsr_view t,
                              tsr_view ids)
{
    (void)ids;
    check_linear_rows(user, up, t);
    check_linear_rows(user, down, t);
}

static void at_load(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int n;
    } models[] = {{MODELS "text-moe", 14}, {MODELS "text-f16", 8}, {MODELS "text-runs", 24}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        comparison c = {0};
        tsr_model_opts o = {.backend = "ref", .dtype = "fp8"};
        run_both(models[i].name, models[i].name, &o, &(tsr_watch){keep_weight, keep_experts, &c, NULL},
                 &(tsr_watch){check_linear_rows, check_expert_rows, &c, NULL});
        assert_int_equal(c.n_compared, models[i].n);
    }
}

/* ---------------------------------------------------------------- refusals -------------------------------- */

static void nothing_is_left(void)
{
    assert_int_not_equal(access(at("out"), F_OK), 0);
    assert_int_not_equal(access(at("out.part"), F_OK), 0);
}

static void refused(const char *model, const tsr_model_opts *m, const tsr_quantize_opts *o, tsr_status want,
                    const char *word)
{
    char out[512];
    snprintf(out, sizeof out, "%s", at("out"));
    assert_int_equal(tsr_quantize(out, model, m, o, NULL), want);
    if (!strstr(tsr_message(), word)) fail_msg("the message lacks %s: %s", word, tsr_message());
    nothing_is_left();
}

static void refusals(void **state)
{
    (void)state;
    char calib[512];
    snprintf(calib, sizeof calib, "%s", temp_write(&files, "blank.txt", " \n\n\t\n", 5));
    tsr_quantize_opts blank = {.calibration = calib}, absent = {.calibration = "/none/such"};
    refused(PLACEHOLDER, NULL, &blank, TSR_E_ARG, "no calibration data");
    refused(PLACEHOLDER, NULL, &absent, TSR_E_IO, "/none/such");
    refused(MODELS "text-moe", NULL, NULL, TSR_E_UNSUPPORTED, "tokenizer");
    refused(MODELS "fp8", NULL, NULL, TSR_E_UNSUPPORTED, "quantised already");
    refused(MODELS "text-moe", NULL, &(tsr_quantize_opts){.vision = 1}, TSR_E_ARG, "vision");
    refused(PLACEHOLDER, &(tsr_model_opts){.backend = "cuda"}, NULL, TSR_E_ARG, "cpu or ref");
    refused(PLACEHOLDER, &(tsr_model_opts){.dtype = "fp8"}, NULL, TSR_E_ARG, "dtype");
    refused(PLACEHOLDER, NULL, &(tsr_quantize_opts){.max_shard_bytes = 2000}, TSR_E_LIMIT, "do not fit");

    /* Linears that no calibration reached have no scale, rather than 1. */
    char text[512];
    snprintf(text, sizeof text, "%s", temp_write(&files, "text.txt", "One line of text.\n", 18));
    refused(PLACEHOLDER, NULL, &(tsr_quantize_opts){.calibration = text, .vision = 1}, TSR_E_ARG, "no input");

    temp_write(&files, "out/mine", "x", 1);
    char out[512];
    snprintf(out, sizeof out, "%s", at("out"));
    assert_int_equal(tsr_quantize(out, PLACEHOLDER, NULL, NULL, NULL), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), "not empty"));
    assert_int_equal(access(at("out/mine"), F_OK), 0);
}

typedef struct stopper {
    const char *what;
    int64_t after;
} stopper;

static int stop(void *user, const char *what, int64_t done, int64_t total)
{
    const stopper *s = user;
    assert_true(done <= total);
    return strcmp(what, s->what) || done < s->after;
}

static void cancelled(void **state)
{
    (void)state;
    stopper at_stage[] = {{"calibrating: sequences", 0},
                          {"calibrating: sequences", 100},
                          {"measuring weights", 3},
                          {"writing", 70000}};
    for (size_t i = 0; i < sizeof at_stage / sizeof *at_stage; i++) {
        tsr_quantize_opts o = {.on_progress = stop, .user = &at_stage[i]};
        refused(PLACEHOLDER, NULL, &o, TSR_E_CANCELLED, "stopped");
    }
}

/* Memory that runs out anywhere ends in a message, and leaves nothing. */
static void no_memory(void **state)
{
    (void)state;
    char calib[512], out[512];
    snprintf(calib, sizeof calib, "%s", temp_write(&files, "a.ids", "1 2 3 4 5\n", 10));
    snprintf(out, sizeof out, "%s", at("out"));
    tsr_quantize_opts o = {.calibration = calib};
    tsr_model_opts m = {.threads = 1};
    int64_t before = tsr_alloc_count(), n_failed = 0;
    assert_int_equal(tsr_quantize(out, MODELS "text-moe", &m, &o, NULL), TSR_OK);
    int64_t total = tsr_alloc_count() - before;
    nftw(out, temp_remove, 16, FTW_DEPTH | FTW_PHYS);
    for (int64_t n = 1; n <= total; n += 1 + total / 60) {
        tsr_alloc_fail_at(n, 1);
        tsr_status st = tsr_quantize(out, MODELS "text-moe", &m, &o, NULL);
        tsr_alloc_fail_at(0, 0);
        if (st && st != TSR_E_NOMEM) fail_msg("allocation %lld: %s", (long long)n, tsr_message());
        if (st) nothing_is_left();
        n_failed += st != TSR_OK;
        nftw(out, temp_remove, 16, FTW_DEPTH | FTW_PHYS);
    }
    assert_true(n_failed > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_models, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_model, setup, teardown),
        cmocka_unit_test_setup_teardown(placeholder, setup, teardown),
        cmocka_unit_test_setup_teardown(accuracy, setup, teardown),
        cmocka_unit_test_setup_teardown(accuracy_of_eyes, setup, teardown),
        cmocka_unit_test_setup_teardown(at_load, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
