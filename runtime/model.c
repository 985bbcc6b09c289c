/* runtime/model.c: opening a checkpoint: backend, configuration, weights, tokenizer, prompt format. */
#include "runtime/model.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/hub.h"
#include "base/log.h"
#include "base/map.h"
#include "kernels/backend.h"
#include "kernels/module.h"
#include "preprocess/tiles.h"

static const tsr_model_opts no_opts;

static bool is(const char *word, const char *wanted)
{
    return word && !strcmp(word, wanted);
}

/* ---------------------------------------------------------------- backend ------------------------------- */

static tsr_status choose_backend(tsr_model *m, const tsr_model_opts *o)
{
    bool any = !o->backend || is(o->backend, "auto");
    if (any || is(o->backend, "cuda")) {
        tsr_status st = tsr_cuda_ops(&m->ops);
        if (!st) return TSR_OK;
        if (!any) return tsr_wrap(st, "backend cuda");
        tsr_log(TSR_LOG_INFO, "cuda is not used: %s", tsr_message());
    }
    if (any || is(o->backend, "cpu"))
        m->ops = tsr_cpu_ops(tsr_cpu_features());
    else if (is(o->backend, "ref"))
        m->ops = tsr_ref_ops;
    else
        return tsr_fail(TSR_E_ARG, "backend: '%s' was found; auto, ref, cpu or cuda is wanted", o->backend);
    return TSR_OK;
}

/* A list of parts as bits; the decoder's own linears always. */
static tsr_status choose_parts(unsigned *out, const char *list)
{
    static const struct {
        const char *name;
        unsigned parts;
    } names[] = {{"attention", 1u << TSR_PART_ATTENTION},
                 {"lm_head", 1u << TSR_PART_HEAD},
                 {"vision", 1u << TSR_PART_VISION},
                 {"projector", 1u << TSR_PART_PROJECTOR},
                 {"all", 1u << TSR_PART_ATTENTION | 1u << TSR_PART_HEAD | 1u << TSR_PART_VISION |
                             1u << TSR_PART_PROJECTOR},
                 {"none", 0}};
    enum { N_NAMES = sizeof names / sizeof *names };
    *out = list ? 1u << TSR_PART_DECODER : TSR_FP8_DEFAULT_PARTS;
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, ",");
        int i = 0;
        while (i < N_NAMES && (strlen(names[i].name) != length || memcmp(names[i].name, at, length) != 0))
            i++;
        if (i == N_NAMES)
            return tsr_fail(
                TSR_E_ARG,
                "fp8-parts: '%.*s' was found; attention, lm_head, vision, projector, all or none is wanted",
                (int)length, at);
        *out |= names[i].parts;
        at += length + (at[length] == ',');
    }
    return TSR_OK;
}

/* What was asked for; "auto" is settled when the checkpoint is known. */
static tsr_status choose_types(tsr_model *m, const tsr_model_opts *o)
{
    m->quantise = is(o->dtype, "fp8");
    m->auto_type = !o->dtype || is(o->dtype, "auto") || m->quantise;
    if (m->auto_type || is(o->dtype, "f32"))
        m->type = TSR_F32;
    else if (is(o->dtype, "bf16"))
        m->type = TSR_BF16;
    else
        return tsr_fail(TSR_E_ARG, "dtype: '%s' was found; auto, f32, bf16 or fp8 is wanted", o->dtype);

    if (o->fp8_parts && !m->quantise && o->synthetic_dtype != 2)
        return tsr_fail(TSR_E_ARG, "fp8-parts: '%s' was found; it wants --dtype fp8", o->fp8_parts);
    tsr_status st = choose_parts(&m->fp8_parts, o->fp8_parts);
    if (st) return st;

    m->auto_fp8_input = !o->fp8_activations || is(o->fp8_activations, "auto");
    if (m->auto_fp8_input || is(o->fp8_activations, "off"))
        m->fp8_input = TSR_INPUT_KEEP;
    else if (is(o->fp8_activations, "on"))
        m->fp8_input = TSR_INPUT_STATIC;
    else
        return tsr_fail(TSR_E_ARG, "fp8-activations: '%s' was found; auto, on or off is wanted",
                        o->fp8_activations);
    return TSR_OK;
}

static bool has_input_scales(const tsr_model *m)
{
    static const char suffix[] = ".input_scale";
    for (int64_t i = 0; m->files && i < tsr_safetensors_count(m->files); i++) {
        const char *name = tsr_safetensors_at(m->files, i)->name;
        size_t length = strlen(name);
        if (length >= sizeof suffix && !strcmp(name + length - (sizeof suffix - 1), suffix)) return true;
    }
    return false;
}

/* Activations in the host's memory stay exact; a device keeps them as the checkpoint was trained, and rounds to
 * FP8 what its scales were made for. */
static void settle_types(tsr_model *m, bool made_up_fp8)
{
    if (!m->ops.memory) return;
    if (m->auto_type && m->lm_config.type != TSR_F32) m->type = TSR_BF16;
    if (m->auto_fp8_input && (m->quantise || made_up_fp8 || has_input_scales(m)))
        m->fp8_input = TSR_INPUT_STATIC;
}

/* ---------------------------------------------------------------- configuration ------------------------- */

/* <directory>/<file>, parsed; *out stays NULL when an optional file is not there. */
static tsr_status open_json(tsr_json **out, const char *directory, const char *file, bool optional)
{
    char *path = tsr_path_join(directory, file);
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", file);
    tsr_status st = optional && access(path, F_OK) ? TSR_OK : tsr_json_open(out, path, TSR_MAX_CONFIG_BYTES);
    tsr_free(path);
    return st;
}

/* A whole number of `object` (which may be NULL) within bounds; *out is left alone when the key is absent. */
static tsr_status get_int(int64_t *out, const tsr_json_value *object, const char *key, int64_t low,
                          int64_t high)
{
    const tsr_json_value *value = object ? tsr_json_find(object, key) : NULL;
    if (!value || tsr_json_kind_of(value) == TSR_JSON_NULL) return TSR_OK;
    int64_t number;
    if (tsr_json_kind_of(value) != TSR_JSON_NUMBER || !tsr_json_int(value, &number) || number < low ||
        number > high)
        return tsr_fail(TSR_E_FORMAT, "%s: a whole number from %lld to %lld is wanted", key, (long long)low,
                        (long long)high);
    *out = number;
    return TSR_OK;
}

static tsr_status get_bool(bool *out, const tsr_json_value *object, const char *key)
{
    const tsr_json_value *value = object ? tsr_json_find(object, key) : NULL;
    if (!value || tsr_json_kind_of(value) == TSR_JSON_NULL) return TSR_OK;
    if (tsr_json_kind_of(value) != TSR_JSON_BOOL)
        return tsr_fail(TSR_E_FORMAT, "%s: %s was found; a boolean is wanted", key,
                        tsr_json_kind_name(tsr_json_kind_of(value)));
    *out = tsr_json_bool(value);
    return TSR_OK;
}

static tsr_status get_float(float *out, const tsr_json_value *object, const char *key, double low,
                            double high)
{
    const tsr_json_value *value = object ? tsr_json_find(object, key) : NULL;
    if (!value || tsr_json_kind_of(value) == TSR_JSON_NULL) return TSR_OK;
    double number = tsr_json_kind_of(value) == TSR_JSON_NUMBER ? tsr_json_number(value) : -1;
    if (!(number >= low && number <= high))
        return tsr_fail(TSR_E_FORMAT, "%s: a number from %g to %g is wanted", key, low, high);
    *out = (float)number;
    return TSR_OK;
}

static tsr_status read_cut(tsr_model *m, const tsr_model_opts *o, const tsr_json_value *root)
{
    int64_t low = 1, high = 12;
    bool dynamic = true, thumbnail = true;
    tsr_status st = get_int(&low, root, "min_dynamic_patch", 1, TSR_MAX_TILES);
    if (!st) st = get_int(&high, root, "max_dynamic_patch", 1, TSR_MAX_TILES);
    if (!st) st = get_bool(&dynamic, root, "dynamic_image_size");
    if (!st) st = get_bool(&thumbnail, root, "use_thumbnail");
    if (st) return st;
    if (!tsr_json_find(root, "max_dynamic_patch"))
        tsr_log(TSR_LOG_INFO, "config.json does not say max_dynamic_patch; 12 is used");
    if (low > high)
        return tsr_fail(TSR_E_FORMAT, "min_dynamic_patch %lld is more than max_dynamic_patch %lld",
                        (long long)low, (long long)high);
    if (!dynamic) low = high = 1;
    m->cut = (tsr_cut){.tile = m->vit_config.tile,
                       .min_tiles = (int)low,
                       .max_tiles = (int)high,
                       .thumbnail = thumbnail,
                       .parity = TSR_PARITY_VLLM};
    if (is(o->vision_parity, "hf"))
        m->cut.parity = TSR_PARITY_HF;
    else if (o->vision_parity && !is(o->vision_parity, "default"))
        return tsr_fail(TSR_E_ARG, "vision-parity: '%s' was found; default or hf is wanted",
                        o->vision_parity);
    return TSR_OK;
}

static tsr_status read_config(tsr_model *m, const tsr_model_opts *o)
{
    const tsr_json_value *root = tsr_json_root(m->config);
    if (tsr_json_kind_of(root) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "config.json: %s was found; an object is wanted",
                        tsr_json_kind_name(tsr_json_kind_of(root)));
    tsr_status st = tsr_lm_config_read(&m->lm_config, root);
    m->has_vision = tsr_json_find(root, "vision_config") != NULL;
    if (!st && m->has_vision) st = tsr_vit_config_read(&m->vit_config, root);
    if (!st && m->has_vision)
        st = tsr_projector_config_read(&m->projector_config, root, m->vit_config.d_model,
                                       m->lm_config.d_model);
    int64_t side = m->has_vision && !st ? m->vit_config.tile / m->vit_config.patch : 0;
    if (side % 2)
        st = tsr_fail(TSR_E_UNSUPPORTED,
                      "tiles of %lld are %lld patches of %lld wide; an even number is wanted, four "
                      "patches become one row",
                      (long long)m->vit_config.tile, (long long)side, (long long)m->vit_config.patch);
    if (!st && m->has_vision) st = read_cut(m, o, root);
    if (!st && !m->has_vision && o->fp8_parts &&
        (strstr(o->fp8_parts, "vision") || strstr(o->fp8_parts, "projector")))
        st = tsr_fail(TSR_E_ARG, "fp8-parts: '%s' was found; there is neither vision encoder nor projector",
                      o->fp8_parts);
    return st ? tsr_wrap(st, "%s/config.json", m->path) : TSR_OK;
}

static tsr_status read_generation(tsr_model *m)
{
    m->sampling = (tsr_sampling){.top_p = 1, .repeat_penalty = 1};
    tsr_status st = open_json(&m->generation, m->path, "generation_config.json", true);
    if (st || !m->generation) return st;
    const tsr_json_value *root = tsr_json_root(m->generation);
    bool sample = false;
    float temp = 1;
    int64_t top_k = 50; /* transformers' own default when sampling */
    st = get_bool(&sample, root, "do_sample");
    if (!st) st = get_float(&temp, root, "temperature", 0, 100);
    if (!st) st = get_int(&top_k, root, "top_k", 0, 1 << 24);
    if (!st) st = get_float(&m->sampling.top_p, root, "top_p", 1e-6, 1);
    if (!st) st = get_float(&m->sampling.min_p, root, "min_p", 0, 1);
    if (!st) st = get_float(&m->sampling.repeat_penalty, root, "repetition_penalty", 1e-3, 100);
    if (st) return tsr_wrap(st, "%s/generation_config.json", m->path);
    if (sample) {
        m->sampling.temp = temp;
        m->sampling.top_k = (int32_t)top_k;
    }
    return TSR_OK;
}

/* ---------------------------------------------------------------- networks ------------------------------ */

static tsr_status open_networks(tsr_model *m, tsr_loader *l)
{
    tsr_status st = TSR_OK;
    if (m->has_vision) st = tsr_internvit_open(&m->vit, l, &m->vit_config);
    if (!st && m->has_vision) st = tsr_projector_open(&m->projector, l, &m->projector_config);
    if (!st) st = tsr_lm_open(&m->lm, l, &m->lm_config);
    if (!st) st = tsr_loader_finish(l);
    return st;
}

static void close_networks(tsr_model *m)
{
    tsr_lm_close(m->lm);
    tsr_projector_close(m->projector);
    tsr_internvit_close(m->vit);
    m->lm = NULL;
    m->projector = NULL;
    m->vit = NULL;
}

static tsr_status load_on(tsr_model *m, tsr_queue *q, tsr_loader_opts o)
{
    tsr_loader *l = NULL;
    tsr_status st = tsr_loader_open(&l, q, o);
    if (!st) st = open_networks(m, l);
    tsr_loader_close(l);
    return st;
}

/* What the weights will take of a device's memory, before any is taken: refused if it is not there. */
static tsr_status check_room(tsr_model *m, tsr_queue *q, tsr_loader_opts *o)
{
    size_t free_bytes, all_bytes;
    tsr_loader_opts dry = *o;
    dry.dry = true;
    tsr_status st = load_on(m, q, dry);
    if (!st) st = m->ops.memory->room(&free_bytes, &all_bytes);
    if (st) return st;
    o->total_bytes = tsr_model_block_bytes(m);
    close_networks(m);
    if (o->total_bytes > free_bytes)
        return tsr_fail(
            TSR_E_NOMEM,
            "%s needs %.3g GiB for weights; %.3g of %.3g GiB are free on %s; `tessera plan` has the rest",
            m->name, (double)o->total_bytes * 0x1p-30, (double)free_bytes * 0x1p-30,
            (double)all_bytes * 0x1p-30, m->ops.memory->about);
    return TSR_OK;
}

static void tell_load(void *user, size_t done_bytes, size_t total_bytes)
{
    const tsr_model_opts *o = user;
    if (o->on_load) o->on_load(o->on_load_user, (int64_t)done_bytes, (int64_t)total_bytes);
}

static tsr_status load(tsr_model *m, const tsr_model_opts *opts, tsr_loader_opts o)
{
    tsr_queue *q = NULL;
    tsr_pool *pool = NULL;
    settle_types(m, !o.files && o.type == TSR_FP8);
    o.fp8_input = m->fp8_input;
    o.quantise = m->quantise;
    o.fp8_parts = m->fp8_parts;
    if (m->quantise) tsr_log(TSR_LOG_INFO, "linears are rounded to FP8 while they are loaded");
    o.progress = tell_load;
    o.progress_user = (void *)(uintptr_t)opts;
    tsr_status st = o.dry ? TSR_OK : tsr_pool_open(&pool, m->n_threads);
    if (!st) st = tsr_queue_open(&q, &m->ops, pool, m->type, o.dry ? 0 : TSR_ARENA_ALIGN);
    if (!st && m->ops.memory && !o.dry) st = check_room(m, q, &o);
    if (!st) st = load_on(m, q, o);
    tsr_queue_close(q);
    tsr_pool_close(pool);
    return st;
}

/* ---------------------------------------------------------------- the parts in order -------------------- */

static tsr_status begin(tsr_model **out, const tsr_model_opts *o)
{
    tsr_model *m = tsr_calloc(1, sizeof *m);
    if (!m) return tsr_fail(TSR_E_NOMEM, "no memory for a model");
    pthread_mutex_init(&m->pool_lock, NULL);
    m->n_threads = o->threads;
    tsr_status st = choose_backend(m, o);
    if (!st) st = choose_types(m, o);
    if (st)
        tsr_model_close(m);
    else
        *out = m;
    return st;
}

static tsr_status set_path(tsr_model *m, const char *path)
{
    tsr_status st = tsr_hub_resolve(&m->path, path);
    if (st) return st;
    /* The name is what the user wrote: ORG/NAME, or the last part of a directory. */
    const char *from = path;
    if (!strcmp(m->path, path)) {
        size_t length = strlen(path);
        while (length > 1 && path[length - 1] == '/') length--;
        while (length > 0 && path[length - 1] != '/') length--;
        from = path + length;
    }
    m->name = tsr_strdup(from);
    if (!m->name) return tsr_fail(TSR_E_NOMEM, "no memory for a model's name");
    size_t length = strlen(m->name);
    while (length > 1 && m->name[length - 1] == '/') m->name[--length] = '\0';
    return TSR_OK;
}

static tsr_status parse_shape(tsr_model *m, const char *shape, const tsr_model_opts *o)
{
    const char *text = tsr_shape_config(shape);
    if (!text)
        return tsr_fail(TSR_E_ARG, "'%s' is no known shape; `tessera bench --help` has the list", shape);
    m->path = tsr_strdup(shape);
    m->name = tsr_strdup(shape);
    if (!m->path || !m->name) return tsr_fail(TSR_E_NOMEM, "no memory for a model's name");
    tsr_status st = tsr_json_parse(&m->config, text, strlen(text), shape);
    if (!st) st = read_config(m, o);
    if (!st && o->max_layers > 0) tsr_lm_config_shorten(&m->lm_config, o->max_layers);
    return st;
}

static void describe(tsr_model *m)
{
    static const char kinds[] = {
        [TSR_LAYER_MAMBA] = 'M', [TSR_LAYER_ATTENTION] = '*', [TSR_LAYER_MLP] = '-', [TSR_LAYER_MOE] = 'E'};
    const tsr_lm_config *c = &m->lm_config;
    for (int64_t i = 0; i < c->n_layers; i++) m->pattern[i] = kinds[c->kind[i]];

    snprintf(m->backend_text, sizeof m->backend_text, "%s (%s)", m->ops.name,
             m->ops.memory ? m->ops.memory->about : tsr_cpu_level_name(tsr_cpu_features()));
    int64_t of_type[TSR_DTYPE_OTHER + 1] = {0}, elements = 0, bytes = 0;
    int64_t n_tensors = m->files ? tsr_safetensors_count(m->files) : 0;
    for (int64_t i = 0; i < n_tensors; i++) {
        const tsr_tensor *t = tsr_safetensors_at(m->files, i);
        if (!t->used) continue;
        elements += t->elements;
        bytes += (int64_t)t->bytes;
        of_type[t->type] += t->elements;
    }
    size_t at = 0;
    for (int type = 0; type < TSR_DTYPE_OTHER; type++)
        if (of_type[type] && at < sizeof m->weight_text)
            at += (size_t)snprintf(m->weight_text + at, sizeof m->weight_text - at, "%s%s", at ? " + " : "",
                                   tsr_dtype_name((tsr_dtype)type));

    tsr_state_sizes sizes = tsr_state_measure(
        c, (tsr_state_opts){1, 1, m->type, m->lm ? tsr_lm_kv_type(m->lm) : TSR_F32, TSR_F32});
    const tsr_json_value *mark = tsr_json_find(tsr_json_root(m->config), "tessera_placeholder");
    m->info = (tsr_model_info){
        .path = m->path,
        .name = m->name,
        .backend = m->backend_text,
        .chat_template = m->chat ? tsr_chat_name(m->chat) : "",
        .pattern = m->pattern,
        .weight_types = m->weight_text,
        .card = m->card ? m->card : "",
        .parameters = elements,
        .tensors = n_tensors,
        .file_bytes = bytes,
        .n_layers = c->n_layers,
        .d_model = c->d_model,
        .n_vocab = c->vocab,
        .n_ctx = c->max_context,
        .state_bytes = (int64_t)sizes.slot_bytes,
        .kv_bytes = (int64_t)(sizes.page_bytes / TSR_PAGE_TOKENS),
        .has_vision = m->has_vision,
        .is_placeholder = mark && tsr_json_kind_of(mark) == TSR_JSON_BOOL && tsr_json_bool(mark),
        .projector = !m->projector                                            ? ""
                     : tsr_projector_kind_of(m->projector) == TSR_PROJECTOR_A ? "A"
                                                                              : "B",
    };
    if (m->has_vision) {
        m->info.tile_size = m->vit_config.tile;
        m->info.patch_size = m->vit_config.patch;
        m->info.rows_per_tile = tsr_model_rows_per_tile(m);
        m->info.max_tiles = m->cut.max_tiles;
        m->info.vision_layers = m->vit_config.n_layers;
        m->info.d_vision = m->vit_config.d_model;
    }
}

static tsr_status open_chat(tsr_model *m, const tsr_model_opts *o)
{
    const tsr_json_value *config = tsr_json_root(m->config);
    tsr_chat_opts c = {.format = o->chat_template,
                       .rows_per_tile = m->has_vision ? tsr_model_rows_per_tile(m) : 0};
    tsr_status st = tsr_chat_open(&m->chat, m->tokenizer, config, c);
    if (st) return st;
    return tsr_chat_stop_ids(m->chat, &m->stop_ids, config,
                             m->generation ? tsr_json_root(m->generation) : NULL);
}

/* Tokenizer and prompt format. A checkpoint without a tokenizer takes ids only. */
static tsr_status open_text(tsr_model *m, const tsr_model_opts *o)
{
    char *path = tsr_path_join(m->path, "tokenizer.json");
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of tokenizer.json");
    bool there = !access(path, F_OK);
    tsr_free(path);
    if (!there) {
        tsr_log(TSR_LOG_WARN, "%s has no tokenizer.json: it takes token ids, but no text", m->path);
        return TSR_OK;
    }
    tsr_status st = tsr_tokenizer_open(&m->tokenizer, m->path);
    if (!st && tsr_tokenizer_vocab(m->tokenizer) > m->lm_config.vocab)
        tsr_log(TSR_LOG_INFO, "the tokenizer has %d ids, the model %lld; those past it are never sampled",
                tsr_tokenizer_vocab(m->tokenizer), (long long)m->lm_config.vocab);
    return st ? st : open_chat(m, o);
}

/* The lines of CARD.md under its heading "Scope", at most three. */
static tsr_status read_card(tsr_model *m)
{
    char *path = tsr_path_join(m->path, "CARD.md");
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of CARD.md");
    unsigned char *text = NULL;
    size_t bytes;
    tsr_status st = !access(path, F_OK) ? tsr_file_read(&text, &bytes, path, TSR_MAX_CARD_BYTES) : TSR_OK;
    tsr_free(path);
    if (st || !text) return st;
    char *scope = strstr((char *)text, "Scope\n");
    if (scope) {
        scope += strlen("Scope\n");
        while (*scope == '\n') scope++;
        char *end = scope;
        for (int lines = 0; *end && lines < 3; end++) lines += *end == '\n';
        if (end > scope && end[-1] == '\n') end--;
        *end = '\0';
        m->card = tsr_strdup(scope);
        if (!m->card) st = tsr_fail(TSR_E_NOMEM, "no memory for the model's card");
    }
    tsr_free(text);
    return st;
}

size_t tsr_model_block_bytes(const tsr_model *m)
{
    size_t bytes = tsr_lm_loaded(m->lm)->block_bytes;
    if (m->has_vision)
        bytes = tsr_add(bytes, tsr_add(tsr_internvit_loaded(m->vit)->block_bytes,
                                       tsr_projector_loaded(m->projector)->block_bytes));
    return bytes;
}

int64_t tsr_model_rows_per_tile(const tsr_model *m)
{
    int64_t side = m->vit_config.tile / m->vit_config.patch;
    return side * side / 4;
}

/* How a shape's weights are made up. FP8 is as exporters leave it, with a static scale for every input; unless parts
 * are named, the few attention layers of a hybrid stay bf16. */
static tsr_status make_up(tsr_loader_opts *out, tsr_model *m, const tsr_model_opts *o)
{
    static const tsr_dtype types[] = {TSR_BF16, TSR_F32, TSR_FP8};
    if (o->synthetic_dtype < 0 || o->synthetic_dtype > 2)
        return tsr_fail(TSR_E_ARG, "synthetic dtype %d; 0 (bf16), 1 (f32) or 2 (fp8) is wanted",
                        o->synthetic_dtype);
    *out = (tsr_loader_opts){.type = types[o->synthetic_dtype], .seed = 1};
    m->lm_config.type = m->vit_config.type = out->type == TSR_F32 ? TSR_F32 : TSR_BF16;
    m->vision_type = m->vit_config.type;
    if (out->type != TSR_FP8) return TSR_OK;
    out->scaled = TSR_SCALE_TENSOR;
    if (!o->fp8_parts && m->lm_config.n_mamba) m->fp8_parts &= ~(1u << TSR_PART_ATTENTION);
    if (m->fp8_parts >> TSR_PART_VISION & 1) m->vision_type = TSR_FP8;
    return TSR_OK;
}

tsr_status tsr_model_sketch(tsr_model **out, const char *path, const tsr_model_opts *opts)
{
    const tsr_model_opts *o = opts ? opts : &no_opts;
    tsr_model *m = NULL;
    tsr_status st = begin(&m, o);
    if (st) return st;
    tsr_loader_opts dry = {0};
    bool shape = tsr_shape_config(path);
    if (shape) {
        st = parse_shape(m, path, o);
        if (!st) st = make_up(&dry, m, o);
    } else {
        st = set_path(m, path);
        if (!st) st = open_json(&m->config, m->path, "config.json", false);
        if (!st) st = read_config(m, o);
    }
    if (!st) {
        dry.dry = true;
        if (!shape) dry.type = m->lm_config.type;
        st = load(m, o, dry);
    }
    if (st)
        tsr_model_close(m);
    else
        *out = m;
    return st;
}

tsr_status tsr_model_open(tsr_model **out, const char *path, const tsr_model_opts *opts)
{
    return tsr_model_open_bound(out, path, opts, NULL, NULL);
}

tsr_status tsr_model_open_bound(tsr_model **out, const char *path, const tsr_model_opts *opts,
                                tsr_bound_fn *bound, void *user)
{
    const tsr_model_opts *o = opts ? opts : &no_opts;
    tsr_model *m = NULL;
    tsr_status st = begin(&m, o);
    if (st) return st;
    st = set_path(m, path);
    if (!st) st = open_json(&m->config, m->path, "config.json", false);
    if (!st) st = read_config(m, o);
    if (!st) st = read_generation(m);
    if (!st) st = tsr_safetensors_open(&m->files, m->path);
    if (!st) st = load(m, o, (tsr_loader_opts){.files = m->files, .bound = bound, .bound_user = user});
    if (!st) st = open_text(m, o);
    if (!st) st = tsr_pool_open(&m->pool, m->n_threads);
    if (!st) st = read_card(m);
    if (st) {
        tsr_model_close(m);
        return st;
    }
    describe(m);
    *out = m;
    return TSR_OK;
}

tsr_status tsr_model_synthetic(tsr_model **out, const char *shape, const tsr_model_opts *opts)
{
    const tsr_model_opts *o = opts ? opts : &no_opts;
    tsr_loader_opts made_up = {0};
    tsr_model *m = NULL;
    tsr_status st = begin(&m, o);
    if (st) return st;
    st = parse_shape(m, shape, o);
    m->sampling = (tsr_sampling){.top_p = 1, .repeat_penalty = 1};
    if (!st) st = make_up(&made_up, m, o);
    if (!st) st = load(m, o, made_up);
    if (!st) st = tsr_pool_open(&m->pool, m->n_threads); /* pictures are read for these models too */
    if (st) {
        tsr_model_close(m);
        return st;
    }
    describe(m);
    *out = m;
    return TSR_OK;
}

void tsr_model_close(tsr_model *m)
{
    if (!m) return;
    tsr_pool_close(m->pool);
    tsr_chat_close(m->chat);
    tsr_ids_close(&m->stop_ids);
    tsr_tokenizer_close(m->tokenizer);
    close_networks(m);
    tsr_safetensors_close(m->files);
    tsr_json_close(m->generation);
    tsr_json_close(m->config);
    pthread_mutex_destroy(&m->pool_lock);
    tsr_free(m->card);
    tsr_free(m->name);
    tsr_free(m->path);
    tsr_free(m);
}

const tsr_model_info *tsr_model_about(const tsr_model *m)
{
    return &m->info;
}
