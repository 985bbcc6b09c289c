/* kernels/cpu/linear.h: how linear is cut, shared by its kernels.
 *
 * linear.c converts the rows of x once into q->work, divides the rows of the weight into tasks and finishes the
 * sums; a kernel brings the arithmetic of one instruction level. Two routes lead to the same bits: `few` widens
 * weights in registers as they stream by, for a few rows of x; the block route walks panels of weights piece by
 * piece along the depth, so that both factors stay in the caches. On both, a dot product is cut into the
 * same pieces and summed in one order: neither the other rows, nor the route, nor the threads are part of a
 * result.
 */
#ifndef TSR_CPU_LINEAR_H
#define TSR_CPU_LINEAR_H

#include "kernels/ops.h"

/* Packed rows are zeros from their width up to a multiple of STEP columns; only `few` meets the tail of a
 * weight's row. COLLECT rows at a time leave the accumulators. */
enum { TSR_LINEAR_STEP = 64, TSR_LINEAR_COLLECT = 16 };

/* Rows of x ready to be multiplied. */
typedef struct tsr_linear_rows {
    void *data;
    float *scale;   /* by row: what was divided out, else 1 */
    int64_t first;  /* row of x and y that row 0 here is */
    int64_t rows;   /* without padding */
    int64_t stride; /* elements from row to row */
    tsr_dtype type; /* f32 or bf16 */
} tsr_linear_rows;

/* What becomes of the sums. */
typedef struct tsr_linear_finish {
    tsr_view y;
    const tsr_weight *w;
    tsr_linear_opts o;
} tsr_linear_finish;

/* sums[i * ld + j] = the dot product of packed row i with the weight row at w + j * w_bytes. */
typedef void tsr_linear_few_fn(float *sums, int64_t ld, const tsr_linear_rows *x, int64_t n_x, const void *w,
                               int64_t w_bytes, int64_t n_w, int64_t cols);

typedef struct tsr_linear_kernel {
    tsr_dtype type; /* what x and the panels are: f32 or bf16 */

    tsr_linear_few_fn *few[4]; /* by type of the weight; NULL where it is another kernel's */
    int64_t few_rows;          /* up to so many rows take that route; at most COLLECT */

    int64_t unit;  /* packed rows are padded with zero rows to a multiple of this, which divides COLLECT */
    int64_t step;  /* columns are padded with zeros to a multiple of this, which divides STEP */
    int64_t panel; /* weight rows of a task */
    int64_t pass;  /* rows of x per walk over a panel; a multiple of COLLECT */
    int64_t depth; /* columns per piece; a multiple of STEP */

    /* Put columns c0 .. c0 + n of `unit` rows from `row` on, dense in src, into the kernel's own order. NULL:
     * rows lie as they are. */
    void (*place)(const tsr_linear_rows *to, int64_t row, int64_t c0, int64_t n, const void *src);

    /* Add the products of packed rows row .. row + n_x and the panel's n_w rows over columns c0 .. c0 + n to acc,
     * pass * panel floats in an order that is the kernel's own; c0 = 0 begins them. n is a multiple of step, w
     * of type `type`. */
    void (*block)(float *acc, const tsr_linear_rows *x, int64_t row, int64_t n_x, int64_t c0, int64_t n,
                  const void *w, int64_t w_bytes, int64_t n_w);

    /* sums[i * panel + j] = acc of row i0 + i of the pass and weight row j, for COLLECT rows from i0 on. NULL: the
     * accumulators are [rows of x][panel] and nothing is to be done. */
    void (*collect)(float *sums, const float *acc, int64_t i0, int64_t n_w);

    /* Bring n columns of a row of x, a multiple of STEP, into the order in which this kernel takes fp8 weights.
     * NULL: their own. */
    void (*deal)(void *x, int64_t n);

    /* n elements of a weight as `type`; exact. What `deal` is for is written in whole STEPs. */
    void (*widen)(void *to, const void *from, tsr_dtype type, int64_t n);

    /* n elements of x from column c0 of row r as `to`; divided by `scale` and rounded through E4M3 unless it is
     * 0. An fp8 x comes without its scale, but for scales that change along the row. */
    void (*convert)(void *out, tsr_dtype to, tsr_view x, int64_t r, int64_t c0, int64_t n, float scale);

    /* Row r of y from column first on, from its n sums, which are overwritten. */
    void (*finish)(const tsr_linear_finish *f, float *sums, float row_scale, int64_t r, int64_t first,
                   int64_t n);
} tsr_linear_kernel;

extern const tsr_linear_kernel tsr_linear_scalar, tsr_linear_avx2, tsr_linear_avx512, tsr_linear_avx512bf16,
    tsr_linear_amx;

/* An instruction level: by type of the weight, who multiplies the rows that are streamed and who the others.
 * Where both are one, no row knows the difference. */
typedef struct tsr_linear_level {
    const tsr_linear_kernel *stream[4], *block[4];
} tsr_linear_level;

extern const tsr_linear_level tsr_linear_levels[];
enum { TSR_LINEAR_SCALAR, TSR_LINEAR_AVX2, TSR_LINEAR_AVX512, TSR_LINEAR_AVX512BF16, TSR_LINEAR_AMX };

/* linear at a level, with `work` of linear_bytes; the first n_stream rows are streamed. The sizes hold for any
 * n_stream. */
void tsr_cpu_linear_at(const tsr_linear_level *level, tsr_pool *pool, void *work, int64_t n_stream,
                       tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o);
size_t tsr_cpu_linear_bytes(const tsr_linear_level *level, int64_t rows, const tsr_weight *w);

#endif
