/* kernels/cuda/cublaslt.h: the part of cuBLASLt that linear calls, found at run time.
 *
 * The library is the machine's own: neither its header nor it itself is needed to build or to run. Types and
 * numbers are those of its documented interface, which versions 12.9 to 13 share.
 */
#ifndef TSR_CUBLASLT_H
#define TSR_CUBLASLT_H

#include <cuda_runtime.h>
#include <stdint.h>

typedef struct cublasLtContext *blas_handle;
typedef struct blas_desc_s *blas_desc;     /* cublasLtMatmulDesc_t */
typedef struct blas_layout_s *blas_layout; /* cublasLtMatrixLayout_t */
typedef struct blas_pref_s *blas_pref;     /* cublasLtMatmulPreference_t */

/* Plain data of one library version and one device: may be kept in a file. */
typedef struct blas_algo {
    uint64_t data[8];
} blas_algo;

typedef struct blas_heuristic {
    blas_algo algo;
    size_t work_bytes;
    int status;
    float waves;
    int reserved[4];
} blas_heuristic;

enum {
    BLAS_F32 = 0, /* cudaDataType */
    BLAS_BF16 = 14,
    BLAS_FP8 = 28,
    BLAS_COMPUTE_F32 = 68,
    BLAS_TRANSPOSED = 1,
    BLAS_DESC_TRANSA = 3, /* cublasLtMatmulDescAttributes_t */
    BLAS_DESC_A_SCALE = 17,
    BLAS_DESC_B_SCALE = 18,
    BLAS_DESC_FAST_ACCUM = 25,
    BLAS_DESC_A_SCALE_MODE = 31,
    BLAS_DESC_B_SCALE_MODE = 32,
    BLAS_SCALE_OUTER_VECTOR = 3, /* one per row of the product, times one per column */
    BLAS_PREF_WORK_BYTES = 1
};

typedef struct blas_library {
    int version; /* 130100 for 13.1.0 */
    blas_handle handle;

    size_t (*get_version)(void);
    int (*create)(blas_handle *out);
    int (*matmul)(blas_handle h, blas_desc desc, const void *alpha, const void *a, blas_layout of_a,
                  const void *b, blas_layout of_b, const void *beta, const void *c, blas_layout of_c, void *d,
                  blas_layout of_d, const blas_algo *algo, void *work, size_t work_bytes,
                  cudaStream_t stream);
    int (*heuristic)(blas_handle h, blas_desc desc, blas_layout a, blas_layout b, blas_layout c,
                     blas_layout d, blas_pref pref, int wanted, blas_heuristic *results, int *found);
    int (*check)(blas_handle h, blas_desc desc, blas_layout a, blas_layout b, blas_layout c, blas_layout d,
                 const blas_algo *algo, blas_heuristic *result);
    int (*desc_create)(blas_desc *out, int compute, int scale_type);
    int (*desc_set)(blas_desc d, int attribute, const void *value, size_t bytes);
    int (*desc_destroy)(blas_desc d);
    int (*layout_create)(blas_layout *out, int type, uint64_t rows, uint64_t cols, int64_t ld);
    int (*layout_destroy)(blas_layout l);
    int (*pref_create)(blas_pref *out);
    int (*pref_set)(blas_pref p, int attribute, const void *value, size_t bytes);
    int (*pref_destroy)(blas_pref p);
} blas_library;

/* The library, opened by the first call; NULL where there is none of 12.9 or newer, which is logged once. */
const blas_library *blas_open(void);

/* What a choice depends on. */
typedef struct blas_shape {
    int64_t rows, n_out, n_in; /* rows of x as blas_rows_class gives them */
    int32_t x_type, y_type, vector_scales;
} blas_shape;

/* A size that stands for `rows`: the next with three significant bits, so that ragged steps share choices. */
int64_t blas_rows_class(int64_t rows);

/* The choice that was kept for a shape, in this process or in the file of this GPU and library version. */
bool blas_choice_find(blas_algo *out, const blas_shape *shape);
/* Keep one. A file that cannot be written is logged. */
void blas_choice_keep(const blas_shape *shape, const blas_algo *algo);

#endif
