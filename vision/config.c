/* vision/config.c: InternVL's config.json, in its authors' spelling and in that of transformers. */
#include "vision/config.h"

#include <inttypes.h>
#include <string.h>

#include "base/config.h"

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};

/* A number, or the array of two equal ones that transformers writes. */
static int64_t read_square(tsr_config_reader *f, const char *key, tsr_bound bound)
{
    const tsr_json_value *value = tsr_config_find(f, key, NULL);
    if (!value || tsr_json_kind_of(value) != TSR_JSON_ARRAY) return tsr_config_int(f, key, bound);
    const tsr_json_value *first = tsr_json_first(value), *second = first ? tsr_json_next(first) : NULL;
    int64_t rows, cols;
    if (!second || tsr_json_next(second) || !tsr_json_int(first, &rows) || !tsr_json_int(second, &cols))
        tsr_config_fail(f, TSR_E_FORMAT, "%s is an array, but not of two whole numbers", key);
    else if (rows != cols)
        tsr_config_fail(f, TSR_E_UNSUPPORTED, "%s is %" PRId64 " x %" PRId64 ", only squares are supported",
                        key, rows, cols);
    else if (rows < bound.lo || rows > bound.hi)
        tsr_config_fail(f, TSR_E_LIMIT, "%s is %" PRId64 ", wanted %" PRId64 " to %" PRId64 " (%s)", key,
                        rows, bound.lo, bound.hi, bound.name);
    else
        return rows;
    return bound.lo;
}

static void read_three(tsr_config_reader *f, float to[3], const char *key, const float otherwise[3],
                       double lo)
{
    memcpy(to, otherwise, 3 * sizeof *to);
    const tsr_json_value *value = tsr_config_find(f, key, NULL);
    if (!value) return; /* only Nemotron's wrappers write them; everyone else's InternViT takes ImageNet's */
    int i = 0;
    bool ok = tsr_json_kind_of(value) == TSR_JSON_ARRAY && tsr_json_count(value) == 3;
    for (const tsr_json_value *v = ok ? tsr_json_first(value) : NULL; v && ok; v = tsr_json_next(v)) {
        ok = tsr_json_kind_of(v) == TSR_JSON_NUMBER && tsr_json_number(v) >= lo && tsr_json_number(v) <= 10;
        if (ok) to[i++] = (float)tsr_json_number(v);
    }
    if (!ok) tsr_config_fail(f, TSR_E_FORMAT, "%s is not an array of three numbers from %g to 10", key, lo);
}

static tsr_dtype read_type(tsr_config_reader *inner, tsr_config_reader *outer)
{
    const char *text = tsr_config_text(inner, "torch_dtype|dtype");
    if (!text) text = tsr_config_text(outer, "torch_dtype|dtype");
    if (text && strcmp(text, "float32") == 0) return TSR_F32;
    if (text && strcmp(text, "float16") == 0) return TSR_F16;
    return TSR_BF16;
}

static void check_kind(tsr_config_reader *inner, tsr_config_reader *outer)
{
    const char *type = tsr_config_text(inner, "model_type");
    bool known = type && (strcmp(type, "intern_vit_6b") == 0 || strcmp(type, "internvl_vision") == 0);
    if (!known)
        tsr_config_fail(
            inner, TSR_E_UNSUPPORTED,
            "model_type is '%s', only InternViT ('intern_vit_6b', 'internvl_vision') is supported",
            type ? type : "absent");
    tsr_config_must_be(inner, "hidden_act", "gelu");
    tsr_config_must_be(inner, "norm_type", "layer_norm");
    tsr_config_must_be_off(inner, "qk_normalization|use_qk_norm");
    bool native = type && strcmp(type, "internvl_vision") == 0;
    if (native && !tsr_config_bool(inner, "use_mean_pooling"))
        tsr_config_fail(inner, TSR_E_UNSUPPORTED, "use_mean_pooling is false: a final norm is not supported");
    if (native && !tsr_config_bool(inner, "use_absolute_position_embeddings"))
        tsr_config_fail(inner, TSR_E_UNSUPPORTED, "use_absolute_position_embeddings is false");
    if (native) tsr_config_must_be(outer, "vision_feature_select_strategy", "default");
    if (tsr_config_int_or(inner, "num_channels", TSR_BOUND(1, 4), 3) != 3)
        tsr_config_fail(inner, TSR_E_UNSUPPORTED, "num_channels is not 3");
}

/* Hidden states are counted from the embeddings, 0; negative numbers from the last layer's output, -1. */
static int64_t layers_to_run(tsr_config_reader *outer, int64_t n_layers)
{
    int64_t select = tsr_config_int_or(outer, "select_layer|vision_feature_layer",
                                       TSR_BOUND(-TSR_VIT_MAX_LAYERS - 1, TSR_VIT_MAX_LAYERS), -1);
    int64_t run = select < 0 ? n_layers + 1 + select : select;
    if (run < 0 || run > n_layers)
        tsr_config_fail(outer, TSR_E_LIMIT, "select_layer is %" PRId64 " of %" PRId64 " layers", select,
                        n_layers);
    return run;
}

tsr_status tsr_vit_config_read(tsr_vit_config *out, const tsr_json_value *root)
{
    tsr_config_reader outer = {.object = root, .where = "config.json"};
    tsr_config_reader inner = {.object = NULL, .where = "config.json: vision_config"};
    if (tsr_json_kind_of(root) == TSR_JSON_OBJECT)
        inner.object = tsr_config_find(&outer, "vision_config", NULL);
    if (!inner.object || tsr_json_kind_of(inner.object) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "config.json: no object vision_config");

    tsr_vit_config c = {0};
    check_kind(&inner, &outer);
    c.d_model = tsr_config_int(&inner, "hidden_size", TSR_BOUND(1, TSR_VIT_MAX_WIDTH));
    c.n_layers = tsr_config_int(&inner, "num_hidden_layers", TSR_BOUND(1, TSR_VIT_MAX_LAYERS));
    c.n_heads = tsr_config_int(&inner, "num_attention_heads", TSR_BOUND(1, TSR_VIT_MAX_HEADS));
    c.d_ff = tsr_config_int(&inner, "intermediate_size", TSR_BOUND(1, TSR_VIT_MAX_FFN));
    c.patch = read_square(&inner, "patch_size", TSR_BOUND(1, TSR_VIT_MAX_PATCH));
    c.position_tile = read_square(&inner, "image_size", TSR_BOUND(1, TSR_VIT_MAX_IMAGE));
    c.tile = tsr_config_find(&outer, "force_image_size", NULL)
                 ? tsr_config_int(&outer, "force_image_size", TSR_BOUND(1, TSR_VIT_MAX_IMAGE))
                 : c.position_tile;
    c.eps = (float)tsr_config_number(&inner, "layer_norm_eps", 1e-12, 1.0);
    c.qkv_bias = tsr_config_bool(&inner, "qkv_bias|attention_bias");
    if (inner.failed || outer.failed) return inner.failed ? inner.failed : outer.failed;

    c.n_run = layers_to_run(&outer, c.n_layers);
    read_three(&outer, c.mean, "norm_mean", imagenet_mean, -10);
    read_three(&outer, c.std, "norm_std", imagenet_std, 1e-6);
    c.type = read_type(&inner, &outer);
    if (c.d_model % c.n_heads)
        tsr_config_fail(&inner, TSR_E_FORMAT, "hidden_size %" PRId64 " is no multiple of %" PRId64 " heads",
                        c.d_model, c.n_heads);
    if (c.tile % c.patch || c.position_tile % c.patch)
        tsr_config_fail(&inner, TSR_E_FORMAT,
                        "tiles of %" PRId64 " or image_size %" PRId64
                        " are no multiple of patch_size %" PRId64,
                        c.tile, c.position_tile, c.patch);
    if (c.tile / c.patch > TSR_VIT_MAX_GRID || c.position_tile / c.patch > TSR_VIT_MAX_GRID)
        tsr_config_fail(&inner, TSR_E_LIMIT,
                        "tiles of %" PRId64 " or image_size %" PRId64 " have more than %d patches of %" PRId64
                        " on a side (TSR_VIT_MAX_GRID)",
                        c.tile, c.position_tile, TSR_VIT_MAX_GRID, c.patch);
    if (inner.failed) return inner.failed;
    if (outer.failed) return outer.failed;
    *out = c;
    return TSR_OK;
}
