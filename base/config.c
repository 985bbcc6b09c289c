/* base/config.c: find, check, report. */
#include "base/config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

const tsr_json_value *tsr_config_find(const tsr_config_reader *f, const char *keys, const char **key)
{
    static _Thread_local char spelling[64];
    while (*keys) {
        size_t n = strcspn(keys, "|");
        snprintf(spelling, sizeof spelling, "%.*s", (int)n, keys);
        const tsr_json_value *value = tsr_json_find(f->object, spelling);
        if (value && tsr_json_kind_of(value) != TSR_JSON_NULL) {
            if (key) *key = spelling;
            return value;
        }
        keys += n + (keys[n] == '|');
    }
    return NULL;
}

void tsr_config_fail(tsr_config_reader *f, tsr_status code, const char *format, ...)
{
    if (f->failed) return;
    va_list args;
    va_start(args, format);
    f->failed = tsr_fail_v(code, format, args);
    va_end(args);
    f->failed = tsr_wrap(f->failed, "%s", f->where);
}

/* The value of a required field, NULL with the failure recorded. */
static const tsr_json_value *need(tsr_config_reader *f, const char *keys, const char **key)
{
    const tsr_json_value *value = tsr_config_find(f, keys, key);
    if (!value)
        tsr_config_fail(f, TSR_E_FORMAT, "no key '%.*s', which is needed", (int)strcspn(keys, "|"), keys);
    return value;
}

static void log_choice(const tsr_config_reader *f, const char *keys, const char *choice)
{
    tsr_log(TSR_LOG_INFO, "%s: no key '%.*s', taking %s", f->where, (int)strcspn(keys, "|"), keys, choice);
}

static int64_t check_int(tsr_config_reader *f, const tsr_json_value *value, const char *key, tsr_bound bound)
{
    int64_t n;
    if (!tsr_json_int(value, &n))
        tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted a whole number", key,
                        tsr_json_kind_name(tsr_json_kind_of(value)));
    else if (n < bound.lo || n > bound.hi)
        tsr_config_fail(f, TSR_E_LIMIT, "%s is %" PRId64 ", wanted %" PRId64 " to %" PRId64 " (%s)", key, n,
                        bound.lo, bound.hi, bound.name);
    else
        return n;
    return bound.lo;
}

int64_t tsr_config_int(tsr_config_reader *f, const char *keys, tsr_bound bound)
{
    const char *key;
    const tsr_json_value *value = need(f, keys, &key);
    return value ? check_int(f, value, key, bound) : bound.lo;
}

int64_t tsr_config_int_or(tsr_config_reader *f, const char *keys, tsr_bound bound, int64_t otherwise)
{
    const char *key;
    const tsr_json_value *value = tsr_config_find(f, keys, &key);
    if (value) return check_int(f, value, key, bound);
    char choice[32];
    snprintf(choice, sizeof choice, "%" PRId64, otherwise);
    log_choice(f, keys, choice);
    return otherwise;
}

static double check_number(tsr_config_reader *f, const tsr_json_value *value, const char *key, double lo,
                           double hi)
{
    if (tsr_json_kind_of(value) != TSR_JSON_NUMBER)
        tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted a number", key,
                        tsr_json_kind_name(tsr_json_kind_of(value)));
    else if (!(tsr_json_number(value) >= lo && tsr_json_number(value) <= hi))
        tsr_config_fail(f, TSR_E_LIMIT, "%s is %g, wanted %g to %g", key, tsr_json_number(value), lo, hi);
    else
        return tsr_json_number(value);
    return lo;
}

double tsr_config_number(tsr_config_reader *f, const char *keys, double lo, double hi)
{
    const char *key;
    const tsr_json_value *value = need(f, keys, &key);
    return value ? check_number(f, value, key, lo, hi) : lo;
}

double tsr_config_number_or(tsr_config_reader *f, const char *keys, double lo, double hi, double otherwise)
{
    const char *key;
    const tsr_json_value *value = tsr_config_find(f, keys, &key);
    if (value) return check_number(f, value, key, lo, hi);
    char choice[32];
    snprintf(choice, sizeof choice, "%g", otherwise);
    log_choice(f, keys, choice);
    return otherwise;
}

static bool check_bool(tsr_config_reader *f, const tsr_json_value *value, const char *key)
{
    if (tsr_json_kind_of(value) == TSR_JSON_BOOL) return tsr_json_bool(value);
    tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted true or false", key,
                    tsr_json_kind_name(tsr_json_kind_of(value)));
    return false;
}

bool tsr_config_bool(tsr_config_reader *f, const char *keys)
{
    const char *key;
    const tsr_json_value *value = need(f, keys, &key);
    return value && check_bool(f, value, key);
}

bool tsr_config_bool_or(tsr_config_reader *f, const char *keys, bool otherwise)
{
    const char *key;
    const tsr_json_value *value = tsr_config_find(f, keys, &key);
    if (value) return check_bool(f, value, key);
    log_choice(f, keys, otherwise ? "true" : "false");
    return otherwise;
}

const char *tsr_config_text(tsr_config_reader *f, const char *keys)
{
    const char *key;
    const tsr_json_value *value = tsr_config_find(f, keys, &key);
    if (!value) return NULL;
    if (tsr_json_kind_of(value) == TSR_JSON_STRING) return tsr_json_string(value);
    tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted a string", key,
                    tsr_json_kind_name(tsr_json_kind_of(value)));
    return NULL;
}

void tsr_config_must_be(tsr_config_reader *f, const char *keys, const char *word)
{
    const char *text = tsr_config_text(f, keys);
    if (f->failed) return;
    if (!text) log_choice(f, keys, word);
    if (text && strcmp(text, word) != 0)
        tsr_config_fail(f, TSR_E_UNSUPPORTED, "%.*s is '%s', only '%s' is supported", (int)strcspn(keys, "|"),
                        keys, text, word);
}

void tsr_config_must_be_off(tsr_config_reader *f, const char *keys)
{
    const char *key;
    const tsr_json_value *value = tsr_config_find(f, keys, &key);
    if (value && check_bool(f, value, key))
        tsr_config_fail(f, TSR_E_UNSUPPORTED, "%s is true, which is not supported", key);
}
