/* runtime/shards.h: writing a checkpoint's weights as .safetensors files and their index, tensor by tensor.
 *
 * For files of runtime/ alone. Source: the safetensors format; the index as Hugging Face writes it.
 */
#ifndef TSR_RUNTIME_SHARDS_H
#define TSR_RUNTIME_SHARDS_H

#include "base/safetensors.h"
#include "kernels/ops.h"

/* What becomes of `data`. */
typedef enum tsr_out_kind {
    TSR_OUT_COPY,  /* its bytes */
    TSR_OUT_CODES, /* a matrix in E4M3, divided by `scale` */
    TSR_OUT_SCALE  /* there is none: `scale` itself, f32 and without dimensions */
} tsr_out_kind;

/* One tensor of the new files. */
typedef struct tsr_out_tensor {
    char *name;        /* owned */
    const char *dtype; /* as files spell it */
    int64_t shape[TSR_TENSOR_MAX_DIMS];
    int n_dims;
    size_t bytes; /* in the new file */
    tsr_out_kind kind;
    const void *data; /* may be misaligned */
    tsr_dtype from;   /* of data, for CODES */
    float scale;
    bool begins; /* a shard may begin here: a matrix stays with its scales */
    int64_t shard;
} tsr_out_tensor;

/* A text that grows; `failed` when memory ran out, which is asked once, at the end. */
typedef struct tsr_text {
    char *at;
    int64_t n, capacity;
    bool failed;
} tsr_text;

void tsr_text_add(tsr_text *t, const char *format, ...) TSR_PRINTF(2, 3);
void tsr_text_add_json(tsr_text *t, const char *text); /* in quotes, escaped */
void tsr_text_close(tsr_text *t);

typedef struct tsr_shards {
    tsr_out_tensor *tensors; /* in the order of the old files */
    int64_t n_tensors;
    const char *folder;
    size_t max_bytes; /* of one file */
    tsr_queue *q;     /* rounds; borrowed */
    /* Told before each piece; 0 stops with TSR_E_CANCELLED. */
    int (*progress)(void *user, int64_t done_bytes, int64_t total_bytes);
    void *user;
    int64_t n_shards, bytes; /* written; bytes of tensors */
} tsr_shards;

/* Write model.safetensors, or model-00001-of-... and model.safetensors.index.json, into the folder. Errors: TSR_E_IO,
 * TSR_E_LIMIT for a tensor larger than a file may be, TSR_E_NOMEM, TSR_E_CANCELLED. What was written stays. */
TSR_CHECKED tsr_status tsr_shards_write(tsr_shards *s);

/* A new file with these bytes, on the disk when this returns. */
TSR_CHECKED tsr_status tsr_folder_write(const char *folder, const char *name, const void *data, size_t bytes);

/* The same bytes under another folder. */
TSR_CHECKED tsr_status tsr_folder_copy(const char *to, const char *from, const char *name);

#endif
