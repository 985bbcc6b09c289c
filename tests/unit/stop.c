/* tests/unit/stop.c: text streams: whole characters, and nothing of a stop string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "lm/stop.h"
#include "lm/utf8.h"
#include "lm/vocab.h"

typedef struct result {
    char text[512];
    size_t bytes;
    bool stopped;
} result;

static void add(result *r, tsr_stream_text out)
{
    assert_int_equal(tsr_utf8_valid(out.text, out.bytes), out.bytes);
    assert_true(r->bytes + out.bytes < sizeof r->text);
    memcpy(r->text + r->bytes, out.text, out.bytes);
    r->bytes += out.bytes;
    r->text[r->bytes] = '\0';
    r->stopped |= out.stopped;
}

static tsr_stream *open_stream(const char *const *stops, int n_stops)
{
    tsr_stream *s = NULL;
    if (tsr_stream_open(&s, stops, n_stops, false)) fail_msg("%s", tsr_message());
    return s;
}

/* Push bytes in three pieces cut at a and b. */
static result run(tsr_stream *s, const char *bytes, size_t n, size_t a, size_t b)
{
    result r = {0};
    add(&r, tsr_stream_push(s, bytes, a));
    add(&r, tsr_stream_push(s, bytes + a, b - a));
    add(&r, tsr_stream_push(s, bytes + b, n - b));
    add(&r, tsr_stream_end(s));
    return r;
}

static void expect(const char *const *stops, int n_stops, const char *bytes, size_t n, const char *wanted,
                   bool stopped)
{
    tsr_stream *s = open_stream(stops, n_stops);
    for (size_t a = 0; a <= n; a++)
        for (size_t b = a; b <= n; b++) {
            result r = run(s, bytes, n, a, b);
            if (strcmp(r.text, wanted) != 0 || r.stopped != stopped)
                fail_msg("'%s' cut at %zu and %zu gives '%s', not '%s'", bytes, a, b, r.text, wanted);
        }
    tsr_stream_close(s);
}

static void characters_come_out_whole_wherever_bytes_are_cut(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD\xF0\x9F\x98\x80!",
         "\xC3\xA9t\xC3\xA9 \xE4\xB8\xAD\xF0\x9F\x98\x80!"},
        {"a\xFF\xFE"
         "b",
         "a\xEF\xBF\xBD\xEF\xBF\xBD"
         "b"},
        {"\xE4\xB8", "\xEF\xBF\xBD"},       /* the end comes inside a character */
        {"\xF0\x9F\x98x", "\xEF\xBF\xBDx"}, /* one mark for a maximal subpart */
        {"\xF0\x80\x80x", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE4\xF0\x9F\xC3\xA9", "\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9"},
        {"\xEF\xBF\xBD", "\xEF\xBF\xBD"}, /* a genuine one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(NULL, 0, cases[i][0], strlen(cases[i][0]), cases[i][1], false);
}

static void nothing_is_held_back_without_need(void **state)
{
    (void)state;
    tsr_stream *s = open_stream((const char *[]){"stop"}, 1);
    assert_int_equal(tsr_stream_push(s, "what is ", 8).bytes, 8);
    assert_int_equal(tsr_stream_push(s, "a st", 4).bytes, 2); /* "st" may go on */
    assert_int_equal(tsr_stream_push(s, "o", 1).bytes, 0);
    tsr_stream_text out = tsr_stream_push(s, "ne", 2);
    assert_int_equal(out.bytes, 5);
    assert_memory_equal(out.text, "stone", 5);
    assert_int_equal(tsr_stream_push(s, "\xE4\xB8", 2).bytes, 0);
    assert_int_equal(tsr_stream_push(s, "\xAD", 1).bytes, 3);
    tsr_stream_close(s);
}

static void stop_strings_end_the_text_wherever_bytes_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *stops[3];
        int n;
        const char *bytes, *wanted;
        bool stopped;
    } cases[] = {
        {{"STOP"}, 1, "one STOP two", "one ", true},
        {{"STOP"}, 1, "one STO", "one STO", false},
        {{"STOP"}, 1, "STSTOP", "ST", true},
        {{"aab"}, 1, "aaab", "a", true},
        {{"abc", "b"}, 2, "abc", "a", true},   /* the first to be complete */
        {{"bc", "abc"}, 2, "xabc", "x", true}, /* the longer of two that end together */
        {{"abab", "bac"}, 2, "abac", "a", true},
        {{"\n\n", "\nUser"}, 2, "line\nUser", "line", true},
        {{"\n\n", "\nUser"}, 2, "line\nUse\n\n", "line\nUse", true},
        {{"\xE4\xB8\xAD"},
         1,
         "a\xE4\xB8\xAD"
         "b",
         "a",
         true},
        {{"\xEF\xBF\xBD"},
         1,
         "a\xFF"
         "b",
         "a",
         true}, /* of the text that is shown */
        {{"x"}, 1, "", "", false},
        {{"xyz", "yzzy", "z"}, 3, "xyyzz", "xyy", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].stops, cases[i].n, cases[i].bytes, strlen(cases[i].bytes), cases[i].wanted,
               cases[i].stopped);
}

static void a_line_end_waits_for_what_follows(void **state)
{
    (void)state;
    static const char *const stops[] = {"\n\nUser"};
    for (int n_stops = 0; n_stops < 2; n_stops++) {
        tsr_stream *s = NULL;
        assert_int_equal(tsr_stream_open(&s, stops, n_stops, true), TSR_OK);
        assert_int_equal(tsr_stream_push(s, "one\n", 4).bytes, 3);
        tsr_stream_text out = tsr_stream_push(s, "two\n", 4);
        assert_int_equal(out.bytes, 4);
        assert_memory_equal(out.text, "\ntwo", 4);
        assert_int_equal(tsr_stream_push(s, "\xE4", 1).bytes, 0);
        assert_int_equal(tsr_stream_push(s, "\xB8\xAD\n", 3).bytes, 4);
        out = tsr_stream_end(s);
        assert_int_equal(out.bytes, 1);
        assert_memory_equal(out.text, "\n", 1);
        tsr_stream_close(s);
    }
}

static void nothing_comes_after_a_stop_until_the_end(void **state)
{
    (void)state;
    tsr_stream *s = open_stream((const char *[]){"."}, 1);
    assert_true(tsr_stream_push(s, "a.b", 3).stopped);
    tsr_stream_text out = tsr_stream_push(s, "c", 1);
    assert_true(out.stopped);
    assert_int_equal(out.bytes, 0);
    out = tsr_stream_end(s);
    assert_true(out.stopped);
    assert_int_equal(out.bytes, 0);
    out = tsr_stream_push(s, "new", 3);
    assert_false(out.stopped);
    assert_int_equal(out.bytes, 3);
    tsr_stream_close(s);
}

static void the_longest_tokens_and_stops_fit(void **state)
{
    (void)state;
    static char token[TSR_MAX_TOKEN_BYTES], stop[TSR_MAX_STOP_BYTES + 2];
    memset(token, 0xFF, sizeof token); /* each byte becomes three */
    memset(stop, 'a', TSR_MAX_STOP_BYTES);
    tsr_stream *s = open_stream((const char *[]){stop}, 1);
    assert_int_equal(tsr_stream_push(s, stop, TSR_MAX_STOP_BYTES - 1).bytes, 0);
    assert_int_equal(tsr_stream_push(s, "\xF0\x9F\x98", 3).bytes, 0);
    assert_int_equal(tsr_stream_push(s, token, sizeof token).bytes,
                     TSR_MAX_STOP_BYTES - 1 + 3 + 3 * sizeof token);
    assert_true(tsr_stream_push(s, stop, TSR_MAX_STOP_BYTES).stopped);
    tsr_stream_close(s);
}

static void bad_stop_strings_are_refused(void **state)
{
    (void)state;
    static char long_one[TSR_MAX_STOP_BYTES + 2];
    memset(long_one, 'a', TSR_MAX_STOP_BYTES + 1);
    const char *const bad[] = {"", "\xC3", long_one};
    tsr_stream *s = NULL;
    for (int i = 0; i < 3; i++) assert_int_equal(tsr_stream_open(&s, &bad[i], 1, false), TSR_E_ARG);
    const char *many[TSR_MAX_STOPS + 1];
    for (int i = 0; i <= TSR_MAX_STOPS; i++) many[i] = "x";
    assert_int_equal(tsr_stream_open(&s, many, TSR_MAX_STOPS + 1, false), TSR_E_ARG);
    assert_null(s);
}

static void streaming_allocates_nothing(void **state)
{
    (void)state;
    tsr_stream *s = open_stream((const char *[]){"end"}, 1);
    int64_t before = tsr_alloc_count();
    for (int i = 0; i < 1000; i++) tsr_stream_push(s, "e\xC3", 2);
    tsr_stream_end(s);
    assert_int_equal(tsr_alloc_count(), before);
    tsr_stream_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_out_whole_wherever_bytes_are_cut),
        cmocka_unit_test(nothing_is_held_back_without_need),
        cmocka_unit_test(stop_strings_end_the_text_wherever_bytes_are_cut),
        cmocka_unit_test(a_line_end_waits_for_what_follows),
        cmocka_unit_test(nothing_comes_after_a_stop_until_the_end),
        cmocka_unit_test(the_longest_tokens_and_stops_fit),
        cmocka_unit_test(bad_stop_strings_are_refused),
        cmocka_unit_test(streaming_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
