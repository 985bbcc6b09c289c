/* kernels/cpu/linear_avx512.c: linear with AVX-512 F, BW, DQ and VL: weights widened to f32, x in f32. */
#include "kernels/cpu/linear_rows.h"
#include "kernels/cpu/linear_zmm.h"

enum { STEP = 16, NX = 6, NW = 4, PANEL = 128, PASS = 192, FEW_ROWS = TSR_LINEAR_COLLECT };
#define KERNEL tsr_linear_avx512

typedef __m512 factor;

static inline vec madd(vec sum, factor w, factor x)
{
    return _mm512_fmadd_ps(w, x, sum);
}

static inline factor load_x(const float *p)
{
    return _mm512_loadu_ps(p);
}

/* E4M3 is f16 but for the exponent's bias: its bits moved into place are 2^-8 of its value, subnormals
 * included. Sign extension leaves a second sign bit, which is cleared; NaN (0x7f) must be made one. */
static inline __m512 widen_fp8(__m128i codes)
{
    __m256i half =
        _mm256_and_si256(_mm256_slli_epi16(_mm256_cvtepi8_epi16(codes), 7), _mm256_set1_epi16((short)0xbf80));
    __m256i negative = _mm256_or_si256(half, _mm256_set1_epi16((short)0x8000));
    half = _mm256_or_si256(half, _mm256_cmpeq_epi16(negative, _mm256_set1_epi16((short)0xbf80)));
    return _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0f));
}

static inline factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
{
    const unsigned char *p = row + column * type_bytes(type);
    if (type == TSR_F32) return _mm512_loadu_ps(p);
    if (type == TSR_FP8) return widen_fp8(_mm_loadu_si128((const __m128i *)p));
    __m256i halves = _mm256_loadu_si256((const __m256i *)p);
    if (type == TSR_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void store(float *p, factor f)
{
    _mm512_storeu_ps(p, f);
}

#include "kernels/cpu/linear_f32.h"
