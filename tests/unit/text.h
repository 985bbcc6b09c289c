/* tests/unit/text.h: opening the vectors of tests/vectors/text, made by tools/oracle_text.py. Include after
 * cmocka.h. */
#ifndef TSR_TEXT_H
#define TSR_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "lm/ids.h"
#include "lm/tokenizer.h"
#include "lm/utf8.h"

#define TEXT_FOLDER TSR_SOURCE_DIR "/tests/vectors/text/"

static inline tsr_json *text_json(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, TEXT_FOLDER "%s", name);
    tsr_json *json = NULL;
    if (tsr_json_open(&json, path, (size_t)16 << 20)) fail_msg("%s", tsr_message());
    return json;
}

static inline tsr_tokenizer *text_tokenizer(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, TEXT_FOLDER "%s", name);
    tsr_tokenizer *t = NULL;
    if (tsr_tokenizer_open(&t, path)) fail_msg("%s", tsr_message());
    return t;
}

static inline const tsr_json_value *text_member(const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    if (!value) fail_msg("the vectors have no '%s'", key);
    return value;
}

static inline int64_t text_int(const tsr_json_value *value)
{
    int64_t number = 0;
    assert_true(tsr_json_int(value, &number));
    return number;
}

static inline void text_print_ids(const char *what, const tsr_ids *ids)
{
    fprintf(stderr, "%s:", what);
    for (int64_t i = 0; i < ids->n; i++) fprintf(stderr, " %d", (int)ids->items[i]);
    fprintf(stderr, "\n");
}

static inline tsr_ids text_ids(const tsr_json_value *array)
{
    tsr_ids ids = {0};
    for (const tsr_json_value *v = tsr_json_first(array); v; v = tsr_json_next(v))
        assert_int_equal(tsr_ids_push(&ids, (int32_t)text_int(v)), TSR_OK);
    return ids;
}

/* Fails, with both lists, unless got is what the array holds. */
static inline void text_expect_ids(const tsr_ids *got, const tsr_json_value *array, const char *what)
{
    tsr_ids wanted = text_ids(array);
    bool same = got->n == wanted.n;
    for (int64_t i = 0; i < wanted.n && same; i++) same = got->items[i] == wanted.items[i];
    if (!same) {
        text_print_ids("wanted", &wanted);
        text_print_ids("got   ", got);
        fail_msg("%s", what);
    }
    tsr_ids_close(&wanted);
}

/* SplitMix64, as the oracle's. */
static inline uint64_t text_below(uint64_t *state, uint64_t n)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % n;
}

static inline size_t text_put(char *to, uint32_t point)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--, point >>= 6) to[i] = (char)(0x80 | (point & 0x3F));
    to[0] = (char)(lead[n] | point);
    return n;
}

/* The random strings of random.json: a quarter from all assigned code points, the rest from a few that
 * matter. */
typedef struct text_pool {
    uint32_t *assigned, *common;
    int64_t n_assigned, n_common;
} text_pool;

static inline void text_pool_open(text_pool *pool, const tsr_json_value *random)
{
    const tsr_json_value *ranges = text_member(random, "assigned");
    const char *common = tsr_json_string(text_member(random, "common"));
    *pool = (text_pool){0};
    pool->assigned = calloc(0x110000, sizeof *pool->assigned);
    pool->common = calloc(strlen(common), sizeof *pool->common);
    assert_non_null(pool->assigned);
    assert_non_null(pool->common);
    for (const tsr_json_value *r = tsr_json_first(ranges); r; r = tsr_json_next(r)) {
        int64_t first = text_int(tsr_json_first(r)), last = text_int(tsr_json_next(tsr_json_first(r)));
        for (int64_t c = first; c <= last; c++) pool->assigned[pool->n_assigned++] = (uint32_t)c;
    }
    for (size_t at = 0; common[at];) pool->common[pool->n_common++] = tsr_utf8_next(common, &at);
}

static inline void text_pool_close(text_pool *pool)
{
    free(pool->assigned);
    free(pool->common);
}

enum { TEXT_RANDOM_BYTES = 40 * 4 };

static inline size_t text_random(char out[TEXT_RANDOM_BYTES], const text_pool *pool, uint64_t *state)
{
    size_t bytes = 0;
    for (uint64_t n = 1 + text_below(state, 40); n > 0; n--) {
        bool any = text_below(state, 4) == 0;
        uint64_t which = text_below(state, (uint64_t)(any ? pool->n_assigned : pool->n_common));
        bytes += text_put(out + bytes, any ? pool->assigned[which] : pool->common[which]);
    }
    return bytes;
}

#endif
