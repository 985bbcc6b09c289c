/* tests/model/model.c: open, run, record. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "tests/device/far.h"

const tsr_decoder_limits model_decoder = {MODEL_SLOTS, MODEL_ROWS, 4};

#define MAX_CONFIG ((size_t)1 << 20)

void must(tsr_status st)
{
    if (st) fail_msg("%s", tsr_message());
}

int find_backends(backend *to)
{
    static const char *const levels[] = {"scalar", "avx2", "avx512", "avx512bf16", "amx"};
    int n = 0;
    to[n++] = (backend){.name = "ref", .ops = tsr_ref_ops};
    unsigned last = 0;
    for (int i = 0; i < (int)(sizeof levels / sizeof *levels); i++) {
        int known;
        unsigned features = tsr_cpu_cap(tsr_cpu_features(), levels[i], &known);
        if (i > 0 && features == last) continue;
        last = features;
        to[n] = (backend){.ops = tsr_cpu_ops(features), .rounds = features & TSR_CPU_AVX512_BF16};
        snprintf(to[n++].name, sizeof to->name, "cpu-%s", levels[i]);
    }
    to[n++] = (backend){.name = "far", .ops = far_ops()};
    return n;
}

/* ---------------------------------------------------------------- recording ----------------------------- */

static void record(void *user, const char *name, tsr_view value)
{
    recorder *r = user;
    if (r->n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->values = realloc(r->values, (size_t)r->capacity * sizeof *r->values);
        assert_non_null(r->values);
    }
    recorded *v = &r->values[r->n++];
    *v = (recorded){.rows = value.rows, .cols = value.cols};
    snprintf(v->name, sizeof v->name, "%s", name);
    v->data = malloc((size_t)(value.rows * value.cols) * sizeof(float) + 1);
    for (int64_t i = 0; i < value.rows; i++)
        for (int64_t c = 0; c < value.cols; c++) {
            const void *row = tsr_row(value, i);
            v->data[i * value.cols + c] =
                value.type == TSR_I32 ? (float)((const int32_t *)row)[c] : tsr_load(row, value.type, c);
        }
}

const recorded *recorder_find(const recorder *r, const char *name)
{
    for (int64_t i = 0; i < r->n; i++)
        if (strcmp(r->values[i].name, name) == 0) return &r->values[i];
    return NULL;
}

void recorder_clear(recorder *r)
{
    for (int64_t i = 0; i < r->n; i++) free(r->values[i].data);
    free(r->values);
    *r = (recorder){0};
}

/* ---------------------------------------------------------------- opening ------------------------------- */

static void open_networks(model *m, tsr_queue *q, model_opts o)
{
    const tsr_json_value *root = tsr_json_root(m->json);
    tsr_loader *l;
    must(tsr_loader_open(&l, q, (tsr_loader_opts){.files = m->files, .fp8_input = o.fp8_input}));
    must(tsr_lm_config_read(&m->config, root));
    if (o.dt_min > 0) m->config.dt_min = o.dt_min;
    must(tsr_lm_open(&m->lm, l, &m->config));

    static const char *const not_text[] = {"vision_model.*", "mlp1.*", "model.vision_tower.*",
                                           "model.multi_modal_projector.*", NULL};
    if (o.text_only) tsr_loader_ignore(l, not_text);
    if (tsr_json_find(root, "vision_config") && !o.text_only) {
        tsr_vit_config vit;
        tsr_projector_config projector;
        must(tsr_vit_config_read(&vit, root));
        must(tsr_projector_config_read(&projector, root, vit.d_model, m->config.d_model));
        must(tsr_internvit_open(&m->vit, l, &vit));
        must(tsr_projector_open(&m->projector, l, &projector));
    }
    must(tsr_loader_finish(l));
    tsr_loader_close(l);
}

static void run_dry(model *m, tsr_queue *dry, int64_t n_seqs, int64_t n_new, int64_t context,
                    int64_t n_logits)
{
    tsr_step step = tsr_step_shape(n_seqs, n_new, context, n_logits);
    tsr_lm_forward(m->lm, dry, tsr_view_of(NULL, TSR_F32, n_logits, m->config.vocab), (tsr_view){0}, NULL,
                   &step);
}

/* Every shape of step the tests use, and the largest batch of tiles. */
static size_t measure_scratch(model *m, tsr_queue *dry)
{
    for (int unfused = 0; unfused < 2; unfused++) {
        dry->unfused = unfused;
        run_dry(m, dry, 1, MODEL_ROWS, MODEL_ROWS, MODEL_ROWS);
        run_dry(m, dry, 1, MODEL_ROWS, MODEL_ROWS, 1);
        run_dry(m, dry, MODEL_SLOTS, 1, MODEL_ROWS, MODEL_SLOTS);
        tsr_decoder_walk(m->lm, dry, model_decoder);
        run_dry(m, dry, MODEL_SLOTS, MODEL_ROWS / MODEL_SLOTS, MODEL_ROWS, MODEL_ROWS);
        if (m->vit) {
            const tsr_vit_config *c = tsr_internvit_config(m->vit);
            tsr_grid grid = tsr_internvit_grid(m->vit);
            int64_t n = MODEL_TILES * grid.rows * grid.cols;
            tsr_internvit_encode(m->vit, dry, tsr_view_of(NULL, TSR_F32, n, c->d_model),
                                 tsr_view_of(NULL, TSR_U8, MODEL_TILES, 3 * c->tile * c->tile));
            tsr_projector_forward(m->projector, dry, tsr_view_of(NULL, TSR_F32, n / 4, m->config.d_model),
                                  tsr_view_of(NULL, TSR_F32, n, c->d_model), grid);
        }
    }
    must(tsr_queue_sync(dry));
    return dry->scratch.peak;
}

void model_open(model *m, const backend *b, const char *name, model_opts o)
{
    char path[320];
    *m = (model){.backend = b};
    snprintf(m->folder, sizeof m->folder, "%s/tests/vectors/models/%s", TSR_SOURCE_DIR, name);
    snprintf(path, sizeof path, "%s/config.json", m->folder);
    must(tsr_json_open(&m->json, path, MAX_CONFIG));
    must(tsr_safetensors_open(&m->files, m->folder));
    must(tsr_pool_open(&m->pool, 2));

    const tsr_ops *ops = o.ops ? o.ops : &b->ops;
    tsr_queue *dry, *loading;
    must(tsr_queue_open(&loading, ops, m->pool, TSR_F32, TSR_ARENA_ALIGN));
    open_networks(m, loading, o);
    tsr_queue_close(loading);
    must(tsr_queue_open(&dry, ops, m->pool, TSR_F32, 0));
    must(tsr_queue_open(&m->q, ops, m->pool, TSR_F32, measure_scratch(m, dry)));
    tsr_queue_close(dry);

    /* The vectors' keys and values are f32, whatever the weights are. */
    must(tsr_state_open(&m->state, m->q, &m->config,
                        (tsr_state_opts){MODEL_SLOTS, MODEL_PAGES, TSR_F32, TSR_F32, TSR_F32}));
    must(tsr_stepper_open(&m->stepper, m->state,
                          (tsr_stepper_limits){MODEL_ROWS, MODEL_SLOTS, MODEL_ROWS, MODEL_ROWS}));
    m->q->unfused = true;
    m->q->tap = record;
    m->q->tap_user = &m->taps;
}

void model_close(model *m)
{
    recorder_clear(&m->taps);
    tsr_stepper_close(m->stepper);
    tsr_state_close(m->state);
    tsr_projector_close(m->projector);
    tsr_internvit_close(m->vit);
    tsr_lm_close(m->lm);
    tsr_queue_close(m->q);
    tsr_pool_close(m->pool);
    tsr_safetensors_close(m->files);
    tsr_json_close(m->json);
    *m = (model){0};
}

/* ---------------------------------------------------------------- running ------------------------------- */

/* Not counted on the host, where tests count allocations. */
static void drop(model *m, void *data)
{
    if (m->q->ops->memory)
        tsr_memory_give(m->q->ops->memory, data);
    else
        free(data);
}

/* Memory for [rows, cols] f32 or u8 where kernels read, filled from `host` unless that is NULL. */
static tsr_view place(model *m, tsr_dtype type, int64_t rows, int64_t cols, const void *host)
{
    size_t bytes = (size_t)(rows * cols) * tsr_dtype_bytes(type);
    void *data = NULL;
    if (m->q->ops->memory)
        must(tsr_memory_take(&data, m->q->ops->memory, bytes));
    else
        data = malloc(bytes + 1);
    assert_non_null(data);
    if (host) tsr_memory_upload(m->q, data, host, bytes);
    return tsr_view_of(data, type, rows, cols);
}

/* The queue is synced, the view's values returned in memory of the host, and its own given back. */
static float *bring_back(model *m, tsr_view v)
{
    size_t bytes = (size_t)(v.rows * v.cols) * sizeof(float);
    float *values = malloc(bytes + 1);
    assert_non_null(values);
    tsr_memory_download(m->q, values, v.data, bytes);
    must(tsr_queue_sync(m->q));
    drop(m, v.data);
    return values;
}

float *model_rows(model *m, const tsr_npy *tiles, int64_t *n_rows)
{
    tsr_grid grid = tsr_internvit_grid(m->vit);
    int64_t n = tiles->shape[0], d = tsr_internvit_config(m->vit)->d_model;
    int64_t patches = n * grid.rows * grid.cols;
    tsr_view pixels = place(m, TSR_U8, n, tiles->elements / n, tiles->data);
    tsr_view out = place(m, TSR_F32, patches, d, NULL);
    tsr_view rows = place(m, TSR_F32, patches / 4, m->config.d_model, NULL);
    tsr_internvit_encode(m->vit, m->q, out, pixels);
    tsr_projector_forward(m->projector, m->q, rows, out, grid);
    float *values = bring_back(m, rows);
    drop(m, pixels.data);
    drop(m, out.data);
    *n_rows = patches / 4;
    return values;
}

float *model_step(model *m, const tsr_step_item *items, int64_t n_items, const float *rows, int64_t n_rows)
{
    must(tsr_stepper_fill(m->stepper, items, n_items, n_rows, NULL));
    const tsr_step *step = tsr_stepper_step(m->stepper);
    tsr_view image = {0}, logits = place(m, TSR_F32, step->n_logits, m->config.vocab, NULL);
    if (rows) image = place(m, TSR_F32, n_rows, m->config.d_model, rows);
    tsr_lm_forward(m->lm, m->q, logits, image, m->state, step);
    float *values = bring_back(m, logits);
    drop(m, image.data);
    tsr_stepper_commit(m->stepper);
    return values;
}

float *model_feed(model *m, tsr_seq *seq, const int32_t *ids, int64_t n, tsr_logits_wanted wanted,
                  const float *rows, int64_t n_rows)
{
    tsr_step_item item = {.seq = seq, .ids = ids, .n_new = n, .logits = wanted};
    return model_step(m, &item, 1, rows, n_rows);
}

tsr_seq model_seq(model *m)
{
    tsr_seq seq;
    must(tsr_seq_open(&seq, m->state, MODEL_ROWS));
    return seq;
}

/* ---------------------------------------------------------------- comparing ----------------------------- */

static void case_path(char to[512], const model *m, const char *test_case, const char *name)
{
    snprintf(to, 512, "%s/expect/%s/%s.npy", m->folder, test_case, name);
}

tsr_npy case_array(const model *m, const char *test_case, const char *name)
{
    char path[512];
    tsr_npy npy;
    case_path(path, m, test_case, name);
    must(tsr_npy_read(&npy, path, (size_t)1 << 24));
    return npy;
}

bool case_has(const model *m, const char *test_case, const char *name)
{
    char path[512];
    case_path(path, m, test_case, name);
    return access(path, R_OK) == 0;
}

double drift(const float *got, const float *want, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!(error <= worst)) worst = error; /* NaN too */
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst == 0 ? 0 : worst / largest;
}

double drift_l2(const float *got, const float *want, int64_t n)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = (double)got[i] - (double)want[i];
        error += e * e;
        size += (double)want[i] * (double)want[i];
    }
    return error == 0 ? 0 : sqrt(error / size);
}

int64_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}
