/* runtime/quantize.c: an FP8 checkpoint from a wider one, in ModelOpt's form.
 *
 * A quantised linear X has X.weight in E4M3, X.weight_scale = amax(|W|) / 448 and X.input_scale = the largest input
 * of the calibration / 448, each one f32; if asked for, k_proj.k_scale and v_proj.v_scale say the same of keys and
 * values. config.json gains quantization_config and hf_quant_config.json says the
 * same in the older form; every other file is copied. Everything is written into a folder beside the one asked
 * for, which takes its name when it is complete.
 * Source: nemotron-h spec 6.3; vllm, layers/quantization/modelopt.py, ModelOptFp8Config (what is read, and how names
 * are matched).
 */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "runtime/calibrate.h"
#include "runtime/shards.h"

#define DEFAULT_SHARD_BYTES ((size_t)4 << 30)

/* A tensor that is a linear, or part of one. */
typedef struct binding {
    const tsr_tensor *tensor;
    char *linear; /* our name */
    bool quantised;
} binding;

typedef struct job {
    const tsr_quantize_opts *opts;
    const char *out;
    char *part; /* where files are written */
    bool made_part;
    tsr_model *model;
    tsr_engine *engine;
    tsr_calibration calibration;
    binding *bindings;
    int64_t n_bindings, binding_capacity;
    tsr_status bound_failed;
    tsr_out_tensor *tensors;
    int64_t n_tensors, tensor_capacity;
    tsr_text ignore; /* the JSON list of linears that stay */
    tsr_quantize_info info;
} job;

static bool go_on(const job *j, const char *what, int64_t done, int64_t total)
{
    return !j->opts->on_progress || j->opts->on_progress(j->opts->user, what, done, total);
}

/* ---------------------------------------------------------------- folders ------------------------------- */

static tsr_status check_out(const char *out)
{
    DIR *folder = opendir(out);
    if (!folder && errno == ENOENT) return TSR_OK;
    if (!folder) return tsr_fail(TSR_E_IO, "%s: %s", out, strerror(errno));
    bool empty = true;
    for (struct dirent *e; (e = readdir(folder));)
        empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    closedir(folder);
    return empty ? TSR_OK : tsr_fail(TSR_E_IO, "%s: the folder exists and is not empty", out);
}

static tsr_status make_part(job *j)
{
    size_t length = strlen(j->out), bytes = length + sizeof ".part";
    while (length > 1 && j->out[length - 1] == '/') length--;
    j->part = tsr_alloc(bytes);
    if (!j->part) return tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", j->out);
    snprintf(j->part, bytes, "%.*s.part", (int)length, j->out);
    if (mkdir(j->part, 0777))
        return tsr_fail(TSR_E_IO,
                        errno == EEXIST ? "%s: %s; a run that was killed left it: remove it" : "%s: %s",
                        j->part, strerror(errno));
    j->made_part = true;
    return TSR_OK;
}

/* All that was written; this folder has no folders in it. */
static void remove_part(const job *j)
{
    DIR *folder = opendir(j->part);
    if (!folder) return;
    for (struct dirent *e; (e = readdir(folder));) unlinkat(dirfd(folder), e->d_name, 0);
    closedir(folder);
    rmdir(j->part);
}

/* ---------------------------------------------------------------- what is a linear ---------------------- */

static void take_binding(void *user, const char *name, const tsr_tensor *tensor)
{
    job *j = user;
    void *bindings = j->bindings;
    char *copy = tsr_strdup(name);
    bool room = copy && tsr_grow(&bindings, &j->binding_capacity, j->n_bindings + 1, sizeof *j->bindings);
    j->bindings = bindings;
    if (!room) {
        tsr_free(copy);
        j->bound_failed = tsr_fail(TSR_E_NOMEM, "no memory for the names of linears");
        return;
    }
    j->bindings[j->n_bindings++] = (binding){.tensor = tensor, .linear = copy};
}

static binding *binding_of(const job *j, const tsr_tensor *t)
{
    for (int64_t i = 0; i < j->n_bindings; i++)
        if (j->bindings[i].tensor == t) return &j->bindings[i];
    return NULL;
}

static bool any_of(const char *name, const char *const *patterns)
{
    for (; *patterns; patterns++)
        if (!fnmatch(*patterns, name, FNM_NOESCAPE)) return true;
    return false;
}

/* The options' answer for a linear of ours. Tables (lm.embed, vision.patch) never. */
static bool is_wanted(const tsr_quantize_opts *o, const char *linear)
{
    static const char *const decoder[] = {
        "lm.layer.*.in_proj",   "lm.layer.*.out_proj",    "lm.layer.*.up",
        "lm.layer.*.down",      "lm.layer.*.experts_up",  "lm.layer.*.experts_down",
        "lm.layer.*.shared_up", "lm.layer.*.shared_down", NULL};
    static const char *const attention[] = {"lm.layer.*.qkv", "lm.layer.*.o", NULL};
    static const char *const vision[] = {"vision.layer.*.qkv", "vision.layer.*.proj", "vision.layer.*.fc1",
                                         "vision.layer.*.fc2", NULL};
    static const char *const projector[] = {"projector.fc1", "projector.fc2", NULL};
    if (any_of(linear, decoder)) return true;
    if (any_of(linear, attention)) return !o->keep_attention;
    if (any_of(linear, vision)) return o->vision;
    if (any_of(linear, projector)) return o->projector;
    return o->lm_head && !strcmp(linear, "lm.head");
}

/* A checkpoint that is quantised already, in this way or another, is refused by name. */
static tsr_status check_source(const job *j)
{
    const tsr_model *m = j->model;
    if (tsr_json_find(tsr_json_root(m->config), "quantization_config"))
        return tsr_fail(TSR_E_UNSUPPORTED,
                        "%s: config.json has a quantization_config: it is quantised already", m->path);
    for (int64_t i = 0; i < tsr_safetensors_count(m->files); i++) {
        const tsr_tensor *t = tsr_safetensors_at(m->files, i);
        if (!strncmp(t->dtype_name, "F8_", 3))
            return tsr_fail(TSR_E_UNSUPPORTED, "%s: tensor '%s' is %s: it is quantised already", t->file,
                            t->name, t->dtype_name);
    }
    bool vision = j->opts->vision || j->opts->projector, head = false;
    for (int64_t i = 0; i < j->n_bindings; i++) head |= !strcmp(j->bindings[i].linear, "lm.head");
    if (vision && !m->has_vision)
        return tsr_fail(TSR_E_ARG, "%s has neither vision encoder nor projector to quantise", m->name);
    if (j->opts->kv && !m->lm_config.n_attention)
        return tsr_fail(TSR_E_ARG, "%s has no attention layers, and so no keys and values to scale", m->name);
    if (j->opts->lm_head && !head)
        return tsr_fail(TSR_E_ARG, "%s has no lm_head of its own: it is the embedding, which stays", m->name);
    return TSR_OK;
}

/* ---------------------------------------------------------------- the plan ------------------------------ */

static tsr_out_tensor *add_tensor(job *j, char *name)
{
    void *tensors = j->tensors;
    bool room = name && tsr_grow(&tensors, &j->tensor_capacity, j->n_tensors + 1, sizeof *j->tensors);
    j->tensors = tensors;
    if (!room) {
        tsr_free(name);
        return NULL;
    }
    j->tensors[j->n_tensors] = (tsr_out_tensor){.name = name};
    return &j->tensors[j->n_tensors++];
}

static char *joined(const char *stem, const char *suffix)
{
    size_t bytes = strlen(stem) + strlen(suffix) + 1;
    char *name = tsr_alloc(bytes);
    if (name) snprintf(name, bytes, "%s%s", stem, suffix);
    return name;
}

static tsr_status add_scale(job *j, const char *stem, const char *suffix, float value)
{
    tsr_out_tensor *t = add_tensor(j, joined(stem, suffix));
    if (!t) return tsr_fail(TSR_E_NOMEM, "no memory for the list of tensors");
    t->dtype = "F32";
    t->bytes = sizeof value;
    t->kind = TSR_OUT_SCALE;
    t->scale = value;
    return TSR_OK;
}

/* The largest magnitude of a matrix, whose data may be misaligned; -1 when one is not finite. */
static float weight_max(const unsigned char *data, tsr_dtype type, int64_t elements)
{
    enum { PIECE = 1024 };
    float piece[PIECE], amax = 0;
    size_t each = tsr_dtype_bytes(type);
    for (int64_t at = 0; at < elements; at += PIECE) {
        int64_t n = elements - at < PIECE ? elements - at : PIECE;
        memcpy(piece, data + (size_t)at * each, (size_t)n * each);
        for (int64_t i = 0; i < n; i++) {
            float value = fabsf(tsr_load(piece, type, i));
            if (!isfinite(value)) return -1;
            amax = fmaxf(amax, value);
        }
    }
    return amax;
}

/* One matrix [rows, cols] under `stem`, with its two scales. */
static tsr_status add_quantised(job *j, const char *stem, const tsr_tensor *from, const void *data,
                                int64_t rows, int64_t cols, float input_max)
{
    float amax = weight_max(data, from->type, rows * cols);
    if (amax < 0)
        return tsr_fail(TSR_E_FORMAT, "%s: tensor '%s' holds values that are not finite", from->file,
                        from->name);
    float scale = amax / TSR_FP8_MAX;
    if (!(scale > 0)) scale = 1; /* a matrix of zeros; any scale serves */
    tsr_out_tensor *t = add_tensor(j, joined(stem, ".weight"));
    if (!t) return tsr_fail(TSR_E_NOMEM, "no memory for the list of tensors");
    *t = (tsr_out_tensor){.name = t->name,
                          .dtype = "F8_E4M3",
                          .shape = {rows, cols},
                          .n_dims = 2,
                          .bytes = (size_t)(rows * cols),
                          .kind = TSR_OUT_CODES,
                          .data = data,
                          .from = from->type,
                          .scale = scale,
                          .begins = true};
    j->info.n_linears++;
    tsr_status st = add_scale(j, stem, ".weight_scale", scale);
    return st ? st : add_scale(j, stem, ".input_scale", input_max / TSR_FP8_MAX);
}

/* A linear's static input scale: what the calibration saw must say something. */
static tsr_status input_max(float *out, const job *j, const binding *b)
{
    float amax = tsr_calibration_max(&j->calibration, b->linear);
    if (!isfinite(amax))
        return tsr_fail(TSR_E_FORMAT, "%s: its input was not finite during calibration", b->tensor->name);
    if (!(amax / TSR_FP8_MAX > 0))
        return tsr_fail(TSR_E_ARG, "%s: the calibration gave it no input but zeros, and so no scale",
                        b->tensor->name);
    *out = amax;
    return TSR_OK;
}

/* Experts that lie in one tensor [experts, rows, cols] become a matrix each: scales are per matrix. */
static tsr_status add_experts(job *j, const tsr_tensor *t, float amax)
{
    const char *last = strrchr(t->name, '.');
    int64_t rows = t->shape[1], cols = t->shape[2];
    tsr_status st = TSR_OK;
    for (int64_t e = 0; e < t->shape[0] && !st; e++) {
        char stem[512];
        int n = snprintf(stem, sizeof stem, "%.*s.%" PRId64 "%s", (int)(last - t->name), t->name, e, last);
        if (n >= (int)sizeof stem) return tsr_fail(TSR_E_LIMIT, "tensor '%s': the name is too long", t->name);
        size_t at = (size_t)(e * rows * cols) * tsr_dtype_bytes(t->type);
        st = add_quantised(j, stem, t, (const char *)t->data + at, rows, cols, amax);
    }
    return st;
}

static tsr_status add_linear(job *j, binding *b)
{
    static const char suffix[] = ".weight";
    const tsr_tensor *t = b->tensor;
    size_t length = strlen(t->name), tail = sizeof suffix - 1;
    float amax = 0;
    tsr_status st = input_max(&amax, j, b);
    if (st) return st;
    b->quantised = true;
    if (t->n_dims == 3) return add_experts(j, t, amax);
    assert(t->n_dims == 2 && length > tail && !strcmp(t->name + length - tail, suffix));
    char *stem = tsr_strdup(t->name);
    if (!stem) return tsr_fail(TSR_E_NOMEM, "no memory for the name of %s", t->name);
    stem[length - tail] = '\0';
    st = add_quantised(j, stem, t, t->data, t->shape[0], t->shape[1], amax);
    tsr_free(stem);
    return st;
}

/* Behind the keys' or values' part of an attention layer, the scale of what it makes. */
static tsr_status add_kv_scale(job *j, const binding *b)
{
    static const char k[] = ".k_proj.weight", v[] = ".v_proj.weight";
    const char *name = b->tensor->name;
    size_t length = strlen(name), tail = sizeof k - 1;
    int layer;
    if (length < tail || sscanf(b->linear, "lm.layer.%d.qkv", &layer) != 1) return TSR_OK;
    bool is_k = !strcmp(name + length - tail, k), is_v = !strcmp(name + length - tail, v);
    if (!is_k && !is_v) return TSR_OK;
    float amax = is_k ? j->calibration.k_max[layer] : j->calibration.v_max[layer];
    if (!(isfinite(amax) && amax / TSR_FP8_MAX > 0))
        return tsr_fail(TSR_E_ARG, "%s: the calibration saw %g at most, and so no scale for FP8", name,
                        (double)amax);
    char *stem = tsr_strdup(name);
    if (!stem) return tsr_fail(TSR_E_NOMEM, "no memory for the name of %s", name);
    stem[length - strlen(".weight")] = '\0';
    tsr_status st = add_scale(j, stem, is_k ? ".k_scale" : ".v_scale", amax / TSR_FP8_MAX);
    tsr_free(stem);
    return st;
}

static tsr_status add_copy(job *j, const tsr_tensor *t)
{
    tsr_out_tensor *to = add_tensor(j, tsr_strdup(t->name));
    if (!to) return tsr_fail(TSR_E_NOMEM, "no memory for the list of tensors");
    *to = (tsr_out_tensor){.name = to->name,
                           .dtype = t->dtype_name,
                           .n_dims = t->n_dims,
                           .bytes = t->bytes,
                           .data = t->data,
                           .begins = true};
    memcpy(to->shape, t->shape, sizeof to->shape);
    return TSR_OK;
}

static void ignore(job *j, const char *tensor)
{
    size_t length = strlen(tensor);
    static const char suffix[] = ".weight";
    size_t tail = sizeof suffix - 1;
    char *stem = tsr_strdup(tensor);
    if (!stem) {
        j->ignore.failed = true;
        return;
    }
    if (length > tail && !strcmp(stem + length - tail, suffix)) stem[length - tail] = '\0';
    if (j->ignore.n) tsr_text_add(&j->ignore, ", ");
    tsr_text_add_json(&j->ignore, stem);
    tsr_free(stem);
}

/* Modules that a loader may take for linears and that stay: the ones not wanted, and those that are none here. */
static bool stays_linear(const binding *b, const tsr_tensor *t)
{
    static const char *const others[] = {"*.conv1d.weight", "*.mixer.gate.weight", NULL};
    return b ? !b->quantised && strcmp(b->linear, "lm.embed") : any_of(t->name, others);
}

static tsr_status make_plan(job *j)
{
    tsr_status st = TSR_OK;
    int64_t n = tsr_safetensors_count(j->model->files);
    for (int64_t i = 0; i < n && !st; i++) {
        const tsr_tensor *t = tsr_safetensors_at(j->model->files, i);
        binding *b = binding_of(j, t);
        if (!go_on(j, "measuring weights", i, n)) return tsr_fail(TSR_E_CANCELLED, "stopped");
        st = b && is_wanted(j->opts, b->linear) ? add_linear(j, b) : add_copy(j, t);
        if (b && j->opts->kv && !st) st = add_kv_scale(j, b);
        if (stays_linear(b, t)) ignore(j, t->name);
        j->info.bytes_before += (int64_t)t->bytes;
    }
    if (!st && j->ignore.failed) st = tsr_fail(TSR_E_NOMEM, "no memory for the list of linears");
    return st;
}

/* ---------------------------------------------------------------- files --------------------------------- */

static tsr_status write_text(job *j, const char *name, tsr_text *t)
{
    tsr_status st = t->failed ? tsr_fail(TSR_E_NOMEM, "no memory for %s", name)
                              : tsr_folder_write(j->part, name, t->at, (size_t)t->n);
    tsr_text_close(t);
    return st;
}

/* The old text with one more key in front: its spelling of everything else is kept. */
static tsr_status write_config(job *j)
{
    unsigned char *old = NULL;
    size_t bytes;
    char *path = tsr_path_join(j->model->path, "config.json");
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of config.json");
    tsr_status st = tsr_file_read(&old, &bytes, path, TSR_MAX_CONFIG_BYTES);
    tsr_free(path);
    if (st) return st;
    const char *brace =
        strchr((char *)old, '{'); /* the root is an object, or the model would not have opened */
    tsr_text t = {0};
    tsr_text_add(&t, "%.*s{\n  \"quantization_config\": {\n", (int)(brace - (char *)old), old);
    tsr_text_add(
        &t, "    \"quant_method\": \"modelopt\",\n    \"quant_algo\": \"FP8\",\n    \"config_groups\": {\n"
            "      \"group_0\": {\n"
            "        \"weights\": {\"dynamic\": false, \"num_bits\": 8, \"type\": \"float\"},\n"
            "        \"input_activations\": {\"dynamic\": false, \"num_bits\": 8, \"type\": \"float\"},\n"
            "        \"targets\": [\"Linear\"]\n      }\n    },\n");
    if (j->opts->kv)
        tsr_text_add(
            &t, "    \"kv_cache_scheme\": {\"dynamic\": false, \"num_bits\": 8, \"type\": \"float\"},\n");
    tsr_text_add(&t, "    \"ignore\": [%s],\n", j->ignore.n ? j->ignore.at : "");
    tsr_text_add(&t, "    \"producer\": {\"name\": \"modelopt\", \"version\": \"tessera %s\"}\n  },%s",
                 tsr_version(), brace + 1);
    tsr_free(old);
    return write_text(j, "config.json", &t);
}

static tsr_status write_quant_config(job *j)
{
    tsr_text t = {0};
    tsr_text_add(
        &t,
        "{\n  \"producer\": {\"name\": \"modelopt\", \"version\": \"tessera %s\"},\n  \"quantization\": {\n"
        "    \"quant_algo\": \"FP8\",\n    \"kv_cache_quant_algo\": %s,\n    \"exclude_modules\": [%s]\n  "
        "}\n}\n",
        tsr_version(), j->opts->kv ? "\"FP8\"" : "null", j->ignore.n ? j->ignore.at : "");
    return write_text(j, "hf_quant_config.json", &t);
}

/* Files that are written anew. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"config.json", "hf_quant_config.json", "*.safetensors",
                                        "*.safetensors.index.json", NULL};
    return any_of(name, names);
}

static tsr_status copy_rest(job *j)
{
    const char *from = j->model->path;
    struct dirent **entries;
    struct stat info;
    int n = scandir(from, &entries, NULL, alphasort);
    if (n < 0) return tsr_fail(TSR_E_IO, "%s: %s", from, strerror(errno));
    tsr_status st = TSR_OK;
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char *path = tsr_path_join(from, name);
        if (!path && !st) st = tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", name);
        if (!st && !stat(path, &info) && S_ISREG(info.st_mode) && !is_ours(name))
            st = tsr_folder_copy(j->part, from, name);
        tsr_free(path);
        free(entries[i]);
    }
    free(entries);
    return st;
}

static int tell_written(void *user, int64_t done_bytes, int64_t total_bytes)
{
    return go_on(user, "writing", done_bytes, total_bytes);
}

static tsr_status write_all(job *j)
{
    tsr_shards s = {.tensors = j->tensors,
                    .n_tensors = j->n_tensors,
                    .folder = j->part,
                    .max_bytes =
                        j->opts->max_shard_bytes > 0 ? (size_t)j->opts->max_shard_bytes : DEFAULT_SHARD_BYTES,
                    .q = j->engine->queue,
                    .progress = tell_written,
                    .user = j};
    tsr_status st = tsr_shards_write(&s);
    if (!st) st = write_config(j);
    if (!st) st = write_quant_config(j);
    if (!st) st = copy_rest(j);
    if (!st && rename(j->part, j->out)) st = tsr_fail(TSR_E_IO, "%s: %s", j->out, strerror(errno));
    j->made_part &= st != TSR_OK;
    j->info.n_shards = s.n_shards;
    j->info.bytes_after = s.bytes;
    j->info.n_tensors = j->n_tensors;
    return st;
}

/* ---------------------------------------------------------------- all of it ----------------------------- */

static int tell_calibrated(void *user, int64_t done, int64_t total)
{
    return go_on(user, "calibrating: sequences", done, total);
}

static tsr_status open_source(job *j, const char *path, const tsr_model_opts *model_opts)
{
    tsr_model_opts o = model_opts ? *model_opts : (tsr_model_opts){0};
    if (!o.backend || !strcmp(o.backend, "auto")) o.backend = "cpu";
    if (strcmp(o.backend, "cpu") && strcmp(o.backend, "ref"))
        return tsr_fail(TSR_E_ARG, "backend: '%s' was found; calibration runs on cpu or ref", o.backend);
    if (o.dtype && !strcmp(o.dtype, "fp8"))
        return tsr_fail(TSR_E_ARG,
                        "dtype: 'fp8' rounds weights while they are loaded; auto or f32 is wanted");
    tsr_status st = tsr_model_open_bound(&j->model, path, &o, take_binding, j);
    if (!st) st = j->bound_failed;
    if (!st) st = check_source(j);
    if (!st) st = tsr_engine_open(&j->engine, j->model, &(tsr_engine_opts){.unfused = 1});
    return st;
}

static void close_job(job *j)
{
    tsr_calibration_close(&j->calibration);
    tsr_engine_close(j->engine);
    tsr_model_close(j->model);
    for (int64_t i = 0; i < j->n_bindings; i++) tsr_free(j->bindings[i].linear);
    for (int64_t i = 0; i < j->n_tensors; i++) tsr_free(j->tensors[i].name);
    tsr_free(j->bindings);
    tsr_free(j->tensors);
    tsr_text_close(&j->ignore);
    if (j->made_part) remove_part(j);
    tsr_free(j->part);
}

tsr_status tsr_quantize(const char *out, const char *path, const tsr_model_opts *model_opts,
                        const tsr_quantize_opts *opts, tsr_quantize_info *info)
{
    static const tsr_quantize_opts none;
    job j = {.opts = opts ? opts : &none, .out = out};
    tsr_status st = check_out(out);
    if (!st) st = open_source(&j, path, model_opts);
    if (!st) st = make_part(&j);
    j.calibration.engine = j.engine;
    tsr_calibration_data data = {j.opts->calibration, j.opts->samples, &j.opts->image};
    if (!st) st = tsr_calibrate(&j.calibration, &data, tell_calibrated, &j);
    j.info.n_sequences = j.calibration.n_sequences;
    j.info.n_tokens = j.calibration.n_tokens;
    if (!st) st = make_plan(&j);
    if (!st) st = write_all(&j);
    if (!st && info) *info = j.info;
    close_job(&j);
    return st;
}
