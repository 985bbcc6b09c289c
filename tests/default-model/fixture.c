/* tests/default-model/fixture.c: opening, asking, and looking into lists. */
#include "fixture.h"

#include <stdio.h>

#define FOLDER TSR_SOURCE_DIR "/tests/default-model"

void must(tsr_status status)
{
    if (status) fail_msg("%s", tsr_message());
}

void fixture_open(fixture *f, const char *list)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", FOLDER, list);
    must(tsr_json_open(&f->json, path, (size_t)1 << 20));
    f->root = tsr_json_root(f->json);
    must(tsr_model_open(&f->model, DEFAULT_MODEL, NULL));
    must(tsr_engine_open(&f->engine, f->model, &(tsr_engine_opts){.n_ctx = 2048, .n_sessions = 2}));
}

void fixture_close(fixture *f)
{
    tsr_engine_close(f->engine);
    tsr_model_close(f->model);
    tsr_json_close(f->json);
}

const tsr_json_value *get(const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    if (!value) fail_msg("the list has no '%s' in some place", key);
    return value;
}

const char *text_of(const tsr_json_value *object, const char *key)
{
    return tsr_json_string(get(object, key));
}

tsr_image *open_picture(const fixture *f, const tsr_json_value *object)
{
    char path[512];
    tsr_image *image = NULL;
    snprintf(path, sizeof path, "%s/%s", FOLDER, text_of(object, "file"));
    must(tsr_image_open(&image, f->model, path, NULL));
    return image;
}

tsr_result ask(tsr_session *session, const tsr_image *image, const char *question)
{
    tsr_part parts[2] = {{.image = image}, {.text = question}};
    tsr_result result;
    must(tsr_session_say(session, TSR_USER, image ? parts : parts + 1, image ? 2 : 1));
    must(tsr_session_generate(session, NULL, &result));
    return result;
}
