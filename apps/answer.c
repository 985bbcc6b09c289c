/* apps/answer.c: generation options from flags, streaming, timings. */
#include "apps/answer.h"

#include <stdio.h>
#include <string.h>

#include "apps/term.h"

typedef struct stream_state {
    const options *o;
    bool to_stdout;
} stream_state;

static int on_piece(void *user, const tsr_piece *piece)
{
    const stream_state *s = user;
    progress(NULL);
    if (piece->thinking) {
        if (s->o->show_thinking) write_harmless(stderr, piece->text, piece->bytes, true);
        return !term_interrupted();
    }
    if (!s->to_stdout) return !term_interrupted();
    bool written = write_harmless(stdout, piece->text, piece->bytes, true) && fflush(stdout) == 0;
    return written && !term_interrupted();
}

static int think_mode(const char *word) /* -1: not one of them */
{
    if (!word || !strcmp(word, "off")) return 0;
    return !strcmp(word, "on") ? 1 : !strcmp(word, "auto") ? 2 : -1;
}

int answer_check(const options *o)
{
    if (think_mode(o->think) < 0) {
        complain("--think: '%s' was found; on, off or auto is wanted", o->think);
        return EXIT_USAGE;
    }
    if (o->sampling && strcmp(o->sampling, "checkpoint")) {
        complain("--sampling: '%s' was found; checkpoint is wanted", o->sampling);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static const char *stop_word(tsr_stop_reason reason)
{
    static const char *const words[] = {"end", "stop string", "length", "caller"};
    return words[reason];
}

static void show_timings(const tsr_session *session, const tsr_result *result)
{
    tsr_session_info t = tsr_session_about(session);
    if (result->reason == TSR_STOP_LENGTH) say("stopped at -n: %lld tokens", (long long)result->n_ids);
    double prefill_rate = t.prefill_seconds > 0 ? (double)t.prefill_rows / t.prefill_seconds : 0;
    double decode_rate = t.decode_seconds > 0 ? (double)t.decode_tokens / t.decode_seconds : 0;
    say("vision %.2f s; %lld rows read in %.2f s (%.0f/s); %lld tokens in %.2f s (%.1f/s)", t.vision_seconds,
        (long long)t.prefill_rows, t.prefill_seconds, prefill_rate, (long long)t.decode_tokens,
        t.decode_seconds, decode_rate);
}

tsr_status answer(tsr_session *session, const options *o, bool stream, tsr_result *result)
{
    stream_state s = {o, stream};
    tsr_generate_opts g = {.max_tokens = o->n_predict,
                           .temp = (float)o->temp,
                           .top_k = (int)o->top_k,
                           .top_p = (float)o->top_p,
                           .min_p = (float)o->min_p,
                           .repeat_penalty = (float)o->repeat_penalty,
                           .seed = (uint64_t)o->seed,
                           .checkpoint_sampling = o->sampling != NULL,
                           .stop = o->stop,
                           .n_stop = o->n_stop,
                           .think = think_mode(o->think),
                           .on_piece = on_piece,
                           .on_progress = show_progress,
                           .user = &s};
    term_interrupts(session);
    tsr_status status = tsr_session_generate(session, &g, result);
    term_interrupts(NULL);
    if (status) return status;
    if (term_interrupted()) return TSR_E_CANCELLED; /* on_piece stopped it, or it had just ended */
    if (stream) {
        putchar('\n');
        fflush(stdout); /* the answer's line ends before the timings' begins */
    }
    show_timings(session, result);
    return TSR_OK;
}

cJSON *answer_json(const tsr_session *session, const tsr_result *result)
{
    tsr_session_info t = tsr_session_about(session);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "text", result->text);
    cJSON_AddItemToObject(json, "ids", cJSON_CreateIntArray(result->ids, (int)result->n_ids));
    cJSON_AddItemToObject(json, "logprobs", cJSON_CreateFloatArray(result->logprobs, (int)result->n_ids));
    cJSON_AddStringToObject(json, "stopped", stop_word(result->reason));
    cJSON_AddNumberToObject(json, "image_tokens", (double)t.image_tokens);
    cJSON_AddNumberToObject(json, "text_tokens", (double)t.text_tokens);
    cJSON_AddNumberToObject(json, "vision_seconds", t.vision_seconds);
    cJSON_AddNumberToObject(json, "prefill_seconds", t.prefill_seconds);
    cJSON_AddNumberToObject(json, "decode_seconds", t.decode_seconds);
    return json;
}
