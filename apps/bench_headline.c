/* apps/bench_headline.c: `tessera bench --headline`: 65,536 tokens in, 1,024 out, the hybrid beside a Transformer.
 *
 * Both are ours: the same kernels and types, 32 layers of grouped-query attention and the same MLP against the
 * hybrid's 52, each at the largest batch that fits the device. Throughput is B * 1,024 tokens over the time in which
 * B prompts are read one after the other and 1,024 steps give a token each. Reading B prompts takes minutes and each
 * takes as long as the first, so one is read for real; steps are timed at the first and the last context, between which
 * their cost is a straight line, with made-up states. Ceilings are measured before and after, in each one's own engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/bench.h"
#include "apps/term.h"

enum { PROMPT = 65536, ANSWER = 1024, STEP_ROWS = 8192, STEPS = 6, N_CONTEXTS = 2 };

typedef struct contender {
    const char *name, *shape;
    tsr_plan plan; /* of the engine at its largest batch */
    double prefill;
    double step;        /* at the largest batch, on average along the answer */
    double rate;        /* tokens out per second */
    roof read, product; /* bytes and FLOP per second, around both */
    double prompt_flops, prefill_floor, step_floor, rate_floor;
} contender;

static double throughput(int64_t batch, double prefill, double step)
{
    return (double)(batch * ANSWER) / ((double)batch * prefill + ANSWER * step);
}

/* An engine with as many sessions as fit: plan's figure, or fewer, as the device keeps some memory for itself and the
 * matrix library's algorithms are chosen in what is left. */
static tsr_status open_largest(bench *b, contender *c)
{
    tsr_plan plan = {0};
    tsr_engine_opts o = b->o->engine;
    o.n_ctx = PROMPT + ANSWER;
    o.no_spare = 1;
    if (!o.max_rows) o.max_rows = STEP_ROWS;
    tsr_status status = tsr_plan_model(&plan, c->shape, &b->o->model_opts, &o);
    o.memory_bytes = plan.memory_bytes - ((int64_t)2 << 30);
    if (!status) status = tsr_plan_model(&plan, c->shape, &b->o->model_opts, &o);
    if (status) return status;
    o.n_sessions = b->o->batch ? b->o->batch : plan.sessions_that_fit;
    do status = tsr_engine_open(&b->engine, b->model, &o);
    while (status == TSR_E_NOMEM && --o.n_sessions > 0);
    if (!status) c->plan = tsr_engine_memory(b->engine);
    return status;
}

static tsr_status look_up(bench *b, contender *c)
{
    bool fp8 = b->o->model_opts.synthetic_dtype != 0;
    return look(b, &c->read, fp8 ? &c->product : NULL, fp8 ? NULL : &c->product);
}

static tsr_status read_prompt(bench *b, contender *c)
{
    enum { RUNS = 2, LONG = 5 };
    double times[RUNS] = {0}, ignored;
    int n = 0;
    int32_t *ids = made_up_ids(b, PROMPT + 1);
    if (!ids) return TSR_E_NOMEM;
    tsr_status status = prefill_once(b, ids, PROMPT / 4, &ignored);
    for (; n < RUNS && times[0] < LONG && !status; n++) {
        progress("%s: a prompt of %d", c->name, PROMPT);
        status = prefill_once(b, ids, PROMPT, &times[n]);
    }
    free(ids);
    c->prompt_flops = useful_flops(b);
    c->prefill = status ? 0 : median(times, n);
    return status;
}

/* Seconds of a step, from the first token of the answer to the last; the counters hold one in its middle. */
static tsr_status time_steps(bench *b, int64_t batch, double *step)
{
    tsr_drill *drill = NULL;
    double sum = 0, seconds;
    tsr_status status = tsr_drill_open(&drill, b->engine, batch, PROMPT + ANSWER - STEPS);
    if (!status) status = tsr_drill_decode(drill, PROMPT, 3, &seconds);
    for (int i = 0; i < N_CONTEXTS && !status; i++) {
        status = tsr_drill_decode(drill, PROMPT + i * (ANSWER - STEPS) / (N_CONTEXTS - 1), STEPS, &seconds);
        sum += seconds / STEPS;
    }
    if (!status) status = count_step(b, drill, PROMPT + ANSWER / 2);
    tsr_drill_close(drill);
    *step = sum / N_CONTEXTS;
    return status;
}

static const char *weights_of(const bench *b)
{
    return b->o->model_opts.synthetic_dtype ? "FP8" : "BF16";
}

static cJSON *point(int64_t batch, double step, double rate)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "batch", (double)batch);
    cJSON_AddNumberToObject(json, "step", step);
    cJSON_AddNumberToObject(json, "per_second", rate);
    return json;
}

/* The rate at batches of 1, 4, 16 ... and at the largest, which counts. */
static tsr_status climb(bench *b, contender *c, cJSON *points)
{
    int64_t most = c->plan.n_sessions;
    tsr_status status = TSR_OK;
    for (int64_t batch = 1; !status; batch = 4 * batch < most ? 4 * batch : most) {
        progress("%s: steps of %lld", c->name, (long long)batch);
        status = time_steps(b, batch, &c->step);
        c->rate = throughput(batch, c->prefill, c->step);
        if (!status) cJSON_AddItemToArray(points, point(batch, c->step, c->rate));
        if (batch == most) break;
    }
    return status;
}

/* What the same batch cannot beat; the counters hold a step of it. */
static void set_floors(bench *b, contender *c)
{
    double read = height(&c->read), product = height(&c->product);
    c->prefill_floor = c->prompt_flops / product;
    c->step_floor = decode_floor(b, c->plan.n_sessions, PROMPT + ANSWER / 2, read, product);
    c->rate_floor = throughput(c->plan.n_sessions, c->prefill_floor, c->step_floor);
}

static void show_contender(bench *b, const contender *c, cJSON *points)
{
    double each = (double)(c->plan.state_bytes + c->plan.kv_bytes);
    if (!b->o->json)
        printf("%-12s %6lld %12.3f GB %12.3f s %12.3f ms %12.1f tok/s, %.2f of %.1f\n", c->name,
               (long long)c->plan.n_sessions, 1e-9 * each, c->prefill, 1e3 * c->step, c->rate,
               c->rate / c->rate_floor, c->rate_floor);
    fflush(stdout);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "headline", c->name);
    cJSON_AddStringToObject(json, "shape", c->shape);
    cJSON_AddStringToObject(json, "backend", tsr_model_about(b->model)->backend);
    cJSON_AddStringToObject(json, "weights", weights_of(b));
    cJSON_AddStringToObject(json, "pattern", tsr_model_about(b->model)->pattern);
    cJSON_AddNumberToObject(json, "tokens_in", PROMPT);
    cJSON_AddNumberToObject(json, "tokens_out", ANSWER);
    cJSON_AddNumberToObject(json, "batch", (double)c->plan.n_sessions);
    cJSON_AddNumberToObject(json, "bytes_per_sequence", each);
    cJSON_AddNumberToObject(json, "prefill", c->prefill);
    cJSON_AddNumberToObject(json, "step", c->step);
    cJSON_AddNumberToObject(json, "per_second", c->rate);
    cJSON_AddNumberToObject(json, "prefill_floor", c->prefill_floor);
    cJSON_AddNumberToObject(json, "step_floor", c->step_floor);
    cJSON_AddNumberToObject(json, "fraction", c->rate / c->rate_floor);
    cJSON_AddItemToObject(json, "points", points);
    cJSON_AddItemToArray(b->json, json);
}

static tsr_status run_contender(bench *b, contender *c)
{
    tsr_model_opts opts = b->o->model_opts;
    cJSON *points = cJSON_CreateArray();
    progress("%s: random weights", c->name);
    tsr_status status = tsr_model_synthetic(&b->model, c->shape, &opts);
    if (!status) status = open_largest(b, c);
    if (!status) status = look_up(b, c);
    if (!status) status = read_prompt(b, c);
    if (!status) status = climb(b, c, points);
    if (!status) status = look_up(b, c);
    if (!status) set_floors(b, c);
    progress(NULL);
    if (status)
        cJSON_Delete(points);
    else
        show_contender(b, c, points);
    tsr_engine_close(b->engine);
    tsr_model_close(b->model);
    b->engine = NULL;
    b->model = NULL;
    return status;
}

int run_headline(bench *b)
{
    static const double least = 2.3, aim = 2.8, least_rate = 400, aim_rate = 550;
    contender both[] = {{.name = "hybrid", .shape = "8b"}, {.name = "Transformer", .shape = "t8b"}};
    if (!b->o->json)
        printf("%d tokens in, %d out, %s weights, largest batch that fits\n%-12s %6s %15s %14s %15s %18s  of "
               "its floors\n",
               PROMPT, ANSWER, weights_of(b), "", "batch", "each sequence", "read a prompt", "a step", "out");
    tsr_status status = run_contender(b, &both[0]);
    if (!status) status = run_contender(b, &both[1]);
    if (status) return report(status);
    double ratio = both[0].rate / both[1].rate;
    if (!b->o->json)
        printf(
            "the hybrid is %.2f times as fast (at least %g: %s, aim %g: %s; %g tok/s: %s, aim %g: %s)\n"
            "floors: useful FLOP at the rate of 8192^3, bytes that a step must move at the rate of reading\n"
            "composed: one prompt read for real, steps timed at %d contexts, %lld and %lld prompts one "
            "after the other\n",
            ratio, least, ratio >= least ? "yes" : "NO", aim, ratio >= aim ? "yes" : "no", least_rate,
            both[0].rate >= least_rate ? "yes" : "NO", aim_rate, both[0].rate >= aim_rate ? "yes" : "no",
            N_CONTEXTS, (long long)both[0].plan.n_sessions, (long long)both[1].plan.n_sessions);
    return EXIT_DONE;
}
