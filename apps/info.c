/* apps/info.c: `tessera info`: what a model is. */
#include <stdio.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/show.h"
#include "apps/term.h"

static void print_text(const tsr_model_info *a, const char *id)
{
    write_harmless(stdout, a->name, strlen(a->name), false);
    if (a->is_placeholder) printf(" (random weights)");
    printf("\n");
    if (a->card[0]) {
        write_harmless(stdout, a->card, strlen(a->card), true);
        printf("\n");
    }
    printf("  id             %s\n", id);
    printf("  parameters     %lld in %lld tensors, %s\n", (long long)a->parameters, (long long)a->tensors,
           a->weight_types);
    printf("  decoder        %lld layers %s, width %lld, vocabulary %lld\n", (long long)a->n_layers,
           a->pattern, (long long)a->d_model, (long long)a->n_vocab);
    if (a->has_vision)
        printf("  vision         %lld layers of width %lld, tiles of %lld, at most %lld, %lld rows each; "
               "projector %s\n",
               (long long)a->vision_layers, (long long)a->d_vision, (long long)a->tile_size,
               (long long)a->max_tiles, (long long)a->rows_per_tile, a->projector);
    printf("  context        %lld tokens\n", (long long)a->n_ctx);
    printf("  state          %lld bytes per session, in f32, and %lld per token\n", (long long)a->state_bytes,
           (long long)a->kv_bytes);
    printf("  prompt format  %s\n", a->chat_template);
    printf("  runs on        %s\n", a->backend);
}

static void print_json(const tsr_model_info *a, const char *id)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", a->name);
    cJSON_AddStringToObject(json, "id", id);
    cJSON_AddBoolToObject(json, "placeholder", a->is_placeholder);
    cJSON_AddStringToObject(json, "card", a->card);
    cJSON_AddNumberToObject(json, "parameters", (double)a->parameters);
    cJSON_AddNumberToObject(json, "tensors", (double)a->tensors);
    cJSON_AddStringToObject(json, "weights", a->weight_types);
    cJSON_AddNumberToObject(json, "layers", (double)a->n_layers);
    cJSON_AddStringToObject(json, "pattern", a->pattern);
    cJSON_AddNumberToObject(json, "d_model", (double)a->d_model);
    cJSON_AddNumberToObject(json, "vocabulary", (double)a->n_vocab);
    cJSON_AddNumberToObject(json, "context", (double)a->n_ctx);
    cJSON_AddNumberToObject(json, "state_bytes", (double)a->state_bytes);
    cJSON_AddNumberToObject(json, "kv_bytes_per_token", (double)a->kv_bytes);
    cJSON_AddBoolToObject(json, "vision", a->has_vision);
    cJSON_AddNumberToObject(json, "tile_size", (double)a->tile_size);
    cJSON_AddNumberToObject(json, "max_tiles", (double)a->max_tiles);
    cJSON_AddNumberToObject(json, "rows_per_tile", (double)a->rows_per_tile);
    cJSON_AddStringToObject(json, "projector", a->projector);
    cJSON_AddStringToObject(json, "prompt_format", a->chat_template);
    cJSON_AddStringToObject(json, "backend", a->backend);
    show_json(json, true);
}

int run_info(options *o)
{
    tsr_model *model = NULL;
    char id[65];
    int code = open_model(o, &model, NULL);
    if (!code) code = report(tsr_model_id(model, id, o->hash));
    if (!code && o->json) print_json(tsr_model_about(model), id);
    if (!code && !o->json) print_text(tsr_model_about(model), id);
    tsr_model_close(model);
    return finish_output(code);
}
