/* tests/model/golden.c: the golden model of nemotron-h spec, appendix A: its intermediates, experts, states and
 * greedy ids on every backend, and its table of mistakes on the reference.
 */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mistakes.h"

/* Where a backend rounds inputs to bf16, what follows the experts is not compared: the closest choice has a margin
 * of 7.5e-4, which rounding turns. */
enum { N_PROMPT = 21, MAX_NUMBERS = 64, MOE_LAYER = 3 };

typedef struct golden {
    model m;
    tsr_json *json;
    const tsr_json_value *root;
    int32_t prompt[N_PROMPT];
    double tolerance;
} golden;

static const tsr_json_value *get(const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    if (!value) fail_msg("golden.json has no '%s'", key);
    return value;
}

static int64_t numbers(float *to, const tsr_json_value *array)
{
    int64_t n = 0;
    for (const tsr_json_value *v = tsr_json_first(array); v; v = tsr_json_next(v)) {
        assert_true(n < MAX_NUMBERS);
        to[n++] = (float)tsr_json_number(v);
    }
    return n;
}

/* The appendix has six decimals: half of the last one may differ besides. */
static bool agree(const float *got, const float *want, int64_t n, double tolerance)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!(error <= worst)) worst = error;
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst <= 6e-7 + tolerance * largest;
}

/* The first numbers of `got` against the list under `key`. */
static void check(const golden *g, const tsr_json_value *object, const char *key, const float *got)
{
    float want[MAX_NUMBERS];
    int64_t n = numbers(want, get(object, key));
    if (!agree(got, want, n, g->tolerance)) fail_msg("%s: %s drifts", g->m.backend->name, key);
}

static void check_l2(const golden *g, const char *what, double want, const float *got, int64_t n)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)got[i] * (double)got[i];
    if (!(fabs(sqrt(squares) - want) <= g->tolerance * want))
        fail_msg("%s %s: norm %.6f, wanted %.6f", g->m.backend->name, what, sqrt(squares), want);
}

static void open_golden(golden *g, const backend *b, model_opts o)
{
    char path[320];
    model_open(&g->m, b, "golden", o);
    snprintf(path, sizeof path, "%s/golden.json", g->m.folder);
    must(tsr_json_open(&g->json, path, (size_t)1 << 20));
    g->root = tsr_json_root(g->json);
    g->tolerance = b->rounds ? 3e-2 : 1e-5; /* of the largest of each list */
    float ids[MAX_NUMBERS];
    assert_int_equal(numbers(ids, get(g->root, "prompt")), N_PROMPT);
    for (int i = 0; i < N_PROMPT; i++) g->prompt[i] = (int32_t)ids[i];
}

static void close_golden(golden *g)
{
    tsr_json_close(g->json);
    model_close(&g->m);
}

static const recorded *tap(const golden *g, const char *name)
{
    const recorded *r = recorder_find(&g->m.taps, name);
    if (!r) fail_msg("%s was not tapped", name);
    return r;
}

static void minus(float *to, const recorded *a, const recorded *b, int64_t row)
{
    for (int64_t c = 0; c < 4; c++) to[c] = a->data[row * a->cols + c] - b->data[row * b->cols + c];
}

/* Layer 0 on the prompt. */
static void check_layer_0(const golden *g)
{
    const tsr_json_value *want = get(g->root, "layer_0");
    const tsr_lm_config *c = &g->m.config;
    const float *p = tap(g, "lm.layer.00.in_proj")->data;
    int64_t d = tsr_lm_d_mamba(c);
    check(g, want, "u", tap(g, "lm.layer.00.norm")->data);
    check(g, want, "z", p);
    check(g, want, "xBC", p + d);
    check(g, want, "dt_raw", p + d + tsr_lm_d_conv(c));
    float out[4];
    minus(out, tap(g, "lm.layer.00"), tap(g, "lm.embed"), 0);
    check(g, want, "mixer_out", out);
    minus(out, tap(g, "lm.layer.00"), tap(g, "lm.embed"), N_PROMPT - 1);
    check(g, want, "mixer_out_at_token_20", out);
}

static void check_residuals(const golden *g)
{
    int i = -1;
    const tsr_json_value *v = tsr_json_first(get(g->root, "residual_at_last_position"));
    for (; v; v = tsr_json_next(v), i++) {
        if (i == MOE_LAYER && g->m.backend->rounds) return;
        char name[32] = "lm.embed";
        if (i >= 0) snprintf(name, sizeof name, "lm.layer.%02d", i);
        const recorded *x = tap(g, name);
        const float *last = x->data + (x->rows - 1) * x->cols;
        check(g, v, "first", last);
        check_l2(g, name, tsr_json_number(get(v, "l2")), last, x->cols);
    }
    assert_int_equal(i, g->m.config.n_layers);
}

static int ascending(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

static void check_experts(const golden *g)
{
    const recorded *ids = tap(g, "lm.layer.03.experts");
    assert_int_equal(ids->rows, N_PROMPT);
    const tsr_json_value *want = tsr_json_first(get(g->root, "experts_per_position"));
    for (int64_t t = 0; t < N_PROMPT; t++, want = tsr_json_next(want)) {
        char chosen[4] = "";
        for (int64_t k = 0; k < ids->cols; k++) chosen[k] = (char)('0' + (int)ids->data[t * ids->cols + k]);
        qsort(chosen, 3, 1, ascending);
        assert_string_equal(chosen, tsr_json_string(want));
    }
}

static void check_logits(const golden *g, const float *logits)
{
    int64_t vocab = g->m.config.vocab;
    const float *last = logits + (N_PROMPT - 1) * vocab;
    const tsr_json_value *want = get(g->root, "logits_last");
    check(g, want, "first", last);
    check(g, g->root, "logits_first_position", logits);
    check_l2(g, "logits", tsr_json_number(get(want, "l2")), last, vocab);
    const tsr_json_value *id = tsr_json_first(get(g->root, "argmax_per_position"));
    for (int t = 0; t < N_PROMPT; t++, id = tsr_json_next(id))
        assert_int_equal(argmax(logits + t * vocab, vocab), (int64_t)tsr_json_number(id));
}

/* Saved layout: Mamba layers, each conv then ssm. */
static void check_state(const golden *g, const tsr_seq *seq)
{
    const tsr_lm_config *c = &g->m.config;
    const tsr_json_value *want = get(g->root, "state_after_prompt");
    int64_t conv = (c->conv_width - 1) * tsr_lm_d_conv(c), ssm = tsr_lm_d_mamba(c) * c->d_state;
    float *saved = malloc(tsr_seq_saved_bytes(g->m.state, seq->pos));
    must(tsr_seq_save(seq, saved));
    check(g, want, "layer_0_conv_newest", saved + conv - tsr_lm_d_conv(c));
    check(g, want, "layer_0_ssm_0_0", saved + conv);
    check_l2(g, "layer 0 ssm", tsr_json_number(get(want, "layer_0_ssm_l2")), saved + conv, ssm);
    if (!g->m.backend->rounds)
        check_l2(g, "layer 4 ssm", tsr_json_number(get(want, "layer_4_ssm_l2")), saved + 2 * conv + ssm, ssm);
    free(saved);
}

static void check_first_state(golden *g)
{
    tsr_seq seq = model_seq(&g->m);
    free(model_feed(&g->m, &seq, g->prompt, 1, TSR_LOGITS_NONE, NULL, 0));
    const tsr_lm_config *c = &g->m.config;
    float *saved = malloc(tsr_seq_saved_bytes(g->m.state, 1));
    must(tsr_seq_save(&seq, saved));
    check(g, get(g->root, "layer_0"), "state_0_0", saved + (c->conv_width - 1) * tsr_lm_d_conv(c));
    free(saved);
    tsr_seq_close(&seq);
}

static void check_greedy(golden *g, tsr_seq *seq, const float *logits)
{
    const tsr_json_value *want = get(g->root, "greedy");
    int64_t vocab = g->m.config.vocab;
    float *mine = NULL;
    for (const tsr_json_value *v = tsr_json_first(get(want, "ids")); v; v = tsr_json_next(v)) {
        int32_t id = (int32_t)tsr_json_number(v);
        assert_int_equal(argmax(mine ? mine : logits, vocab), id);
        free(mine);
        mine = model_feed(&g->m, seq, &id, 1, TSR_LOGITS_LAST, NULL, 0);
    }
    if (!g->m.backend->rounds)
        assert_int_equal(argmax(mine, vocab), (int64_t)tsr_json_number(get(want, "next")));
    const tsr_json_value *after = get(want, "logits_after_eighth");
    check(g, after, "first", mine);
    check_l2(g, "logits after the eighth", tsr_json_number(get(after, "l2")), mine, vocab);
    free(mine);
}

static void appendix(void **state)
{
    golden g;
    open_golden(&g, *state, (model_opts){0});
    tsr_seq seq = model_seq(&g.m);
    float *logits = model_feed(&g.m, &seq, g.prompt, N_PROMPT, TSR_LOGITS_ALL, NULL, 0);
    check_layer_0(&g);
    check_residuals(&g);
    check_state(&g, &seq);
    if (!g.m.backend->rounds) {
        check_experts(&g);
        check_logits(&g, logits);
        check_greedy(&g, &seq, logits + (N_PROMPT - 1) * g.m.config.vocab);
    }
    free(logits);
    tsr_seq_close(&seq);
    check_first_state(&g);
    close_golden(&g);
}

/* Every row of the table, made on purpose, gives the logits the appendix says it does. */
static void table_of_mistakes(void **state)
{
    golden first;
    open_golden(&first, *state, (model_opts){0});
    const tsr_json_value *row = tsr_json_first(get(first.root, "mistakes"));
    int n = 0;
    for (; row; row = tsr_json_next(row), n++) {
        tsr_ops ops;
        model_opts o = {.ops = &ops};
        if (!mistaken_ops(&ops, &o.dt_min, tsr_json_key(row)))
            fail_msg("'%s' is not made", tsr_json_key(row));
        golden g;
        open_golden(&g, *state, o);
        tsr_seq seq = model_seq(&g.m);
        float *logits = model_feed(&g.m, &seq, g.prompt, N_PROMPT, TSR_LOGITS_LAST, NULL, 0);
        float want[MAX_NUMBERS];
        if (!agree(logits, want, numbers(want, row), g.tolerance)) fail_msg("'%s' drifts", tsr_json_key(row));
        free(logits);
        tsr_seq_close(&seq);
        close_golden(&g);
    }
    assert_int_equal(n, 16);
    close_golden(&first);
}

int main(void)
{
    static backend backends[MAX_BACKENDS];
    static struct CMUnitTest units[MAX_BACKENDS + 1];
    int n = find_backends(backends);
    for (int i = 0; i < n; i++)
        units[i] = (struct CMUnitTest){
            .name = backends[i].name, .test_func = appendix, .initial_state = &backends[i]};
    units[n] = (struct CMUnitTest){
        .name = "table of mistakes", .test_func = table_of_mistakes, .initial_state = &backends[0]};
    return _cmocka_run_group_tests("golden", units, (size_t)n + 1, NULL, NULL);
}
