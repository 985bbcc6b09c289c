/* lm/added.c: added tokens: a sorted list, searched by narrowing a range byte by byte. */
#include "lm/added.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lm/field.h"
#include "lm/unicode.h"
#include "lm/utf8.h"
#include "lm/vocab.h"

static int by_pass_then_content(const void *a, const void *b)
{
    const tsr_added_token *x = a, *y = b;
    int pass = (int)(x->flags & TSR_ADDED_NORMALIZED) - (int)(y->flags & TSR_ADDED_NORMALIZED);
    return pass ? pass : strcmp(x->content, y->content);
}

static tsr_status read_flags(unsigned *flags, const tsr_json_value *entry)
{
    static const struct {
        const char *key;
        unsigned flag;
    } keys[] = {{"special", TSR_ADDED_SPECIAL},
                {"normalized", TSR_ADDED_NORMALIZED},
                {"lstrip", TSR_ADDED_LSTRIP},
                {"rstrip", TSR_ADDED_RSTRIP},
                {"single_word", TSR_ADDED_SINGLE_WORD}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        bool on = false;
        tsr_status st = tsr_field_bool(&on, entry, keys[i].key);
        if (st) return st;
        if (on) *flags |= keys[i].flag;
    }
    return TSR_OK;
}

static tsr_status read_entry(tsr_added_token *token, const tsr_json_value *entry)
{
    if (tsr_json_kind_of(entry) != TSR_JSON_OBJECT) return tsr_fail(TSR_E_FORMAT, "not an object");
    const tsr_json_value *id = NULL, *content = NULL;
    tsr_status st = tsr_field_needed(&id, entry, "id", TSR_JSON_NUMBER);
    if (!st) st = tsr_field_needed(&content, entry, "content", TSR_JSON_STRING);
    if (!st) st = read_flags(&token->flags, entry);
    if (st) return st;

    int64_t number;
    if (!tsr_json_int(id, &number) || number < 0)
        return tsr_fail(TSR_E_FORMAT, "'id' is not a whole number from 0");
    if (number >= TSR_MAX_VOCAB)
        return tsr_fail(TSR_E_LIMIT, "'id' is %lld, the limit is %d ids", (long long)number, TSR_MAX_VOCAB);
    token->id = (int32_t)number;
    token->content = tsr_json_string(content);
    size_t bytes = strlen(token->content);
    if (bytes == 0) return tsr_fail(TSR_E_FORMAT, "'content' is empty");
    if (bytes > TSR_MAX_TOKEN_BYTES)
        return tsr_fail(TSR_E_LIMIT, "'content' is %zu bytes long, the limit is %d", bytes,
                        TSR_MAX_TOKEN_BYTES);
    token->bytes = (uint32_t)bytes;
    return TSR_OK;
}

/* The tokens point into the JSON document, which will be gone: give them text of their own. */
static tsr_status keep_text(tsr_added *added)
{
    size_t total = 1;
    for (int64_t i = 0; i < added->n; i++) total += added->items[i].bytes + 1;
    added->text = tsr_alloc(total);
    if (!added->text) return tsr_fail(TSR_E_NOMEM, "no memory for %lld added tokens", (long long)added->n);
    char *to = added->text;
    for (int64_t i = 0; i < added->n; i++) {
        tsr_added_token *t = &added->items[i];
        t->content = memcpy(to, t->content, t->bytes + 1);
        to += t->bytes + 1;
    }
    return TSR_OK;
}

tsr_status tsr_added_open(tsr_added *added, const tsr_json_value *array)
{
    int64_t count = array ? tsr_json_count(array) : 0;
    if (count > TSR_MAX_VOCAB)
        return tsr_fail(TSR_E_LIMIT, "added_tokens has %lld entries, the limit is %d", (long long)count,
                        TSR_MAX_VOCAB);
    added->items = tsr_calloc((size_t)count, sizeof *added->items);
    if (!added->items) return tsr_fail(TSR_E_NOMEM, "no memory for %lld added tokens", (long long)count);

    const tsr_json_value *entry = count ? tsr_json_first(array) : NULL;
    for (; added->n < count; added->n++, entry = tsr_json_next(entry)) {
        tsr_status st = read_entry(&added->items[added->n], entry);
        if (st) return tsr_wrap(st, "added_tokens[%lld]", (long long)added->n);
    }
    tsr_status st = keep_text(added);
    if (st) return st;

    qsort(added->items, (size_t)added->n, sizeof *added->items, by_pass_then_content);
    for (int64_t i = 0; i < added->n; i++) {
        const tsr_added_token *t = &added->items[i];
        int pass = t->flags & TSR_ADDED_NORMALIZED ? 1 : 0;
        unsigned char first = (unsigned char)t->content[0];
        added->starts[pass][first / 32] |= 1u << first % 32;
        added->n_first += pass == 0;
    }
    for (int64_t i = 0; i < added->n; i++) {
        const tsr_added_token *t = &added->items[i];
        if (tsr_added_find(added, t->content, t->bytes) != t)
            return tsr_fail(TSR_E_FORMAT, "added_tokens lists '%.64s' twice", t->content);
    }
    return TSR_OK;
}

void tsr_added_close(tsr_added *added)
{
    tsr_free(added->items);
    tsr_free(added->text);
    *added = (tsr_added){0};
}

/* The longest token of a pass that text begins with. The tokens that share its first `depth` bytes are a
 * range of the sorted list, which each further byte narrows. */
static const tsr_added_token *longest(const tsr_added *added, int pass, const char *text, size_t bytes)
{
    int64_t low = pass ? added->n_first : 0, high = pass ? added->n : added->n_first;
    const tsr_added_token *best = NULL;
    for (size_t depth = 0; depth < bytes && low < high; depth++) {
        unsigned char wanted = (unsigned char)text[depth];
        if (wanted == 0) break;    /* in no token, and would match the NUL behind one */
        int64_t a = low, b = high; /* first with this byte or a higher one */
        while (a < b) {
            int64_t middle = a + (b - a) / 2;
            if ((unsigned char)added->items[middle].content[depth] < wanted)
                a = middle + 1;
            else
                b = middle;
        }
        low = a;
        b = high; /* first with a higher one */
        while (a < b) {
            int64_t middle = a + (b - a) / 2;
            if ((unsigned char)added->items[middle].content[depth] <= wanted)
                a = middle + 1;
            else
                b = middle;
        }
        high = a;
        /* A token that ends here is the first of the range: its NUL sorts before every other byte. */
        if (low < high && added->items[low].bytes == depth + 1) best = &added->items[low];
    }
    return best;
}

const tsr_added_token *tsr_added_find(const tsr_added *added, const char *content, size_t bytes)
{
    for (int pass = 0; pass < 2; pass++) {
        const tsr_added_token *t = longest(added, pass, content, bytes);
        if (t && t->bytes == bytes) return t;
    }
    return NULL;
}

static bool is(unsigned class, const char *text, size_t at)
{
    return tsr_unicode_class(tsr_utf8_next(text, &at)) & class;
}

static bool stands_alone(const char *text, size_t bytes, size_t begin, size_t end)
{
    if (begin > 0 && is(TSR_UC_WORD, text, tsr_utf8_before(text, begin))) return false;
    return end == bytes || !is(TSR_UC_WORD, text, end);
}

bool tsr_added_next(const tsr_added *added, tsr_added_match *out, int pass, const char *text, size_t bytes,
                    size_t from, size_t search)
{
    const uint32_t *starts = added->starts[pass];
    for (size_t at = search; at < bytes; at++) {
        unsigned char first = (unsigned char)text[at];
        if (!(starts[first / 32] >> first % 32 & 1)) continue;
        const tsr_added_token *t = longest(added, pass, text + at, bytes - at);
        if (!t) continue;
        size_t end = at + t->bytes;
        if (t->flags & TSR_ADDED_SINGLE_WORD && !stands_alone(text, bytes, at, end)) {
            at = end - 1; /* the reference goes on behind a match it discards */
            continue;
        }
        *out = (tsr_added_match){.token = t, .resume = end};
        if (t->flags & TSR_ADDED_LSTRIP)
            while (at > from && is(TSR_UC_SPACE, text, tsr_utf8_before(text, at)))
                at = tsr_utf8_before(text, at);
        if (t->flags & TSR_ADDED_RSTRIP)
            while (end < bytes && is(TSR_UC_SPACE, text, end)) tsr_utf8_next(text, &end);
        out->begin = at;
        out->end = end;
        return true;
    }
    return false;
}
