/* runtime/shards.c: headers first, then the data, a few megabytes at a time. */
#include "runtime/shards.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"

enum {
    PIECE_ELEMENTS = 1 << 20, /* rounded or copied at a time */
    ENTRY_BYTES = 256,        /* more than a header's entry takes beside the name */
    HEADER_ALIGN = 8
};

/* ---------------------------------------------------------------- text ---------------------------------- */

void tsr_text_add(tsr_text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    void *at = t->at;
    if (t->failed || n < 0 || !tsr_grow(&at, &t->capacity, t->n + n + 1, 1)) {
        t->failed = true;
        return;
    }
    t->at = at;
    va_start(args, format);
    vsnprintf(t->at + t->n, (size_t)n + 1, format, args);
    va_end(args);
    t->n += n;
}

void tsr_text_add_json(tsr_text *t, const char *text)
{
    tsr_text_add(t, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            tsr_text_add(t, "\\%c", c);
        else if (c < 0x20)
            tsr_text_add(t, "\\u%04x", c);
        else
            tsr_text_add(t, "%c", c);
    }
    tsr_text_add(t, "\"");
}

void tsr_text_close(tsr_text *t)
{
    tsr_free(t->at);
    *t = (tsr_text){0};
}

/* ---------------------------------------------------------------- files --------------------------------- */

typedef struct out_file {
    FILE *to;
    char *path;
} out_file;

static tsr_status begin_file(out_file *f, const char *folder, const char *name)
{
    f->path = tsr_path_join(folder, name);
    if (!f->path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", name);
    f->to = fopen(f->path, "wbx");
    return f->to ? TSR_OK : tsr_fail(TSR_E_IO, "%s: %s", f->path, strerror(errno));
}

static tsr_status put(out_file *f, const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, f->to) == bytes) return TSR_OK;
    return tsr_fail(TSR_E_IO, "%s: %s", f->path, strerror(errno));
}

/* On the disk, or a failure: a full one may show only here. */
static tsr_status end_file(out_file *f, tsr_status st)
{
    if (f->to) {
        bool bad = !st && (fflush(f->to) || fsync(fileno(f->to)));
        int reason = errno;
        if (fclose(f->to) && !bad) {
            bad = !st;
            reason = errno;
        }
        if (bad) st = tsr_fail(TSR_E_IO, "%s: %s", f->path, strerror(reason));
    }
    tsr_free(f->path);
    return st;
}

tsr_status tsr_folder_write(const char *folder, const char *name, const void *data, size_t bytes)
{
    out_file f = {0};
    tsr_status st = begin_file(&f, folder, name);
    if (!st) st = put(&f, data, bytes);
    return end_file(&f, st);
}

tsr_status tsr_folder_copy(const char *to, const char *from, const char *name)
{
    char *path = tsr_path_join(from, name);
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", name);
    tsr_map map = {0};
    tsr_status st = tsr_map_open(&map, path);
    if (!st) st = tsr_folder_write(to, name, map.data, map.bytes);
    tsr_map_close(&map);
    tsr_free(path);
    return st;
}

/* ---------------------------------------------------------------- which tensor where -------------------- */

static size_t entry_bytes(const tsr_out_tensor *t)
{
    return t->bytes + 2 * strlen(t->name) + ENTRY_BYTES;
}

/* Fill shard after shard with groups of tensors. */
static tsr_status assign(tsr_shards *s)
{
    size_t used = 0;
    s->n_shards = 1;
    for (int64_t i = 0; i < s->n_tensors;) {
        size_t group = 0;
        int64_t end = i;
        do group += entry_bytes(&s->tensors[end++]);
        while (end < s->n_tensors && !s->tensors[end].begins);
        if (group + ENTRY_BYTES > s->max_bytes)
            return tsr_fail(TSR_E_LIMIT, "tensor '%s' takes %zu bytes, which do not fit a weight file of %zu",
                            s->tensors[i].name, group, s->max_bytes);
        if (used + group + ENTRY_BYTES > s->max_bytes) {
            used = 0;
            s->n_shards++;
        }
        used += group;
        for (; i < end; i++) s->tensors[i].shard = s->n_shards - 1;
    }
    return TSR_OK;
}

/* Bytes of one element, for the order within a file. */
static size_t width(const tsr_out_tensor *t)
{
    size_t elements = 1;
    for (int i = 0; i < t->n_dims; i++) elements *= (size_t)t->shape[i];
    return elements ? t->bytes / elements : 0;
}

/* Wide elements first, so that each tensor is aligned to its type: some readers insist. */
static int by_width(const void *a, const void *b)
{
    const tsr_out_tensor *x = *(tsr_out_tensor *const *)a, *y = *(tsr_out_tensor *const *)b;
    if (width(x) != width(y)) return width(x) > width(y) ? -1 : 1;
    return x < y ? -1 : x > y; /* one array: its order */
}

static void name_shard(char to[64], int64_t i, int64_t n)
{
    if (n == 1)
        snprintf(to, 64, "model.safetensors");
    else
        snprintf(to, 64, "model-%05" PRId64 "-of-%05" PRId64 ".safetensors", i + 1, n);
}

/* ---------------------------------------------------------------- one shard ----------------------------- */

static void add_header(tsr_text *t, tsr_out_tensor *const *tensors, int64_t n)
{
    size_t at = 0;
    tsr_text_add(t, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int64_t i = 0; i < n; i++) {
        const tsr_out_tensor *o = tensors[i];
        tsr_text_add(t, ",");
        tsr_text_add_json(t, o->name);
        tsr_text_add(t, ":{\"dtype\":\"%s\",\"shape\":[", o->dtype);
        for (int d = 0; d < o->n_dims; d++) tsr_text_add(t, "%s%" PRId64, d ? "," : "", o->shape[d]);
        tsr_text_add(t, "],\"data_offsets\":[%zu,%zu]}", at, at + o->bytes);
        at += o->bytes;
    }
    tsr_text_add(t, "}");
    while (t->n % HEADER_ALIGN && !t->failed) tsr_text_add(t, " ");
}

typedef struct staging {
    unsigned char *raw; /* as in the file, aligned */
    float *wide;
    uint8_t *codes;
} staging;

/* n elements of a matrix from element `first` on, rounded into b->codes. */
static tsr_status round_piece(tsr_queue *q, const tsr_out_tensor *t, staging *b, int64_t first, int64_t n)
{
    size_t each = tsr_dtype_bytes(t->from);
    float scale = t->scale;
    memcpy(b->raw, (const char *)t->data + (size_t)first * each, (size_t)n * each);
    for (int64_t i = 0; i < n; i++) b->wide[i] = tsr_load(b->raw, t->from, i);
    tsr_view to = tsr_view_of(b->codes, TSR_FP8, 1, n);
    to.scaled = TSR_SCALE_TENSOR;
    to.scale = &scale;
    tsr_convert(q, to, tsr_view_of(b->wide, TSR_F32, 1, n));
    return tsr_queue_sync(q);
}

static tsr_status put_tensor(tsr_shards *s, out_file *f, const tsr_out_tensor *t, staging *b, int64_t total)
{
    if (t->kind == TSR_OUT_SCALE) {
        s->bytes += (int64_t)sizeof t->scale;
        return put(f, &t->scale, sizeof t->scale);
    }
    tsr_status st = TSR_OK;
    for (size_t at = 0; at < t->bytes && !st; at += PIECE_ELEMENTS) {
        size_t n = t->bytes - at < PIECE_ELEMENTS ? t->bytes - at : PIECE_ELEMENTS;
        if (s->progress && !s->progress(s->user, s->bytes, total))
            return tsr_fail(TSR_E_CANCELLED, "stopped");
        if (t->kind == TSR_OUT_CODES) st = round_piece(s->q, t, b, (int64_t)at, (int64_t)n);
        if (!st) st = put(f, t->kind == TSR_OUT_CODES ? b->codes : (const unsigned char *)t->data + at, n);
        s->bytes += (int64_t)n;
    }
    return st;
}

static tsr_status write_shard(tsr_shards *s, int64_t shard, tsr_out_tensor **tensors, staging *b,
                              int64_t total)
{
    char name[64];
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_tensors; i++)
        if (s->tensors[i].shard == shard) tensors[n++] = &s->tensors[i];
    qsort(tensors, (size_t)n, sizeof *tensors, by_width);

    tsr_text header = {0};
    out_file f = {0};
    name_shard(name, shard, s->n_shards);
    add_header(&header, tensors, n);
    tsr_status st = header.failed ? tsr_fail(TSR_E_NOMEM, "%s: no memory for its header", name) : TSR_OK;
    if (!st) st = begin_file(&f, s->folder, name);
    uint64_t header_bytes = (uint64_t)header.n;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(header_bytes >> (8 * i));
    if (!st) st = put(&f, length, sizeof length);
    if (!st) st = put(&f, header.at, (size_t)header.n);
    for (int64_t i = 0; i < n && !st; i++) st = put_tensor(s, &f, tensors[i], b, total);
    st = end_file(&f, st);
    tsr_text_close(&header);
    return st;
}

static tsr_status write_index(tsr_shards *s, int64_t total)
{
    tsr_text t = {0};
    char name[64];
    tsr_text_add(&t, "{\n  \"metadata\": {\n    \"total_size\": %" PRId64 "\n  },\n  \"weight_map\": {",
                 total);
    for (int64_t i = 0; i < s->n_tensors; i++) {
        name_shard(name, s->tensors[i].shard, s->n_shards);
        tsr_text_add(&t, "%s\n    ", i ? "," : "");
        tsr_text_add_json(&t, s->tensors[i].name);
        tsr_text_add(&t, ": \"%s\"", name);
    }
    tsr_text_add(&t, "\n  }\n}\n");
    tsr_status st = t.failed ? tsr_fail(TSR_E_NOMEM, "no memory for the index of the weights")
                             : tsr_folder_write(s->folder, "model.safetensors.index.json", t.at, (size_t)t.n);
    tsr_text_close(&t);
    return st;
}

tsr_status tsr_shards_write(tsr_shards *s)
{
    tsr_status st = assign(s);
    if (st) return st;
    int64_t total = 0;
    for (int64_t i = 0; i < s->n_tensors; i++) total += (int64_t)s->tensors[i].bytes;

    staging b = {tsr_alloc(PIECE_ELEMENTS * sizeof(float)), tsr_alloc(PIECE_ELEMENTS * sizeof(float)),
                 tsr_alloc(PIECE_ELEMENTS)};
    tsr_out_tensor **tensors = tsr_calloc((size_t)s->n_tensors, sizeof *tensors);
    if (!b.raw || !b.wide || !b.codes || !tensors) st = tsr_fail(TSR_E_NOMEM, "no memory to write weights");
    for (int64_t i = 0; i < s->n_shards && !st; i++) st = write_shard(s, i, tensors, &b, total);
    if (!st && s->n_shards > 1) st = write_index(s, total);
    tsr_free(b.raw);
    tsr_free(b.wide);
    tsr_free(b.codes);
    tsr_free(tensors);
    return st;
}
