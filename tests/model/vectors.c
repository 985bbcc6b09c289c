/* tests/model/vectors.c: every stage of every checkpoint of tests/vectors against the reference's own values.
 *
 * The first stage that drifts is named, in the order of the network, so a mistake names its layer. Where a
 * backend rounds inputs of linears to bf16, whole stages are compared in L2 instead (docs/numerics.md, models).
 */
#include "model.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CASES = 128, N_GREEDY = 12, NAME_BYTES = 32 };

typedef struct test_case {
    const backend *backend;
    char model[NAME_BYTES], name[NAME_BYTES], label[3 * NAME_BYTES];
} test_case;

/* Drift allowed where inputs are rounded to bf16, relative in L2: every product's factor carries 2^-9, errors
 * of one layer add up independently, and a tiny model averages over few of them. */
static const struct {
    const char *stage;
    double l2;
} rounded[] = {{"vision.embed", 8e-3},  {"vision.layer", 1.5e-2}, {"vision.out", 1.5e-2},
               {"projector.out", 2e-2}, {"lm.embed", 2e-2},       {"lm.layer", 2e-2},
               {"lm.norm", 2e-2},       {"lm.logits", 2e-2}};

/* "lm.layer" of "lm.layer.03". */
static void stage_of(char to[48], const char *name)
{
    snprintf(to, 48, "%s", name);
    size_t n = strlen(to);
    if (n > 3 && to[n - 3] == '.' && to[n - 1] >= '0' && to[n - 1] <= '9') to[n - 3] = '\0';
}

static double rounded_limit(const char *name)
{
    char stage[48];
    stage_of(stage, name);
    for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++)
        if (strcmp(rounded[i].stage, stage) == 0) return rounded[i].l2;
    return 0;
}

static double limit_of(const tsr_json_value *root, const char *name, bool has_images)
{
    char stage[48];
    stage_of(stage, name);
    if (strcmp(stage, "lm.embed") == 0) { /* exact but for the image rows */
        if (!has_images) return 0;
        strcpy(stage, "projector.out");
    }
    const tsr_json_value *limit = tsr_json_find(tsr_json_find(root, "tolerances"), stage);
    assert_non_null(limit);
    return tsr_json_number(limit);
}

typedef struct expectation {
    const test_case *t;
    const model *m;
    const tsr_json_value *root;
    int64_t first_row, n_rows; /* of the prompt, in lm.layer and after */
    bool loose, has_images;
    bool whole; /* all layers can be compared */
} expectation;

static void check_stage(const expectation *e, const char *name)
{
    if (!case_has(e->m, e->t->name, name)) return;
    const recorded *got = recorder_find(&e->m->taps, name);
    if (!got) fail_msg("%s: nothing was tapped", name);
    tsr_npy want = case_array(e->m, e->t->name, name);
    int64_t skip = strncmp(name, "lm.", 3) == 0 && strcmp(name, "lm.embed") != 0 ? e->first_row : 0;
    assert_int_equal(want.elements % got->cols, 0);
    assert_int_equal(want.elements / got->cols, got->rows - skip);

    const float *from = got->data + skip * got->cols;
    double found =
        e->loose ? drift_l2(from, want.data, want.elements) : drift(from, want.data, want.elements);
    double limit = e->loose ? rounded_limit(name) : limit_of(e->root, name, e->has_images);
    if (!(found <= limit))
        fail_msg("%s: %s drifts: %.2e%s, at most %.1e", e->t->label, name, found, e->loose ? " in L2" : "",
                 limit);
    tsr_npy_close(&want);
}

static void check_stages(const expectation *e)
{
    char name[48];
    check_stage(e, "vision.embed");
    for (int i = 0; i < TSR_VIT_MAX_LAYERS; i++) {
        snprintf(name, sizeof name, "vision.layer.%02d", i);
        check_stage(e, name);
    }
    check_stage(e, "vision.out");
    check_stage(e, "projector.out");
    check_stage(e, "lm.embed");
    for (int i = 0; i < (int)e->m->config.n_layers; i++) {
        if (!e->whole && e->m->config.kind[i] == TSR_LAYER_MOE) return;
        snprintf(name, sizeof name, "lm.layer.%02d", i);
        check_stage(e, name);
    }
    check_stage(e, "lm.norm");
    check_stage(e, "lm.logits");
}

/* Decode behind the prompt, fed with the reference's choices; ours must be the same wherever its lead over the
 * second best is out of reach of the tolerance. */
static void check_greedy(const expectation *e, model *m, tsr_seq *seq, const float *logits)
{
    tsr_npy greedy = case_array(m, e->t->name, "greedy.ids");
    const tsr_json_value *margin = tsr_json_first(tsr_json_find(e->root, "greedy_margins"));
    double reach = 0;
    for (int64_t i = 0; i < m->config.vocab; i++) reach = fmax(reach, fabs((double)logits[i]));
    reach *= e->loose ? 0.1 : 5e-4;
    assert_int_equal(greedy.elements, N_GREEDY);
    float *mine = NULL;
    int checked = 0;
    for (int k = 0; k < N_GREEDY; k++, margin = tsr_json_next(margin)) {
        int32_t id = ((const int32_t *)greedy.data)[k];
        if (tsr_json_number(margin) > reach) {
            assert_int_equal(argmax(mine ? mine : logits, m->config.vocab), id);
            checked++;
        }
        free(mine);
        mine = model_feed(m, seq, &id, 1, TSR_LOGITS_LAST, NULL, 0);
    }
    assert_true(checked > 0);
    free(mine);
    tsr_npy_close(&greedy);
}

/* The fused ops, when the backend has any, and the way past the taps; then on from there. */
static void check_untapped(const expectation *e, model *m, const tsr_npy *ids, const float *image,
                           int64_t n_image, const float *tapped)
{
    m->q->unfused = false;
    m->q->tap = NULL;
    tsr_seq seq = model_seq(m);
    int64_t vocab = m->config.vocab;
    float *last = model_feed(m, &seq, ids->data, ids->elements, TSR_LOGITS_LAST, image, n_image);
    double apart = e->loose ? drift_l2(last, tapped, vocab) : drift(last, tapped, vocab);
    if (!(apart <= (e->loose ? 2e-2 : 2e-5)))
        fail_msg("%s: fused and unfused logits are %.2e apart", e->t->label, apart);
    check_greedy(e, m, &seq, last);
    free(last);
    tsr_seq_close(&seq);
}

static void run_case(void **state)
{
    const test_case *t = *state;
    model m;
    char path[512];
    bool w8a8 = strstr(t->name, "w8a8") != NULL;
    model_open(&m, t->backend, t->model, (model_opts){.fp8_input = w8a8 ? TSR_INPUT_STATIC : TSR_INPUT_KEEP});
    snprintf(path, sizeof path, "%s/expect/%s/case.json", m.folder, t->name);
    tsr_json *json;
    must(tsr_json_open(&json, path, (size_t)1 << 20));

    expectation e = {.t = t, .m = &m, .root = tsr_json_root(json)};
    tsr_dtype type = m.config.type;
    e.loose = t->backend->rounds && type == TSR_BF16;
    /* Rounding turns close choices of experts, and what other experts say cannot be compared. The f32
     * checkpoint with experts has all its layers compared on every backend. */
    e.whole = !e.loose || m.config.n_moe == 0;
    const tsr_json_value *rows = tsr_json_find(e.root, "rows");
    int64_t end;
    assert_true(tsr_json_int(tsr_json_first(rows), &e.first_row));
    assert_true(tsr_json_int(tsr_json_next(tsr_json_first(rows)), &end));

    float *image = NULL;
    int64_t n_image = 0;
    if (case_has(&m, t->name, "tiles")) {
        tsr_npy tiles = case_array(&m, t->name, "tiles");
        image = model_rows(&m, &tiles, &n_image);
        tsr_npy_close(&tiles);
        e.has_images = true;
    }
    tsr_npy ids = case_array(&m, t->name, "prompt.ids");
    assert_int_equal(ids.elements, end);
    tsr_seq seq = model_seq(&m);
    float *logits = model_feed(&m, &seq, ids.data, ids.elements, TSR_LOGITS_ALL, image, n_image);
    check_stages(&e);

    if (e.whole) check_untapped(&e, &m, &ids, image, n_image, logits + (ids.elements - 1) * m.config.vocab);

    free(logits);
    free(image);
    tsr_seq_close(&seq);
    tsr_npy_close(&ids);
    tsr_json_close(json);
    model_close(&m);
}

/* Names of the folders in `path`, sorted. */
static int list_folder(char names[][NAME_BYTES], const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort), kept = 0;
    for (int i = 0; i < n; i++) {
        if (!strchr(entries[i]->d_name, '.') && kept < MAX_CASES) /* neither hidden nor a file */
            snprintf(names[kept++], NAME_BYTES, "%.*s", NAME_BYTES - 1, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return kept;
}

int main(void)
{
    static backend backends[MAX_BACKENDS];
    static char models[MAX_CASES][NAME_BYTES], cases[MAX_CASES][NAME_BYTES];
    static test_case tests[MAX_BACKENDS * MAX_CASES];
    static struct CMUnitTest units[MAX_BACKENDS * MAX_CASES];
    char path[512];
    int n_backends = find_backends(backends), n = 0;
    snprintf(path, sizeof path, "%s/tests/vectors/models", TSR_SOURCE_DIR);
    int n_models = list_folder(models, path);
    for (int b = 0; b < n_backends; b++)
        for (int i = 0; i < n_models; i++) {
            snprintf(path, sizeof path, "%s/tests/vectors/models/%.31s/expect", TSR_SOURCE_DIR, models[i]);
            int n_cases = list_folder(cases, path);
            for (int c = 0; c < n_cases && n < MAX_BACKENDS * MAX_CASES; c++, n++) {
                test_case *t = &tests[n];
                t->backend = &backends[b];
                memcpy(t->model, models[i], NAME_BYTES);
                memcpy(t->name, cases[c], NAME_BYTES);
                snprintf(t->label, sizeof t->label, "%.23s %.31s/%.31s", backends[b].name, models[i],
                         cases[c]);
                units[n] = (struct CMUnitTest){.name = t->label, .test_func = run_case, .initial_state = t};
            }
        }
    if (n < 20 * n_backends) {
        fprintf(stderr, "only %d cases under tests/vectors/models\n", n);
        return 1;
    }
    return _cmocka_run_group_tests("vectors", units, (size_t)n, NULL, NULL);
}
