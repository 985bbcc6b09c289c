/* base/keys.c: names sorted by hash. */
#include "base/keys.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

static int by_hash_and_text(uint64_t hash, const char *text, const tsr_key *key)
{
    if (hash != key->hash) return hash < key->hash ? -1 : 1;
    return strcmp(text, key->text);
}

static int by_key(const void *left, const void *right)
{
    const tsr_key *a = left, *b = right;
    int order = by_hash_and_text(a->hash, a->text, b);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

void tsr_keys_sort(tsr_key *keys, int64_t n)
{
    for (int64_t i = 0; i < n; i++) keys[i].hash = hash_of(keys[i].text);
    if (n > 1) qsort(keys, (size_t)n, sizeof *keys, by_key);
}

const tsr_key *tsr_keys_duplicate(const tsr_key *keys, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (!by_hash_and_text(keys[i - 1].hash, keys[i - 1].text, &keys[i])) return &keys[i];
    return NULL;
}

const tsr_key *tsr_keys_find(const tsr_key *keys, int64_t n, const char *text)
{
    uint64_t hash = hash_of(text);
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = by_hash_and_text(hash, text, &keys[middle]);
        if (!order) return &keys[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
