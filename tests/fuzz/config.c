/* tests/fuzz/config.c: a configuration that is accepted keeps every bound it promises, and can be planned: all
 * three networks open over a dry loader and one prompt runs dry, without memory for any of it. */
#include <string.h>

#include "kernels/backend.h"
#include "lm/nemotron_h.h"
#include "lm/step.h"
#include "projector/projector.h"
#include "tests/fuzz/fuzz.h"
#include "vision/internvit.h"

static void check_lm(const tsr_lm_config *c)
{
    FUZZ_CHECK(c->d_model > 0 && c->d_model <= TSR_LM_MAX_WIDTH);
    FUZZ_CHECK(c->vocab > 0 && c->vocab <= TSR_LM_MAX_VOCAB);
    FUZZ_CHECK(c->n_layers > 0 && c->n_layers <= TSR_LM_MAX_LAYERS);
    FUZZ_CHECK(c->n_mamba + c->n_attention + c->n_mlp + c->n_moe == c->n_layers);
    FUZZ_CHECK(c->eps > 0);
    if (c->n_mamba) {
        FUZZ_CHECK(c->mamba_heads % c->n_groups == 0 && tsr_lm_d_mamba(c) % c->n_groups == 0);
        FUZZ_CHECK(c->conv_width > 0 && c->conv_width <= TSR_LM_MAX_CONV);
        FUZZ_CHECK(c->dt_min <= c->dt_max);
    }
    if (c->n_attention) FUZZ_CHECK(c->n_heads % c->n_kv_heads == 0 && c->head_dim > 0);
    if (c->n_moe) FUZZ_CHECK(c->top_k > 0 && c->top_k <= c->n_experts);
    for (int64_t i = 0; i < c->n_layers; i++)
        FUZZ_CHECK(c->kind[i] <= TSR_LAYER_MOE && (c->kind[i] != TSR_LAYER_MLP || c->d_ff[i] > 0));
}

static void check_vit(const tsr_vit_config *c)
{
    FUZZ_CHECK(c->d_model > 0 && c->d_model % c->n_heads == 0);
    FUZZ_CHECK(c->tile % c->patch == 0 && c->position_tile % c->patch == 0);
    FUZZ_CHECK(c->n_run >= 0 && c->n_run <= c->n_layers);
    for (int i = 0; i < 3; i++) FUZZ_CHECK(c->std[i] > 0);
}

static void plan_lm(tsr_loader *l, tsr_queue *q, const tsr_lm_config *c)
{
    tsr_lm *lm = NULL;
    if (tsr_lm_open(&lm, l, c)) return;
    tsr_step step = tsr_step_shape(1, 3, 7, 1);
    tsr_view logits = tsr_scratch(q, TSR_F32, 1, c->vocab);
    tsr_lm_forward(lm, q, logits, tsr_view_of(NULL, q->type, 0, 0), NULL, &step);
    FUZZ_CHECK(tsr_queue_sync(q) == TSR_OK);
    FUZZ_CHECK(q->scratch.peak > 0);
    tsr_state_sizes sizes = tsr_state_measure(c, (tsr_state_opts){2, 2, TSR_F32, TSR_BF16, TSR_F32});
    FUZZ_CHECK(sizes.total >= 2 * sizes.slot_bytes || sizes.total == SIZE_MAX);
    tsr_lm_close(lm);
}

static void plan_vision(tsr_loader *l, tsr_queue *q, const tsr_vit_config *vc, const tsr_projector_config *pc)
{
    tsr_internvit *vit = NULL;
    tsr_projector *projector = NULL;
    if (!tsr_internvit_open(&vit, l, vc) && !tsr_projector_open(&projector, l, pc)) {
        tsr_grid grid = tsr_internvit_grid(vit);
        tsr_view out = tsr_scratch(q, q->type, grid.rows * grid.cols, vc->d_model);
        tsr_internvit_encode(vit, q, out, tsr_view_of(NULL, TSR_U8, 1, 3 * vc->tile * vc->tile));
        FUZZ_CHECK(tsr_queue_sync(q) == TSR_OK);
    }
    tsr_projector_close(projector);
    tsr_internvit_close(vit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tsr_json *json = NULL;
    if (tsr_json_parse(&json, (const char *)data, bytes, "config.json")) return 0;
    const tsr_json_value *root = tsr_json_root(json);
    tsr_lm_config lm;
    tsr_vit_config vit;
    tsr_projector_config projector;
    tsr_queue *q = NULL;
    tsr_loader *l = NULL;
    FUZZ_CHECK(!tsr_queue_open(&q, &tsr_ref_ops, NULL, TSR_F32, 0));
    FUZZ_CHECK(!tsr_loader_open(&l, q, (tsr_loader_opts){.dry = true}));
    bool has_lm = !tsr_lm_config_read(&lm, root), has_vit = false;
    if (has_lm) check_lm(&lm);
    if (tsr_json_kind_of(root) == TSR_JSON_OBJECT) has_vit = !tsr_vit_config_read(&vit, root);
    if (has_vit) check_vit(&vit);
    if (has_lm) plan_lm(l, q, &lm);
    if (has_lm && has_vit && !tsr_projector_config_read(&projector, root, vit.d_model, lm.d_model))
        plan_vision(l, q, &vit, &projector);
    tsr_loader_close(l);
    tsr_queue_close(q);
    tsr_json_close(json);
    return 0;
}
