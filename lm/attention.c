/* lm/attention.c: causal grouped-query attention without positions.
 *
 * No rotary embedding and no norm on q or k: order comes from the Mamba layers around it.
 * Source: nemotron-h spec 3; modeling_nemotron_h.py, NemotronHAttention.
 */
#include <math.h>

#include "lm/layers.h"

static const tsr_tensor_names q_proj = {"lm.layer.#.qkv", {"$layers.#.mixer.q_proj"}};
static const tsr_tensor_names k_proj = {"lm.layer.#.qkv", {"$layers.#.mixer.k_proj"}};
static const tsr_tensor_names v_proj = {"lm.layer.#.qkv", {"$layers.#.mixer.v_proj"}};
static const tsr_tensor_names o_proj = {"lm.layer.#.o", {"$layers.#.mixer.o_proj"}};

/* Scales of keys and values in FP8, as exporters spell them. */
static const tsr_tensor_names k_scale = {
    "lm.layer.#.k_scale",
    {"$layers.#.mixer.k_proj.k_scale", "$layers.#.mixer.k_scale", "$layers.#.mixer.attn.k_scale"}};
static const tsr_tensor_names v_scale = {
    "lm.layer.#.v_scale",
    {"$layers.#.mixer.v_proj.v_scale", "$layers.#.mixer.v_scale", "$layers.#.mixer.attn.v_scale"}};

/* Made-up keys and values are about 1: up to 14 is covered. */
#define MADE_UP_SCALE 0.03125f

void tsr_attention_load(tsr_loader *l, tsr_attention_layer *out, const tsr_lm_config *c, int64_t i)
{
    int64_t d_q = c->n_heads * c->head_dim, d_kv = c->n_kv_heads * c->head_dim;
    tsr_load_part qkv[] = {{&q_proj, d_q}, {&k_proj, d_kv}, {&v_proj, d_kv}};
    tsr_load_part o = {&o_proj, c->d_model};
    tsr_load_linear_opts opts = {.bias = c->attention_bias, .part = TSR_PART_ATTENTION};

    tsr_layer_load_norm(l, &out->norm, c, i);
    tsr_load_linear(l, &out->qkv, q_proj.name, qkv, 3, i, c->d_model, opts);
    tsr_load_linear(l, &out->o, o_proj.name, &o, 1, i, d_q, opts);
    out->has_kv_scales =
        !tsr_load_from_files(l) || (tsr_load_find(l, &k_scale, i, "") && tsr_load_find(l, &v_scale, i, ""));
    if (out->has_kv_scales) {
        out->k_scale = tsr_load_scale(l, &k_scale, i, MADE_UP_SCALE);
        out->v_scale = tsr_load_scale(l, &v_scale, i, MADE_UP_SCALE);
    }
    out->heads = (tsr_heads){.n_q = c->n_heads,
                             .n_kv = c->n_kv_heads,
                             .head_dim = c->head_dim,
                             .scale = 1.0f / sqrtf((float)c->head_dim)};
}

void tsr_attention_forward(const tsr_attention_layer *l, tsr_queue *q, tsr_view x, tsr_pages kv,
                           const tsr_step *step)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view qkv = tsr_scratch(q, x.type, x.rows, l->qkv.rows);
    tsr_view y = tsr_input_for(q, &l->o, x.rows);
    tsr_linear(q, qkv, x, &l->qkv, (tsr_linear_opts){.norm = &l->norm});
    if (kv.type == TSR_FP8) kv.k_scale = l->k_scale, kv.v_scale = l->v_scale;
    tsr_attention(q, y, qkv, kv, l->heads, step);
    tsr_linear(q, x, y, &l->o, (tsr_linear_opts){.add = x});
    tsr_scratch_release(q, mark);
}
