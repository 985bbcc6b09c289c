/* lm/layers.h: the four kinds of layer: what each holds, how it is loaded, what it computes.
 *
 * Each layer adds its mixer's output to the residual stream: x += mixer(norm(x)). Private to lm/.
 */
#ifndef TSR_LM_LAYERS_H
#define TSR_LM_LAYERS_H

#include "kernels/load.h"
#include "lm/config.h"

typedef struct tsr_mamba_layer {
    tsr_norm_weight norm;
    tsr_weight in_proj, out_proj;
    tsr_mixer mixer;
} tsr_mamba_layer;

typedef struct tsr_attention_layer {
    tsr_norm_weight norm;
    tsr_weight qkv, o;
    tsr_heads heads;
    const float *k_scale, *v_scale; /* of pages in FP8; where kernels read */
    bool has_kv_scales;
} tsr_attention_layer;

typedef struct tsr_mlp_layer {
    tsr_norm_weight norm;
    tsr_weight up, down;
} tsr_mlp_layer;

typedef struct tsr_moe_layer {
    const char *name; /* "lm.layer.NN" */
    tsr_norm_weight norm;
    tsr_router router;
    tsr_weight up, down; /* experts */
    tsr_weight shared_up, shared_down;
} tsr_moe_layer;

/* The norm in front of every mixer, "lm.layer.NN.norm". */
void tsr_layer_load_norm(tsr_loader *l, tsr_norm_weight *out, const tsr_lm_config *c, int64_t i);

/* Inside a walk: bind layer i of the model. */
void tsr_mamba_load(tsr_loader *l, tsr_mamba_layer *out, const tsr_lm_config *c, int64_t i);
void tsr_attention_load(tsr_loader *l, tsr_attention_layer *out, const tsr_lm_config *c, int64_t i);
void tsr_mlp_load(tsr_loader *l, tsr_mlp_layer *out, const tsr_lm_config *c, int64_t i);
void tsr_moe_load(tsr_loader *l, tsr_moe_layer *out, const tsr_lm_config *c, int64_t i);

/* x [n_rows, d_model] flt, in place. */
void tsr_mamba_forward(const tsr_mamba_layer *l, tsr_queue *q, tsr_view x, tsr_mamba_state s,
                       const tsr_step *step);
/* The mixer alone, to be timed: from p [n_rows, its d_in] flt to what out_proj reads, which is dropped. */
void tsr_mamba_mix_alone(const tsr_mamba_layer *l, tsr_queue *q, tsr_view p, tsr_mamba_state s,
                         const tsr_step *step);
void tsr_attention_forward(const tsr_attention_layer *l, tsr_queue *q, tsr_view x, tsr_pages kv,
                           const tsr_step *step);
void tsr_mlp_forward(const tsr_mlp_layer *l, tsr_queue *q, tsr_view x);
void tsr_moe_forward(const tsr_moe_layer *l, tsr_queue *q, tsr_view x);

#endif
