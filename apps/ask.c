/* apps/ask.c: `tessera ask IMAGE... -p QUESTION`, and a dialogue that keeps its state with -i. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/answer.h"
#include "apps/show.h"
#include "apps/term.h"

typedef struct dialogue {
    const options *o;
    tsr_model *model;
    tsr_engine *engine;
    tsr_session *session;
    tsr_image **images; /* o->n_images */
    tsr_part *parts;    /* the images, then the question */
    bool started;       /* the pictures have been shown */
} dialogue;

static void close_images(dialogue *d)
{
    for (int i = 0; d->images && i < d->o->n_images; i++) {
        tsr_image_close(d->images[i]);
        d->images[i] = NULL;
    }
}

/* Open every picture; their rows add up in *n_tokens. */
static tsr_status open_images(dialogue *d, const tsr_image_opts *opts, int64_t *n_tokens)
{
    tsr_status status = TSR_OK;
    *n_tokens = 0;
    for (int i = 0; !status && i < d->o->n_images; i++) {
        status = open_image(&d->images[i], d->model, d->o->images[i], opts);
        if (!status) *n_tokens += tsr_image_about(d->images[i])->n_tokens;
    }
    return status;
}

/* Pictures that do not fit the context together get a share of the tiles each, as the reference does; what even
 * then does not fit is refused when it is read. */
static tsr_status share_tiles(dialogue *d, int64_t *n_tokens)
{
    const options *o = d->o;
    int64_t room = tsr_engine_memory(d->engine).n_ctx / 8 * 7; /* the rest is for words */
    if (o->n_images < 2 || *n_tokens <= room || o->image.max_tiles) return TSR_OK;
    for (int i = 0; i < o->n_images; i++)
        if (!strcmp(o->images[i], "-")) return TSR_OK; /* it cannot be read twice */
    tsr_image_opts opts = o->image;
    opts.max_tiles = (int)(tsr_model_about(d->model)->max_tiles / o->n_images);
    if (opts.max_tiles < 1) opts.max_tiles = 1;
    say("%d pictures take %lld tokens of %lld: at most %d tiles each instead", o->n_images,
        (long long)*n_tokens, (long long)tsr_engine_memory(d->engine).n_ctx, opts.max_tiles);
    close_images(d);
    return open_images(d, &opts, n_tokens);
}

static tsr_status begin(dialogue *d)
{
    const options *o = d->o;
    int64_t n_tokens;
    tsr_status status = open_images(d, &o->image, &n_tokens);
    if (!status) status = share_tiles(d, &n_tokens);
    if (!status) status = tsr_session_open(&d->session, d->engine);
    if (!status && o->system)
        status = tsr_session_say(d->session, TSR_SYSTEM, &(tsr_part){.text = o->system}, 1);
    return status;
}

/* One question: with the pictures the first time, alone afterwards. */
static int ask_one(dialogue *d, const char *question)
{
    int n_parts = 0;
    for (int i = 0; !d->started && i < d->o->n_images; i++)
        d->parts[n_parts++] = (tsr_part){.image = d->images[i]};
    d->parts[n_parts++] = (tsr_part){.text = question};

    tsr_result result;
    tsr_status status = tsr_session_say(d->session, TSR_USER, d->parts, n_parts);
    if (!status) status = answer(d->session, d->o, !d->o->json, &result);
    if (status) return report(status);
    d->started = true;
    if (d->o->json) {
        cJSON *json = answer_json(d->session, &result);
        cJSON_AddStringToObject(json, "question", question);
        show_json(json, false);
    }
    fflush(stdout);
    return EXIT_DONE;
}

static int talk(dialogue *d)
{
    bool prompting = isatty(0) && isatty(2);
    char *line = NULL;
    size_t capacity = 0;
    int code = EXIT_DONE;
    while (!code) {
        if (prompting) fputs("> ", stderr);
        ssize_t length = getline(&line, &capacity, stdin);
        if (length < 0) break;
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) line[--length] = '\0';
        if (length) code = ask_one(d, line);
    }
    free(line);
    if (prompting && !code) fputc('\n', stderr);
    return term_interrupted() ? EXIT_INTERRUPTED : code;
}

int run_ask(options *o)
{
    if (!o->prompt && !o->prompt_file && !o->interactive) {
        complain("ask: what is the question? Give -p TEXT, -f FILE or -i");
        return EXIT_USAGE;
    }
    if (o->prompt && o->prompt_file) {
        complain("ask: -p and -f were both found; one of them is wanted");
        return EXIT_USAGE;
    }
    int code = answer_check(o);
    if (code) return code;

    char *from_file = NULL;
    size_t bytes;
    if (o->prompt_file && !(from_file = read_text(o->prompt_file, &bytes))) return EXIT_FAILED;
    const char *question = from_file ? from_file : o->prompt;

    dialogue d = {.o = o};
    d.images = calloc((size_t)o->n_images + 1, sizeof *d.images);
    d.parts = calloc((size_t)o->n_images + 1, sizeof *d.parts);
    if (!d.images || !d.parts) {
        complain("no memory for %d pictures", o->n_images);
        code = EXIT_FAILED;
    }
    if (!code) code = open_model(o, &d.model, &d.engine);
    if (!code) code = report(begin(&d));
    if (!code && question) code = ask_one(&d, question);
    if (!code && o->interactive) code = talk(&d);

    tsr_session_close(d.session);
    close_images(&d);
    tsr_engine_close(d.engine);
    tsr_model_close(d.model);
    free(d.images);
    free(d.parts);
    free(from_file);
    return finish_output(code);
}
