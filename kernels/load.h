/* kernels/load.h: weights from a checkpoint, or made up, into the form a backend eats.
 *
 * Each network describes its weights in one function, the walk. The loader runs it twice: the first time
 * nothing has an address and only sizes add up (`plan` stops here); then one block of that size is taken and
 * the second walk fills it. Linears point into the mapped file where the backend allows; norms, biases, taps
 * and tables become f32 in the block. For a backend with memory of its own the second walk writes a copy in host
 * memory, which is sent in one piece, and a third walk hands out the addresses it has there: a walk writes only
 * while tsr_load_filling.
 *
 * A loader remembers its first failure, later calls on it do nothing, and tsr_loader_run reports. One thread.
 */
#ifndef TSR_LOAD_H
#define TSR_LOAD_H

#include "base/safetensors.h"
#include "kernels/ops.h"

typedef struct tsr_loader tsr_loader;

/* What a linear is a part of, for the choice of those in FP8. Tables never are. */
typedef enum tsr_linear_part {
    TSR_PART_DECODER, /* Mamba's projections, MLPs, experts */
    TSR_PART_ATTENTION,
    TSR_PART_HEAD,
    TSR_PART_VISION,
    TSR_PART_PROJECTOR,
    TSR_PART_TABLE
} tsr_linear_part;

#define TSR_FP8_DEFAULT_PARTS (1u << TSR_PART_DECODER | 1u << TSR_PART_ATTENTION)

/* Where weights come from. With `files` NULL they are made up: every linear of `type`, values random from
 * `seed` and never zero, sized so that activations keep their scale. */
typedef struct tsr_loader_opts {
    tsr_safetensors *files; /* borrowed */
    tsr_dtype type;         /* without files: f32, bf16, f16 or fp8 */
    tsr_scale_kind scaled;  /* without files, fp8: TENSOR or ROW */
    uint64_t seed;          /* without files */
    bool quantise; /* round linears of fp8_parts to FP8, a scale per row, as they are packed; their input
                                      mode is then DYNAMIC instead of STATIC. Made-up ones likewise */
    unsigned
        fp8_parts; /* bits 1 << tsr_linear_part: what is rounded, or made up, in FP8 (0: the default parts);
                           the rest of a made-up FP8 model is bf16 */
    bool dry;      /* measure only: networks open without data, for dry queues */
    tsr_input_mode fp8_input; /* how linears with FP8 weights take their input; KEEP: weights only */

    /* Told, while weights are filled, of every tensor that becomes a linear or a part of one: under our name for
     * the linear, which is the name of its tsr_weight. NULL: nobody. */
    void (*bound)(void *user, const char *name, const tsr_tensor *tensor);
    void *bound_user;

    /* Told while weights travel to the memory of a backend; never on the host. total_bytes is handed through. */
    void (*progress)(void *user, size_t done_bytes, size_t total_bytes);
    void *progress_user;
    size_t total_bytes;
} tsr_loader_opts;

/* `q` packs weights and names the backend; borrowed. */
TSR_CHECKED tsr_status tsr_loader_open(tsr_loader **out, tsr_queue *q, tsr_loader_opts opts);
void tsr_loader_close(tsr_loader *l);

/* What one network holds. */
typedef struct tsr_loaded {
    void *block;         /* one allocation, where kernels read; NULL after a dry walk */
    size_t block_bytes;  /* its size, measured */
    size_t weight_bytes; /* all weights as the network reads them, in the block or in the map */
    void *names;         /* of the host; inside the block when that is the host's too */
    const tsr_memory *memory;
} tsr_loaded;

typedef void tsr_load_walk(tsr_loader *l, void *network);

/* Run `walk` over `network`, several times unless the loader is dry. `prefixes` (NULL-terminated) are what '$' in
 * spellings stands for, tried in order; the first may be "". Errors name the tensor, what was found and what
 * was wanted: TSR_E_SHAPE, TSR_E_FORMAT, TSR_E_UNSUPPORTED, TSR_E_NOMEM. On failure *out is untouched. */
TSR_CHECKED tsr_status tsr_loader_run(tsr_loader *l, tsr_loaded *out, const char *const *prefixes,
                                      tsr_load_walk *walk, void *network);
void tsr_loaded_release(tsr_loaded *loaded);

/* Tensors that nobody needs: patterns with '*', NULL-terminated, added to those already given. The array must
 * outlive the loader. */
#define TSR_LOADER_MAX_IGNORES 8
void tsr_loader_ignore(tsr_loader *l, const char *const *patterns);

/* After the last network: TSR_E_FORMAT naming the first tensor that no walk used and no pattern covers. Always
 * TSR_OK without files. */
TSR_CHECKED tsr_status tsr_loader_finish(tsr_loader *l);

/* ---------------------------------------------------------------- inside a walk ------------------------- */

/* One tensor or linear: our name, and how files spell it. In all of them '#' is the layer's number; in
 * spellings '$' is a prefix and '@' the expert's number. A linear is spelled without ".weight"; its ".bias",
 * ".weight_scale" and ".input_scale" stand beside it. */
#define TSR_MAX_SPELLINGS 4
typedef struct tsr_tensor_names {
    const char *name;
    const char *spellings[TSR_MAX_SPELLINGS]; /* tried in order; NULL from the first unused one */
} tsr_tensor_names;

/* Made-up values of a vector or table lie between these. */
typedef struct tsr_range {
    float lo, hi;
} tsr_range;

/* The loader's files, NULL when weights are made up; for detection of kinds. */
bool tsr_load_from_files(const tsr_loader *l);

/* The tensor under the first spelling (with `suffix` behind it) that exists, NULL if none does or without
 * files. Does not mark it used. */
const tsr_tensor *tsr_load_find(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, const char *suffix);

/* Refuse the checkpoint. Ignored when the loader has failed before. */
void tsr_load_fail(tsr_loader *l, tsr_status code, const char *format, ...) TSR_PRINTF(3, 4);

/* `pattern` with the layer's number for '#', for messages and taps; it lives as long as the network. */
const char *tsr_load_name(tsr_loader *l, const char *pattern, int64_t layer);

/* `bytes` of the block, 64-byte aligned; NULL while measuring and after a failure. To be written only while
 * tsr_load_filling: at other times the address may be a device's. */
void *tsr_load_bytes(tsr_loader *l, size_t bytes);
bool tsr_load_filling(const tsr_loader *l);

/* f32 [1, n] from a tensor of n floats (dimensions of size 1 do not count). */
tsr_view tsr_load_vector(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, int64_t count,
                         tsr_range made_up);

/* One positive float where kernels read; NULL while measuring. Only for a tensor that tsr_load_find found, or
 * without files. */
const float *tsr_load_scale(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, float made_up);

/* Linears of this part are being rounded to FP8. */
bool tsr_load_rounds(const tsr_loader *l, tsr_linear_part part);

/* f32 [rows, cols], dense, from a tensor [rows, cols]; `transposed`: from a tensor [cols, rows]. */
tsr_view tsr_load_table(tsr_loader *l, const tsr_tensor_names *n, int64_t layer, int64_t rows, int64_t cols,
                        bool transposed, tsr_range made_up);

/* f32 [1, n] of zeros, for what a checkpoint may leave out. */
tsr_view tsr_load_zeros(tsr_loader *l, int64_t count);

/* A norm of width d; `b` NULL for one without bias, which is then an RMSNorm; otherwise a LayerNorm. */
void tsr_load_norm(tsr_loader *l, tsr_norm_weight *out, const tsr_tensor_names *w, const tsr_tensor_names *b,
                   int64_t layer, int64_t d, float eps);

/* One matrix of a linear; several are stacked by rows. */
typedef struct tsr_load_part {
    const tsr_tensor_names *names;
    int64_t rows;
} tsr_load_part;

typedef struct tsr_load_linear_opts {
    bool bias;
    tsr_linear_part part;
    int64_t inner[3]; /* the tensor is [rows, inner...] with this product as columns; all 0: [rows, cols] */
} tsr_load_linear_opts;

/* A linear named `name` ('#' as above) of all parts, which have one type. FP8 parts need their weight_scale
 * (one float, or one per row), and their input_scale where opts.fp8_input is STATIC. */
void tsr_load_linear(tsr_loader *l, tsr_weight *out, const char *name, const tsr_load_part *parts,
                     int n_parts, int64_t layer, int64_t cols, tsr_load_linear_opts o);

/* n_experts matrices [rows, cols] as one weight: either a tensor for each ('@' in the spelling) or, where
 * `stacked` is found, one tensor [n_experts, rows, cols] spelled in full. */
void tsr_load_experts(tsr_loader *l, tsr_weight *out, const tsr_tensor_names *each,
                      const tsr_tensor_names *stacked, int64_t layer, int64_t n_experts, int64_t rows,
                      int64_t cols);

#endif
