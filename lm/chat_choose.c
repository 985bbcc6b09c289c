/* lm/chat_choose.c: which format a checkpoint wants, and where its answers end. */
#include <string.h>

#include "base/log.h"
#include "lm/chat_format.h"
#include "lm/field.h"

static const tsr_chat_format *by_name(const char *name)
{
    for (int i = 0; i < TSR_N_CHAT_FORMATS; i++)
        if (strcmp(tsr_chat_formats[i].name, name) == 0) return &tsr_chat_formats[i];
    return NULL;
}

#define NAMES "base, h-reasoning, nano-v2, nemotron-3, internvl, nvlm"

typedef struct evidence {
    const tsr_tokenizer *tokenizer;
    const char *config_template, *image_tag_type; /* "" when absent */
    bool has_vision;
} evidence;

static bool says(const evidence *e, const char *text)
{
    return strstr(tsr_tokenizer_chat_template(e->tokenizer), text) != NULL;
}

static bool has_token(const evidence *e, const char *text)
{
    return tsr_tokenizer_find_added(e->tokenizer, text) >= 0;
}

/* The H layout with tile tags is a format of its own. */
static const char *h_layout(const evidence *e)
{
    return strcmp(e->image_tag_type, "nvlm") == 0 ? "nvlm" : "h-reasoning";
}

/* config.json's `template` names a conversation of the code that came with the checkpoint, or one of ours. */
static const char *by_config(const evidence *e)
{
    if (by_name(e->config_template)) return e->config_template;
    if (strncmp(e->config_template, "internvl", 8) == 0) return "internvl";
    if (strcmp(e->config_template, "nemotron5-aligned") == 0 ||
        strcmp(e->config_template, "nemotron-h-aligned") == 0)
        return h_layout(e);
    return NULL;
}

/* The texts below are in the published templates of one format and in none of the others. */
static const char *by_chat_template(const evidence *e)
{
    if (says(e, "<SPECIAL_11>"))
        return says(e, "/no_think") && says(e, "<SPECIAL_12>") ? "nano-v2" : h_layout(e);
    if (says(e, "<|im_start|>")) {
        if (says(e, "enable_thinking") || says(e, "<think>")) return "nemotron-3";
        if (e->has_vision) return "internvl";
    }
    return NULL;
}

/* A vision model without a chat template: by its image tags. */
static const char *by_tokens(const evidence *e)
{
    bool untold = strcmp(e->image_tag_type, "") == 0;
    if (has_token(e, "<SPECIAL_11>")) {
        if (strcmp(e->image_tag_type, "nvlm") == 0 || (untold && has_token(e, "<tile_global_thumbnail>")))
            return "nvlm";
        if (strcmp(e->image_tag_type, "internvl") == 0 && has_token(e, "<SPECIAL_12>")) return "nano-v2";
    }
    return has_token(e, "<|im_start|>") && has_token(e, "<|im_end|>") ? "internvl" : "base";
}

static tsr_status gather_evidence(evidence *e, const tsr_tokenizer *tokenizer, const tsr_json_value *config)
{
    *e = (evidence){.tokenizer = tokenizer};
    if (config && tsr_json_kind_of(config) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "config: not an object");
    const tsr_json_value *vision = NULL;
    tsr_status st = config ? tsr_field_string(&e->config_template, config, "template") : TSR_OK;
    if (!st && config) st = tsr_field_string(&e->image_tag_type, config, "image_tag_type");
    if (!st && config) st = tsr_field(&vision, config, "vision_config", TSR_JSON_OBJECT);
    if (!e->config_template) e->config_template = "";
    if (!e->image_tag_type) e->image_tag_type = "";
    e->has_vision = vision != NULL;
    return st;
}

tsr_status tsr_chat_choose(const tsr_chat_format **out, const tsr_tokenizer *tokenizer,
                           const tsr_json_value *config, const char *name)
{
    if (name) {
        const tsr_chat_format *format = by_name(name);
        if (!format) return tsr_fail(TSR_E_ARG, "no prompt format is called '%.64s'; there are " NAMES, name);
        *out = format;
        return TSR_OK;
    }
    evidence e;
    tsr_status st = gather_evidence(&e, tokenizer, config);
    if (st) return st;

    const char *why = "config.json's template", *chosen = by_config(&e);
    if (!chosen && *e.config_template)
        tsr_log(TSR_LOG_INFO, "config.json's template '%.64s' is not known; looking further",
                e.config_template);
    if (!chosen && tsr_tokenizer_chat_template(tokenizer)) {
        why = "the chat template";
        chosen = by_chat_template(&e);
        if (!chosen)
            return tsr_fail(TSR_E_UNSUPPORTED,
                            "the chat template is none that is known; choose one of " NAMES);
    }
    if (!chosen) {
        why = e.has_vision ? "its image tokens" : "the lack of a chat template";
        chosen = e.has_vision ? by_tokens(&e) : "base";
    }
    *out = by_name(chosen);
    tsr_log(TSR_LOG_INFO, "prompt format %s, by %s", chosen, why);
    return TSR_OK;
}

/* ---- where answers end ---- */

static tsr_status add_id(tsr_ids *ids, int64_t id)
{
    for (int64_t i = 0; i < ids->n; i++)
        if (ids->items[i] == id) return TSR_OK;
    return tsr_ids_push(ids, (int32_t)id);
}

static tsr_status add_eos(const tsr_chat *chat, tsr_ids *ids, const tsr_json_value *config)
{
    enum { MAX_EOS = 64 };
    const tsr_json_value *eos = tsr_json_find(config, "eos_token_id");
    if (!eos || tsr_json_kind_of(eos) == TSR_JSON_NULL) return TSR_OK;
    bool list = tsr_json_kind_of(eos) == TSR_JSON_ARRAY;
    if (list && tsr_json_count(eos) > MAX_EOS)
        return tsr_fail(TSR_E_LIMIT, "eos_token_id lists %lld ids, the limit is %d",
                        (long long)tsr_json_count(eos), MAX_EOS);
    for (const tsr_json_value *v = list ? tsr_json_first(eos) : eos; v; v = list ? tsr_json_next(v) : NULL) {
        int64_t id;
        if (tsr_json_kind_of(v) != TSR_JSON_NUMBER || !tsr_json_int(v, &id) || id < 0 ||
            id >= tsr_tokenizer_vocab(chat->tokenizer))
            return tsr_fail(TSR_E_FORMAT, "eos_token_id holds what is no id of the vocabulary of %d",
                            (int)tsr_tokenizer_vocab(chat->tokenizer));
        tsr_status st = add_id(ids, id);
        if (st) return st;
    }
    return TSR_OK;
}

/* A config and, under either of its names, that of the language model in it. */
static tsr_status add_config(const tsr_chat *chat, tsr_ids *ids, const tsr_json_value *config)
{
    if (tsr_json_kind_of(config) != TSR_JSON_OBJECT) return tsr_fail(TSR_E_FORMAT, "not an object");
    static const char *const inner[] = {"llm_config", "text_config"};
    tsr_status st = add_eos(chat, ids, config);
    for (int i = 0; i < 2 && !st; i++) {
        const tsr_json_value *llm = NULL;
        st = tsr_field(&llm, config, inner[i], TSR_JSON_OBJECT);
        if (!st && llm) st = add_eos(chat, ids, llm);
    }
    return st;
}

tsr_status tsr_chat_stop_ids(const tsr_chat *chat, tsr_ids *ids, const tsr_json_value *config,
                             const tsr_json_value *generation_config)
{
    tsr_status st = generation_config ? add_config(chat, ids, generation_config) : TSR_OK;
    if (st) return tsr_wrap(st, "generation_config.json");
    st = config ? add_config(chat, ids, config) : TSR_OK;
    if (st) return tsr_wrap(st, "config.json");

    const char *stop = chat->format->stop;
    const int32_t more[] = {tsr_tokenizer_eos(chat->tokenizer),
                            tsr_tokenizer_find_added(chat->tokenizer, "</s>"),
                            stop ? tsr_tokenizer_find_added(chat->tokenizer, stop) : -1};
    for (int i = 0; i < 3 && !st; i++)
        if (more[i] >= 0) st = add_id(ids, more[i]);
    return st;
}

const char *tsr_chat_format_name(int i)
{
    return i >= 0 && i < TSR_N_CHAT_FORMATS ? tsr_chat_formats[i].name : NULL;
}
