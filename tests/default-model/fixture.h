/* tests/default-model/fixture.h: the default model behind the public API, and the list that a test works through. */
#ifndef TEST_DEFAULT_MODEL_FIXTURE_H
#define TEST_DEFAULT_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "include/tessera.h"

#define DEFAULT_MODEL TSR_SOURCE_DIR "/assets/default-model"

typedef struct fixture {
    tsr_json *json;
    const tsr_json_value *root; /* of tests/default-model/LIST */
    tsr_model *model;
    tsr_engine *engine; /* room for two sessions */
} fixture;

void fixture_open(fixture *f, const char *list);
void fixture_close(fixture *f);

/* Members that must be there; text_of's is a string. */
const tsr_json_value *get(const tsr_json_value *object, const char *key);
const char *text_of(const tsr_json_value *object, const char *key);

/* The picture that a member "file" names; closed by the caller. */
tsr_image *open_picture(const fixture *f, const tsr_json_value *object);

/* Ask in a dialogue, about `image` unless it is NULL, and answer greedily. The text lasts until the session's next call. */
tsr_result ask(tsr_session *session, const tsr_image *image, const char *question);

void must(tsr_status status);

#endif
