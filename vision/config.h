/* vision/config.h: what config.json says about an InternViT encoder and its tiles. */
#ifndef TSR_VISION_CONFIG_H
#define TSR_VISION_CONFIG_H

#include "base/dtype.h"
#include "base/json.h"

/* Bounds of what a file may ask for. */
#define TSR_VIT_MAX_LAYERS 128
#define TSR_VIT_MAX_WIDTH 16384
#define TSR_VIT_MAX_FFN 131072
#define TSR_VIT_MAX_HEADS 256
#define TSR_VIT_MAX_IMAGE 4096 /* pixels of a tile's side */
#define TSR_VIT_MAX_PATCH 64
#define TSR_VIT_MAX_GRID 256 /* patches along a tile's side */

typedef struct tsr_vit_config {
    int64_t d_model, n_layers, n_heads, d_ff;
    int64_t patch;         /* pixels of a patch's side */
    int64_t tile;          /* pixels of a tile's side, as the model is run (force_image_size) */
    int64_t position_tile; /* pixels of the side the stored positions belong to */
    int64_t n_run;         /* layers to run: select_layer counted from the embeddings, 0 .. n_layers */
    float eps;
    bool qkv_bias;
    float mean[3], std[3]; /* of R, G, B after division by 255 */
    tsr_dtype type;        /* of the weights, for planning: f32, bf16 or f16 */
} tsr_vit_config;

/* Read the root of config.json, in InternVL's own spelling or transformers'. Mean and std are ImageNet's
 * unless norm_mean and norm_std are given. Errors name key, value and bound: TSR_E_FORMAT, TSR_E_LIMIT,
 * TSR_E_UNSUPPORTED (other encoders, qk-norm, other norms and activations, a final norm).
 * Source: configuration_intern_vit.py, configuration_internvl.py; vision spec 1.4. */
TSR_CHECKED tsr_status tsr_vit_config_read(tsr_vit_config *out, const tsr_json_value *root);

#endif
