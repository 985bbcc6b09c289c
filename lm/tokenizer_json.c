/* lm/tokenizer_json.c: the components of a tokenizer.json around its model. */
#include "lm/tokenizer_json.h"

#include <string.h>

#include "base/log.h"
#include "lm/field.h"
#include "lm/pretokenize.h"
#include "lm/vocab.h"

enum { MAX_AFFIX_IDS = 64 };

static const tsr_json_value *present(const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    return value && tsr_json_kind_of(value) != TSR_JSON_NULL ? value : NULL;
}

static tsr_status unsupported(const char *type, const char *wanted)
{
    return tsr_fail(TSR_E_UNSUPPORTED, "'%.64s' is not supported; wanted %s", type, wanted);
}

tsr_status tsr_tokenizer_json_check(const tsr_json_value *root)
{
    const char *type = NULL;
    const tsr_json_value *normalizer = present(root, "normalizer"), *decoder = present(root, "decoder");
    if (normalizer) {
        tsr_status st = tsr_field_type(&type, normalizer, "normalizer");
        return st ? st
                  : tsr_fail(TSR_E_UNSUPPORTED, "normalizer: '%.64s' is not supported; wanted null", type);
    }
    if (!decoder) return tsr_fail(TSR_E_UNSUPPORTED, "decoder: null is not supported; wanted ByteLevel");
    tsr_status st = tsr_field_type(&type, decoder, "decoder");
    if (st) return st;
    if (strcmp(type, "ByteLevel") != 0) return tsr_wrap(unsupported(type, "ByteLevel"), "decoder");
    if (present(root, "truncation") || present(root, "padding"))
        tsr_log(TSR_LOG_INFO, "tokenizer.json: truncation and padding are ignored");
    return TSR_OK;
}

/* ---- pre_tokenizer ---- */

static tsr_status read_byte_level(bool *use_regex, const tsr_json_value *component)
{
    bool add_space = true; /* both are the reference's defaults */
    *use_regex = true;
    tsr_status st = tsr_field_bool(&add_space, component, "add_prefix_space");
    if (!st) st = tsr_field_bool(use_regex, component, "use_regex");
    if (st) return st;
    if (add_space) return tsr_fail(TSR_E_UNSUPPORTED, "ByteLevel with add_prefix_space is not supported");
    return TSR_OK;
}

static tsr_status read_split(const char **pattern, const tsr_json_value *component)
{
    const tsr_json_value *kind = NULL;
    const char *behavior = NULL, *regex = NULL;
    bool invert = false;
    tsr_status st = tsr_field_needed(&kind, component, "pattern", TSR_JSON_OBJECT);
    if (!st) st = tsr_field_string(&regex, kind, "Regex");
    if (!st) st = tsr_field_string(&behavior, component, "behavior");
    if (!st) st = tsr_field_bool(&invert, component, "invert");
    if (st) return st;
    if (!regex)
        return tsr_fail(TSR_E_UNSUPPORTED, "Split by a plain string is not supported; wanted a Regex");
    if (!behavior || strcmp(behavior, "Isolated") != 0)
        return tsr_fail(TSR_E_UNSUPPORTED, "Split with behavior '%.64s' is not supported; wanted Isolated",
                        behavior ? behavior : "(none)");
    if (invert) return tsr_fail(TSR_E_UNSUPPORTED, "Split with invert is not supported");
    *pattern = regex;
    return TSR_OK;
}

/* [Split, ByteLevel without its own pattern], or [ByteLevel]. */
static tsr_status read_sequence(const char **pattern, const tsr_json_value *list)
{
    const tsr_json_value *component = tsr_json_first(list);
    const char *type = NULL, *split = NULL;
    bool use_regex = false;
    tsr_status st = component ? tsr_field_type(&type, component, "pretokenizers[0]") : TSR_OK;
    if (!st && component && strcmp(type, "Split") == 0) {
        st = read_split(&split, component);
        component = tsr_json_next(component);
        if (!st && component) st = tsr_field_type(&type, component, "pretokenizers[1]");
    }
    if (st) return st;
    if (!component) return tsr_fail(TSR_E_UNSUPPORTED, "a Sequence without ByteLevel is not supported");
    if (strcmp(type, "ByteLevel") != 0) return unsupported(type, "[Split, ByteLevel] or [ByteLevel]");
    st = read_byte_level(&use_regex, component);
    if (st) return st;
    if (split ? use_regex : !use_regex)
        return tsr_fail(TSR_E_UNSUPPORTED, "ByteLevel with use_regex %s %s Split is not supported",
                        use_regex ? "true" : "false", split ? "after" : "and no");
    component = tsr_json_next(component);
    if (component) {
        st = tsr_field_type(&type, component, "pretokenizers");
        return st ? st : unsupported(type, "nothing after ByteLevel");
    }
    *pattern = split ? split : tsr_pattern_gpt2;
    return TSR_OK;
}

static tsr_status read_pre_tokenizer(const char **pattern, const tsr_json_value *component)
{
    const char *type = NULL;
    tsr_status st = tsr_field_type(&type, component, "it");
    if (st) return st;
    if (strcmp(type, "Sequence") == 0) {
        const tsr_json_value *list = NULL;
        st = tsr_field_needed(&list, component, "pretokenizers", TSR_JSON_ARRAY);
        return st ? st : read_sequence(pattern, list);
    }
    if (strcmp(type, "ByteLevel") != 0)
        return unsupported(type, "ByteLevel, or a Sequence of Split and ByteLevel");
    bool use_regex = false;
    st = read_byte_level(&use_regex, component);
    if (st) return st;
    if (!use_regex)
        return tsr_fail(TSR_E_UNSUPPORTED, "ByteLevel with use_regex false and no Split is not supported");
    *pattern = tsr_pattern_gpt2;
    return TSR_OK;
}

tsr_status tsr_tokenizer_json_pattern(const char **pattern, const tsr_json_value *root)
{
    const tsr_json_value *component = present(root, "pre_tokenizer");
    if (!component) return tsr_fail(TSR_E_UNSUPPORTED, "pre_tokenizer: null is not supported");
    tsr_status st = read_pre_tokenizer(pattern, component);
    return st ? tsr_wrap(st, "pre_tokenizer") : TSR_OK;
}

/* ---- post_processor ---- */

/* The ids of one special token of a template, looked up in its own table. */
static tsr_status push_special(tsr_ids *to, const tsr_json_value *table, const char *name)
{
    const tsr_json_value *entry = NULL, *ids = NULL;
    tsr_status st = tsr_field_needed(&entry, table, name, TSR_JSON_OBJECT);
    if (!st) st = tsr_field_needed(&ids, entry, "ids", TSR_JSON_ARRAY);
    if (st) return tsr_wrap(st, "special_tokens");
    for (const tsr_json_value *v = tsr_json_first(ids); v; v = tsr_json_next(v)) {
        int64_t id;
        if (tsr_json_kind_of(v) != TSR_JSON_NUMBER || !tsr_json_int(v, &id) || id < 0 || id >= TSR_MAX_VOCAB)
            return tsr_fail(TSR_E_FORMAT, "special_tokens: '%.64s' has an id that is none", name);
        if (to->n == MAX_AFFIX_IDS)
            return tsr_fail(TSR_E_LIMIT, "more than %d ids around a text", MAX_AFFIX_IDS);
        st = tsr_ids_push(to, (int32_t)id);
        if (st) return st;
    }
    return TSR_OK;
}

static tsr_status read_template(tsr_ids *prefix, tsr_ids *suffix, const tsr_json_value *component)
{
    const tsr_json_value *single = NULL, *table = NULL;
    tsr_status st = tsr_field_needed(&single, component, "single", TSR_JSON_ARRAY);
    if (!st) st = tsr_field_needed(&table, component, "special_tokens", TSR_JSON_OBJECT);
    if (st) return st;
    bool text_seen = false;
    for (const tsr_json_value *v = tsr_json_first(single); v; v = tsr_json_next(v)) {
        if (tsr_json_kind_of(v) != TSR_JSON_OBJECT)
            return tsr_fail(TSR_E_FORMAT, "single: not a list of objects");
        const tsr_json_value *special = NULL, *sequence = NULL;
        st = tsr_field(&special, v, "SpecialToken", TSR_JSON_OBJECT);
        if (!st) st = tsr_field(&sequence, v, "Sequence", TSR_JSON_OBJECT);
        const char *name = NULL;
        if (!st && (special || sequence)) st = tsr_field_string(&name, special ? special : sequence, "id");
        if (st) return tsr_wrap(st, "single");
        if (!name) return tsr_fail(TSR_E_FORMAT, "single: a part that is neither SpecialToken nor Sequence");
        if (special) {
            st = push_special(text_seen ? suffix : prefix, table, name);
            if (st) return st;
        } else if (strcmp(name, "A") != 0 || text_seen) {
            return tsr_fail(TSR_E_UNSUPPORTED, "single: the text must stand in it once, as $A");
        } else {
            text_seen = true;
        }
    }
    return text_seen ? TSR_OK : tsr_fail(TSR_E_FORMAT, "single: the text is not in it");
}

static tsr_status read_post_processor(tsr_ids *prefix, tsr_ids *suffix, const tsr_json_value *component,
                                      bool *templated)
{
    const char *type = NULL;
    tsr_status st = tsr_field_type(&type, component, "it");
    if (st) return st;
    if (strcmp(type, "ByteLevel") == 0) return TSR_OK; /* it moves offsets only */
    if (strcmp(type, "TemplateProcessing") != 0)
        return unsupported(type, "TemplateProcessing, ByteLevel or a Sequence of them");
    if (*templated)
        return tsr_fail(TSR_E_UNSUPPORTED, "two TemplateProcessing in one Sequence are not supported");
    *templated = true;
    st = read_template(prefix, suffix, component);
    return st ? tsr_wrap(st, "TemplateProcessing") : TSR_OK;
}

tsr_status tsr_tokenizer_json_affixes(tsr_ids *prefix, tsr_ids *suffix, const tsr_json_value *root)
{
    const tsr_json_value *component = present(root, "post_processor");
    if (!component) return TSR_OK;
    const char *type = NULL;
    bool templated = false;
    tsr_status st = tsr_field_type(&type, component, "it");
    if (!st && strcmp(type, "Sequence") == 0) {
        const tsr_json_value *list = NULL;
        st = tsr_field_needed(&list, component, "processors", TSR_JSON_ARRAY);
        const tsr_json_value *entry = st ? NULL : tsr_json_first(list);
        for (; entry && !st; entry = tsr_json_next(entry))
            st = read_post_processor(prefix, suffix, entry, &templated);
    } else if (!st) {
        st = read_post_processor(prefix, suffix, component, &templated);
    }
    return st ? tsr_wrap(st, "post_processor") : TSR_OK;
}
