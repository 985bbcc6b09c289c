/* base/keys.h: a fixed set of names from a foreign file, sorted by hash.
 *
 * Finding costs a few comparisons of integers and one of text. A table of buckets would be shorter by a
 * constant, but names crafted to collide make it quadratic; a sort stays at n log n whatever the names are.
 */
#ifndef TSR_KEYS_H
#define TSR_KEYS_H

#include <stdint.h>

typedef struct tsr_key {
    uint64_t hash;    /* of text; set by tsr_keys_sort */
    const char *text; /* the caller's; must outlive the set */
    int64_t index;    /* the caller's */
} tsr_key;

/* Hash and sort n keys in place, equal texts by index. */
void tsr_keys_sort(tsr_key *keys, int64_t n);

/* Of sorted keys: the second one of an equal pair, NULL if all differ. The first one stands before it. */
const tsr_key *tsr_keys_duplicate(const tsr_key *keys, int64_t n);

/* Of sorted keys: the one with this text, NULL if absent. */
const tsr_key *tsr_keys_find(const tsr_key *keys, int64_t n, const char *text);

#endif
