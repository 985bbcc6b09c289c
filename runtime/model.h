/* runtime/model.h: what an opened checkpoint consists of; for the files of runtime/ alone. */
#ifndef TSR_RUNTIME_MODEL_H
#define TSR_RUNTIME_MODEL_H

#include <pthread.h>

#include "base/json.h"
#include "base/pool.h"
#include "base/safetensors.h"
#include "kernels/ops.h"
#include "lm/chat.h"
#include "lm/nemotron_h.h"
#include "lm/tokenizer.h"
#include "preprocess/image.h"
#include "projector/projector.h"
#include "vision/internvit.h"

#include "include/tessera.h"

/* Files of a checkpoint are read whole up to these sizes. */
#define TSR_MAX_CONFIG_BYTES ((size_t)16 << 20)
#define TSR_MAX_CARD_BYTES ((size_t)1 << 20)

enum { TSR_N_THINK = 3 };

/* How pictures are cut for this model: config.json, then preprocessor_config.json, then flags. */
typedef struct tsr_cut {
    int64_t tile;
    int min_tiles, max_tiles;
    bool thumbnail;
    tsr_parity parity;
} tsr_cut;

struct tsr_model {
    char *path, *name;
    tsr_ops ops;    /* the backend's table */
    tsr_dtype type; /* of activations */
    int n_threads;
    tsr_input_mode fp8_input;
    bool quantise;                  /* --dtype fp8: linears of fp8_parts become FP8 as they are loaded */
    unsigned fp8_parts;             /* as tsr_loader_opts has them */
    bool auto_type, auto_fp8_input; /* the two above were left to the backend and the checkpoint */

    tsr_json *config;
    tsr_json *generation;   /* generation_config.json, NULL without one */
    tsr_safetensors *files; /* NULL for synthetic and planned models */

    bool has_vision;
    tsr_vit_config vit_config;
    tsr_dtype vision_type; /* of the encoder's linears, in a made-up model */
    tsr_projector_config projector_config;
    tsr_lm_config lm_config;
    tsr_internvit *vit;
    tsr_projector *projector;
    tsr_lm *lm;

    tsr_tokenizer *tokenizer; /* this and chat: NULL for synthetic and planned models */
    tsr_chat *chat;
    tsr_ids stop_ids;
    tsr_sampling sampling; /* of generation_config.json */
    tsr_cut cut;

    tsr_pool *pool; /* for reading pictures; whoever holds the lock uses it, others do without */
    pthread_mutex_t pool_lock;

    tsr_model_info info;
    char backend_text[160], weight_text[64], pattern[TSR_LM_MAX_LAYERS + 1];
    char *card;
};

/* Open everything but weights and tokenizer: backend, configuration, and the networks over a dry loader. Scratch
 * and blocks can then be measured. */
TSR_CHECKED tsr_status tsr_model_sketch(tsr_model **out, const char *path, const tsr_model_opts *opts);

/* tsr_model_open, telling of every tensor that becomes a linear, as tsr_loader_opts.bound does. */
typedef void tsr_bound_fn(void *user, const char *name, const tsr_tensor *tensor);
TSR_CHECKED tsr_status tsr_model_open_bound(tsr_model **out, const char *path, const tsr_model_opts *opts,
                                            tsr_bound_fn *bound, void *user);

/* The configuration of a synthetic shape, as JSON text, NULL for an unknown name. */
const char *tsr_shape_config(const char *name);

/* The networks' blocks, as measured or loaded. */
size_t tsr_model_block_bytes(const tsr_model *m);

/* Rows that one tile becomes in the decoder. */
int64_t tsr_model_rows_per_tile(const tsr_model *m);

#endif
