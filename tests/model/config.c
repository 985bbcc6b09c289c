/* tests/model/config.c: config.json in every spelling, and what is refused with which words. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edit.h"

static tsr_json *parse(const char *path, const char *from, const char *to)
{
    size_t bytes;
    tsr_json *json;
    unsigned char *text = edited(&bytes, path, from, to);
    must(tsr_json_parse(&json, (const char *)text, bytes, "config.json"));
    free(text);
    return json;
}

/* ---------------------------------------------------------------- what is accepted ---------------------- */

#define LIMIT "\"time_step_limit\": [\n  0.0,\n  Infinity\n ]"
#define PATTERN "\"hybrid_override_pattern\": \"M-*EM*\""

static const struct {
    const char *from, *to;
} same[] = {
    {NULL, NULL},
    {LIMIT, "\"time_step_limit\": [0, \"Infinity\"]"},
    {LIMIT, "\"time_step_limit\": [0, {\"__float__\": \"Infinity\"}]"},
    {LIMIT, "\"time_step_limit\": [0, 1e20]"},
    {LIMIT, "\"mamba_dt_limit\": [0, 1e30]"},
    {LIMIT, "\"time_step_limit\": null"},
    {PATTERN, "\"hybrid_override_pattern\": \"M-* | EM*/\""},
    {PATTERN, "\"hybrid_override_pattern\": [\"M\", \"-\", \"*\", \"E\", \"M\", \"*\"]"},
    {PATTERN,
     "\"layers_block_type\": [\"mamba\", \"mlp\", \"attention\", \"moe\", \"mamba\", \"attention\"]"},
    {PATTERN,
     "\"layer_types\": [\"linear_attention\", \"mlp\", \"full_attention\", \"moe\", \"linear_attention\", "
     "\"full_attention\"], \"hybrid_override_pattern\": \"MMMMMM\""},
    {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": null"},
    {"\"head_dim\"", "\"attention_head_dim\""},
    {"\"head_dim\"", "\"kv_channels\""},
    {"\"ssm_state_size\"", "\"mamba_state_dim\""},
    {"\"ssm_state_size\"", "\"mamba_d_state\""},
    {"\"mamba_num_heads\"", "\"mamba_n_heads\""},
    {"\"mamba_head_dim\"", "\"mamba_d_head\""},
    {"\"n_groups\"", "\"mamba_n_groups\""},
    {"\"n_groups\"", "\"mamba_num_groups\""},
    {"\"conv_kernel\"", "\"mamba_d_conv\""},
    {"\"use_conv_bias\"", "\"mamba_conv_bias\""},
    {"\"use_bias\"", "\"mamba_proj_bias\""},
    {"\"chunk_size\"", "\"mamba_chunk_size\""},
    {"\"layer_norm_epsilon\"", "\"rms_norm_eps\""},
    {"\"layer_norm_epsilon\"", "\"norm_eps\": 0.5, \"rms_norm_eps\""},
    {"\"n_routed_experts\"", "\"num_experts\""},
    {"\"n_group\": 1", "\"moe_latent_size\": null, \"enable_rope\": false"},
    {"\"intermediate_size\": 96", "\"intermediate_size\": [96]"},
    {"\"mlp_bias\": false", "\"rope_theta\": 10000, \"expand\": 2, \"sliding_window\": null"},
    {"\"model_type\": \"nemotron_h\"",
     "\"model_type\": \"nemotron_h_custom\""}, /* the architecture says it too */
};

static void spellings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        tsr_lm_config c;
        tsr_json *json = parse("golden/config.json", same[i].from, same[i].to);
        must(tsr_lm_config_read(&c, tsr_json_root(json)));
        static const unsigned char kinds[] = {0, 2, 1, 3, 0, 1};
        assert_int_equal(c.n_layers, 6);
        assert_memory_equal(c.kind, kinds, 6);
        assert_int_equal(c.d_model * 1000 + c.vocab, 64128);
        assert_int_equal(c.head_dim * 100 + c.n_heads * 10 + c.n_kv_heads, 3242);
        assert_int_equal(c.mamba_heads * 100 + c.mamba_head_dim, 816);
        assert_int_equal(c.d_state * 100 + c.n_groups * 10 + c.conv_width, 1624);
        assert_int_equal(c.chunk, 8);
        assert_true(c.eps == 1e-5f && c.dt_min == 0 && isinf(c.dt_max));
        assert_true(c.conv_bias && !c.mamba_bias && !c.mlp_bias && !c.attention_bias && !c.tied);
        assert_int_equal(c.n_experts * 10 + c.top_k, 83);
        assert_int_equal(c.d_expert * 1000 + c.d_shared, 48080);
        assert_true(c.route_scale == 2.5f && c.renormalise);
        assert_int_equal(c.d_ff[1], 96);
        assert_int_equal(c.d_ff[0], 0);
        assert_int_equal(c.type, TSR_BF16);
        tsr_json_close(json);
    }
}

/* ---------------------------------------------------------------- what is refused ----------------------- */

static const struct {
    const char *path, *from, *to;
    tsr_status status;
    const char *message; /* a part of it */
} refused[] = {
    {"golden", "\"nemotron_h\",\n \"architectures\": [\n  \"NemotronHForCausalLM\"",
     "\"llama\",\n \"architectures\": [\n  \"LlamaForCausalLM\"", TSR_E_UNSUPPORTED, "model_type is 'llama'"},
    {"golden", "\"hidden_size\": 64", "\"hidden\": 64", TSR_E_FORMAT, "no key 'hidden_size'"},
    {"golden", "\"hidden_size\": 64", "\"hidden_size\": 1000000000", TSR_E_LIMIT, "TSR_LM_MAX_WIDTH"},
    {"golden", "\"hidden_size\": 64", "\"hidden_size\": -64", TSR_E_LIMIT, "hidden_size is -64"},
    {"golden", "\"hidden_size\": 64", "\"hidden_size\": 64.5", TSR_E_FORMAT, "wanted a whole number"},
    {"golden", "\"hidden_size\": 64", "\"hidden_size\": \"64\"", TSR_E_FORMAT, "hidden_size is a string"},
    {"golden", "\"vocab_size\": 128", "\"vocab_size\": 99999999", TSR_E_LIMIT, "TSR_LM_MAX_VOCAB"},
    {"golden", "\"M-*EM*\"", "\"M-*XM*\"", TSR_E_UNSUPPORTED, "layer 3 of the pattern is 'X'"},
    {"golden", PATTERN, "\"layer_types\": [\"mamba\", \"gru\"]", TSR_E_UNSUPPORTED, "layer 1 is 'gru'"},
    {"golden", PATTERN, "\"layer_types\": [1, 2]", TSR_E_FORMAT, "layer_types holds a number"},
    {"golden", PATTERN, "\"layer_types\": 6", TSR_E_FORMAT, "wanted a string or an array"},
    {"golden", PATTERN, "\"pattern\": \"M\"", TSR_E_FORMAT, "no layers_block_type"},
    {"golden", "\"M-*EM*\"", "\" | \"", TSR_E_FORMAT, "names no layer"},
    {"golden", "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", TSR_E_FORMAT,
     "num_hidden_layers is 7"},
    {"golden", "\"mlp_hidden_act\": \"relu2\"", "\"mlp_hidden_act\": \"silu\"", TSR_E_UNSUPPORTED,
     "mlp_hidden_act is 'silu'"},
    {"golden", "\"mamba_hidden_act\": \"silu\"", "\"mamba_hidden_act\": \"gelu\"", TSR_E_UNSUPPORTED,
     "mamba_hidden_act is 'gelu'"},
    {"golden", "\"mlp_bias\": false", "\"enable_rope\": true", TSR_E_UNSUPPORTED, "enable_rope"},
    {"golden", "\"mlp_bias\": false", "\"enable_mrope\": true", TSR_E_UNSUPPORTED, "enable_mrope"},
    {"golden", "\"mlp_bias\": false", "\"mlp_bias\": 0", TSR_E_FORMAT, "wanted true or false"},
    {"golden", "\"n_group\": 1", "\"n_group\": 2", TSR_E_UNSUPPORTED, "n_group"},
    {"golden", "\"n_group\": 1", "\"moe_latent_size\": 8", TSR_E_UNSUPPORTED, "moe_latent_size"},
    {"golden", "\"num_experts_per_tok\": 3", "\"num_experts_per_tok\": 9", TSR_E_FORMAT, "more than the 8"},
    {"golden", "\"num_experts_per_tok\": 3", "\"num_experts_per_tok\": 65", TSR_E_LIMIT, "is 65"},
    {"golden", "\"routed_scaling_factor\": 2.5", "\"routed_scaling_factor\": Infinity", TSR_E_LIMIT,
     "routed_scaling_factor is inf"},
    {"golden", "\"n_groups\": 2", "\"n_groups\": 3", TSR_E_FORMAT, "no multiple of n_groups 3"},
    {"golden", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", TSR_E_FORMAT, "no multiple"},
    {"golden", "\"conv_kernel\": 4", "\"conv_kernel\": 1000", TSR_E_LIMIT, "TSR_LM_MAX_CONV"},
    {"golden", "\"ssm_state_size\": 16", "\"ssm_state_size\": 0", TSR_E_LIMIT, "TSR_LM_MAX_STATE"},
    {"golden", "\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 0", TSR_E_LIMIT,
     "layer_norm_epsilon"},
    {"golden", LIMIT, "\"time_step_limit\": [0]", TSR_E_FORMAT, "wanted two numbers"},
    {"golden", LIMIT, "\"time_step_limit\": [0, \"much\"]", TSR_E_FORMAT, "time_step_limit holds a string"},
    {"golden", LIMIT, "\"time_step_limit\": [0.5, 0.1]", TSR_E_LIMIT, "low <= high"},
    {"golden", "\"intermediate_size\": 96", "\"intermediate_size\": []", TSR_E_FORMAT, "for layer 1"},
    {"golden", "{\n \"model_type\"", "{\n \"llm_config\": 3, \"model_type\"", TSR_E_FORMAT,
     "llm_config is a number"},
    {"chat-a", "\"qk_normalization\": false", "\"qk_normalization\": true", TSR_E_UNSUPPORTED,
     "qk_normalization"},
    {"chat-a", "\"norm_type\": \"layer_norm\"", "\"norm_type\": \"rms_norm\"", TSR_E_UNSUPPORTED,
     "norm_type is 'rms_norm'"},
    {"chat-a", "\"intern_vit_6b\"", "\"radio\"", TSR_E_UNSUPPORTED, "model_type is 'radio'"},
    {"chat-a", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"quick_gelu\"", TSR_E_UNSUPPORTED, "quick_gelu"},
    {"chat-a", "\"qkv_bias\": true", "\"qkv\": true", TSR_E_FORMAT, "no key 'qkv_bias'"},
    {"chat-a", "\"patch_size\": 14", "\"patch_size\": 0", TSR_E_LIMIT, "TSR_VIT_MAX_PATCH"},
    {"chat-a", "\"patch_size\": 14", "\"patch_size\": [14, 16]", TSR_E_UNSUPPORTED, "only squares"},
    {"chat-a", "\"patch_size\": 14", "\"patch_size\": [14]", TSR_E_FORMAT, "two whole numbers"},
    {"chat-a", "\"force_image_size\": 56", "\"force_image_size\": 4088", TSR_E_LIMIT, "TSR_VIT_MAX_GRID"},
    {"chat-a", "\"patch_size\": 14", "\"patch_size\": 16", TSR_E_FORMAT, "no multiple of patch_size 16"},
    {"chat-a", "\"force_image_size\": 56", "\"force_image_size\": 65536", TSR_E_LIMIT, "TSR_VIT_MAX_IMAGE"},
    {"chat-a", "\"select_layer\": -1", "\"select_layer\": 3", TSR_E_LIMIT, "select_layer is 3"},
    {"chat-a", "\"select_layer\": -1", "\"select_layer\": -4", TSR_E_LIMIT, "select_layer is -4"},
    {"chat-a", "\"num_channels\": 3", "\"num_channels\": 1", TSR_E_UNSUPPORTED, "num_channels"},
    {"chat-a", "\"vision_config\"", "\"vision\"", TSR_E_FORMAT, "no object vision_config"},
    {"chat-a", "\"template\"", "\"norm_mean\": [1, 2], \"template\"", TSR_E_FORMAT, "norm_mean"},
    {"chat-a", "\"template\"", "\"norm_std\": [1, 0, 1], \"template\"", TSR_E_FORMAT, "norm_std"},
    {"native", "\"use_mean_pooling\": true", "\"use_mean_pooling\": false", TSR_E_UNSUPPORTED, "final norm"},
    {"native", "\"default\"", "\"full\"", TSR_E_UNSUPPORTED, "vision_feature_select_strategy is 'full'"},
    {"chat-a", "\"downsample_ratio\": 0.5", "\"downsample_ratio\": 0.25", TSR_E_UNSUPPORTED,
     "downsample_ratio is 0.25"},
    {"chat-a", "\"ps_version\": \"v2\"", "\"ps_version\": \"v3\"", TSR_E_UNSUPPORTED, "ps_version is 'v3'"},
    {"chat-a", "\"ps_version\"", "\"ps\"", TSR_E_FORMAT, "no key 'ps_version'"},
    {"chat-b", "\"projector_hidden_size\": 72", "\"projector_hidden_size\": 0", TSR_E_LIMIT,
     "TSR_PROJECTOR_MAX_HIDDEN"},
};

static tsr_status read_all(const tsr_json_value *root)
{
    tsr_lm_config lm;
    tsr_vit_config vit;
    tsr_projector_config projector;
    tsr_status st = tsr_lm_config_read(&lm, root);
    bool has_images = tsr_json_find(root, "force_image_size") || tsr_json_find(root, "image_token_id");
    if (!st && has_images) st = tsr_vit_config_read(&vit, root);
    if (!st && has_images) st = tsr_projector_config_read(&projector, root, vit.d_model, lm.d_model);
    return st;
}

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char path[64] = "";
        strcat(strcat(path, refused[i].path), "/config.json");
        tsr_json *json = parse(path, NULL, NULL);
        must(read_all(tsr_json_root(json)));
        tsr_json_close(json);
        json = parse(path, refused[i].from, refused[i].to);
        tsr_status st = read_all(tsr_json_root(json));
        if (st != refused[i].status || !strstr(tsr_message(), refused[i].message))
            fail_msg("%s with %s: status %d, '%s'", path, refused[i].to, st, st ? tsr_message() : "");
        assert_non_null(strstr(tsr_message(), "config.json"));
        tsr_json_close(json);
    }
}

/* 513 layers, one more than the bound. */
static void too_many_layers(void **state)
{
    (void)state;
    char to[1024] = "\"hybrid_override_pattern\": \"";
    size_t n = strlen(to);
    memset(to + n, 'M', TSR_LM_MAX_LAYERS + 1);
    strcpy(to + n + TSR_LM_MAX_LAYERS + 1, "\"");
    tsr_json *json = parse("golden/config.json", PATTERN, to);
    tsr_lm_config c;
    assert_int_equal(tsr_lm_config_read(&c, tsr_json_root(json)), TSR_E_LIMIT);
    tsr_json_close(json);
}

/* An MLP size for each MLP layer, in their own order. */
static void listed_sizes(void **state)
{
    (void)state;
    tsr_json *json = parse("text-runs/config.json", "\"intermediate_size\": 48",
                           "\"intermediate_size\": [1, 2, 3, 4, 5, 6]");
    tsr_lm_config c;
    must(tsr_lm_config_read(&c, tsr_json_root(json)));
    static const int32_t want[] = {0, 1, 2, 0, 0, 3, 4, 5, 0, 0, 0, 6};
    assert_memory_equal(c.d_ff, want, sizeof want);
    tsr_json_close(json);
}

static void vision_values(void **state)
{
    (void)state;
    tsr_vit_config c;
    tsr_json *json = parse("chat-b/config.json", NULL, NULL);
    must(tsr_vit_config_read(&c, tsr_json_root(json)));
    assert_int_equal(c.tile * 1000 + c.position_tile, 84056);
    assert_true(c.mean[0] == 0.48145466f && c.std[2] == 0.27577711f);
    tsr_json_close(json);

    json = parse("chat-v1/config.json", NULL, NULL);
    must(tsr_vit_config_read(&c, tsr_json_root(json)));
    assert_int_equal(c.n_layers * 10 + c.n_run, 32);
    assert_true(c.mean[0] == 0.485f);
    tsr_projector_config p;
    must(tsr_projector_config_read(&p, tsr_json_root(json), c.d_model, 32));
    assert_int_equal(p.shuffle, 1);
    tsr_json_close(json);

    json = parse("chat-v1/config.json", "\"select_layer\": -2", "\"select_layer\": 0");
    must(tsr_vit_config_read(&c, tsr_json_root(json)));
    assert_int_equal(c.n_run, 0);
    tsr_json_close(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spellings), cmocka_unit_test(refusals),
                                       cmocka_unit_test(too_many_layers), cmocka_unit_test(listed_sizes),
                                       cmocka_unit_test(vision_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
