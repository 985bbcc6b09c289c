/* tests/model/steps.c: however the rows of sequences are cut into steps and wherever their state lies, they
 * compute the same thing.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { N_LONG = 90, N_SHORT = 21 }; /* the first spans two pages, and many chunks of 8 or 16 */

static const backend *backend_of(void **state)
{
    return *state;
}

/* Ids without a pattern that a short period would hide. */
static void make_ids(int32_t *to, int64_t n, uint32_t seed, int64_t vocab)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        to[i] = (int32_t)((seed >> 8) % (uint32_t)vocab);
    }
}

static void open_quietly(model *m, const backend *b, const char *name)
{
    model_open(m, b, name, (model_opts){0});
    m->q->tap = NULL;
    m->q->unfused = false;
}

static float *feed_all(model *m, tsr_seq *seq, const int32_t *ids, int64_t n, const float *rows,
                       int64_t n_rows)
{
    return model_feed(m, seq, ids, n, TSR_LOGITS_ALL, rows, n_rows);
}

/* Rows cut elsewhere take another order of sums; where inputs are rounded to bf16, now and then another
 * neighbour, which the next layers carry on. */
static double split_limit(const backend *b, const model *m)
{
    return b->rounds && m->config.type != TSR_F32 ? 3e-2 : 1e-5;
}

static void check_split(model *m, const int32_t *ids, int64_t n, int64_t at, const float *whole,
                        const float *rows, int64_t n_rows)
{
    int64_t vocab = m->config.vocab;
    tsr_seq seq = model_seq(m);
    float *first = feed_all(m, &seq, ids, at, rows, n_rows);
    float *second = feed_all(m, &seq, ids + at, n - at, rows, n_rows);
    double a = drift(first, whole, at * vocab), b = drift(second, whole + at * vocab, (n - at) * vocab);
    double limit = split_limit(m->backend, m);
    if (!(a <= limit && b <= limit))
        fail_msg("%s: split at %lld of %lld drifts by %.1e and %.1e", m->backend->name, (long long)at,
                 (long long)n, a, b);
    free(first);
    free(second);
    tsr_seq_close(&seq);
}

static void check_one_by_one(model *m, const int32_t *ids, int64_t n, const float *whole, const float *rows,
                             int64_t n_rows)
{
    tsr_seq seq = model_seq(m);
    for (int64_t t = 0; t < n; t++) {
        float *row = feed_all(m, &seq, ids + t, 1, rows, n_rows);
        double d = drift(row, whole + t * m->config.vocab, m->config.vocab);
        if (!(d <= 2 * split_limit(m->backend, m)))
            fail_msg("%s: row %lld alone drifts by %.1e", m->backend->name, (long long)t, d);
        free(row);
    }
    tsr_seq_close(&seq);
}

static void prefill_splits_of(const backend *b, const char *name, int64_t n, int64_t step)
{
    model m;
    int32_t ids[N_LONG];
    open_quietly(&m, b, name);
    make_ids(ids, n, 7, m.config.vocab);
    tsr_seq seq = model_seq(&m);
    float *whole = feed_all(&m, &seq, ids, n, NULL, 0);
    for (int64_t at = 1; at < n; at += step) check_split(&m, ids, n, at, whole, NULL, 0);
    check_one_by_one(&m, ids, n, whole, NULL, 0);
    free(whole);
    tsr_seq_close(&seq);
    model_close(&m);
}

/* Every split of a short prompt; some of one that crosses pages. */
static void prefill_splits(void **state)
{
    /* Rounded inputs can turn the closest choice of experts in golden. */
    prefill_splits_of(backend_of(state), backend_of(state)->rounds ? "text-wide" : "golden", N_SHORT, 1);
    prefill_splits_of(backend_of(state), "text-f16", N_SHORT, 1);
    prefill_splits_of(backend_of(state), "text-moe", N_LONG, 29);
    prefill_splits_of(backend_of(state), "text-runs", N_LONG, 37);
}

/* The same at every row of a prompt with image rows, so inside images too. */
static void image_splits(void **state)
{
    model m;
    int64_t n_rows;
    open_quietly(&m, backend_of(state), "chat-a");
    tsr_npy tiles = case_array(&m, "two-images", "tiles"), ids = case_array(&m, "two-images", "prompt.ids");
    float *rows = model_rows(&m, &tiles, &n_rows);
    tsr_seq seq = model_seq(&m);
    float *whole = feed_all(&m, &seq, ids.data, ids.elements, rows, n_rows);
    for (int64_t at = 1; at < ids.elements; at++)
        check_split(&m, ids.data, ids.elements, at, whole, rows, n_rows);
    free(whole);
    free(rows);
    tsr_seq_close(&seq);
    tsr_npy_close(&tiles);
    tsr_npy_close(&ids);
    model_close(&m);
}

/* ---------------------------------------------------------------- several sequences -------------------- */

enum { N_SEQS = 5 };
static const int64_t before[N_SEQS] = {0, 9, 0, 70, 3};
static const int64_t added[N_SEQS] = {11, 1, 30, 1, 6};

static void ids_of(int32_t to[N_LONG], const model *m, int i)
{
    make_ids(to, N_LONG, (uint32_t)(100 + i), m->config.vocab);
}

static void prepare(model *m, tsr_seq *seq, int i)
{
    int32_t ids[N_LONG];
    ids_of(ids, m, i);
    *seq = model_seq(m);
    if (before[i]) free(model_feed(m, seq, ids, before[i], TSR_LOGITS_NONE, NULL, 0));
}

/* Decode rows, first prompts and continued ones in one step give the bits that each gives alone. */
static void ragged_step_of(const backend *b, const char *name)
{
    model m;
    int32_t ids[N_SEQS][N_LONG];
    float *alone[N_SEQS];
    open_quietly(&m, b, name);
    for (int i = 0; i < N_SEQS; i++) {
        tsr_seq seq;
        ids_of(ids[i], &m, i);
        prepare(&m, &seq, i);
        alone[i] = feed_all(&m, &seq, ids[i] + before[i], added[i], NULL, 0);
        tsr_seq_close(&seq);
    }
    tsr_seq seqs[N_SEQS];
    tsr_step_item items[N_SEQS];
    for (int i = N_SEQS - 1; i >= 0; i--) prepare(&m, &seqs[i], i); /* other slots and pages than alone */
    for (int i = 0; i < N_SEQS; i++)
        items[i] = (tsr_step_item){
            .seq = &seqs[i], .ids = ids[i] + before[i], .n_new = added[i], .logits = TSR_LOGITS_ALL};
    int64_t first[N_SEQS];
    must(tsr_stepper_fill(m.stepper, items, N_SEQS, 0, NULL));
    assert_int_equal(tsr_stepper_step(m.stepper)->n_decode, 2);
    for (int i = 0; i < N_SEQS; i++) first[i] = tsr_stepper_logits_of(m.stepper, i);
    float *together = model_step(&m, items, N_SEQS, NULL, 0);
    for (int i = 0; i < N_SEQS; i++) {
        size_t bytes = (size_t)(added[i] * m.config.vocab) * sizeof(float);
        if (memcmp(together + first[i] * m.config.vocab, alone[i], bytes) != 0)
            fail_msg("%s %s: sequence %d differs in company by %.1e", b->name, name, i,
                     drift(together + first[i] * m.config.vocab, alone[i], added[i] * m.config.vocab));
        assert_int_equal(seqs[i].pos, before[i] + added[i]);
        tsr_seq_close(&seqs[i]);
        free(alone[i]);
    }
    assert_int_equal(tsr_state_free_slots(m.state), MODEL_SLOTS);
    assert_int_equal(tsr_state_free_pages(m.state), MODEL_PAGES);
    free(together);
    model_close(&m);
}

static void ragged_step(void **state)
{
    static const char *const names[] = {"golden", "text-runs", "text-moe", "text-f16", "fp8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) ragged_step_of(backend_of(state), names[i]);
}

/* ---------------------------------------------------------------- forks --------------------------------- */

/* Sixteen tokens one by one; logits of the last. */
static float *go_on(model *m, tsr_seq *seq, uint32_t seed)
{
    int32_t ids[16];
    float *logits = NULL;
    make_ids(ids, 16, seed, m->config.vocab);
    for (int t = 0; t < 16; t++) {
        free(logits);
        logits = model_feed(m, seq, ids + t, 1, TSR_LOGITS_LAST, NULL, 0);
    }
    return logits;
}

static void must_equal(const model *m, const char *what, const float *a, const float *b)
{
    if (memcmp(a, b, (size_t)m->config.vocab * sizeof *a) != 0)
        fail_msg("%s: %s differs", m->backend->name, what);
}

static void forks(void **state)
{
    model m;
    int32_t ids[N_LONG];
    open_quietly(&m, backend_of(state), "text-runs");
    make_ids(ids, N_LONG, 3, m.config.vocab);

    /* What each would do alone. */
    tsr_seq plain = model_seq(&m);
    free(model_feed(&m, &plain, ids, N_LONG, TSR_LOGITS_NONE, NULL, 0));
    float *left_alone = go_on(&m, &plain, 11);
    tsr_seq_reset(&plain);
    free(model_feed(&m, &plain, ids, N_LONG, TSR_LOGITS_NONE, NULL, 0));
    float *right_alone = go_on(&m, &plain, 12);
    tsr_seq_close(&plain);
    assert_true(memcmp(left_alone, right_alone, (size_t)m.config.vocab * sizeof(float)) != 0);

    /* A checkpoint and two forks: the full page is shared, the one being filled is not. */
    tsr_seq root = model_seq(&m), left = model_seq(&m), right = model_seq(&m);
    free(model_feed(&m, &root, ids, N_LONG, TSR_LOGITS_NONE, NULL, 0));
    must(tsr_seq_copy(&left, &root));
    must(tsr_seq_copy(&right, &root));
    assert_int_equal(left.pages[0], root.pages[0]);
    assert_int_not_equal(left.pages[1], root.pages[1]);
    assert_int_equal(tsr_state_free_pages(m.state), MODEL_PAGES - 4);
    float *a = go_on(&m, &left, 11), *b = go_on(&m, &right, 12);
    must_equal(&m, "the left fork", a, left_alone);
    must_equal(&m, "the right fork", b, right_alone);
    free(a);
    free(b);

    /* Rewound to the checkpoint, each can take the other's way; and the checkpoint is as it was. */
    must(tsr_seq_copy(&left, &root));
    tsr_seq_close(&right);
    a = go_on(&m, &left, 12);
    b = go_on(&m, &root, 11);
    must_equal(&m, "the rewound fork", a, right_alone);
    must_equal(&m, "the checkpoint", b, left_alone);
    free(a);
    free(b);

    tsr_seq_close(&left);
    tsr_seq_close(&root);
    assert_int_equal(tsr_state_free_pages(m.state), MODEL_PAGES);
    assert_int_equal(tsr_state_free_slots(m.state), MODEL_SLOTS);
    free(left_alone);
    free(right_alone);
    model_close(&m);
}

/* A sequence saved, closed and restored elsewhere goes on with the same bits; damage is refused. */
static void save_and_restore(void **state)
{
    model m;
    int32_t ids[N_LONG];
    open_quietly(&m, backend_of(state), "golden");
    make_ids(ids, N_LONG, 5, m.config.vocab);
    tsr_seq seq = model_seq(&m);
    free(model_feed(&m, &seq, ids, N_LONG, TSR_LOGITS_NONE, NULL, 0));
    size_t bytes = tsr_seq_saved_bytes(m.state, N_LONG);
    char *saved = malloc(bytes), *again = malloc(bytes);
    must(tsr_seq_save(&seq, saved));
    float *want = go_on(&m, &seq, 21);
    tsr_seq_close(&seq);

    tsr_seq other = model_seq(&m), restored = model_seq(&m);
    free(model_feed(&m, &other, ids, 7, TSR_LOGITS_NONE, NULL, 0)); /* takes the pages that were free */
    assert_int_equal(tsr_seq_restore(&restored, saved, bytes - 1, N_LONG), TSR_E_FORMAT);
    assert_int_equal(tsr_seq_restore(&restored, saved, bytes, MODEL_ROWS + 1), TSR_E_CONTEXT);
    must(tsr_seq_restore(&restored, saved, bytes, N_LONG));
    must(tsr_seq_save(&restored, again));
    assert_memory_equal(saved, again, bytes);
    float *got = go_on(&m, &restored, 21);
    must_equal(&m, "the restored sequence", got, want);

    free(got);
    free(want);
    free(saved);
    free(again);
    tsr_seq_close(&other);
    tsr_seq_close(&restored);
    model_close(&m);
}

/* A slot left behind by one sequence says nothing to the next. */
static void slots_are_reused(void **state)
{
    model m;
    int32_t ids[N_SHORT];
    open_quietly(&m, backend_of(state), "golden");
    make_ids(ids, N_SHORT, 9, m.config.vocab);
    tsr_seq seq = model_seq(&m);
    float *fresh = model_feed(&m, &seq, ids, N_SHORT, TSR_LOGITS_LAST, NULL, 0);
    free(go_on(&m, &seq, 1));
    tsr_seq_reset(&seq);
    float *reused = model_feed(&m, &seq, ids, N_SHORT, TSR_LOGITS_LAST, NULL, 0);
    must_equal(&m, "a reused slot", reused, fresh);
    free(fresh);
    free(reused);
    tsr_seq_close(&seq);
    model_close(&m);
}

/* Decoding takes no memory, not even where a new page begins. */
static void no_allocations(void **state)
{
    model m;
    int32_t ids[N_LONG];
    open_quietly(&m, backend_of(state), "golden");
    make_ids(ids, N_LONG, 4, m.config.vocab);
    tsr_seq seq = model_seq(&m);
    free(model_feed(&m, &seq, ids, TSR_PAGE_TOKENS - 4, TSR_LOGITS_LAST, NULL, 0));
    int64_t pages = seq.n_pages, before_all = tsr_alloc_count();
    for (int64_t t = TSR_PAGE_TOKENS - 4; t < N_LONG; t++)
        free(model_feed(&m, &seq, ids + t, 1, TSR_LOGITS_LAST, NULL, 0));
    assert_int_equal(tsr_alloc_count(), before_all);
    assert_int_equal(seq.n_pages, pages + 1);
    tsr_seq_close(&seq);
    model_close(&m);
}

/* ---------------------------------------------------------------- images -------------------------------- */

/* Text through the whole model, with image rows at hand that nobody asks for, and through the text model. */
static void text_alone(void **state)
{
    model whole, text;
    int32_t ids[N_SHORT];
    open_quietly(&whole, backend_of(state), "chat-b");
    make_ids(ids, N_SHORT, 2, whole.config.vocab);
    tsr_npy tiles = case_array(&whole, "one-tile", "tiles");
    int64_t n_rows;
    float *rows = model_rows(&whole, &tiles, &n_rows);
    tsr_seq seq = model_seq(&whole);
    float *with = feed_all(&whole, &seq, ids, N_SHORT, rows, n_rows);
    tsr_seq_close(&seq);

    model_open(&text, backend_of(state), "chat-b", (model_opts){.text_only = true});
    assert_null(text.vit);
    seq = model_seq(&text);
    float *without = feed_all(&text, &seq, ids, N_SHORT, NULL, 0);
    assert_memory_equal(with, without, (size_t)(N_SHORT * text.config.vocab) * sizeof(float));

    free(with);
    free(without);
    free(rows);
    tsr_seq_close(&seq);
    tsr_npy_close(&tiles);
    model_close(&text);
    model_close(&whole);
}

/* The prompt reads A then B; with the rows of the two images swapped it must say something else. */
static void swapped_images(void **state)
{
    model m;
    int64_t n_rows;
    open_quietly(&m, backend_of(state), "chat-a");
    tsr_npy tiles = case_array(&m, "two-images", "tiles"), ids = case_array(&m, "two-images", "prompt.ids");
    float *rows = model_rows(&m, &tiles, &n_rows);
    tsr_seq seq = model_seq(&m);
    float *ab = model_feed(&m, &seq, ids.data, ids.elements, TSR_LOGITS_LAST, rows, n_rows);
    int32_t *id = ids.data;
    for (int64_t i = 0; i < ids.elements; i++)
        if (id[i] < 0) id[i] = -1 - (int32_t)((-1 - id[i] + n_rows / 2) % n_rows);
    tsr_seq_reset(&seq);
    float *ba = model_feed(&m, &seq, ids.data, ids.elements, TSR_LOGITS_LAST, rows, n_rows);
    assert_true(drift(ba, ab, m.config.vocab) > 1e-3);
    free(ab);
    free(ba);
    free(rows);
    tsr_seq_close(&seq);
    tsr_npy_close(&tiles);
    tsr_npy_close(&ids);
    model_close(&m);
}

/* A batch of tiles is its tiles. */
static void tiles_alone(void **state)
{
    model m;
    int64_t n_rows, n_one;
    open_quietly(&m, backend_of(state), "chat-v1");
    tsr_npy tiles = case_array(&m, "three-tiles", "tiles");
    float *rows = model_rows(&m, &tiles, &n_rows);
    for (int64_t t = 0; t < tiles.shape[0]; t++) {
        tsr_npy one = tiles;
        int64_t bytes = tiles.elements / tiles.shape[0];
        one.shape[0] = 1;
        one.elements = bytes;
        one.data = (unsigned char *)tiles.data + t * bytes;
        float *alone = model_rows(&m, &one, &n_one);
        assert_memory_equal(alone, rows + t * n_one * m.config.d_model,
                            (size_t)(n_one * m.config.d_model) * sizeof *rows);
        free(alone);
    }
    free(rows);
    tsr_npy_close(&tiles);
    model_close(&m);
}

/* ---------------------------------------------------------------- limits -------------------------------- */

static void limits(void **state)
{
    model m;
    open_quietly(&m, backend_of(state), "golden");
    tsr_seq seq = model_seq(&m);
    int32_t ids[MODEL_ROWS + 1] = {0};
    tsr_step_item item = {.seq = &seq, .ids = ids, .n_new = 1};

    ids[0] = (int32_t)m.config.vocab;
    assert_int_equal(tsr_stepper_fill(m.stepper, &item, 1, 0, NULL), TSR_E_ARG);
    ids[0] = -1;
    assert_int_equal(tsr_stepper_fill(m.stepper, &item, 1, 0, NULL), TSR_E_ARG);
    ids[0] = TSR_ID_LAST; /* nothing was sampled yet */
    assert_int_equal(tsr_stepper_fill(m.stepper, &item, 1, 4, NULL), TSR_E_ARG);
    ids[0] = 1;
    item.n_new = MODEL_ROWS + 1;
    assert_int_equal(tsr_stepper_fill(m.stepper, &item, 1, 0, NULL), TSR_E_CONTEXT);

    tsr_seq more[MODEL_SLOTS] = {0}, one_too_many;
    for (int i = 1; i < MODEL_SLOTS; i++) more[i] = model_seq(&m);
    assert_int_equal(tsr_seq_open(&one_too_many, m.state, MODEL_ROWS), TSR_E_LIMIT);
    for (int i = 1; i < MODEL_SLOTS; i++) tsr_seq_close(&more[i]);

    /* Pages used up: the sequence that asked keeps what it had. */
    tsr_state *small;
    must(tsr_state_open(&small, m.q, &m.config, (tsr_state_opts){2, 2, TSR_F32, TSR_F32, TSR_F32}));
    tsr_seq a, b;
    must(tsr_seq_open(&a, small, 1000));
    must(tsr_seq_open(&b, small, 1000));
    must(tsr_seq_reserve(&a, TSR_PAGE_TOKENS));
    assert_int_equal(tsr_seq_reserve(&b, TSR_PAGE_TOKENS + 1), TSR_E_LIMIT);
    assert_int_equal(b.n_pages, 0);
    must(tsr_seq_reserve(&b, TSR_PAGE_TOKENS));
    assert_int_equal(tsr_state_free_pages(small), 0);
    assert_int_equal(tsr_seq_reserve(&a, 1001), TSR_E_CONTEXT);
    tsr_seq_close(&a);
    tsr_seq_close(&b);
    tsr_state_close(small);

    tsr_state_sizes sizes =
        tsr_state_measure(&m.config, (tsr_state_opts){INT32_MAX, INT32_MAX, TSR_F32, TSR_F32, TSR_F32});
    assert_true(sizes.total > (size_t)INT32_MAX * sizes.slot_bytes);
    tsr_seq_close(&seq);
    model_close(&m);
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } tests[] = {{"prefill splits", prefill_splits},
                 {"image splits", image_splits},
                 {"ragged step", ragged_step},
                 {"forks", forks},
                 {"save and restore", save_and_restore},
                 {"slots are reused", slots_are_reused},
                 {"no allocations", no_allocations},
                 {"text alone", text_alone},
                 {"swapped images", swapped_images},
                 {"tiles alone", tiles_alone},
                 {"limits", limits}};
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
    return _cmocka_run_group_tests("steps", units, (size_t)n, NULL, NULL);
}
