/* lm/mamba2.c: the Mamba-2 layer.
 *
 * Source: arXiv:2405.21060; nemotron-h spec 2; modeling_nemotron_h.py, NemotronHMamba2Mixer.
 */
#include <math.h>

#include "lm/layers.h"

static const tsr_tensor_names in_proj = {"lm.layer.#.in_proj", {"$layers.#.mixer.in_proj"}};
static const tsr_tensor_names out_proj = {"lm.layer.#.out_proj", {"$layers.#.mixer.out_proj"}};
static const tsr_tensor_names taps = {"lm.layer.#.taps", {"$layers.#.mixer.conv1d.weight"}};
static const tsr_tensor_names conv_bias = {"lm.layer.#.conv_bias", {"$layers.#.mixer.conv1d.bias"}};
static const tsr_tensor_names a_log = {"lm.layer.#.a", {"$layers.#.mixer.A_log"}};
static const tsr_tensor_names d_skip = {"lm.layer.#.d", {"$layers.#.mixer.D"}};
static const tsr_tensor_names dt_bias = {"lm.layer.#.dt_bias", {"$layers.#.mixer.dt_bias"}};
static const tsr_tensor_names gated_norm = {"lm.layer.#.gated_norm", {"$layers.#.mixer.norm.weight"}};

/* The chunk length changes only rounding, and the work of a chunk grows with its square: a file's larger one
 * (a test's whole prompt in one chunk) is not taken over. */
#define LONGEST_CHUNK 256

void tsr_mamba_load(tsr_loader *l, tsr_mamba_layer *out, const tsr_lm_config *c, int64_t i)
{
    int64_t d = tsr_lm_d_mamba(c), d_conv = tsr_lm_d_conv(c);
    tsr_load_part in = {&in_proj, d + d_conv + c->mamba_heads}; /* z | x B C | dt */
    tsr_load_part from = {&out_proj, c->d_model};
    tsr_load_linear_opts o = {.bias = c->mamba_bias};

    tsr_layer_load_norm(l, &out->norm, c, i);
    tsr_load_linear(l, &out->in_proj, in_proj.name, &in, 1, i, c->d_model, o);
    tsr_load_linear(l, &out->out_proj, out_proj.name, &from, 1, i, d, o);

    tsr_mixer *m = &out->mixer;
    *m = (tsr_mixer){.name = tsr_load_name(l, "lm.layer.#", i),
                     .n_heads = c->mamba_heads,
                     .head_dim = c->mamba_head_dim,
                     .n_groups = c->n_groups,
                     .d_state = c->d_state,
                     .conv_width = c->conv_width,
                     .chunk = c->chunk < LONGEST_CHUNK ? c->chunk : LONGEST_CHUNK,
                     .dt_min = c->dt_min,
                     .dt_max = c->dt_max};
    m->taps = tsr_load_table(l, &taps, i, c->conv_width, d_conv, true, (tsr_range){-0.5f, 0.5f});
    m->conv_bias = c->conv_bias ? tsr_load_vector(l, &conv_bias, i, d_conv, (tsr_range){-0.25f, 0.25f})
                                : tsr_load_zeros(l, d_conv);
    m->a = tsr_load_vector(l, &a_log, i, c->mamba_heads, (tsr_range){0, 2});
    m->d = tsr_load_vector(l, &d_skip, i, c->mamba_heads, (tsr_range){0.75f, 1.25f});
    m->dt_bias = tsr_load_vector(l, &dt_bias, i, c->mamba_heads, (tsr_range){-8, 0});
    tsr_load_norm(l, &m->norm, &gated_norm, NULL, i, d, c->eps);

    float *a = m->a.data;
    for (int64_t j = 0; tsr_load_filling(l) && j < c->mamba_heads; j++) a[j] = -expf(a[j]);
}

void tsr_mamba_forward(const tsr_mamba_layer *l, tsr_queue *q, tsr_view x, tsr_mamba_state s,
                       const tsr_step *step)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view p = tsr_scratch(q, x.type, x.rows, l->in_proj.rows); /* z | x B C | dt */
    tsr_view y = tsr_input_for(q, &l->out_proj, x.rows);
    tsr_linear(q, p, x, &l->in_proj, (tsr_linear_opts){.norm = &l->norm});
    tsr_tap(q, p, "%s.in_proj", l->mixer.name);
    tsr_mamba_mix(q, y, p, &l->mixer, s, step);
    tsr_linear(q, x, y, &l->out_proj, (tsr_linear_opts){.add = x});
    tsr_scratch_release(q, mark);
}

void tsr_mamba_mix_alone(const tsr_mamba_layer *l, tsr_queue *q, tsr_view p, tsr_mamba_state s,
                         const tsr_step *step)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_mamba_mix(q, tsr_input_for(q, &l->out_proj, p.rows), p, &l->mixer, s, step);
    tsr_scratch_release(q, mark);
}
