/* projector/projector.c: pixel shuffle and the two-layer FFN. */
#include "projector/projector.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/log.h"

/* Both kinds have used this since the first, which took PyTorch's default; it is not the encoder's. */
#define EPS 1e-5f

static const char *const prefixes[] = {"", "model.", NULL};

/* InternVL's own spelling, that of transformers, that of its Nemotron port. Member 2 of mlp1 is the activation. */
static const tsr_tensor_names norm_w = {
    "projector.norm",
    {"$mlp1.0.weight", "$multi_modal_projector.layer_norm.weight", "$vision_projector.mlp1.norm.weight"}};
static const tsr_tensor_names norm_b = {"projector.norm",
                                        {"$mlp1.0.bias", "$multi_modal_projector.layer_norm.bias"}};
static const tsr_tensor_names fc1 = {
    "projector.fc1", {"$mlp1.1", "$multi_modal_projector.linear_1", "$vision_projector.mlp1.linear1"}};
static const tsr_tensor_names fc2 = {
    "projector.fc2", {"$mlp1.3", "$multi_modal_projector.linear_2", "$vision_projector.mlp1.linear2"}};

struct tsr_projector {
    tsr_projector_config config;
    tsr_loaded loaded;
    tsr_norm_weight norm;
    tsr_weight fc1, fc2;
    tsr_act act;
};

tsr_status tsr_projector_config_read(tsr_projector_config *out, const tsr_json_value *root, int64_t d_patch,
                                     int64_t d_model)
{
    if (tsr_json_kind_of(root) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "config.json is %s, wanted an object",
                        tsr_json_kind_name(tsr_json_kind_of(root)));
    tsr_config_reader f = {.object = root, .where = "config.json"};
    tsr_projector_config c = {.d_patch = d_patch, .d_model = d_model, .shuffle = 2};

    double ratio = tsr_config_number(&f, "downsample_ratio", 0.0, 1.0);
    if (ratio != 0.5)
        tsr_config_fail(&f, TSR_E_UNSUPPORTED, "downsample_ratio is %g, only 0.5 is supported", ratio);
    c.act_unsaid = !tsr_config_find(&f, "projector_hidden_act", NULL);
    if (!c.act_unsaid) tsr_config_must_be(&f, "projector_hidden_act", "gelu");

    /* transformers has version 2 alone and does not write the key; everyone else must. */
    const char *version = tsr_config_text(&f, "ps_version");
    bool native = tsr_config_find(&f, "vision_feature_layer|text_config", NULL);
    if (version && strcmp(version, "v1") == 0)
        c.shuffle = 1;
    else if (version && strcmp(version, "v2") != 0)
        tsr_config_fail(&f, TSR_E_UNSUPPORTED, "ps_version is '%s', wanted 'v1' or 'v2'", version);
    else if (!version && !native)
        tsr_config_fail(&f, TSR_E_FORMAT, "no key 'ps_version', which is needed");

    c.kind = TSR_PROJECTOR_A;
    c.d_hidden = d_model;
    if (tsr_config_find(&f, "projector_hidden_size", NULL)) {
        c.kind = TSR_PROJECTOR_B;
        c.d_hidden = tsr_config_int(&f, "projector_hidden_size", TSR_BOUND(1, TSR_PROJECTOR_MAX_HIDDEN));
    }
    if (f.failed) return f.failed;
    *out = c;
    return TSR_OK;
}

/* The biases decide. */
static void detect_kind(tsr_loader *l, tsr_projector *p)
{
    if (!tsr_load_from_files(l)) return;
    bool norm = tsr_load_find(l, &norm_b, 0, ""), first = tsr_load_find(l, &fc1, 0, ".bias");
    bool second = tsr_load_find(l, &fc2, 0, ".bias");
    if (norm != first || first != second)
        tsr_load_fail(
            l, TSR_E_UNSUPPORTED,
            "%s a bias of the norm, %s of the first linear, %s of the second: neither kind A (all) nor B "
            "(none)",
            norm ? "has" : "lacks", first ? "has" : "lacks", second ? "has" : "lacks");
    p->config.kind = norm ? TSR_PROJECTOR_A : TSR_PROJECTOR_B;
}

static void walk(tsr_loader *l, void *network)
{
    tsr_projector *p = network;
    const tsr_projector_config *c = &p->config;
    detect_kind(l, p);
    const tsr_tensor *first = tsr_load_find(l, &fc1, 0, ".weight");
    int64_t d_hidden = first && first->n_dims == 2 ? first->shape[0] : c->d_hidden;
    if (d_hidden > TSR_PROJECTOR_MAX_HIDDEN)
        tsr_load_fail(l, TSR_E_LIMIT,
                      "tensor '%s' has %" PRId64 " rows, wanted at most %d (TSR_PROJECTOR_MAX_HIDDEN)",
                      first->name, d_hidden, TSR_PROJECTOR_MAX_HIDDEN);

    bool is_a = c->kind == TSR_PROJECTOR_A;
    tsr_load_part to_fc1 = {&fc1, d_hidden}, to_fc2 = {&fc2, c->d_model};
    tsr_load_linear_opts o = {.bias = is_a, .part = TSR_PART_PROJECTOR};
    tsr_load_norm(l, &p->norm, &norm_w, is_a ? &norm_b : NULL, 0, 4 * c->d_patch, EPS);
    tsr_load_linear(l, &p->fc1, fc1.name, &to_fc1, 1, 0, 4 * c->d_patch, o);
    tsr_load_linear(l, &p->fc2, fc2.name, &to_fc2, 1, 0, d_hidden, o);
    p->act = is_a ? TSR_GELU : TSR_RELU2;
}

tsr_status tsr_projector_open(tsr_projector **out, tsr_loader *l, const tsr_projector_config *c)
{
    tsr_projector *p = tsr_calloc(1, sizeof *p);
    if (!p) return tsr_fail(TSR_E_NOMEM, "no memory for a projector");
    p->config = *c;
    tsr_status st = tsr_loader_run(l, &p->loaded, prefixes, walk, p);
    if (st) {
        tsr_projector_close(p);
        return tsr_wrap(st, "projector");
    }
    if (p->config.kind == TSR_PROJECTOR_A && c->act_unsaid)
        tsr_log(TSR_LOG_INFO, "config.json: no key 'projector_hidden_act', taking gelu");
    *out = p;
    return TSR_OK;
}

void tsr_projector_close(tsr_projector *p)
{
    if (!p) return;
    tsr_loaded_release(&p->loaded);
    tsr_free(p);
}

tsr_projector_kind tsr_projector_kind_of(const tsr_projector *p)
{
    return p->config.kind;
}

const tsr_loaded *tsr_projector_loaded(const tsr_projector *p)
{
    return &p->loaded;
}

void tsr_projector_forward(const tsr_projector *p, tsr_queue *q, tsr_view out, tsr_view patches,
                           tsr_grid grid)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view x = tsr_scratch(q, patches.type, out.rows, p->fc1.cols);
    tsr_view h = tsr_input_for(q, &p->fc2, out.rows);
    tsr_pixel_shuffle(q, x, patches, grid, p->config.shuffle); /* 4 neighbours become 1 row */
    tsr_linear(q, h, x, &p->fc1, (tsr_linear_opts){.norm = &p->norm, .act = p->act});
    tsr_linear(q, out, h, &p->fc2, (tsr_linear_opts){0});
    tsr_tap(q, out, "projector.out");
    tsr_scratch_release(q, mark);
}
