/* tests/fuzz/prompt.c: any bytes as what a user says.
 *
 * Whatever they are, in every format: no control token comes of them, no byte of well-formed text is lost, and a stream of
 * them gives the same text however it is cut.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "lm/chat.h"
#include "lm/pretokenize.h"
#include "lm/stop.h"
#include "lm/utf8.h"
#include "tests/fuzz/fuzz.h"

enum { N_CONTROLS = 15, N_FORMATS = 6, MAX_TEXT = 4096 };

static const char *const controls[N_CONTROLS] = {
    "<s>",          "</s>",       "<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>",
    "<|im_start|>", "<|im_end|>", "<think>",      "</think>",     "<img>",
    "</img>",       "<Image>",    "</Image>",     "<image>",      "<tile_01>"};
static const char *const merges[][2] = {{"t", "h"},  {"th", "e"}, {"i", "m"}, {"<", "s"},
                                        {"</", "s"}, {"<", "/"},  {"1", "1"}};

static tsr_tokenizer *tokenizer;
static tsr_chat *chats[N_FORMATS];
static int64_t n_tame[N_FORMATS]; /* control tokens of a prompt without malice */
static tsr_splitter *hand, *pcre;

/* A vocabulary of the controls, all bytes and a few merges, as a tokenizer.json. */
static void open_tokenizer(void)
{
    static char text[65536];
    size_t n = 0;
    int id = 0;
#define ADD(...) n += (size_t)snprintf(text + n, sizeof text - n, __VA_ARGS__)
    ADD("{\"added_tokens\":[");
    for (int i = 0; i < N_CONTROLS; i++)
        ADD("%s{\"id\":%d,\"content\":\"%s\",\"special\":true}", i ? "," : "", i, controls[i]);
    ADD("],\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
        "\"Isolated\","
        "\"pattern\":{\"Regex\":\"");
    for (const char *p = tsr_pattern_family; *p; p++) ADD(*p == '\\' ? "\\\\" : "%c", *p);
    ADD("\"}},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{"
        "\"type\":\"ByteLevel\"},"
        "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{");
    for (int i = 0; i < N_CONTROLS; i++) ADD("\"%s\":%d,", controls[i], id++);
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        int plain = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        ADD("\"\\u%04x\":%d,", plain ? byte : next++, id++);
    }
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        ADD("%s\"%s%s\":%d", i ? "," : "", merges[i][0], merges[i][1], id++);
    ADD("},\"merges\":[");
    for (size_t i = sizeof merges / sizeof *merges; i-- > 0;)
        ADD("[\"%s\",\"%s\"]%s", merges[i][0], merges[i][1], i ? "," : "");
    ADD("]}}");
#undef ADD
    tsr_json *json = NULL;
    FUZZ_CHECK(tsr_json_parse(&json, text, n, "tokenizer.json") == TSR_OK);
    FUZZ_CHECK(tsr_tokenizer_parse(&tokenizer, tsr_json_root(json), NULL, NULL) == TSR_OK);
    tsr_json_close(json);
}

static int64_t count_controls(const tsr_prompt *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->ids.n; i++) n += p->ids.items[i] >= 0 && p->ids.items[i] < N_CONTROLS;
    return n;
}

/* Control tokens of a dialogue in which the user says this twice. */
static int64_t controls_of(int format, const char *text, size_t bytes, bool ends_line)
{
    tsr_prompt p = {0};
    tsr_chat_part part = {.text = text, .bytes = bytes};
    tsr_chat_turn turn = {TSR_CHAT_USER, &part, 1};
    FUZZ_CHECK(tsr_chat_render(chats[format], &p, &turn, 1, TSR_THINK_OFF) == TSR_OK);
    int64_t n = count_controls(&p);
    FUZZ_CHECK(tsr_chat_continue(chats[format], &p, &turn, ends_line, TSR_THINK_OFF) == TSR_OK);
    n += count_controls(&p);
    FUZZ_CHECK(p.n_rows == 0 && p.n_images == 0);
    tsr_prompt_close(&p);
    return n;
}

static void open_all(void)
{
    open_tokenizer();
    FUZZ_CHECK(tsr_splitter_open(&hand, tsr_pattern_family, true) == TSR_OK);
    FUZZ_CHECK(tsr_splitter_open(&pcre, tsr_pattern_family, false) == TSR_OK);
    for (int i = 0; i < N_FORMATS; i++) {
        tsr_chat_opts opts = {.format = tsr_chat_format_name(i), .rows_per_tile = 4};
        FUZZ_CHECK(tsr_chat_open(&chats[i], tokenizer, NULL, opts) == TSR_OK);
        n_tame[i] = controls_of(i, "x", 1, false);
    }
}

typedef struct cuts {
    size_t ends[3 * MAX_TEXT + 1];
    size_t n, at;
} cuts;

static tsr_status note(void *user, const char *piece, size_t bytes)
{
    (void)piece;
    cuts *c = user;
    FUZZ_CHECK(bytes > 0);
    c->at += bytes;
    c->ends[c->n++] = c->at;
    return TSR_OK;
}

static void check_split(const char *text, size_t bytes)
{
    static cuts a, b;
    a.n = a.at = b.n = b.at = 0;
    FUZZ_CHECK(tsr_split(hand, text, bytes, note, &a) == TSR_OK);
    FUZZ_CHECK(tsr_split(pcre, text, bytes, note, &b) == TSR_OK);
    FUZZ_CHECK(a.at == bytes && b.at == bytes);
    for (size_t at = 0; at < bytes;)
        if (tsr_utf8_next(text, &at) >= 0x370) return; /* beyond, PCRE2's Unicode may be another one */
    FUZZ_CHECK(a.n == b.n && memcmp(a.ends, b.ends, a.n * sizeof *a.ends) == 0);
}

static void check_stream(const char *bytes, size_t n, size_t step, const char *wanted, size_t n_wanted)
{
    tsr_stream *s = NULL;
    FUZZ_CHECK(tsr_stream_open(&s, NULL, 0, step == 2) == TSR_OK);
    size_t got = 0;
    for (size_t at = 0; at <= n; at += step) {
        size_t take = n - at < step ? n - at : step;
        tsr_stream_text out = tsr_stream_push(s, bytes + at, take);
        FUZZ_CHECK(out.bytes <= n_wanted - got && memcmp(out.text, wanted + got, out.bytes) == 0);
        got += out.bytes;
    }
    tsr_stream_text out = tsr_stream_end(s);
    FUZZ_CHECK(out.bytes == n_wanted - got && memcmp(out.text, wanted + got, out.bytes) == 0);
    tsr_stream_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!tokenizer) open_all();
    if (n < 1 || n > MAX_TEXT) return 0;
    const char *text = (const char *)data + 1;
    size_t bytes = n - 1;
    static char repaired[3 * MAX_TEXT];
    size_t n_repaired = tsr_utf8_repair(repaired, text, bytes);
    FUZZ_CHECK(tsr_utf8_valid(repaired, n_repaired) == n_repaired);

    tsr_ids ids = {0};
    FUZZ_CHECK(tsr_tokenizer_encode(tokenizer, &ids, text, bytes, (tsr_encode_opts){0}) == TSR_OK);
    for (int64_t i = 0; i < ids.n; i++) FUZZ_CHECK(ids.items[i] >= N_CONTROLS);
    char *decoded = NULL;
    size_t n_decoded = 0;
    FUZZ_CHECK(tsr_tokenizer_decode(tokenizer, &decoded, &n_decoded, ids.items, ids.n, true) == TSR_OK);
    FUZZ_CHECK(n_decoded == n_repaired && memcmp(decoded, repaired, n_decoded) == 0);
    tsr_free(decoded);
    tsr_ids_close(&ids);

    check_split(repaired, n_repaired);
    check_stream(text, bytes, 1 + data[0] % 7, repaired, n_repaired);
    for (int i = 0; i < N_FORMATS; i++) FUZZ_CHECK(controls_of(i, text, bytes, data[0] & 1) == n_tame[i]);
    return 0;
}
