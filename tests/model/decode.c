/* tests/model/decode.c: a decoder that runs ahead gives what steps filled by the host give, for sequences of several
 * lengths side by side, and leaves the same state.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lm/decode.h"

enum { N_SEQS = 3, N_STEPS = 60 };

static const int64_t prompts[N_SEQS] = {50, 7, 80}; /* 64 tokens are a page */
static const tsr_sampling how[N_SEQS] = {
    {.top_p = 1, .repeat_penalty = 1},
    {.temp = 1.1f, .top_p = 0.9f, .repeat_penalty = 1.2f, .top_k = 30, .seed = 5},
    {.temp = 2, .top_p = 1, .min_p = 0.01f, .repeat_penalty = 1, .seed = 6}};

/* What was sampled, a row for each step; those behind N_STEPS are not used. */
typedef struct said {
    int32_t ids[N_STEPS + TSR_DECODE_AHEAD][N_SEQS];
    float logprobs[N_STEPS + TSR_DECODE_AHEAD][N_SEQS];
} said;

static void open_quietly(model *m, const backend *b, const char *name)
{
    model_open(m, b, name, (model_opts){0});
    m->q->tap = NULL;
    m->q->unfused = false;
}

/* One step of one sequence, filled by the host. */
static int32_t read_and_sample(model *m, tsr_seq *seq, const int32_t *ids, int64_t n, const tsr_sampling *s,
                               const uint32_t *allow, float *logprob)
{
    tsr_step_item item = {.seq = seq, .ids = ids, .n_new = n, .logits = TSR_LOGITS_LAST, .sampling = *s};
    must(tsr_stepper_fill(m->stepper, &item, 1, 0, allow));
    const tsr_step *step = tsr_stepper_step(m->stepper);
    tsr_mark mark = tsr_scratch_mark(m->q);
    tsr_view logits = tsr_scratch(m->q, TSR_F32, 1, m->config.vocab);
    tsr_lm_forward(m->lm, m->q, logits, tsr_view_of(NULL, TSR_F32, 0, 0), m->state, step);
    tsr_sample(m->q, step, logits);
    tsr_stepper_fetch(m->stepper);
    must(tsr_queue_sync(m->q));
    tsr_scratch_release(m->q, mark);
    tsr_stepper_commit(m->stepper);
    *logprob = tsr_stepper_logprob(m->stepper, 0);
    return tsr_stepper_id(m->stepper, 0);
}

/* The prompt of sequence i, and the first token after it. */
static int32_t begin(model *m, tsr_seq *seq, int i, const uint32_t *allow)
{
    int32_t ids[MODEL_ROWS];
    float logprob;
    for (int64_t k = 0; k < prompts[i]; k++) ids[k] = (int32_t)((k * 7919 + i * 31 + 3) % m->config.vocab);
    *seq = model_seq(m);
    return read_and_sample(m, seq, ids, prompts[i], &how[i], allow, &logprob);
}

/* n tokens of sequence i, one by one. */
static void say_alone(model *m, tsr_seq *seq, int i, int64_t n, const uint32_t *allow, said *to)
{
    int32_t id = begin(m, seq, i, allow);
    for (int64_t t = 0; t < n; t++) {
        id = read_and_sample(m, seq, &id, 1, &how[i], allow, &to->logprobs[t][i]);
        to->ids[t][i] = id;
    }
}

static void *state_of(const model *m, const tsr_seq *seq)
{
    void *saved = malloc(tsr_seq_saved_bytes(m->state, seq->pos) + 1);
    assert_non_null(saved);
    must(tsr_seq_save(seq, saved));
    return saved;
}

/* Sequence i ended after `steps` steps, like one that was fed by hand. */
static void check_state(model *m, const tsr_seq *seq, int i, int64_t steps, const uint32_t *allow)
{
    static said unused;
    tsr_seq alone;
    assert_int_equal(seq->pos, prompts[i] + steps);
    say_alone(m, &alone, i, steps, allow, &unused);
    void *a = state_of(m, seq), *b = state_of(m, &alone);
    if (memcmp(a, b, tsr_seq_saved_bytes(m->state, seq->pos)) != 0)
        fail_msg("%s: the state of sequence %d differs after %lld steps", m->backend->name, i,
                 (long long)steps);
    free(a);
    free(b);
    tsr_seq_close(&alone);
}

static bool is_among(int32_t id, const int32_t *ids, int64_t n)
{
    bool found = false;
    for (int64_t i = 0; i < n; i++) found = found || ids[i] == id;
    return found;
}

/* Decode n_taken steps, `ahead` of them queued before the first is taken, and drop the last ones. */
static void decode(model *m, tsr_decoder *d, int64_t ahead, int64_t n_taken, const uint32_t *allow,
                   const int32_t *stops, int64_t n_stops, const said *want)
{
    tsr_seq seqs[N_SEQS], *list[N_SEQS];
    int64_t steps[N_SEQS] = {0}, pushed = 0;
    bool ended[N_SEQS] = {false};
    int32_t ids[N_SEQS], last[N_SEQS];
    float logprobs[N_SEQS];
    for (int i = 0; i < N_SEQS; i++) {
        begin(m, &seqs[i], i, allow);
        list[i] = &seqs[i];
    }
    must(tsr_decoder_begin(d, &(tsr_decoding){.seqs = list,
                                              .sampling = how,
                                              .n_seqs = N_SEQS,
                                              .stops = stops,
                                              .n_stops = n_stops,
                                              .allow = allow}));
    int64_t before = tsr_alloc_count();
    for (int64_t t = 0; t < n_taken; t++) {
        while (pushed < t + 1 + ahead) {
            must(tsr_decoder_push(d));
            pushed++;
        }
        must(tsr_decoder_take(d, ids, logprobs));
        for (int i = 0; i < N_SEQS; i++) {
            if (ended[i]) {
                assert_int_equal(ids[i], -1);
                continue;
            }
            assert_int_equal(ids[i], want->ids[t][i]);
            assert_memory_equal(&logprobs[i], &want->logprobs[t][i], sizeof logprobs[i]);
            ended[i] = is_among(ids[i], stops, n_stops);
            steps[i] = t + 1;
        }
    }
    assert_int_equal(tsr_alloc_count(), before);
    bool at_once = !m->q->ops->memory;
    must(tsr_decoder_end(d, last, logprobs));
    for (int i = 0; i < N_SEQS; i++) {
        for (int64_t t = n_taken; t < pushed && !at_once && !ended[i]; t++, steps[i]++)
            ended[i] = is_among(want->ids[t][i], stops, n_stops);
        bool untaken = !at_once && pushed > n_taken && steps[i] == pushed;
        assert_int_equal(last[i], untaken ? want->ids[pushed - 1][i] : -1);
        check_state(m, &seqs[i], i, steps[i], allow);
        tsr_seq_close(&seqs[i]);
    }
}

static void decoding_of(const backend *b, const char *name)
{
    static said want, allowed;
    model m;
    tsr_decoder *d;
    open_quietly(&m, b, name);
    int64_t words = (m.config.vocab + 31) / 32;
    uint32_t *allow = malloc((size_t)words * sizeof *allow);
    assert_non_null(allow);
    for (int64_t w = 0; w < words; w++) allow[w] = 0x5a5a5a5au;
    for (int i = 0; i < N_SEQS; i++) {
        tsr_seq seq;
        say_alone(&m, &seq, i, N_STEPS, NULL, &want);
        tsr_seq_close(&seq);
        say_alone(&m, &seq, i, N_STEPS, allow, &allowed);
        tsr_seq_close(&seq);
    }
    must(tsr_decoder_open(&d, m.lm, m.state, model_decoder));
    decode(&m, d, 0, N_STEPS, NULL, NULL, 0, &want);
    decode(&m, d, 1, 20, NULL, NULL, 0, &want);
    decode(&m, d, TSR_DECODE_AHEAD - 1, 30, NULL, NULL, 0, &want);
    decode(&m, d, 1, 20, allow, NULL, 0, &allowed);

    /* One after another they meet an id that ends them. */
    int32_t stops[] = {want.ids[9][1], want.ids[17][0], want.ids[18][2]};
    decode(&m, d, 1, 16, NULL, stops, 3, &want);
    decode(&m, d, 2, 30, NULL, stops, 3, &want);
    m.q->unfused = true; /* the same without recordings */
    decode(&m, d, 1, 12, NULL, stops, 3, &want);
    m.q->unfused = false;

    if (m.q->ops->memory) {
        tsr_decoder_info info = tsr_decoder_about(d);
        assert_true(info.n_recorded > 0 && info.n_replayed > info.n_plain);
    }
    tsr_decoder_close(d);
    assert_int_equal(tsr_state_free_slots(m.state), MODEL_SLOTS);
    assert_int_equal(tsr_state_free_pages(m.state), MODEL_PAGES);
    free(allow);
    model_close(&m);
}

static void decoding(void **state)
{
    static const char *const names[] = {"golden", "text-runs", "text-moe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) decoding_of(*state, names[i]);
}

/* Push and take until a push fails; how many did not. */
static int64_t decode_until(tsr_decoder *d, tsr_status wanted)
{
    tsr_status st = TSR_OK;
    int64_t n = 0;
    for (; n < MODEL_ROWS; n++) {
        st = tsr_decoder_push(d);
        if (st) break;
        must(tsr_decoder_take(d, NULL, NULL));
    }
    assert_int_equal(st, wanted);
    must(tsr_decoder_end(d, NULL, NULL));
    return n;
}

/* A full context, used up pages and a caller's stop end a decoding and leave the state of use. */
static void decoding_ends_well(void **state)
{
    model m;
    tsr_decoder *d;
    tsr_seq seq, other, *list = &seq;
    int cancel = 1;
    open_quietly(&m, *state, "golden");
    must(tsr_decoder_open(&d, m.lm, m.state, model_decoder));
    tsr_decoding one = {.seqs = &list, .sampling = how, .n_seqs = 1}, many = one;
    many.n_seqs = model_decoder.max_seqs + 1;
    assert_int_equal(tsr_decoder_begin(d, &many), TSR_E_ARG);

    begin(&m, &seq, 0, NULL);
    seq.max_tokens = prompts[0] + 5;
    must(tsr_decoder_begin(d, &one));
    assert_int_equal(decode_until(d, TSR_E_CONTEXT), 5);
    check_state(&m, &seq, 0, 5, NULL);
    tsr_seq_close(&seq);

    begin(&m, &seq, 0, NULL);
    must(tsr_seq_open(&other, m.state, MODEL_PAGES * TSR_PAGE_TOKENS));
    must(tsr_seq_reserve(&other, tsr_state_free_pages(m.state) * TSR_PAGE_TOKENS));
    must(tsr_decoder_begin(d, &one));
    assert_int_equal(decode_until(d, TSR_E_LIMIT), TSR_PAGE_TOKENS - prompts[0]);
    tsr_seq_close(&other);
    check_state(&m, &seq, 0, TSR_PAGE_TOKENS - prompts[0], NULL);

    must(tsr_decoder_begin(d, &one)); /* and on from there */
    must(tsr_decoder_push(d));
    must(tsr_decoder_take(d, NULL, NULL));
    m.q->cancel = &cancel;
    assert_int_equal(tsr_decoder_push(d), TSR_E_CANCELLED);
    m.q->cancel = NULL;
    must(tsr_decoder_end(d, NULL, NULL));
    check_state(&m, &seq, 0, TSR_PAGE_TOKENS - prompts[0] + 1, NULL);
    tsr_seq_close(&seq);
    tsr_decoder_close(d);
    model_close(&m);
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } tests[] = {{"decoding", decoding}, {"decoding ends well", decoding_ends_well}};
    enum { N_TESTS = sizeof tests / sizeof *tests };
    static backend backends[MAX_BACKENDS];
    static struct CMUnitTest units[MAX_BACKENDS * N_TESTS];
    static char names[MAX_BACKENDS * N_TESTS][64];
    int n_backends = find_backends(backends), n = 0;
    for (int b = 0; b < n_backends; b++)
        for (int i = 0; i < N_TESTS; i++, n++) {
            snprintf(names[n], sizeof names[n], "%.23s %s", backends[b].name, tests[i].name);
            units[n] = (struct CMUnitTest){
                .name = names[n], .test_func = tests[i].run, .initial_state = &backends[b]};
        }
    return _cmocka_run_group_tests("decode", units, (size_t)n, NULL, NULL);
}
