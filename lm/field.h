/* lm/field.h: members of a JSON object with the kind they must have.
 *
 * A member that is absent or null is "absent" to all of these: Hugging Face files write both. A member of
 * another kind is TSR_E_FORMAT, naming the key, what was found and what was wanted. /
 */
#ifndef TSR_FIELD_H
#define TSR_FIELD_H

#include <stdbool.h>

#include "base/json.h"
#include "base/status.h"

/* *out is NULL when absent. object must be an object. */
TSR_CHECKED tsr_status tsr_field(const tsr_json_value **out, const tsr_json_value *object, const char *key,
                                 tsr_json_kind kind);

/* As tsr_field, but an absent member is TSR_E_FORMAT too. */
TSR_CHECKED tsr_status tsr_field_needed(const tsr_json_value **out, const tsr_json_value *object,
                                        const char *key, tsr_json_kind kind);

/* *out is NULL when absent; else the document's own string. */
TSR_CHECKED tsr_status tsr_field_string(const char **out, const tsr_json_value *object, const char *key);

/* *out is left as it was when absent. */
TSR_CHECKED tsr_status tsr_field_bool(bool *out, const tsr_json_value *object, const char *key);

/* The "type" of a component object; an error when it has none. */
TSR_CHECKED tsr_status tsr_field_type(const char **out, const tsr_json_value *object, const char *what);

#endif
