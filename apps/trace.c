/* apps/trace.c: `tessera trace`: every named intermediate value as .npy. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/cli.h"
#include "apps/term.h"

typedef struct tracer {
    const char *directory;
    tsr_status failed; /* the first write that failed; its message stays the thread's last */
    int n_written;
} tracer;

static void write_one(void *user, const char *name, const char *type, const int64_t *shape, int n_dims,
                      const void *data)
{
    tracer *t = user;
    char path[PATH_MAX];
    if (t->failed) return;
    snprintf(path, sizeof path, "%s/%s.npy", t->directory, name);
    t->failed = tsr_array_write(path, type, shape, n_dims, data);
    t->n_written++;
}

/* "1,2,-3" to ids; NULL after a message. */
static int32_t *parse_ids(const char *text, int64_t *n_ids)
{
    int32_t *ids = malloc(sizeof *ids * (strlen(text) / 2 + 1));
    int64_t n = 0;
    for (const char *at = text; ids;) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || errno || id < INT32_MIN || id > INT32_MAX || (*end && *end != ',')) {
            complain("--ids: '%s' was found; whole numbers with commas between are wanted", text);
            free(ids);
            return NULL;
        }
        ids[n++] = (int32_t)id;
        if (!*end) break;
        at = end + 1;
    }
    *n_ids = n;
    return ids;
}

static tsr_status give(tsr_session *session, const options *o, tsr_image **images, const int32_t *ids,
                       int64_t n_ids)
{
    if (ids) return tsr_session_add_ids(session, ids, n_ids, (const tsr_image *const *)images, o->n_images);
    tsr_part *parts = calloc((size_t)o->n_images + 1, sizeof *parts);
    if (!parts) return TSR_E_NOMEM;
    for (int i = 0; i < o->n_images; i++) parts[i].image = images[i];
    parts[o->n_images].text = o->prompt;
    tsr_status status = tsr_session_say(session, TSR_USER, parts, o->n_images + 1);
    free(parts);
    return status;
}

int run_trace(options *o)
{
    if (!o->prompt == !o->ids) {
        complain("trace: one of -p TEXT and --ids 1,2,3 is wanted");
        return EXIT_USAGE;
    }
    if (!o->out) {
        complain("trace: -o DIR is wanted");
        return EXIT_USAGE;
    }
    int64_t n_ids = 0;
    int32_t *ids = NULL;
    if (o->ids && !(ids = parse_ids(o->ids, &n_ids))) return EXIT_USAGE;
    if (mkdir(o->out, 0777) && errno != EEXIST) {
        complain("%s: %s", o->out, strerror(errno));
        free(ids);
        return EXIT_FAILED;
    }

    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    tsr_session *session = NULL;
    tsr_image **images = calloc((size_t)o->n_images + 1, sizeof *images);
    tracer t = {.directory = o->out};
    o->engine.unfused = !o->fused;

    int code = images ? open_model(o, &model, &engine) : EXIT_FAILED;
    for (int i = 0; !code && i < o->n_images; i++)
        code = report(open_image(&images[i], model, o->images[i], &o->image));
    if (!code) code = report(tsr_session_open(&session, engine));
    if (!code) {
        tsr_engine_trace(engine, write_one, &t);
        code = report(give(session, o, images, ids, n_ids));
        term_interrupts(session);
        if (!code) code = report(tsr_session_read(session, show_progress, NULL));
        term_interrupts(NULL);
        if (!code) code = report(t.failed);
        if (!code) say("%d arrays in %s", t.n_written, o->out);
    }
    tsr_session_close(session);
    for (int i = 0; images && i < o->n_images; i++) tsr_image_close(images[i]);
    tsr_engine_close(engine);
    tsr_model_close(model);
    free(images);
    free(ids);
    return finish_output(code);
}
