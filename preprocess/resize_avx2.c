/* preprocess/resize_avx2.c: the resize with 256-bit vectors.
 *
 * The multiplier takes pairs of 16-bit numbers, so a weight of 24 bits is cut in two: weight = high * 4096 + low
 * with low in 0 .. 4095. Two sums run side by side and meet at the end.
 */
#if defined(__x86_64__)

#include <immintrin.h>

#include "preprocess/resize_kernels.h"

enum { LOW_BITS = 12, WORDS = 4 };

static int32_t pair(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)(uint16_t)a | (uint32_t)(uint16_t)b << 16);
}

/* Word 0 and 1: the high parts of taps 0, 1 and 2, 3; word 2 and 3: their low parts. */
static void pack(int32_t *to, const int32_t *q)
{
    const int32_t mask = (1 << LOW_BITS) - 1;
    to[0] = pair(q[0] >> LOW_BITS, q[1] >> LOW_BITS);
    to[1] = pair(q[2] >> LOW_BITS, q[3] >> LOW_BITS);
    to[2] = pair(q[0] & mask, q[1] & mask);
    to[3] = pair(q[2] & mask, q[3] & mask);
}

static inline __m256i add_products(__m256i sum, __m256i bytes, __m256i weights)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(bytes, weights));
}

/* (high * 2^12 + low + half) >> 22 */
static inline __m256i rounded(__m256i high, __m256i low)
{
    __m256i half = _mm256_set1_epi32(1 << (TSR_WEIGHT_BITS - 1));
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, LOW_BITS), _mm256_add_epi32(low, half));
    return _mm256_srai_epi32(sum, TSR_WEIGHT_BITS);
}

static inline __m256i two_rows(const uint8_t *a, const uint8_t *b)
{
    __m128i row_a = _mm_loadu_si128((const __m128i *)a), row_b = _mm_loadu_si128((const __m128i *)b);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(row_a), row_b, 1);
}

/* One output pixel of four rows, a row to each 128-bit half: R, G, B, nothing. */
static inline void across_pixel(__m256i sums[2], const uint8_t *const rows[4], const tsr_taps *t, int64_t x)
{
    const __m256i first =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i second = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    __m256i high_a = _mm256_setzero_si256(), low_a = high_a, high_b = high_a, low_b = high_a;
    const int32_t *w = t->packed + x * t->stride;
    int64_t at = 3 * (int64_t)t->lo[x], end = at + 3 * (int64_t)t->n[x];
    for (; at < end; at += 3 * TSR_TAP_GROUP, w += WORDS) {
        __m256i high0 = _mm256_set1_epi32(w[0]), high1 = _mm256_set1_epi32(w[1]);
        __m256i low0 = _mm256_set1_epi32(w[2]), low1 = _mm256_set1_epi32(w[3]);
        __m256i a = two_rows(rows[0] + at, rows[1] + at), b = two_rows(rows[2] + at, rows[3] + at);
        __m256i a0 = _mm256_shuffle_epi8(a, first), a1 = _mm256_shuffle_epi8(a, second);
        __m256i b0 = _mm256_shuffle_epi8(b, first), b1 = _mm256_shuffle_epi8(b, second);
        high_a = add_products(add_products(high_a, a0, high0), a1, high1);
        low_a = add_products(add_products(low_a, a0, low0), a1, low1);
        high_b = add_products(add_products(high_b, b0, high0), b1, high1);
        low_b = add_products(add_products(low_b, b0, low0), b1, low1);
    }
    sums[0] = rounded(high_a, low_a);
    sums[1] = rounded(high_b, low_b);
}

/* Four pixels of two rows, RGB- each, to 12 bytes a row (16 are stored; the next pixels overwrite the rest). */
static inline void store_pixels(uint8_t *to_a, uint8_t *to_b, __m256i p0, __m256i p1, __m256i p2, __m256i p3)
{
    const __m256i dense =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(p0, p1), _mm256_packs_epi32(p2, p3));
    bytes = _mm256_shuffle_epi8(bytes, dense);
    _mm_storeu_si128((__m128i *)to_a, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)to_b, _mm256_extracti128_si256(bytes, 1));
}

static void across(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t n_rows,
                   const tsr_taps *t)
{
    for (int64_t y = 0; y < n_rows; y += 4) {
        const uint8_t *from[4];
        uint8_t *to[4];
        for (int64_t i = 0; i < 4; i++) { /* past the end: the last row once more */
            int64_t row = y + i < n_rows ? y + i : n_rows - 1;
            from[i] = in + row * in_stride;
            to[i] = out + row * out_stride;
        }
        for (int64_t x = 0; x < t->n_out; x += 4) {
            __m256i p0[2], p1[2], p2[2], p3[2];
            across_pixel(p0, from, t, x);
            across_pixel(p1, from, t, x + 1);
            across_pixel(p2, from, t, x + 2);
            across_pixel(p3, from, t, x + 3);
            store_pixels(to[0] + 3 * x, to[1] + 3 * x, p0[0], p1[0], p2[0], p3[0]);
            store_pixels(to[2] + 3 * x, to[3] + 3 * x, p0[1], p1[1], p2[1], p3[1]);
        }
    }
}

static inline __m256i words_of(const uint8_t *bytes)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)bytes));
}

static void down_16(uint8_t *out, const uint8_t *in, int64_t in_stride, const int32_t *w, int64_t n_taps)
{
    __m256i high_l = _mm256_setzero_si256(), low_l = high_l, high_r = high_l, low_r = high_l;
    for (int64_t k = 0; k < n_taps; k += 2) {
        const int32_t *group = w + k / TSR_TAP_GROUP * WORDS + k % TSR_TAP_GROUP / 2;
        __m256i high = _mm256_set1_epi32(group[0]), low = _mm256_set1_epi32(group[2]);
        const uint8_t *row = in + k * in_stride;
        __m256i a = words_of(row), b = words_of(k + 1 < n_taps ? row + in_stride : row);
        __m256i l = _mm256_unpacklo_epi16(a, b), r = _mm256_unpackhi_epi16(a, b);
        high_l = add_products(high_l, l, high);
        low_l = add_products(low_l, l, low);
        high_r = add_products(high_r, r, high);
        low_r = add_products(low_r, r, low);
    }
    __m256i words = _mm256_packs_epi32(rounded(high_l, low_l), rounded(high_r, low_r));
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)out, bytes);
}

static uint8_t down_1(const uint8_t *in, int64_t in_stride, const int32_t *w, int64_t n_taps)
{
    int32_t sum = 1 << (TSR_WEIGHT_BITS - 1);
    for (int64_t k = 0; k < n_taps; k++) {
        const int32_t *group = w + k / TSR_TAP_GROUP * WORDS + k % TSR_TAP_GROUP / 2;
        int shift = k % 2 ? 16 : 0;
        int32_t high = (int16_t)(group[0] >> shift), low = (int16_t)(group[2] >> shift);
        sum += in[k * in_stride] * (high * (1 << LOW_BITS) + low);
    }
    sum >>= TSR_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void down(uint8_t *out, const uint8_t *in, int64_t in_stride, int64_t n_bytes, const int32_t *packed,
                 int64_t n_taps)
{
    int64_t i = 0;
    for (; i + 16 <= n_bytes; i += 16) down_16(out + i, in + i, in_stride, packed, n_taps);
    for (; i < n_bytes; i++) out[i] = down_1(in + i, in_stride, packed, n_taps);
}

const tsr_resize_kernels tsr_resize_avx2 = {"avx2", WORDS, pack, across, down};

#endif
