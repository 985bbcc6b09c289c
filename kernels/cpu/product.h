/* kernels/cpu/product.h: small f32 matrix products for attention and the scan. Compiled per level.
 *
 * Factors were brought into dense f32 scratch by the caller, so that this one routine serves scores, values,
 * Gram matrices and states alike. Each element is one chain of multiply-adds in ascending k: no tile size,
 * neighbour or thread is part of a result.
 */
#ifndef TSR_CPU_PRODUCT_H
#define TSR_CPU_PRODUCT_H

#include "kernels/cpu/vec.h"

/* The register tile: TILE_ROWS x TILE_VECS sums, TILE_VECS vectors of b and one factor of a fill the registers
 * of the level. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 6, TILE_VECS = 4 };
#else
enum { TILE_ROWS = 6, TILE_VECS = 2 };
#endif

/* Columns are padded to whole vectors. */
INLINE int64_t round_lanes(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

INLINE void product_tile(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                         int64_t n_k, const float *rescale, int rows, int vecs)
{
    vf sum[TILE_ROWS][TILE_VECS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vecs; j++)
            sum[i][j] = rescale ? vf_load(c + i * ldc + j * LANES) * rescale[i] : (vf){0};
    for (int64_t k = 0; k < n_k; k++) {
        vf bk[TILE_VECS];
        for (int j = 0; j < vecs; j++) bk[j] = vf_load(b + k * ldb + j * LANES);
        for (int i = 0; i < rows; i++) {
            vf ak = vf_all(a[i * lda + k]);
            for (int j = 0; j < vecs; j++) sum[i][j] = vf_fma(ak, bk[j], sum[i][j]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < vecs; j++) vf_store(c + i * ldc + j * LANES, sum[i][j]);
}

/* rows and vecs are constants in each call, so that the sums live in registers. */
INLINE void product_strip(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                          int64_t m, int64_t n_k, const float *rescale, int vecs)
{
    int64_t i = 0;
    for (; i + TILE_ROWS <= m; i += TILE_ROWS)
        product_tile(c + i * ldc, ldc, a + i * lda, lda, b, ldb, n_k, rescale ? rescale + i : NULL, TILE_ROWS,
                     vecs);
    for (; i + 2 <= m; i += 2)
        product_tile(c + i * ldc, ldc, a + i * lda, lda, b, ldb, n_k, rescale ? rescale + i : NULL, 2, vecs);
    if (i < m)
        product_tile(c + i * ldc, ldc, a + i * lda, lda, b, ldb, n_k, rescale ? rescale + i : NULL, 1, vecs);
}

/* c[i, j] = rescale[i] c[i, j] + sum over k of a[i, k] b[k, j]; without rescale c is only written.
 *
 *   c  [m, n]    a  [m, n_k]    b  [n_k, n]    rescale  [m] or NULL;    n is a multiple of LANES
 */
static inline void product(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                           int64_t m, int64_t n, int64_t n_k, const float *rescale)
{
    int64_t j = 0;
    for (; j + TILE_VECS * LANES <= n; j += TILE_VECS * LANES)
        product_strip(c + j, ldc, a, lda, b + j, ldb, m, n_k, rescale, TILE_VECS);
    for (; j < n; j += LANES) product_strip(c + j, ldc, a, lda, b + j, ldb, m, n_k, rescale, 1);
}

/* to[c * ld + r] = from[r * stride + c] */
static inline void transpose(float *to, int64_t ld, const float *from, int64_t stride, int64_t rows,
                             int64_t cols)
{
    enum { SIDE = 16 }; /* a block of both fits L1 whatever the strides */
    for (int64_t r0 = 0; r0 < rows; r0 += SIDE)
        for (int64_t c0 = 0; c0 < cols; c0 += SIDE)
            for (int64_t c = c0; c < c0 + SIDE && c < cols; c++)
                for (int64_t r = r0; r < r0 + SIDE && r < rows; r++) to[c * ld + r] = from[r * stride + c];
}

#endif
