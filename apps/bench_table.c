/* apps/bench_table.c: `tessera bench --table`: the rows of the target table on a GPU, each beside its floor.
 *
 * A row is the median of at least thirty runs or two seconds of them, after three to warm up (one where a run takes
 * more than a second), with the tenth and ninetieth percentiles. Its ceilings are measured just before and just
 * after. Weights, states and tokens are made up: speed does not depend on what they say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/show.h"
#include "apps/term.h"

enum {
    CONTEXT = 1024,
    PAGE_TILES = 13,
    PAGE_CONTEXT = 4096,
    QUESTION = 64,
    TAG = 2,
    LONG_PROMPT = 65536,
    STEP_ROWS = 8192,
    STEPS = 16
};

/* The least that is wanted of a row, and what it aims at. */
typedef enum measure { OF_FRACTION, OF_RATE, OF_SECONDS } measure;
typedef struct target {
    int row;
    measure of;
    double least, aim;
} target;

static const target targets[] = {
    {1, OF_FRACTION, 0.80, 0.90},    {2, OF_FRACTION, 0.85, 0.92}, {3, OF_FRACTION, 0.65, 0.80},
    {4, OF_RATE, 17e3, 25e3},        {5, OF_FRACTION, 0.77, 0.90}, {6, OF_FRACTION, 0.62, 0.75},
    {7, OF_FRACTION, 0.72, 0.82},    {8, OF_SECONDS, 1.7, 1.3},    {9, OF_RATE, 20e6, 35e6},
    {10, OF_RATE, 550, 700},         {110, OF_RATE, 750, 960},     {11, OF_SECONDS, 0.110, 0.075},
    {111, OF_SECONDS, 0.005, 0.005}, {12, OF_RATE, 10, 10},        {16, OF_RATE, 500, 500},
    {17, OF_SECONDS, 30e-6, 30e-6},
};

typedef struct stats {
    double median, p10, p90;
    int64_t n;
} stats;

/* One line; `units` and `floor` (seconds) are of one run; floor 0: none. Without runs `units` are the figure. */
typedef struct line {
    int number; /* of the target table, 0 for none; past 100: a second one of number - 100 */
    const char *what, *unit, *against;
    double units, floor;
    stats s;
} line;

/* ---------------------------------------------------------------- measuring ----------------------------- */

typedef tsr_status run_fn(bench *b, void *what, double *seconds);

static tsr_status measure_runs(bench *b, stats *out, run_fn *run, void *what)
{
    enum { WARM_UPS = 3, RUNS = 30 };
    static double times[MAX_REPEATS];
    double began = seconds_now(), long_run = 1, enough = 2;
    tsr_status status = TSR_OK;
    for (int i = 0; i < WARM_UPS && (i == 0 || seconds_now() - began < long_run) && !status; i++)
        status = run(b, what, &times[0]);
    int64_t n = 0, most = b->o->repeats ? b->o->repeats : RUNS;
    began = seconds_now();
    for (; n < most && (seconds_now() - began < enough || n < 2) && !status; n++)
        status = run(b, what, &times[n]);
    if (status) return status;
    *out = (stats){.median = median(times, n), .n = n};
    out->p10 = times[n / 10];
    out->p90 = times[n - 1 - n / 10];
    return TSR_OK;
}

tsr_status look(bench *b, roof *read, roof *fp8, roof *bf16)
{
    enum { LOOKS = 3 };
    tsr_status status = TSR_OK;
    for (int i = 0; i < LOOKS && !status; i++) {
        if (read) status = tsr_engine_read_rate(b->engine, &read->seen[read->n++]);
        if (fp8 && !status) status = tsr_engine_ceiling(b->engine, TSR_FP8_RATE, &fp8->seen[fp8->n++]);
        if (bf16 && !status) status = tsr_engine_ceiling(b->engine, TSR_BF16_RATE, &bf16->seen[bf16->n++]);
    }
    return status;
}

double height(roof *r)
{
    return median(r->seen, r->n);
}

/* ---------------------------------------------------------------- showing ------------------------------- */

static const target *target_of(int number)
{
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (targets[i].row == number) return &targets[i];
    return NULL;
}

static void verdict(char *to, size_t size, const target *t, double fraction, double rate, double seconds)
{
    if (!t) {
        *to = '\0';
        return;
    }
    double found = t->of == OF_FRACTION ? fraction : t->of == OF_RATE ? rate : seconds;
    bool low = t->of == OF_SECONDS; /* less is better */
    bool met = low ? found <= t->least : found >= t->least, aimed = low ? found <= t->aim : found >= t->aim;
    snprintf(to, size, "%s %g: %s, aim %g: %s", low ? "at most" : "at least", t->least, met ? "yes" : "NO",
             t->aim, aimed ? "yes" : "no");
}

static void print_line(const line *l, int shown, double rate, double fraction)
{
    char number[16] = "", time[32] = "", range[48] = "", of[64] = "", judged[96];
    if (shown) snprintf(number, sizeof number, "%d", shown);
    if (l->s.n) {
        snprintf(time, sizeof time, "%.3f ms", 1e3 * l->s.median);
        snprintf(range, sizeof range, "%.3f..%.3f", 1e3 * l->s.p10, 1e3 * l->s.p90);
    }
    if (l->floor > 0)
        snprintf(of, sizeof of, "floor %.3f ms, %.2f of %s", 1e3 * l->floor, fraction, l->against);
    verdict(judged, sizeof judged, target_of(l->number), fraction, rate, l->s.median);
    printf("%3s %-34s %13s %11.1f %-6s %-20s %-42s %s\n", number, l->what, time, rate, l->unit, range, of,
           judged);
    fflush(stdout);
}

static void show_line(bench *b, const line *l)
{
    double rate = l->s.n ? l->units / l->s.median : l->units;
    double fraction = l->s.n ? l->floor / l->s.median : 0;
    int shown = l->number > 100 ? l->number - 100 : l->number;
    const target *t = target_of(l->number);
    if (!b->o->json) print_line(l, shown, rate, fraction);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "row", shown);
    cJSON_AddStringToObject(json, "what", l->what);
    if (l->s.n) {
        cJSON_AddNumberToObject(json, "seconds", l->s.median);
        cJSON_AddNumberToObject(json, "p10", l->s.p10);
        cJSON_AddNumberToObject(json, "p90", l->s.p90);
        cJSON_AddNumberToObject(json, "runs", (double)l->s.n);
    }
    cJSON_AddNumberToObject(json, l->s.n ? "per_second" : "found", rate);
    cJSON_AddStringToObject(json, "unit", l->unit);
    if (l->floor > 0) {
        cJSON_AddNumberToObject(json, "floor", l->floor);
        cJSON_AddNumberToObject(json, "fraction", fraction);
        cJSON_AddStringToObject(json, "against", l->against);
    }
    if (t) {
        static const char *const names[] = {"fraction", "per_second", "seconds"};
        cJSON_AddStringToObject(json, "judged_by", l->s.n ? names[t->of] : "found");
        cJSON_AddNumberToObject(json, "least", t->least);
        cJSON_AddNumberToObject(json, "aim", t->aim);
    }
    cJSON_AddItemToArray(b->json, json);
}

/* Is a row asked for? --table takes "all" or numbers with commas. */
static bool wanted(const bench *b, int number)
{
    const char *at = b->o->table;
    if (!strcmp(at, "all")) return true;
    for (; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (atoi(at) == number) return true;
    return false;
}

/* Is any of these? Ended by 0. */
static bool any_wanted(const bench *b, const int *numbers)
{
    for (; *numbers; numbers++)
        if (wanted(b, *numbers)) return true;
    return false;
}

/* ---------------------------------------------------------------- decode -------------------------------- */

typedef struct decoding {
    tsr_drill *drill;
    int64_t context, n_steps;
} decoding;

static tsr_status run_decode(bench *b, void *what, double *seconds)
{
    const decoding *d = what;
    (void)b;
    tsr_status status = tsr_drill_decode(d->drill, d->context, d->n_steps, seconds);
    *seconds /= (double)d->n_steps;
    return status;
}

double decode_floor(const bench *b, int64_t batch, double context, double read, double product)
{
    tsr_plan p = tsr_engine_memory(b->engine);
    const tsr_counter *c;
    double flops = 0, weights = (double)p.weight_step_bytes / read;
    for (int i = 0; (c = tsr_engine_counter(b->engine, i)); i++)
        if (!strcmp(c->name, "linear")) flops = c->flops;
    double multiply = flops / product;
    return (weights > multiply ? weights : multiply) +
           (double)batch * (2.0 * (double)p.state_bytes + context * (double)p.kv_bytes_per_token) / read;
}

tsr_status count_step(bench *b, tsr_drill *drill, int64_t context)
{
    double ignored;
    tsr_engine_counters_clear(b->engine);
    tsr_status status = tsr_engine_profile(b->engine, 1);
    if (!status) status = tsr_drill_decode(drill, context, 1, &ignored);
    return status ? status : tsr_engine_profile(b->engine, 0);
}

static tsr_status row_decode(bench *b, int number, int64_t batch, int64_t context, bool fp8)
{
    decoding d = {.context = context, .n_steps = STEPS};
    roof read = {.n = 0}, product = {.n = 0}, *of_fp8 = fp8 ? &product : NULL,
         *of_bf16 = fp8 ? NULL : &product;
    char what[48];
    snprintf(what, sizeof what, "decode, batch %lld, %s", (long long)batch, fp8 ? "FP8" : "BF16");
    line l = {.number = number, .what = what, .unit = "tok/s", .units = (double)batch, .against = "reading"};
    tsr_status status = tsr_drill_open(&d.drill, b->engine, batch, context + STEPS);
    if (!status) status = look(b, &read, of_fp8, of_bf16);
    if (!status) status = measure_runs(b, &l.s, run_decode, &d);
    if (!status) status = look(b, &read, of_fp8, of_bf16);
    tsr_drill_info info = {0};
    if (!status) info = tsr_drill_about(d.drill);
    double host = info.host_seconds / STEPS;
    if (!status) status = count_step(b, d.drill, context);
    if (!status) {
        l.floor = decode_floor(b, batch, (double)(context + STEPS / 2), height(&read), height(&product));
        show_line(b, &l);
        snprintf(what, sizeof what, "the host's part, %lld kernels", (long long)info.n_launches);
        if (batch == 1)
            show_line(b, &(line){.number = fp8 ? 17 : 0,
                                 .what = what,
                                 .unit = "step/s",
                                 .units = 1,
                                 .s = {host, host, host, 1}});
    }
    tsr_drill_close(d.drill);
    return status;
}

/* The mixers' part of a step: state in and out, beside copying as many bytes. */
static tsr_status row_mixer(bench *b, int64_t batch)
{
    decoding d = {.context = CONTEXT, .n_steps = STEPS};
    double copy = 0, ignored, seconds = 0, bytes = 0;
    int64_t calls = 0;
    const tsr_counter *c;
    char what[48];
    tsr_status status = tsr_drill_open(&d.drill, b->engine, batch, CONTEXT + STEPS);
    if (!status) status = tsr_engine_ceiling(b->engine, TSR_COPY_RATE, &copy);
    if (!status) status = run_decode(b, &d, &ignored);
    if (!status) status = tsr_engine_profile(b->engine, 1);
    if (!status) status = run_decode(b, &d, &ignored);
    for (int i = 0; !status && (c = tsr_engine_part(b->engine, i)); i++)
        if (!strncmp(c->name, "mamba_mix", 9)) seconds += c->seconds, bytes += c->bytes, calls += c->calls;
    if (!status) status = tsr_engine_profile(b->engine, 0);
    if (!status && calls) {
        double each = seconds / (double)calls;
        snprintf(what, sizeof what, "mixer, batch %lld, one layer", (long long)batch);
        show_line(b, &(line){.number = 5,
                             .what = what,
                             .unit = "step/s",
                             .units = (double)batch,
                             .against = "copying",
                             .s = {each, each, each, calls},
                             .floor = bytes / (double)calls / copy});
    }
    tsr_drill_close(d.drill);
    return status;
}

/* ---------------------------------------------------------------- prefill ------------------------------- */

typedef struct prompt {
    const int32_t *ids;
    int64_t n_rows;
} prompt;

static tsr_status run_prefill(bench *b, void *what, double *seconds)
{
    const prompt *p = what;
    return prefill_once(b, p->ids, p->n_rows, seconds);
}

double useful_flops(const bench *b)
{
    const tsr_counter *c;
    double sum = 0;
    for (int i = 0; (c = tsr_engine_counter(b->engine, i)); i++)
        if (strcmp(c->name, "norm") && strcmp(c->name, "gated_norm") && strcmp(c->name, "conv"))
            sum += c->flops;
    return sum;
}

static tsr_status row_prefill(bench *b, int number, int64_t n_rows, bool fp8)
{
    roof product = {.n = 0}, *of_fp8 = fp8 ? &product : NULL, *of_bf16 = fp8 ? NULL : &product;
    char what[48];
    snprintf(what, sizeof what, "prefill, %lld rows, %s", (long long)n_rows, fp8 ? "FP8" : "BF16");
    line l = {.number = number,
              .what = what,
              .unit = "row/s",
              .units = (double)n_rows,
              .against = fp8 ? "FP8 8192^3" : "BF16 8192^3"};
    int32_t *ids = made_up_ids(b, n_rows + 1);
    if (!ids) return TSR_E_NOMEM;
    prompt p = {ids, n_rows};
    tsr_status status = look(b, NULL, of_fp8, of_bf16);
    if (!status) status = measure_runs(b, &l.s, run_prefill, &p);
    l.floor = useful_flops(b); /* of the last run */
    if (!status) status = look(b, NULL, of_fp8, of_bf16);
    l.floor /= status ? 1 : height(&product);
    free(ids);
    if (!status) show_line(b, &l);
    return status;
}

/* One layer's mixer alone (the scan with its convolution, gate and norm), and beside it the mixers' part of a long
 * prompt, whose rows come in steps and between products, which take the clocks down. */
static tsr_status row_scan(bench *b)
{
    enum { BYTES = 72000, RUNS = 30 }; /* BYTES of a row and layer: x, B, C, dt and z read, y written */
    double read = 0, ignored, seconds = 0, times[RUNS];
    int64_t calls = 0, n_layers = 0;
    const tsr_counter *c;
    for (const char *at = tsr_model_about(b->model)->pattern; *at; at++) n_layers += *at == 'M';
    if (!n_layers) return TSR_OK;
    tsr_status status = tsr_engine_read_rate(b->engine, &read);
    if (!status) status = tsr_engine_mixer(b->engine, LONG_PROMPT, RUNS, times);
    if (status) return status;
    line l = {.number = 9,
              .what = "mixer, 65536 rows, one layer, alone",
              .unit = "row/s",
              .units = LONG_PROMPT,
              .floor = (double)LONG_PROMPT * BYTES / read,
              .against = "reading"};
    l.s.median = median(times, RUNS);
    l.s.p10 = times[RUNS / 10], l.s.p90 = times[RUNS - 1 - RUNS / 10], l.s.n = RUNS;
    show_line(b, &l);

    int32_t *ids = made_up_ids(b, LONG_PROMPT + 1);
    if (!ids) return TSR_E_NOMEM;
    status = tsr_engine_profile(b->engine, 1);
    if (!status) status = prefill_once(b, ids, LONG_PROMPT, &ignored);
    for (int i = 0; !status && (c = tsr_engine_part(b->engine, i)); i++)
        if (!strncmp(c->name, "mamba_mix", strlen("mamba_mix"))) seconds += c->seconds, calls += c->calls;
    if (!status) status = tsr_engine_profile(b->engine, 0);
    free(ids);
    if (status || !calls) return status;
    double each = seconds / (double)n_layers;
    l.number = 0;
    l.what = "the same within a prompt, by marks";
    l.s = (stats){each, each, each, calls};
    show_line(b, &l);
    return TSR_OK;
}

/* ---------------------------------------------------------------- vision -------------------------------- */

typedef struct looking {
    int64_t n_tiles;
    int project;
} looking;

static tsr_status run_vision(bench *b, void *what, double *seconds)
{
    const looking *v = what;
    tsr_engine_counters_clear(b->engine);
    return tsr_engine_vision(b->engine, v->n_tiles, v->project, seconds);
}

static tsr_status row_vision(bench *b, int number, int64_t n_tiles, bool fp8)
{
    roof linear = {.n = 0}, other = {.n = 0};
    looking v = {n_tiles, 0};
    char what[48];
    const tsr_counter *c;
    double products = 0, attention = 0;
    snprintf(what, sizeof what, "vision, %lld tiles, %s", (long long)n_tiles, fp8 ? "FP8" : "BF16");
    line l = {
        .number = number, .what = what, .unit = "tile/s", .units = (double)n_tiles, .against = "8192^3"};
    tsr_status status = look(b, NULL, fp8 ? &linear : NULL, &other);
    if (!status) status = measure_runs(b, &l.s, run_vision, &v);
    for (int i = 0; !status && (c = tsr_engine_counter(b->engine, i)); i++) {
        if (!strcmp(c->name, "linear")) products += c->flops;
        if (!strcmp(c->name, "attend")) attention += c->flops;
    }
    if (!status) status = look(b, NULL, fp8 ? &linear : NULL, &other);
    if (status) return status;
    l.floor = products / height(fp8 ? &linear : &other) + attention / height(&other);
    show_line(b, &l);
    return TSR_OK;
}

/* ---------------------------------------------------------------- a page -------------------------------- */

typedef struct page {
    const char *name;
    unsigned char *data;
    size_t bytes;
    int32_t *ids;             /* the page's rows and the tag that ends them, then the question */
    int64_t n_rows, n_page;   /* of the picture; with the tag */
    tsr_session *kept;        /* has read the page */
    double cut, vision, read; /* of the last run */
} page;

static void make_up_prompt(page *p)
{
    for (int64_t i = 0; i < p->n_page + QUESTION; i++)
        p->ids[i] = i < p->n_rows ? (int32_t)(-1 - i) : (int32_t)(11 + 7 * (i - p->n_rows));
}

static tsr_status open_page(bench *b, page *p, tsr_image **image)
{
    tsr_image_opts opts = {.min_tiles = PAGE_TILES - 1, .max_tiles = PAGE_TILES - 1};
    return tsr_image_read(image, b->model, p->data, p->bytes, p->name, &opts);
}

static tsr_status answer_once(tsr_session *session)
{
    tsr_generate_opts g = {.max_tokens = 1, .ignore_stop_ids = 1};
    return tsr_session_generate(session, &g, NULL);
}

/* JPEG bytes in memory to the first id in memory. */
static tsr_status run_first(bench *b, void *what, double *seconds)
{
    page *p = what;
    tsr_image *image = NULL;
    tsr_session *session = NULL;
    tsr_engine_counters_clear(b->engine);
    double began = seconds_now();
    tsr_status status = open_page(b, p, &image);
    p->cut = seconds_now() - began;
    const tsr_image *const images[] = {image};
    if (!status) status = tsr_session_open(&session, b->engine);
    if (!status) status = tsr_session_add_ids(session, p->ids, p->n_page + QUESTION, images, 1);
    if (!status) status = answer_once(session);
    *seconds = seconds_now() - began;
    if (!status) {
        p->vision = tsr_session_about(session).vision_seconds;
        p->read = tsr_session_about(session).prefill_seconds;
    }
    tsr_session_close(session);
    tsr_image_close(image);
    return status;
}

/* Another question about a page that was read. */
static tsr_status run_second(bench *b, void *what, double *seconds)
{
    page *p = what;
    tsr_session *session = NULL;
    tsr_engine_counters_clear(b->engine);
    double began = seconds_now();
    tsr_status status = tsr_session_fork(&session, p->kept);
    if (!status) status = tsr_session_add_ids(session, p->ids + p->n_page, QUESTION, NULL, 0);
    if (!status) status = answer_once(session);
    *seconds = seconds_now() - began;
    tsr_session_close(session);
    return status;
}

static tsr_status read_page(bench *b, page *p)
{
    tsr_image *image = NULL;
    tsr_status status = open_page(b, p, &image);
    const tsr_image *const images[] = {image};
    if (!status) status = tsr_session_open(&p->kept, b->engine);
    if (!status) status = tsr_session_add_ids(p->kept, p->ids, p->n_page, images, 1);
    if (!status) status = tsr_session_read(p->kept, NULL, NULL);
    tsr_image_close(image);
    return status;
}

/* FLOPs of a page's tiles, projector included; they are multiplied in bf16. */
static tsr_status count_tiles(bench *b, double *flops)
{
    looking v = {PAGE_TILES, 1};
    double ignored;
    tsr_status status = run_vision(b, &v, &ignored);
    *flops = useful_flops(b);
    return status;
}

static tsr_status row_page(bench *b)
{
    char path[4096];
    roof read = {.n = 0}, fp8 = {.n = 0}, bf16 = {.n = 0};
    double tiles = 0, rest = 0;
    page p = {.name = b->o->n_images ? b->o->images[0] : path};
    if (!b->o->n_images) snprintf(path, sizeof path, "%s/page.jpg", samples_path() ? samples_path() : ".");
    p.data = (unsigned char *)read_text(p.name, &p.bytes);
    if (!p.data) return TSR_OK; /* which was said */
    tsr_image *image = NULL;
    tsr_status status = open_page(b, &p, &image);
    if (!status) p.n_rows = tsr_image_about(image)->n_tokens;
    tsr_image_close(image);
    p.n_page = p.n_rows + TAG;
    p.ids = malloc((size_t)(p.n_page + QUESTION) * sizeof *p.ids);
    if (!status && !p.ids) status = TSR_E_NOMEM;
    if (!status) make_up_prompt(&p);
    line first = {.number = 11,
                  .what = "first token, 13-tile JPEG page",
                  .unit = "page/s",
                  .units = 1,
                  .against = "8192^3"};
    line second = {
        .number = 111, .what = "second question about it", .unit = "/s", .units = 1, .against = "reading"};
    if (!status) status = count_tiles(b, &tiles);
    if (!status) status = look(b, &read, &fp8, &bf16);
    if (!status) status = measure_runs(b, &first.s, run_first, &p);
    rest = useful_flops(b) - tiles;
    if (!status) status = look(b, &read, &fp8, &bf16);
    if (!status) first.floor = tiles / height(&bf16) + rest / height(&fp8);
    if (!status) show_line(b, &first);
    if (!status && !b->o->json)
        printf("    of it %.1f ms decoding and cutting, %.1f ms vision and projector, %.1f ms %lld rows\n",
               1e3 * p.cut, 1e3 * p.vision, 1e3 * p.read, (long long)p.n_page + QUESTION);
    if (!status) status = read_page(b, &p);
    if (!status) status = measure_runs(b, &second.s, run_second, &p);
    if (!status) second.floor = decode_floor(b, 1, (double)p.n_page, height(&read), height(&fp8));
    if (!status) show_line(b, &second);
    tsr_session_close(p.kept);
    free(p.ids);
    free(p.data);
    return status;
}

/* Pages a second with 128 at once and 256 tokens each: the parts, one after the other. */
static tsr_status row_pages(bench *b)
{
    enum { AT_ONCE = 128, TOKENS = 256, PAGE_ROWS = 3490 };
    looking v = {PAGE_TILES, 1};
    decoding d = {.context = PAGE_ROWS + TOKENS / 2, .n_steps = STEPS};
    stats vision = {0}, step = {0}, read = {0};
    int32_t *ids = made_up_ids(b, PAGE_ROWS + 1);
    if (!ids) return TSR_E_NOMEM;
    prompt p = {ids, PAGE_ROWS};
    roof reading = {.n = 0}, fp8 = {.n = 0}, bf16 = {.n = 0};
    double tiles = 0, rows = 0, steps = (double)TOKENS / AT_ONCE; /* that a page has to itself */
    tsr_status status = look(b, &reading, &fp8, &bf16);
    if (!status) status = measure_runs(b, &vision, run_vision, &v);
    if (!status) status = count_tiles(b, &tiles);
    if (!status) status = measure_runs(b, &read, run_prefill, &p);
    rows = useful_flops(b); /* of the last run */
    if (!status) status = tsr_drill_open(&d.drill, b->engine, AT_ONCE, d.context + STEPS);
    if (!status) status = measure_runs(b, &step, run_decode, &d);
    if (!status) status = count_step(b, d.drill, d.context);
    if (!status) status = look(b, &reading, &fp8, &bf16);
    tsr_drill_close(d.drill);
    free(ids);
    if (status) return status;
    double each = vision.median + read.median + step.median * steps;
    double step_floor = decode_floor(b, AT_ONCE, (double)d.context, height(&reading), height(&fp8));
    show_line(b, &(line){.number = 12,
                         .what = "a page and 256 tokens, 128 at once",
                         .unit = "page/s",
                         .units = 1,
                         .against = "8192^3, reading",
                         .floor = tiles / height(&bf16) + rows / height(&fp8) + step_floor * steps,
                         .s = {each, each, each, step.n}});
    if (!b->o->json)
        printf("    composed: %.1f ms vision and projector, %.1f ms %d rows, %.1f ms of steps of 128\n",
               1e3 * vision.median, 1e3 * read.median, PAGE_ROWS, 1e3 * step.median * steps);
    return TSR_OK;
}

/* ---------------------------------------------------------------- the rows ------------------------------ */

/* An engine of these sizes, with what else was asked for. */
static tsr_status open_part(bench *b, int64_t n_sessions, int64_t n_ctx, bool no_spare)
{
    tsr_engine_opts o = b->o->engine;
    o.n_sessions = n_sessions;
    o.n_ctx = n_ctx;
    o.no_spare = no_spare;
    if (!o.max_rows) o.max_rows = STEP_ROWS;
    tsr_engine_close(b->engine);
    b->engine = NULL;
    return tsr_engine_open(&b->engine, b->model, &o);
}

enum { LONG_CONTEXT = 8192 };

/* What plan finds for sequences of LONG_CONTEXT, in so much memory; 0: the device's own. */
static tsr_status plan_long(const bench *b, tsr_plan *p, int64_t memory_bytes)
{
    tsr_model_opts opts = b->o->model_opts;
    tsr_engine_opts o = b->o->engine;
    opts.synthetic_dtype = 2;
    o.n_ctx = LONG_CONTEXT;
    o.memory_bytes = memory_bytes;
    return tsr_plan_model(p, tsr_model_about(b->model)->path, &opts, &o);
}

static tsr_status row_room(bench *b)
{
    tsr_plan p;
    tsr_status status = plan_long(b, &p, 0);
    if (!status)
        show_line(b, &(line){.number = 16,
                             .what = "sequences of 8192 at once",
                             .unit = "seqs",
                             .units = (double)p.sessions_that_fit});
    return status;
}

/* They decode: as many as fit beside a 64th of the memory, which the device itself and the ceilings take, or fewer. */
static tsr_status row_crowd(bench *b)
{
    tsr_plan p;
    tsr_status status = plan_long(b, &p, 0);
    if (!status) status = plan_long(b, &p, p.memory_bytes - p.memory_bytes / 64);
    if (status) return status;
    int64_t n = p.sessions_that_fit + 1;
    do status = open_part(b, --n, LONG_CONTEXT, true);
    while (status == TSR_E_NOMEM && n > 1);
    return status ? status : row_decode(b, 116, n, LONG_CONTEXT - STEPS, true);
}

static tsr_status decode_rows(bench *b)
{
    tsr_status status = open_part(b, 256, CONTEXT + 2 * STEPS, false);
    if (!status && (wanted(b, 1) || wanted(b, 17))) status = row_decode(b, 1, 1, CONTEXT, true);
    if (!status && wanted(b, 3)) status = row_decode(b, 3, 64, CONTEXT, true);
    if (!status && wanted(b, 4)) status = row_decode(b, 4, 256, CONTEXT, true);
    if (!status && wanted(b, 5)) status = row_mixer(b, 64);
    return status;
}

static tsr_status prompt_rows(bench *b)
{
    tsr_status status = open_part(b, 2, LONG_PROMPT + QUESTION, false);
    if (!status && wanted(b, 6)) status = row_prefill(b, 0, 512, true);
    if (!status && wanted(b, 6)) status = row_prefill(b, 6, 3584, true);
    if (!status && wanted(b, 8)) status = row_prefill(b, 0, 8192, true);
    if (!status && wanted(b, 8)) status = row_prefill(b, 8, LONG_PROMPT, true);
    if (!status && wanted(b, 9)) status = row_scan(b);
    if (!status && wanted(b, 10)) status = row_vision(b, 0, PAGE_TILES, false);
    if (!status && wanted(b, 10)) status = row_vision(b, 10, 8 * PAGE_TILES, false);
    if (!status && wanted(b, 11)) status = row_page(b);
    return status;
}

static tsr_status page_rows(bench *b)
{
    tsr_status status = open_part(b, 128, PAGE_CONTEXT, false);
    return status ? status : row_pages(b);
}

static tsr_status bf16_rows(bench *b)
{
    tsr_status status = open_part(b, 1, PAGE_CONTEXT, false);
    if (!status && wanted(b, 2)) status = row_decode(b, 2, 1, CONTEXT, false);
    if (!status && wanted(b, 7)) status = row_prefill(b, 7, 3584, false);
    return status;
}

static tsr_status vision_rows(bench *b)
{
    tsr_status status = open_part(b, 1, CONTEXT, false);
    if (!status) status = row_vision(b, 0, PAGE_TILES, true);
    if (!status) status = row_vision(b, 110, 8 * PAGE_TILES, true);
    return status;
}

/* Rows that one made-up model serves, in the order in which engines of other sizes open on it. */
typedef struct group {
    const char *shape;
    int dtype; /* synthetic_dtype */
    const char *fp8_parts;
    struct part {
        int rows[8];
        tsr_status (*run)(bench *b);
    } parts[6]; /* the last is empty */
} group;

static const group groups[] = {
    {"8b-vlm",
     2,
     NULL,
     {{{1, 3, 4, 5, 17}, decode_rows},
      {{6, 8, 9, 10, 11}, prompt_rows},
      {{12}, page_rows},
      {{16}, row_room},
      {{116}, row_crowd}}},
    {"8b", 0, NULL, {{{2, 7}, bf16_rows}}},
    {"internvit-300m", 2, "vision,projector", {{{10}, vision_rows}}},
};

static int run_group(bench *b, const group *g)
{
    bool any = false;
    for (const struct part *p = g->parts; p->run; p++) any = any || any_wanted(b, p->rows);
    if (!any) return EXIT_DONE;
    tsr_model_opts opts = b->o->model_opts;
    opts.synthetic_dtype = g->dtype;
    if (g->fp8_parts) opts.fp8_parts = g->fp8_parts;
    double began = seconds_now();
    const char *shape = b->o->synthetic ? b->o->synthetic : g->shape;
    progress("making random weights");
    int code = report(tsr_model_synthetic(&b->model, shape, &opts));
    progress(NULL);
    if (!code)
        say("%s on %s, made up in %.1f s", shape, tsr_model_about(b->model)->backend, seconds_now() - began);
    for (const struct part *p = g->parts; !code && p->run; p++)
        if (any_wanted(b, p->rows)) code = report(p->run(b));
    tsr_engine_close(b->engine);
    tsr_model_close(b->model);
    b->engine = NULL;
    b->model = NULL;
    return code;
}

int run_table(bench *b)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0] && !code; i++) code = run_group(b, &groups[i]);
    return code;
}
