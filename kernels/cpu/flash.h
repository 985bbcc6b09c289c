/* kernels/cpu/flash.h: softmax attention of many rows over blocks of keys. Compiled per level.
 *
 * The caller packs rows of q (scaled) and feeds the keys and values in blocks of FLASH_KEYS, in order. Each row
 * keeps the largest score so far, the sum of its weights and the weighted sum of values relative to that score;
 * a block that brings a larger one rescales both. A row meets the same blocks wherever it stands.
 * Source: arXiv:2205.14135, algorithm 1 (one pass over K and V); arXiv:1805.02867 (the running maximum).
 */
#ifndef TSR_CPU_FLASH_H
#define TSR_CPU_FLASH_H

#include <math.h>

#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"

/* FLASH_TILE rows at a time keep scores, keys and values in L1 and L2. */
enum { FLASH_KEYS = 128, FLASH_TILE = 48, FLASH_MAX_ROWS = 1056, FLASH_MAX_DIM = 1024 };

typedef struct flash {
    int64_t dim, ld;         /* of a head; padded to whole vectors */
    int64_t max_rows;        /* of q that fit */
    float *q;                /* [max_rows][ld] */
    float *y;                /* [max_rows][ld] */
    float *largest, *total;  /* [max_rows] */
    int64_t *visible;        /* [max_rows] a row sees keys 0 .. visible - 1; ascending */
    float *k;                /* [ld][FLASH_KEYS] transposed */
    float *v;                /* [FLASH_KEYS][ld] */
    float *scores, *rescale; /* [FLASH_TILE][FLASH_KEYS], [FLASH_TILE] */
    float *row;              /* [FLASH_KEYS][ld], for the caller */
} flash;

INLINE float *flash_take(float **memory, int64_t n)
{
    float *taken = *memory;
    *memory += (n + 15) / 16 * 16;
    return taken;
}

/* Rows of q that a worker's memory holds: fewer, the wider the heads. */
static inline int64_t flash_max_rows(int64_t dim)
{
    int64_t rows = 67584 / round_lanes(dim);
    return rows < FLASH_MAX_ROWS ? rows : FLASH_MAX_ROWS;
}

/* Lay out a worker's memory. */
static inline flash flash_open(void *memory, int64_t dim)
{
    float *at = memory;
    flash f = {.dim = dim, .ld = round_lanes(dim), .max_rows = flash_max_rows(dim)};
    f.q = flash_take(&at, f.max_rows * f.ld);
    f.y = flash_take(&at, f.max_rows * f.ld);
    f.largest = flash_take(&at, f.max_rows);
    f.total = flash_take(&at, f.max_rows);
    f.visible = (int64_t *)flash_take(&at, 2 * f.max_rows);
    f.k = flash_take(&at, f.ld * FLASH_KEYS);
    f.v = flash_take(&at, FLASH_KEYS * f.ld);
    f.row = flash_take(&at, FLASH_KEYS * f.ld);
    f.scores = flash_take(&at, FLASH_TILE * FLASH_KEYS);
    f.rescale = flash_take(&at, FLASH_TILE);
    return f;
}

/* Row i of q from any floating type; it sees `visible` keys. */
INLINE void flash_query(flash *f, int64_t i, const void *q, tsr_dtype type, float scale, int64_t visible)
{
    float *row = f->q + i * f->ld;
    widen(row, q, type, f->dim);
    for (int64_t d = 0; d < f->dim; d++) row[d] *= scale;
    memset(f->y + i * f->ld, 0, (size_t)f->ld * sizeof *f->y);
    f->largest[i] = -INFINITY;
    f->total[i] = 0;
    f->visible[i] = visible;
}

/* Scores of one row become weights; what the sums so far are to be multiplied with. */
INLINE float flash_weights(float *s, int64_t n_keys, int64_t n_visible, float *largest, float *total)
{
    int64_t n = n_visible < n_keys ? n_visible : n_keys, padded = round_lanes(n_keys);
    for (int64_t j = n > 0 ? n : 0; j < padded; j++) s[j] = -INFINITY;
    vf most = vf_all(*largest);
    for (int64_t j = 0; j < padded; j += LANES) most = vf_max(most, vf_load(s + j));
    float now = vf_largest(most);
    vf sum = {0};
    for (int64_t j = 0; j < padded; j += LANES) {
        vf p = vf_exp_down(vf_load(s + j) - now);
        vf_store(s + j, p);
        sum += p;
    }
    float rescale = *largest == now ? 1 : expf(*largest - now);
    *total = *total * rescale + vf_sum(sum);
    *largest = now;
    return rescale;
}

/* Rows 0 .. n_rows - 1 meet keys first .. first + n_keys - 1, which lie in f->k and f->v, f->k being zero from
 * n_keys up to the next whole vector. */
static inline void flash_block(flash *f, int64_t n_rows, int64_t first, int64_t n_keys)
{
    for (int64_t i = 0; i < n_rows; i += FLASH_TILE) {
        int64_t n = n_rows - i < FLASH_TILE ? n_rows - i : FLASH_TILE;
        int64_t keys = f->visible[i + n - 1] - first; /* what the tile's last row sees */
        if (keys <= 0) continue;
        if (keys > n_keys) keys = n_keys;
        product(f->scores, FLASH_KEYS, f->q + i * f->ld, f->ld, f->k, FLASH_KEYS, n, round_lanes(keys),
                f->dim, NULL);
        for (int64_t r = 0; r < n; r++)
            f->rescale[r] = flash_weights(f->scores + r * FLASH_KEYS, keys, f->visible[i + r] - first,
                                          &f->largest[i + r], &f->total[i + r]);
        product(f->y + i * f->ld, f->ld, f->scores, FLASH_KEYS, f->v, f->ld, n, f->ld, keys, f->rescale);
    }
}

/* The finished row i, times scale, into y. */
INLINE void flash_finish(flash *f, int64_t i, void *y, tsr_dtype type, float scale)
{
    float *row = f->y + i * f->ld, share = scale / f->total[i];
    for (int64_t d = 0; d < f->dim; d++) row[d] *= share;
    narrow(y, type, row, f->dim);
}

#endif
