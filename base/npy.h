/* base/npy.h: arrays as NumPy's .npy files, for traces and vectors.
 *
 * Version 1.0, C order, little-endian, f32, u8 or i32.
 * Source: numpy/lib/format.py.
 */
#ifndef TSR_NPY_H
#define TSR_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

#define TSR_NPY_MAX_DIMS 8

typedef struct tsr_npy {
    tsr_dtype type; /* TSR_F32, TSR_U8 or TSR_I32 */
    int n_dims;     /* 0 for a scalar */
    int64_t shape[TSR_NPY_MAX_DIMS];
    int64_t elements;
    void *data; /* aligned for its type */
} tsr_npy;

/* Write an array whole or not at all (tsr_file_write). The shape is the product's own: n_dims at most
 * TSR_NPY_MAX_DIMS, no negative sizes. Errors: TSR_E_IO, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_npy_write(const char *path, tsr_dtype type, const int64_t *shape, int n_dims,
                                     const void *data);

/* Read one of the files above, at most max_bytes long, into memory that *out owns. Errors: TSR_E_IO,
 * TSR_E_LIMIT, TSR_E_FORMAT, TSR_E_UNSUPPORTED for other types, versions and orders, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_npy_read(tsr_npy *out, const char *path, size_t max_bytes);
void tsr_npy_close(tsr_npy *npy); /* a zeroed one is a no-op */

#endif
