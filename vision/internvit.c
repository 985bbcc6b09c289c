/* vision/internvit.c: patches, a class token, positions, pre-norm Transformer layers, no final norm. */
#include "vision/internvit.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "vision/position.h"

static const char *const prefixes[] = {"vision_model.", "model.vision_tower.", "vision_tower.",
                                       "model.vision_model.", NULL};

/* InternVL's own spelling first, then that of transformers. */
static const tsr_tensor_names cls = {"vision.cls", {"$embeddings.class_embedding", "$embeddings.cls_token"}};
static const tsr_tensor_names position = {
    "vision.position", {"$embeddings.position_embedding", "$embeddings.position_embeddings"}};
static const tsr_tensor_names patch = {
    "vision.patch", {"$embeddings.patch_embedding", "$embeddings.patch_embeddings.projection"}};
static const tsr_tensor_names norm1_w = {
    "vision.layer.#.norm1", {"$encoder.layers.#.norm1.weight", "$encoder.layer.#.layernorm_before.weight"}};
static const tsr_tensor_names norm1_b = {
    "vision.layer.#.norm1", {"$encoder.layers.#.norm1.bias", "$encoder.layer.#.layernorm_before.bias"}};
static const tsr_tensor_names norm2_w = {
    "vision.layer.#.norm2", {"$encoder.layers.#.norm2.weight", "$encoder.layer.#.layernorm_after.weight"}};
static const tsr_tensor_names norm2_b = {
    "vision.layer.#.norm2", {"$encoder.layers.#.norm2.bias", "$encoder.layer.#.layernorm_after.bias"}};
static const tsr_tensor_names qkv = {"vision.layer.#.qkv", {"$encoder.layers.#.attn.qkv"}};
static const tsr_tensor_names q_proj = {"vision.layer.#.qkv", {"$encoder.layer.#.attention.q_proj"}};
static const tsr_tensor_names k_proj = {"vision.layer.#.qkv", {"$encoder.layer.#.attention.k_proj"}};
static const tsr_tensor_names v_proj = {"vision.layer.#.qkv", {"$encoder.layer.#.attention.v_proj"}};
static const tsr_tensor_names proj = {
    "vision.layer.#.proj", {"$encoder.layers.#.attn.proj", "$encoder.layer.#.attention.projection_layer"}};
static const tsr_tensor_names ls1 = {"vision.layer.#.ls1",
                                     {"$encoder.layers.#.ls1", "$encoder.layer.#.lambda_1"}};
static const tsr_tensor_names ls2 = {"vision.layer.#.ls2",
                                     {"$encoder.layers.#.ls2", "$encoder.layer.#.lambda_2"}};
static const tsr_tensor_names fc1 = {"vision.layer.#.fc1",
                                     {"$encoder.layers.#.mlp.fc1", "$encoder.layer.#.mlp.fc1"}};
static const tsr_tensor_names fc2 = {"vision.layer.#.fc2",
                                     {"$encoder.layers.#.mlp.fc2", "$encoder.layer.#.mlp.fc2"}};

/* A token for masked training, and what RADIO encoders carry but do not need. */
static const char *const ignored[] = {"*.embeddings.mask_token",
                                      "vision_model.radio_model.input_conditioner.*",
                                      "vision_model.radio_model.summary_idxs", NULL};

typedef struct layer {
    tsr_norm_weight norm1, norm2;
    tsr_weight qkv, proj, fc1, fc2;
    tsr_view ls1, ls2; /* layer scale, f32 [1, d_model] */
} layer;

struct tsr_internvit {
    tsr_vit_config config;
    tsr_loaded loaded;
    tsr_grid grid;
    tsr_heads heads;
    tsr_view pixels;   /* f32 [3, 256]: what each byte of R, G, B becomes */
    tsr_view cls;      /* f32 [1, d_model] */
    tsr_view position; /* f32 [1 + patches, d_model], of the grid the tiles have */
    tsr_weight patch;
    int32_t *spans; /* [TSR_VIT_MAX_TILES + 1] multiples of the tokens of a tile */
    layer *layers;
};

static int64_t tokens_per_tile(const tsr_internvit *vit)
{
    return 1 + vit->grid.rows * vit->grid.cols;
}

static void load_pixels(tsr_loader *l, tsr_internvit *vit)
{
    vit->pixels = tsr_load_zeros(l, 3 * 256);
    vit->pixels = tsr_view_of(vit->pixels.data, TSR_F32, 3, 256);
    float *to = vit->pixels.data;
    for (int c = 0; c < 3 && tsr_load_filling(l); c++)
        for (int u = 0; u < 256; u++)
            to[c * 256 + u] = ((float)u / 255.0f - vit->config.mean[c]) / vit->config.std[c];
}

/* The stored grid is kept beside its interpolation: both lie in the block, and the first is small. */
static void load_positions(tsr_loader *l, tsr_internvit *vit)
{
    const tsr_vit_config *c = &vit->config;
    int64_t stored = c->position_tile / c->patch, tokens = tokens_per_tile(vit);
    tsr_view from =
        tsr_load_table(l, &position, 0, 1 + stored * stored, c->d_model, false, (tsr_range){-1, 1});
    vit->position = from;
    if (stored == vit->grid.rows) return;
    tsr_view to = tsr_load_zeros(l, tokens * c->d_model);
    vit->position = tsr_view_of(to.data, TSR_F32, tokens, c->d_model);
    if (!tsr_load_filling(l)) return;
    memcpy(to.data, from.data, (size_t)c->d_model * sizeof(float));
    tsr_position_resize(tsr_row(vit->position, 1), vit->grid.rows, vit->grid.cols, tsr_row(from, 1), stored,
                        stored, c->d_model);
}

static void load_qkv(tsr_loader *l, layer *out, const tsr_vit_config *c, int64_t i)
{
    tsr_load_part joined = {&qkv, 3 * c->d_model};
    tsr_load_part split[] = {{&q_proj, c->d_model}, {&k_proj, c->d_model}, {&v_proj, c->d_model}};
    tsr_load_linear_opts o = {.bias = c->qkv_bias, .part = TSR_PART_VISION};
    bool is_split = tsr_load_find(l, &q_proj, i, ".weight");
    tsr_load_linear(l, &out->qkv, qkv.name, is_split ? split : &joined, is_split ? 3 : 1, i, c->d_model, o);
}

static void load_layer(tsr_loader *l, layer *out, const tsr_vit_config *c, int64_t i)
{
    tsr_load_part to_proj = {&proj, c->d_model}, to_fc1 = {&fc1, c->d_ff}, to_fc2 = {&fc2, c->d_model};
    tsr_load_linear_opts o = {.bias = true, .part = TSR_PART_VISION};
    tsr_load_norm(l, &out->norm1, &norm1_w, &norm1_b, i, c->d_model, c->eps);
    load_qkv(l, out, c, i);
    tsr_load_linear(l, &out->proj, proj.name, &to_proj, 1, i, c->d_model, o);
    out->ls1 = tsr_load_vector(l, &ls1, i, c->d_model, (tsr_range){0.05f, 0.2f});
    tsr_load_norm(l, &out->norm2, &norm2_w, &norm2_b, i, c->d_model, c->eps);
    tsr_load_linear(l, &out->fc1, fc1.name, &to_fc1, 1, i, c->d_model, o);
    tsr_load_linear(l, &out->fc2, fc2.name, &to_fc2, 1, i, c->d_ff, o);
    out->ls2 = tsr_load_vector(l, &ls2, i, c->d_model, (tsr_range){0.05f, 0.2f});
}

static void walk(tsr_loader *l, void *network)
{
    tsr_internvit *vit = network;
    const tsr_vit_config *c = &vit->config;
    tsr_load_part to_patch = {&patch, c->d_model};
    tsr_load_linear_opts o = {.bias = true, .part = TSR_PART_TABLE, .inner = {3, c->patch, c->patch}};
    load_pixels(l, vit);
    tsr_load_linear(l, &vit->patch, patch.name, &to_patch, 1, 0, 3 * c->patch * c->patch, o);
    vit->cls = tsr_load_vector(l, &cls, 0, c->d_model, (tsr_range){-1, 1});
    load_positions(l, vit);
    for (int64_t i = 0; i < c->n_layers; i++) load_layer(l, &vit->layers[i], c, i);

    vit->spans = tsr_load_bytes(l, (TSR_VIT_MAX_TILES + 1) * sizeof *vit->spans);
    for (int t = 0; t <= TSR_VIT_MAX_TILES && tsr_load_filling(l); t++)
        vit->spans[t] = (int32_t)(t * tokens_per_tile(vit));
}

tsr_status tsr_internvit_open(tsr_internvit **out, tsr_loader *l, const tsr_vit_config *c)
{
    tsr_status st = TSR_E_NOMEM;
    tsr_internvit *vit = tsr_calloc(1, sizeof *vit);
    if (vit) vit->layers = tsr_calloc((size_t)c->n_layers, sizeof *vit->layers);
    if (!vit || !vit->layers) {
        (void)tsr_fail(st, "no memory for %" PRId64 " layers", c->n_layers);
        goto fail;
    }
    int64_t head_dim = c->d_model / c->n_heads;
    vit->config = *c;
    vit->grid = (tsr_grid){c->tile / c->patch, c->tile / c->patch};
    vit->heads = (tsr_heads){c->n_heads, c->n_heads, head_dim, 1.0f / sqrtf((float)head_dim)};
    tsr_loader_ignore(l, ignored);
    st = tsr_loader_run(l, &vit->loaded, prefixes, walk, vit);
    if (st) goto fail;
    *out = vit;
    return TSR_OK;

fail:
    tsr_internvit_close(vit);
    return tsr_wrap(st, "image encoder");
}

void tsr_internvit_close(tsr_internvit *vit)
{
    if (!vit) return;
    tsr_loaded_release(&vit->loaded);
    tsr_free(vit->layers);
    tsr_free(vit);
}

const tsr_vit_config *tsr_internvit_config(const tsr_internvit *vit)
{
    return &vit->config;
}

const tsr_loaded *tsr_internvit_loaded(const tsr_internvit *vit)
{
    return &vit->loaded;
}

tsr_grid tsr_internvit_grid(const tsr_internvit *vit)
{
    return vit->grid;
}

static void layer_forward(const tsr_internvit *vit, const layer *l, tsr_queue *q, tsr_view x, tsr_spans tiles)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view p = tsr_scratch(q, x.type, x.rows, l->qkv.rows); /* q | k | v */
    tsr_view a = tsr_scratch(q, x.type, x.rows, x.cols);
    tsr_view h = tsr_input_for(q, &l->fc2, x.rows);
    tsr_linear(q, p, x, &l->qkv, (tsr_linear_opts){.norm = &l->norm1});
    tsr_attend(q, a, p, vit->heads, tiles);
    tsr_linear(q, x, a, &l->proj, (tsr_linear_opts){.gain = l->ls1, .add = x});
    tsr_linear(q, h, x, &l->fc1, (tsr_linear_opts){.norm = &l->norm2, .act = TSR_GELU});
    tsr_linear(q, x, h, &l->fc2, (tsr_linear_opts){.gain = l->ls2, .add = x});
    tsr_scratch_release(q, mark);
}

void tsr_internvit_encode(const tsr_internvit *vit, tsr_queue *q, tsr_view out, tsr_view tiles)
{
    const tsr_vit_config *c = &vit->config;
    int64_t n_tiles = tiles.rows, n_patches = vit->grid.rows * vit->grid.cols, tokens = tokens_per_tile(vit);
    if (!tsr_expect(q, n_tiles <= TSR_VIT_MAX_TILES && tiles.cols == c->tile * c->tile * 3,
                    "internvit: tiles %s, wanted at most %d of side %" PRId64, TSR_SHAPE(tiles),
                    TSR_VIT_MAX_TILES, c->tile))
        return;

    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view pixels = tsr_scratch(q, q->type, n_tiles * n_patches, vit->patch.cols);
    tsr_view patches = tsr_scratch(q, q->type, n_tiles * n_patches, c->d_model);
    tsr_view x = tsr_scratch(q, q->type, n_tiles * tokens, c->d_model);
    tsr_spans spans = {.start = vit->spans, .n = n_tiles, .max_rows = n_tiles ? tokens : 0};

    tsr_patchify(q, pixels, tiles, vit->pixels, vit->grid);
    tsr_linear(q, patches, pixels, &vit->patch, (tsr_linear_opts){0});
    tsr_vit_enter(q, x, patches, vit->cls, vit->position);
    tsr_tap(q, x, "vision.embed");
    for (int64_t i = 0; i < c->n_run; i++) {
        layer_forward(vit, &vit->layers[i], q, x, spans);
        tsr_tap(q, x, "vision.layer.%02d", (int)i);
    }
    tsr_vit_leave(q, out, x, 1, n_patches);
    tsr_tap(q, out, "vision.out");
    tsr_scratch_release(q, mark);
}
