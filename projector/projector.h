/* projector/projector.h: patches of the encoder to rows of the language model.
 *
 * Four neighbouring patches become one row (pixel shuffle), then a norm and a two-layer FFN. Kind A (InternVL)
 * has LayerNorm, GELU and biases; kind B (Nemotron) has RMSNorm, relu^2 and none. Which one a checkpoint holds
 * is read off its tensors.
 */
#ifndef TSR_PROJECTOR_H
#define TSR_PROJECTOR_H

#include "base/json.h"
#include "kernels/load.h"

#define TSR_PROJECTOR_MAX_HIDDEN 262144

typedef enum tsr_projector_kind { TSR_PROJECTOR_A, TSR_PROJECTOR_B } tsr_projector_kind;

typedef struct tsr_projector_config {
    int64_t d_patch;         /* of the encoder */
    int64_t d_model;         /* of the language model */
    int64_t d_hidden;        /* 0: read off the tensor */
    int shuffle;             /* 1 or 2: token order of the pixel shuffle */
    tsr_projector_kind kind; /* without files; otherwise the tensors decide */
    bool act_unsaid;         /* kind A takes gelu then, and logs it; kind B has no such key */
} tsr_projector_config;

/* Read the root of config.json; d_patch and d_model come from the two networks. kind is B where
 * projector_hidden_size is given, A otherwise. Errors name key, value and bound:
 * TSR_E_FORMAT, TSR_E_LIMIT, TSR_E_UNSUPPORTED. */
TSR_CHECKED tsr_status tsr_projector_config_read(tsr_projector_config *out, const tsr_json_value *root,
                                                 int64_t d_patch, int64_t d_model);

typedef struct tsr_projector tsr_projector;

/* Errors as tsr_loader_run; TSR_E_UNSUPPORTED for a set of tensors that is neither kind. */
TSR_CHECKED tsr_status tsr_projector_open(tsr_projector **out, tsr_loader *l, const tsr_projector_config *c);
void tsr_projector_close(tsr_projector *p);

tsr_projector_kind tsr_projector_kind_of(const tsr_projector *p);
const tsr_loaded *tsr_projector_loaded(const tsr_projector *p);

/* Project the patches of whole tiles.
 *
 *   out      [n_tiles * grid / 4, d_model]  flt
 *   patches  [n_tiles * grid, d_patch]      flt of the queue's type
 *
 * Taps projector.out. Errors: shapes fail the queue with TSR_E_SHAPE. Threads: safe on different queues.
 * Source: vision spec 5; InternVLChatModel.extract_feature, NemotronH_Nano_VL_V2.extract_feature. */
void tsr_projector_forward(const tsr_projector *p, tsr_queue *q, tsr_view out, tsr_view patches,
                           tsr_grid grid);

#endif
