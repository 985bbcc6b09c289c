/* runtime/calibrate.c: sequences from files, through the engine, and the largest input of every linear. */
#include "runtime/calibrate.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"

enum {
    MAX_TEXT_BYTES = 64 << 20, /* of one file */
    ANSWER_TOKENS = 32,        /* said about a picture, so that decoding is seen too */
    LONGEST_PIECE = 4096,      /* bytes of a line that become one sequence */
    FORMAT_TOKENS = 64,        /* left for what a prompt format adds */
    FEW_SEQUENCES = 128        /* fewer are worth a warning */
};

static const char picture_prompt[] = "Describe this image.";

/* ---------------------------------------------------------------- what is seen -------------------------- */

static float max_of(tsr_view x)
{
    float amax = 0;
    for (int64_t r = 0; r < x.rows; r++) {
        const void *row = tsr_row(x, r);
        for (int64_t c = 0; c < x.cols; c++) {
            float value = fabsf(tsr_load(row, x.type, c));
            if (!(value <= amax)) amax = isfinite(value) ? value : INFINITY;
        }
    }
    return amax;
}

static void keep(tsr_calibration *c, const char *name, float amax)
{
    for (int64_t i = 0; i < c->n_maxima; i++) {
        if (strcmp(c->maxima[i].name, name)) continue;
        c->maxima[i].amax = fmaxf(c->maxima[i].amax, amax);
        return;
    }
    void *maxima = c->maxima;
    if (!tsr_grow(&maxima, &c->capacity, c->n_maxima + 1, sizeof *c->maxima)) {
        tsr_queue_fail(c->engine->queue, TSR_E_NOMEM, "no memory for the calibration of %s", name);
        return;
    }
    c->maxima = maxima;
    c->maxima[c->n_maxima++] = (tsr_input_max){name, amax};
}

float tsr_calibration_max(const tsr_calibration *c, const char *name)
{
    for (int64_t i = 0; i < c->n_maxima; i++)
        if (!strcmp(c->maxima[i].name, name)) return c->maxima[i].amax;
    return 0;
}

static void see_linear(void *user, const tsr_weight *w, tsr_view x)
{
    tsr_calibration *c = user;
    c->last = w->name;
    keep(c, w->name, max_of(x));
}

/* They come between the product that makes them and the next one. */
static void see_keys(void *user, tsr_view k, tsr_view v)
{
    tsr_calibration *c = user;
    int layer;
    if (sscanf(c->last, "lm.layer.%d.qkv", &layer) != 1) return;
    c->k_max[layer] = fmaxf(c->k_max[layer], max_of(k));
    c->v_max[layer] = fmaxf(c->v_max[layer], max_of(v));
}

static bool chose(tsr_view ids, int64_t row, int64_t expert)
{
    const int32_t *chosen = tsr_row(ids, row);
    for (int64_t i = 0; i < ids.cols; i++)
        if (chosen[i] == expert) return true;
    return false;
}

/* What the rows that chose expert e give to its second matrix; 0 when none did. */
static float max_hidden(tsr_queue *q, const tsr_weight *up, int64_t e, tsr_view t, tsr_view ids)
{
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view rows = tsr_scratch(q, t.type, t.rows, t.cols), h = tsr_scratch(q, TSR_F32, t.rows, up->rows);
    int64_t n = 0;
    for (int64_t r = 0; r < t.rows && !q->dry && !q->failed; r++)
        if (chose(ids, r, e))
            memcpy(tsr_row(rows, n++), tsr_row(t, r), (size_t)t.cols * tsr_dtype_bytes(t.type));
    if (q->dry) n = t.rows;

    tsr_weight one = *up;
    one.n_experts = 1;
    one.data = (const char *)up->data + (size_t)(e * up->rows * up->cols) * tsr_dtype_bytes(up->type);
    if (up->scaled == TSR_SCALE_ROW) one.scale += e * up->rows;
    h.rows = rows.rows = n;
    if (n && !q->failed) tsr_linear(q, h, rows, &one, (tsr_linear_opts){.act = TSR_RELU2});
    float amax = n && !q->dry && !q->failed ? max_of(h) : 0;
    tsr_scratch_release(q, mark);
    return amax;
}

/* A queue with room for that: measured dry, as an engine's is. */
static tsr_status open_own(tsr_calibration *c, const tsr_weight *up, tsr_view t, tsr_view ids)
{
    tsr_engine *e = c->engine;
    tsr_queue *dry = NULL;
    tsr_status st = tsr_queue_open(&dry, e->queue->ops, NULL, e->queue->type, 0);
    if (st) return st;
    max_hidden(dry, up, 0, t, ids);
    size_t wanted = dry->scratch.peak;
    tsr_queue_close(dry);
    if (c->own && c->own->scratch.capacity >= wanted) return TSR_OK;
    tsr_queue_close(c->own);
    c->own = NULL;
    return tsr_queue_open(&c->own, e->queue->ops, e->pool, e->queue->type, wanted);
}

/* Experts share one input scale for each of their two matrices: most see few rows, or none. */
static void see_experts(void *user, const tsr_weight *up, const tsr_weight *down, tsr_view t, tsr_view ids)
{
    tsr_calibration *c = user;
    assert(!up->layout && !down->layout);
    keep(c, up->name, max_of(t));
    tsr_status st = open_own(c, up, t, ids);
    float amax = 0;
    for (int64_t e = 0; e < up->n_experts && !st; e++) {
        amax = fmaxf(amax, max_hidden(c->own, up, e, t, ids));
        st = tsr_queue_sync(c->own);
    }
    if (st) tsr_queue_fail(c->engine->queue, st, "%s", tsr_message());
    keep(c, down->name, amax);
}

/* ---------------------------------------------------------------- sequences ----------------------------- */

typedef enum kind { TEXT, IDS, PICTURE } kind;

/* A sequence to come: the built-in text `i`, a piece of a file's bytes, or a picture's path. */
typedef struct sequence {
    kind kind;
    char *text; /* owned: a text, ids, or a path */
} sequence;

typedef struct list {
    sequence *items;
    int64_t n, capacity;
} list;

static void close_list(list *l)
{
    for (int64_t i = 0; i < l->n; i++) tsr_free(l->items[i].text);
    tsr_free(l->items);
}

static tsr_status add(list *l, kind k, const char *text, size_t bytes)
{
    void *items = l->items;
    char *copy = tsr_alloc(bytes + 1);
    bool room = copy && tsr_grow(&items, &l->capacity, l->n + 1, sizeof *l->items);
    l->items = items;
    if (!room) {
        tsr_free(copy);
        return tsr_fail(TSR_E_NOMEM, "no memory for a calibration sequence");
    }
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    l->items[l->n++] = (sequence){k, copy};
    return TSR_OK;
}

/* Bytes of `text` that make a sequence: what fits for certain (a token has a byte at least), cut between
 * characters. Ids are not cut. */
static size_t piece_bytes(const tsr_calibration *c, kind k, const char *text, size_t bytes)
{
    int64_t room = c->engine->sizes.n_ctx - FORMAT_TOKENS;
    size_t most = room < 16 ? 16 : room > LONGEST_PIECE ? LONGEST_PIECE : (size_t)room;
    if (k == IDS || bytes <= most) return bytes;
    while (most > 8 && ((unsigned char)text[most] & 0xc0) == 0x80) most--;
    return most;
}

static tsr_status add_lines(const tsr_calibration *c, list *l, kind k, const char *text, size_t bytes)
{
    tsr_status st = TSR_OK;
    const char *end = text + bytes;
    while (text < end && !st) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        if (!line_end) line_end = end;
        while (text < line_end && !st) {
            size_t n = piece_bytes(c, k, text, (size_t)(line_end - text));
            if (strspn(text, " \t\r") < n) st = add(l, k, text, n);
            text += n;
        }
        text++;
    }
    return st;
}

static bool ends_in(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && !strcasecmp(path + n - m, suffix);
}

/* A file by its name; one that is named otherwise counts for nothing. */
static tsr_status add_file(const tsr_calibration *c, list *l, const char *path)
{
    bool text = ends_in(path, ".txt"), ids = ends_in(path, ".ids");
    if (ends_in(path, ".jpg") || ends_in(path, ".jpeg") || ends_in(path, ".png")) {
        if (c->engine->model->has_vision) return add(l, PICTURE, path, strlen(path));
        tsr_log(TSR_LOG_INFO, "%s: passed over, the model reads text only", path);
    }
    if (!text && !ids) return TSR_OK;
    unsigned char *data;
    size_t bytes;
    tsr_status st = tsr_file_read(&data, &bytes, path, MAX_TEXT_BYTES);
    if (st) return st;
    st = add_lines(c, l, text ? TEXT : IDS, (const char *)data, bytes);
    tsr_free(data);
    return st;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static tsr_status add_folder(const tsr_calibration *c, list *l, const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, visible, alphasort);
    if (n < 0) return tsr_fail(TSR_E_IO, "%s: %s", path, strerror(errno));
    tsr_status st = TSR_OK;
    for (int i = 0; i < n; i++) {
        char *file = tsr_path_join(path, entries[i]->d_name);
        if (!file && !st) st = tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", entries[i]->d_name);
        if (!st) st = add_file(c, l, file);
        tsr_free(file);
        free(entries[i]);
    }
    free(entries);
    return st;
}

static tsr_status add_built_in(const tsr_calibration *c, list *l, const char *samples)
{
    char text[TSR_CALIBRATION_TEXT_BYTES];
    tsr_status st = TSR_OK;
    if (!c->engine->model->tokenizer)
        return tsr_fail(TSR_E_UNSUPPORTED,
                        "%s has no tokenizer for the built-in calibration texts; a file of token ids "
                        "(NAME.ids) is wanted",
                        c->engine->model->name);
    for (int64_t i = 0; !st && tsr_calibration_text(text, i); i++) {
        size_t bytes = strlen(text);
        st = add(l, TEXT, text, piece_bytes(c, TEXT, text, bytes));
    }
    return !st && samples && c->engine->model->has_vision ? add_folder(c, l, samples) : st;
}

static tsr_status add_all(const tsr_calibration *c, list *l, const tsr_calibration_data *data)
{
    struct stat info;
    if (!data->path) return add_built_in(c, l, data->samples);
    if (stat(data->path, &info)) return tsr_fail(TSR_E_IO, "%s: %s", data->path, strerror(errno));
    tsr_status st = S_ISDIR(info.st_mode) ? add_folder(c, l, data->path) : add_file(c, l, data->path);
    if (!st && !l->n)
        return tsr_fail(
            TSR_E_ARG,
            "%s holds no calibration data: lines of text in a .txt file, lines of token ids in an "
            ".ids file, or pictures are wanted",
            data->path);
    if (!st && l->n < FEW_SEQUENCES)
        tsr_log(TSR_LOG_WARN, "%s makes %lld calibration sequences; %d or more are better", data->path,
                (long long)l->n, FEW_SEQUENCES);
    return st;
}

/* ---------------------------------------------------------------- running ------------------------------- */

typedef struct run {
    tsr_calibration *c;
    const tsr_calibration_data *data;
    tsr_calibration_progress_fn *progress;
    void *user;
    int64_t total;
} run;

static int go_on(void *user, int vision, int64_t done, int64_t total)
{
    const run *r = user;
    (void)vision, (void)done, (void)total;
    return !r->progress || r->progress(r->user, r->c->n_sequences, r->total);
}

static int go_on_answering(void *user, const tsr_piece *piece)
{
    (void)piece;
    return go_on(user, 0, 0, 0);
}

static tsr_status add_ids(tsr_session *s, const char *text)
{
    tsr_ids ids = {0};
    tsr_status st = TSR_OK;
    for (char *end; !st; text = end) {
        long id = strtol(text, &end, 10);
        if (end == text) break;
        st = id < 0 || id > INT32_MAX ? tsr_fail(TSR_E_ARG, "token id %ld", id)
                                      : tsr_ids_push(&ids, (int32_t)id);
    }
    if (!st && text[strspn(text, " \t\r")])
        st = tsr_fail(TSR_E_FORMAT, "'%.20s' was found; token ids with blanks between are wanted", text);
    if (!st) st = tsr_session_add_ids(s, ids.items, ids.n, NULL, 0);
    tsr_ids_close(&ids);
    return st;
}

/* Every other text is a user's turn in the checkpoint's format, the rest plain: both are what the model will read. */
static tsr_status run_text(run *r, tsr_session *s, const sequence *q)
{
    tsr_role role = r->c->n_sequences % 2 ? TSR_RAW : TSR_USER;
    tsr_part part = {.text = q->text};
    tsr_status st = q->kind == IDS ? add_ids(s, q->text) : tsr_session_say(s, role, &part, 1);
    tsr_generate_opts o = {.max_tokens = 1, .on_progress = go_on, .user = r}; /* reads to the last row */
    return st ? st : tsr_session_generate(s, &o, NULL);
}

static tsr_status run_picture(run *r, tsr_session *s, const char *path)
{
    tsr_image *image = NULL;
    tsr_status st = tsr_image_open(&image, r->c->engine->model, path, r->data->image);
    if (st) return st;
    tsr_part parts[] = {{.image = image}, {.text = picture_prompt}};
    tsr_generate_opts o = {
        .max_tokens = ANSWER_TOKENS, .on_piece = go_on_answering, .on_progress = go_on, .user = r};
    st = tsr_session_say(s, TSR_USER, parts, 2);
    if (!st) st = tsr_session_generate(s, &o, NULL);
    if (st) st = tsr_wrap(st, "%s", path);
    tsr_image_close(image);
    return st;
}

static tsr_status run_one(run *r, const sequence *q)
{
    tsr_session *s = NULL;
    tsr_status st = go_on(r, 0, 0, 0) ? TSR_OK : tsr_fail(TSR_E_CANCELLED, "stopped");
    if (!st) st = tsr_session_open(&s, r->c->engine);
    if (st) return st;
    st = q->kind == PICTURE ? run_picture(r, s, q->text) : run_text(r, s, q);
    r->c->n_tokens += tsr_session_about(s).n_past;
    tsr_session_close(s);
    r->c->n_sequences++;
    return st;
}

tsr_status tsr_calibrate(tsr_calibration *c, const tsr_calibration_data *data,
                         tsr_calibration_progress_fn *progress, void *user)
{
    list l = {0};
    tsr_queue *q = c->engine->queue;
    assert(q->unfused && !q->ops->memory);
    tsr_watch watch = {see_linear, see_experts, c, see_keys};
    tsr_status st = add_all(c, &l, data);
    run r = {c, data, progress, user, l.n};
    q->watch = &watch;
    for (int64_t i = 0; i < l.n && !st; i++) st = run_one(&r, &l.items[i]);
    q->watch = NULL;
    close_list(&l);
    return st ? tsr_wrap(st, "calibration") : TSR_OK;
}

void tsr_calibration_close(tsr_calibration *c)
{
    tsr_queue_close(c->own);
    tsr_free(c->maxima);
    *c = (tsr_calibration){0};
}
