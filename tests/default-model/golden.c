/* tests/default-model/golden.c: the greedy answers to twelve pictures, token for token, at the level that TSR_CPU names.
 *
 * tools/train/golden.py chose them so that in every step the best token is 0.25 ahead of the second at every level:
 * what differs in the last bits cannot turn an answer, so a turned one is an error.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/sha256.h"

enum {
    NOT_HERE = 77, /* CTest: skipped */
    MOST_SCALAR_TILES =
        3 /* plain C takes about a second a tile: larger pictures are left to the other levels, or to --full */
};

static bool everything; /* all pictures at every level: the argument "all" */

static void the_weights_are_those_that_answered(void **state)
{
    const fixture *f = *state;
    const tsr_json_value *weights = get(f->root, "weights");
    assert_true(tsr_json_count(weights) > 0);
    for (const tsr_json_value *v = tsr_json_first(weights); v; v = tsr_json_next(v)) {
        char path[512], hex[65];
        unsigned char digest[32];
        tsr_map file = {0};
        tsr_sha256 sum;
        snprintf(path, sizeof path, "%s/%s", DEFAULT_MODEL, tsr_json_key(v));
        must(tsr_map_open(&file, path));
        tsr_sha256_begin(&sum);
        tsr_sha256_add(&sum, file.data, file.bytes);
        tsr_sha256_end(&sum, digest);
        tsr_sha256_hex(hex, digest);
        tsr_map_close(&file);
        if (strcmp(hex, tsr_json_string(v)))
            fail_msg("%s is not the file that gave the expected answers: after a change of weights run "
                     "tools/train/golden.py expected, then floors",
                     tsr_json_key(v));
    }
}

static int64_t whole(const tsr_json_value *value)
{
    int64_t i = 0;
    assert_true(tsr_json_int(value, &i));
    return i;
}

static bool same_ids(const tsr_result *r, const tsr_json_value *ids)
{
    if (tsr_json_count(ids) != r->n_ids) return false;
    const tsr_json_value *v = tsr_json_first(ids);
    for (int64_t i = 0; i < r->n_ids; i++, v = tsr_json_next(v))
        if (whole(v) != r->ids[i]) return false;
    return true;
}

static void every_answer_is_the_expected_one(void **state)
{
    const fixture *f = *state;
    const char *level = getenv("TSR_CPU");
    bool scalar = !everything && level && !strcmp(level, "scalar");
    int64_t pictures = 0, ids = 0, wrong = 0;
    for (const tsr_json_value *v = tsr_json_first(get(f->root, "pictures")); v; v = tsr_json_next(v)) {
        if (scalar && whole(get(v, "tiles")) > MOST_SCALAR_TILES) continue;
        tsr_image *image = open_picture(f, v);
        tsr_session *session = NULL;
        assert_int_equal(tsr_image_about(image)->n_tiles, whole(get(v, "tiles")));
        must(tsr_session_open(&session, f->engine));
        tsr_result r = ask(session, image, text_of(v, "question"));
        if (r.reason != TSR_STOP_END || !same_ids(&r, get(v, "ids"))) {
            printf("%s: \"%s\"\n  wanted %s\n  got    %s\n", text_of(v, "file"), text_of(v, "question"),
                   text_of(v, "answer"), r.text);
            wrong++;
        }
        pictures++;
        ids += r.n_ids;
        tsr_session_close(session);
        tsr_image_close(image);
    }
    printf("%s: %lld pictures, %lld tokens\n", tsr_model_about(f->model)->backend, (long long)pictures,
           (long long)ids);
    assert_true(pictures >= 4);
    assert_int_equal(wrong, 0);
}

static int open_model(void **state)
{
    static fixture f;
    fixture_open(&f, "expected.json");
    *state = &f;
    return 0;
}

static int close_model(void **state)
{
    fixture_close(*state);
    return 0;
}

int main(int argc, char **argv)
{
    everything = argc == 2 && !strcmp(argv[1], "all");
    const char *level = getenv("TSR_CPU");
    char wanted[40];
    snprintf(wanted, sizeof wanted, ", %s,", level ? level : "");
    if (level && !strstr(tsr_device(0), wanted)) {
        printf("%s is not a level of this machine: %s\n", level, tsr_device(0));
        return NOT_HERE;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_weights_are_those_that_answered),
        cmocka_unit_test(every_answer_is_the_expected_one),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
