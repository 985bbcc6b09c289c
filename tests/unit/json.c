/* tests/unit/json.c: what the JSON reader takes, what it refuses, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"

typedef struct refusal {
    const char *text;
    size_t bytes;
    tsr_status status;
    const char *message;
} refusal;

/* A literal with its length, so that a NUL inside counts. */
#define TEXT(literal) literal, sizeof(literal) - 1

static tsr_json *parsed(const char *text)
{
    tsr_json *json = NULL;
    if (tsr_json_parse(&json, text, strlen(text), "t")) fail_msg("%s: %s", text, tsr_message());
    return json;
}

static void refused(const char *text, size_t bytes, tsr_status status, const char *message)
{
    tsr_json *json = NULL;
    tsr_status st = tsr_json_parse(&json, text, bytes, "t");
    if (st != status) fail_msg("'%s' gives status %d, not %d", text, st, status);
    assert_null(json);
    assert_string_equal(tsr_message(), message);
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const refusal cases[] = {
        {TEXT(""), TSR_E_FORMAT, "t: byte 0: ends before its value does"},
        {TEXT("  "), TSR_E_FORMAT, "t: byte 2: ends before its value does"},
        {TEXT("{"), TSR_E_FORMAT, "t: byte 1: ends before its value does"},
        {TEXT("{}x"), TSR_E_FORMAT, "t: byte 2: 0x78 begins no JSON value"},
        {TEXT("{} {}"), TSR_E_FORMAT, "t: byte 3: not what JSON has here"},
        {TEXT("1 2"), TSR_E_FORMAT, "t: byte 2: not what JSON has here"},
        {TEXT("{}\0"), TSR_E_FORMAT, "t: byte 2: 0x00 begins no JSON value"},
        {TEXT("\"a\0b\""), TSR_E_FORMAT, "t: byte 2: a NUL"},
        {TEXT("\xef\xbb\xbf{}"), TSR_E_FORMAT, "t: byte 0: 0xef begins no JSON value"},
        {TEXT("{\"a\":1\v}"), TSR_E_FORMAT, "t: byte 6: 0x0b begins no JSON value"},
        {TEXT("[1,]"), TSR_E_FORMAT, "t: byte 3: not what JSON has here"},
        {TEXT("[1 2]"), TSR_E_FORMAT, "t: byte 3: not what JSON has here"},
        {TEXT("{\"a\":1,}"), TSR_E_FORMAT, "t: byte 8: not what JSON has here"},
        {TEXT("{\"a\" 1}"), TSR_E_FORMAT, "t: byte 5: not what JSON has here"},
        {TEXT("{a:1}"), TSR_E_FORMAT, "t: byte 1: 0x61 begins no JSON value"},
        {TEXT("[}"), TSR_E_FORMAT, "t: byte 1: not what JSON has here"},
        {TEXT("]]"), TSR_E_FORMAT, "t: byte 0: not what JSON has here"},
        {TEXT("nul"), TSR_E_FORMAT, "t: byte 0: 0x6e begins no JSON value"},
        {TEXT("True"), TSR_E_FORMAT, "t: byte 0: 0x54 begins no JSON value"},
        {TEXT("truefalse"), TSR_E_FORMAT, "t: byte 4: two values without a comma"},
        {TEXT("NaN"), TSR_E_FORMAT, "t: byte 0: 0x4e begins no JSON value"},
        {TEXT("// c\n1"), TSR_E_FORMAT, "t: byte 0: 0x2f begins no JSON value"},
        {TEXT("'a'"), TSR_E_FORMAT, "t: byte 0: 0x27 begins no JSON value"},
        {TEXT("{\"a\":1,\"a\":2}"), TSR_E_FORMAT, "t: the key 'a' stands twice in one object"},
        {TEXT("[{\"a\":{\"\":1,\"b\":2,\"\":3}}]"), TSR_E_FORMAT, "t: the key '' stands twice in one object"},
        {TEXT("{\"a\":1,\"\\u0061\":2}"), TSR_E_FORMAT, "t: the key 'a' stands twice in one object"},
        {TEXT("{\"\\u001b[2J\":1,\"\\u001b[2J\":2}"), TSR_E_FORMAT,
         "t: the key '\\x1b[2J' stands twice in one object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].text, cases[i].bytes, cases[i].status, cases[i].message);
}

static void bad_strings_are_refused(void **state)
{
    (void)state;
    static const char *const utf8[] = {
        "\x80",
        "\xbf",
        "\xc3",
        "\xc3\x28",
        "\xc0\xaf",
        "\xc1\xbf", /* overlong */
        "\xe0\x80\xaf",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\xaf",
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xed\xa0\x80\xed\xb0\x80", /* surrogates */
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "\xfe", /* past U+10FFFF */
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xe2\x28\xa1",
        "\xf0\x9f\x28\xbc", /* truncated */
    };
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++) {
        char text[32];
        snprintf(text, sizeof text, "[\"ab%s\"]", utf8[i]);
        refused(text, strlen(text), TSR_E_FORMAT, "t: byte 4: invalid UTF-8");
        snprintf(text, sizeof text, "{\"ab%s\":1}", utf8[i]);
        refused(text, strlen(text), TSR_E_FORMAT, "t: byte 4: invalid UTF-8");
        snprintf(text, sizeof text, "\"a%s", utf8[i]); /* at the very end */
        refused(text, strlen(text), TSR_E_FORMAT, "t: byte 2: invalid UTF-8");
    }

    static const refusal cases[] = {
        {TEXT("\"a"), TSR_E_FORMAT, "t: byte 0: a string that does not end"},
        {TEXT("[\"a\\\""), TSR_E_FORMAT, "t: byte 1: a string that does not end"},
        {TEXT("\"a\nb\""), TSR_E_FORMAT, "t: byte 2: a control character in a string"},
        {TEXT("\"a\tb\""), TSR_E_FORMAT, "t: byte 2: a control character in a string"},
        {TEXT("\"\\"), TSR_E_FORMAT, "t: byte 1: an escape that JSON lacks"},
        {TEXT("\"\\x41\""), TSR_E_FORMAT, "t: byte 1: an escape that JSON lacks"},
        {TEXT("\"\\u\""), TSR_E_FORMAT, "t: byte 1: \\u without four hex digits"},
        {TEXT("\"\\u12g4\""), TSR_E_FORMAT, "t: byte 1: \\u without four hex digits"},
        {TEXT("\"\\u0000\""), TSR_E_FORMAT, "t: byte 1: \\u0000 in a string"},
        {TEXT("\"\\ud800\""), TSR_E_FORMAT, "t: byte 7: a high surrogate without its low one"},
        {TEXT("\"\\ud800\\n\""), TSR_E_FORMAT, "t: byte 7: a high surrogate without its low one"},
        {TEXT("\"\\ud800\\ud800\""), TSR_E_FORMAT, "t: byte 7: a high surrogate without its low one"},
        {TEXT("\"\\udc00\""), TSR_E_FORMAT, "t: byte 1: a low surrogate without its high one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].text, cases[i].bytes, cases[i].status, cases[i].message);
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "01",        "-",          "-01",        "1.",        ".5",        "-.5",       "1e",
        "1e+",       "1.e3",       "+1",         "0x1",       "1_0",       "--1",       "1..2",
        "1e5.5",     "- 1",        "1-2",        "1+2",       "Inf",       "infinity",  "-infinity",
        "+Infinity", "--Infinity", "- Infinity", "Infinity1", "1Infinity", "Infinityx", "InfinityInfinity",
        "-nan"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        tsr_json *json = NULL;
        snprintf(text, sizeof text, "[%s]", cases[i]);
        if (tsr_json_parse(&json, text, strlen(text), "t") != TSR_E_FORMAT) fail_msg("%s is taken", text);
        if (tsr_json_parse(&json, cases[i], strlen(cases[i]), "t") != TSR_E_FORMAT)
            fail_msg("%s is taken", cases[i]);
        assert_null(json);
    }
    char digits[66];
    memset(digits, '7', 64);
    digits[64] = '\0';
    refused(digits, 64, TSR_E_LIMIT, "t: byte 0: a number of 64 bytes; at most 63 are read");
    tsr_json_close(parsed(digits + 1));
}

static void numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"-0", -0.0},
        {"-12", -12},
        {"1.5e-3", 1.5e-3},
        {"2E+2", 200},
        {"1e-400", 0},
        {"1e400", INFINITY},
        {"-1e400", -INFINITY},
        {"1e20", 1e20},
        {"0.1000000000000000055511151231257827", 0.1},
        {"Infinity", INFINITY},
        {"-Infinity", -INFINITY},
        {" Infinity ", INFINITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_json *json = parsed(cases[i].text);
        double value = tsr_json_number(tsr_json_root(json));
        assert_memory_equal(&value, &cases[i].value, sizeof value);
        tsr_json_close(json);
    }
}

/* The five spellings of nemotron-h.md 1.3; the fifth is a missing key. */
static void every_spelling_of_infinity_parses(void **state)
{
    (void)state;
    tsr_json *json =
        parsed("{\"a\":[0.0,Infinity],\"b\":[0.0, \"Infinity\"],\"c\":[0,{\"__float__\":\"Infinity\"}],"
               "\"d\":[0,1e30],\"e\":{\"Infinity\":-Infinity},\"f\\\"Infinity\":\"\\\\\",\"g\":Infinity}");
    const tsr_json_value *root = tsr_json_root(json), *value;
    assert_true(tsr_json_number(tsr_json_next(tsr_json_first(tsr_json_find(root, "a")))) == INFINITY);
    assert_string_equal(tsr_json_string(tsr_json_next(tsr_json_first(tsr_json_find(root, "b")))), "Infinity");
    value = tsr_json_next(tsr_json_first(tsr_json_find(root, "c")));
    assert_string_equal(tsr_json_string(tsr_json_find(value, "__float__")), "Infinity");
    assert_true(tsr_json_number(tsr_json_next(tsr_json_first(tsr_json_find(root, "d")))) == 1e30);
    assert_true(tsr_json_number(tsr_json_find(tsr_json_find(root, "e"), "Infinity")) == -INFINITY);
    assert_string_equal(tsr_json_string(tsr_json_find(root, "f\"Infinity")), "\\");
    assert_true(tsr_json_number(tsr_json_find(root, "g")) == INFINITY);
    assert_null(tsr_json_find(root, "h"));
    tsr_json_close(json);
}

static void whole_numbers_are_told_from_others(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"9007199254740991", true, 9007199254740991},
        {"-9007199254740991", true, -9007199254740991},
        {"9007199254740992", false, 0},
        {"9007199254740993", false, 0},
        {"1e300", false, 0},
        {"Infinity", false, 0},
        {"1.5", false, 0},
        {"1e3", true, 1000},
        {"\"1\"", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_json *json = parsed(cases[i].text);
        int64_t value = 0;
        assert_int_equal(tsr_json_int(tsr_json_root(json), &value), cases[i].whole);
        assert_int_equal(value, cases[i].value);
        tsr_json_close(json);
    }
}

static void kinds_keys_and_order_are_kept(void **state)
{
    (void)state;
    tsr_json *json = parsed("{\"Aa\":null,\"aA\":true,\"AA\":false,\"aa\":\"\\u00e4\\ud83d\\ude00/\\/\\b\","
                            "\"\":[],\"o\":{}}");
    static const char *const keys[] = {"Aa", "aA", "AA", "aa", "", "o"};
    static const char *const kinds[] = {"null",     "a boolean", "a boolean",
                                        "a string", "an array",  "an object"};
    const tsr_json_value *root = tsr_json_root(json);
    assert_int_equal(tsr_json_count(root), 6);
    int i = 0;
    for (const tsr_json_value *m = tsr_json_first(root); m; m = tsr_json_next(m), i++) {
        assert_string_equal(tsr_json_key(m), keys[i]);
        assert_string_equal(tsr_json_kind_name(tsr_json_kind_of(m)), kinds[i]);
        assert_ptr_equal(tsr_json_find(root, keys[i]), m);
    }
    assert_true(tsr_json_bool(tsr_json_find(root, "aA")));
    assert_false(tsr_json_bool(tsr_json_find(root, "AA")));
    assert_string_equal(tsr_json_string(tsr_json_find(root, "aa")), "\xc3\xa4\xf0\x9f\x98\x80//\b");
    assert_int_equal(tsr_json_count(tsr_json_find(root, "")), 0);
    assert_null(tsr_json_first(tsr_json_find(root, "o")));
    assert_null(tsr_json_find(root, "aa "));
    tsr_json_close(json);

    json = parsed("[1,[2]]");
    assert_null(tsr_json_key(tsr_json_first(tsr_json_root(json))));
    tsr_json_close(json);
}

static void nesting_and_count_have_limits(void **state)
{
    (void)state;
    char text[2 * (TSR_JSON_MAX_DEPTH + 1) + 1];
    for (int depth = TSR_JSON_MAX_DEPTH; depth <= TSR_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth == TSR_JSON_MAX_DEPTH)
            tsr_json_close(parsed(text));
        else
            refused(text, strlen(text), TSR_E_LIMIT, "t: byte 128: nested deeper than 128");
    }

    size_t bytes = 2 * (size_t)TSR_JSON_MAX_VALUES + 3;
    char *many = tsr_alloc(bytes);
    assert_non_null(many);
    for (size_t i = 0; i < bytes; i++) many[i] = i % 2 ? '0' : ',';
    many[0] = '[';
    many[bytes - 1] = ']';
    refused(many, bytes, TSR_E_LIMIT, "t: 8388610 values; at most 8388608 are read");
    tsr_free(many);
}

/* Objects of every size around the change from comparing pairs to sorting, each with one key twice or
 * none. */
static void duplicates_are_found_in_objects_of_any_size(void **state)
{
    (void)state;
    static char text[300 * 12];
    for (int n = 2; n < 300; n += n < 20 ? 1 : 37) {
        for (int twice = -1; twice < n - 1; twice += 1 + n / 8) {
            size_t used = 0;
            for (int i = 0; i < n; i++)
                used += (size_t)snprintf(text + used, sizeof text - used, "%s\"k%d\":%d", i ? "," : "{",
                                         i == n - 1 && twice >= 0 ? twice : i, i);
            text[used++] = '}';
            tsr_json *json = NULL;
            tsr_status st = tsr_json_parse(&json, text, used, "t");
            assert_int_equal(st, twice >= 0 ? TSR_E_FORMAT : TSR_OK);
            if (st) {
                char message[64];
                snprintf(message, sizeof message, "t: the key 'k%d' stands twice in one object", twice);
                assert_string_equal(tsr_message(), message);
            }
            tsr_json_close(json);
        }
    }
}

/* As many keys as the family's vocabulary: comparing all pairs would take minutes. */
static void a_vocabulary_is_read_in_good_time(void **state)
{
    (void)state;
    enum { KEYS = 131072, EACH = 24 };
    char *text = tsr_alloc(KEYS * EACH);
    assert_non_null(text);
    size_t used = 0;
    for (int i = 0; i < KEYS; i++)
        used += (size_t)snprintf(text + used, EACH, "%c\"token%d\":%d", i ? ',' : '{', i, i);
    text[used++] = '}';
    clock_t start = clock();
    tsr_json *json = NULL;
    assert_int_equal(tsr_json_parse(&json, text, used, "t"), TSR_OK);
    assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    assert_int_equal(tsr_json_count(tsr_json_root(json)), KEYS);
    tsr_json_close(json);
    tsr_free(text);
}

static void every_failing_allocation_gives_a_message(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,\"two\",{\"b\":null}],\"c\":{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,"
        "\"7\":1,\"8\":1,\"9\":1,\"10\":1,\"11\":1,\"12\":1,\"13\":1,\"14\":1,\"15\":1,"
        "\"16\":1,\"17\":1}}";
    tsr_json *json = NULL;
    int64_t n = 1;
    for (;; n++) {
        tsr_alloc_fail_at(n, 0);
        tsr_status st = tsr_json_parse(&json, text, sizeof text - 1, "t");
        tsr_alloc_fail_at(0, 0);
        if (!st) break;
        assert_int_equal(st, TSR_E_NOMEM);
        assert_non_null(strstr(tsr_message(), "t: no memory"));
        assert_null(json);
    }
    assert_true(n > 40); /* each key and value is an allocation of its own */
    tsr_json_close(json);
}

static void files_are_read_up_to_their_limit(void **state)
{
    (void)state;
    char path[] = "/tmp/tsr-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[1,2]", 5), 5);
    close(fd);
    tsr_json *json = NULL;
    assert_int_equal(tsr_json_open(&json, path, 4), TSR_E_LIMIT);
    assert_non_null(strstr(tsr_message(), "5 bytes; at most 4 are read"));
    assert_int_equal(tsr_json_open(&json, path, 5), TSR_OK);
    assert_int_equal(tsr_json_count(tsr_json_root(json)), 2);
    tsr_json_close(json);
    unlink(path);
    assert_int_equal(tsr_json_open(&json, path, 5), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), path));
    tsr_json_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(every_spelling_of_infinity_parses),
        cmocka_unit_test(whole_numbers_are_told_from_others),
        cmocka_unit_test(kinds_keys_and_order_are_kept),
        cmocka_unit_test(nesting_and_count_have_limits),
        cmocka_unit_test(duplicates_are_found_in_objects_of_any_size),
        cmocka_unit_test(a_vocabulary_is_read_in_good_time),
        cmocka_unit_test(every_failing_allocation_gives_a_message),
        cmocka_unit_test(files_are_read_up_to_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
