/* kernels/cpu/vec.h: vectors of f32 as wide as the level a file is compiled for.
 *
 * Kernels are written once, with the compiler's vector types, and compiled once per level: plainly, and by
 * CMake with TSR_LEVEL=avx2 and TSR_LEVEL=avx512 and those target flags. Operators work lane by lane; what they
 * cannot say is below. TSR_AT(f) is the level's own name of a shared function: f, f_avx2, f_avx512.
 */
#ifndef TSR_CPU_VEC_H
#define TSR_CPU_VEC_H

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "base/dtype.h"

#if defined(TSR_LEVEL)
#define TSR_JOIN_(a, b) a##_##b
#define TSR_JOIN(a, b) TSR_JOIN_(a, b)
#define TSR_AT(f) TSR_JOIN(f, TSR_LEVEL)
#else
#define TSR_AT(f) f
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef uint8_t vb __attribute__((vector_size(LANES)));

INLINE vf vf_all(float value)
{
    return value - (vf){0};
}

INLINE vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n elements, zeros after them; nothing beyond is touched. With a constant n of LANES a plain load. */
INLINE vf vf_load_n(const float *p, int64_t n)
{
    vf v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

INLINE void vf_store_n(float *p, vf v, int64_t n)
{
    memcpy(p, &v, (size_t)n * sizeof *p);
}

INLINE vf vf_from_bf16(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    vh h;
    memcpy(&h, p, sizeof h);
    return vf_from_bf16(h);
}

INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    vh h = {0};
    memcpy(&h, p, (size_t)n * sizeof *p);
    return vf_from_bf16(h);
}

/* yes where the mask is all ones, no where it is zero. */
INLINE vu vu_select(vi mask, vu yes, vu no)
{
    return ((vu)mask & yes) | (~(vu)mask & no);
}

/* As tsr_to_bf16. */
INLINE vh vf_to_bf16(vf v)
{
    vu bits = (vu)v;
    vu rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    vi is_nan = (vi)(v != v);
    return __builtin_convertvector(vu_select(is_nan, bits >> 16 | 0x40, rounded), vh);
}

INLINE void vf_store_bf16(uint16_t *p, vf v)
{
    vh h = vf_to_bf16(v);
    memcpy(p, &h, sizeof h);
}

/* As tsr_from_fp8. An exponent of 0 is read as one more bit of mantissa, 2^-7 (1 + m / 8), and put right: no number
 * on the way is below the normal ones. */
INLINE vf vf_from_fp8(vb b)
{
    vu code = __builtin_convertvector(b, vu), magnitude = code & 0x7f;
    vf normal = (vf)((magnitude << 20) + (120u << 23));
    vu value = vu_select((vi)(magnitude < 8), (vu)(normal + normal - 0x1p-6f), (vu)normal);
    value = vu_select((vi)(magnitude == 0x7f), 0x7fc00000u - (vu){0}, value);
    return (vf)(value | (code & 0x80) << 24);
}

INLINE vf vf_load_fp8(const uint8_t *p)
{
    vb b;
    memcpy(&b, p, sizeof b);
    return vf_from_fp8(b);
}

INLINE vf vf_load_fp8_n(const uint8_t *p, int64_t n)
{
    vb b = {0};
    memcpy(&b, p, (size_t)n);
    return vf_from_fp8(b);
}

/* a * b + c; one rounding where the level has it. */
INLINE vf vf_fma(vf a, vf b, vf c)
{
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* a < b ? a : b, and a > b ? a : b: b where one of them is NaN. */
INLINE vf vf_min(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return (vf)vu_select((vi)(a < b), (vu)a, (vu)b);
#endif
}

INLINE vf vf_max(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return (vf)vu_select((vi)(a > b), (vu)a, (vu)b);
#endif
}

INLINE vf vf_abs(vf v)
{
    return (vf)((vu)v & 0x7fffffffu);
}

/* All lanes added, halves first. */
INLINE float vf_sum(vf v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float sums[LANES];
    memcpy(sums, &v, sizeof sums);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
#endif
}

INLINE float vf_largest(vf v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float values[LANES];
    memcpy(values, &v, sizeof values);
    for (int i = 1; i < LANES; i++) values[0] = values[i] > values[0] ? values[i] : values[0];
    return values[0];
#endif
}

/* v, but 0 where x < bound. */
INLINE vf vf_zero_below(vf v, vf x, float bound)
{
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(bound), _CMP_NLT_UQ),
                                   (__m512)v);
#else
    return (vf)((vu)v & ~(vu)(x < bound));
#endif
}

/* e^x within 1.5 units in the last place for x <= 0; 0 below -87, NaN for NaN.
 *
 * x = n ln 2 + r with |r| <= 0.35; ln 2 is taken in two parts, the first of 10 bits, so that n times it is exact.
 * The Taylor series of e^r ends at r^7 / 7!: the next term is below 6e-9. Right up to 88.37, where n is 127. */
INLINE vf vf_exp_down(vf x)
{
    const float low = -87.0f;
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: the sum's last bit counts ones */
    vf c = vf_max(vf_all(low), x);
    vf n = vf_fma(c, vf_all(1.44269504089f), vf_all(to_integer)) - to_integer;
    vf r = vf_fma(n, vf_all(-0.693359375f), c);
    r = vf_fma(n, vf_all(2.12194440055e-4f), r);
    vf p = vf_all(1.0f / 5040);
    p = vf_fma(p, r, vf_all(1.0f / 720));
    p = vf_fma(p, r, vf_all(1.0f / 120));
    p = vf_fma(p, r, vf_all(1.0f / 24));
    p = vf_fma(p, r, vf_all(1.0f / 6));
    p = vf_fma(p, r, vf_all(0.5f));
    p = vf_fma(p, r, vf_all(1.0f));
    p = vf_fma(p, r, vf_all(1.0f));
    vi power = (vi)(n + (to_integer + 127)) << 23;
    return vf_zero_below(p * (vf)power, x, low);
}

/* The same for any x: infinite above 88.37. */
INLINE vf vf_exp(vf x)
{
    const float high = 88.37f;
    vf y = vf_exp_down(vf_min(vf_all(high), x));
    return y + (vf)((vu)(x > high) & 0x7f800000u);
}

INLINE vf vf_silu(vf x)
{
    return x / (vf_exp(-x) + 1.0f);
}

/* From here on this thread takes numbers below 1e-38 for zero, until restore_tiny: what decays towards zero
 * would otherwise pass through numbers that a processor multiplies a hundred times more slowly. */
INLINE unsigned flush_tiny(void)
{
#if defined(__SSE2__)
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40); /* 0x40: denormal operands too */
    return mode;
#else
    return 0;
#endif
}

INLINE void restore_tiny(unsigned mode)
{
#if defined(__SSE2__)
    _mm_setcsr(mode);
#else
    (void)mode;
#endif
}

#endif
