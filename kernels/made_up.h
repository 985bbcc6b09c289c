/* kernels/made_up.h: weights that no file has, for measuring speed: drawn from a seed and their place, so that they are
 * the same on every machine and by any number of threads.
 */
#ifndef TSR_MADE_UP_H
#define TSR_MADE_UP_H

#include "base/dtype.h"
#include "base/pool.h"

/* Where the draws of one weight begin. */
uint64_t tsr_made_up_key(uint64_t seed, const char *name, int64_t layer);

/* Draw i, from 0 to 1. */
float tsr_made_up_unit(uint64_t key, int64_t i);

/* Fill `bytes` with values of random signs and mantissas over one exponent: never zero, and root mean square about
 * 1.5 * 2^exponent. F16 cannot go below 2^-14; FP8 begins at 1 whatever the exponent, as a scale does the rest. On
 * the pool's threads; without a pool on this one. */
void tsr_made_up_fill(tsr_pool *pool, void *to, size_t bytes, uint64_t key, tsr_dtype type, int exponent);

#endif
