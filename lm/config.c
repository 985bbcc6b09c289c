/* lm/config.c: config.json of the Nemotron-H family, in all its spellings.
 *
 * Keys of training and of other implementations (expand, rope_theta, time_step_min ...) stand in real files
 * and are not read: nothing in the forward pass uses them.
 */
#include "lm/config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/config.h"

/* Anything at least this large stands for "no upper limit" on dt: writers without Infinity use 1e20 or 1e30. */
#define NO_LIMIT 1e10

/* "Infinity" as a number, as a string, or as the object that transformers writes. */
static double number_or_infinity(tsr_config_reader *f, const tsr_json_value *value)
{
    if (tsr_json_kind_of(value) == TSR_JSON_OBJECT && tsr_json_find(value, "__float__"))
        value = tsr_json_find(value, "__float__");
    if (tsr_json_kind_of(value) == TSR_JSON_STRING) {
        const char *text = tsr_json_string(value);
        if (strcmp(text, "Infinity") == 0 || strcmp(text, "inf") == 0) return INFINITY;
    }
    if (tsr_json_kind_of(value) == TSR_JSON_NUMBER) return tsr_json_number(value);
    tsr_config_fail(f, TSR_E_FORMAT, "time_step_limit holds %s, wanted numbers or \"Infinity\"",
                    tsr_json_kind_name(tsr_json_kind_of(value)));
    return 0;
}

static void read_dt_limit(tsr_lm_config *c, tsr_config_reader *f)
{
    c->dt_min = 0;
    c->dt_max = INFINITY;
    const char *key;
    const tsr_json_value *limit = tsr_config_find(f, "time_step_limit|mamba_dt_limit", &key);
    if (!limit) return; /* published files without the key mean no limit */
    if (tsr_json_kind_of(limit) != TSR_JSON_ARRAY || tsr_json_count(limit) != 2) {
        tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted two numbers", key,
                        tsr_json_kind_name(tsr_json_kind_of(limit)));
        return;
    }
    const tsr_json_value *first = tsr_json_first(limit);
    double lo = number_or_infinity(f, first);
    double hi = number_or_infinity(f, tsr_json_next(first));
    if (!f->failed && !(lo >= 0 && lo <= hi && lo < NO_LIMIT))
        tsr_config_fail(f, TSR_E_LIMIT, "time_step_limit is [%g, %g], wanted 0 <= low <= high", lo, hi);
    c->dt_min = (float)lo;
    c->dt_max = hi >= NO_LIMIT ? INFINITY : (float)hi;
}

static void add_layer(tsr_lm_config *c, tsr_config_reader *f, tsr_layer_kind kind)
{
    if (c->n_layers == TSR_LM_MAX_LAYERS) {
        tsr_config_fail(f, TSR_E_LIMIT, "the pattern has more than %d layers (TSR_LM_MAX_LAYERS)",
                        TSR_LM_MAX_LAYERS);
        return;
    }
    c->kind[c->n_layers++] = (unsigned char)kind;
    c->n_mamba += kind == TSR_LAYER_MAMBA;
    c->n_attention += kind == TSR_LAYER_ATTENTION;
    c->n_mlp += kind == TSR_LAYER_MLP;
    c->n_moe += kind == TSR_LAYER_MOE;
}

static void read_letters(tsr_lm_config *c, tsr_config_reader *f, const char *letters)
{
    for (; *letters && !f->failed; letters++) {
        switch (*letters) {
        case 'M': add_layer(c, f, TSR_LAYER_MAMBA); break;
        case '*': add_layer(c, f, TSR_LAYER_ATTENTION); break;
        case '-': add_layer(c, f, TSR_LAYER_MLP); break;
        case 'E': add_layer(c, f, TSR_LAYER_MOE); break;
        case '|':
        case '/':
        case ' ':
        case '\t':
        case '\n': break; /* Megatron's separators */
        default:
            tsr_config_fail(f, TSR_E_UNSUPPORTED,
                            "layer %" PRId64 " of the pattern is '%c', wanted M, *, - or E", c->n_layers,
                            *letters);
        }
    }
}

static void read_word(tsr_lm_config *c, tsr_config_reader *f, const char *word)
{
    static const struct {
        const char *word;
        tsr_layer_kind kind;
    } words[] = {{"mamba", TSR_LAYER_MAMBA},
                 {"linear_attention", TSR_LAYER_MAMBA},
                 {"attention", TSR_LAYER_ATTENTION},
                 {"full_attention", TSR_LAYER_ATTENTION},
                 {"mlp", TSR_LAYER_MLP},
                 {"moe", TSR_LAYER_MOE}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i].word) == 0) {
            add_layer(c, f, words[i].kind);
            return;
        }
    tsr_config_fail(f, TSR_E_UNSUPPORTED, "layer %" PRId64 " is '%s', wanted mamba, attention, mlp or moe",
                    c->n_layers, word);
}

/* One string of letters, an array of letters, or an array of words. */
static void read_pattern(tsr_lm_config *c, tsr_config_reader *f)
{
    const char *key;
    const tsr_json_value *pattern =
        tsr_config_find(f, "layers_block_type|layer_types|hybrid_override_pattern", &key);
    if (!pattern) {
        tsr_config_fail(f, TSR_E_FORMAT, "no layers_block_type, layer_types or hybrid_override_pattern");
        return;
    }
    if (tsr_json_kind_of(pattern) == TSR_JSON_STRING) {
        read_letters(c, f, tsr_json_string(pattern));
    } else if (tsr_json_kind_of(pattern) == TSR_JSON_ARRAY) {
        for (const tsr_json_value *v = tsr_json_first(pattern); v && !f->failed; v = tsr_json_next(v)) {
            if (tsr_json_kind_of(v) != TSR_JSON_STRING) {
                tsr_config_fail(f, TSR_E_FORMAT, "%s holds %s, wanted strings", key,
                                tsr_json_kind_name(tsr_json_kind_of(v)));
                return;
            }
            const char *word = tsr_json_string(v);
            if (strlen(word) == 1)
                read_letters(c, f, word);
            else
                read_word(c, f, word);
        }
    } else {
        tsr_config_fail(f, TSR_E_FORMAT, "%s is %s, wanted a string or an array", key,
                        tsr_json_kind_name(tsr_json_kind_of(pattern)));
    }
    if (!f->failed && c->n_layers == 0) tsr_config_fail(f, TSR_E_FORMAT, "%s names no layer", key);
    if (!f->failed && tsr_config_find(f, "num_hidden_layers", NULL)) {
        int64_t n = tsr_config_int(f, "num_hidden_layers", TSR_BOUND(1, TSR_LM_MAX_LAYERS));
        if (!f->failed && n != c->n_layers)
            tsr_config_fail(f, TSR_E_FORMAT, "num_hidden_layers is %" PRId64 ", but the pattern has %" PRId64,
                            n, c->n_layers);
    }
}

/* One number for all MLP layers, or an array with one for each. */
static void read_mlp(tsr_lm_config *c, tsr_config_reader *f)
{
    tsr_config_must_be(f, "mlp_hidden_act", "relu2");
    c->mlp_bias = tsr_config_bool_or(f, "mlp_bias", false);
    const tsr_json_value *sizes = tsr_config_find(f, "intermediate_size", NULL);
    bool listed = sizes && tsr_json_kind_of(sizes) == TSR_JSON_ARRAY;
    int64_t all =
        c->n_mlp && !listed ? tsr_config_int(f, "intermediate_size", TSR_BOUND(1, TSR_LM_MAX_FFN)) : 0;
    const tsr_json_value *next = listed ? tsr_json_first(sizes) : NULL;
    for (int64_t i = 0; i < c->n_layers && !f->failed; i++) {
        if (c->kind[i] != TSR_LAYER_MLP) continue;
        int64_t size = all;
        if (listed) {
            if (!next || !tsr_json_int(next, &size) || size < 1 || size > TSR_LM_MAX_FFN) {
                tsr_config_fail(f, TSR_E_FORMAT,
                                "intermediate_size has no size from 1 to %d for layer %" PRId64,
                                TSR_LM_MAX_FFN, i);
                return;
            }
            next = tsr_json_next(next);
        }
        c->d_ff[i] = (int32_t)size;
    }
}

static void read_mamba(tsr_lm_config *c, tsr_config_reader *f)
{
    c->mamba_heads = tsr_config_int(f, "mamba_num_heads|mamba_n_heads", TSR_BOUND(1, TSR_LM_MAX_HEADS));
    c->mamba_head_dim =
        tsr_config_int_or(f, "mamba_head_dim|mamba_d_head", TSR_BOUND(1, TSR_LM_MAX_HEAD_DIM), 64);
    c->n_groups =
        tsr_config_int_or(f, "n_groups|mamba_n_groups|mamba_num_groups", TSR_BOUND(1, TSR_LM_MAX_HEADS), 8);
    c->d_state = tsr_config_int_or(f, "ssm_state_size|mamba_state_dim|mamba_d_state",
                                   TSR_BOUND(1, TSR_LM_MAX_STATE), 128);
    c->conv_width = tsr_config_int_or(f, "conv_kernel|mamba_d_conv", TSR_BOUND(2, TSR_LM_MAX_CONV), 4);
    c->chunk = tsr_config_int_or(f, "chunk_size|mamba_chunk_size", TSR_BOUND(1, TSR_LM_MAX_CHUNK), 128);
    c->conv_bias = tsr_config_bool_or(f, "use_conv_bias|mamba_conv_bias", true);
    c->mamba_bias = tsr_config_bool_or(f, "use_bias|mamba_proj_bias", false);
    tsr_config_must_be(f, "mamba_hidden_act", "silu");
    read_dt_limit(c, f);
    if (!f->failed && c->mamba_heads % c->n_groups)
        tsr_config_fail(f, TSR_E_FORMAT, "mamba_num_heads %" PRId64 " is no multiple of n_groups %" PRId64,
                        c->mamba_heads, c->n_groups);
}

static void read_attention(tsr_lm_config *c, tsr_config_reader *f)
{
    c->n_heads = tsr_config_int(f, "num_attention_heads", TSR_BOUND(1, TSR_LM_MAX_HEADS));
    c->n_kv_heads = tsr_config_int(f, "num_key_value_heads", TSR_BOUND(1, TSR_LM_MAX_HEADS));
    c->head_dim = tsr_config_int_or(f, "head_dim|attention_head_dim|kv_channels",
                                    TSR_BOUND(1, TSR_LM_MAX_HEAD_DIM), 128);
    c->attention_bias = tsr_config_bool_or(f, "attention_bias", false);
    if (!f->failed && c->n_heads % c->n_kv_heads)
        tsr_config_fail(f, TSR_E_FORMAT,
                        "num_attention_heads %" PRId64 " is no multiple of num_key_value_heads %" PRId64,
                        c->n_heads, c->n_kv_heads);
}

static void read_moe(tsr_lm_config *c, tsr_config_reader *f)
{
    tsr_config_must_be(f, "mlp_hidden_act", "relu2");
    c->n_experts = tsr_config_int(f, "n_routed_experts|num_experts", TSR_BOUND(1, TSR_LM_MAX_EXPERTS));
    c->top_k = tsr_config_int(f, "num_experts_per_tok", TSR_BOUND(1, 64));
    c->d_expert = tsr_config_int(f, "moe_intermediate_size", TSR_BOUND(1, TSR_LM_MAX_FFN));
    c->d_shared = tsr_config_int(f, "moe_shared_expert_intermediate_size", TSR_BOUND(1, TSR_LM_MAX_FFN));
    c->route_scale = (float)tsr_config_number_or(f, "routed_scaling_factor", 1e-6, 1e6, 1.0);
    c->renormalise = tsr_config_bool_or(f, "norm_topk_prob", true);
    c->d_shared *= tsr_config_int_or(f, "n_shared_experts", TSR_BOUND(1, 16), 1);
    if (tsr_config_find(f, "moe_latent_size", NULL))
        tsr_config_fail(f, TSR_E_UNSUPPORTED,
                        "moe_latent_size is set: experts in a latent space are not supported");
    if (tsr_config_int_or(f, "n_group", TSR_BOUND(1, TSR_LM_MAX_EXPERTS), 1) > 1)
        tsr_config_fail(f, TSR_E_UNSUPPORTED, "n_group is more than 1: group routing is not supported");
    if (!f->failed && c->top_k > c->n_experts)
        tsr_config_fail(f, TSR_E_FORMAT,
                        "num_experts_per_tok %" PRId64 " is more than the %" PRId64 " experts", c->top_k,
                        c->n_experts);
}

/* The type is for planning only: each tensor's own decides when it is loaded. */
static tsr_dtype read_type(tsr_config_reader *inner, tsr_config_reader *outer)
{
    const char *text = tsr_config_text(inner, "torch_dtype|dtype");
    if (!text) text = tsr_config_text(outer, "torch_dtype|dtype");
    if (text && strcmp(text, "float32") == 0) return TSR_F32;
    if (text && strcmp(text, "float16") == 0) return TSR_F16;
    return TSR_BF16;
}

static bool is_nemotron_h(tsr_config_reader *f)
{
    const char *type = tsr_config_text(f, "model_type");
    if (type && strcmp(type, "nemotron_h") == 0) return true;
    const tsr_json_value *names = tsr_config_find(f, "architectures", NULL);
    if (!names || tsr_json_kind_of(names) != TSR_JSON_ARRAY) return false;
    const tsr_json_value *name = tsr_json_first(names);
    return name && tsr_json_kind_of(name) == TSR_JSON_STRING &&
           strcmp(tsr_json_string(name), "NemotronHForCausalLM") == 0;
}

static void read_all(tsr_lm_config *c, tsr_config_reader *f)
{
    if (!is_nemotron_h(f)) {
        const char *type = tsr_config_text(f, "model_type");
        tsr_config_fail(f, TSR_E_UNSUPPORTED, "model_type is '%s', wanted 'nemotron_h'",
                        type ? type : "absent");
        return;
    }
    tsr_config_must_be_off(f, "enable_rope");
    tsr_config_must_be_off(f, "enable_mrope");
    c->d_model = tsr_config_int(f, "hidden_size", TSR_BOUND(1, TSR_LM_MAX_WIDTH));
    c->vocab = tsr_config_int_or(f, "vocab_size", TSR_BOUND(2, TSR_LM_MAX_VOCAB), 131072);
    c->eps = (float)tsr_config_number_or(f, "layer_norm_epsilon|rms_norm_eps|norm_eps", 1e-12, 1.0, 1e-5);
    c->max_context = tsr_config_int_or(f, "max_position_embeddings", TSR_BOUND(1, TSR_LM_MAX_CONTEXT), 0);
    c->tied = tsr_config_bool_or(f, "tie_word_embeddings", false);
    read_pattern(c, f);
    if (c->n_mamba) read_mamba(c, f);
    if (c->n_attention) read_attention(c, f);
    if (c->n_mlp) read_mlp(c, f);
    if (c->n_moe) read_moe(c, f);
}

tsr_status tsr_lm_config_read(tsr_lm_config *out, const tsr_json_value *root)
{
    if (tsr_json_kind_of(root) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "config.json is %s, wanted an object",
                        tsr_json_kind_name(tsr_json_kind_of(root)));
    tsr_config_reader outer = {.object = root, .where = "config.json"};
    tsr_config_reader inner = outer;
    const char *key;
    const tsr_json_value *wrapped = tsr_config_find(&outer, "llm_config|text_config", &key);
    if (wrapped) {
        if (tsr_json_kind_of(wrapped) != TSR_JSON_OBJECT)
            return tsr_fail(TSR_E_FORMAT, "config.json: %s is %s, wanted an object", key,
                            tsr_json_kind_name(tsr_json_kind_of(wrapped)));
        inner.object = wrapped;
        inner.where = strcmp(key, "llm_config") == 0 ? "config.json: llm_config" : "config.json: text_config";
    }
    tsr_lm_config c = {0};
    read_all(&c, &inner);
    if (inner.failed) return inner.failed;
    c.type = read_type(&inner, &outer);
    if (inner.failed) return inner.failed;
    if (outer.failed) return outer.failed;
    *out = c;
    return TSR_OK;
}

void tsr_lm_config_shorten(tsr_lm_config *c, int64_t each)
{
    int64_t seen[TSR_LAYER_MOE + 1] = {0}, n = 0;
    for (int64_t i = 0; i < c->n_layers; i++) {
        if (++seen[c->kind[i]] > each) continue;
        c->kind[n] = c->kind[i];
        c->d_ff[n++] = c->d_ff[i];
    }
    c->n_layers = n;
    int64_t *counts[] = {&c->n_mamba, &c->n_attention, &c->n_mlp, &c->n_moe};
    for (int kind = 0; kind <= TSR_LAYER_MOE; kind++)
        if (*counts[kind] > each) *counts[kind] = each;
}
