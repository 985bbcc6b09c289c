/* kernels/cpu/linear_avx512bf16.c: linear with AVX-512 BF16: bf16 and fp8 weights meet x rounded to bf16, two
 * products to a partial sum at a time; f32 and f16 weights go the way of AVX-512.
 *
 * vdpbf16ps rounds to nearest even and takes subnormal inputs for zero whatever MXCSR says, so E4M3 is expanded
 * to normal bf16 numbers, which hold all of its values.
 */
#include "kernels/cpu/linear_rows.h"
#include "kernels/cpu/linear_zmm.h"

enum { STEP = 32, NX = 6, NW = 4, PANEL = 128, PASS = 192, FP8_NX = 4 };
#define TYPE TSR_BF16

typedef uint16_t elem;
typedef __m512bh factor;

static inline vec madd(vec sum, factor w, factor x)
{
    return _mm512_dpbf16_ps(sum, w, x);
}

static inline factor load_x(const elem *p)
{
    return (factor)_mm512_loadu_si512(p);
}

static inline factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
{
    return (factor)_mm512_loadu_si512(row + column * type_bytes(type));
}

#include "kernels/cpu/linear_tile.h"

DEFINE_FEW(few_bf16, TSR_BF16)

/* What makes bf16 of E4M3 by table: the high byte by the code's 7 bits below the sign; the low one by 6, since
 * but for subnormals it holds the last bits of the code alone. */
typedef struct fp8_bytes {
    __m512i high[2], low;
} fp8_bytes;

static fp8_bytes fp8_tables(void)
{
    uint8_t high[128], low[64];
    for (int i = 0; i < 128; i++) high[i] = (uint8_t)(tsr_bits_of(tsr_fp8_table[i]) >> 24);
    for (int i = 0; i < 64; i++) low[i] = (uint8_t)(tsr_bits_of(tsr_fp8_table[i]) >> 16);
    return (fp8_bytes){{_mm512_loadu_si512(high), _mm512_loadu_si512(high + 64)}, _mm512_loadu_si512(low)};
}

/* 64 codes to bf16, in the order that `deal` gives x: that in which interleaving leaves them. Bit 6 joins bit 5 so
 * that no larger code meets a subnormal's entry; the NaN code takes the entry of 63, and is one by its high byte. */
static inline void expand(factor to[2], __m512i codes, const fp8_bytes *t)
{
    __asm__("" : "+v"(codes)); /* gcc would read them from memory at each of their four uses */
    __m512i six = _mm512_ternarylogic_epi32(codes, _mm512_srli_epi16(codes, 1), _mm512_set1_epi8(0x20),
                                            0xf8); /* codes | codes / 2 & 0x20 */
    __m512i low = _mm512_permutexvar_epi8(six, t->low);
    __m512i high = _mm512_permutex2var_epi8(t->high[0], codes, t->high[1]);
    high =
        _mm512_ternarylogic_epi32(high, codes, _mm512_set1_epi8((char)0x80), 0xf8); /* high | codes & 0x80 */
    to[0] = (factor)_mm512_unpacklo_epi8(low, high);
    to[1] = (factor)_mm512_unpackhi_epi8(low, high);
}

/* Every 64 columns of x: the even runs of 8, then the odd ones. */
static void deal(void *x, int64_t n)
{
    const __m512i even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13),
                  odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
    for (uint16_t *p = x; n > 0; n -= 2 * STEP, p += 2 * STEP) {
        __m512i first = _mm512_loadu_si512(p), second = _mm512_loadu_si512(p + STEP);
        _mm512_storeu_si512(p, _mm512_permutex2var_epi64(first, even, second));
        _mm512_storeu_si512(p + STEP, _mm512_permutex2var_epi64(first, odd, second));
    }
}

/* As tile, two steps at a time: 64 codes are a cache line. The last ones may be short of columns, never of zeros. */
INLINE void fp8_tile(float *sums, int64_t ld, int64_t apart, const elem *x, int64_t x_stride, int n_x,
                     const unsigned char *w, int64_t w_bytes, int n_w, int64_t n, bool begin,
                     const fp8_bytes *t)
{
    vec acc[FP8_NX][NW];
    UNROLL
    for (int i = 0; i < n_x; i++) {
        UNROLL
        for (int j = 0; j < n_w; j++) acc[i][j] = vec_zero();
    }
    int64_t whole = n - n % (2 * STEP), left = n - whole;
    for (int64_t k = 0; k < whole; k += 2 * STEP) {
        UNROLL
        for (int j = 0; j < n_w; j++) {
            factor wk[2];
            __builtin_prefetch(w + j * w_bytes + k + FAR);
            expand(wk, _mm512_loadu_si512(w + j * w_bytes + k), t);
            UNROLL
            for (int i = 0; i < n_x; i++) {
                acc[i][j] = madd(acc[i][j], wk[0], load_x(x + i * x_stride + k));
                acc[i][j] = madd(acc[i][j], wk[1], load_x(x + i * x_stride + k + STEP));
            }
        }
    }
    if (left > 0) {
        UNROLL
        for (int j = 0; j < n_w; j++) {
            factor wk[2];
            expand(wk, _mm512_maskz_loadu_epi8(((__mmask64)1 << left) - 1, w + j * w_bytes + whole), t);
            UNROLL
            for (int i = 0; i < n_x; i++) {
                acc[i][j] = madd(acc[i][j], wk[0], load_x(x + i * x_stride + whole));
                acc[i][j] = madd(acc[i][j], wk[1], load_x(x + i * x_stride + whole + STEP));
            }
        }
    }
    UNROLL
    for (int i = 0; i < n_x; i++) add_sums(sums + i * ld, apart, acc[i], n_w, begin);
}

INLINE void fp8_tiles(float *sums, int64_t ld, int64_t apart, const elem *x, int64_t x_stride, int64_t n_x,
                      const unsigned char *w, int64_t w_bytes, int n_w, int64_t n, bool begin,
                      const fp8_bytes *t)
{
    int64_t i = 0;
    for (; i + FP8_NX <= n_x; i += FP8_NX)
        fp8_tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, FP8_NX, w, w_bytes, n_w, n, begin, t);
    for (; i + 2 <= n_x; i += 2)
        fp8_tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, 2, w, w_bytes, n_w, n, begin, t);
    if (i < n_x)
        fp8_tile(sums + i * ld, ld, apart, x + i * x_stride, x_stride, 1, w, w_bytes, n_w, n, begin, t);
}

/* As few. */
static void few_fp8(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t n_x, const void *w,
                    int64_t w_bytes, int64_t n_w, int64_t cols)
{
    const elem *x0 = x->data;
    const fp8_bytes t = fp8_tables();
    const int64_t part = n_w / NW;
    for (int64_t j = 0; j < part; j++)
        for (int64_t c = 0; c < cols; c += DEPTH)
            fp8_tiles(sums + j, ld, part, x0 + c, x->stride, n_x, (const unsigned char *)w + j * w_bytes + c,
                      part * w_bytes, NW, cols - c < DEPTH ? cols - c : DEPTH, c == 0, &t);
    for (int64_t j = part * NW; j < n_w; j++)
        for (int64_t c = 0; c < cols; c += DEPTH)
            fp8_tiles(sums + j, ld, 1, x0 + c, x->stride, n_x, (const unsigned char *)w + j * w_bytes + c,
                      w_bytes, 1, cols - c < DEPTH ? cols - c : DEPTH, c == 0, &t);
}

/* bf16 rows that end between steps are copied, to be padded; fp8 comes as `deal` has x, in whole 64s. */
static void widen(void *to, const void *from, tsr_dtype type, int64_t n)
{
    if (type == TSR_BF16) {
        memcpy(to, from, (size_t)n * sizeof(uint16_t));
        return;
    }
    const fp8_bytes t = fp8_tables();
    for (int64_t i = 0; i < n; i += 2 * STEP) {
        __mmask64 there = n - i < 2 * STEP ? ((__mmask64)1 << (n - i)) - 1 : ~(__mmask64)0;
        factor out[2];
        expand(out, _mm512_maskz_loadu_epi8(there, (const unsigned char *)from + i), &t);
        _mm512_storeu_si512((uint16_t *)to + i, (__m512i)out[0]);
        _mm512_storeu_si512((uint16_t *)to + i + STEP, (__m512i)out[1]);
    }
}

const tsr_linear_kernel tsr_linear_avx512bf16 = {
    .type = TYPE,
    .few = {[TSR_BF16] = few_bf16, [TSR_FP8] = few_fp8},
    .few_rows = TSR_LINEAR_COLLECT,
    .unit = 1,
    .step = STEP,
    .panel = PANEL,
    .pass = PASS,
    .depth = DEPTH,
    .block = block,
    .deal = deal,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
