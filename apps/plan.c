/* apps/plan.c: `tessera plan`: memory, before anything is loaded. */
#include <stdio.h>

#include "apps/cli.h"
#include "apps/show.h"
#include "apps/term.h"

static void line(const char *what, int64_t bytes)
{
    printf("  %-34s %14lld  %9.3f GiB\n", what, (long long)bytes, (double)bytes / (1 << 30));
}

static void print_text(const char *name, const tsr_plan *p)
{
    printf("%s, %lld tokens of context\n", name, (long long)p->n_ctx);
    line("weights, mapped from the file", p->weight_file_bytes);
    line("weights, in memory", p->weight_block_bytes);
    line("scratch", p->scratch_bytes);
    line("state, per session", p->state_bytes);
    line("keys and values, per token", p->kv_bytes_per_token);
    line("keys and values, per session", p->kv_bytes);
    printf("  %-34s %14lld\n", "sessions", (long long)p->n_sessions);
    line("total", p->total_bytes);
    line("memory", p->memory_bytes);
    printf("  %-34s %14lld\n", "sessions that fit", (long long)p->sessions_that_fit);
}

static void print_json(const char *name, const tsr_plan *p)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "model", name);
    cJSON_AddNumberToObject(json, "weight_file_bytes", (double)p->weight_file_bytes);
    cJSON_AddNumberToObject(json, "weight_block_bytes", (double)p->weight_block_bytes);
    cJSON_AddNumberToObject(json, "scratch_bytes", (double)p->scratch_bytes);
    cJSON_AddNumberToObject(json, "state_bytes", (double)p->state_bytes);
    cJSON_AddNumberToObject(json, "kv_bytes_per_token", (double)p->kv_bytes_per_token);
    cJSON_AddNumberToObject(json, "kv_bytes", (double)p->kv_bytes);
    cJSON_AddNumberToObject(json, "n_ctx", (double)p->n_ctx);
    cJSON_AddNumberToObject(json, "sessions", (double)p->n_sessions);
    cJSON_AddNumberToObject(json, "total_bytes", (double)p->total_bytes);
    cJSON_AddNumberToObject(json, "memory_bytes", (double)p->memory_bytes);
    cJSON_AddNumberToObject(json, "sessions_that_fit", (double)p->sessions_that_fit);
    show_json(json, true);
}

int run_plan(options *o)
{
    const char *name = o->synthetic ? o->synthetic : model_path(o);
    if (!name) return EXIT_FAILED;
    o->engine.memory_bytes = (int64_t)(o->memory_gib * (double)(1 << 30));
    tsr_plan plan;
    tsr_status status = tsr_plan_model(&plan, name, &o->model_opts, &o->engine);
    if (status) return report(status);
    if (o->json)
        print_json(name, &plan);
    else
        print_text(name, &plan);
    return finish_output(EXIT_DONE);
}
