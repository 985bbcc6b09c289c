/* lm/tokenizer.c: text to token ids and back. */
#include "lm/tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "lm/added.h"
#include "lm/bpe.h"
#include "lm/field.h"
#include "lm/pretokenize.h"
#include "lm/tokenizer_json.h"
#include "lm/utf8.h"
#include "lm/vocab.h"

struct tsr_tokenizer {
    tsr_added added;
    tsr_vocab vocab;
    tsr_bpe bpe;
    tsr_splitter *splitter;
    tsr_ids prefix, suffix; /* what the post-processor puts around a text */
    int32_t bos, eos;
    char *chat_template;
};

/* ---- opening ---- */

/* The id of tokenizer_config's bos_token or eos_token: a string, or an object with the string as its
 * content. */
static tsr_status read_named_token(int32_t *id, const tsr_tokenizer *t, const tsr_json_value *config,
                                   const char *key)
{
    const tsr_json_value *value = tsr_json_find(config, key);
    const char *content = NULL;
    if (value && tsr_json_kind_of(value) == TSR_JSON_OBJECT) {
        tsr_status st = tsr_field_string(&content, value, "content");
        if (st) return tsr_wrap(st, "%s", key);
    } else {
        tsr_status st = tsr_field_string(&content, config, key);
        if (st) return st;
    }
    if (!content) return TSR_OK;
    *id = tsr_tokenizer_find(t, content);
    if (*id < 0) tsr_log(TSR_LOG_WARN, "%s '%.64s' is not in the vocabulary and is ignored", key, content);
    return TSR_OK;
}

/* A template is a string, or a list of named ones of which "default" is meant. */
static tsr_status read_template(const char **out, const tsr_json_value *config)
{
    const tsr_json_value *value = tsr_json_find(config, "chat_template");
    if (!value || tsr_json_kind_of(value) != TSR_JSON_ARRAY)
        return tsr_field_string(out, config, "chat_template");
    for (const tsr_json_value *entry = tsr_json_first(value); entry; entry = tsr_json_next(entry)) {
        if (tsr_json_kind_of(entry) != TSR_JSON_OBJECT)
            return tsr_fail(TSR_E_FORMAT, "'chat_template' lists something that is not an object");
        const char *name = NULL;
        tsr_status st = tsr_field_string(&name, entry, "name");
        if (!st && name && strcmp(name, "default") == 0) st = tsr_field_string(out, entry, "template");
        if (st) return tsr_wrap(st, "chat_template");
    }
    return TSR_OK;
}

static tsr_status read_config(tsr_tokenizer *t, const tsr_json_value *config, const char *template)
{
    t->bos = t->eos = -1;
    if (config && tsr_json_kind_of(config) != TSR_JSON_OBJECT) return tsr_fail(TSR_E_FORMAT, "not an object");
    if (config) {
        tsr_status st = read_named_token(&t->bos, t, config, "bos_token");
        if (!st) st = read_named_token(&t->eos, t, config, "eos_token");
        if (!st && !template) st = read_template(&template, config);
        if (st) return st;
        bool clean_up = false;
        st = tsr_field_bool(&clean_up, config, "clean_up_tokenization_spaces");
        if (st) return st;
        if (clean_up)
            tsr_log(TSR_LOG_INFO, "clean_up_tokenization_spaces is true; decoded text is left as it is");
    }
    if (!template) return TSR_OK;
    if (strlen(template) > TSR_MAX_TEMPLATE_BYTES)
        return tsr_fail(TSR_E_LIMIT, "the chat template has %zu bytes, the limit is %zu", strlen(template),
                        TSR_MAX_TEMPLATE_BYTES);
    t->chat_template = tsr_strdup(template);
    return t->chat_template ? TSR_OK : tsr_fail(TSR_E_NOMEM, "no memory for the chat template");
}

/* Every id that the post-processor adds must exist. */
static tsr_status check_affixes(const tsr_tokenizer *t)
{
    const tsr_ids *lists[] = {&t->prefix, &t->suffix};
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < lists[k]->n; i++)
            if (lists[k]->items[i] >= t->vocab.n || !t->vocab.tokens[lists[k]->items[i]].flags)
                return tsr_fail(TSR_E_FORMAT, "post_processor: id %d is not in the vocabulary",
                                (int)lists[k]->items[i]);
    return TSR_OK;
}

static tsr_status read_tokenizer(tsr_tokenizer *t, const tsr_json_value *root)
{
    if (tsr_json_kind_of(root) != TSR_JSON_OBJECT) return tsr_fail(TSR_E_FORMAT, "not an object");
    tsr_status st = tsr_tokenizer_json_check(root);
    if (st) return st;

    const tsr_json_value *added = NULL, *model = NULL, *tokens = NULL;
    st = tsr_field(&added, root, "added_tokens", TSR_JSON_ARRAY);
    if (!st) st = tsr_field_needed(&model, root, "model", TSR_JSON_OBJECT);
    if (!st) st = tsr_field_needed(&tokens, model, "vocab", TSR_JSON_OBJECT);
    if (!st) st = tsr_added_open(&t->added, added);
    if (!st) st = tsr_vocab_open(&t->vocab, tokens, &t->added);
    if (!st) st = tsr_bpe_open(&t->bpe, &t->vocab, model);
    if (st) return st;

    const char *pattern = NULL;
    st = tsr_tokenizer_json_pattern(&pattern, root);
    if (!st) st = tsr_splitter_open(&t->splitter, pattern, true);
    if (!st) st = tsr_tokenizer_json_affixes(&t->prefix, &t->suffix, root);
    return st ? st : check_affixes(t);
}

tsr_status tsr_tokenizer_parse(tsr_tokenizer **out, const tsr_json_value *tokenizer,
                               const tsr_json_value *config, const char *template)
{
    tsr_tokenizer *t = tsr_calloc(1, sizeof *t);
    if (!t) return tsr_fail(TSR_E_NOMEM, "no memory for a tokenizer");
    tsr_status st = read_tokenizer(t, tokenizer);
    if (st) {
        tsr_wrap(st, "tokenizer.json");
        goto fail;
    }
    st = read_config(t, config, template);
    if (st) {
        tsr_wrap(st, "tokenizer_config.json");
        goto fail;
    }
    *out = t;
    return TSR_OK;

fail:
    tsr_tokenizer_close(t);
    return st;
}

void tsr_tokenizer_close(tsr_tokenizer *t)
{
    if (!t) return;
    tsr_splitter_close(t->splitter);
    tsr_bpe_close(&t->bpe);
    tsr_vocab_close(&t->vocab);
    tsr_added_close(&t->added);
    tsr_ids_close(&t->prefix);
    tsr_ids_close(&t->suffix);
    tsr_free(t->chat_template);
    tsr_free(t);
}

/* The files of one tokenizer: the config and the template may be absent. */
typedef struct documents {
    tsr_json *tokenizer, *config;
    unsigned char *template;
} documents;

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static tsr_status no_memory_for_path(void)
{
    return tsr_fail(TSR_E_NOMEM, "no memory for a path");
}

static tsr_status read_config_file(documents *d, const char *folder)
{
    char *path = tsr_path_join(folder, "tokenizer_config.json");
    if (!path) return no_memory_for_path();
    tsr_status st = exists(path) ? tsr_json_open(&d->config, path, TSR_MAX_TOKENIZER_BYTES) : TSR_OK;
    tsr_free(path);
    return st;
}

static tsr_status read_template_file(documents *d, const char *folder)
{
    char *path = tsr_path_join(folder, "chat_template.jinja");
    if (!path) return no_memory_for_path();
    size_t bytes = 0;
    tsr_status st = exists(path) ? tsr_file_read(&d->template, &bytes, path, TSR_MAX_TEMPLATE_BYTES) : TSR_OK;
    tsr_free(path);
    return st;
}

static char *folder_of(const char *path, bool is_folder)
{
    char *folder = tsr_strdup(is_folder || strchr(path, '/') ? path : ".");
    char *slash = folder && !is_folder ? strrchr(folder, '/') : NULL;
    if (slash) slash[1] = '\0';
    return folder;
}

/* path is the folder, or a file in it. */
static tsr_status read_documents(documents *d, const char *path)
{
    struct stat info;
    bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    char *folder = folder_of(path, is_folder);
    char *file = is_folder ? tsr_path_join(path, "tokenizer.json") : tsr_strdup(path);
    tsr_status st = folder && file ? TSR_OK : no_memory_for_path();
    if (!st) st = tsr_json_open(&d->tokenizer, file, TSR_MAX_TOKENIZER_BYTES);
    if (!st) st = read_config_file(d, folder);
    if (!st) st = read_template_file(d, folder);
    tsr_free(folder);
    tsr_free(file);
    return st;
}

tsr_status tsr_tokenizer_open(tsr_tokenizer **out, const char *path)
{
    documents d = {0};
    tsr_status st = read_documents(&d, path);
    if (!st) {
        st = tsr_tokenizer_parse(out, tsr_json_root(d.tokenizer), d.config ? tsr_json_root(d.config) : NULL,
                                 (const char *)d.template);
        if (st) tsr_wrap(st, "%s", path);
    }
    tsr_json_close(d.tokenizer);
    tsr_json_close(d.config);
    tsr_free(d.template);
    return st;
}

/* ---- encoding ---- */

typedef struct encoder {
    const tsr_tokenizer *t;
    tsr_ids *ids;
    tsr_bpe_scratch scratch;
} encoder;

static tsr_status encode_piece(void *user, const char *piece, size_t bytes)
{
    encoder *e = user;
    return tsr_bpe_encode(&e->t->bpe, &e->scratch, e->ids, piece, bytes);
}

static tsr_status encode_plain(encoder *e, const char *text, size_t bytes)
{
    return tsr_split(e->t->splitter, text, bytes, encode_piece, e);
}

/* Added tokens of this pass become ids; what is between them goes to the next pass, and last to the model. */
static tsr_status encode_pass(encoder *e, const char *text, size_t bytes, int pass)
{
    if (pass == 2) return encode_plain(e, text, bytes);
    size_t from = 0, search = 0;
    tsr_added_match m;
    while (tsr_added_next(&e->t->added, &m, pass, text, bytes, from, search)) {
        tsr_status st = m.begin > from ? encode_pass(e, text + from, m.begin - from, pass + 1) : TSR_OK;
        if (!st) st = tsr_ids_push(e->ids, m.token->id);
        if (st) return st;
        from = m.end;
        search = m.resume;
    }
    return from < bytes ? encode_pass(e, text + from, bytes - from, pass + 1) : TSR_OK;
}

static tsr_status push_all(tsr_ids *ids, const tsr_ids *more)
{
    tsr_status st = TSR_OK;
    for (int64_t i = 0; i < more->n && !st; i++) st = tsr_ids_push(ids, more->items[i]);
    return st;
}

tsr_status tsr_tokenizer_encode(const tsr_tokenizer *t, tsr_ids *ids, const char *text, size_t bytes,
                                tsr_encode_opts opts)
{
    if (bytes > TSR_MAX_TEXT_BYTES)
        return tsr_fail(TSR_E_LIMIT, "a text of %zu bytes, the limit is %zu", bytes, TSR_MAX_TEXT_BYTES);
    char *repaired = NULL;
    if (tsr_utf8_valid(text, bytes) < bytes) {
        repaired = tsr_alloc(3 * bytes);
        if (!repaired) return tsr_fail(TSR_E_NOMEM, "no memory for a text of %zu bytes", bytes);
        bytes = tsr_utf8_repair(repaired, text, bytes);
        text = repaired;
    }
    encoder e = {.t = t, .ids = ids};
    int64_t before = ids->n;
    tsr_status st = opts.add_special ? push_all(ids, &t->prefix) : TSR_OK;
    if (!st) st = encode_pass(&e, text, bytes, opts.parse_special ? 0 : 2);
    if (!st && opts.add_special) st = push_all(ids, &t->suffix);
    if (st) ids->n = before;
    tsr_bpe_scratch_close(&e.scratch);
    tsr_free(repaired);
    return st;
}

/* ---- decoding ---- */

const char *tsr_tokenizer_piece(const tsr_tokenizer *t, int32_t id, size_t *bytes)
{
    bool known = id >= 0 && id < t->vocab.n;
    *bytes = known ? t->vocab.tokens[id].bytes : 0;
    return known ? t->vocab.text + t->vocab.tokens[id].at : "";
}

tsr_status tsr_tokenizer_decode(const tsr_tokenizer *t, char **text, size_t *bytes, const int32_t *ids,
                                int64_t n, bool skip_special)
{
    size_t total = 0, length;
    for (int64_t i = 0; i < n; i++) {
        tsr_tokenizer_piece(t, ids[i], &length);
        if (length > (SIZE_MAX / 4) - total) return tsr_fail(TSR_E_LIMIT, "too many tokens to decode");
        total += length;
    }
    char *raw = tsr_alloc(total), *fine = tsr_alloc(3 * total + 1);
    if (!raw || !fine) {
        tsr_free(raw);
        tsr_free(fine);
        return tsr_fail(TSR_E_NOMEM, "no memory to decode %lld tokens", (long long)n);
    }
    total = 0;
    for (int64_t i = 0; i < n; i++) {
        if (skip_special && tsr_tokenizer_special(t, ids[i])) continue;
        const char *piece = tsr_tokenizer_piece(t, ids[i], &length);
        memcpy(raw + total, piece, length);
        total += length;
    }
    *bytes = tsr_utf8_repair(fine, raw, total);
    fine[*bytes] = '\0';
    *text = fine;
    tsr_free(raw);
    return TSR_OK;
}

int32_t tsr_tokenizer_find_added(const tsr_tokenizer *t, const char *text)
{
    const tsr_added_token *a = tsr_added_find(&t->added, text, strlen(text));
    return a ? a->id : -1;
}

int32_t tsr_tokenizer_find(const tsr_tokenizer *t, const char *text)
{
    int32_t id = tsr_tokenizer_find_added(t, text);
    return id >= 0 ? id : tsr_vocab_find(&t->vocab, text, strlen(text));
}

int32_t tsr_tokenizer_vocab(const tsr_tokenizer *t)
{
    return t->vocab.n;
}

bool tsr_tokenizer_special(const tsr_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.tokens[id].flags & TSR_TOKEN_SPECIAL;
}

int32_t tsr_tokenizer_bos(const tsr_tokenizer *t)
{
    return t->bos;
}

int32_t tsr_tokenizer_eos(const tsr_tokenizer *t)
{
    return t->eos;
}

const tsr_ids *tsr_tokenizer_prefix(const tsr_tokenizer *t)
{
    return &t->prefix;
}

const char *tsr_tokenizer_chat_template(const tsr_tokenizer *t)
{
    return t->chat_template;
}
