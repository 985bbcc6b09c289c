/* tests/model/load.c: binding weights: what is refused, what is measured, what is made up. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "edit.h"
#include "tests/device/far.h"
#include "vision/position.h"

/* ---------------------------------------------------------------- what is refused ----------------------- */

#define FIRST "backbone.layers.0.mixer."

static const struct {
    const char *name, *from, *to; /* the header keeps its length */
    tsr_input_mode input;
    tsr_status status;
    const char *message; /* a part of it; NULL where it loads */
} edits[] = {
    {"golden", NULL, NULL, TSR_INPUT_KEEP, TSR_OK, NULL},
    {"golden", FIRST "D\"", FIRST "X\"", TSR_INPUT_KEEP, TSR_E_FORMAT,
     "no tensor 'backbone.layers.0.mixer.D' nor any other spelling of lm.layer.00.d"},
    {"golden", FIRST "in_proj.weight\"", FIRST "in_proj.weighX\"", TSR_INPUT_KEEP, TSR_E_FORMAT,
     "wanted [328, 64]"},
    {"golden", "lm_head.weight", "lm_heXd.weight", TSR_INPUT_KEEP, TSR_E_FORMAT, "lm.head"},
    {"golden", "experts.7.up_proj", "experts.9.up_proj", TSR_INPUT_KEEP, TSR_E_FORMAT,
     "experts.7.up_proj.weight"},
    {"golden", "[328,64]", "[64,328]", TSR_INPUT_KEEP, TSR_E_SHAPE, "has shape [64, 328], wanted [328, 64]"},
    {"golden", "[192,1,4]", "[4,192,1]", TSR_INPUT_KEEP, TSR_E_SHAPE, "wanted [192, 4]"},
    {"golden", FIRST "A_log\":{\"dtype\":\"BF16\"", FIRST "A_log\":{\"dtype\":\"I16\" ", TSR_INPUT_KEEP,
     TSR_E_SHAPE, "has type I16, wanted F32, BF16 or F16"},
    {"golden", FIRST "in_proj.weight\":{\"dtype\":\"BF16\"", FIRST "in_proj.weight\":{\"dtype\":\"U16\" ",
     TSR_INPUT_KEEP, TSR_E_SHAPE, "has type U16"},
    {"fp8", FIRST "in_proj.weight_scale", FIRST "in_proj.weight_scalX", TSR_INPUT_KEEP, TSR_E_FORMAT,
     "is FP8, but there is no tensor 'backbone.layers.0.mixer.in_proj.weight_scale'"},
    {"fp8", FIRST "in_proj.input_scale", "mtp.nobody.has.a.need.for.this.one.tensor.x", TSR_INPUT_KEEP,
     TSR_OK, NULL},
    {"fp8", FIRST "in_proj.input_scale", "mtp.nobody.has.a.need.for.this.one.tensor.x", TSR_INPUT_STATIC,
     TSR_E_FORMAT, "there is no tensor 'backbone.layers.0.mixer.in_proj.input_scale'"},
    {"fp8", FIRST "in_proj.input_scale", "xyz.nobody.has.a.need.for.this.one.tensor.x", TSR_INPUT_KEEP,
     TSR_E_FORMAT, "is no part of this network"},
    {"fp8", "in_proj.weight_scale\":{\"dtype\":\"F32\"", "in_proj.weight_scale\":{\"dtype\":\"I32\"",
     TSR_INPUT_KEEP, TSR_E_SHAPE, "has type I32"},
    {"chat-a", "mlp1.1.bias", "mlp1.1.bXas", TSR_INPUT_KEEP, TSR_E_UNSUPPORTED,
     "neither kind A (all) nor B (none)"},
    {"chat-a", "mlp1.3.weight", "mlp1.3.weigXt", TSR_INPUT_KEEP, TSR_E_FORMAT, "projector.fc2"},
    {"chat-a", "vision_model.encoder.layers.1.ls2", "vision_model.encoder.layers.1.lsX", TSR_INPUT_KEEP,
     TSR_E_FORMAT, "vision.layer.01.ls2"},
    {"chat-a", "position_embedding", "positionXembedding", TSR_INPUT_KEEP, TSR_E_FORMAT, "vision.position"},
};

/* Every network of a checkpoint whose file is in memory. */
static tsr_status open_all(tsr_queue *q, tsr_safetensors *files, const char *name, tsr_input_mode input)
{
    char path[64];
    size_t bytes;
    snprintf(path, sizeof path, "%s/config.json", name);
    unsigned char *text = edited(&bytes, path, NULL, NULL);
    tsr_json *json;
    must(tsr_json_parse(&json, (const char *)text, bytes, path));
    const tsr_json_value *root = tsr_json_root(json);
    tsr_lm_config c;
    must(tsr_lm_config_read(&c, root));

    tsr_loader *l;
    tsr_lm *lm = NULL;
    tsr_internvit *vit = NULL;
    tsr_projector *projector = NULL;
    must(tsr_loader_open(&l, q, (tsr_loader_opts){.files = files, .fp8_input = input}));
    tsr_status st = tsr_lm_open(&lm, l, &c);
    if (!st && tsr_json_find(root, "vision_config")) {
        tsr_vit_config vc;
        tsr_projector_config pc;
        must(tsr_vit_config_read(&vc, root));
        must(tsr_projector_config_read(&pc, root, vc.d_model, c.d_model));
        st = tsr_internvit_open(&vit, l, &vc);
        if (!st) st = tsr_projector_open(&projector, l, &pc);
    }
    if (!st) st = tsr_loader_finish(l);
    tsr_projector_close(projector);
    tsr_internvit_close(vit);
    tsr_lm_close(lm);
    tsr_loader_close(l);
    tsr_json_close(json);
    free(text);
    return st;
}

static void expect_load(const char *name, unsigned char *file, size_t bytes, tsr_input_mode input,
                        tsr_status status, const char *message)
{
    tsr_queue *q;
    tsr_safetensors *files;
    must(tsr_queue_open(&q, &tsr_ref_ops, NULL, TSR_F32, 0));
    must(tsr_safetensors_parse(&files, file, bytes, "model.safetensors"));
    tsr_status st = open_all(q, files, name, input);
    if (st != status || (message && !strstr(tsr_message(), message)))
        fail_msg("%s wanting '%s': status %d, '%s'", name, message ? message : "success", st, tsr_message());
    tsr_safetensors_close(files);
    tsr_queue_close(q);
}

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char path[64];
        size_t bytes;
        snprintf(path, sizeof path, "%s/model.safetensors", edits[i].name);
        if (edits[i].from) assert_int_equal(strlen(edits[i].from), strlen(edits[i].to));
        unsigned char *file = edited(&bytes, path, edits[i].from, edits[i].to);
        expect_load(edits[i].name, file, bytes, edits[i].input, edits[i].status, edits[i].message);
        free(file);
    }
}

/* A scale that is no scale, in the data of the file. */
static void bad_scales(void **state)
{
    (void)state;
    static const float bad[] = {0, -1, INFINITY, NAN};
    static const char *const names[] = {FIRST "in_proj.weight_scale", FIRST "in_proj.input_scale"};
    for (size_t i = 0; i < 8; i++) {
        size_t bytes;
        unsigned char *file = edited(&bytes, "fp8/model.safetensors", NULL, NULL);
        tsr_safetensors *files;
        must(tsr_safetensors_parse(&files, file, bytes, "model.safetensors"));
        const tsr_tensor *t = tsr_safetensors_find(files, names[i / 4]);
        memcpy(file + ((const unsigned char *)t->data - file), &bad[i % 4], sizeof(float));
        tsr_safetensors_close(files);
        expect_load("fp8", file, bytes, TSR_INPUT_KEEP, TSR_E_FORMAT, "wanted positive finite scales");
        free(file);
    }
}

/* With fewer layers in the configuration, what is left over is named. */
static void surplus_layer(void **state)
{
    (void)state;
    tsr_queue *q;
    tsr_safetensors *files;
    tsr_json *json;
    tsr_lm_config c;
    tsr_loader *l;
    tsr_lm *lm;
    char path[512];
    snprintf(path, sizeof path, "%s/tests/vectors/models/golden", TSR_SOURCE_DIR);
    must(tsr_safetensors_open(&files, path));
    strcat(path, "/config.json");
    must(tsr_json_open(&json, path, (size_t)1 << 20));
    must(tsr_lm_config_read(&c, tsr_json_root(json)));
    must(tsr_queue_open(&q, &tsr_ref_ops, NULL, TSR_F32, 0));
    must(tsr_loader_open(&l, q, (tsr_loader_opts){.files = files}));
    c.n_layers = 5;
    must(tsr_lm_open(&lm, l, &c));
    assert_int_equal(tsr_loader_finish(l), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), "'backbone.layers.5."));
    tsr_lm_close(lm);
    tsr_loader_close(l);
    tsr_queue_close(q);
    tsr_json_close(json);
    tsr_safetensors_close(files);
}

/* A tied head that the file leaves out is the embedding table; untied, it is missing. */
static void tied_head(void **state)
{
    (void)state;
    model like;
    size_t bytes;
    backend backends[MAX_BACKENDS];
    find_backends(backends);
    model_open(&like, &backends[0], "golden", (model_opts){0});
    unsigned char *file = edited(&bytes, "golden/model.safetensors", "lm_head.weight", "mtp.hea.weight");
    tsr_safetensors *files;
    must(tsr_safetensors_parse(&files, file, bytes, "model.safetensors"));
    for (int tied = 0; tied < 2; tied++) {
        tsr_loader *l;
        tsr_lm *lm = NULL;
        like.config.tied = tied;
        must(tsr_loader_open(&l, like.q, (tsr_loader_opts){.files = files}));
        assert_int_equal(tsr_lm_open(&lm, l, &like.config), tied ? TSR_OK : TSR_E_FORMAT);
        if (tied) {
            size_t head = (size_t)(like.config.vocab * like.config.d_model) * 2;
            must(tsr_loader_finish(l));
            assert_int_equal(tsr_lm_loaded(lm)->weight_bytes, tsr_lm_loaded(like.lm)->weight_bytes - head);
        }
        tsr_lm_close(lm);
        tsr_loader_close(l);
    }
    tsr_safetensors_close(files);
    free(file);
    model_close(&like);
}

/* ---------------------------------------------------------------- out of memory ------------------------- */

typedef struct opened {
    tsr_loader *l;
    tsr_lm *lm;
    tsr_internvit *vit;
    tsr_projector *projector;
    tsr_state *state;
    tsr_stepper *stepper;
    tsr_seq seq;
} opened;

static tsr_status open_everything(opened *o, const model *like)
{
    tsr_projector_config pc = {
        .d_patch = tsr_internvit_config(like->vit)->d_model, .d_model = like->config.d_model, .shuffle = 2};
    tsr_status st = tsr_loader_open(&o->l, like->q, (tsr_loader_opts){.files = like->files});
    if (!st) st = tsr_lm_open(&o->lm, o->l, &like->config);
    if (!st) st = tsr_internvit_open(&o->vit, o->l, tsr_internvit_config(like->vit));
    if (!st) st = tsr_projector_open(&o->projector, o->l, &pc);
    if (!st)
        st = tsr_state_open(&o->state, like->q, &like->config,
                            (tsr_state_opts){1, 4, TSR_F32, TSR_F32, TSR_F32});
    if (!st) st = tsr_stepper_open(&o->stepper, o->state, (tsr_stepper_limits){8, 1, 8, 64});
    if (!st) st = tsr_seq_open(&o->seq, o->state, 64);
    return st;
}

static void close_everything(opened *o)
{
    tsr_seq_close(&o->seq);
    tsr_stepper_close(o->stepper);
    tsr_state_close(o->state);
    tsr_projector_close(o->projector);
    tsr_internvit_close(o->vit);
    tsr_lm_close(o->lm);
    tsr_loader_close(o->l);
}

/* The n-th allocation and all after it fail, for every n: a message, nothing left behind (LeakSanitizer). */
static void out_of_memory(void **state)
{
    (void)state;
    model like;
    backend backends[MAX_BACKENDS];
    find_backends(backends);
    model_open(&like, &backends[0], "chat-a", (model_opts){0});
    tsr_status st = TSR_E_NOMEM;
    int n = 0;
    while (st && n < 1000) {
        opened o = {0};
        tsr_alloc_fail_at(++n, 1);
        st = open_everything(&o, &like);
        tsr_alloc_fail_at(0, 0);
        if (st) {
            assert_int_equal(st, TSR_E_NOMEM);
            assert_non_null(strstr(tsr_message(), "no memory"));
        }
        close_everything(&o);
    }
    assert_true(!st && n > 10);
    model_close(&like);
}

/* ---------------------------------------------------------------- measuring ----------------------------- */

static void open_lm(tsr_lm **lm, tsr_queue *q, tsr_loader_opts o, const tsr_lm_config *c)
{
    tsr_loader *l;
    must(tsr_loader_open(&l, q, o));
    must(tsr_lm_open(lm, l, c));
    tsr_loader_close(l);
}

/* A dry walk finds the figures of the real one, and without files those of a file. */
static void dry_is_exact(void **state)
{
    (void)state;
    static const char *const names[] = {"golden", "chat-a", "fp8", "text-f16", "text-moe", "native"};
    backend backends[MAX_BACKENDS];
    int n = find_backends(backends);
    for (int b = 0; b < n; b++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            model m;
            tsr_lm *dry;
            model_open(&m, &backends[b], names[i], (model_opts){.text_only = true});
            open_lm(&dry, m.q, (tsr_loader_opts){.files = m.files, .dry = true}, &m.config);
            assert_int_equal(tsr_lm_loaded(dry)->block_bytes, tsr_lm_loaded(m.lm)->block_bytes);
            assert_int_equal(tsr_lm_loaded(dry)->weight_bytes, tsr_lm_loaded(m.lm)->weight_bytes);
            assert_null(tsr_lm_loaded(dry)->block);
            tsr_lm_close(dry);
            if (strcmp(names[i], "fp8") != 0) { /* which layers are FP8 stands in the file alone */
                open_lm(&dry, m.q, (tsr_loader_opts){.type = m.config.type, .dry = true}, &m.config);
                assert_int_equal(tsr_lm_loaded(dry)->weight_bytes, tsr_lm_loaded(m.lm)->weight_bytes);
                tsr_lm_close(dry);
            }
            model_close(&m);
            assert_int_equal(far_blocks(), 0); /* a device's memory is given back */
        }
}

/* ---------------------------------------------------------------- made-up weights ----------------------- */

static float *made_up_logits(const backend *b, const model *like, tsr_dtype type, tsr_scale_kind scaled,
                             uint64_t seed)
{
    model m = {.backend = b, .config = like->config};
    must(tsr_pool_open(&m.pool, 2));
    must(tsr_queue_open(&m.q, &b->ops, m.pool, TSR_F32, (size_t)16 << 20));
    open_lm(&m.lm, m.q, (tsr_loader_opts){.type = type, .scaled = scaled, .seed = seed}, &m.config);
    must(tsr_state_open(&m.state, m.q, &m.config,
                        (tsr_state_opts){1, 4, TSR_F32, tsr_lm_kv_type(m.lm), TSR_F32}));
    must(tsr_stepper_open(&m.stepper, m.state, (tsr_stepper_limits){MODEL_ROWS, 1, MODEL_ROWS, MODEL_ROWS}));
    static const int32_t ids[] = {3, 1, 4, 1, 5, 9};
    tsr_seq seq = model_seq(&m);
    float *logits = model_feed(&m, &seq, ids, 6, TSR_LOGITS_LAST, NULL, 0);
    tsr_seq_close(&seq);
    model_close(&m);
    return logits;
}

static void made_up(void **state)
{
    (void)state;
    static const struct {
        tsr_dtype type;
        tsr_scale_kind scaled;
    } forms[] = {{TSR_F32, TSR_SCALE_NONE},
                 {TSR_BF16, TSR_SCALE_NONE},
                 {TSR_F16, TSR_SCALE_NONE},
                 {TSR_FP8, TSR_SCALE_TENSOR},
                 {TSR_FP8, TSR_SCALE_ROW}};
    backend backends[MAX_BACKENDS];
    int n = find_backends(backends);
    model like;
    model_open(&like, &backends[0], "golden", (model_opts){0});
    for (int b = 0; b < n; b++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            float *a = made_up_logits(&backends[b], &like, forms[i].type, forms[i].scaled, 1);
            float *again = made_up_logits(&backends[b], &like, forms[i].type, forms[i].scaled, 1);
            float *other = made_up_logits(&backends[b], &like, forms[i].type, forms[i].scaled, 2);
            double squares = 0;
            for (int64_t k = 0; k < like.config.vocab; k++) squares += (double)a[k] * (double)a[k];
            double rms = sqrt(squares / (double)like.config.vocab);
            assert_true(rms > 0.05 && rms < 20); /* neither died out nor blew up; NaN fails too */
            assert_memory_equal(a, again, (size_t)like.config.vocab * sizeof *a);
            assert_true(drift(other, a, like.config.vocab) > 0.1);
            free(a);
            free(again);
            free(other);
        }
    model_close(&like);
}

/* An encoder and projectors of both kinds without files. */
static void made_up_vision(void **state)
{
    (void)state;
    model like;
    backend backends[MAX_BACKENDS];
    find_backends(backends);
    model_open(&like, &backends[0], "chat-a", (model_opts){0});
    for (int kind = 0; kind < 2; kind++) {
        model m = {.backend = &backends[0], .config = like.config};
        tsr_loader *l;
        tsr_projector_config pc = {.d_patch = tsr_internvit_config(like.vit)->d_model,
                                   .d_model = like.config.d_model,
                                   .d_hidden = 40,
                                   .shuffle = 2,
                                   .kind = kind ? TSR_PROJECTOR_B : TSR_PROJECTOR_A};
        must(tsr_pool_open(&m.pool, 1));
        must(tsr_queue_open(&m.q, &tsr_ref_ops, m.pool, TSR_F32, (size_t)4 << 20));
        must(tsr_loader_open(&l, m.q, (tsr_loader_opts){.type = TSR_BF16, .seed = 5}));
        must(tsr_internvit_open(&m.vit, l, tsr_internvit_config(like.vit)));
        must(tsr_projector_open(&m.projector, l, &pc));
        must(tsr_loader_finish(l));
        assert_int_equal(tsr_projector_kind_of(m.projector), pc.kind);
        tsr_npy tiles = case_array(&like, "one-tile", "tiles");
        int64_t n_rows;
        float *rows = model_rows(&m, &tiles, &n_rows);
        double squares = 0;
        for (int64_t i = 0; i < n_rows * pc.d_model; i++) squares += (double)rows[i] * (double)rows[i];
        assert_true(squares > 1e-3 && squares < 1e6);
        free(rows);
        tsr_npy_close(&tiles);
        tsr_loader_close(l);
        model_close(&m);
    }
    model_close(&like);
}

/* ---------------------------------------------------------------- positions ----------------------------- */

/* torch 2.13, interpolate(mode="bicubic", align_corners=False). */
static void positions(void **state)
{
    (void)state;
    static const float from[] = {1, -2, 4, 0.5f, -3, 2.25f};
    static const float to_2x5[] = {2.302935f,  1.645267f,  0.215332f, -1.214605f, -1.872272f,
                                   -1.666906f, -1.042093f, 0.316406f, 1.674907f,  2.299719f};
    static const float to_6x3[] = {0.939433f,  -0.790039f, -2.519511f, 2.222735f, 0.215332f,  -1.79207f,
                                   4.43269f,   1.903809f,  -0.62507f,  2.866781f, 1.945312f,  1.023845f,
                                   -1.590712f, 0.316406f,  2.223524f,  -4.27412f, -0.651855f, 2.970407f};
    float to[18], two[12], wide[12];
    tsr_position_resize(to, 2, 5, from, 3, 2, 1);
    assert_true(drift(to, to_2x5, 10) < 1e-6);
    tsr_position_resize(to, 6, 3, from, 3, 2, 1);
    assert_true(drift(to, to_6x3, 18) < 1e-6);
    tsr_position_resize(to, 1, 1, from, 3, 2, 1);
    assert_true(fabsf(to[0] - 2.25f) < 1e-6f);
    tsr_position_resize(to, 3, 2, from, 3, 2, 1);
    assert_memory_equal(to, from, sizeof from);
    for (int i = 0; i < 6; i++) wide[2 * i] = from[i], wide[2 * i + 1] = -from[i];
    tsr_position_resize(two, 2, 3, wide, 3, 2, 2); /* channels are apart */
    for (int i = 0; i < 6; i++) assert_true(two[2 * i] == -two[2 * i + 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),  cmocka_unit_test(bad_scales),     cmocka_unit_test(surplus_layer),
        cmocka_unit_test(tied_head), cmocka_unit_test(out_of_memory),  cmocka_unit_test(dry_is_exact),
        cmocka_unit_test(made_up),   cmocka_unit_test(made_up_vision), cmocka_unit_test(positions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
