/* tests/fuzz/tokenizer.c: any bytes as a tokenizer.json; one that opens must keep text whole. */
#include <string.h>

#include "base/json.h"
#include "lm/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static const char probe[] =
    "The quick <s> (brown) fox's 12 \xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\n\n  <|im_end|>\t end";

/* Encode and check that every id has a token. Returns false when the tokenizer gave up (its pattern may). */
static bool encode(const tsr_tokenizer *t, tsr_ids *ids, const char *text, size_t bytes, tsr_encode_opts opts)
{
    ids->n = 0;
    if (tsr_tokenizer_encode(t, ids, text, bytes, opts)) return false;
    for (int64_t i = 0; i < ids->n; i++)
        FUZZ_CHECK(ids->items[i] >= 0 && ids->items[i] < tsr_tokenizer_vocab(t));
    return true;
}

/* Whether each byte of the probe is a token, so that nothing of it can get lost. */
static bool knows_all_bytes(const tsr_tokenizer *t, tsr_ids *ids)
{
    for (size_t i = 0; i < sizeof probe - 1; i++) {
        char byte[2] = {probe[i]};
        size_t n = 0;
        int32_t id = tsr_tokenizer_find(t, byte);
        const char *piece = tsr_tokenizer_piece(t, id, &n);
        if (id < 0 || n != 1 || *piece != probe[i] || tsr_tokenizer_find_added(t, byte) >= 0) return false;
    }
    return encode(t, ids, probe, sizeof probe - 1, (tsr_encode_opts){0});
}

static void check(const tsr_tokenizer *t)
{
    tsr_ids ids = {0};
    encode(t, &ids, probe, sizeof probe - 1, (tsr_encode_opts){.add_special = true, .parse_special = true});
    if (knows_all_bytes(t, &ids)) {
        char *text = NULL;
        size_t bytes = 0;
        FUZZ_CHECK(tsr_tokenizer_decode(t, &text, &bytes, ids.items, ids.n, false) == TSR_OK);
        FUZZ_CHECK(bytes == sizeof probe - 1 && memcmp(text, probe, bytes) == 0);
        tsr_free(text);
        for (int64_t i = 0; i < ids.n; i++) {
            size_t n = 0;
            tsr_tokenizer_piece(t, ids.items[i], &n);
            FUZZ_CHECK(n == 1 || !tsr_tokenizer_special(t, ids.items[i]));
        }
    }
    tsr_ids_close(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tsr_json *json = NULL;
    if (tsr_json_parse(&json, (const char *)data, bytes, "tokenizer.json")) return 0;
    tsr_tokenizer *t = NULL;
    tsr_status st = tsr_tokenizer_parse(&t, tsr_json_root(json), tsr_json_root(json), NULL);
    tsr_json_close(json);
    FUZZ_CHECK((st == TSR_OK) == (t != NULL));
    if (st) {
        FUZZ_CHECK(*tsr_message());
        return 0;
    }
    check(t);
    tsr_tokenizer_close(t);
    return 0;
}
