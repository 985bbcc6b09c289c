/* base/config.h: numbers, flags and words of one JSON object, each with its spellings and its bound.
 *
 * Keys come as "first|second|third": the first one present and not null counts. A required field that is
 * missing is an error; an optional one is a choice that is logged. The reader remembers its first failure, and
 * later calls return something harmless, so that a configuration reads as a list of fields.
 */
#ifndef TSR_BASE_CONFIG_H
#define TSR_BASE_CONFIG_H

#include "base/json.h"

typedef struct tsr_config_reader {
    const tsr_json_value *object;
    const char *where; /* stands in messages: "config.json", "config.json: vision_config" */
    tsr_status failed; /* of the first failure; its message is tsr_message() */
} tsr_config_reader;

/* What a whole number may be. TSR_BOUND keeps the limit's name for the message. */
typedef struct tsr_bound {
    int64_t lo, hi;
    const char *name;
} tsr_bound;
#define TSR_BOUND(lo, hi) ((tsr_bound){lo, hi, #hi})

/* The value under the first spelling present and not null, else NULL; *key (may be NULL) is that spelling,
 * valid until the thread's next call. */
const tsr_json_value *tsr_config_find(const tsr_config_reader *f, const char *keys, const char **key);

/* Record a failure, "where: message", unless one is already kept. */
void tsr_config_fail(tsr_config_reader *f, tsr_status code, const char *format, ...) TSR_PRINTF(3, 4);

/* A whole number within its bound, else TSR_E_FORMAT or TSR_E_LIMIT and bound.lo. */
int64_t tsr_config_int(tsr_config_reader *f, const char *keys, tsr_bound bound);
int64_t tsr_config_int_or(tsr_config_reader *f, const char *keys, tsr_bound bound, int64_t otherwise);

/* A finite number within [lo, hi], else TSR_E_FORMAT or TSR_E_LIMIT and lo. */
double tsr_config_number(tsr_config_reader *f, const char *keys, double lo, double hi);
double tsr_config_number_or(tsr_config_reader *f, const char *keys, double lo, double hi, double otherwise);

bool tsr_config_bool(tsr_config_reader *f, const char *keys);
bool tsr_config_bool_or(tsr_config_reader *f, const char *keys, bool otherwise);

/* A string, NULL when absent or when it is something else (which is a failure). */
const char *tsr_config_text(tsr_config_reader *f, const char *keys);

/* Fail with TSR_E_UNSUPPORTED unless the field is this word, or absent (which is logged). */
void tsr_config_must_be(tsr_config_reader *f, const char *keys, const char *word);

/* Fail with TSR_E_UNSUPPORTED if the field is true. */
void tsr_config_must_be_off(tsr_config_reader *f, const char *keys);

#endif
