/* tests/device/teacher.c: what a decoder computes for given ids, the first ones at once and the others one by one.
 *
 *   teacher BACKEND MODEL IDS N_PROMPT OUT [DTYPE]
 *
 * IDS is a file of numbers with commas between. Every stage that the fused network shows ("lm.layer.NN",
 * "lm.logits") goes to OUT/STAGE.npy with one row per id, for tools/oracle_gpu.py to compare.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tessera.h"

enum { MAX_STAGES = 128, MAX_IDS = 1 << 16 };

typedef struct stage {
    char name[64];
    float *rows;
    int64_t n, cols;
} stage;

typedef struct record {
    stage stages[MAX_STAGES];
    int n;
    int64_t n_ids;
} record;

static void give_up(const char *why)
{
    fprintf(stderr, "teacher: %s\n", why);
    exit(1);
}

static void must(tsr_status status)
{
    if (status) give_up(tsr_message());
}

static void *checked(void *block)
{
    if (!block) give_up("no memory");
    return block;
}

static void keep(void *user, const char *name, const char *type, const int64_t *shape, int n_dims,
                 const void *data)
{
    record *r = user;
    stage *s = NULL;
    if (strcmp(type, "f32") != 0 || n_dims != 2) return;
    if (strcmp(name, "lm.logits") != 0 && (strncmp(name, "lm.layer.", 9) != 0 || strlen(name) != 11)) return;
    for (int i = 0; i < r->n && !s; i++)
        if (!strcmp(r->stages[i].name, name)) s = &r->stages[i];
    if (!s) {
        if (r->n == MAX_STAGES) give_up("more stages than expected");
        s = &r->stages[r->n++];
        snprintf(s->name, sizeof s->name, "%s", name);
        s->cols = shape[1];
        s->rows = checked(malloc((size_t)(r->n_ids * s->cols) * sizeof *s->rows));
    }
    if (s->n + shape[0] > r->n_ids) give_up("more rows than ids");
    memcpy(s->rows + s->n * s->cols, data, (size_t)(shape[0] * s->cols) * sizeof *s->rows);
    s->n += shape[0];
}

static int64_t read_ids(const char *path, int32_t *ids)
{
    FILE *f = checked(fopen(path, "r"));
    int64_t n = 0;
    int id;
    while (n < MAX_IDS && fscanf(f, "%d,", &id) == 1) ids[n++] = id;
    fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    static record r;
    static int32_t ids[MAX_IDS];
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: teacher BACKEND MODEL IDS N_PROMPT OUT [DTYPE]\n");
        return 2;
    }
    tsr_model *model;
    tsr_engine *engine;
    tsr_session *session;
    int64_t n_prompt = atoll(argv[4]);
    r.n_ids = read_ids(argv[3], ids);
    if (n_prompt < 1 || n_prompt > r.n_ids)
        give_up("as many ids as the prompt has rows, or more, are wanted");
    must(tsr_model_open(&model, argv[2],
                        &(tsr_model_opts){.backend = argv[1], .dtype = argc > 6 ? argv[6] : NULL}));
    must(tsr_engine_open(&engine, model, &(tsr_engine_opts){.n_ctx = r.n_ids + 1, .max_rows = n_prompt}));
    must(tsr_session_open(&session, engine));
    tsr_engine_trace(engine, keep, &r);
    for (int64_t done = 0; done < r.n_ids;) {
        int64_t n = done ? 1 : n_prompt;
        must(tsr_session_add_ids(session, ids + done, n, NULL, 0));
        must(tsr_session_read(session, NULL, NULL));
        done += n;
    }
    tsr_session_close(session);
    tsr_engine_close(engine);
    tsr_model_close(model);

    char path[4096];
    for (int i = 0; i < r.n; i++) {
        stage *s = &r.stages[i];
        if (s->n != r.n_ids) give_up("a stage was not shown for every row");
        snprintf(path, sizeof path, "%s/%s.npy", argv[5], s->name);
        must(tsr_array_write(path, "f32", (int64_t[]){s->n, s->cols}, 2, s->rows));
        free(s->rows);
    }
    printf("%d stages of %lld rows in %s\n", r.n, (long long)r.n_ids, argv[5]);
    return 0;
}
