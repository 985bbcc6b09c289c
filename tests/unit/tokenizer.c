/* tests/unit/tokenizer.c: the tokenizer against Hugging Face's, and against files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lm/stop.h"
#include "lm/vocab.h"
#include "tests/unit/text.h"

static const char *const names[] = {"family", "chatml", "vlm", "gpt2", "other"};
enum { N_NAMES = sizeof names / sizeof *names };

static const tsr_encode_opts parse_special = {.parse_special = true};

typedef struct vectors {
    tsr_json *json;
    const tsr_json_value *root;
    tsr_tokenizer *t;
} vectors;

static vectors open_vectors(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s/expected.json", name);
    vectors v = {.json = text_json(file), .t = text_tokenizer(name)};
    v.root = tsr_json_root(v.json);
    return v;
}

static void close_vectors(vectors *v)
{
    tsr_json_close(v->json);
    tsr_tokenizer_close(v->t);
}

static void expect_encoding(const vectors *v, const char *text, tsr_encode_opts opts,
                            const tsr_json_value *wanted)
{
    tsr_ids ids = {0};
    if (tsr_tokenizer_encode(v->t, &ids, text, strlen(text), opts)) fail_msg("%s", tsr_message());
    text_expect_ids(&ids, wanted, text);
    tsr_ids_close(&ids);
}

static void hard_text_encodes_as_the_reference_does(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        vectors v = open_vectors(names[i]);
        assert_int_equal(tsr_tokenizer_vocab(v.t), text_int(text_member(v.root, "n_vocab")));
        expect_encoding(&v, "framed", (tsr_encode_opts){.add_special = true}, text_member(v.root, "framed"));
        const tsr_json_value *cases = text_member(v.root, "cases");
        for (const tsr_json_value *c = tsr_json_first(cases); c; c = tsr_json_next(c)) {
            const char *text = tsr_json_string(text_member(c, "text"));
            const tsr_json_value *ids = text_member(c, "ids"), *plain = tsr_json_find(c, "plain");
            expect_encoding(&v, text, parse_special, ids);
            expect_encoding(&v, text, (tsr_encode_opts){0}, plain ? plain : ids);
        }
        close_vectors(&v);
    }
}

static uint32_t crc_add(uint32_t crc, const tsr_ids *ids)
{
    crc = ~crc;
    for (int64_t i = 0; i < ids->n; i++)
        for (int shift = 0; shift < 32; shift += 8) {
            crc ^= (uint32_t)ids->items[i] >> shift & 0xFF;
            for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
    return ~crc;
}

static void random_strings_encode_as_the_reference_does(void **state)
{
    (void)state;
    tsr_json *json = text_json("random.json");
    const tsr_json_value *random = tsr_json_root(json);
    text_pool pool;
    text_pool_open(&pool, random);
    int64_t seed = text_int(text_member(random, "seed")),
            n_strings = text_int(text_member(random, "strings"));
    for (int i = 0; i < N_NAMES; i++) {
        vectors v = open_vectors(names[i]);
        int64_t block = 0;
        const tsr_json_value *crcs = text_member(v.root, "crc");
        assert_int_equal(tsr_json_count(crcs), text_int(text_member(random, "blocks")));
        for (const tsr_json_value *wanted = tsr_json_first(crcs); wanted;
             wanted = tsr_json_next(wanted), block++) {
            uint64_t mix = (uint64_t)(seed + block);
            uint32_t crc = 0;
            tsr_ids ids = {0};
            char text[TEXT_RANDOM_BYTES];
            for (int64_t k = 0; k < n_strings; k++) {
                size_t bytes = text_random(text, &pool, &mix);
                ids.n = 0;
                assert_int_equal(tsr_tokenizer_encode(v.t, &ids, text, bytes, parse_special), TSR_OK);
                crc = crc_add(crc, &ids);
            }
            tsr_ids_close(&ids);
            if (crc != (uint32_t)text_int(wanted)) {
                mix = (uint64_t)(seed + block);
                int bytes = (int)text_random(text, &pool, &mix);
                fail_msg("%s: block %lld of random strings differs; its first is '%.*s'", names[i],
                         (long long)block, bytes, text);
            }
        }
        close_vectors(&v);
    }
    text_pool_close(&pool);
    tsr_json_close(json);
}

static void ids_decode_as_the_reference_does(void **state)
{
    (void)state;
    for (int i = 0; i < N_NAMES; i++) {
        vectors v = open_vectors(names[i]);
        const tsr_json_value *list = text_member(v.root, "decodings");
        for (const tsr_json_value *d = tsr_json_first(list); d; d = tsr_json_next(d)) {
            tsr_ids ids = text_ids(text_member(d, "ids"));
            for (int skip = 0; skip < 2; skip++) {
                char *text = NULL;
                size_t bytes = 0;
                assert_int_equal(tsr_tokenizer_decode(v.t, &text, &bytes, ids.items, ids.n, skip), TSR_OK);
                assert_string_equal(text, tsr_json_string(text_member(d, skip ? "skipped" : "text")));
                assert_int_equal(bytes, strlen(text));
                tsr_free(text);
            }
            tsr_ids_close(&ids);
        }
        close_vectors(&v);
    }
}

/* Decoding gives back what went in, and so does a stream of the tokens' bytes. */
static void text_survives_the_round_trip(void **state)
{
    (void)state;
    vectors v = open_vectors("family");
    const tsr_json_value *cases = text_member(v.root, "cases");
    for (const tsr_json_value *c = tsr_json_first(cases); c; c = tsr_json_next(c)) {
        const char *wanted = tsr_json_string(text_member(c, "text"));
        tsr_ids ids = {0};
        assert_int_equal(tsr_tokenizer_encode(v.t, &ids, wanted, strlen(wanted), parse_special), TSR_OK);
        char *text = NULL;
        size_t bytes = 0;
        assert_int_equal(tsr_tokenizer_decode(v.t, &text, &bytes, ids.items, ids.n, false), TSR_OK);
        assert_string_equal(text, wanted);

        tsr_stream *stream = NULL;
        assert_int_equal(tsr_stream_open(&stream, NULL, 0, false), TSR_OK);
        size_t at = 0;
        for (int64_t i = 0; i <= ids.n; i++) {
            size_t n = 0;
            const char *piece = i < ids.n ? tsr_tokenizer_piece(v.t, ids.items[i], &n) : "";
            tsr_stream_text out = i < ids.n ? tsr_stream_push(stream, piece, n) : tsr_stream_end(stream);
            assert_true(at + out.bytes <= bytes);
            assert_memory_equal(out.text, text + at, out.bytes);
            at += out.bytes;
        }
        assert_int_equal(at, bytes);
        tsr_stream_close(stream);
        tsr_free(text);
        tsr_ids_close(&ids);
    }
    close_vectors(&v);
}

static void ill_formed_utf8_becomes_replacement_characters(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *repaired;
    } cases[] = {
        {"a\xFF", 2, "a\xEF\xBF\xBD"},
        {"\xE2\x82", 2, "\xEF\xBF\xBD"},
        {"\xE2\x82z", 3, "\xEF\xBF\xBDz"},
        {"\xF0\x9F\x98", 3, "\xEF\xBF\xBD"},
        {"\xC0\xAF", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90\x80\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"12345678\x80"
         "12345678",
         17,
         "12345678\xEF\xBF\xBD"
         "12345678"},
    };
    tsr_tokenizer *t = text_tokenizer("family");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_ids ids = {0};
        char *text = NULL;
        size_t bytes = 0;
        assert_int_equal(tsr_tokenizer_encode(t, &ids, cases[i].bytes, cases[i].n, parse_special), TSR_OK);
        assert_int_equal(tsr_tokenizer_decode(t, &text, &bytes, ids.items, ids.n, false), TSR_OK);
        assert_string_equal(text, cases[i].repaired);
        tsr_free(text);
        tsr_ids_close(&ids);
    }
    tsr_tokenizer_close(t);
}

static void tokens_are_found_by_name(void **state)
{
    (void)state;
    tsr_tokenizer *t = text_tokenizer("chatml");
    assert_int_equal(tsr_tokenizer_find(t, "<|im_end|>"), 11);
    assert_int_equal(tsr_tokenizer_find_added(t, "<|im_end|>"), 11);
    assert_int_equal(tsr_tokenizer_find(t, "a"), tsr_tokenizer_find(t, "b") - 1);
    assert_int_equal(tsr_tokenizer_find_added(t, "a"), -1);
    assert_int_equal(tsr_tokenizer_find(t, "no such token"), -1);
    assert_int_equal(tsr_tokenizer_eos(t), 11); /* an object with content in this config */
    assert_int_equal(tsr_tokenizer_bos(t), 1);
    assert_true(tsr_tokenizer_special(t, 11));
    assert_false(tsr_tokenizer_special(t, 12)); /* <think> is shown */
    assert_false(tsr_tokenizer_special(t, -1));
    assert_false(tsr_tokenizer_special(t, INT32_MAX));
    size_t bytes = 7;
    tsr_tokenizer_piece(t, -1, &bytes);
    assert_int_equal(bytes, 0);
    assert_memory_equal(tsr_tokenizer_piece(t, 12, &bytes), "<think>", 7);
    assert_int_equal(bytes, 7);
    tsr_tokenizer_close(t);
}

static void a_file_is_opened_by_its_own_path_too(void **state)
{
    (void)state;
    tsr_tokenizer *t = text_tokenizer("chatml/tokenizer.json");
    assert_int_equal(tsr_tokenizer_eos(t), 11);
    tsr_tokenizer_close(t);
    t = NULL;
    assert_int_equal(tsr_tokenizer_open(&t, TEXT_FOLDER "nothing"), TSR_E_IO);
    assert_int_equal(tsr_tokenizer_open(&t, ""), TSR_E_IO);
    assert_null(t);
}

static void the_config_names_tokens_and_template(void **state)
{
    (void)state;
    static const struct {
        const char *config, *beside, *template;
        int32_t bos, eos;
    } cases[] = {
        {"{}", NULL, NULL, -1, -1},
        {"{\"bos_token\":null,\"eos_token\":\"</s>\",\"chat_template\":\"one\"}", NULL, "one", -1, 2},
        {"{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"<nowhere>\"}", "two", "two", 1, -1},
        {"{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"x\"},{\"name\":\"default\",\"template\":"
         "\"three\"}]}",
         NULL, "three", -1, -1},
        {"{\"chat_template\":\"one\"}", "four", "four", -1, -1},
    };
    tsr_json *json = text_json("family/tokenizer.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_json *config = NULL;
        tsr_tokenizer *t = NULL;
        assert_int_equal(tsr_json_parse(&config, cases[i].config, strlen(cases[i].config), "c"), TSR_OK);
        assert_int_equal(tsr_tokenizer_parse(&t, tsr_json_root(json), tsr_json_root(config), cases[i].beside),
                         TSR_OK);
        assert_int_equal(tsr_tokenizer_bos(t), cases[i].bos);
        assert_int_equal(tsr_tokenizer_eos(t), cases[i].eos);
        if (cases[i].template)
            assert_string_equal(tsr_tokenizer_chat_template(t), cases[i].template);
        else
            assert_null(tsr_tokenizer_chat_template(t));
        tsr_tokenizer_close(t);
        tsr_json_close(config);
    }
    static const char *const bad[] = {"[]", "{\"bos_token\":7}", "{\"chat_template\":7}",
                                      "{\"chat_template\":[7]}", "{\"eos_token\":{\"content\":[]}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tsr_json *config = NULL;
        tsr_tokenizer *t = NULL;
        assert_int_equal(tsr_json_parse(&config, bad[i], strlen(bad[i]), "c"), TSR_OK);
        assert_int_equal(tsr_tokenizer_parse(&t, tsr_json_root(json), tsr_json_root(config), NULL),
                         TSR_E_FORMAT);
        assert_null(t);
        tsr_json_close(config);
    }
    tsr_json_close(json);
}

/* ---- files that are none ---- */

/* A small tokenizer in parts, so that a test can put another one in. */
typedef struct parts {
    const char *added, *normalizer, *pre, *post, *decoder, *model;
} parts;

#define SPLIT                                                                                                \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{L}+\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define MODEL(more, vocab, merges) "{\"type\":\"BPE\"," more "\"vocab\":" vocab ",\"merges\":" merges "}"
#define VOCAB "{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3}"
#define ADDED(id, content) "[{\"id\":" id ",\"content\":" content ",\"special\":true}]"
#define POST(single, special)                                                                                \
    "{\"type\":\"TemplateProcessing\",\"single\":" single ",\"special_tokens\":" special "}"

static const parts good = {
    ADDED("3", "\"<s>\""),
    "null",
    "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT "," BYTES "]}",
    "null",
    "{\"type\":\"ByteLevel\"}",
    MODEL("", VOCAB, "[\"a b\"]"),
};

static tsr_status parse_parts(tsr_tokenizer **out, parts p)
{
#define TAKE(field) (p.field ? p.field : good.field)
    char text[8192];
    int n = snprintf(text, sizeof text,
                     "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,"
                     "\"decoder\":%s,\"model\":%s}",
                     TAKE(added), TAKE(normalizer), TAKE(pre), TAKE(post), TAKE(decoder), TAKE(model));
#undef TAKE
    assert_in_range(n, 1, sizeof text - 1);
    tsr_json *json = NULL;
    tsr_status st = tsr_json_parse(&json, text, (size_t)n, "tokenizer.json");
    if (st) return st;
    st = tsr_tokenizer_parse(out, tsr_json_root(json), NULL, NULL);
    tsr_json_close(json);
    return st;
}

static void what_is_not_supported_is_named(void **state)
{
    (void)state;
    static const struct {
        parts with;
        tsr_status status;
        const char *says;
    } cases[] = {
        {{.normalizer = "{\"type\":\"NFC\"}"}, TSR_E_UNSUPPORTED, "normalizer: 'NFC'"},
        {{.decoder = "null"}, TSR_E_UNSUPPORTED, "decoder: null"},
        {{.decoder = "{\"type\":\"Metaspace\"}"}, TSR_E_UNSUPPORTED, "decoder: 'Metaspace'"},
        {{.decoder = "{}"}, TSR_E_FORMAT, "decoder has no 'type'"},
        {{.pre = "null"}, TSR_E_UNSUPPORTED, "pre_tokenizer: null"},
        {{.pre = "{\"type\":\"Metaspace\"}"}, TSR_E_UNSUPPORTED, "pre_tokenizer: 'Metaspace'"},
        {{.pre = "{\"type\":\"ByteLevel\"}"}, TSR_E_UNSUPPORTED, "add_prefix_space"},
        {{.pre = BYTES}, TSR_E_UNSUPPORTED, "use_regex false and no Split"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT "]}"},
         TSR_E_UNSUPPORTED,
         "without ByteLevel"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT "," SPLIT "," BYTES "]}"},
         TSR_E_UNSUPPORTED,
         "'Split'"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT "," BYTES "," BYTES "]}"},
         TSR_E_UNSUPPORTED,
         "after ByteLevel"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"}," BYTES "]}"},
         TSR_E_UNSUPPORTED,
         "'Digits'"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\" "
                 "\"},\"behavior\":"
                 "\"Isolated\"}," BYTES "]}"},
         TSR_E_UNSUPPORTED,
         "plain string"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\" "
                 "\"},\"behavior\":"
                 "\"Removed\"}," BYTES "]}"},
         TSR_E_UNSUPPORTED,
         "behavior 'Removed'"},
        {{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"}"
                 ",\"behavior\":"
                 "\"Isolated\"}," BYTES "]}"},
         TSR_E_FORMAT,
         "does not compile"},
        {{.pre = "[]"}, TSR_E_FORMAT, "an array where an object was wanted"},
        {{.post = "{\"type\":\"BertProcessing\"}"}, TSR_E_UNSUPPORTED, "post_processor: 'BertProcessing'"},
        {{.post = POST("[{\"Sequence\":{\"id\":\"B\"}}]", "{}")}, TSR_E_UNSUPPORTED, "as $A"},
        {{.post = POST("[]", "{}")}, TSR_E_FORMAT, "the text is not in it"},
        {{.post = POST("[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}]", "{}")},
         TSR_E_FORMAT,
         "'x' is missing"},
        {{.post = POST("[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}]",
                       "{\"x\":{\"ids\":[77]}}")},
         TSR_E_FORMAT,
         "id 77"},
        {{.post = POST("[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{\"id\":\"A\"}}]",
                       "{\"x\":{\"ids\":[-1]}}")},
         TSR_E_FORMAT,
         "id that is none"},
        {{.model = "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}"}, TSR_E_UNSUPPORTED, "'WordPiece'"},
        {{.model = "{\"vocab\":{\"a\":0}}"}, TSR_E_FORMAT, "model has no 'type'"},
        {{.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"<s>\":3}}"}, TSR_E_FORMAT, "'merges' is missing"},
        {{.model = "{\"type\":\"BPE\",\"merges\":[]}"}, TSR_E_FORMAT, "'vocab' is missing"},
        {{.model = MODEL("", "{}", "[]"), .added = "[]"}, TSR_E_FORMAT, "the vocabulary is empty"},
        {{.model = MODEL("\"byte_fallback\":true,", VOCAB, "[]")},
         TSR_E_UNSUPPORTED,
         "byte_fallback is true"},
        {{.model = MODEL("\"dropout\":0.1,", VOCAB, "[]")}, TSR_E_UNSUPPORTED, "dropout is 0.1"},
        {{.model = MODEL("\"end_of_word_suffix\":\"</w>\",", VOCAB, "[]")}, TSR_E_UNSUPPORTED, "'</w>'"},
        {{.model = MODEL("\"continuing_subword_prefix\":\"##\",", VOCAB, "[]")}, TSR_E_UNSUPPORTED, "'##'"},
        {{.model = MODEL("\"unk_token\":\"x\",", VOCAB, "[]")}, TSR_E_FORMAT, "unk_token 'x'"},
        {{.model = MODEL("\"ignore_merges\":1,", VOCAB, "[]")}, TSR_E_FORMAT, "a boolean was wanted"},
        {{.model = MODEL("", VOCAB, "[\"ab\"]")}, TSR_E_FORMAT, "merges[0]: 'ab' is not two tokens"},
        {{.model = MODEL("", VOCAB, "[\"a b a\"]")}, TSR_E_FORMAT, "is not two tokens"},
        {{.model = MODEL("", VOCAB, "[\"a c\"]")}, TSR_E_FORMAT, "'c' is not in the vocabulary"},
        {{.model = MODEL("", VOCAB, "[\"a b\",\"b a\"]")},
         TSR_E_FORMAT,
         "merges[1]: 'b' and 'a' merge into nothing"},
        {{.model = MODEL("", VOCAB, "[[\"a\"]]")}, TSR_E_FORMAT, "not two strings"},
        {{.model = MODEL("", VOCAB, "[[\"a\",\"b\",\"a\"]]")}, TSR_E_FORMAT, "more than two"},
        {{.model = MODEL("", VOCAB, "[7]")}, TSR_E_FORMAT, "a number where a string"},
        {{.model = MODEL("", "{\"a\":0,\"b\":0}", "[]")}, TSR_E_FORMAT, "two tokens have id 0"},
        {{.model = MODEL("", "{\"a\":-1}", "[]")}, TSR_E_FORMAT, "the id of token 'a'"},
        {{.model = MODEL("", "{\"a\":1.5}", "[]")}, TSR_E_FORMAT, "the id of token 'a'"},
        {{.model = MODEL("", "{\"a\":\"0\"}", "[]")}, TSR_E_FORMAT, "the id of token 'a'"},
        {{.model = MODEL("", "{\"a\":1048576}", "[]")}, TSR_E_LIMIT, "the limit is 1048576 ids"},
        {{.model = MODEL("", "{\"\":0}", "[]")}, TSR_E_FORMAT, "token 0 is empty"},
        {{.added = ADDED("-1", "\"x\"")}, TSR_E_FORMAT, "added_tokens[0]: 'id'"},
        {{.added = ADDED("1048576", "\"x\"")}, TSR_E_LIMIT, "added_tokens[0]: 'id'"},
        {{.added = ADDED("9", "\"\"")}, TSR_E_FORMAT, "'content' is empty"},
        {{.added = ADDED("9", "7")}, TSR_E_FORMAT, "'content' is a number"},
        {{.added = "[{\"content\":\"x\"}]"}, TSR_E_FORMAT, "'id' is missing"},
        {{.added = "[7]"}, TSR_E_FORMAT, "added_tokens[0]: not an object"},
        {{.added = "{}"}, TSR_E_FORMAT, "'added_tokens' is an object"},
        {{.added = ADDED("9", "\"a\"")}, TSR_E_FORMAT, "has id 9, but 0 in the vocabulary"},
        {{.added = ADDED("0", "\"x\"")}, TSR_E_FORMAT, "another token in the vocabulary"},
        {{.added = "[{\"id\":8,\"content\":\"x\"},{\"id\":9,\"content\":\"x\"}]"}, TSR_E_FORMAT, "'x' twice"},
        {{.added = "[{\"id\":9,\"content\":\"x\"},{\"id\":9,\"content\":\"y\"}]"},
         TSR_E_FORMAT,
         "two added tokens have id 9"},
    };
    tsr_tokenizer *t = NULL;
    assert_int_equal(parse_parts(&t, good), TSR_OK);
    tsr_tokenizer_close(t);
    t = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse_parts(&t, cases[i].with), cases[i].status);
        assert_null(t);
        if (!strstr(tsr_message(), cases[i].says))
            fail_msg("'%s' does not say '%s'", tsr_message(), cases[i].says);
    }
}

/* A vocabulary may hold a control token that text could spell as one piece; text must not reach it. */
static void text_never_merges_into_a_special_token(void **state)
{
    (void)state;
    static const char *const models[] = {
        MODEL("\"ignore_merges\":true,", "{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b\"]"),
        MODEL("\"ignore_merges\":false,", "{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b\"]"),
    };
    for (int i = 0; i < 2; i++) {
        tsr_tokenizer *t = NULL;
        assert_int_equal(parse_parts(&t, (parts){.added = ADDED("2", "\"ab\""), .model = models[i]}), TSR_OK);
        tsr_ids ids = {0};
        assert_int_equal(tsr_tokenizer_encode(t, &ids, "ab", 2, (tsr_encode_opts){0}), TSR_OK);
        assert_int_equal(ids.n, 2);
        assert_int_equal(ids.items[0], 0);
        assert_int_equal(ids.items[1], 1);
        ids.n = 0;
        assert_int_equal(tsr_tokenizer_encode(t, &ids, "ab", 2, parse_special), TSR_OK);
        assert_int_equal(ids.n, 1);
        assert_int_equal(ids.items[0], 2);
        tsr_ids_close(&ids);
        tsr_tokenizer_close(t);
    }
}

static void nul_bytes_are_text(void **state)
{
    (void)state;
    tsr_tokenizer *t = text_tokenizer("family");
    tsr_ids ids = {0};
    assert_int_equal(tsr_tokenizer_encode(t, &ids, "<s>\0<s\0", 7, parse_special), TSR_OK);
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(ids.items[0], 1);
    assert_int_equal(tsr_tokenizer_decode(t, &text, &bytes, ids.items, ids.n, false), TSR_OK);
    assert_int_equal(bytes, 7);
    assert_memory_equal(text, "<s>\0<s\0", 7);
    tsr_free(text);
    tsr_ids_close(&ids);
    tsr_tokenizer_close(t);
}

static void too_much_text_is_refused(void **state)
{
    (void)state;
    tsr_tokenizer *t = text_tokenizer("family");
    tsr_ids ids = {0};
    assert_int_equal(tsr_ids_push(&ids, 5), TSR_OK);
    assert_int_equal(tsr_tokenizer_encode(t, &ids, "", TSR_MAX_TEXT_BYTES + 1, parse_special), TSR_E_LIMIT);
    assert_int_equal(ids.n, 1);
    tsr_ids_close(&ids);
    tsr_tokenizer_close(t);
}

/* One word of a megabyte: the time must not grow with its square. */
static void a_very_long_word_is_no_trouble(void **state)
{
    (void)state;
    enum { BYTES_N = 1 << 20 };
    char *text = malloc(BYTES_N);
    assert_non_null(text);
    for (int i = 0; i < BYTES_N; i++) text[i] = "theimage"[i % 8];
    for (int i = 0; i < N_NAMES; i++) {
        tsr_tokenizer *t = text_tokenizer(names[i]);
        tsr_ids ids = {0};
        assert_int_equal(tsr_tokenizer_encode(t, &ids, text, BYTES_N, parse_special), TSR_OK);
        char *back = NULL;
        size_t bytes = 0;
        assert_int_equal(tsr_tokenizer_decode(t, &back, &bytes, ids.items, ids.n, false), TSR_OK);
        assert_int_equal(bytes, BYTES_N);
        assert_memory_equal(back, text, BYTES_N);
        tsr_free(back);
        tsr_ids_close(&ids);
        tsr_tokenizer_close(t);
    }
    free(text);
}

static tsr_status open_and_encode(void)
{
    tsr_tokenizer *t = NULL;
    tsr_ids ids = {0};
    char *text = NULL;
    size_t bytes = 0;
    tsr_status st = tsr_tokenizer_open(&t, TEXT_FOLDER "gpt2"); /* through PCRE2 */
    if (!st) st = tsr_tokenizer_encode(t, &ids, "a word <mask>\xFF", 14, (tsr_encode_opts){true, true});
    if (!st) st = tsr_tokenizer_decode(t, &text, &bytes, ids.items, ids.n, false);
    tsr_free(text);
    tsr_ids_close(&ids);
    tsr_tokenizer_close(t);
    return st;
}

/* The JSON reader has a test of its own and thousands of allocations; here those that come after it are
 * failed too, with a step that is prime to most counts. */
static void no_memory_is_a_message_and_no_leak(void **state)
{
    (void)state;
    int64_t before = tsr_alloc_count();
    assert_int_equal(open_and_encode(), TSR_OK);
    int64_t all = tsr_alloc_count() - before;
    for (int64_t n = 1; n <= all; n += n > all - 400 ? 1 : 7) {
        tsr_alloc_fail_at(n, 0);
        tsr_status st = open_and_encode();
        tsr_alloc_fail_at(0, 0);
        if (st != TSR_E_NOMEM && st != TSR_OK) fail_msg("allocation %lld: %s", (long long)n, tsr_message());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_text_encodes_as_the_reference_does),
        cmocka_unit_test(random_strings_encode_as_the_reference_does),
        cmocka_unit_test(ids_decode_as_the_reference_does),
        cmocka_unit_test(text_survives_the_round_trip),
        cmocka_unit_test(ill_formed_utf8_becomes_replacement_characters),
        cmocka_unit_test(tokens_are_found_by_name),
        cmocka_unit_test(a_file_is_opened_by_its_own_path_too),
        cmocka_unit_test(the_config_names_tokens_and_template),
        cmocka_unit_test(what_is_not_supported_is_named),
        cmocka_unit_test(text_never_merges_into_a_special_token),
        cmocka_unit_test(nul_bytes_are_text),
        cmocka_unit_test(too_much_text_is_refused),
        cmocka_unit_test(a_very_long_word_is_no_trouble),
        cmocka_unit_test(no_memory_is_a_message_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
