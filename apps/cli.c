/* apps/cli.c: finding and opening the model, reading prompts and pictures. */
#include "apps/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/term.h"

enum { MAX_PROMPT_BYTES = 16 << 20, MAX_STDIN_IMAGE_BYTES = 64 << 20 };

static bool is_model(const char *path)
{
    char config[PATH_MAX];
    struct stat info;
    int length = snprintf(config, sizeof config, "%s/config.json", path);
    return length < PATH_MAX && !stat(config, &info);
}

/* `name` beside an installed program, or beside a program in the build tree. */
static const char *find_data(char found[PATH_MAX], const char *name, bool (*is_there)(const char *path))
{
    static const char *const places[] = {"../share/tessera", "assets", "../../../assets"};
    char path[PATH_MAX], program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return NULL;
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int used = snprintf(path, sizeof path, "%s/%s/%s", program, places[i], name);
        if (used < PATH_MAX && is_there(path) && realpath(path, found)) return found;
    }
    return NULL;
}

const char *model_path(const options *o)
{
    static char found[PATH_MAX];
    if (o->model) return o->model;
    const char *path = find_data(found, "default-model", is_model);
    if (!path) complain("no default model stands beside the program; name a checkpoint with -m");
    return path;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

const char *samples_path(void)
{
    static char found[PATH_MAX];
    return find_data(found, "samples", is_folder);
}

int report(tsr_status status)
{
    if (!status) return EXIT_DONE;
    progress(NULL);
    if (status == TSR_E_CANCELLED && term_interrupted()) return EXIT_INTERRUPTED;
    complain("%s", tsr_message());
    return EXIT_FAILED;
}

/* Whether weights, scratch and sessions fit on the device together, before any of it travels there. What fails for
 * another reason is left to the opening itself. */
static bool fits_device(const char *path, const options *o)
{
    tsr_plan p;
    if (tsr_plan_model(&p, path, &o->model_opts, &o->engine) || !p.free_bytes ||
        p.total_bytes <= p.free_bytes)
        return true;
    const double gib = 0x1p-30;
    complain(
        "%s takes %.3g GiB on the device: weights %.3g, scratch %.3g, %lld sessions of %lld tokens %.3g; "
        "%.3g of %.3g GiB are free; a smaller context (-c) takes less",
        path, (double)p.total_bytes * gib, (double)p.weight_block_bytes * gib, (double)p.scratch_bytes * gib,
        (long long)p.n_sessions, (long long)p.n_ctx,
        (double)(p.n_sessions * (p.state_bytes + p.kv_bytes)) * gib, (double)p.free_bytes * gib,
        (double)p.memory_bytes * gib);
    return false;
}

int open_model(const options *o, tsr_model **model, tsr_engine **engine)
{
    const char *path = model_path(o);
    if (!path || (engine && !fits_device(path, o))) return EXIT_FAILED;
    progress("loading %s", path);
    tsr_model_opts opts = o->model_opts;
    opts.on_load = show_load;
    tsr_status status = tsr_model_open(model, path, &opts);
    progress(NULL);
    if (status) return report(status);
    const tsr_model_info *about = tsr_model_about(*model);
    if (about->is_placeholder)
        say("%s holds random weights that stand in until a trained model is shipped: the words mean nothing",
            about->name);
    else
        say("%s on %s", about->name, about->backend);
    return engine ? report(tsr_engine_open(engine, *model, &o->engine)) : EXIT_DONE;
}

/* At most `limit` bytes of a stream, NUL behind them. */
static char *read_stream(FILE *from, const char *name, size_t limit, size_t *bytes)
{
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity + 1);
    while (text) {
        used += fread(text + used, 1, capacity - used, from);
        if (used < capacity) break;
        if (used > limit) {
            complain("%s: more than %zu bytes", name, limit);
            free(text);
            return NULL;
        }
        char *larger = realloc(text, 2 * capacity + 1);
        if (!larger) free(text);
        text = larger;
        capacity *= 2;
    }
    if (!text) {
        complain("%s: no memory", name);
        return NULL;
    }
    if (ferror(from)) {
        complain("%s: %s", name, strerror(errno));
        free(text);
        return NULL;
    }
    text[used] = '\0';
    *bytes = used;
    return text;
}

char *read_text(const char *path, size_t *bytes)
{
    if (!strcmp(path, "-")) return read_stream(stdin, "standard input", MAX_PROMPT_BYTES, bytes);
    FILE *from = fopen(path, "rb");
    if (!from) {
        complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = read_stream(from, path, MAX_PROMPT_BYTES, bytes);
    fclose(from);
    return text;
}

tsr_status open_image(tsr_image **out, const tsr_model *model, const char *path, const tsr_image_opts *opts)
{
    if (strcmp(path, "-")) return tsr_image_open(out, model, path, opts);
    size_t bytes;
    char *data = read_stream(stdin, "standard input", MAX_STDIN_IMAGE_BYTES, &bytes);
    if (!data) return tsr_image_read(out, model, "", 0, "standard input", opts);
    tsr_status status = tsr_image_read(out, model, data, bytes, "standard input", opts);
    free(data);
    return status;
}
