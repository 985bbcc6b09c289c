/* lm/config.h: what config.json says about a Nemotron-H language model. */
#ifndef TSR_LM_CONFIG_H
#define TSR_LM_CONFIG_H

#include "base/dtype.h"
#include "base/json.h"

/* Bounds of what a file may ask for. */
#define TSR_LM_MAX_LAYERS 512
#define TSR_LM_MAX_WIDTH 65536
#define TSR_LM_MAX_FFN 524288
#define TSR_LM_MAX_VOCAB 4194304
#define TSR_LM_MAX_HEADS 1024
#define TSR_LM_MAX_HEAD_DIM 1024
#define TSR_LM_MAX_STATE 1024
#define TSR_LM_MAX_CONV 16
#define TSR_LM_MAX_CHUNK 65536
#define TSR_LM_MAX_EXPERTS 4096
#define TSR_LM_MAX_CONTEXT (1 << 24)

typedef enum tsr_layer_kind {
    TSR_LAYER_MAMBA,     /* M */
    TSR_LAYER_ATTENTION, /* * */
    TSR_LAYER_MLP,       /* - */
    TSR_LAYER_MOE        /* E */
} tsr_layer_kind;

typedef struct tsr_lm_config {
    int64_t d_model, vocab;
    int64_t max_context; /* max_position_embeddings; 0 when the file does not say */
    float eps;
    bool tied;      /* the head is the embedding table where the file has no head */
    tsr_dtype type; /* of the weights, for planning: f32, bf16 or f16 */

    int64_t n_layers;
    unsigned char kind[TSR_LM_MAX_LAYERS]; /* tsr_layer_kind */
    int32_t d_ff[TSR_LM_MAX_LAYERS];       /* of MLP layers, 0 elsewhere */
    int64_t n_mamba, n_attention, n_mlp, n_moe;

    int64_t mamba_heads, mamba_head_dim, n_groups, d_state, conv_width;
    int64_t chunk; /* rows per chunk of the prefill scan; never changes the result but for rounding */
    bool conv_bias, mamba_bias;
    float dt_min, dt_max; /* dt_max is INFINITY for none */

    int64_t n_heads, n_kv_heads, head_dim;
    bool attention_bias, mlp_bias;

    int64_t n_experts, top_k, d_expert, d_shared;
    bool renormalise;
    float route_scale;
} tsr_lm_config;

/* Read the root of config.json: a text-only Nemotron-H, or a wrapper that holds one under llm_config or
 * text_config. All spellings of nemotron-h spec 1.3. Errors name key, value and bound: TSR_E_FORMAT,
 * TSR_E_LIMIT, TSR_E_UNSUPPORTED (another architecture, rotary positions, group or latent routing, other
 * activations). */
TSR_CHECKED tsr_status tsr_lm_config_read(tsr_lm_config *out, const tsr_json_value *root);

/* Keep at most `each` layers of every kind, in their order: how a shape too large for a machine is measured. */
void tsr_lm_config_shorten(tsr_lm_config *c, int64_t each);

/* Widths that follow: d = heads * head_dim of the Mamba layers, and the channels of their convolution. */
static inline int64_t tsr_lm_d_mamba(const tsr_lm_config *c)
{
    return c->mamba_heads * c->mamba_head_dim;
}
static inline int64_t tsr_lm_d_conv(const tsr_lm_config *c)
{
    return tsr_lm_d_mamba(c) + 2 * c->n_groups * c->d_state;
}

#endif
