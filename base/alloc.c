/* base/alloc.c: malloc with a counter and a switch that makes it fail. */
#define _POSIX_C_SOURCE 200809L
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static atomic_llong asked;
static atomic_llong fail_at; /* the value of `asked` that fails; 0 for never */
static atomic_int fail_sticky;

static bool refused(void)
{
    long long now = atomic_fetch_add(&asked, 1) + 1;
    long long at = atomic_load_explicit(&fail_at, memory_order_relaxed);
    return at && (now == at || (now > at && atomic_load(&fail_sticky)));
}

void tsr_alloc_fail_at(int64_t n, int sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, n ? atomic_load(&asked) + n : 0);
}

int64_t tsr_alloc_count(void)
{
    return atomic_load(&asked);
}

void *tsr_alloc(size_t bytes)
{
    return refused() ? NULL : malloc(bytes ? bytes : 1);
}

void *tsr_calloc(size_t count, size_t bytes)
{
    if (bytes && count > SIZE_MAX / bytes) return NULL;
    return refused() ? NULL : calloc(count ? count : 1, bytes ? bytes : 1);
}

void *tsr_realloc(void *block, size_t bytes)
{
    return refused() ? NULL : realloc(block, bytes ? bytes : 1);
}

void *tsr_alloc_aligned(size_t alignment, size_t bytes)
{
    void *block = NULL;
    if (refused() || posix_memalign(&block, alignment, bytes ? bytes : 1)) return NULL;
    return block;
}

void tsr_free(void *block)
{
    free(block);
}

char *tsr_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = tsr_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

int tsr_grow(void **items, int64_t *capacity, int64_t needed, size_t each)
{
    if (needed <= *capacity) return 1;
    int64_t larger = *capacity < 8 ? 8 : *capacity;
    while (larger < needed) {
        if (larger > INT64_MAX / 2) return 0;
        larger *= 2;
    }
    if ((uint64_t)larger > SIZE_MAX / each) return 0;
    void *moved = tsr_realloc(*items, (size_t)larger * each);
    if (!moved) return 0;
    *items = moved;
    *capacity = larger;
    return 1;
}
