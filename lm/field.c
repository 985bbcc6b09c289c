/* lm/field.c: members of a JSON object with the kind they must have. */
#include "lm/field.h"

tsr_status tsr_field(const tsr_json_value **out, const tsr_json_value *object, const char *key,
                     tsr_json_kind kind)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    if (value && tsr_json_kind_of(value) == TSR_JSON_NULL) value = NULL;
    if (value && tsr_json_kind_of(value) != kind)
        return tsr_fail(TSR_E_FORMAT, "'%s' is %s where %s was wanted", key,
                        tsr_json_kind_name(tsr_json_kind_of(value)), tsr_json_kind_name(kind));
    *out = value;
    return TSR_OK;
}

tsr_status tsr_field_needed(const tsr_json_value **out, const tsr_json_value *object, const char *key,
                            tsr_json_kind kind)
{
    const tsr_json_value *value = NULL;
    tsr_status st = tsr_field(&value, object, key, kind);
    if (st) return st;
    if (!value)
        return tsr_fail(TSR_E_FORMAT, "'%s' is missing, %s was wanted", key, tsr_json_kind_name(kind));
    *out = value;
    return TSR_OK;
}

tsr_status tsr_field_string(const char **out, const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = NULL;
    tsr_status st = tsr_field(&value, object, key, TSR_JSON_STRING);
    if (st) return st;
    *out = value ? tsr_json_string(value) : NULL;
    return TSR_OK;
}

tsr_status tsr_field_bool(bool *out, const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = NULL;
    tsr_status st = tsr_field(&value, object, key, TSR_JSON_BOOL);
    if (!st && value) *out = tsr_json_bool(value);
    return st;
}

tsr_status tsr_field_type(const char **out, const tsr_json_value *object, const char *what)
{
    if (tsr_json_kind_of(object) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "%s is %s where an object was wanted", what,
                        tsr_json_kind_name(tsr_json_kind_of(object)));
    const char *type = NULL;
    tsr_status st = tsr_field_string(&type, object, "type");
    if (st) return tsr_wrap(st, "%s", what);
    if (!type) return tsr_fail(TSR_E_FORMAT, "%s has no 'type'", what);
    *out = type;
    return TSR_OK;
}
