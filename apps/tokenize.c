/* apps/tokenize.c: `tessera tokenize`: text to ids as JSON, and back. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/term.h"

static int encode(const tsr_model *model, const char *text, size_t bytes, bool special)
{
    int32_t *ids = NULL;
    int64_t n_ids = 0;
    tsr_status status = tsr_tokenize(model, &ids, &n_ids, text, bytes, special);
    if (status) return report(status);
    putchar('[');
    for (int64_t i = 0; i < n_ids; i++) printf(i ? ", %d" : "%d", ids[i]);
    puts("]");
    tsr_free(ids);
    return EXIT_DONE;
}

/* The ids of a JSON array of whole numbers; NULL after a message. */
static int32_t *read_ids(const char *text, int *n_ids)
{
    cJSON *json = cJSON_ParseWithOpts(text, NULL, true);
    int32_t *ids = cJSON_IsArray(json) ? malloc(sizeof *ids * ((size_t)cJSON_GetArraySize(json) + 1)) : NULL;
    int n = 0;
    if (ids) {
        const cJSON *item;
        cJSON_ArrayForEach(item, json)
        {
            if (!cJSON_IsNumber(item) || item->valuedouble != (double)item->valueint) break;
            ids[n++] = item->valueint;
        }
        if (n != cJSON_GetArraySize(json)) {
            free(ids);
            ids = NULL;
        }
    }
    cJSON_Delete(json);
    if (!ids) complain("--decode wants a JSON array of token ids");
    *n_ids = n;
    return ids;
}

static int decode(const tsr_model *model, const char *json, bool special)
{
    int n_ids;
    int32_t *ids = read_ids(json, &n_ids);
    if (!ids) return EXIT_FAILED;
    char *text = NULL;
    size_t bytes = 0;
    tsr_status status = tsr_detokenize(model, &text, &bytes, ids, n_ids, special);
    if (!status) {
        write_harmless(stdout, text, bytes, true);
        putchar('\n');
    }
    tsr_free(text);
    free(ids);
    return report(status);
}

int run_tokenize(options *o)
{
    if (o->n_images) {
        complain("tokenize: '%s' was found; text comes with -p, -f or standard input", o->images[0]);
        return EXIT_USAGE;
    }
    size_t bytes = o->prompt ? strlen(o->prompt) : 0;
    char *from_file = NULL;
    if (!o->prompt && !(from_file = read_text(o->prompt_file ? o->prompt_file : "-", &bytes)))
        return EXIT_FAILED;
    const char *text = from_file ? from_file : o->prompt;

    tsr_model *model = NULL;
    int code = open_model(o, &model, NULL);
    if (!code)
        code = o->decode_ids ? decode(model, text, o->special) : encode(model, text, bytes, o->special);
    tsr_model_close(model);
    free(from_file);
    return finish_output(code);
}
