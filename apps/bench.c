/* apps/bench.c: `tessera bench`: each stage beside its floor.
 *
 * A stage and its ceiling are measured in turns, so that both see the same machine; what counts is the median of
 * the pairs. Decoding is held against reading memory, prefill and vision against the matrix library on the bare
 * products.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/show.h"
#include "apps/term.h"

enum {
    DEFAULT_REPEATS = 9,
    DEFAULT_TOKENS = 64,
    DEFAULT_ROWS = 512,
    DEFAULT_TILES = 4,
    DEFAULT_CONTEXT = 512,
    WATCHED_STEPS = 8 /* with --ops; and as many to warm up */
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

/* FLOPs (or bytes) counted since the counters were cleared, over ops that multiply matrices. */
static double counted(const tsr_engine *engine, bool bytes)
{
    static const char *const products[] = {"linear", "attend", "kv_attend", "moe_ffn", "attention"};
    const tsr_counter *c;
    double sum = 0;
    for (int i = 0; (c = tsr_engine_counter(engine, i)); i++)
        for (size_t p = 0; p < sizeof products / sizeof products[0]; p++)
            if (!strcmp(c->name, products[p])) sum += bytes ? c->bytes : c->flops;
    return sum;
}

static bool on_device(const bench *b)
{
    return !strncmp(tsr_model_about(b->model)->backend, "cuda", 4);
}

static void print_row(bench *b, const row *r)
{
    double seconds = r->seconds * b->scale, rate = r->per_unit / seconds;
    const char *extrapolated = b->scale > 1 ? "  extrapolated" : "";
    if (!b->o->json)
        printf("%-8s %-22s %10.3f ms %12.1f %s/s  floor %10.3f ms  %4.0f%% of %s%s\n", r->stage, r->what,
               1e3 * seconds, rate, r->unit, 1e3 * r->work * b->scale / r->ceiling, 100 * r->fraction,
               r->ceiling_name, extrapolated);
    fflush(stdout);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "stage", r->stage);
    cJSON_AddStringToObject(json, "what", r->what);
    cJSON_AddNumberToObject(json, "seconds", seconds);
    cJSON_AddNumberToObject(json, "per_second", rate);
    cJSON_AddStringToObject(json, "unit", r->unit);
    cJSON_AddNumberToObject(json, "work", r->work * b->scale);
    cJSON_AddNumberToObject(json, "ceiling_per_second", r->ceiling);
    cJSON_AddStringToObject(json, "ceiling", r->ceiling_name);
    cJSON_AddNumberToObject(json, "fraction", r->fraction);
    cJSON_AddItemToArray(b->json, json);
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value ? value : otherwise;
}

/* ---------------------------------------------------------------- decode -------------------------------- */

static int64_t sequences(const bench *b)
{
    return or_default(b->o->batch, 1);
}

/* n steps of all sequences; seconds per step. */
static tsr_status drill_some(bench *b, tsr_drill *drill, int64_t context, int64_t n, double *seconds)
{
    tsr_engine_counters_clear(b->engine);
    tsr_status status = tsr_drill_decode(drill, context, n, seconds);
    *seconds /= (double)n;
    return status;
}

/* A few steps more, watched. */
static tsr_status show_decode(bench *b, int64_t context, const row *r)
{
    double ignored;
    tsr_drill *drill = NULL;
    tsr_status status = tsr_drill_open(&drill, b->engine, sequences(b), context);
    if (!status) status = drill_some(b, drill, context, 2, &ignored);
    if (!status) status = tsr_engine_profile(b->engine, 1);
    if (!status) status = drill_some(b, drill, context, WATCHED_STEPS, &ignored);
    if (!status) show_parts(b, r, WATCHED_STEPS);
    tsr_drill_close(drill);
    return status ? status : tsr_engine_profile(b->engine, 0);
}

/* n tokens from a state of `context` made-up tokens; seconds per token. */
static tsr_status decode_some(bench *b, tsr_session *session, int64_t context, int64_t n, double *seconds)
{
    int32_t id = 1;
    tsr_status status = tsr_session_randomise(session, context, 7);
    if (!status) status = tsr_session_add_ids(session, &id, 1, NULL, 0);
    tsr_generate_opts g = {.max_tokens = n + 1, .ignore_stop_ids = 1};
    tsr_session_info before = tsr_session_about(session);
    tsr_engine_counters_clear(b->engine);
    if (!status) status = tsr_session_generate(session, &g, NULL);
    tsr_session_info after = tsr_session_about(session);
    *seconds =
        (after.decode_seconds - before.decode_seconds) / (double)(after.decode_tokens - before.decode_tokens);
    return status;
}

/* Bytes that one step must move: every weight once, the state read and written, the keys and values read. */
static double step_bytes(const bench *b, int64_t context, double weights)
{
    tsr_plan plan = tsr_engine_memory(b->engine);
    return weights + (double)sequences(b) *
                         (2.0 * (double)plan.state_bytes + (double)context * (double)plan.kv_bytes_per_token);
}

/* Bytes of weights of one step, as the ops counted them: of experts those that were chosen. */
static double counted_weights(const bench *b, int64_t steps)
{
    const tsr_counter *c;
    double weights = 0;
    for (int i = 0; (c = tsr_engine_counter(b->engine, i)); i++)
        if (!strcmp(c->name, "linear") || !strcmp(c->name, "moe_ffn")) weights += c->bytes;
    return weights / (double)steps;
}

static tsr_status bench_decode(bench *b, int64_t context, row *out)
{
    int64_t repeats = or_default(b->o->repeats, DEFAULT_REPEATS),
            n = or_default(b->o->decode, DEFAULT_TOKENS);
    int64_t each = n / repeats > 0 ? n / repeats : 1;
    double times[MAX_REPEATS], rates[MAX_REPEATS], fractions[MAX_REPEATS], ignored;
    bool drilled = b->o->batch || on_device(b);
    tsr_session *session = NULL;
    tsr_drill *drill = NULL;
    tsr_status status = drilled ? tsr_drill_open(&drill, b->engine, sequences(b), context)
                                : tsr_session_open(&session, b->engine);
    if (!status) /* warm: pages, caches, clocks */
        status = drilled ? drill_some(b, drill, context, WATCHED_STEPS, &ignored)
                         : decode_some(b, session, context, 2, &ignored);
    *out = (row){
        .stage = "decode", .per_unit = (double)sequences(b), .unit = "tok", .ceiling_name = "streaming read"};
    snprintf(out->what, sizeof out->what, "context %lld", (long long)context);
    if (sequences(b) > 1)
        snprintf(out->what, sizeof out->what, "%lld at context %lld", (long long)sequences(b),
                 (long long)context);
    for (int64_t i = 0; !status && i < repeats; i++) {
        status = tsr_engine_read_rate(b->engine, &rates[i]);
        if (!status)
            status = drilled ? drill_some(b, drill, context, each, &times[i])
                             : decode_some(b, session, context, each, &times[i]);
        out->work = step_bytes(b, context,
                               drilled ? (double)tsr_engine_memory(b->engine).weight_step_bytes
                                       : counted_weights(b, each + 1));
        fractions[i] = out->work / (times[i] * rates[i]);
        progress("decode: %lld of %lld pairs", (long long)i + 1, (long long)repeats);
    }
    if (!status) {
        out->seconds = median(times, repeats);
        out->ceiling = median(rates, repeats);
        out->fraction = median(fractions, repeats);
    }
    tsr_drill_close(drill);
    tsr_session_close(session);
    return status;
}

static tsr_status bench_curve(bench *b)
{
    static const int64_t contexts[] = {512, 2048, 8192, 32768};
    double first = 0;
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        row r;
        tsr_status status = bench_decode(b, contexts[i], &r);
        if (status) return status;
        if (!i) first = r.seconds;
        size_t used = strlen(r.what);
        snprintf(r.what + used, sizeof r.what - used, ", %.3fx", r.seconds / first);
        print_row(b, &r);
    }
    return TSR_OK;
}

/* ---------------------------------------------------------------- prefill and vision -------------------- */

int32_t *made_up_ids(const bench *b, int64_t n)
{
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    int64_t vocab = tsr_model_about(b->model)->n_vocab;
    for (int64_t i = 0; i < n && ids; i++) ids[i] = (int32_t)((i * 7919 + 11) % vocab);
    return ids;
}

tsr_status prefill_once(bench *b, const int32_t *ids, int64_t n_rows, double *seconds)
{
    tsr_session *session = NULL;
    tsr_status status = tsr_session_open(&session, b->engine);
    if (!status)
        status = tsr_session_add_ids(session, ids, n_rows + 1, NULL, 0); /* the last row stays unread */
    tsr_engine_counters_clear(b->engine);
    if (!status) status = tsr_session_read(session, NULL, NULL);
    if (!status) *seconds = tsr_session_about(session).prefill_seconds;
    tsr_session_close(session);
    return status;
}

/* A picture of one grey pixel: cut into any number of tiles it is as much work as any other. */
static const unsigned char pixel_png[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00,
    0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81,
    0x77, 0xcd, 0x72, 0xb6, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};

static tsr_status vision_once(bench *b, const tsr_image *image, double *seconds)
{
    tsr_session *session = NULL;
    const tsr_image *images[] = {image};
    int64_t n_rows = tsr_image_about(image)->n_tokens;
    int32_t ids[] = {-1, 1}; /* one row is enough to want the picture encoded */
    tsr_status status = tsr_session_open(&session, b->engine);
    if (!status) status = tsr_session_add_ids(session, ids, n_rows > 1 ? 2 : 1, images, 1);
    tsr_engine_counters_clear(b->engine);
    if (!status) status = tsr_session_read(session, NULL, NULL);
    if (!status) *seconds = tsr_session_about(session).vision_seconds;
    tsr_session_close(session);
    return status;
}

/* Pairs of one run and the library's rate on the same products. */
static tsr_status bench_products(bench *b, row *out, int64_t n_rows, const int32_t *ids,
                                 const tsr_image *image)
{
    int64_t repeats = or_default(b->o->repeats, DEFAULT_REPEATS);
    double times[MAX_REPEATS], rates[MAX_REPEATS], fractions[MAX_REPEATS], ignored;
    tsr_status status = image ? vision_once(b, image, &ignored) : prefill_once(b, ids, n_rows, &ignored);
    for (int64_t i = 0; !status && i < repeats; i++) {
        status = tsr_engine_product_rate(b->engine, n_rows, image != NULL, &rates[i]);
        if (!status)
            status = image ? vision_once(b, image, &times[i]) : prefill_once(b, ids, n_rows, &times[i]);
        out->work = counted(b->engine, false);
        fractions[i] = out->work / (times[i] * rates[i]);
        progress("%s: %lld of %lld pairs", out->stage, (long long)i + 1, (long long)repeats);
    }
    if (!status && b->o->ops) status = tsr_engine_profile(b->engine, 1);
    if (!status && b->o->ops)
        status = image ? vision_once(b, image, &ignored) : prefill_once(b, ids, n_rows, &ignored);
    if (status) return status;
    out->seconds = median(times, repeats);
    out->ceiling = median(rates, repeats);
    out->fraction = median(fractions, repeats);
    out->ceiling_name = "the matrix library on the bare linears";
    return TSR_OK;
}

/* With --ops: the watched run of bench_products, under its row. */
static tsr_status show_products(bench *b, const row *r)
{
    if (!b->o->ops) return TSR_OK;
    show_parts(b, r, 1);
    return tsr_engine_profile(b->engine, 0);
}

static tsr_status bench_prefill(bench *b)
{
    int64_t n_rows = or_default(b->o->prefill, DEFAULT_ROWS);
    int32_t *ids = made_up_ids(b, n_rows + 1);
    if (!ids) return TSR_E_NOMEM;
    row r = {.stage = "prefill", .per_unit = (double)n_rows, .unit = "row"};
    snprintf(r.what, sizeof r.what, "%lld rows", (long long)n_rows);
    tsr_status status = bench_products(b, &r, n_rows, ids, NULL);
    free(ids);
    if (!status) print_row(b, &r);
    return status ? status : show_products(b, &r);
}

static tsr_status bench_vision(bench *b)
{
    int64_t n_tiles = or_default(b->o->tiles, DEFAULT_TILES);
    tsr_image *image = NULL;
    tsr_image_opts opts = {.min_tiles = (int)n_tiles, .max_tiles = (int)n_tiles, .no_thumbnail = 1};
    tsr_status status = tsr_image_read(&image, b->model, pixel_png, sizeof pixel_png, "a pixel", &opts);
    if (status) return status;
    const tsr_model_info *about = tsr_model_about(b->model);
    int64_t patches = 4 * about->rows_per_tile + 1; /* and the class token */
    row r = {.stage = "vision", .per_unit = (double)n_tiles, .unit = "tile"};
    snprintf(r.what, sizeof r.what, "%lld tiles of %lld", (long long)n_tiles, (long long)about->tile_size);
    status = bench_products(b, &r, n_tiles * patches, NULL, image);
    tsr_image_close(image);
    if (!status) {
        double scale = b->scale;
        b->scale = 1; /* the encoder always runs whole */
        print_row(b, &r);
        b->scale = scale;
    }
    return status ? status : show_products(b, &r);
}

/* ---------------------------------------------------------------- what fits ----------------------------- */

static int64_t weights_of(const tsr_plan *p)
{
    return p->weight_file_bytes + p->weight_block_bytes;
}

/* Open the synthetic shape whole, or with as many layers of each kind as fit into the machine. */
static int open_synthetic(bench *b)
{
    const options *o = b->o;
    tsr_plan whole, part;
    tsr_model_opts opts = o->model_opts;
    tsr_status status = tsr_plan_model(&whole, o->synthetic, &opts, &o->engine);
    if (status) return report(status);
    int64_t room =
        whole.memory_bytes - whole.memory_bytes / 8; /* the system and this program need some too */
    b->scale = 1;
    part = whole;
    if (o->exact && whole.total_bytes > room) {
        complain("%s takes %lld bytes (weights %lld, scratch %lld, state and cache of a session %lld); this "
                 "machine "
                 "has %lld",
                 o->synthetic, (long long)whole.total_bytes, (long long)weights_of(&whole),
                 (long long)whole.scratch_bytes, (long long)(whole.state_bytes + whole.kv_bytes),
                 (long long)whole.memory_bytes);
        return EXIT_FAILED;
    }
    for (opts.max_layers = 64; part.total_bytes > room; opts.max_layers--) {
        if (opts.max_layers == 0) {
            complain("%s: not one layer of each kind fits into %lld bytes", o->synthetic, (long long)room);
            return EXIT_FAILED;
        }
        status = tsr_plan_model(&part, o->synthetic, &opts, &o->engine);
        if (status) return report(status);
    }
    if (part.total_bytes == whole.total_bytes) opts.max_layers = 0;
    progress("making random weights");
    status = tsr_model_synthetic(&b->model, o->synthetic, &opts);
    progress(NULL);
    if (status) return report(status);
    if (opts.max_layers) {
        tsr_model *sketch = b->model;
        b->ran_layers = tsr_model_about(sketch)->n_layers;
        b->scale = (double)weights_of(&whole) / (double)weights_of(&part);
    }
    return EXIT_DONE;
}

/* decode, prefill and vision of one model */
static int run_stages(bench *b, options *o)
{
    int64_t context = or_default(o->context, DEFAULT_CONTEXT), rows = or_default(o->prefill, DEFAULT_ROWS);
    int64_t longest = o->curve ? 32768 : context > rows ? context : rows;
    if (!o->engine.n_sessions) o->engine.n_sessions = o->batch;
    if (!o->engine.n_ctx) o->engine.n_ctx = longest + or_default(o->decode, DEFAULT_TOKENS) + WATCHED_STEPS;
    if (!o->engine.max_rows && rows > DEFAULT_ROWS) o->engine.max_rows = rows;

    int code = o->synthetic ? open_synthetic(b) : open_model(o, &b->model, NULL);
    if (!code) code = report(tsr_engine_open(&b->engine, b->model, &o->engine));
    if (!code && !o->json)
        printf("%s on %s\n", tsr_model_about(b->model)->name, tsr_model_about(b->model)->backend);
    if (!code && b->scale > 1)
        say("extrapolated from %lld layers that fit, by their share of the weights",
            (long long)b->ran_layers);
    row decode;
    if (!code) code = report(bench_decode(b, context, &decode));
    if (!code) print_row(b, &decode);
    if (!code && o->ops) code = report(show_decode(b, context, &decode));
    if (!code && o->curve) code = report(bench_curve(b));
    if (!code && !o->curve) code = report(bench_prefill(b));
    if (!code && !o->curve && tsr_model_about(b->model)->has_vision) code = report(bench_vision(b));
    return code;
}

int run_bench(options *o)
{
    const char *backend = o->model_opts.backend;
    if (o->table || o->headline) {
        if (backend && strcmp(backend, "auto") != 0 && strcmp(backend, "cuda") != 0) {
            complain("--table and --headline measure a GPU; --backend %s does not use one", backend);
            return EXIT_USAGE;
        }
        o->model_opts.backend = "cuda";
    }
    bench b = {.o = o, .scale = 1, .json = cJSON_CreateArray()};
    if (o->repeats > MAX_REPEATS) o->repeats = MAX_REPEATS;
    int code = o->headline ? run_headline(&b) : o->table ? run_table(&b) : run_stages(&b, o);
    if (!code && o->json)
        show_json(b.json, true);
    else
        cJSON_Delete(b.json);
    tsr_engine_close(b.engine);
    tsr_model_close(b.model);
    return finish_output(code);
}
