/* base/alloc.h: every allocation of the library goes through here.
 *
 * One place makes three promises testable: a failing n-th allocation ends in a message and no leak, decoding
 * allocates nothing after the first token, and sizes never wrap. cJSON, PCRE2 and libpng are given these
 * functions through their hooks.
 */
#ifndef TSR_ALLOC_H
#define TSR_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

void *tsr_alloc(size_t bytes);
void *tsr_calloc(size_t count, size_t bytes); /* NULL when the product overflows */
void *tsr_realloc(void *block, size_t bytes);
void *tsr_alloc_aligned(size_t alignment, size_t bytes); /* freed by tsr_free too */
TSR_EXPORT void tsr_free(void *block);
char *tsr_strdup(const char *text);

/* Grow `*items` (capacity *capacity, `each` bytes an item) to hold at least `needed`; doubles. 0 on failure,
 * with everything as it was. */
int tsr_grow(void **items, int64_t *capacity, int64_t needed, size_t each);

/* For tests: make the n-th allocation from now (1 the next) return NULL, and all after it too when `sticky`.
 * 0 switches it off. Process wide. */
void tsr_alloc_fail_at(int64_t n, int sticky);

/* Allocations asked for since the program began. */
int64_t tsr_alloc_count(void);

#endif
