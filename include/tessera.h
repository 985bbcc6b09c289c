/* include/tessera.h: vision-language models with a hybrid Mamba-Transformer decoder, from C.
 *
 *     #include <stdio.h>
 *     #include <tessera.h>
 *
 *     static int print(void *user, const tsr_piece *piece)
 *     {
 *         (void)user;
 *         return fwrite(piece->text, 1, piece->bytes, stdout) == piece->bytes;
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         tsr_model *model = NULL; tsr_engine *engine = NULL; tsr_session *session = NULL; tsr_image *image = NULL;
 *         tsr_status st = argc == 3 ? tsr_model_open(&model, argv[1], NULL) : TSR_E_ARG;
 *         if (!st) st = tsr_engine_open(&engine, model, NULL);
 *         if (!st) st = tsr_session_open(&session, engine);
 *         if (!st) st = tsr_image_open(&image, model, argv[2], NULL);
 *         if (!st) st = tsr_session_say(session, TSR_USER, (tsr_part[]){{.image = image}, {.text = "Describe it."}}, 2);
 *         if (!st) st = tsr_session_generate(session, &(tsr_generate_opts){.on_piece = print}, NULL);
 *         if (st) fprintf(stderr, "%s\n", tsr_message());
 *         tsr_image_close(image); tsr_session_close(session); tsr_engine_close(engine); tsr_model_close(model);
 *         return st != TSR_OK;
 *     }
 *
 * Objects. A model is an opened checkpoint: read-only, shared by threads. An engine is a model with working
 * memory for a number of sessions; one thread uses it at a time. A session is one timeline of tokens. An image
 * is tiles cut for one model, immutable. Close in any order that closes users before what they use; closing
 * NULL does nothing.
 *
 * Calls that can fail return a tsr_status; tsr_message() then has a sentence for people, per thread. Nothing is
 * written to *out on failure. Options structs may be NULL or zeroed: every zero means "the default".
 * The library never prints, never exits, and reads nothing from the network.
 */
#ifndef TESSERA_H
#define TESSERA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TSR_API __attribute__((visibility("default")))
#define TSR_USE_RESULT __attribute__((warn_unused_result))
#else
#define TSR_API
#define TSR_USE_RESULT
#endif

/* ---------------------------------------------------------------- status -------------------------------- */

#ifndef TSR_STATUS_H /* the same enum as base/status.h, for programs that see this header alone */
typedef enum tsr_status {
    TSR_OK = 0,
    TSR_E_ARG,         /* an argument or option out of its range */
    TSR_E_NOMEM,       /* no memory, or more than a limit allows */
    TSR_E_IO,          /* a file cannot be opened, read or written */
    TSR_E_FORMAT,      /* bytes that are not what their format says */
    TSR_E_SHAPE,       /* a tensor of the wrong shape or type */
    TSR_E_UNSUPPORTED, /* well formed, but Tessera does not do this */
    TSR_E_LIMIT,       /* a named limit was passed */
    TSR_E_CONTEXT,     /* the prompt and answer do not fit the context */
    TSR_E_CANCELLED,   /* stopped by the caller */
    TSR_E_DEVICE       /* a device is missing, lost or failing */
} tsr_status;
#endif

/* The last failure of this thread, as a sentence without control characters. Valid until the next failure. */
TSR_API const char *tsr_message(void);

/* "0.1.0" */
TSR_API const char *tsr_version(void);

/* What the library has to tell (choices made, defaults taken): level 0 warning, 1 information, 2 detail. The
 * listener may be called from any thread. NULL: nobody listens. */
typedef void tsr_note_fn(void *user, int level, const char *line);
TSR_API void tsr_notes(tsr_note_fn *listener, void *user);

/* The path of the mapped weight file that an address lies in, or NULL. Async-signal-safe: for a SIGBUS handler,
 * which is how a file that shrinks while mapped shows. */
TSR_API const char *tsr_mapped_file(const void *address);

/* ---------------------------------------------------------------- devices ------------------------------- */

/* Line i of the list of what models can run on ("cpu: Intel ..., avx512bf16, 8 threads"), or why they cannot
 * ("cuda: not used: this machine has no NVIDIA driver"); NULL past the end.
 * Valid until the thread's next call. */
TSR_API const char *tsr_device(int i);

/* ---------------------------------------------------------------- models -------------------------------- */

typedef struct tsr_model tsr_model;
typedef struct tsr_engine tsr_engine;
typedef struct tsr_session tsr_session;
typedef struct tsr_image tsr_image;

typedef struct tsr_model_opts {
    const char *backend; /* "auto" (default), "ref", "cpu", "cuda" */
    const char *
        dtype; /* of activations: "auto" (default), "f32", "bf16"; "fp8": as auto, and linears are rounded to FP8 (a
       scale per row) while they are loaded */
    const char *
        fp8_parts; /* which, beside the decoder's projections, MLPs and experts: any of "attention", "lm_head", "vision",
       "projector", with commas between; "none"; "all"; NULL: "attention". Without "fp8" for a synthetic one alone */
    const char *fp8_activations; /* "auto" (default), "on", "off" */
    const char *chat_template;   /* NULL: chosen by the checkpoint; else a name from tsr_chat_template() */
    const char *vision_parity;   /* "default", or "hf": alpha dropped, 16 bits clipped, no rotation */
    int threads;                 /* 0: one per core */
    int synthetic_dtype;         /* shapes only: 0 bf16, 1 f32, 2 fp8 */
    int max_layers;              /* shapes only: 0 all; else at most so many of each kind */

    /* Told while weights travel to the memory of a GPU; never where they are used in place. May be NULL. */
    void (*on_load)(void *user, int64_t done_bytes, int64_t total_bytes);
    void *on_load_user;
} tsr_model_opts;

/* Open a checkpoint in Hugging Face form: a directory, or a hub id ORG/NAME looked up in the local cache.
 * Weights are mapped, not copied, where their type allows. Errors name file, key or tensor. */
TSR_API TSR_USE_RESULT tsr_status tsr_model_open(tsr_model **out, const char *path,
                                                 const tsr_model_opts *opts);

/* A model of a known shape with random weights in memory, for measuring speed. Names: tsr_shape(). */
TSR_API TSR_USE_RESULT tsr_status tsr_model_synthetic(tsr_model **out, const char *shape,
                                                      const tsr_model_opts *opts);
TSR_API void tsr_model_close(tsr_model *model);

/* Names of shapes and of chat templates; NULL past the end. */
TSR_API const char *tsr_shape(int i);
TSR_API const char *tsr_chat_template(int i);

typedef struct tsr_model_info {
    const char *path;          /* the directory that was opened */
    const char *name;          /* its last part, or ORG/NAME */
    const char *backend;       /* "cpu (avx512bf16, 2 threads)" */
    const char *chat_template; /* the format in use */
    const char *pattern;       /* layers of the decoder: M - * E */
    const char *weight_types;  /* "bf16", "fp8 + bf16", ... */
    const char *card;          /* the first lines of CARD.md's scope, "" if there is none */
    int64_t parameters, tensors, file_bytes;
    int64_t n_layers, d_model, n_vocab, n_ctx; /* n_ctx: as trained; 0 unknown */
    int64_t state_bytes;                       /* fixed state per sequence, of f32 */
    int64_t kv_bytes;                          /* per token of context */
    int has_vision;
    int is_placeholder; /* random weights that stand in for a default model */
    int64_t tile_size, patch_size, rows_per_tile, max_tiles, vision_layers, d_vision;
    const char *projector; /* "A", "B" or "" */
} tsr_model_info;

/* Everything lives as long as the model. */
TSR_API const tsr_model_info *tsr_model_about(const tsr_model *model);

/* SHA-256 in hex over config, tokenizer, headers, sizes and the ends of every tensor; with full, over all
 * bytes. */
TSR_API TSR_USE_RESULT tsr_status tsr_model_id(const tsr_model *model, char hex[65], int full);

/* What the model would take, from its configuration alone: nothing is loaded. */
typedef struct tsr_plan {
    int64_t weight_file_bytes;  /* mapped from the checkpoint */
    int64_t weight_block_bytes; /* joined, converted or generated beside it */
    int64_t weight_step_bytes;  /* of the decoder without its embeddings: what a step of any size reads */
    int64_t state_bytes;        /* fixed, per sequence */
    int64_t kv_bytes_per_token;
    int64_t kv_bytes;      /* per sequence of n_ctx tokens, whole pages */
    int64_t scratch_bytes; /* working memory of an engine */
    int64_t n_ctx;
    int64_t n_sessions;        /* asked for */
    int64_t total_bytes;       /* for that many sessions */
    int64_t memory_bytes;      /* of the machine or the device, or as asked */
    int64_t free_bytes;        /* of a device, now; 0 on the host, which can page */
    int64_t sessions_that_fit; /* in memory_bytes */
} tsr_plan;

typedef struct tsr_engine_opts {
    int64_t n_ctx;        /* tokens a session can hold; 0: the checkpoint's own, at most 8192 */
    int64_t n_sessions;   /* open at once; 0: 1 */
    int64_t max_rows;     /* rows of one step, that is of a prefill chunk; 0: 512 */
    int64_t max_images;   /* per request; 0: 64 */
    int64_t memory_bytes; /* tsr_plan_model only: 0: what the machine has */
    int unfused;          /* run fused ops piece by piece (trace) */
    const char
        *kv; /* keys and values: "auto" (default: f32 for an f32 checkpoint, otherwise bf16), "f32", "bf16",
                             "fp8" (TSR_E_UNSUPPORTED for a checkpoint without scales for them) */
    const char *state; /* what Mamba layers remember: "f32" (default) or "f16", half the bytes */
    int no_spare; /* without room for the state before an answer: stop strings are then refused (bench) */
} tsr_engine_opts;

/* `path` as for tsr_model_open, or the name of a synthetic shape. */
TSR_API TSR_USE_RESULT tsr_status tsr_plan_model(tsr_plan *out, const char *path,
                                                 const tsr_model_opts *model_opts,
                                                 const tsr_engine_opts *opts);

/* ---------------------------------------------------------------- text ---------------------------------- */

/* Token ids of UTF-8 text. `special`: 1 to read control tokens in the text (never do so with foreign text) and to
 * add what the tokenizer adds by itself. *ids is freed with tsr_free. */
TSR_API TSR_USE_RESULT tsr_status tsr_tokenize(const tsr_model *model, int32_t **ids, int64_t *n_ids,
                                               const char *text, size_t bytes, int special);

/* Text of ids, NUL behind it; freed with tsr_free. `special`: 1 to write control tokens out. */
TSR_API TSR_USE_RESULT tsr_status tsr_detokenize(const tsr_model *model, char **text, size_t *bytes,
                                                 const int32_t *ids, int64_t n_ids, int special);
TSR_API void tsr_free(void *block);

/* ---------------------------------------------------------------- images -------------------------------- */

typedef struct tsr_image_opts {
    int max_tiles, min_tiles; /* 0: the checkpoint's */
    int no_thumbnail;
    int64_t max_pixels, max_side, max_file_bytes; /* 0: the named defaults */
    int allow_truncated;                          /* take a JPEG that ends early */
    const char *resize_rule; /* as Pillow 13 ("default"), 12.2 to 12.3 ("12.2"), or older ("old") */
} tsr_image_opts;

typedef struct tsr_image_info {
    const char *format;    /* "jpeg", "png" */
    int64_t width, height; /* upright */
    int64_t columns, rows; /* of tiles */
    int64_t n_tiles;       /* thumbnail included */
    int has_thumbnail;     /* it is the last tile */
    int64_t tile_size;
    int64_t n_tokens;   /* rows that the decoder reads for the tiles, markers not counted */
    char file_hash[65]; /* SHA-256 of the bytes */
    char tile_hash[65]; /* SHA-256 of all tiles in order: what the model sees */
} tsr_image_info;

/* Decode and cut a JPEG or PNG for this model. Memory is read during the call only; `name` stands in
 * messages. */
TSR_API TSR_USE_RESULT tsr_status tsr_image_open(tsr_image **out, const tsr_model *model, const char *path,
                                                 const tsr_image_opts *opts);
TSR_API TSR_USE_RESULT tsr_status tsr_image_read(tsr_image **out, const tsr_model *model, const void *data,
                                                 size_t bytes, const char *name, const tsr_image_opts *opts);
TSR_API void tsr_image_close(tsr_image *image);

TSR_API const tsr_image_info *tsr_image_about(const tsr_image *image);

/* Tile i: tile_size * tile_size pixels of R, G, B. Lives as long as the image. */
TSR_API const uint8_t *tsr_image_tile(const tsr_image *image, int64_t i);

/* A picture of the tiles, as PNG. Written whole or not at all. */
TSR_API TSR_USE_RESULT tsr_status tsr_image_draw(const tsr_image *image, const char *png_path);

/* ---------------------------------------------------------------- engines ------------------------------- */

TSR_API TSR_USE_RESULT tsr_status tsr_engine_open(tsr_engine **out, tsr_model *model,
                                                  const tsr_engine_opts *opts);
TSR_API void tsr_engine_close(tsr_engine *engine);

/* What was really taken, in the terms of tsr_plan. */
TSR_API tsr_plan tsr_engine_memory(const tsr_engine *engine);

/* Every named intermediate value of what runs next, dense rows: "vision.layer.03", "lm.logits" ... type is
 * "f32", "u8" or "i32"; `data` is readable during the call only. While someone listens, logits of all rows are
 * computed. NULL: nobody. */
typedef void tsr_trace_fn(void *user, const char *name, const char *type, const int64_t *shape, int n_dims,
                          const void *data);
TSR_API void tsr_engine_trace(tsr_engine *engine, tsr_trace_fn *listener, void *user);

/* Write an array as a .npy file, whole or not at all; type, shape and data as a trace gives them. */
TSR_API TSR_USE_RESULT tsr_status tsr_array_write(const char *path, const char *type, const int64_t *shape,
                                                  int n_dims, const void *data);

/* Work done since the engine opened or the counters were cleared; entry i, NULL past the end. */
typedef struct tsr_counter {
    const char *name;
    int64_t calls;
    double flops, bytes;
    double seconds; /* of tsr_engine_part alone */
} tsr_counter;
TSR_API const tsr_counter *tsr_engine_counter(const tsr_engine *engine, int i);
TSR_API void tsr_engine_counters_clear(tsr_engine *engine);

/* Time every op from now on, or no longer; what was timed before is forgotten. Then entry i of where the time went, by
 * op and weights ("linear lm.in_proj"), NULL past the end; waits for what runs. */
TSR_API TSR_USE_RESULT tsr_status tsr_engine_profile(tsr_engine *engine, int on);
TSR_API const tsr_counter *tsr_engine_part(const tsr_engine *engine, int i);

/* Ceilings of this machine, measured now on the engine's threads or its device: bytes per second of a streaming
 * read over the model's own weights (or a block as large), and useful FLOP per second of the model's linears alone
 * through the matrix library at so many rows. */
TSR_API TSR_USE_RESULT tsr_status tsr_engine_read_rate(tsr_engine *engine, double *bytes_per_second);
TSR_API TSR_USE_RESULT tsr_status tsr_engine_product_rate(tsr_engine *engine, int64_t rows, int vision,
                                                          double *flops_per_second);

/* Ceilings of a device, per second; TSR_E_UNSUPPORTED on the host. */
typedef enum tsr_ceiling_of {
    TSR_COPY_RATE, /* bytes read and written in its memory */
    TSR_SEND_RATE, /* bytes from pinned memory of the host */
    TSR_FP8_RATE,  /* FLOP of a product of 8192^3 through the matrix library */
    TSR_BF16_RATE
} tsr_ceiling_of;
TSR_API TSR_USE_RESULT tsr_status tsr_engine_ceiling(tsr_engine *engine, tsr_ceiling_of what,
                                                     double *per_second);

/* Sequences with made-up states of `context` tokens that decode together, for measuring. The engine must have room
 * for so many sessions, and for the tokens to come. */
typedef struct tsr_drill tsr_drill;
TSR_API TSR_USE_RESULT tsr_status tsr_drill_open(tsr_drill **out, tsr_engine *engine, int64_t n_sequences,
                                                 int64_t context);
TSR_API void tsr_drill_close(tsr_drill *drill);

/* Steps that each give every sequence a token, beginning behind `context` tokens, which may be fewer than at open.
 * Seconds of all of them, from the first launch until the last tokens are in the host's memory. */
TSR_API TSR_USE_RESULT tsr_status tsr_drill_decode(tsr_drill *drill, int64_t context, int64_t n_steps,
                                                   double *seconds);

/* Of the last tsr_drill_decode: seconds that the host spent on queueing, and how many kernels a step is, 0 where steps
 * are not recorded. */
typedef struct tsr_drill_info {
    double host_seconds;
    int64_t n_launches;
} tsr_drill_info;
TSR_API tsr_drill_info tsr_drill_about(const tsr_drill *drill);

/* The mixer of one Mamba layer alone (convolution, scan, gate and norm) over n_rows made-up rows of a new sequence:
 * seconds of each of n_runs calls, after three to warm up. TSR_E_UNSUPPORTED without such a layer. */
TSR_API TSR_USE_RESULT tsr_status tsr_engine_mixer(tsr_engine *engine, int64_t n_rows, int64_t n_runs,
                                                   double *seconds);

/* The encoder, with `project` the projector too, over n_tiles made-up tiles in the memory it computes in. */
TSR_API TSR_USE_RESULT tsr_status tsr_engine_vision(tsr_engine *engine, int64_t n_tiles, int project,
                                                    double *seconds);

/* ---------------------------------------------------------------- sessions ------------------------------ */

TSR_API TSR_USE_RESULT tsr_status tsr_session_open(tsr_session **out, tsr_engine *engine);
TSR_API void tsr_session_close(tsr_session *session);

typedef enum tsr_role {
    TSR_SYSTEM,
    TSR_USER,
    TSR_ASSISTANT, /* an answer given earlier, elsewhere */
    TSR_RAW        /* text as it is, without any format: what base models continue */
} tsr_role;

/* Text or an image, one of them. Text is UTF-8; bytes 0 means up to its NUL. It never becomes a control token. */
typedef struct tsr_part {
    const char *text;
    size_t bytes;
    const tsr_image *image; /* must live until the turn has been read */
} tsr_part;

/* Add a turn. It is read by the next tsr_session_read or _generate. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_say(tsr_session *session, tsr_role role, const tsr_part *parts,
                                                  int n_parts);

/* Add bare ids; -1 - k stands for row k of the given images' rows, tile by tile. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_add_ids(tsr_session *session, const int32_t *ids, int64_t n_ids,
                                                      const tsr_image *const *images, int n_images);

/* Rows read so far and waiting to be read; what is left of the context. */
typedef struct tsr_session_info {
    int64_t n_past, n_pending, n_ctx;
    int64_t image_tokens, text_tokens; /* of all that was added */
    double vision_seconds, prefill_seconds, decode_seconds;
    int64_t prefill_rows, decode_tokens;
} tsr_session_info;
TSR_API tsr_session_info tsr_session_about(const tsr_session *session);

/* Progress of reading: rows done of all, or tiles while `vision`. Return 0 to stop. */
typedef int tsr_progress_fn(void *user, int vision, int64_t done, int64_t total);

/* Read everything added so far into the state. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_read(tsr_session *session, tsr_progress_fn *progress,
                                                   void *user);

/* Some text of an answer: whole UTF-8 characters. */
typedef struct tsr_piece {
    const char *text;
    size_t bytes;
    int thinking; /* inside the model's thinking, not its answer */
    int32_t id;   /* of the token that completed it; -1 for held-back text that is let go */
    float logprob;
} tsr_piece;

/* Return 0 to stop. */
typedef int tsr_piece_fn(void *user, const tsr_piece *piece);

typedef struct tsr_generate_opts {
    int64_t max_tokens;   /* 0: 256; -1: until the context is full */
    float temp;           /* 0: greedy */
    int top_k;            /* 0: off */
    float top_p, min_p;   /* 0: off */
    float repeat_penalty; /* 0: off */
    uint64_t seed;
    int checkpoint_sampling; /* take the checkpoint's generation_config */
    const char *const *stop; /* strings that end the answer; they are not part of it */
    int n_stop;
    int ignore_stop_ids; /* go on to max_tokens (bench) */
    int think;           /* 0 off, 1 on, 2 as the checkpoint's format has it */
    tsr_piece_fn *on_piece;
    tsr_progress_fn *on_progress;
    void *user;
} tsr_generate_opts;

typedef enum tsr_stop_reason {
    TSR_STOP_END,
    TSR_STOP_STRING,
    TSR_STOP_LENGTH,
    TSR_STOP_CALLER
} tsr_stop_reason;

typedef struct tsr_result {
    const char *text; /* the answer, NUL behind it; valid until the session's next call */
    size_t bytes;
    const int32_t *ids; /* sampled ids in order, the stop id not included */
    const float *logprobs;
    int64_t n_ids;
    tsr_stop_reason reason;
} tsr_result;

/* Read what waits, then answer. The answer is part of the session afterwards. result may be NULL. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_generate(tsr_session *session, const tsr_generate_opts *opts,
                                                       tsr_result *result);

/* Stop the call that runs on this session, from any thread or a signal handler: it returns TSR_E_CANCELLED. */
TSR_API void tsr_session_cancel(tsr_session *session);

/* Another session with the same past; both go on independently. The engine must have room for it. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_fork(tsr_session **out, const tsr_session *session);

/* The state as a file: the model's id, the tokens, the image hashes, the state and a checksum. Loading refuses
 * another model, another format version or damage, with the reason, and leaves the session as it was. */
TSR_API TSR_USE_RESULT tsr_status tsr_session_save(const tsr_session *session, const char *path);
TSR_API TSR_USE_RESULT tsr_status tsr_session_load(tsr_session *session, const char *path);

/* Fill the state with random values as if n_tokens had been read (bench). */
TSR_API TSR_USE_RESULT tsr_status tsr_session_randomise(tsr_session *session, int64_t n_tokens,
                                                        uint64_t seed);

/* ---------------------------------------------------------------- quantising ---------------------------- */

/* Told while tsr_quantize works: what it does now ("calibrating", "weights", "writing"), and how far it is, in
 * sequences, tensors or bytes. Return 0 to stop: TSR_E_CANCELLED, and nothing is left behind. */
typedef int tsr_quantize_progress_fn(void *user, const char *what, int64_t done, int64_t total);

typedef struct tsr_quantize_opts {
    const char
        *calibration; /* a file or folder: texts (.txt, a sequence a line), token ids (.ids), pictures; NULL:
                                128 built-in texts and the pictures of `samples` */
    const char *samples;            /* folder of pictures, NULL for none */
    tsr_image_opts image;           /* how pictures are cut */
    int keep_attention;             /* leave q, k, v and o as they are */
    int lm_head, vision, projector; /* quantise these too */
    int kv;                         /* write scales for keys and values in FP8 */
    int64_t max_shard_bytes;        /* of one weight file; 0: 4 GiB */
    tsr_quantize_progress_fn *on_progress;
    void *user;
} tsr_quantize_opts;

typedef struct tsr_quantize_info {
    int64_t n_linears, n_tensors;  /* matrices that became FP8; tensors written, scales included */
    int64_t n_sequences, n_tokens; /* of the calibration */
    int64_t n_shards, bytes_before, bytes_after; /* of weights */
} tsr_quantize_info;

/* Write an FP8 checkpoint in ModelOpt's form from one in f32, bf16 or f16: E4M3 weights with one scale per matrix,
 * and one input scale per linear from calibration, which runs on the CPU (opts of another backend are refused). All
 * else is copied. `out` must not exist, or be an empty folder; it appears when everything is written. `info` may be
 * NULL. Errors: TSR_E_UNSUPPORTED for a checkpoint that is quantised already; TSR_E_ARG without calibration data, or
 * when a linear never saw an input; TSR_E_IO. */
TSR_API TSR_USE_RESULT tsr_status tsr_quantize(const char *out, const char *path,
                                               const tsr_model_opts *model_opts,
                                               const tsr_quantize_opts *opts, tsr_quantize_info *info);

#ifdef __cplusplus
}
#endif

#endif
