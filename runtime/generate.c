/* runtime/generate.c: token by token, from the first row of logits to a reason to stop. */
#include <string.h>

#include "base/alloc.h"
#include "lm/stop.h"
#include "runtime/engine.h"
#include "runtime/think.h"

enum { DEFAULT_TOKENS = 256, TEXT_PER_TOKEN = 16 };

typedef struct generation {
    tsr_session *s;
    const tsr_generate_opts *o;
    tsr_sampling how;
    int64_t max_tokens;
    int64_t first; /* index in `past` of the answer's first id */
    tsr_think_split split;
    tsr_stream *answer;       /* the caller's stop strings */
    tsr_stream *thoughts;     /* none: whole characters only */
    size_t raw_before_answer; /* bytes sampled before the answer's first */
    size_t raw;               /* bytes sampled so far */
    bool answering;
    int32_t id; /* of the token whose bytes are on their way */
    float logprob;
    bool stopped, refused; /* by a stop string; by the caller */
    bool hold_line;        /* the turn's end begins with a line end, which is no part of the answer */
    bool dropped_line;
} generation;

/* ---------------------------------------------------------------- text on its way out ------------------- */

static bool append_text(tsr_session *s, const char *text, size_t bytes)
{
    void *to = s->text;
    if (!tsr_grow(&to, &s->text_capacity, s->text_bytes + (int64_t)bytes + 1, 1)) return false;
    s->text = to;
    memcpy(s->text + s->text_bytes, text, bytes);
    s->text_bytes += (int64_t)bytes;
    s->text[s->text_bytes] = '\0';
    return true;
}

static bool give_piece(generation *g, tsr_stream_text out, bool thinking)
{
    if (!out.bytes) return true;
    if (!thinking && !append_text(g->s, out.text, out.bytes)) return false;
    tsr_piece piece = {out.text, out.bytes, thinking, g->id, g->logprob};
    if (g->o->on_piece && !g->o->on_piece(g->o->user, &piece)) g->refused = true;
    return true;
}

static bool take_bytes(void *user, bool thinking, const char *bytes, size_t n)
{
    generation *g = user;
    if (!thinking && !g->answering) {
        g->answering = true;
        g->raw_before_answer = g->raw; /* exact when the answer begins with its own token, as tags do */
    }
    tsr_stream_text out = tsr_stream_push(thinking ? g->thoughts : g->answer, bytes, n);
    if (!thinking && out.stopped) g->stopped = true;
    return give_piece(g, out, thinking) && !g->stopped;
}

/* The end of the answer's text, without the line end that belongs to the end of the turn. */
static bool give_end(generation *g, bool turn_ended)
{
    tsr_stream_text out = tsr_stream_end(g->answer);
    g->dropped_line = g->hold_line && turn_ended && out.bytes && out.text[out.bytes - 1] == '\n';
    out.bytes -= g->dropped_line;
    return give_piece(g, out, false);
}

/* What the streams hold back; false when memory ran out. */
static bool flush(generation *g, bool turn_ended)
{
    g->id = -1;
    bool done = tsr_think_end(&g->split, take_bytes, g) || g->stopped;
    if (done) done = give_piece(g, tsr_stream_end(g->thoughts), true);
    if (done && !g->stopped) done = give_end(g, turn_ended);
    return done;
}

/* ---------------------------------------------------------------- options ------------------------------- */

static tsr_status choose_sampling(tsr_sampling *out, const tsr_generate_opts *o, const tsr_model *m)
{
    if (!(o->temp >= 0) || o->temp > 100)
        return tsr_fail(TSR_E_ARG, "temperature %g; 0 to 100 is wanted", (double)o->temp);
    if (o->top_k < 0) return tsr_fail(TSR_E_ARG, "top_k %d; 0 (off) or more is wanted", o->top_k);
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return tsr_fail(TSR_E_ARG, "top_p %g; 0 to 1 is wanted", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p < 1))
        return tsr_fail(TSR_E_ARG, "min_p %g; 0 to below 1 is wanted", (double)o->min_p);
    if (!(o->repeat_penalty >= 0 && o->repeat_penalty <= 100))
        return tsr_fail(TSR_E_ARG, "repeat penalty %g; above 0 to 100 is wanted", (double)o->repeat_penalty);
    if (o->checkpoint_sampling) {
        *out = m->sampling;
        out->seed = o->seed;
        return TSR_OK;
    }
    *out = (tsr_sampling){.temp = o->temp,
                          .top_p = o->top_p > 0 ? o->top_p : 1,
                          .min_p = o->min_p,
                          .repeat_penalty = o->repeat_penalty > 0 ? o->repeat_penalty : 1,
                          .top_k = o->top_k,
                          .seed = o->seed};
    return TSR_OK;
}

static tsr_status choose_length(int64_t *out, const tsr_session *s, int64_t wanted)
{
    int64_t room = s->engine->sizes.n_ctx - s->past.n;
    if (wanted < -1)
        return tsr_fail(TSR_E_ARG, "%lld tokens; -1 (all that fit) or more is wanted", (long long)wanted);
    if (room < 1)
        return tsr_fail(TSR_E_CONTEXT,
                        "the prompt fills the context of %lld tokens; -c gives more, --max-tiles makes "
                        "pictures smaller",
                        (long long)s->engine->sizes.n_ctx);
    if (wanted > room)
        return tsr_fail(TSR_E_CONTEXT,
                        "%lld tokens of prompt and %lld of answer do not fit the context of %lld; -c gives "
                        "more, --max-tiles makes pictures smaller",
                        (long long)s->past.n, (long long)wanted, (long long)s->engine->sizes.n_ctx);
    if (wanted == 0) wanted = room < DEFAULT_TOKENS ? room : DEFAULT_TOKENS;
    *out = wanted == -1 ? room : wanted;
    return TSR_OK;
}

/* Take all memory the loop needs, so that a token costs none. */
static tsr_status reserve(generation *g)
{
    tsr_session *s = g->s;
    void *past = s->past.items, *logprobs = s->logprobs, *text = s->text;
    bool room = tsr_grow(&past, &s->past.capacity, s->past.n + g->max_tokens + 1, sizeof *s->past.items);
    s->past.items = past;
    room = room && tsr_grow(&logprobs, &s->logprob_capacity, g->max_tokens + 1, sizeof *s->logprobs);
    s->logprobs = logprobs;
    room = room && tsr_grow(&text, &s->text_capacity, g->max_tokens * TEXT_PER_TOKEN + 1, 1);
    s->text = text;
    if (!room)
        return tsr_fail(TSR_E_NOMEM, "no memory for an answer of %lld tokens", (long long)g->max_tokens);
    s->text[0] = '\0';
    s->text_bytes = 0;
    tsr_status st = tsr_stream_open(&g->answer, g->o->stop, g->o->n_stop, g->hold_line);
    return st ? st : tsr_stream_open(&g->thoughts, NULL, 0, false);
}

/* ---------------------------------------------------------------- the loop ------------------------------ */

static bool is_stop_id(const generation *g, int32_t id)
{
    if (g->o->ignore_stop_ids) return false;
    const tsr_ids *stop = &g->s->engine->model->stop_ids;
    for (int64_t i = 0; i < stop->n; i++)
        if (stop->items[i] == id) return true;
    return false;
}

/* One sampled id: keep it, turn it into text. */
static tsr_status take_id(generation *g, int32_t id, float logprob)
{
    tsr_session *s = g->s;
    s->logprobs[s->past.n - g->first] = logprob;
    s->past.items[s->past.n++] = id;
    g->id = id;
    g->logprob = logprob;
    size_t bytes = 0;
    const tsr_tokenizer *t = s->engine->model->tokenizer;
    const char *piece = t && !tsr_tokenizer_special(t, id) ? tsr_tokenizer_piece(t, id, &bytes) : "";
    bool on = tsr_think_push(&g->split, piece, bytes, take_bytes, g);
    g->raw += bytes;
    return on || g->stopped ? TSR_OK : tsr_fail(TSR_E_NOMEM, "no memory for the text of an answer");
}

/* A stop string reaches back over tokens that the state has read: go back to where the answer began, and let what
 * is kept of it wait. */
static tsr_status cut_answer(generation *g)
{
    tsr_session *s = g->s;
    const tsr_tokenizer *t = s->engine->model->tokenizer;
    size_t end = g->raw_before_answer + (size_t)s->text_bytes, at = 0;
    int64_t kept = g->first;
    while (kept < s->past.n) {
        size_t bytes = 0;
        if (!tsr_tokenizer_special(t, s->past.items[kept]))
            tsr_tokenizer_piece(t, s->past.items[kept], &bytes);
        if (at + bytes > end) break;
        at += bytes;
        kept++;
    }
    s->past.n = kept;
    return tsr_seq_copy(&s->seq, &s->engine->spare);
}

/* Token after token. The state reads a token while its text is made, except the last of max_tokens, which waits. */
static tsr_status decode(generation *g, int32_t id, float logprob, tsr_stop_reason *reason)
{
    tsr_session *s = g->s;
    tsr_status st = g->max_tokens > 1 ? tsr_session_decode_push(s) : TSR_OK;
    for (int64_t n = 1; !st; n++) { /* tokens taken, this one included */
        if (is_stop_id(g, id)) {
            *reason = TSR_STOP_END;
            return TSR_OK;
        }
        st = take_id(g, id, logprob);
        if (st) break;
        if (g->stopped || g->refused || n == g->max_tokens) {
            *reason = g->stopped ? TSR_STOP_STRING : g->refused ? TSR_STOP_CALLER : TSR_STOP_LENGTH;
            return TSR_OK;
        }
        if (n + 1 < g->max_tokens) st = tsr_session_decode_push(s);
        if (!st) st = tsr_session_decode_take(s, &id, &logprob);
    }
    return st;
}

static tsr_status run(generation *g, tsr_stop_reason *reason)
{
    tsr_session *s = g->s;
    int32_t id = s->untaken.id;
    float logprob = s->untaken.logprob;
    tsr_status st = tsr_session_advance(s, 0, &g->how, &id, &logprob, g->o->on_progress, g->o->user);
    if (!st && g->o->n_stop) st = tsr_seq_copy(&s->engine->spare, &s->seq);
    if (!st && is_stop_id(g, id)) {
        *reason = TSR_STOP_END;
        return TSR_OK;
    }
    if (!st) st = tsr_session_decode_begin(s, &g->how, !g->o->ignore_stop_ids);
    if (st) return st;
    st = decode(g, id, logprob, reason);
    tsr_status ended = tsr_session_decode_end(s);
    if (!st) st = ended;
    return !st && g->stopped ? cut_answer(g) : st;
}

static tsr_think think_of(int mode)
{
    return mode == 1 ? TSR_THINK_ON : mode == 2 ? TSR_THINK_AUTO : TSR_THINK_OFF;
}

tsr_status tsr_session_generate(tsr_session *s, const tsr_generate_opts *opts, tsr_result *result)
{
    static const tsr_generate_opts none;
    generation g = {.s = s, .o = opts ? opts : &none};
    tsr_stop_reason reason = TSR_STOP_END;
    if (s->engine->tracer)
        return tsr_fail(TSR_E_ARG, "while a trace listens, sessions can be read but do not answer");
    if (g.o->think < 0 || g.o->think > 2)
        return tsr_fail(TSR_E_ARG, "think %d; 0, 1 or 2 is wanted", g.o->think);

    if (g.o->n_stop && s->engine->sizes.no_spare)
        return tsr_fail(TSR_E_ARG, "stop strings want the room that no_spare leaves out");

    tsr_status st = choose_sampling(&g.how, g.o, s->engine->model);
    if (!st) st = tsr_session_render(s, think_of(g.o->think));
    bool goes_on = s->untaken.at && s->untaken.at == s->past.n;
    if (!st && !tsr_session_waiting(s) && !goes_on)
        st = tsr_fail(TSR_E_ARG, "nothing was said that could be answered");
    if (!st) st = choose_length(&g.max_tokens, s, g.o->max_tokens);
    g.hold_line = !st && (s->n_turns || s->answered) && tsr_chat_ends_line(s->engine->model->chat);
    if (!st) st = reserve(&g);
    g.split = tsr_think_begin(s->prompt.thinking);
    g.first = s->past.n;
    if (!st) st = run(&g, &reason);
    if (!st && !flush(&g, reason == TSR_STOP_END))
        st = tsr_fail(TSR_E_NOMEM, "no memory for the text of an answer");
    tsr_stream_close(g.answer);
    tsr_stream_close(g.thoughts);
    if (st == TSR_E_CANCELLED) __atomic_store_n(&s->cancel, 0, __ATOMIC_RELAXED);
    if (st) return st;

    if (s->n_turns) {
        s->answered = true;
        tsr_session_forget_turns(s);
    }
    s->ends_line = g.dropped_line || (s->text_bytes && s->text[s->text_bytes - 1] == '\n');
    if (result)
        *result = (tsr_result){.text = s->text,
                               .bytes = (size_t)s->text_bytes,
                               .ids = s->past.items + g.first,
                               .logprobs = s->logprobs,
                               .n_ids = s->past.n - g.first,
                               .reason = reason};
    return TSR_OK;
}
