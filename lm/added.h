/* lm/added.h: added tokens, which are found in the raw text before anything else looks at it. */
#ifndef TSR_ADDED_H
#define TSR_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"

enum {
    TSR_ADDED_SPECIAL = 1,     /* dropped by skip_special */
    TSR_ADDED_NORMALIZED = 2,  /* looked for in a second pass, in what the first one left */
    TSR_ADDED_LSTRIP = 4,      /* the match takes the white space in front of it along */
    TSR_ADDED_RSTRIP = 8,      /* ... and behind it */
    TSR_ADDED_SINGLE_WORD = 16 /* no match where a word character touches it */
};

typedef struct tsr_added_token {
    const char *content; /* NUL-terminated, in tsr_added.text */
    uint32_t bytes;
    int32_t id;
    unsigned flags; /* TSR_ADDED_ bits */
} tsr_added_token;

typedef struct tsr_added {
    tsr_added_token *items; /* [n]; sorted: first pass before second, then by content */
    int64_t n, n_first;     /* n_first of them belong to the first pass */
    char *text;
    uint32_t starts[2][8]; /* per pass, one bit per byte that any token begins with */
} tsr_added;

/* Read the "added_tokens" array; NULL gives an empty list. *out must be zeroed and is closed by the caller
 * even on failure. Errors: TSR_E_FORMAT for an entry without id or content or a content listed twice,
 * TSR_E_LIMIT, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_added_open(tsr_added *out, const tsr_json_value *array);
void tsr_added_close(tsr_added *added);

/* The token with exactly this content, NULL if there is none. */
const tsr_added_token *tsr_added_find(const tsr_added *added, const char *content, size_t bytes);

typedef struct tsr_added_match {
    const tsr_added_token *token;
    size_t begin, end; /* the bytes it covers, stripped white space included */
    size_t resume;     /* where the search goes on */
} tsr_added_match;

/* The first match of a pass (0 or 1) in well-formed text at or after `search`, leftmost and there longest;
 * false if there is none. Text before `from` has been given away already and is not stripped. Source:
 * tokenizers, added_vocabulary.rs, find_matches. */
bool tsr_added_next(const tsr_added *added, tsr_added_match *out, int pass, const char *text, size_t bytes,
                    size_t from, size_t search);

#endif
