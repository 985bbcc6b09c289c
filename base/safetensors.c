/* base/safetensors.c: safetensors headers, validated before anything is used.
 *
 * A file is a length (u64, little-endian), that many bytes of JSON, and the tensors' bytes, which the JSON
 * must cover from the first to the last without hole or overlap. Files are mapped and nothing is copied but
 * names.
 */
#include "base/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/map.h"

#define INDEX_NAME "model.safetensors.index.json"
#define SINGLE_NAME "model.safetensors"

/* How much of a foreign name a message shows: the reason behind it must still fit. */
#define NAME_FORMAT "'%.120s'"

enum { LENGTH_BYTES = 8, MAX_INDEX_BYTES = 100000000 };

typedef struct shard {
    char *path;
    tsr_map map; /* zeroed when the bytes are the caller's */
    const unsigned char *data;
    size_t bytes;
    size_t header_bytes;
    char *names; /* of its tensors, each with its NUL, in the order of the header */
} shard;

struct tsr_safetensors {
    shard *shards;
    int64_t n_shards, shard_capacity;
    tsr_tensor *tensors;
    int64_t n_tensors, tensor_capacity;
    tsr_key *keys; /* one per tensor */
};

static const struct {
    const char *name;
    int bits;
    tsr_dtype type;
} dtypes[] = {
    {"F32", 32, TSR_F32},
    {"BF16", 16, TSR_BF16},
    {"F16", 16, TSR_F16},
    {"F8_E4M3", 8, TSR_FP8},
    {"U8", 8, TSR_U8},
    {"I32", 32, TSR_I32},
    {"BOOL", 8, TSR_DTYPE_OTHER},
    {"I8", 8, TSR_DTYPE_OTHER},
    {"I16", 16, TSR_DTYPE_OTHER},
    {"U16", 16, TSR_DTYPE_OTHER},
    {"U32", 32, TSR_DTYPE_OTHER},
    {"I64", 64, TSR_DTYPE_OTHER},
    {"U64", 64, TSR_DTYPE_OTHER},
    {"F64", 64, TSR_DTYPE_OTHER},
    {"C64", 64, TSR_DTYPE_OTHER},
    {"F8_E5M2", 8, TSR_DTYPE_OTHER},
    {"F8_E8M0", 8, TSR_DTYPE_OTHER},
    {"F8_E4M3FNUZ", 8, TSR_DTYPE_OTHER},
    {"F8_E5M2FNUZ", 8, TSR_DTYPE_OTHER},
    {"F6_E2M3", 6, TSR_DTYPE_OTHER},
    {"F6_E3M2", 6, TSR_DTYPE_OTHER},
    {"F4", 4, TSR_DTYPE_OTHER},
};

const char *tsr_shape_text(char *to, size_t to_bytes, const int64_t *shape, int n_dims)
{
    size_t used = (size_t)snprintf(to, to_bytes, "[");
    for (int i = 0; i < n_dims && used < to_bytes; i++)
        used += (size_t)snprintf(to + used, to_bytes - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < to_bytes) snprintf(to + used, to_bytes - used, "]");
    return to;
}

/* A member that must be there and of one kind. */
static tsr_status member(const tsr_json_value **out, const tsr_json_value *object, const char *key,
                         tsr_json_kind kind)
{
    const tsr_json_value *value = tsr_json_find(object, key);
    if (!value) return tsr_fail(TSR_E_FORMAT, "'%s' is missing", key);
    if (tsr_json_kind_of(value) != kind)
        return tsr_fail(TSR_E_FORMAT, "'%s' is %s, not %s", key, tsr_json_kind_name(tsr_json_kind_of(value)),
                        tsr_json_kind_name(kind));
    *out = value;
    return TSR_OK;
}

static bool is_size(const tsr_json_value *value, int64_t *out)
{
    return tsr_json_int(value, out) && *out >= 0;
}

/* dtype and shape, and the bytes that follow from them. */
static tsr_status read_form(tsr_tensor *t, const tsr_json_value *info)
{
    const tsr_json_value *dtype = NULL, *shape = NULL;
    tsr_status st = member(&dtype, info, "dtype", TSR_JSON_STRING);
    if (st) return st;
    st = member(&shape, info, "shape", TSR_JSON_ARRAY);
    if (st) return st;

    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes && !bits; i++) {
        if (strcmp(dtypes[i].name, tsr_json_string(dtype))) continue;
        bits = (uint64_t)dtypes[i].bits;
        t->dtype_name = dtypes[i].name;
        t->type = dtypes[i].type;
    }
    if (!bits) return tsr_fail(TSR_E_FORMAT, "unknown dtype '%.40s'", tsr_json_string(dtype));

    /* As the reference multiplies: an overflow counts even where a later 0 would undo it. */
    uint64_t product = 1;
    for (const tsr_json_value *e = tsr_json_first(shape); e; e = tsr_json_next(e)) {
        if (t->n_dims == TSR_TENSOR_MAX_DIMS)
            return tsr_fail(TSR_E_FORMAT, "%" PRId64 " dimensions; at most %d are read",
                            tsr_json_count(shape), TSR_TENSOR_MAX_DIMS);
        int64_t dim = 0;
        if (!is_size(e, &dim))
            return tsr_fail(TSR_E_FORMAT, "dimension %d of its shape is no size", t->n_dims);
        if (__builtin_mul_overflow(product, (uint64_t)dim, &product))
            return tsr_fail(TSR_E_FORMAT, "the product of its shape overflows");
        t->shape[t->n_dims++] = dim;
    }
    uint64_t all_bits = 0;
    if (__builtin_mul_overflow(product, bits, &all_bits))
        return tsr_fail(TSR_E_FORMAT, "the product of its shape overflows");
    if (all_bits % 8)
        return tsr_fail(TSR_E_FORMAT, "its %" PRIu64 " bits are no whole number of bytes", all_bits);
    t->elements = (int64_t)product; /* bits is at least 4, so it is below 2^62 */
    t->bytes = (size_t)(all_bits / 8);
    return TSR_OK;
}

/* Where its bytes are: as many as its form wants, and all in the file. */
static tsr_status read_place(tsr_tensor *t, const tsr_json_value *info, const shard *sh)
{
    const tsr_json_value *offsets = NULL;
    tsr_status st = member(&offsets, info, "data_offsets", TSR_JSON_ARRAY);
    if (st) return st;
    int64_t begin = 0, end = 0;
    const tsr_json_value *first = tsr_json_first(offsets);
    if (tsr_json_count(offsets) != 2 || !is_size(first, &begin) || !is_size(tsr_json_next(first), &end) ||
        begin > end)
        return tsr_fail(TSR_E_FORMAT, "'data_offsets' are not two sizes in order");

    size_t data_start = LENGTH_BYTES + sh->header_bytes;
    if ((uint64_t)end > sh->bytes - data_start)
        return tsr_fail(TSR_E_FORMAT, "spans bytes %" PRId64 " to %" PRId64 " of %zu in the file", begin, end,
                        sh->bytes - data_start);
    if ((uint64_t)(end - begin) != t->bytes) {
        char text[200];
        return tsr_fail(TSR_E_FORMAT, "%s %s takes %zu bytes, its offsets span %" PRId64, t->dtype_name,
                        tsr_shape_text(text, sizeof text, t->shape, t->n_dims), t->bytes, end - begin);
    }
    t->data = sh->data + data_start + begin;
    return TSR_OK;
}

static tsr_status read_tensor(tsr_tensor *t, const tsr_json_value *info, const shard *sh)
{
    if (tsr_json_kind_of(info) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "is %s, not an object", tsr_json_kind_name(tsr_json_kind_of(info)));
    tsr_status st = read_form(t, info);
    return st ? st : read_place(t, info, sh);
}

static tsr_status check_metadata(const tsr_json_value *metadata)
{
    if (tsr_json_kind_of(metadata) == TSR_JSON_NULL) return TSR_OK;
    if (tsr_json_kind_of(metadata) != TSR_JSON_OBJECT)
        return tsr_fail(TSR_E_FORMAT, "'__metadata__' is not an object");
    for (const tsr_json_value *m = tsr_json_first(metadata); m; m = tsr_json_next(m))
        if (tsr_json_kind_of(m) != TSR_JSON_STRING)
            return tsr_fail(TSR_E_FORMAT, "'__metadata__' has " NAME_FORMAT ", which is not a string",
                            tsr_json_key(m));
    return TSR_OK;
}

/* By place; empty tensors at one place in the order of the header, which is that of the names block. */
static int by_place(const void *left, const void *right)
{
    const tsr_tensor *a = left, *b = right;
    if (a->data != b->data) return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return ((uintptr_t)a->name > (uintptr_t)b->name) - ((uintptr_t)a->name < (uintptr_t)b->name);
}

/* Tensors in order must cover the data from its first byte to its last. */
static tsr_status check_cover(const tsr_tensor *tensors, int64_t n, const shard *sh)
{
    const unsigned char *start = sh->data + LENGTH_BYTES + sh->header_bytes, *expected = start;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *begin = tensors[i].data;
        if (begin != expected)
            return tsr_fail(TSR_E_FORMAT,
                            "tensor " NAME_FORMAT " begins at byte %td, %s byte %td where %s ends",
                            tensors[i].name, begin - start, begin < expected ? "before" : "after",
                            expected - start, i ? "the one before it" : "the header");
        expected = begin + tensors[i].bytes;
    }
    if (expected != sh->data + sh->bytes)
        return tsr_fail(TSR_E_FORMAT, "the tensors end at byte %td of %td", expected - start,
                        sh->data + sh->bytes - start);
    return TSR_OK;
}

/* Tensors of one parsed header, appended to s. */
static tsr_status read_tensors(tsr_safetensors *s, shard *sh, const tsr_json_value *root)
{
    int64_t n = 0;
    size_t names_bytes = 0;
    for (const tsr_json_value *m = tsr_json_first(root); m; m = tsr_json_next(m)) {
        if (!strcmp(tsr_json_key(m), "__metadata__")) {
            tsr_status st = check_metadata(m);
            if (st) return st;
            continue;
        }
        names_bytes += strlen(tsr_json_key(m)) + 1; /* together less than the header */
        n++;
    }
    if (!n) return check_cover(NULL, 0, sh);

    sh->names = tsr_alloc(names_bytes);
    if (!sh->names ||
        !tsr_grow((void **)&s->tensors, &s->tensor_capacity, s->n_tensors + n, sizeof *s->tensors))
        return tsr_fail(TSR_E_NOMEM, "no memory for %" PRId64 " tensors", n);

    tsr_tensor *first = s->tensors + s->n_tensors, *t = first;
    char *name = sh->names;
    for (const tsr_json_value *m = tsr_json_first(root); m; m = tsr_json_next(m)) {
        const char *key = tsr_json_key(m);
        if (!strcmp(key, "__metadata__")) continue;
        size_t bytes = strlen(key) + 1;
        *t = (tsr_tensor){.name = memcpy(name, key, bytes), .file = sh->path};
        tsr_status st = read_tensor(t, m, sh);
        if (st) return tsr_wrap(st, "tensor " NAME_FORMAT, key);
        name += bytes;
        t++;
    }
    s->n_tensors += n;
    if (n > 1) qsort(first, (size_t)n, sizeof *first, by_place);
    return check_cover(first, n, sh);
}

static tsr_status read_header(tsr_safetensors *s, shard *sh)
{
    if (sh->bytes < LENGTH_BYTES)
        return tsr_fail(TSR_E_FORMAT, "a file of %zu bytes is no safetensors file", sh->bytes);
    uint64_t n = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | sh->data[i];
    if (n > TSR_SAFETENSORS_MAX_HEADER)
        return tsr_fail(TSR_E_FORMAT, "a header of %" PRIu64 " bytes; at most %d are read", n,
                        TSR_SAFETENSORS_MAX_HEADER);
    if (n > sh->bytes - LENGTH_BYTES)
        return tsr_fail(TSR_E_FORMAT, "a header of %" PRIu64 " bytes in a file of %zu", n, sh->bytes);
    const char *text = (const char *)sh->data + LENGTH_BYTES;
    if (n == 0 || text[0] != '{') return tsr_fail(TSR_E_FORMAT, "the header does not begin with '{'");
    sh->header_bytes = (size_t)n;

    tsr_json *json = NULL;
    tsr_status st = tsr_json_parse(&json, text, sh->header_bytes, "header");
    if (st) return st;
    st = read_tensors(s, sh, tsr_json_root(json));
    tsr_json_close(json);
    return st;
}

/* One more shard, over `data` or, when that is NULL, over the mapped file. */
static tsr_status add_shard(tsr_safetensors *s, const char *path, const unsigned char *data, size_t bytes)
{
    if (!tsr_grow((void **)&s->shards, &s->shard_capacity, s->n_shards + 1, sizeof *s->shards))
        return tsr_fail(TSR_E_NOMEM, "%s: no memory for its entry", path);
    shard *sh = &s->shards[s->n_shards++];
    *sh = (shard){.path = tsr_strdup(path), .data = data, .bytes = bytes};
    if (!sh->path) return tsr_fail(TSR_E_NOMEM, "%s: no memory for its path", path);
    if (!data) {
        tsr_status st = tsr_map_open(&sh->map, path);
        if (st) return st;
        sh->data = sh->map.data;
        sh->bytes = sh->map.bytes;
    }
    tsr_status st = read_header(s, sh);
    return st ? tsr_wrap(st, "%s", path) : TSR_OK;
}

/* All shards are in: make names findable. */
static tsr_status build_keys(tsr_safetensors *s)
{
    s->keys = tsr_calloc((size_t)s->n_tensors, sizeof *s->keys);
    if (!s->keys) return tsr_fail(TSR_E_NOMEM, "no memory to look up %" PRId64 " tensors", s->n_tensors);
    for (int64_t i = 0; i < s->n_tensors; i++) s->keys[i] = (tsr_key){.text = s->tensors[i].name, .index = i};
    tsr_keys_sort(s->keys, s->n_tensors);
    const tsr_key *twice = tsr_keys_duplicate(s->keys, s->n_tensors);
    if (twice)
        return tsr_fail(TSR_E_FORMAT, "tensor " NAME_FORMAT " is in %s and in %s", twice->text,
                        s->tensors[twice[-1].index].file, s->tensors[twice->index].file);
    return TSR_OK;
}

/* A plain file name, so that an index cannot point outside its directory. */
static bool is_plain(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The different shard names of a weight map, sorted, into `names`, which has room for one per entry. */
static tsr_status read_shard_names(const char **names, int64_t *n_shards, const tsr_json_value *weight_map)
{
    size_t n = 0;
    for (const tsr_json_value *m = tsr_json_first(weight_map); m; m = tsr_json_next(m)) {
        if (tsr_json_kind_of(m) != TSR_JSON_STRING || !is_plain(tsr_json_string(m)))
            return tsr_fail(
                TSR_E_FORMAT, "tensor " NAME_FORMAT " is in " NAME_FORMAT ", which is no plain file name",
                tsr_json_key(m), tsr_json_kind_of(m) == TSR_JSON_STRING ? tsr_json_string(m) : "something");
        names[n++] = tsr_json_string(m);
    }
    if (!n) return tsr_fail(TSR_E_FORMAT, "'weight_map' is empty");
    qsort(names, n, sizeof *names, by_text);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++)
        if (strcmp(names[kept - 1], names[i])) names[kept++] = names[i];
    if (kept > TSR_SAFETENSORS_MAX_SHARDS)
        return tsr_fail(TSR_E_LIMIT, "%zu shards; at most %d are read", kept, TSR_SAFETENSORS_MAX_SHARDS);
    *n_shards = (int64_t)kept;
    return TSR_OK;
}

static tsr_status add_in_directory(tsr_safetensors *s, const char *directory, const char *name)
{
    char *path = tsr_path_join(directory, name);
    if (!path) return tsr_fail(TSR_E_NOMEM, "%s/%s: no memory for its path", directory, name);
    tsr_status st = add_shard(s, path, NULL, 0);
    tsr_free(path);
    return st;
}

/* Every tensor of the index must be where the index says. Shards may hold more: their headers are the
 * truth. */
static tsr_status check_index(tsr_safetensors *s, const tsr_json_value *weight_map)
{
    for (const tsr_json_value *m = tsr_json_first(weight_map); m; m = tsr_json_next(m)) {
        const tsr_tensor *t = tsr_safetensors_find(s, tsr_json_key(m));
        const char *file = tsr_json_string(m);
        if (!t || strcmp(strrchr(t->file, '/') + 1, file))
            return tsr_fail(TSR_E_FORMAT, "tensor " NAME_FORMAT " is not in " NAME_FORMAT "%s%s",
                            tsr_json_key(m), file, t ? " but in " : "", t ? t->file : "");
    }
    return TSR_OK;
}

static tsr_status add_indexed(tsr_safetensors *s, const char *directory, const tsr_json *index)
{
    const tsr_json_value *root = tsr_json_root(index), *weight_map = NULL;
    if (tsr_json_kind_of(root) != TSR_JSON_OBJECT) return tsr_fail(TSR_E_FORMAT, "is not an object");
    tsr_status st = member(&weight_map, root, "weight_map", TSR_JSON_OBJECT);
    if (st) return st;

    int64_t n_shards = 0;
    const char **names = tsr_calloc((size_t)tsr_json_count(weight_map), sizeof *names);
    if (!names) return tsr_fail(TSR_E_NOMEM, "no memory for its entries");
    st = read_shard_names(names, &n_shards, weight_map);
    for (int64_t i = 0; !st && i < n_shards; i++) st = add_in_directory(s, directory, names[i]);
    tsr_free(names);
    if (!st) st = build_keys(s);
    return st ? st : check_index(s, weight_map);
}

static tsr_status open_indexed(tsr_safetensors *s, const char *directory, const char *index_path)
{
    tsr_json *index = NULL;
    tsr_status st = tsr_json_open(&index, index_path, MAX_INDEX_BYTES);
    if (st) return st;
    st = add_indexed(s, directory, index);
    tsr_json_close(index);
    return st ? tsr_wrap(st, "%s", index_path) : TSR_OK;
}

/* lstat: a link that leads nowhere is there, and is reported by name when it is opened. */
static bool is_there(const char *path)
{
    struct stat info;
    return !lstat(path, &info);
}

static tsr_status open_directory(tsr_safetensors *s, const char *directory)
{
    struct stat info;
    if (stat(directory, &info)) return tsr_fail(TSR_E_IO, "%s: %s", directory, strerror(errno));
    if (!S_ISDIR(info.st_mode)) return tsr_fail(TSR_E_IO, "%s: not a directory", directory);

    char *index = tsr_path_join(directory, INDEX_NAME), *single = tsr_path_join(directory, SINGLE_NAME);
    tsr_status st = TSR_OK;
    if (!index || !single)
        st = tsr_fail(TSR_E_NOMEM, "%s: no memory for its paths", directory);
    else if (is_there(index))
        st = open_indexed(s, directory, index);
    else if (!is_there(single))
        st = tsr_fail(TSR_E_IO, "%s: neither %s nor %s is in it", directory, INDEX_NAME, SINGLE_NAME);
    else if (!(st = add_shard(s, single, NULL, 0)))
        st = build_keys(s);
    tsr_free(index);
    tsr_free(single);
    return st;
}

/* Hand the object out, or close what was opened of it. */
static tsr_status finish(tsr_safetensors **out, tsr_safetensors *s, tsr_status st)
{
    if (st)
        tsr_safetensors_close(s);
    else
        *out = s;
    return st;
}

tsr_status tsr_safetensors_open(tsr_safetensors **out, const char *directory)
{
    tsr_safetensors *s = tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "%s: no memory for the tensor index", directory);
    return finish(out, s, open_directory(s, directory));
}

static tsr_status open_one(tsr_safetensors **out, const char *path, const unsigned char *data, size_t bytes)
{
    tsr_safetensors *s = tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "%s: no memory for the tensor index", path);
    tsr_status st = add_shard(s, path, data, bytes);
    if (!st) st = build_keys(s);
    return finish(out, s, st);
}

tsr_status tsr_safetensors_open_file(tsr_safetensors **out, const char *path)
{
    return open_one(out, path, NULL, 0);
}

tsr_status tsr_safetensors_parse(tsr_safetensors **out, const unsigned char *data, size_t bytes,
                                 const char *name)
{
    return open_one(out, name, data ? data : (const unsigned char *)"", bytes);
}

void tsr_safetensors_close(tsr_safetensors *st)
{
    if (!st) return;
    for (int64_t i = 0; i < st->n_shards; i++) {
        tsr_map_close(&st->shards[i].map);
        tsr_free(st->shards[i].path);
        tsr_free(st->shards[i].names);
    }
    tsr_free(st->shards);
    tsr_free(st->tensors);
    tsr_free(st->keys);
    tsr_free(st);
}

tsr_tensor *tsr_safetensors_find(tsr_safetensors *st, const char *name)
{
    const tsr_key *key = tsr_keys_find(st->keys, st->n_tensors, name);
    return key ? &st->tensors[key->index] : NULL;
}

int64_t tsr_safetensors_count(const tsr_safetensors *st)
{
    return st->n_tensors;
}

tsr_tensor *tsr_safetensors_at(tsr_safetensors *st, int64_t i)
{
    return &st->tensors[i];
}

int64_t tsr_safetensors_shards(const tsr_safetensors *st)
{
    return st->n_shards;
}

void tsr_safetensors_header(const tsr_safetensors *st, int64_t shard_index, const unsigned char **header,
                            size_t *header_bytes, size_t *file_bytes)
{
    const shard *sh = &st->shards[shard_index];
    *header = sh->data + LENGTH_BYTES;
    *header_bytes = sh->header_bytes;
    *file_bytes = sh->bytes;
}
