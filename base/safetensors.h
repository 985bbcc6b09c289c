/* base/safetensors.h: tensors of one or many .safetensors files, by name.
 *
 * Files are mapped; a tensor is a pointer into its map. Every header is validated as the reference does
 * (offsets contiguous, sizes equal to shape times type, nothing past the end, no duplicate names) before
 * anything is used. Unlike the reference, names that stand twice are refused always, and so are more than 8
 * dimensions and sizes from 2^53 on; a size written as 2.0 counts as 2.
 * Source: the safetensors format, `safetensors/src/tensor.rs`.
 */
#ifndef TSR_SAFETENSORS_H
#define TSR_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

#define TSR_TENSOR_MAX_DIMS 8
#define TSR_SAFETENSORS_MAX_HEADER 100000000 /* bytes, the reference's own limit */
#define TSR_SAFETENSORS_MAX_SHARDS 1024

typedef struct tsr_tensor {
    const char *name;
    const char *file;       /* the shard's path, for messages */
    const char *dtype_name; /* as in the file: "BF16", "F8_E4M3", "I64" ... */
    tsr_dtype type;         /* TSR_DTYPE_OTHER for those Tessera has no use for */
    int n_dims;
    int64_t shape[TSR_TENSOR_MAX_DIMS];
    int64_t elements;
    const void *data; /* may be misaligned for its type; never NULL, not even for an empty tensor */
    size_t bytes;
    bool used; /* set by whoever binds it, so that surplus tensors can be named */
} tsr_tensor;

typedef struct tsr_safetensors tsr_safetensors;

/* Open a directory: model.safetensors.index.json and its shards, or model.safetensors. Errors name file and
 * tensor. TSR_E_IO, TSR_E_FORMAT, TSR_E_LIMIT, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_safetensors_open(tsr_safetensors **out, const char *directory);

/* Open one file. */
TSR_CHECKED tsr_status tsr_safetensors_open_file(tsr_safetensors **out, const char *path);

/* Parse one header over memory; for tests and fuzzing. `data` is the whole file, `bytes` long, and must
 * outlive *out. */
TSR_CHECKED tsr_status tsr_safetensors_parse(tsr_safetensors **out, const unsigned char *data, size_t bytes,
                                             const char *name);
void tsr_safetensors_close(tsr_safetensors *st);

/* By exact name, NULL if absent. A hash look-up. */
tsr_tensor *tsr_safetensors_find(tsr_safetensors *st, const char *name);

/* In file order, shard by shard. */
int64_t tsr_safetensors_count(const tsr_safetensors *st);
tsr_tensor *tsr_safetensors_at(tsr_safetensors *st, int64_t i);

/* The raw header bytes and file size of shard i, for the model's id; 0 <= i < shards. */
int64_t tsr_safetensors_shards(const tsr_safetensors *st);
void tsr_safetensors_header(const tsr_safetensors *st, int64_t shard, const unsigned char **header,
                            size_t *header_bytes, size_t *file_bytes);

/* "[4096, 1024]" of a shape, into `to`; returns `to`. */
const char *tsr_shape_text(char *to, size_t to_bytes, const int64_t *shape, int n_dims);

#endif
