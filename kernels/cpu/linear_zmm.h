/* kernels/cpu/linear_zmm.h: partial sums in the registers of AVX-512, as linear_tile.h wants them. */
#ifndef TSR_CPU_LINEAR_ZMM_H
#define TSR_CPU_LINEAR_ZMM_H

#include <immintrin.h>

#include "kernels/cpu/linear_rows.h"

typedef __m512 vec;

static inline vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

static inline float vec_sum(vec a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Two vectors' halves, then quarters, added up and set side by side. */
static inline vec halves(vec a, vec b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

static inline vec quarters(vec a, vec b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

INLINE void vec_sums(float *to, const vec *v, int n)
{
    if (n == 4) { /* all at once: one vector to 128 bits */
        vec q = quarters(halves(v[0], v[1]), halves(v[2], v[3]));
        q = _mm512_add_ps(q, _mm512_permute_ps(q, 0x4e));
        q = _mm512_add_ps(q, _mm512_permute_ps(q, 0xb1));
        _mm_storeu_ps(to, _mm512_castps512_ps128(_mm512_permutexvar_ps(
                              _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12), q)));
        return;
    }
    for (int i = 0; i < n; i++) to[i] = vec_sum(v[i]);
}

#endif
