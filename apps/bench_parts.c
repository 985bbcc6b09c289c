/* apps/bench_parts.c: where the time of a stage goes, op by op. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/bench.h"

enum { MAX_PARTS = 96 };

typedef struct part {
    char name[48];
    tsr_counter c;
} part;

static int longest_first(const void *a, const void *b)
{
    double x = ((const part *)a)->c.seconds, y = ((const part *)b)->c.seconds;
    return (x < y) - (x > y);
}

static void add_json(cJSON *to, const part *p, double runs)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "op", p->name);
    cJSON_AddNumberToObject(json, "calls", (double)p->c.calls / runs);
    cJSON_AddNumberToObject(json, "seconds", p->c.seconds / runs);
    cJSON_AddNumberToObject(json, "bytes", p->c.bytes / runs);
    cJSON_AddNumberToObject(json, "flops", p->c.flops / runs);
    cJSON_AddItemToArray(to, json);
}

void show_parts(bench *b, const row *of, int64_t runs)
{
    static part parts[MAX_PARTS];
    const tsr_counter *c;
    int n = 0;
    double sum = 0, r = (double)runs;
    for (; n < MAX_PARTS && (c = tsr_engine_part(b->engine, n)); n++) {
        parts[n].c = *c;
        snprintf(parts[n].name, sizeof parts[n].name, "%s", c->name);
        sum += c->seconds / r;
    }
    qsort(parts, (size_t)n, sizeof *parts, longest_first);
    if (b->o->json) {
        cJSON *json = cJSON_CreateObject(), *list = cJSON_CreateArray();
        cJSON_AddStringToObject(json, "stage", of->stage);
        cJSON_AddStringToObject(json, "what", of->what);
        for (int i = 0; i < n; i++) add_json(list, &parts[i], r);
        cJSON_AddItemToObject(json, "ops", list);
        cJSON_AddItemToArray(b->json, json);
        return;
    }
    printf("\n%s, %s: %.1f us; op by op, watched:\n", of->stage, of->what, 1e6 * of->seconds);
    printf("%-26s %6s %10s %10s %6s %7s %8s\n", "op", "calls", "us each", "us in all", "share", "GB/s",
           "TFLOP/s");
    for (int i = 0; i < n; i++) {
        const tsr_counter *p = &parts[i].c;
        printf("%-26s %6.0f %10.1f %10.1f %5.1f%% %7.0f %8.1f\n", parts[i].name, (double)p->calls / r,
               1e6 * p->seconds / (double)p->calls, 1e6 * p->seconds / r, 100 * p->seconds / r / sum,
               1e-9 * p->bytes / p->seconds, 1e-12 * p->flops / p->seconds);
    }
    printf("%-26s %6s %10s %10.1f\n\n", "sum", "", "", 1e6 * sum);
}
