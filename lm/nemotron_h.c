/* lm/nemotron_h.c: embed, layers in the pattern's order, norm, head. */
#include "lm/nemotron_h.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lm/layers.h"

/* What stands in front of "layers." in files, oldest first. */
static const char *const prefixes[] = {"backbone.",
                                       "model.backbone.",
                                       "language_model.backbone.",
                                       "language_model.model.backbone.",
                                       "model.language_model.backbone.",
                                       "model.language_model.",
                                       "language_model.model.",
                                       "model.",
                                       NULL};

static const tsr_tensor_names embeddings = {"lm.embed", {"$embeddings", "$embedding"}};
static const tsr_tensor_names head = {"lm.head", {"lm_head", "language_model.lm_head", "model.lm_head"}};
static const tsr_tensor_names final_norm = {"lm.norm", {"$norm_f.weight"}};
static const tsr_tensor_names layer_norm = {"lm.layer.#.norm", {"$layers.#.norm.weight"}};

/* The speculative head, audio, unused rotary tables, and scales of KV caches in other places than an attention layer
 * of ours. */
static const char *const ignored[] = {"mtp.*",     "*.mtp.*",   "sound_*", "*.rotary_emb.inv_freq",
                                      "*.k_scale", "*.v_scale", NULL};

typedef union layer {
    tsr_mamba_layer mamba;
    tsr_attention_layer attention;
    tsr_mlp_layer mlp;
    tsr_moe_layer moe;
} layer;

struct tsr_lm {
    tsr_lm_config config;
    tsr_loaded loaded;
    tsr_weight embed, head;
    tsr_norm_weight norm;
    layer *layers; /* [n_layers], which member is config.kind's */
};

void tsr_layer_load_norm(tsr_loader *l, tsr_norm_weight *out, const tsr_lm_config *c, int64_t i)
{
    tsr_load_norm(l, out, &layer_norm, NULL, i, c->d_model, c->eps);
}

static void load_layer(tsr_loader *l, layer *out, const tsr_lm_config *c, int64_t i)
{
    switch ((tsr_layer_kind)c->kind[i]) {
    case TSR_LAYER_MAMBA: tsr_mamba_load(l, &out->mamba, c, i); break;
    case TSR_LAYER_ATTENTION: tsr_attention_load(l, &out->attention, c, i); break;
    case TSR_LAYER_MLP: tsr_mlp_load(l, &out->mlp, c, i); break;
    case TSR_LAYER_MOE: tsr_moe_load(l, &out->moe, c, i); break;
    }
}

static void walk(tsr_loader *l, void *network)
{
    tsr_lm *lm = network;
    const tsr_lm_config *c = &lm->config;
    tsr_load_part table = {&embeddings, c->vocab}, out = {&head, c->vocab};
    tsr_load_linear_opts of_table = {.part = TSR_PART_TABLE}, of_head = {.part = TSR_PART_HEAD};

    tsr_load_linear(l, &lm->embed, embeddings.name, &table, 1, 0, c->d_model, of_table);
    for (int64_t i = 0; i < c->n_layers; i++) load_layer(l, &lm->layers[i], c, i);
    tsr_load_norm(l, &lm->norm, &final_norm, NULL, 0, c->d_model, c->eps);
    if (!c->tied || tsr_load_find(l, &head, 0, ".weight"))
        tsr_load_linear(l, &lm->head, head.name, &out, 1, 0, c->d_model, of_head);
    else if (tsr_load_rounds(l, TSR_PART_HEAD))
        tsr_load_fail(l, TSR_E_ARG,
                      "there is no lm_head of its own to round: it is the embedding, which stays");
    else
        lm->head = lm->embed;
}

tsr_status tsr_lm_open(tsr_lm **out, tsr_loader *l, const tsr_lm_config *c)
{
    tsr_status st = TSR_E_NOMEM;
    tsr_lm *lm = tsr_calloc(1, sizeof *lm);
    if (lm) lm->layers = tsr_calloc((size_t)c->n_layers, sizeof *lm->layers);
    if (!lm || !lm->layers) {
        (void)tsr_fail(st, "no memory for %" PRId64 " layers", c->n_layers);
        goto fail;
    }
    lm->config = *c;
    tsr_loader_ignore(l, ignored);
    st = tsr_loader_run(l, &lm->loaded, prefixes, walk, lm);
    if (st) goto fail;
    *out = lm;
    return TSR_OK;

fail:
    tsr_lm_close(lm);
    return tsr_wrap(st, "language model");
}

void tsr_lm_close(tsr_lm *lm)
{
    if (!lm) return;
    tsr_loaded_release(&lm->loaded);
    tsr_free(lm->layers);
    tsr_free(lm);
}

const tsr_lm_config *tsr_lm_config_of(const tsr_lm *lm)
{
    return &lm->config;
}

const tsr_loaded *tsr_lm_loaded(const tsr_lm *lm)
{
    return &lm->loaded;
}

size_t tsr_lm_step_bytes(const tsr_lm *lm)
{
    const tsr_weight *e = &lm->embed;
    bool shared = lm->head.data == e->data && lm->config.tied;
    return lm->loaded.weight_bytes - (shared ? 0 : (size_t)(e->rows * e->cols) * tsr_dtype_bytes(e->type));
}

tsr_dtype tsr_lm_weight_type(const tsr_lm *lm, tsr_layer_kind kind)
{
    for (int64_t i = 0; i < lm->config.n_layers; i++) {
        if (lm->config.kind[i] != kind) continue;
        switch (kind) {
        case TSR_LAYER_MAMBA: return lm->layers[i].mamba.in_proj.type;
        case TSR_LAYER_ATTENTION: return lm->layers[i].attention.qkv.type;
        case TSR_LAYER_MLP: return lm->layers[i].mlp.up.type;
        case TSR_LAYER_MOE: return lm->layers[i].moe.up.type;
        }
    }
    return lm->embed.type;
}

tsr_dtype tsr_lm_kv_type(const tsr_lm *lm)
{
    return lm->embed.type == TSR_F32 ? TSR_F32 : TSR_BF16;
}

bool tsr_lm_has_kv_scales(const tsr_lm *lm)
{
    int64_t n = 0;
    for (int64_t i = 0; i < lm->config.n_layers; i++)
        if (lm->config.kind[i] == TSR_LAYER_ATTENTION) n += lm->layers[i].attention.has_kv_scales;
    return n > 0 && n == lm->config.n_attention;
}

/* A dry walk has no state; the front doors still want its types. */
static tsr_mamba_state mamba_state(const tsr_queue *q, const tsr_state *s, int64_t i)
{
    if (s) return tsr_state_mamba(s, i);
    return (tsr_mamba_state){.conv = {.type = q->type}, .ssm = {.type = TSR_F32}};
}

static tsr_pages attention_pages(const tsr_lm *lm, const tsr_state *s, int64_t i)
{
    if (s) return tsr_state_attention(s, i);
    return (tsr_pages){.page_tokens = TSR_PAGE_TOKENS, .type = tsr_lm_kv_type(lm)};
}

void tsr_lm_forward(const tsr_lm *lm, tsr_queue *q, tsr_view logits, tsr_view image_rows,
                    const tsr_state *state, const tsr_step *step)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view x = tsr_scratch(q, q->type, step->n_rows, lm->config.d_model);
    tsr_view last = x;
    int64_t n_mamba = 0, n_attention = 0;

    assert(state || q->dry);
    tsr_embed(q, x, &lm->embed, image_rows, step);
    tsr_tap(q, x, "lm.embed");
    q->n_stream = step->n_decode;
    for (int64_t i = 0; i < lm->config.n_layers; i++) {
        const layer *l = &lm->layers[i];
        switch ((tsr_layer_kind)lm->config.kind[i]) {
        case TSR_LAYER_MAMBA:
            tsr_mamba_forward(&l->mamba, q, x, mamba_state(q, state, n_mamba++), step);
            break;
        case TSR_LAYER_ATTENTION:
            tsr_attention_forward(&l->attention, q, x, attention_pages(lm, state, n_attention++), step);
            break;
        case TSR_LAYER_MLP: tsr_mlp_forward(&l->mlp, q, x); break;
        case TSR_LAYER_MOE: tsr_moe_forward(&l->moe, q, x); break;
        }
        tsr_tap(q, x, "lm.layer.%02d", (int)i);
    }
    if (step->n_logits < step->n_rows) {
        last = tsr_scratch(q, q->type, step->n_logits, lm->config.d_model);
        tsr_gather(q, last, x, step->logit_row);
    }
    q->n_stream = step->n_logits; /* a row on its way to the logits is one, whatever company it came in */
    tsr_linear(q, logits, last, &lm->head, (tsr_linear_opts){.norm = &lm->norm});
    tsr_tap(q, logits, "lm.logits");
    q->n_stream = 0;
    tsr_scratch_release(q, mark);
}

bool tsr_lm_mix(const tsr_lm *lm, tsr_queue *q, tsr_view p, const tsr_state *state, const tsr_step *step)
{
    for (int64_t i = 0; i < lm->config.n_layers; i++) {
        if (lm->config.kind[i] != TSR_LAYER_MAMBA) continue;
        tsr_mamba_mix_alone(&lm->layers[i].mamba, q, p, mamba_state(q, state, 0), step);
        return true;
    }
    return false;
}
