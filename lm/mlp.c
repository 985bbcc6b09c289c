/* lm/mlp.c: down(relu(up(x))^2), without a gate.
 *
 * Source: nemotron-h spec 4.1; modeling_nemotron_h.py, NemotronHMLP.
 */
#include "lm/layers.h"

static const tsr_tensor_names up_proj = {"lm.layer.#.up", {"$layers.#.mixer.up_proj"}};
static const tsr_tensor_names down_proj = {"lm.layer.#.down", {"$layers.#.mixer.down_proj"}};

void tsr_mlp_load(tsr_loader *l, tsr_mlp_layer *out, const tsr_lm_config *c, int64_t i)
{
    tsr_load_part up = {&up_proj, c->d_ff[i]}, down = {&down_proj, c->d_model};
    tsr_load_linear_opts o = {.bias = c->mlp_bias};
    tsr_layer_load_norm(l, &out->norm, c, i);
    tsr_load_linear(l, &out->up, up_proj.name, &up, 1, i, c->d_model, o);
    tsr_load_linear(l, &out->down, down_proj.name, &down, 1, i, c->d_ff[i], o);
}

void tsr_mlp_forward(const tsr_mlp_layer *l, tsr_queue *q, tsr_view x)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view h = tsr_input_for(q, &l->down, x.rows);
    tsr_linear(q, h, x, &l->up, (tsr_linear_opts){.norm = &l->norm, .act = TSR_RELU2});
    tsr_linear(q, x, h, &l->down, (tsr_linear_opts){.add = x});
    tsr_scratch_release(q, mark);
}
