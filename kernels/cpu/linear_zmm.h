/* kernels/cpu/linear_zmm.h: partial sums in the registers of AVX-512, as linear_tile.h wants them. */
#ifndef TSR_CPU_LINEAR_ZMM_H
#define TSR_CPU_LINEAR_ZMM_H

#include <immintrin.h>

typedef __m512 vec;

static inline vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vec_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}

static inline float vec_sum(vec a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Two vectors' halves, quarters, pairs of 64 and of 32 bits added up and set side by side. */
static inline vec halves(vec a, vec b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

static inline vec quarters(vec a, vec b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

static inline vec pairs64(vec a, vec b)
{
    __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}

static inline vec pairs32(vec a, vec b)
{
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/* Loads in the order that makes the sums come out in theirs. */
static inline vec vec_sums(const float *p)
{
    vec q[4];
    for (int i = 0; i < 4; i++)
        q[i] = quarters(halves(vec_load(p + 16 * i), vec_load(p + 16 * (i + 4))),
                        halves(vec_load(p + 16 * (i + 8)), vec_load(p + 16 * (i + 12))));
    return pairs32(pairs64(q[0], q[1]), pairs64(q[2], q[3]));
}

#endif
