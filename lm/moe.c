/* lm/moe.c: a few of many small MLPs, chosen for each row, and one that all rows take.
 *
 * Source: nemotron-h spec 4.2; modeling_nemotron_h.py, NemotronHMOE.
 */
#include "lm/layers.h"

static const tsr_tensor_names router = {"lm.layer.#.router", {"$layers.#.mixer.gate.weight"}};
static const tsr_tensor_names router_bias = {"lm.layer.#.router_bias",
                                             {"$layers.#.mixer.gate.e_score_correction_bias"}};
static const tsr_tensor_names up = {"lm.layer.#.experts_up", {"$layers.#.mixer.experts.@.up_proj"}};
static const tsr_tensor_names down = {"lm.layer.#.experts_down", {"$layers.#.mixer.experts.@.down_proj"}};
static const tsr_tensor_names up_stacked = {"lm.layer.#.experts_up", {"$layers.#.mixer.experts.up_proj"}};
static const tsr_tensor_names down_stacked = {"lm.layer.#.experts_down",
                                              {"$layers.#.mixer.experts.down_proj"}};
static const tsr_tensor_names shared_up = {"lm.layer.#.shared_up",
                                           {"$layers.#.mixer.shared_experts.up_proj"}};
static const tsr_tensor_names shared_down = {"lm.layer.#.shared_down",
                                             {"$layers.#.mixer.shared_experts.down_proj"}};

void tsr_moe_load(tsr_loader *l, tsr_moe_layer *out, const tsr_lm_config *c, int64_t i)
{
    tsr_load_part to_shared = {&shared_up, c->d_shared}, from_shared = {&shared_down, c->d_model};
    tsr_layer_load_norm(l, &out->norm, c, i);
    out->name = tsr_load_name(l, "lm.layer.#", i);
    out->router = (tsr_router){
        .w = tsr_load_table(l, &router, i, c->n_experts, c->d_model, false, (tsr_range){-0.1f, 0.1f}),
        .bias = tsr_load_vector(l, &router_bias, i, c->n_experts, (tsr_range){-0.25f, 0.25f}),
        .top_k = c->top_k,
        .renormalise = c->renormalise,
        .scale = c->route_scale};
    tsr_load_experts(l, &out->up, &up, &up_stacked, i, c->n_experts, c->d_expert, c->d_model);
    tsr_load_experts(l, &out->down, &down, &down_stacked, i, c->n_experts, c->d_model, c->d_expert);
    tsr_load_linear(l, &out->shared_up, shared_up.name, &to_shared, 1, i, c->d_model,
                    (tsr_load_linear_opts){.bias = c->mlp_bias});
    tsr_load_linear(l, &out->shared_down, shared_down.name, &from_shared, 1, i, c->d_shared,
                    (tsr_load_linear_opts){.bias = c->mlp_bias});
}

void tsr_moe_forward(const tsr_moe_layer *l, tsr_queue *q, tsr_view x)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view u =
        tsr_scratch(q, q->type, x.rows, x.cols); /* the router needs it unrounded, so the norm stands alone */
    tsr_view ids = tsr_scratch(q, TSR_I32, x.rows, l->router.top_k);
    tsr_view gates = tsr_scratch(q, TSR_F32, x.rows, l->router.top_k);
    tsr_view h = tsr_input_for(q, &l->shared_down, x.rows);
    tsr_norm(q, u, x, &l->norm);
    tsr_moe_route(q, ids, gates, u, &l->router);
    tsr_tap(q, ids, "%s.experts", l->name);
    tsr_linear(q, h, u, &l->shared_up, (tsr_linear_opts){.act = TSR_RELU2});
    tsr_linear(q, x, h, &l->shared_down, (tsr_linear_opts){.add = x});
    tsr_moe_ffn(q, x, u, &l->up, &l->down, ids, gates, x);
    tsr_scratch_release(q, mark);
}
