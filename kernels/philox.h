/* kernels/philox.h: Philox 4x32-10, the counter-based random numbers of the sampler.
 *
 * A draw is a function of (seed, position) alone, so it needs no state and comes out the same in any batch and
 * on any backend. An includer that compiles for a device defines TSR_PHILOX_FN to its own qualifiers first.
 * Source: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3.
 */
#ifndef TSR_PHILOX_H
#define TSR_PHILOX_H

#include <stdint.h>

#ifndef TSR_PHILOX_FN
#define TSR_PHILOX_FN static inline
#endif

/* Replace the four counter words by four random ones. */
TSR_PHILOX_FN void tsr_philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * counter[0];
        uint64_t b = (uint64_t)0xCD9E8D57u * counter[2];
        counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ key0;
        counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ key1;
        counter[1] = (uint32_t)b;
        counter[3] = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* The sampler's number in [0, 1) for one position of a sequence. */
TSR_PHILOX_FN double tsr_philox_uniform(uint64_t seed, uint64_t position)
{
    uint32_t words[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
    tsr_philox(words, (uint32_t)seed, (uint32_t)(seed >> 32));
    return (double)words[0] * 0x1p-32;
}

#endif
