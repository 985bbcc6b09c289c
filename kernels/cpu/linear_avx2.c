/* kernels/cpu/linear_avx2.c: linear with AVX2, FMA and F16C: weights widened to f32, x in f32. */
#include <immintrin.h>

#include "kernels/cpu/linear_rows.h"

enum { STEP = 8, NX = 4, NW = 3, PANEL = 96, PASS = 192, FEW_ROWS = TSR_LINEAR_COLLECT };
#define KERNEL tsr_linear_avx2

typedef __m256 vec;
typedef __m256 factor;

static inline vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

INLINE void vec_sums(float *to, const vec *v, int n)
{
    for (int i = 0; i < n; i++) {
        __m128 s = _mm_add_ps(_mm256_castps256_ps128(v[i]), _mm256_extractf128_ps(v[i], 1));
        s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        to[i] = _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
    }
}

static inline vec madd(vec sum, factor w, factor x)
{
    return _mm256_fmadd_ps(w, x, sum);
}

static inline factor load_x(const float *p)
{
    return _mm256_loadu_ps(p);
}

/* E4M3 is f16 but for the exponent's bias: its bits moved into place are 2^-8 of its value, subnormals
 * included. Sign extension leaves a second sign bit, which is cleared; NaN (0x7f) must be made one. */
static inline __m256 widen_fp8(__m128i codes)
{
    __m128i half = _mm_and_si128(_mm_slli_epi16(_mm_cvtepi8_epi16(codes), 7), _mm_set1_epi16((short)0xbf80));
    __m128i negative = _mm_or_si128(half, _mm_set1_epi16((short)0x8000));
    half = _mm_or_si128(half, _mm_cmpeq_epi16(negative, _mm_set1_epi16((short)0xbf80)));
    return _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0f));
}

static inline factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
{
    const unsigned char *p = row + column * type_bytes(type);
    if (type == TSR_F32) return _mm256_loadu_ps((const float *)p);
    if (type == TSR_FP8) return widen_fp8(_mm_loadl_epi64((const __m128i *)p));
    __m128i halves = _mm_loadu_si128((const __m128i *)p);
    if (type == TSR_F16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline void store(float *p, factor f)
{
    _mm256_storeu_ps(p, f);
}

#include "kernels/cpu/linear_f32.h"
