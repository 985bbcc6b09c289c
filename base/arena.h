/* base/arena.h: memory that is measured and carved by the same walk.
 *
 * A walk over an arena whose base is NULL only adds up `used`; the same walk over a real block hands out
 * addresses. Sizes that overflow make `used` saturate, so that the block is refused when it is opened.
 */
#ifndef TSR_ARENA_H
#define TSR_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

#define TSR_ARENA_ALIGN ((size_t)64)

typedef struct tsr_arena {
    unsigned char *base; /* NULL while measuring */
    size_t capacity;     /* of base */
    size_t used;         /* rounded up to TSR_ARENA_ALIGN; SIZE_MAX once anything overflowed */
    size_t peak;         /* the largest `used` seen; what a block must hold when marks are released */
} tsr_arena;

typedef size_t tsr_mark;

/* Take `bytes`; NULL while measuring, and when capacity is passed (`used` then still grows: check
 * tsr_arena_fits). */
void *tsr_arena_take(tsr_arena *a, size_t bytes);

/* Take count * each bytes, with the product checked. */
void *tsr_arena_array(tsr_arena *a, int64_t count, size_t each);

/* A view [rows, cols] whose rows start every round_up(cols, 16) elements. Scaled forms take their scales
 * beside it. */
tsr_view tsr_arena_view(tsr_arena *a, tsr_dtype type, tsr_scale_kind scaled, int64_t rows, int64_t cols);

static inline tsr_mark tsr_arena_mark(const tsr_arena *a)
{
    return a->used;
}
static inline void tsr_arena_release(tsr_arena *a, tsr_mark mark)
{
    a->used = mark;
}
static inline bool tsr_arena_fits(const tsr_arena *a)
{
    return a->peak <= a->capacity;
}

/* a * b, saturating at SIZE_MAX. */
static inline size_t tsr_mul(size_t a, size_t b)
{
    return b && a > (size_t)-1 / b ? (size_t)-1 : a * b;
}
static inline size_t tsr_add(size_t a, size_t b)
{
    return a > (size_t)-1 - b ? (size_t)-1 : a + b;
}

#endif
