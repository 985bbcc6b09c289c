/* base/json.h: strict JSON on top of cJSON; the only place that sees cJSON in the library.
 *
 * Stricter than cJSON: the whole input must be one value, duplicate keys, invalid UTF-8 and NUL are refused,
 * nesting is limited. More lenient in one thing: a bare Infinity or -Infinity (as Python writes it) outside
 * strings is a number. Look-ups compare keys exactly. A document never changes once it is parsed: any number
 * of threads may look into it, and different ones may be parsed at the same time.
 */
#ifndef TSR_JSON_H
#define TSR_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Arrays and objects inside each other, and values in one document: each takes about 80 bytes, and the
 * largest tokenizers have 2 million. */
#define TSR_JSON_MAX_DEPTH 128
#define TSR_JSON_MAX_VALUES (8 << 20)

typedef struct tsr_json tsr_json;             /* a document; owns everything below */
typedef struct tsr_json_value tsr_json_value; /* one value inside it */

typedef enum tsr_json_kind {
    TSR_JSON_NULL,
    TSR_JSON_BOOL,
    TSR_JSON_NUMBER,
    TSR_JSON_STRING,
    TSR_JSON_ARRAY,
    TSR_JSON_OBJECT
} tsr_json_kind;

/* Parse `bytes` bytes of text (no NUL needed). `name` stands in messages. Errors: TSR_E_FORMAT with the byte
 * offset, TSR_E_LIMIT past a limit above or for a number of more than 63 bytes, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_json_parse(tsr_json **out, const char *text, size_t bytes, const char *name);

/* Read and parse a file of at most max_bytes. */
TSR_CHECKED tsr_status tsr_json_open(tsr_json **out, const char *path, size_t max_bytes);
void tsr_json_close(tsr_json *json);

const tsr_json_value *tsr_json_root(const tsr_json *json);

tsr_json_kind tsr_json_kind_of(const tsr_json_value *value);
const char *tsr_json_kind_name(tsr_json_kind kind);  /* "null", "a boolean", "a number", ... for messages */
bool tsr_json_bool(const tsr_json_value *value);     /* kind must be BOOL */
double tsr_json_number(const tsr_json_value *value); /* kind must be NUMBER; may be an infinity */
const char *tsr_json_string(const tsr_json_value *value); /* kind must be STRING; UTF-8, no NUL inside */

/* A number that is a whole one and below 2^53 in magnitude, from where on doubles skip some; false
 * otherwise. */
bool tsr_json_int(const tsr_json_value *value, int64_t *out);

/* Member of an object (kind must be OBJECT) by exact key, NULL if absent. Walks the object: big ones are
 * walked once by first/next. */
const tsr_json_value *tsr_json_find(const tsr_json_value *object, const char *key);

/* Elements or members in file order; key is NULL for array elements. */
const tsr_json_value *tsr_json_first(const tsr_json_value *container);
const tsr_json_value *tsr_json_next(const tsr_json_value *element);
const char *tsr_json_key(const tsr_json_value *member);
int64_t tsr_json_count(const tsr_json_value *container);

#endif
