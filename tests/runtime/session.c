/* tests/runtime/session.c: sessions through the public API: dialogue, forks, stops, sampling, saving, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "include/tessera.h"

#define MODEL(name) TSR_SOURCE_DIR "/tests/vectors/models/" name
#define PICTURE TSR_SOURCE_DIR "/tests/vectors/models/chat-a/expect/png.png"

typedef struct fixture {
    tsr_model *model;
    tsr_engine *engine;
    tsr_image *image;
} fixture;

static void must(tsr_status st)
{
    if (st) fail_msg("%s", tsr_message());
}

static int open_fixture(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    must(tsr_model_open(&f->model, MODEL("chat-a"), NULL));
    must(tsr_engine_open(&f->engine, f->model,
                         &(tsr_engine_opts){.n_sessions = 4, .n_ctx = 1024, .max_rows = 64}));
    must(tsr_image_open(&f->image, f->model, PICTURE, NULL));
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    fixture *f = *state;
    tsr_image_close(f->image);
    tsr_engine_close(f->engine);
    tsr_model_close(f->model);
    free(f);
    return 0;
}

static tsr_session *open_session(const fixture *f)
{
    tsr_session *s = NULL;
    must(tsr_session_open(&s, f->engine));
    return s;
}

static void say(tsr_session *s, tsr_role role, const char *text)
{
    must(tsr_session_say(s, role, &(tsr_part){.text = text}, 1));
}

/* An answer of n tokens; its ids are copied, since the session's own last only until its next call. */
static void answer(tsr_session *s, int64_t n, int32_t *ids)
{
    tsr_result r;
    must(tsr_session_generate(s, &(tsr_generate_opts){.max_tokens = n, .ignore_stop_ids = 1}, &r));
    assert_int_equal(r.n_ids, n);
    assert_int_equal(r.reason, TSR_STOP_LENGTH);
    memcpy(ids, r.ids, (size_t)n * sizeof *ids);
}

enum { N = 12 };

/* ---------------------------------------------------------------- */

static void a_dialogue_keeps_its_state(void **state)
{
    const fixture *f = *state;
    int32_t first[N], second[N], again[N];
    tsr_session *s = open_session(f);
    must(tsr_session_say(s, TSR_USER, (tsr_part[]){{.image = f->image}, {.text = "What is it?"}}, 2));
    answer(s, N, first);
    double looked = tsr_session_about(s).vision_seconds;
    say(s, TSR_USER, "And how many?");
    answer(s, N, second);
    tsr_session_info info = tsr_session_about(s);
    assert_true(looked > 0 && info.vision_seconds == looked); /* the picture was not read again */
    assert_int_equal(info.image_tokens, tsr_image_about(f->image)->n_tokens);

    /* The same timeline as bare ids, read in one go, continues with the same answer. */
    tsr_session *t = open_session(f);
    must(tsr_session_save(s, "session-test.state"));
    must(tsr_session_load(t, "session-test.state"));
    say(s, TSR_USER, "More.");
    say(t, TSR_USER, "More.");
    answer(s, N, first);
    answer(t, N, again);
    assert_memory_equal(first, again, sizeof first);
    unlink("session-test.state");
    tsr_session_close(t);
    tsr_session_close(s);
}

static void a_read_prefix_can_be_forked(void **state)
{
    const fixture *f = *state;
    int32_t whole[2][N], forked[2][N];
    static const char *const questions[] = {"Read the first line.", "Which colour?"};
    for (int i = 0; i < 2; i++) {
        tsr_session *s = open_session(f);
        say(s, TSR_SYSTEM, "You read documents, line by line, and answer briefly.");
        say(s, TSR_USER, questions[i]);
        answer(s, N, whole[i]);
        tsr_session_close(s);
    }
    tsr_session *prefix = open_session(f), *forks[2] = {NULL, NULL};
    say(prefix, TSR_SYSTEM, "You read documents, line by line, and answer briefly.");
    must(tsr_session_read(prefix, NULL, NULL));
    assert_true(tsr_session_about(prefix).n_past > 8);
    for (int i = 0; i < 2; i++) must(tsr_session_fork(&forks[i], prefix));
    for (int i = 0; i < 2; i++) say(forks[i], TSR_USER, questions[i]);
    answer(forks[1], N, forked[1]);
    answer(forks[0], N, forked[0]);
    assert_memory_equal(whole, forked, sizeof whole);
    assert_memory_not_equal(forked[0], forked[1], sizeof forked[0]);
    tsr_session_close(forks[0]);
    tsr_session_close(forks[1]);
    tsr_session_close(prefix);
}

static void a_stop_string_ends_and_leaves_the_state_in_front_of_it(void **state)
{
    const fixture *f = *state;
    tsr_result whole, cut;
    tsr_session *s = open_session(f);
    say(s, TSR_USER, "Tell me.");
    must(tsr_session_generate(s, &(tsr_generate_opts){.max_tokens = 40, .ignore_stop_ids = 1}, &whole));
    assert_true(whole.bytes > 12);
    char text[512], stop[4] = {0};
    snprintf(text, sizeof text, "%s", whole.text);
    size_t at = 6; /* a stop string that begins on a character */
    while (at < 20 && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
    memcpy(stop, text + at, 1 + ((unsigned char)text[at] >= 0xc0) + ((unsigned char)text[at] >= 0xe0));
    size_t first = (size_t)(strstr(text, stop) - text);

    tsr_session *t = open_session(f);
    say(t, TSR_USER, "Tell me.");
    const char *stops[] = {stop};
    must(tsr_session_generate(
        t, &(tsr_generate_opts){.max_tokens = 40, .ignore_stop_ids = 1, .stop = stops, .n_stop = 1}, &cut));
    assert_int_equal(cut.reason, TSR_STOP_STRING);
    assert_int_equal(cut.bytes, first);
    assert_memory_equal(cut.text, text, first);

    /* What follows is the same as if those ids alone had been said. */
    int32_t kept[64], next[N], wanted[N];
    int64_t n_kept = cut.n_ids;
    memcpy(kept, cut.ids, (size_t)n_kept * sizeof *kept);
    say(t, TSR_USER, "Go on.");
    answer(t, N, next);
    tsr_session *u = open_session(f);
    say(u, TSR_USER, "Tell me.");
    must(tsr_session_generate(
        u, &(tsr_generate_opts){.max_tokens = n_kept ? n_kept : 1, .ignore_stop_ids = 1}, NULL));
    if (n_kept) {
        say(u, TSR_USER, "Go on.");
        answer(u, N, wanted);
        assert_memory_equal(next, wanted, sizeof next);
    }
    tsr_session_close(u);
    tsr_session_close(t);
    tsr_session_close(s);
}

static void the_seed_decides_the_text(void **state)
{
    const fixture *f = *state;
    int32_t ids[3][N];
    static const uint64_t seeds[] = {1, 1, 2};
    for (int i = 0; i < 3; i++) {
        tsr_session *s = open_session(f);
        tsr_result r;
        say(s, TSR_USER, "Anything.");
        tsr_generate_opts g = {
            .max_tokens = N, .ignore_stop_ids = 1, .temp = 1.5f, .top_p = 0.95f, .seed = seeds[i]};
        must(tsr_session_generate(s, &g, &r));
        memcpy(ids[i], r.ids, sizeof ids[i]);
        for (int64_t k = 0; k < r.n_ids; k++) assert_true(r.logprobs[k] <= 0);
        tsr_session_close(s);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_not_equal(ids[0], ids[2], sizeof ids[0]);
}

static void the_penalty_knows_what_earlier_steps_read(void **state)
{
    const fixture *f = *state;
    enum { FIRST_STEP = 64, ROWS = 100 }; /* the engine reads 64 rows a step */
    int32_t ids[ROWS];
    for (int i = 0; i < ROWS; i++) ids[i] = i < FIRST_STEP ? 100 + i : 99;
    tsr_session *s = open_session(f);
    tsr_result r;
    must(tsr_session_add_ids(s, ids, ROWS, NULL, 0));
    must(tsr_session_generate(
        s, &(tsr_generate_opts){.max_tokens = 20, .ignore_stop_ids = 1, .repeat_penalty = 100}, &r));
    for (int64_t i = 0; i < r.n_ids; i++) assert_true(r.ids[i] < 99 || r.ids[i] >= 100 + FIRST_STEP);
    tsr_session_close(s);
}

typedef struct watch {
    int64_t tokens, at_second, at_last;
} watch;

static int count_allocations(void *user, const tsr_piece *piece)
{
    watch *w = user;
    (void)piece;
    w->tokens++;
    if (w->tokens == 2) w->at_second = tsr_alloc_count();
    w->at_last = tsr_alloc_count();
    return 1;
}

static void a_token_allocates_nothing(void **state)
{
    const fixture *f = *state;
    watch w = {0};
    tsr_session *s = open_session(f);
    must(tsr_session_say(s, TSR_USER, (tsr_part[]){{.image = f->image}, {.text = "Speak."}}, 2));
    must(tsr_session_generate(
        s,
        &(tsr_generate_opts){
            .max_tokens = 200, .ignore_stop_ids = 1, .on_piece = count_allocations, .user = &w},
        NULL));
    assert_true(w.tokens > 20);
    assert_int_equal(w.at_last, w.at_second);
    tsr_session_close(s);
}

static int stop_at_once(void *user, int vision, int64_t done, int64_t total)
{
    (void)user, (void)vision, (void)total;
    return done == 0;
}

static void stopping_leaves_a_usable_session(void **state)
{
    const fixture *f = *state;
    int32_t wanted[N], got[N];
    tsr_session *s = open_session(f), *t = open_session(f);
    tsr_part parts[] = {{.image = f->image}, {.text = "Look at it, please, and tell me."}};
    must(tsr_session_say(s, TSR_USER, parts, 2));
    answer(s, N, wanted);

    must(tsr_session_say(t, TSR_USER, parts, 2));
    assert_int_equal(tsr_session_read(t, stop_at_once, NULL), TSR_E_CANCELLED);
    tsr_session_cancel(t);
    assert_int_equal(tsr_session_read(t, NULL, NULL), TSR_E_CANCELLED);
    answer(t, N, got);
    assert_memory_equal(wanted, got, sizeof got);
    tsr_session_close(t);
    tsr_session_close(s);
}

/* Stops the answer at its piece number *left, by a refusal or by a cancel. */
typedef struct stopper {
    tsr_session *cancel; /* NULL: refuse */
    int left;
} stopper;

static int stop_after(void *user, const tsr_piece *piece)
{
    stopper *s = user;
    (void)piece;
    if (--s->left > 0) return 1;
    if (s->cancel) tsr_session_cancel(s->cancel);
    return s->cancel != NULL;
}

/* An answer that was stopped goes on where it stood, with or without the step that ran ahead; so do its forks. */
static void a_stopped_answer_goes_on(void **state)
{
    const fixture *f = *state;
    int32_t whole[30], rest[30];
    tsr_session *s = open_session(f), *fork = NULL;
    say(s, TSR_USER, "Tell me.");
    answer(s, 30, whole);
    tsr_session_close(s);
    for (int cancel = 0; cancel < 2; cancel++) {
        s = open_session(f);
        stopper stop = {.cancel = cancel ? s : NULL, .left = 4};
        tsr_result r;
        say(s, TSR_USER, "Tell me.");
        tsr_status st = tsr_session_generate(
            s,
            &(tsr_generate_opts){
                .max_tokens = 30, .ignore_stop_ids = 1, .on_piece = stop_after, .user = &stop},
            &r);
        assert_int_equal(st, cancel ? TSR_E_CANCELLED : TSR_OK);
        tsr_session_info info = tsr_session_about(s);
        assert_true(info.n_pending <= 1);
        if (!cancel) {
            int64_t at = r.n_ids; /* tokens said */
            assert_int_equal(r.reason, TSR_STOP_CALLER);
            assert_true(at >= 4 && at < 20);
            must(tsr_session_fork(&fork, s));
            answer(fork, 30 - at, rest);
            assert_memory_equal(rest, whole + at, (size_t)(30 - at) * sizeof *rest);
            tsr_session_close(fork);
            answer(s, 30 - at, rest);
            assert_memory_equal(rest, whole + at, (size_t)(30 - at) * sizeof *rest);
            say(s, TSR_USER, "More."); /* and a turn follows as any other */
            answer(s, N, rest);
        }
        tsr_session_close(s);
    }
}

static void damaged_files_are_refused(void **state)
{
    const fixture *f = *state;
    static const char path[] = "damaged-test.state";
    int32_t ids[N];
    tsr_session *s = open_session(f), *t = open_session(f);
    say(s, TSR_USER, "Keep this.");
    answer(s, N, ids);
    must(tsr_session_save(s, path));
    int64_t pos = tsr_session_about(t).n_past;

    FILE *file = fopen(path, "rb");
    static unsigned char bytes[1 << 20], copy[1 << 20];
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 200 && n < sizeof bytes);
    for (size_t at = 0; at <= n; at += n / 97 + 1) {
        size_t length = at == n ? n - 1 : n;
        memcpy(copy, bytes, n);
        if (at < n) copy[at] ^= 0x41;
        file = fopen(path, "wb");
        fwrite(copy, 1, length, file);
        fclose(file);
        assert_int_not_equal(tsr_session_load(t, path), TSR_OK);
        assert_non_null(strstr(tsr_message(), path));
        assert_int_equal(tsr_session_about(t).n_past, pos);
    }
    file = fopen(path, "wb");
    fwrite(bytes, 1, n, file);
    fclose(file);
    must(tsr_session_load(t, path));

    tsr_model *other = NULL;
    tsr_engine *engine = NULL;
    tsr_session *u = NULL;
    must(tsr_model_open(&other, MODEL("chat-b"), NULL));
    must(tsr_engine_open(&engine, other, NULL));
    must(tsr_session_open(&u, engine));
    assert_int_not_equal(tsr_session_load(u, path), TSR_OK);
    tsr_session_close(u);
    tsr_engine_close(engine);
    tsr_model_close(other);
    unlink(path);
    tsr_session_close(t);
    tsr_session_close(s);
}

/* Half the bytes of state; forks and files carry it, and go on with the same answer; other engines refuse it. */
static void a_state_may_be_f16(void **state)
{
    const fixture *f = *state;
    static const char path[] = "half-test.state";
    tsr_engine *engine = NULL;
    tsr_session *s = NULL, *t = NULL, *u = NULL, *other = open_session(f);
    int32_t first[N], forked[N], loaded[N];
    assert_int_equal(tsr_engine_open(&engine, f->model, &(tsr_engine_opts){.state = "bf16"}), TSR_E_ARG);
    must(tsr_engine_open(&engine, f->model,
                         &(tsr_engine_opts){.n_sessions = 3, .n_ctx = 1024, .state = "f16"}));
    int64_t half = tsr_engine_memory(engine).state_bytes, whole = tsr_engine_memory(f->engine).state_bytes;
    assert_true(half < whole && half >= whole / 2);
    must(tsr_session_open(&s, engine));
    must(tsr_session_open(&u, engine));
    say(s, TSR_USER, "Remember this.");
    answer(s, N, first);
    must(tsr_session_save(s, path));
    must(tsr_session_fork(&t, s));
    must(tsr_session_load(u, path));
    assert_int_equal(tsr_session_load(other, path), TSR_E_ARG);
    assert_non_null(strstr(tsr_message(), "--state"));
    tsr_session *all[] = {s, t, u};
    int32_t *answers[] = {first, forked, loaded};
    for (int i = 0; i < 3; i++) {
        say(all[i], TSR_USER, "What was it?");
        answer(all[i], N, answers[i]);
        tsr_session_close(all[i]);
    }
    assert_memory_equal(first, forked, sizeof first);
    assert_memory_equal(first, loaded, sizeof first);
    unlink(path);
    tsr_session_close(other);
    tsr_engine_close(engine);
}

static void read_ids(tsr_session *s, int64_t first, int64_t n)
{
    int32_t ids[64];
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)((first + i) * 37 % 128);
    must(tsr_session_add_ids(s, ids, n, NULL, 0));
    must(tsr_session_read(s, NULL, NULL));
}

/* Keys and values in FP8 take a quarter of f32's, a half of bf16's; a saved session says what it holds. */
static void keys_in_fp8(void **state)
{
    (void)state;
    static const char path[] = "kv-test.state";
    tsr_model *m = NULL;
    tsr_engine *fp8 = NULL, *bf16 = NULL, *none = NULL;
    tsr_session *s = NULL, *t = NULL, *u = NULL;
    int32_t a[N], b[N];
    must(tsr_model_open(&m, MODEL("fp8"), NULL));
    must(tsr_engine_open(&fp8, m, &(tsr_engine_opts){.n_ctx = 256, .n_sessions = 2, .kv = "fp8"}));
    must(tsr_engine_open(&bf16, m, &(tsr_engine_opts){.n_ctx = 256}));
    assert_int_equal(2 * tsr_engine_memory(fp8).kv_bytes_per_token,
                     tsr_engine_memory(bf16).kv_bytes_per_token);
    must(tsr_session_open(&s, fp8));
    must(tsr_session_open(&t, fp8));
    must(tsr_session_open(&u, bf16));
    read_ids(s, 3, 60);
    must(tsr_session_save(s, path));
    must(tsr_session_load(t, path));
    read_ids(s, 70, 20);
    read_ids(t, 70, 20);
    answer(s, N, a);
    answer(t, N, b);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(tsr_session_load(u, path), TSR_E_ARG);
    assert_non_null(strstr(tsr_message(), "--kv"));

    assert_int_equal(tsr_engine_open(&none, m, &(tsr_engine_opts){.kv = "int8"}), TSR_E_ARG);
    tsr_session_close(u);
    tsr_session_close(t);
    tsr_session_close(s);
    tsr_engine_close(bf16);
    tsr_engine_close(fp8);
    tsr_model_close(m);
    must(tsr_model_open(&m, MODEL("text-runs"), NULL));
    assert_int_equal(tsr_engine_open(&none, m, &(tsr_engine_opts){.kv = "fp8"}), TSR_E_UNSUPPORTED);
    assert_non_null(strstr(tsr_message(), "quantize --kv fp8"));
    tsr_model_close(m);
    unlink(path);
}

static void what_cannot_be_is_said(void **state)
{
    const fixture *f = *state;
    tsr_session *s = open_session(f), *more[4] = {NULL};
    tsr_image *image = NULL;
    assert_int_equal(tsr_session_generate(s, NULL, NULL), TSR_E_ARG);
    assert_int_equal(tsr_session_say(s, TSR_USER, &(tsr_part){.text = NULL}, 1), TSR_E_ARG);
    assert_int_equal(tsr_session_say(s, TSR_USER, NULL, 0), TSR_E_ARG);
    assert_int_equal(tsr_session_add_ids(s, (int32_t[]){1 << 30}, 1, NULL, 0), TSR_E_ARG);
    assert_int_equal(tsr_session_add_ids(s, (int32_t[]){-1}, 1, NULL, 0), TSR_E_ARG);
    say(s, TSR_USER, "Too much?");
    assert_int_equal(tsr_session_generate(s, &(tsr_generate_opts){.max_tokens = 4096}, NULL), TSR_E_CONTEXT);
    assert_int_equal(tsr_session_generate(s, &(tsr_generate_opts){.max_tokens = -2}, NULL), TSR_E_ARG);
    assert_int_equal(tsr_session_generate(s, &(tsr_generate_opts){.temp = -1}, NULL), TSR_E_ARG);
    assert_int_equal(tsr_session_generate(s, &(tsr_generate_opts){.top_p = 2}, NULL), TSR_E_ARG);
    must(tsr_session_generate(s, &(tsr_generate_opts){.max_tokens = 3}, NULL));

    assert_int_not_equal(tsr_image_open(&image, f->model, "no such file.png", NULL), TSR_OK);
    assert_null(image);
    int n_more = 0;
    while (n_more < 4 && !tsr_session_open(&more[n_more], f->engine)) n_more++;
    assert_int_equal(n_more, 3); /* four slots, one taken */
    assert_non_null(strstr(tsr_message(), "4"));
    for (int i = 0; i < n_more; i++) tsr_session_close(more[i]);
    tsr_session_close(s);
}

static void a_plan_agrees_with_the_engine(void **state)
{
    const fixture *f = *state;
    (void)f;
    static const char *const models[] = {MODEL("chat-a"), MODEL("chat-b"), MODEL("native"),
                                         MODEL("text-runs"), MODEL("text-wide")};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        tsr_engine_opts opts = {.n_ctx = 700, .n_sessions = 3};
        tsr_plan plan, real;
        tsr_model *model = NULL;
        tsr_engine *engine = NULL;
        must(tsr_plan_model(&plan, models[i], NULL, &opts));
        must(tsr_model_open(&model, models[i], NULL));
        must(tsr_engine_open(&engine, model, &opts));
        real = tsr_engine_memory(engine);
        assert_int_equal(plan.state_bytes, real.state_bytes);
        assert_int_equal(plan.kv_bytes, real.kv_bytes);
        assert_int_equal(plan.scratch_bytes, real.scratch_bytes);
        int64_t difference = plan.total_bytes - real.total_bytes;
        if (llabs(difference) * 50 > real.total_bytes)
            fail_msg("%s: planned %lld bytes, took %lld", models[i], (long long)plan.total_bytes,
                     (long long)real.total_bytes);
        tsr_engine_close(engine);
        tsr_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dialogue_keeps_its_state),
        cmocka_unit_test(a_read_prefix_can_be_forked),
        cmocka_unit_test(a_stop_string_ends_and_leaves_the_state_in_front_of_it),
        cmocka_unit_test(the_seed_decides_the_text),
        cmocka_unit_test(the_penalty_knows_what_earlier_steps_read),
        cmocka_unit_test(a_token_allocates_nothing),
        cmocka_unit_test(stopping_leaves_a_usable_session),
        cmocka_unit_test(a_stopped_answer_goes_on),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_state_may_be_f16),
        cmocka_unit_test(keys_in_fp8),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(a_plan_agrees_with_the_engine),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
