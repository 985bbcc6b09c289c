/* preprocess/resize_vnni.c: the resize with AVX-512 VNNI.
 *
 * One instruction multiplies four unsigned bytes by four signed ones and adds the products to a 32-bit sum. A
 * weight is cut into three signed bytes, weight = d2 * 65536 + d1 * 256 + d0; three sums run side by side and
 * meet at the end. Nothing saturates.
 */
#if defined(__x86_64__)

#include <assert.h>
#include <immintrin.h>

#include "preprocess/resize_kernels.h"

enum { WORDS = 3 };

/* Word i: digit i of the four taps. */
static void pack(int32_t *to, const int32_t *q)
{
    uint32_t words[WORDS] = {0};
    for (int k = 0; k < TSR_TAP_GROUP; k++) {
        int32_t rest = q[k];
        for (int i = 0; i < WORDS; i++) {
            int8_t digit = (int8_t)(rest & 255);
            rest = (rest - digit) / 256;
            words[i] |= (uint32_t)(uint8_t)digit << (8 * k);
        }
        assert(rest == 0);
    }
    for (int i = 0; i < WORDS; i++) to[i] = (int32_t)words[i];
}

typedef struct digit_sums {
    __m512i d0, d1, d2;
} digit_sums;

static inline void add_products(digit_sums *s, __m512i bytes, const __m512i w[WORDS])
{
    s->d0 = _mm512_dpbusd_epi32(s->d0, bytes, w[0]);
    s->d1 = _mm512_dpbusd_epi32(s->d1, bytes, w[1]);
    s->d2 = _mm512_dpbusd_epi32(s->d2, bytes, w[2]);
}

static inline digit_sums no_sums(void)
{
    __m512i zero = _mm512_setzero_si512();
    return (digit_sums){zero, zero, zero};
}

static inline void broadcast(__m512i to[WORDS], const int32_t *w)
{
    for (int i = 0; i < WORDS; i++) to[i] = _mm512_set1_epi32(w[i]);
}

/* (d2 * 2^16 + d1 * 2^8 + d0 + half) >> 22 */
static inline __m512i rounded(digit_sums s)
{
    __m512i half = _mm512_set1_epi32(1 << (TSR_WEIGHT_BITS - 1));
    __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(s.d2, 16), _mm512_slli_epi32(s.d1, 8));
    sum = _mm512_add_epi32(sum, _mm512_add_epi32(s.d0, half));
    return _mm512_srai_epi32(sum, TSR_WEIGHT_BITS);
}

static inline __m512i four_rows(const uint8_t *const rows[4], int64_t at)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(rows[0] + at)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[1] + at)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[2] + at)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(rows[3] + at)), 3);
}

/* One output pixel of four rows, a row to each 128-bit lane: R, G, B, nothing. */
static inline __m512i across_pixel(const uint8_t *const rows[4], const tsr_taps *t, int64_t x)
{
    const __m512i planar =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    digit_sums sums = no_sums();
    const int32_t *w = t->packed + x * t->stride;
    int64_t at = 3 * (int64_t)t->lo[x], end = at + 3 * (int64_t)t->n[x];
    for (; at < end; at += 3 * TSR_TAP_GROUP, w += WORDS) {
        __m512i weights[WORDS];
        broadcast(weights, w);
        add_products(&sums, _mm512_shuffle_epi8(four_rows(rows, at), planar), weights);
    }
    return rounded(sums);
}

static inline __m512i packed_bytes(__m512i a, __m512i b, __m512i c, __m512i d)
{
    return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

static void across(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t n_rows,
                   const tsr_taps *t)
{
    const __m512i dense =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    for (int64_t y = 0; y < n_rows; y += 4) {
        const uint8_t *from[4];
        uint8_t *to[4];
        for (int64_t i = 0; i < 4; i++) { /* past the end: the last row once more */
            int64_t row = y + i < n_rows ? y + i : n_rows - 1;
            from[i] = in + row * in_stride;
            to[i] = out + row * out_stride;
        }
        for (int64_t x = 0; x < t->n_out; x += 4) {
            __m512i p0 = across_pixel(from, t, x), p1 = across_pixel(from, t, x + 1);
            __m512i p2 = across_pixel(from, t, x + 2), p3 = across_pixel(from, t, x + 3);
            /* 12 bytes a row; 16 are stored, the next pixels overwrite the rest */
            __m512i bytes = _mm512_shuffle_epi8(packed_bytes(p0, p1, p2, p3), dense);
            _mm_storeu_si128((__m128i *)(to[0] + 3 * x), _mm512_castsi512_si128(bytes));
            _mm_storeu_si128((__m128i *)(to[1] + 3 * x), _mm512_extracti32x4_epi32(bytes, 1));
            _mm_storeu_si128((__m128i *)(to[2] + 3 * x), _mm512_extracti32x4_epi32(bytes, 2));
            _mm_storeu_si128((__m128i *)(to[3] + 3 * x), _mm512_extracti32x4_epi32(bytes, 3));
        }
    }
}

/* 64 neighbouring bytes, or those of `mask`. */
static inline void down_64(uint8_t *out, const uint8_t *in, int64_t in_stride, __mmask64 mask,
                           const int32_t *w, int64_t n_taps)
{
    digit_sums s0 = no_sums(), s1 = s0, s2 = s0, s3 = s0;
    for (int64_t k = 0; k < n_taps; k += TSR_TAP_GROUP, w += WORDS) {
        __m512i row[TSR_TAP_GROUP];
        for (int64_t i = 0; i < TSR_TAP_GROUP; i++) { /* past the end: weight 0 */
            int64_t at = k + i < n_taps ? k + i : n_taps - 1;
            row[i] = _mm512_maskz_loadu_epi8(mask, in + at * in_stride);
        }
        /* bytes of four rows side by side; the packs at the end undo the order within lanes */
        __m512i low01 = _mm512_unpacklo_epi8(row[0], row[1]), high01 = _mm512_unpackhi_epi8(row[0], row[1]);
        __m512i low23 = _mm512_unpacklo_epi8(row[2], row[3]), high23 = _mm512_unpackhi_epi8(row[2], row[3]);
        __m512i weights[WORDS];
        broadcast(weights, w);
        add_products(&s0, _mm512_unpacklo_epi16(low01, low23), weights);
        add_products(&s1, _mm512_unpackhi_epi16(low01, low23), weights);
        add_products(&s2, _mm512_unpacklo_epi16(high01, high23), weights);
        add_products(&s3, _mm512_unpackhi_epi16(high01, high23), weights);
    }
    __m512i bytes = packed_bytes(rounded(s0), rounded(s1), rounded(s2), rounded(s3));
    _mm512_mask_storeu_epi8(out, mask, bytes);
}

static void down(uint8_t *out, const uint8_t *in, int64_t in_stride, int64_t n_bytes, const int32_t *packed,
                 int64_t n_taps)
{
    int64_t i = 0;
    for (; i + 64 <= n_bytes; i += 64) down_64(out + i, in + i, in_stride, ~(__mmask64)0, packed, n_taps);
    if (i < n_bytes)
        down_64(out + i, in + i, in_stride, ~(__mmask64)0 >> (64 - (n_bytes - i)), packed, n_taps);
}

const tsr_resize_kernels tsr_resize_vnni = {"vnni", WORDS, pack, across, down};

#endif
