/* lm/nemotron_h.h: the hybrid language model: Mamba-2, attention, MLP and MoE layers in any order.
 *
 * A model is read-only after loading; state and working memory come from the caller, so one model serves any
 * number of queues at once.
 */
#ifndef TSR_NEMOTRON_H_H
#define TSR_NEMOTRON_H_H

#include "kernels/load.h"
#include "lm/config.h"
#include "lm/state.h"

typedef struct tsr_lm tsr_lm;

/* Bind the weights. `l` may be dry: the model then serves dry queues only. Errors as tsr_loader_run. */
TSR_CHECKED tsr_status tsr_lm_open(tsr_lm **out, tsr_loader *l, const tsr_lm_config *c);
void tsr_lm_close(tsr_lm *lm);

const tsr_lm_config *tsr_lm_config_of(const tsr_lm *lm);
const tsr_loaded *tsr_lm_loaded(const tsr_lm *lm);

/* Bytes of the linears that every step reads: all but the embeddings, unless these are the head too. */
size_t tsr_lm_step_bytes(const tsr_lm *lm);

/* Type of the large linears in layers of one kind; of the embeddings when there are none. */
tsr_dtype tsr_lm_weight_type(const tsr_lm *lm, tsr_layer_kind kind);

/* The type keys and values are kept in unless another is asked for: f32 for f32 checkpoints, bf16 for all others. */
tsr_dtype tsr_lm_kv_type(const tsr_lm *lm);

/* Every attention layer has scales for keys and values in FP8, and there is one. */
bool tsr_lm_has_kv_scales(const tsr_lm *lm);

/* One ragged step.
 *
 *   logits      [n_logits, vocab]  f32   of the rows step->logit_row names
 *   image_rows  [n_image, d_model] flt   what ids -1-k stand for; empty (zeroed) when there are none
 *
 * Reads and advances the state of the step's slots and pages; `state` may be NULL on a dry queue. Taps
 * lm.embed, lm.layer.NN, lm.norm and lm.logits. Leaves q->n_stream at 0.
 * Errors: shapes fail the queue with TSR_E_SHAPE. Threads: safe on different queues with different states.
 * Source: arXiv:2504.03624; nemotron-h spec 1.1; modeling_nemotron_h.py. */
void tsr_lm_forward(const tsr_lm *lm, tsr_queue *q, tsr_view logits, tsr_view image_rows,
                    const tsr_state *state, const tsr_step *step);

/* The mixer of the first Mamba layer alone (convolution, scan, gate and norm), to be timed: from what the in-projection
 * would give, p [n_rows, 2 d + 2 n_groups d_state + heads] flt, to what the out-projection reads, which is dropped.
 * `state` may be NULL on a dry queue. False: there is no such layer. */
bool tsr_lm_mix(const tsr_lm *lm, tsr_queue *q, tsr_view p, const tsr_state *state, const tsr_step *step);

#endif
