/* apps/caption.c: `tessera caption IMAGE...`: each picture on its own, one failure does not stop the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer.h"
#include "apps/show.h"
#include "apps/term.h"

static const char default_prompt[] = "Describe this image.";

static void print_line(const char *path, const tsr_result *result)
{
    write_harmless(stdout, path, strlen(path), false);
    putchar('\t');
    write_harmless(stdout, result->text, result->bytes, false);
    putchar('\n');
}

static void print_json(const char *path, const tsr_session *session, const tsr_result *result)
{
    cJSON *json = answer_json(session, result);
    cJSON_AddStringToObject(json, "image", path);
    show_json(json, false);
}

static int caption_one(const options *o, tsr_model *model, tsr_engine *engine, const char *path,
                       const char *prompt)
{
    tsr_image *image = NULL;
    tsr_session *session = NULL;
    tsr_result result;
    bool alone = o->n_images == 1 && !o->json;

    tsr_status status = open_image(&image, model, path, &o->image);
    if (!status) status = tsr_session_open(&session, engine);
    if (!status && o->system)
        status = tsr_session_say(session, TSR_SYSTEM, &(tsr_part){.text = o->system}, 1);
    if (!status)
        status = tsr_session_say(session, TSR_USER, (tsr_part[]){{.image = image}, {.text = prompt}}, 2);
    if (!status) status = answer(session, o, alone, &result);
    int code = report(status);
    if (!status && o->json) print_json(path, session, &result);
    if (!status && !alone && !o->json) print_line(path, &result);
    fflush(stdout);
    tsr_session_close(session);
    tsr_image_close(image);
    return code;
}

int run_caption(options *o)
{
    if (!o->n_images) {
        complain("caption: which picture? 'tessera caption IMAGE...'");
        return EXIT_USAGE;
    }
    int code = answer_check(o);
    if (code) return code;

    char *from_file = NULL;
    size_t bytes;
    if (o->prompt_file && !(from_file = read_text(o->prompt_file, &bytes))) return EXIT_FAILED;
    const char *prompt = from_file ? from_file : o->prompt ? o->prompt : default_prompt;

    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    code = open_model(o, &model, &engine);
    int failed = 0;
    for (int i = 0; !code && i < o->n_images; i++) {
        int one = caption_one(o, model, engine, o->images[i], prompt);
        if (one == EXIT_INTERRUPTED) code = one;
        failed += one != EXIT_DONE;
    }
    if (!code && failed) code = failed == o->n_images ? EXIT_FAILED : EXIT_SOME_FAILED;
    tsr_engine_close(engine);
    tsr_model_close(model);
    free(from_file);
    return finish_output(code);
}
