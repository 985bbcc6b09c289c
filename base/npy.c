/* base/npy.c: .npy files, written and read.
 *
 * A file is "\x93NUMPY", version 1.0, a u16 length, and a Python literal of that length,
 * {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, padded with blanks and a newline so that the
 * data behind it starts at a multiple of 64. NumPy writes the keys in this order and with these blanks; the
 * reader asks for exactly that.
 */
#include "base/npy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

enum { LENGTH_AT = 8, DICT_AT = 10, ALIGN = 64, HEAD_BYTES = 256 };

static const char magic[LENGTH_AT] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};

static const struct {
    const char *descr;
    tsr_dtype type;
} types[] = {{"<f4", TSR_F32}, {"|u1", TSR_U8}, {"<i4", TSR_I32}};

enum { N_TYPES = sizeof types / sizeof *types };

/* The product of a shape, -1 when it or its bytes overflow. */
static int64_t count_elements(const int64_t *shape, int n_dims, tsr_dtype type)
{
    int64_t elements = 1, bytes = 0;
    for (int i = 0; i < n_dims; i++)
        if (__builtin_mul_overflow(elements, shape[i], &elements)) return -1;
    return __builtin_mul_overflow(elements, (int64_t)tsr_dtype_bytes(type), &bytes) ? -1 : elements;
}

/* The header into `head`; returns its length. 8 sizes of 19 digits fit with room to spare. */
static size_t format_head(char head[HEAD_BYTES], const char *descr, const int64_t *shape, int n_dims)
{
    memcpy(head, magic, sizeof magic);
    size_t used = DICT_AT;
    used += (size_t)snprintf(head + used, HEAD_BYTES - used,
                             "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < n_dims; i++)
        used += (size_t)snprintf(head + used, HEAD_BYTES - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    used += (size_t)snprintf(head + used, HEAD_BYTES - used, n_dims == 1 ? ",), }" : "), }");
    while ((used + 1) % ALIGN) head[used++] = ' ';
    head[used++] = '\n';
    head[LENGTH_AT] = (char)((used - DICT_AT) & 0xff);
    head[LENGTH_AT + 1] = (char)((used - DICT_AT) >> 8);
    return used;
}

tsr_status tsr_npy_write(const char *path, tsr_dtype type, const int64_t *shape, int n_dims, const void *data)
{
    const char *descr = NULL;
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].type == type) descr = types[i].descr;
    int64_t elements = count_elements(shape, n_dims, type);
    assert(descr && n_dims <= TSR_NPY_MAX_DIMS && elements >= 0);

    char head[HEAD_BYTES];
    const tsr_file_piece pieces[] = {
        {head, format_head(head, descr, shape, n_dims)},
        {data, (size_t)elements * tsr_dtype_bytes(type)},
    };
    return tsr_file_write(path, pieces, 2);
}

/* Step over `text` at *at; false if something else stands there. */
static bool skip(const char **at, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*at, text, n)) return false;
    *at += n;
    return true;
}

/* "(2, 3)", "(2,)" or "()" at *at. */
static bool parse_shape(tsr_npy *npy, const char **at)
{
    if (!skip(at, "(")) return false;
    while (**at >= '0' && **at <= '9') {
        int64_t size = 0;
        if (npy->n_dims == TSR_NPY_MAX_DIMS) return false;
        for (; **at >= '0' && **at <= '9'; ++*at)
            if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, **at - '0', &size))
                return false;
        npy->shape[npy->n_dims++] = size;
        if (!skip(at, ",")) break;
        skip(at, " ");
    }
    return skip(at, ")");
}

/* The dictionary, NUL-terminated. */
static tsr_status parse_dict(tsr_npy *npy, const char *dict)
{
    const char *at = dict;
    if (!skip(&at, "{'descr': '")) return tsr_fail(TSR_E_FORMAT, "header without 'descr': %.60s", dict);
    int type = 0;
    while (type < N_TYPES && !skip(&at, types[type].descr)) type++;
    if (type == N_TYPES) return tsr_fail(TSR_E_UNSUPPORTED, "neither f32, u8 nor i32: %.60s", dict);
    npy->type = types[type].type;
    if (!skip(&at, "', 'fortran_order': False, 'shape': "))
        return tsr_fail(TSR_E_UNSUPPORTED, "not in C order: %.60s", dict);
    if (!parse_shape(npy, &at) || !skip(&at, ", }")) return tsr_fail(TSR_E_FORMAT, "no shape: %.100s", dict);
    npy->elements = count_elements(npy->shape, npy->n_dims, npy->type);
    return npy->elements < 0 ? tsr_fail(TSR_E_FORMAT, "a shape that overflows: %.100s", dict) : TSR_OK;
}

static tsr_status parse_file(tsr_npy *npy, unsigned char *file, size_t bytes)
{
    if (bytes < DICT_AT || memcmp(file, magic, 6)) return tsr_fail(TSR_E_FORMAT, "not a .npy file");
    if (memcmp(file, magic, sizeof magic))
        return tsr_fail(TSR_E_UNSUPPORTED, ".npy version %d.%d; 1.0 is read", file[6], file[7]);
    size_t data_at = DICT_AT + (size_t)file[LENGTH_AT] + (size_t)file[LENGTH_AT + 1] * 256;
    if (data_at == DICT_AT || data_at > bytes) return tsr_fail(TSR_E_FORMAT, "ends within its header");
    file[data_at - 1] = '\0'; /* over the newline */
    tsr_status st = parse_dict(npy, (const char *)file + DICT_AT);
    if (st) return st;

    size_t data_bytes = (size_t)npy->elements * tsr_dtype_bytes(npy->type);
    if (data_bytes != bytes - data_at)
        return tsr_fail(TSR_E_FORMAT, "%zu bytes of data, its shape wants %zu", bytes - data_at, data_bytes);
    memmove(file, file + data_at, data_bytes); /* the data becomes the block's start, and so aligned */
    npy->data = file;
    return TSR_OK;
}

tsr_status tsr_npy_read(tsr_npy *out, const char *path, size_t max_bytes)
{
    unsigned char *file = NULL;
    size_t bytes = 0;
    tsr_status st = tsr_file_read(&file, &bytes, path, max_bytes);
    if (st) return st;
    tsr_npy npy = {0};
    st = parse_file(&npy, file, bytes);
    if (st) {
        tsr_free(file);
        return tsr_wrap(st, "%s", path);
    }
    *out = npy;
    return TSR_OK;
}

void tsr_npy_close(tsr_npy *npy)
{
    tsr_free(npy->data);
    *npy = (tsr_npy){0};
}
