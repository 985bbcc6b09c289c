/* kernels/cpu/linear_avx2.c: linear with AVX2, FMA and F16C: weights widened to f32, x in f32. */
#include <immintrin.h>

#include "kernels/cpu/linear_rows.h"

enum { STEP = 8, NX = 4, NW = 3, PANEL = 48 };
#define PANEL_TYPE TSR_F32

typedef float elem;
typedef __m256 vec;
typedef __m256 factor;

static inline vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vec_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}

static inline float vec_sum(vec a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* Two vectors' sums of pairs of 64, of 32 bits, side by side. */
static inline vec pairs64(vec a, vec b)
{
    __m256d x = _mm256_castps_pd(a), y = _mm256_castps_pd(b);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
}

static inline vec pairs32(vec a, vec b)
{
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
}

static inline vec vec_sums(const float *p)
{
    vec h[4]; /* halves added: vector i in the lower half, i + 4 in the upper */
    for (int i = 0; i < 4; i++) {
        vec a = _mm256_loadu_ps(p + 8 * i), b = _mm256_loadu_ps(p + 8 * (i + 4));
        h[i] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    }
    return pairs32(pairs64(h[0], h[1]), pairs64(h[2], h[3]));
}

static inline vec madd(vec sum, factor w, factor x)
{
    return _mm256_fmadd_ps(w, x, sum);
}

static inline factor load_x(const elem *p)
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

INLINE void fetch(const unsigned char *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

#include "kernels/cpu/linear_tile.h"

DEFINE_FEW(few_f32, TSR_F32)
DEFINE_FEW(few_bf16, TSR_BF16)
DEFINE_FEW(few_f16, TSR_F16)
DEFINE_FEW(few_fp8, TSR_FP8)
DEFINE_WIDEN

const tsr_linear_kernel tsr_linear_avx2 = {
    .type = PANEL_TYPE,
    .few = {few_f32, few_bf16, few_f16, few_fp8},
    .few_rows = NX,
    .unit = 1,
    .step = STEP,
    .panel = PANEL,
    .pass = 384,
    .depth = 1024,
    .per_dot = LANES,
    .block = block,
    .collect = collect,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
