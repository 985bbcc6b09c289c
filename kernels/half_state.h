/* kernels/half_state.h: how a state of the scan is rounded to f16, the same bits on every backend.
 *
 * A step moves most elements by less than half a unit of their last place, and rounding to nearest would then
 * drop the step, and all that follow, for good. So the rounding is stochastic: v becomes the neighbour below or
 * above with the odds of its distance, and is right on average. The odds' random number is a function of the
 * position behind the step and of the element's place in the layer's state, so that it comes out the same in any
 * batch and slot. Beyond 65504 a state is held there; NaN stays NaN.
 *
 * An includer that compiles for a device defines TSR_HALF_FN to its own qualifiers first.
 * Source of the mixing: A. Appleby, MurmurHash3 (public domain), its finaliser, cut to one multiplication.
 */
#ifndef TSR_HALF_STATE_H
#define TSR_HALF_STATE_H

#include <stdbool.h>

#include "base/dtype.h"

#ifndef TSR_HALF_FN
#define TSR_HALF_FN static inline
#endif

/* Random bits for elements 8 octet .. 8 octet + 7 of a state that holds `pos` tokens. */
TSR_HALF_FN uint32_t tsr_half_random(uint32_t pos, uint32_t octet)
{
    uint32_t h = octet * 0x9e3779b9u + pos * 0xc2b2ae35u;
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    return h ^ h >> 13;
}

/* The k-th's part of them: a fraction's 23 bits. Neighbours have opposite ones, and four in eight are met twice: an
 * element's own must be fresh in every step, those of one step need not be strangers. */
TSR_HALF_FN uint32_t tsr_half_fraction(uint32_t random, int k)
{
    uint32_t fraction = k & 2 ? random & 0x007fffffu : random >> 9;
    return k & 1 ? fraction ^ 0x007fffffu : fraction;
}

/* v moved away from zero by that part of the distance of its neighbours in f16, rounded towards zero. */
static inline float tsr_half_moved(float v, uint32_t fraction)
{
    uint32_t bits = tsr_bits_of(v), exponent = bits & 0x7f800000u;
    if (exponent < 0x38800000u) exponent = 0x38800000u;           /* below 2^-14 neighbours are 2^-24 apart */
    float unit = tsr_float_of((bits & 0x80000000u) | exponent);   /* 1024 times the distance */
    float part = tsr_float_of(0x3a800000u | fraction) - 0x1p-10f; /* of 2^-10 */
    double exact = (double)part * unit + v;
    float moved = (float)exact;
    bool past = exact < 0 ? (double)moved < exact : (double)moved > exact;
    return past ? tsr_float_of(tsr_bits_of(moved) - 1) : moved;
}

/* f16 of w, rounded towards zero. */
static inline uint16_t tsr_half_cut(float w)
{
    uint32_t bits = tsr_bits_of(w), magnitude = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000u) return sign | 0x7e00;
    if (magnitude == 0x7f800000u) return sign | 0x7c00;
    if (magnitude >= 0x47800000u) return sign | 0x7bff;
    if (magnitude < 0x38800000u) return sign | (uint16_t)(tsr_float_of(magnitude) * 0x1p24f);
    return sign | (uint16_t)((magnitude - 0x38000000u) >> 13);
}

/* tsr_from_f16, also where the processor takes subnormal numbers of f32 for zero. */
static inline float tsr_half_value(uint16_t h)
{
    uint32_t magnitude = h & 0x7fff;
    float value = magnitude < 0x400 ? (float)magnitude * 0x1p-24f : tsr_from_f16((uint16_t)magnitude);
    return h & 0x8000 ? -value : value;
}

/* Element i of a layer's state that holds `pos` tokens. */
static inline uint16_t tsr_half_state(float v, uint32_t pos, int64_t i)
{
    uint32_t random = tsr_half_random(pos, (uint32_t)(i >> 3));
    return tsr_half_cut(tsr_half_moved(v, tsr_half_fraction(random, (int)(i & 7))));
}

#endif
