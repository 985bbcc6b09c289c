/* kernels/cpu/linear_amx.c: products of many rows on AMX tiles, for bf16 and fp8 weights.
 *
 * The weight is the left factor: 16 of its rows by 32 columns are a tile just as the file holds them. x is the
 * right one and is packed for it once: columns in pairs, 16 rows side by side. A dot product is one sum, taken
 * in ascending pairs of columns; which tile it sits in and how many rows stand beside it do not matter.
 * Source: Intel Architecture Instruction Set Extensions, TDPBF16PS (rounds to nearest even, takes subnormals
 * for zero).
 */
#include <immintrin.h>

#include "kernels/cpu/linear_rows.h"

enum {
    SIDE = 16,
    STEP = 32,
    TILE = SIDE * SIDE,
    PANEL = 128,
    PASS = 512,
    DEPTH = 512,
    GROUPS = PANEL / SIDE
};

/* Transpose 16 x 16 words of 32 bits; rows from_stride and to_stride words apart. */
static inline void transpose(uint32_t *to, int64_t to_stride, const uint32_t *from, int64_t from_stride)
{
    __m512i a[SIDE], b[SIDE];
    for (int i = 0; i < SIDE; i++) a[i] = _mm512_loadu_si512(from + i * from_stride);
    for (int i = 0; i < SIDE; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < SIDE; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    /* Now a[4 g + c] holds column 4 l + c of rows 4 g .. 4 g + 3 in its lane l. */
    for (int c = 0; c < 4; c++) {
        __m512i even0 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88),
                odd0 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
        __m512i even1 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88),
                odd1 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + c * to_stride, _mm512_shuffle_i32x4(even0, even1, 0x88));
        _mm512_storeu_si512(to + (4 + c) * to_stride, _mm512_shuffle_i32x4(odd0, odd1, 0x88));
        _mm512_storeu_si512(to + (8 + c) * to_stride, _mm512_shuffle_i32x4(even0, even1, 0xdd));
        _mm512_storeu_si512(to + (12 + c) * to_stride, _mm512_shuffle_i32x4(odd0, odd1, 0xdd));
    }
}

/* Rows of x in groups of 16: pair of columns by pair, the 16 rows' pairs side by side. */
static inline uint32_t *group(const tsr_linear_rows *x, int64_t row, int64_t column)
{
    return (uint32_t *)x->data + (row * x->stride + column * SIDE) / 2;
}

static void place(const tsr_linear_rows *to, int64_t row, int64_t c0, int64_t n, const void *src)
{
    for (int64_t c = 0; c < n; c += 2 * SIDE)
        transpose(group(to, row, c0 + c), SIDE, (const uint32_t *)src + c / 2, n / 2);
}

typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Tiles 0 .. 3: sums; 4, 5: `first` and `second` rows of the weight; 6, 7: x. */
static void configure(int first, int second)
{
    tile_config c = {.palette = 1};
    const int rows[8] = {first, first, second, second, first, second, SIDE, SIDE};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = (uint8_t)rows[i];
        c.row_bytes[i] = 64;
    }
    _tile_loadconfig(&c);
}

/* Sums [group of x][group of w][row of w][row of x]. Two groups by two. */
static void block_2x2(float *acc, const uint32_t *x0, const uint32_t *x1, const unsigned char *w0,
                      const unsigned char *w1, int64_t w_bytes, int64_t n, bool begin)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (!begin) {
        _tile_loadd(0, acc, 64);
        _tile_loadd(1, acc + GROUPS * TILE, 64);
        _tile_loadd(2, acc + TILE, 64);
        _tile_loadd(3, acc + (GROUPS + 1) * TILE, 64);
    }
    for (int64_t k = 0; k < n; k += STEP) {
        _tile_loadd(6, x0 + k * SIDE / 2, 64);
        _tile_loadd(4, w0 + 2 * k, w_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, x1 + k * SIDE / 2, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, w1 + 2 * k, w_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, acc, 64);
    _tile_stored(1, acc + GROUPS * TILE, 64);
    _tile_stored(2, acc + TILE, 64);
    _tile_stored(3, acc + (GROUPS + 1) * TILE, 64);
}

static void block_2x1(float *acc, const uint32_t *x0, const unsigned char *w0, const unsigned char *w1,
                      int64_t w_bytes, int64_t n, bool begin)
{
    _tile_zero(0);
    _tile_zero(2);
    if (!begin) {
        _tile_loadd(0, acc, 64);
        _tile_loadd(2, acc + TILE, 64);
    }
    for (int64_t k = 0; k < n; k += STEP) {
        _tile_loadd(6, x0 + k * SIDE / 2, 64);
        _tile_loadd(4, w0 + 2 * k, w_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, w1 + 2 * k, w_bytes);
        _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, acc, 64);
    _tile_stored(2, acc + TILE, 64);
}

/* One group of weight rows, perhaps not a whole one. */
static void block_1x1(float *acc, const uint32_t *x0, const unsigned char *w0, int64_t w_bytes, int64_t n,
                      bool begin)
{
    _tile_zero(0);
    if (!begin) _tile_loadd(0, acc, 64);
    for (int64_t k = 0; k < n; k += STEP) {
        _tile_loadd(6, x0 + k * SIDE / 2, 64);
        _tile_loadd(4, w0 + 2 * k, w_bytes);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, acc, 64);
}

static void block(float *acc, const tsr_linear_rows *x, int64_t row, int64_t n_x, int64_t c0, int64_t n,
                  const void *w, int64_t w_bytes, int64_t n_w)
{
    int64_t j = 0, x_step = x->stride * SIDE / 2;
    const uint32_t *x0 = group(x, row, c0);
    bool begin = c0 == 0;
    configure(SIDE, SIDE);
    for (; j + 2 * SIDE <= n_w; j += 2 * SIDE) {
        const unsigned char *w0 = (const unsigned char *)w + j * w_bytes, *w1 = w0 + SIDE * w_bytes;
        float *to = acc + j / SIDE * TILE;
        int64_t g = 0;
        for (; g + 2 <= n_x / SIDE; g += 2)
            block_2x2(to + g * GROUPS * TILE, x0 + g * x_step, x0 + (g + 1) * x_step, w0, w1, w_bytes, n,
                      begin);
        if (g < n_x / SIDE) block_2x1(to + g * GROUPS * TILE, x0 + g * x_step, w0, w1, w_bytes, n, begin);
    }
    for (; j < n_w; j += SIDE) {
        configure((int)(n_w - j < SIDE ? n_w - j : SIDE), SIDE);
        for (int64_t g = 0; g < n_x / SIDE; g++)
            block_1x1(acc + (g * GROUPS + j / SIDE) * TILE, x0 + g * x_step,
                      (const unsigned char *)w + j * w_bytes, w_bytes, n, begin);
    }
    _tile_release();
}

static void collect(float *sums, const float *acc, int64_t i0, int64_t n_w)
{
    for (int64_t j = 0; j < n_w; j += SIDE)
        transpose((uint32_t *)sums + j, PANEL, (const uint32_t *)acc + (i0 / SIDE * GROUPS + j / SIDE) * TILE,
                  SIDE);
}

/* Any order of columns serves, if both factors have it. */
static void deal(void *x, int64_t n)
{
    tsr_linear_avx512bf16.deal(x, n);
}

static void widen(void *to, const void *from, tsr_dtype type, int64_t n)
{
    tsr_linear_avx512bf16.widen(to, from, type, n);
}

const tsr_linear_kernel tsr_linear_amx = {
    .type = TSR_BF16,
    .unit = SIDE,
    .step = STEP,
    .panel = PANEL,
    .pass = PASS,
    .depth = DEPTH,
    .place = place,
    .block = block,
    .collect = collect,
    .deal = deal,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
