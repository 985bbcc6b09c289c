/* runtime/shapes.c: the shapes of the family, for measuring speed with random weights.
 *
 * Source: nemotron-h spec 5.2 to 5.4; vision spec 2. `t8b` is a Transformer of the 8B's size: 32 layers of
 * grouped-query attention and squared-ReLU MLP with the same widths.
 */
#include <string.h>

#include "runtime/model.h"

/* What all text models of the family share; the pieces that differ follow. */
#define LM(pattern, d, ff, heads, mamba_heads, mamba_dim, state, context)                                    \
    "{\"model_type\": \"nemotron_h\", \"torch_dtype\": \"bfloat16\", \"vocab_size\": 131072,"                \
    " \"hybrid_override_pattern\": \"" pattern "\", \"hidden_size\": " #d ", \"intermediate_size\": " #ff    \
    ", \"num_attention_heads\": " #heads ", \"num_key_value_heads\": 8, \"head_dim\": 128,"                  \
    " \"mamba_num_heads\": " #mamba_heads ", \"mamba_head_dim\": " #mamba_dim                                \
    ", \"ssm_state_size\": " #state ", \"n_groups\": 8, \"conv_kernel\": 4, \"use_conv_bias\": true, "       \
    "\"use_bias\": false, \"chunk_size\": 128,"                                                              \
    " \"layer_norm_epsilon\": 1e-5, \"mlp_hidden_act\": \"relu2\", \"mamba_hidden_act\": \"silu\","          \
    " \"attention_bias\": false, \"mlp_bias\": false, \"time_step_limit\": [0.0, 1e30],"                     \
    " \"tie_word_embeddings\": false, \"max_position_embeddings\": " #context "}"

#define VIT                                                                                                  \
    "{\"model_type\": \"intern_vit_6b\", \"hidden_size\": 1024, \"num_hidden_layers\": 24,"                  \
    " \"num_attention_heads\": 16, \"intermediate_size\": 4096, \"image_size\": 448, \"patch_size\": 14,"    \
    " \"num_channels\": 3, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-6, \"norm_type\": "              \
    "\"layer_norm\","                                                                                        \
    " \"qkv_bias\": true, \"qk_normalization\": false, \"torch_dtype\": \"bfloat16\"}"

#define VLM(vit, lm, hidden)                                                                                 \
    "{\"model_type\": \"internvl_chat\", \"torch_dtype\": \"bfloat16\", \"force_image_size\": 448,"          \
    " \"downsample_ratio\": 0.5, \"ps_version\": \"v2\", \"select_layer\": -1, \"dynamic_image_size\": "     \
    "true,"                                                                                                  \
    " \"use_thumbnail\": true, \"min_dynamic_patch\": 1, \"max_dynamic_patch\": 12,"                         \
    " \"projector_hidden_size\": " #hidden ", \"vision_config\": " vit ", \"llm_config\": " lm "}"

#define LM_8B_PATTERN "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
#define LM_8B LM(LM_8B_PATTERN, 4096, 21504, 32, 128, 64, 128, 8192)
#define FIVE "M-M-M-M-M*-"

static const struct {
    const char *name, *config;
} shapes[] = {
    {"8b", LM_8B},
    {"8b-vlm", VLM(VIT, LM_8B, 21504)},
    {"4b", LM(LM_8B_PATTERN, 3072, 12288, 32, 112, 64, 128, 8192)},
    {"9b-v2",
     LM("M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-", 4480, 15680, 40, 128, 80, 128, 131072)},
    {"12b-v2", LM("M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M-", 5120, 20480, 40, 128, 80,
                  128, 131072)},
    {"nano-3-4b", LM("M-M-M-MM-M-M*-M-M*-M-M-M*-M-M-MM*-MMM-M-M-", 3136, 12544, 40, 96, 80, 128, 262144)},
    {"47b",
     LM("M-M-M-M-M-M-M-M-M*-M-M-M-M-M-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-M-M---MM---M-M*-M-M-M-M-M-",
        8192, 30720, 64, 256, 64, 256, 8192)},
    {"56b", LM("M-M-M-M*-" FIVE FIVE FIVE FIVE FIVE FIVE FIVE FIVE FIVE "M-M-M-M-M-", 8192, 32768, 64, 256,
               64, 256, 8192)},
    {"t8b", LM("*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-*-", 4096, 21504, 32, 128, 64,
               128, 131072)},
    {"internvit-300m", VLM(VIT, LM("M-", 1024, 1024, 8, 32, 64, 128, 8192), 4096)},
    {"small", LM("M-M*-M-M*-M-", 512, 2048, 8, 16, 64, 128, 8192)},
    {"small-vlm", VLM(VIT, LM("M-M*-M-M*-M-", 512, 2048, 8, 16, 64, 128, 8192), 2048)},
};

enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

const char *tsr_shape(int i)
{
    return i >= 0 && i < N_SHAPES ? shapes[i].name : NULL;
}

const char *tsr_shape_config(const char *name)
{
    for (int i = 0; i < N_SHAPES; i++)
        if (!strcmp(shapes[i].name, name)) return shapes[i].config;
    return NULL;
}
