/* tests/device/decode.c: decoding that runs ahead of the host against decoding that waits for every op.
 *
 *   decode BACKEND MODEL...
 *
 * Each model answers the same prompts in two engines: one as it runs in earnest, where steps are recorded and
 * replayed if the backend can, and one with TSR_SYNC=1, which never does. Ids and logprobs must be equal bit for
 * bit: greedy and drawn, past the end of a recording's context, to a stop id and on from there, with sessions taking
 * turns, after a fork, after a caller who stops. Through the public API alone, without the test library.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tessera.h"

enum { N_CTX = 1300, LONG_PROMPT = 1000, PROMPT = 37, MOST = 4096 };

typedef struct record {
    int32_t ids[MOST];
    float logprobs[MOST];
    int64_t n, n_ended; /* tokens; answers that a stop id ended */
} record;

static int64_t n_recorded, n_notes;

static void must(tsr_status status)
{
    if (!status) return;
    fprintf(stderr, "decode: %s\n", tsr_message());
    exit(1);
}

static void note(void *user, int level, const char *line)
{
    (void)user, (void)level;
    if (!strncmp(line, "recorded a step", 15) && n_recorded++ == 0) printf("  %s\n", line);
    if (!strncmp(line, "decoded:", 8) && n_notes++ < 1000) printf("  %s\n", line);
}

static int32_t draw(int64_t i, int64_t below)
{
    uint64_t z = (uint64_t)i * 0x9e3779b97f4a7c15u + 0x7654321;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return (int32_t)((z ^ (z >> 31)) % (uint64_t)below);
}

static tsr_session *ask(tsr_engine *e, int64_t n_vocab, int64_t n, int64_t salt)
{
    tsr_session *s = NULL;
    int32_t ids[LONG_PROMPT];
    for (int64_t i = 0; i < n; i++) ids[i] = draw(1000 * salt + i, n_vocab);
    must(tsr_session_open(&s, e));
    must(tsr_session_add_ids(s, ids, n, NULL, 0));
    return s;
}

static void answer(record *r, tsr_session *s, tsr_generate_opts o)
{
    tsr_result result;
    must(tsr_session_generate(s, &o, &result));
    if (r->n + result.n_ids + 2 > MOST) exit(3);
    memcpy(r->ids + r->n, result.ids, (size_t)result.n_ids * sizeof *result.ids);
    memcpy(r->logprobs + r->n, result.logprobs, (size_t)result.n_ids * sizeof *result.logprobs);
    r->n += result.n_ids;
    tsr_session_info about = tsr_session_about(s);
    r->ids[r->n] =
        result.reason == TSR_STOP_CALLER ? -1 : (int32_t)about.n_past; /* a caller's stop comes late */
    r->logprobs[r->n++] = (float)result.reason;
    r->n_ended += result.reason == TSR_STOP_END;
}

static void add(tsr_session *s, int32_t id)
{
    must(tsr_session_add_ids(s, &id, 1, NULL, 0));
}

static const tsr_generate_opts greedy = {.max_tokens = 24, .ignore_stop_ids = 1},
                               drawn = {.max_tokens = 24,
                                        .ignore_stop_ids = 1,
                                        .temp = 1.2f,
                                        .top_k = 40,
                                        .top_p = 0.95f,
                                        .repeat_penalty = 1.3f,
                                        .seed = 7};

static int stop_after(void *user, const tsr_piece *piece)
{
    int *left = user;
    (void)piece;
    return --*left > 0;
}

/* Everything that is to be the same. */
static void play(record *r, tsr_engine *e, int64_t n_vocab)
{
    tsr_generate_opts some = greedy, ends = {.max_tokens = 30, .temp = 3, .seed = 1};
    tsr_session *a = ask(e, n_vocab, PROMPT, 1), *b = ask(e, n_vocab, PROMPT + 9, 2), *c = NULL;
    answer(r, a, greedy);
    answer(r, b, drawn);
    for (int i = 0; i < 3; i++) { /* in turns; what waits at the end of an answer is read first */
        some.max_tokens = 1 + 2 * i;
        answer(r, a, some);
        answer(r, b, drawn);
    }
    must(tsr_session_fork(&c, a));
    answer(r, c, drawn);
    answer(r, a, greedy);
    tsr_session_close(c);

    int left = 5; /* a caller who has enough, and then goes on */
    some = (tsr_generate_opts){.max_tokens = 30, .ignore_stop_ids = 1, .on_piece = stop_after, .user = &left};
    answer(r, a, some);
    answer(r, a, greedy);
    tsr_session_close(a);
    tsr_session_close(b);

    a = ask(e, n_vocab, PROMPT, 3);
    for (int i = 0; i < 8; i++) {
        ends.seed++;
        answer(r, a, ends);
        add(a, (int32_t)(i + 1));
    }
    tsr_session_close(a);

    a = ask(e, n_vocab, LONG_PROMPT, 4); /* over 1024, where contexts are laid out anew */
    some.max_tokens = 40;
    some.on_piece = NULL;
    answer(r, a, some);
    tsr_session_close(a);
}

static bool compare(const char *path, const char *backend)
{
    static record ahead, waiting;
    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    const tsr_engine_opts opts = {.n_ctx = N_CTX, .n_sessions = 3, .max_rows = 256};
    n_recorded = n_notes = 0;
    ahead.n = ahead.n_ended = waiting.n = waiting.n_ended = 0;
    must(tsr_model_open(&model, path, &(tsr_model_opts){.backend = backend}));
    int64_t n_vocab = tsr_model_about(model)->n_vocab;
    unsetenv("TSR_SYNC");
    must(tsr_engine_open(&engine, model, &opts));
    play(&ahead, engine, n_vocab);
    tsr_engine_close(engine);
    setenv("TSR_SYNC", "1", 1);
    must(tsr_engine_open(&engine, model, &opts));
    play(&waiting, engine, n_vocab);
    tsr_engine_close(engine);
    tsr_model_close(model);

    int64_t i = 0, n = ahead.n < waiting.n ? ahead.n : waiting.n;
    while (i < n && ahead.ids[i] == waiting.ids[i] &&
           !memcmp(&ahead.logprobs[i], &waiting.logprobs[i], sizeof ahead.logprobs[i]))
        i++;
    bool same = i == n && ahead.n == waiting.n;
    printf("%-40s %4lld tokens, %lld answers to a stop id, %lld recordings: %s", path, (long long)ahead.n,
           (long long)ahead.n_ended, (long long)n_recorded, same ? "the same\n" : "DIFFERENT");
    if (!same)
        printf(" from %lld on: %d %.9g and %d %.9g\n", (long long)i, ahead.ids[i], (double)ahead.logprobs[i],
               waiting.ids[i], (double)waiting.logprobs[i]);
    fflush(stdout);
    return same;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: decode BACKEND MODEL...\n");
        return 2;
    }
    int failed = 0;
    tsr_notes(note, NULL);
    for (int i = 2; i < argc; i++) failed += !compare(argv[i], argv[1]);
    printf("%d models, %d differ\n", argc - 2, failed);
    return failed > 0;
}
