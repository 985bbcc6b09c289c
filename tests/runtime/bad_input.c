/* tests/runtime/bad_input.c: checkpoints that are wrong in one place each.
 *
 * A case copies a tiny checkpoint, changes one file, opens it, and wants a failure whose message names the file and
 * the thing. Replacements inside a .safetensors header keep its length where the case is about the header's
 * contents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>

#include "include/tessera.h"
#include "tests/unit/temp.h"

#define MODELS TSR_SOURCE_DIR "/tests/vectors/models/"

typedef enum change {
    REPLACE,  /* the first `from` by `to` */
    TRUNCATE, /* to `at` bytes, from the end when negative */
    DELETE,
    POKE32, /* the first four bytes of tensor `from` become `to` */
    EMPTY
} change;

typedef struct bad_case {
    const char *what, *model, *file;
    change change;
    const char *from, *to;
    long at;
    const char *wants[3]; /* words the message must contain */
} bad_case;

#define CONFIG "config.json"
#define WEIGHTS "model.safetensors"

/* clang-format off */
static const bad_case cases[] = {
    /* config.json */
    {"no config", "chat-a", CONFIG, DELETE, 0, 0, 0, {CONFIG}},
    {"empty config", "chat-a", CONFIG, EMPTY, 0, 0, 0, {CONFIG}},
    {"truncated config", "chat-a", CONFIG, TRUNCATE, 0, 0, 700, {CONFIG}},
    {"an array for a config", "chat-a", CONFIG, REPLACE, "{", "[{", 0, {CONFIG}},
    {"another architecture", "golden", CONFIG, REPLACE, "nemotron_h\",\n \"architectures\": [\n  \"NemotronHForCausalLM\"", "llama\",\n \"architectures\": [\n  \"LlamaForCausalLM\"", 0, {CONFIG, "lama"}},
    {"no hidden size", "golden", CONFIG, REPLACE, "\"hidden_size\"", "\"hidden_sizes\"", 0, {CONFIG, "hidden_size"}},
    {"hidden size as text", "golden", CONFIG, REPLACE, "\"hidden_size\": 64", "\"hidden_size\": \"64\"", 0, {CONFIG, "hidden_size"}},
    {"hidden size of zero", "golden", CONFIG, REPLACE, "\"hidden_size\": 64", "\"hidden_size\": 0", 0, {CONFIG, "hidden_size"}},
    {"hidden size absurd", "golden", CONFIG, REPLACE, "\"hidden_size\": 64", "\"hidden_size\": 9000000000", 0, {CONFIG, "hidden_size"}},
    {"hidden size fractional", "golden", CONFIG, REPLACE, "\"hidden_size\": 64", "\"hidden_size\": 64.5", 0, {CONFIG, "hidden_size"}},
    {"a pattern with a stranger", "chat-a", CONFIG, REPLACE, "\"M-*-\"", "\"M-X-\"", 0, {CONFIG, "X"}},
    {"an empty pattern", "chat-a", CONFIG, REPLACE, "\"M-*-\"", "\"\"", 0, {CONFIG, "hybrid_override_pattern"}},
    {"layers that do not add up", "chat-a", CONFIG, REPLACE, "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5", 0, {CONFIG, "num_hidden_layers"}},
    {"heads that do not divide", "chat-a", CONFIG, REPLACE, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", 0, {CONFIG, "num_key_value_heads"}},
    {"groups that do not divide", "chat-a", CONFIG, REPLACE, "\"n_groups\": 2", "\"n_groups\": 4", 0, {CONFIG, "n_groups"}},
    {"rotary positions", "chat-a", CONFIG, REPLACE, "\"rope_theta\": 10000", "\"enable_rope\": true", 0, {CONFIG, "enable_rope"}},
    {"another activation", "chat-a", CONFIG, REPLACE, "\"relu2\"", "\"swiglu\"", 0, {CONFIG, "swiglu"}},
    {"a time step limit upside down", "chat-a", CONFIG, REPLACE, "Infinity", "-1.0", 0, {CONFIG, "time_step_limit"}},
    {"NaN in the config", "chat-a", CONFIG, REPLACE, "1e-05", "NaN", 0, {CONFIG}},
    {"a key twice", "chat-a", CONFIG, REPLACE, "\"expand\": 2", "\"n_groups\": 2", 0, {CONFIG, "n_groups"}},
    {"control characters in a value", "chat-a", CONFIG, REPLACE, "\"relu2\"", "\"\\u001b[2J\"", 0, {CONFIG, "\\x1b"}},
    {"a patch that does not divide the tile", "chat-a", CONFIG, REPLACE, "\"patch_size\": 14", "\"patch_size\": 13", 0, {CONFIG, "patch_size"}},
    {"an odd grid of patches", "chat-a", CONFIG, REPLACE, "\"force_image_size\": 56", "\"force_image_size\": 42", 0, {CONFIG}},
    {"heads that do not divide the encoder", "chat-a", CONFIG, REPLACE, "\"num_attention_heads\": 2", "\"num_attention_heads\": 3", 0, {CONFIG, "3 heads"}},
    {"query and key norms", "chat-a", CONFIG, REPLACE, "\"qk_normalization\": false", "\"qk_normalization\": true", 0, {CONFIG, "qk_normalization"}},
    {"another norm", "chat-a", CONFIG, REPLACE, "\"layer_norm\"", "\"rms_norm\"", 0, {CONFIG, "rms_norm"}},
    {"a pixel shuffle nobody knows", "chat-a", CONFIG, REPLACE, "\"v2\"", "\"v7\"", 0, {CONFIG, "v7"}},
    {"a shuffle by thirds", "chat-a", CONFIG, REPLACE, "\"downsample_ratio\": 0.5", "\"downsample_ratio\": 0.33", 0, {CONFIG, "downsample_ratio"}},
    {"a layer to select that is not there", "chat-a", CONFIG, REPLACE, "\"select_layer\": -1", "\"select_layer\": -9", 0, {CONFIG, "select_layer"}},
    {"more tiles at least than at most", "chat-a", CONFIG, REPLACE, "\"min_dynamic_patch\": 1", "\"min_dynamic_patch\": 9", 0, {CONFIG, "min_dynamic_patch"}},
    {"group routing", "golden", CONFIG, REPLACE, "\"n_group\": 1", "\"n_group\": 2", 0, {CONFIG, "n_group"}},
    {"more experts chosen than there are", "golden", CONFIG, REPLACE, "\"num_experts_per_tok\": 3", "\"num_experts_per_tok\": 30", 0, {CONFIG, "num_experts_per_tok"}},
    /* weights */
    {"no weights", "chat-a", WEIGHTS, DELETE, 0, 0, 0, {"model.safetensors"}},
    {"empty weights", "chat-a", WEIGHTS, EMPTY, 0, 0, 0, {WEIGHTS}},
    {"half a header length", "chat-a", WEIGHTS, TRUNCATE, 0, 0, 5, {WEIGHTS}},
    {"half a header", "chat-a", WEIGHTS, TRUNCATE, 0, 0, 900, {WEIGHTS}},
    {"one byte short", "chat-a", WEIGHTS, TRUNCATE, 0, 0, -1, {WEIGHTS}},
    {"a tensor missing", "chat-a", WEIGHTS, REPLACE, "layers.0.mixer.dt_bias", "layers.0.mixer.dt_blas", 0, {"layers.0.mixer.dt_bias"}},
    {"a tensor too many", "chat-a", CONFIG, REPLACE, "\"M-*-\",\n  \"num_hidden_layers\": 4", "\"M-*\"", 0, {"layers.3."}},
    {"a tensor of another shape", "chat-a", WEIGHTS, REPLACE, "\"shape\":[160,1,4]", "\"shape\":[80,2,4]", 0, {"conv1d.weight", "[80, 2, 4]"}},
    {"a tensor of integers", "chat-a", WEIGHTS, REPLACE, "\"dtype\":\"F32\"", "\"dtype\":\"I32\"", 0, {"embeddings.weight", "I32"}},
    {"a type nobody knows", "chat-a", WEIGHTS, REPLACE, "\"dtype\":\"F32\"", "\"dtype\":\"F33\"", 0, {WEIGHTS, "F33"}},
    {"overlapping tensors", "chat-a", WEIGHTS, REPLACE, "[38912,38936]", "[38910,38934]", 0, {WEIGHTS, "A_log"}},
    {"a tensor past the end", "chat-a", WEIGHTS, REPLACE, "[0,38912]", "[0,98912]", 0, {WEIGHTS, "embeddings"}},
    {"control characters in a tensor's name", "chat-a", WEIGHTS, REPLACE, "layers.0.mixer.dt_bias", "layers.0.mix\\u001b[bias", 0, {"layers.0.mixer.dt_bias"}},
    {"an index that points outside", "chat-b", "model.safetensors.index.json", REPLACE, "model-00001-of-00003", "../../../../etc/00003", 0, {"model.safetensors.index.json", "../"}},
    {"a shard missing", "chat-b", "model-00002-of-00003.safetensors", DELETE, 0, 0, 0, {"model-00002-of-00003.safetensors"}},
    {"a shard truncated", "chat-b", "model-00003-of-00003.safetensors", TRUNCATE, 0, 0, -100, {"model-00003-of-00003.safetensors"}},
    {"a scale missing", "fp8", WEIGHTS, REPLACE, "layers.0.mixer.in_proj.weight_scale", "layers.0.mixer.in_proj.weight_stale", 0, {"in_proj", "weight_scale"}},
    {"a scale that is NaN", "fp8", WEIGHTS, POKE32, "backbone.layers.0.mixer.in_proj.weight_scale", "\x00\x00\xc0\x7f", 0, {"in_proj"}},
    {"a scale of zero", "fp8", WEIGHTS, POKE32, "backbone.layers.0.mixer.in_proj.weight_scale", "\x00\x00\x00\x00", 0, {"in_proj"}},
    {"a scale below zero", "fp8", WEIGHTS, POKE32, "backbone.layers.0.mixer.in_proj.weight_scale", "\x00\x00\x80\xbf", 0, {"in_proj"}},
    {"a projector that is neither kind", "chat-a", WEIGHTS, REPLACE, "\"mlp1.0.bias\"", "\"mlp1.0.blas\"", 0, {"projector"}},
    /* tokenizer and the rest */
    {"an empty tokenizer", "chat-a", "tokenizer.json", EMPTY, 0, 0, 0, {"tokenizer.json"}},
    {"a truncated tokenizer", "chat-a", "tokenizer.json", TRUNCATE, 0, 0, 3000, {"tokenizer.json"}},
    {"a tokenizer model nobody knows", "chat-a", "tokenizer.json", REPLACE, "\"type\":\"BPE\"", "\"type\":\"WordPiece\"", 0, {"tokenizer.json", "WordPiece"}},
    {"a pre-tokenizer nobody knows", "chat-a", "tokenizer.json", REPLACE, "\"type\":\"Split\"", "\"type\":\"Metaspace\"", 0, {"tokenizer.json", "Metaspace"}},
    {"a decoder nobody knows", "chat-a", "tokenizer.json", REPLACE, "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"CTC\"", 0, {"tokenizer.json", "CTC"}},
    {"a generation config of the wrong kind", "chat-a", "generation_config.json", REPLACE, "\"pad_token_id\"", "\"top_p\": 7, \"pad_token_id\"", 0, {"generation_config.json", "top_p"}},
    {"an end token that is no id", "chat-a", "generation_config.json", REPLACE, "11", "\"eleven\"", 0, {"eos_token_id"}},
};
/* clang-format on */

/* ---------------------------------------------------------------- */

typedef struct file_bytes {
    unsigned char *data;
    size_t n;
} file_bytes;

static file_bytes slurp(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    file_bytes b = {.n = (size_t)ftell(file)};
    rewind(file);
    b.data = malloc(b.n + 4096); /* room for a replacement that is longer */
    assert_int_equal(fread(b.data, 1, b.n, file), b.n);
    fclose(file);
    return b;
}

static unsigned char *find(file_bytes b, const char *text)
{
    unsigned char *at = memmem(b.data, b.n, text, strlen(text));
    if (!at) fail_msg("'%s' is not in the file", text);
    return at;
}

static void replace(file_bytes *b, const char *from, const char *to)
{
    unsigned char *at = find(*b, from);
    size_t n_from = strlen(from), n_to = strlen(to);
    memmove(at + n_to, at + n_from, b->n - (size_t)(at - b->data) - n_from);
    memcpy(at, to, n_to);
    b->n += n_to - n_from;
}

/* Four bytes over the beginning of a tensor, found through its offsets in the header. */
static void poke(file_bytes *b, const char *tensor, const char *bytes)
{
    uint64_t header;
    memcpy(&header, b->data, sizeof header);
    char *offsets = strstr((char *)find(*b, tensor), "\"data_offsets\":[");
    size_t begin = strtoull(offsets + strlen("\"data_offsets\":["), NULL, 10);
    memcpy(b->data + 8 + header + begin, bytes, 4);
}

static void write_changed(temp *t, const bad_case *c, file_bytes b)
{
    switch (c->change) {
    case DELETE: return;
    case EMPTY: b.n = 0; break;
    case TRUNCATE: b.n = c->at < 0 ? b.n - (size_t)-c->at : (size_t)c->at; break;
    case REPLACE: {
        bool header = strstr(c->file, ".safetensors") && !strstr(c->file, ".json");
        if (header && strlen(c->from) != strlen(c->to)) { /* the header's length changes with it */
            uint64_t length;
            memcpy(&length, b.data, sizeof length);
            length += strlen(c->to) - strlen(c->from);
            memcpy(b.data, &length, sizeof length);
        }
        replace(&b, c->from, c->to);
        break;
    }
    case POKE32: poke(&b, c->from, c->to); break;
    }
    temp_write(t, c->file, b.data, b.n);
}

static void copy_model(temp *t, const bad_case *c)
{
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, MODELS "%s", c->model);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    bool seen = false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "expect")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        if (!S_ISREG(info.st_mode)) continue;
        file_bytes b = slurp(path);
        if (strcmp(entry->d_name, c->file))
            temp_write(t, entry->d_name, b.data, b.n);
        else
            write_changed(t, c, b), seen = true;
        free(b.data);
    }
    closedir(dir);
    if (!seen) fail_msg("%s: %s has no %s", c->what, c->model, c->file);
}

static void every_case_is_refused_by_name(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bad_case *c = &cases[i];
        temp t;
        temp_open(&t);
        copy_model(&t, c);
        tsr_model *model = NULL;
        tsr_status st = tsr_model_open(&model, t.folder, NULL);
        const char *said = st ? tsr_message() : "it was opened";
        bool right = st != TSR_OK && !model;
        for (int w = 0; w < 3 && c->wants[w]; w++) right = right && strstr(said, c->wants[w]);
        for (const char *at = said; *at; at++) right = right && (unsigned char)*at >= 0x20;
        if (!right) print_error("%s: %s\n", c->what, said);
        n_wrong += !right;
        tsr_model_close(model);
        temp_close(&t);
    }
    assert_int_equal(n_wrong, 0);
}

static void paths_that_are_no_model(void **state)
{
    (void)state;
    static const char *const paths[] = {"",           "/",     "no/such/folder", "../..",
                                        "ORG/NA..ME", "a/b/c", "/dev/null",      "x"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        tsr_model *model = NULL;
        assert_int_not_equal(tsr_model_open(&model, paths[i], NULL), TSR_OK);
        assert_null(model);
        assert_true(strlen(tsr_message()) > 8);
    }
}

static void options_that_are_none(void **state)
{
    (void)state;
    static const struct {
        tsr_model_opts opts;
        const char *word;
    } wrong[] = {
        {{.backend = "gpu"}, "gpu"},
        {{.dtype = "f64"}, "f64"},
        {{.fp8_activations = "maybe"}, "maybe"},
        {{.chat_template = "chatty"}, "chatty"},
        {{.vision_parity = "pil"}, "pil"},
        {{.threads = -3}, "-3"},
        {{.threads = 100000}, "100000"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tsr_model *model = NULL;
        assert_int_not_equal(tsr_model_open(&model, MODELS "chat-a", &wrong[i].opts), TSR_OK);
        assert_null(model);
        if (!strstr(tsr_message(), wrong[i].word))
            fail_msg("'%s' does not name %s", tsr_message(), wrong[i].word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_refused_by_name),
        cmocka_unit_test(paths_that_are_no_model),
        cmocka_unit_test(options_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
