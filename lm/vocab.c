/* lm/vocab.c: token ids and their bytes, in flat arrays. */
#include "lm/vocab.h"

#include <string.h>

#include "base/alloc.h"

/* GPT-2's alphabet: the bytes 21..7E, A1..AC and AE..FF are themselves, the other 68 are U+0100 and up in
 * order. */
static int byte_of(uint32_t point)
{
    if (point >= 0x100) {
        int n = (int)(point - 0x100);
        if (n < 0x21) return n;
        if (n < 0x21 + 0x22) return 0x7F + (n - 0x21);
        return n == 0x43 ? 0xAD : -1;
    }
    bool itself = (point >= 0x21 && point <= 0x7E) || (point >= 0xA1 && point <= 0xAC) || point >= 0xAE;
    return itself ? (int)point : -1;
}

int64_t tsr_vocab_bytes(char *out, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    int64_t written = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t point = s[i];
        if (point >= 0x80) { /* the whole alphabet lies below U+0144: two bytes */
            if (point < 0xC2 || point > 0xC5 || i + 1 == n) return -1;
            point = (point & 0x1F) << 6 | (s[++i] & 0x3F);
        }
        int byte = byte_of(point);
        if (byte < 0) return -1;
        out[written++] = (char)byte;
    }
    return written;
}

static uint64_t read_bytes(const char *from, size_t n)
{
    uint64_t wide = 0;
    uint32_t first, last;
    if (n == 8) {
        memcpy(&wide, from, 8);
        return wide;
    }
    if (n >= 4) { /* two that overlap: quicker than a copy of a length only known here */
        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    for (size_t i = 0; i < n; i++) wide = wide << 8 | (unsigned char)from[i];
    return wide;
}

/* Multiply and fold, eight bytes at a time. */
static uint64_t hash_of(const char *bytes, size_t n)
{
    uint64_t h = n * 0x9E3779B97F4A7C15u;
    for (size_t at = 0; at < n; at += 8) {
        h = (h ^ read_bytes(bytes + at, n - at < 8 ? n - at : 8)) * 0x9FB21C651E98DF25u;
        h ^= h >> 32;
    }
    return h * 0x9E3779B97F4A7C15u;
}

/* Where the token with these bytes is, or the empty slot where it belongs. */
static uint32_t slot_of(const tsr_vocab *v, const char *bytes, size_t n, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & v->slot_mask;
    for (; v->slots[at]; at = (at + 1) & v->slot_mask) {
        if (v->slots[at] >> 32 != hash >> 32) continue;
        const tsr_token *t = &v->tokens[(uint32_t)v->slots[at] - 1];
        if (t->bytes == n && memcmp(v->text + t->at, bytes, n) == 0) break;
    }
    return at;
}

int32_t tsr_vocab_find(const tsr_vocab *v, const char *bytes, size_t n)
{
    uint64_t slot = v->slots[slot_of(v, bytes, n, hash_of(bytes, n))];
    return slot ? (int32_t)(uint32_t)slot - 1 : -1;
}

typedef struct extent {
    int64_t n_ids, n_tokens;
    size_t text_bytes;
} extent;

/* What the arrays must hold; also checks every id and length, so that filling them cannot fail on either. */
static tsr_status measure(extent *e, const tsr_json_value *tokens, const tsr_added *added)
{
    for (const tsr_json_value *v = tsr_json_first(tokens); v; v = tsr_json_next(v)) {
        const char *key = tsr_json_key(v);
        int64_t id;
        if (tsr_json_kind_of(v) != TSR_JSON_NUMBER || !tsr_json_int(v, &id) || id < 0)
            return tsr_fail(TSR_E_FORMAT, "the id of token '%.64s' is not a whole number from 0", key);
        if (id >= TSR_MAX_VOCAB)
            return tsr_fail(TSR_E_LIMIT, "token '%.64s' has id %lld, the limit is %d ids", key, (long long)id,
                            TSR_MAX_VOCAB);
        size_t bytes = strlen(key);
        if (bytes > TSR_MAX_TOKEN_BYTES)
            return tsr_fail(TSR_E_LIMIT, "token %lld is %zu bytes long, the limit is %d", (long long)id,
                            bytes, TSR_MAX_TOKEN_BYTES);
        if (bytes == 0) return tsr_fail(TSR_E_FORMAT, "token %lld is empty", (long long)id);
        if (id >= e->n_ids) e->n_ids = id + 1;
        e->n_tokens++;
        e->text_bytes += bytes;
    }
    for (int64_t i = 0; i < added->n; i++) {
        if (added->items[i].id >= e->n_ids) e->n_ids = added->items[i].id + 1;
        e->text_bytes += added->items[i].bytes;
    }
    if (e->n_ids == 0) return tsr_fail(TSR_E_FORMAT, "the vocabulary is empty");
    if (e->text_bytes > UINT32_MAX)
        return tsr_fail(TSR_E_LIMIT, "the vocabulary has %zu bytes of text", e->text_bytes);
    return TSR_OK;
}

/* Write one spelling into the block as the bytes it stands for, raw when it is outside of the alphabet. */
static bool write_token(tsr_vocab *v, size_t *used, int64_t id, const char *spelling, size_t bytes)
{
    int64_t n = tsr_vocab_bytes(v->text + *used, spelling, bytes);
    if (n < 0) memcpy(v->text + *used, spelling, bytes);
    v->tokens[id].at = (uint32_t)*used;
    v->tokens[id].bytes = n < 0 ? (uint32_t)bytes : (uint32_t)n;
    v->tokens[id].flags |= TSR_TOKEN_PRESENT;
    *used += v->tokens[id].bytes;
    return n >= 0;
}

static tsr_status fill_model(tsr_vocab *v, size_t *used, const tsr_json_value *tokens)
{
    for (const tsr_json_value *value = tsr_json_first(tokens); value; value = tsr_json_next(value)) {
        const char *key = tsr_json_key(value);
        int64_t id = 0;
        if (!tsr_json_int(value, &id)) continue; /* measure() has refused these */
        tsr_token *t = &v->tokens[id];
        if (t->flags)
            return tsr_fail(TSR_E_FORMAT, "two tokens have id %lld, one is '%.64s'", (long long)id, key);
        if (!write_token(v, used, id, key, strlen(key))) continue;
        t->flags |= TSR_TOKEN_MODEL;
        const char *bytes = v->text + t->at;
        uint64_t hash = hash_of(bytes, t->bytes);
        v->slots[slot_of(v, bytes, t->bytes, hash)] = hash >> 32 << 32 | (uint32_t)(id + 1);
        if (t->bytes == 1) v->byte_id[(unsigned char)bytes[0]] = (int32_t)id;
    }
    return TSR_OK;
}

static tsr_status fill_added(tsr_vocab *v, size_t *used, const tsr_added *added)
{
    for (int64_t i = 0; i < added->n; i++) {
        const tsr_added_token *a = &added->items[i];
        tsr_token *t = &v->tokens[a->id];
        size_t before = *used;
        tsr_token was = *t;
        bool in_alphabet = write_token(v, used, a->id, a->content, a->bytes);
        if (was.flags & TSR_TOKEN_ADDED)
            return tsr_fail(TSR_E_FORMAT, "two added tokens have id %d, one is '%.64s'", (int)a->id,
                            a->content);
        int32_t in_model = in_alphabet ? tsr_vocab_find(v, v->text + t->at, t->bytes) : -1;
        if (in_model >= 0 && in_model != a->id)
            return tsr_fail(TSR_E_FORMAT, "added token '%.64s' has id %d, but %d in the vocabulary",
                            a->content, (int)a->id, (int)in_model);
        if (was.flags) {
            if (was.bytes != t->bytes || memcmp(v->text + was.at, v->text + t->at, t->bytes) != 0)
                return tsr_fail(TSR_E_FORMAT,
                                "id %d is '%.64s' under added_tokens, but another token in the vocabulary",
                                (int)a->id, a->content);
            *t = was;
            *used = before;
        }
        t->flags |= TSR_TOKEN_ADDED | (a->flags & TSR_ADDED_SPECIAL ? TSR_TOKEN_SPECIAL : 0);
    }
    return TSR_OK;
}

tsr_status tsr_vocab_open(tsr_vocab *v, const tsr_json_value *tokens, const tsr_added *added)
{
    extent e = {0};
    tsr_status st = measure(&e, tokens, added);
    if (st) return st;
    uint32_t n_slots = 1024;
    while (n_slots < 2 * e.n_tokens)
        n_slots *= 2; /* n_tokens is bounded by the file's size, half full at most */
    v->n = (int32_t)e.n_ids;
    v->slot_mask = n_slots - 1;
    v->text = tsr_alloc(e.text_bytes);
    v->tokens = tsr_calloc((size_t)e.n_ids, sizeof *v->tokens);
    v->slots = tsr_calloc(n_slots, sizeof *v->slots);
    if (!v->text || !v->tokens || !v->slots)
        return tsr_fail(TSR_E_NOMEM, "no memory for a vocabulary of %lld tokens", (long long)e.n_ids);
    memset(v->byte_id, -1, sizeof v->byte_id);

    size_t used = 0;
    st = fill_model(v, &used, tokens);
    return st ? st : fill_added(v, &used, added);
}

void tsr_vocab_close(tsr_vocab *v)
{
    tsr_free(v->text);
    tsr_free(v->tokens);
    tsr_free(v->slots);
    *v = (tsr_vocab){0};
}
