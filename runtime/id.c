/* runtime/id.c: what makes a model this model. */
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sha256.h"
#include "runtime/model.h"

enum { END_BYTES = 4096 };

/* Add a file's bytes, if it is there; its length first, so that files cannot run into each other. */
static tsr_status add_file(tsr_sha256 *h, const char *directory, const char *name)
{
    char *path = tsr_path_join(directory, name);
    if (!path) return tsr_fail(TSR_E_NOMEM, "no memory for the path of %s", name);
    tsr_map map = {0};
    tsr_status st = !access(path, F_OK) ? tsr_map_open(&map, path) : TSR_OK;
    if (!st) {
        uint64_t bytes = map.bytes;
        tsr_sha256_add(h, &bytes, sizeof bytes);
        tsr_sha256_add(h, map.data, map.bytes);
        tsr_map_close(&map);
    }
    tsr_free(path);
    return st;
}

static void add_tensor(tsr_sha256 *h, const tsr_tensor *t, bool full)
{
    const unsigned char *data = t->data;
    if (full || t->bytes <= 2 * END_BYTES) {
        tsr_sha256_add(h, data, t->bytes);
        return;
    }
    tsr_sha256_add(h, data, END_BYTES);
    tsr_sha256_add(h, data + t->bytes - END_BYTES, END_BYTES);
}

tsr_status tsr_model_id(const tsr_model *m, char hex[65], int full)
{
    tsr_sha256 h;
    tsr_sha256_begin(&h);
    if (!m->files) { /* made up: the shape and the types say everything */
        const char *text = tsr_shape_config(m->name);
        tsr_sha256_add(&h, text, strlen(text));
        tsr_sha256_add(&h, m->weight_text, strlen(m->weight_text));
    } else {
        tsr_status st = add_file(&h, m->path, "config.json");
        if (!st) st = add_file(&h, m->path, "tokenizer.json");
        if (st) return st;
        for (int64_t i = 0; i < tsr_safetensors_shards(m->files); i++) {
            const unsigned char *header;
            size_t header_bytes, file_bytes;
            tsr_safetensors_header(m->files, i, &header, &header_bytes, &file_bytes);
            uint64_t sizes[2] = {header_bytes, file_bytes};
            tsr_sha256_add(&h, sizes, sizeof sizes);
            tsr_sha256_add(&h, header, header_bytes);
        }
        for (int64_t i = 0; i < tsr_safetensors_count(m->files); i++)
            add_tensor(&h, tsr_safetensors_at(m->files, i), full != 0);
    }
    unsigned char digest[32];
    tsr_sha256_end(&h, digest);
    tsr_sha256_hex(hex, digest);
    return TSR_OK;
}
