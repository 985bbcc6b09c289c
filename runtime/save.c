/* runtime/save.c: a session as a file.
 *
 * Layout, little-endian: the header below; past [n_past] i32; image hashes [n_images] of 64 hex digits; the
 * sequence's state in the canonical layout of lm/state.h; SHA-256 of all of that. Everything is checked
 * before anything of the session is touched.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sha256.h"
#include "runtime/engine.h"

static const char magic[8] = {'T', 'S', 'R', 'S', 'T', 'A', 'T', 'E'};

enum { VERSION = 2, HASH_HEX = 64, ANSWERED = 1, ENDS_LINE = 2, THINK = 4 };

typedef struct header {
    char magic[8];
    uint32_t version;
    uint32_t conv_type, kv_type; /* tsr_dtype */
    uint32_t flags;              /* ANSWERED, ENDS_LINE, and tsr_think from THINK on */
    uint32_t ssm_type, zero;
    int64_t pos, n_past, image_rows, n_images, images_said;
    uint64_t state_bytes;
    char model[HASH_HEX];
} header;

static void types_of(const tsr_engine *e, uint32_t *conv, uint32_t *kv, uint32_t *ssm)
{
    *ssm = (uint32_t)e->sizes.ssm_type;
    *conv = (uint32_t)e->queue->type;
    *kv = (uint32_t)e->sizes.kv_type;
}

tsr_status tsr_session_save(const tsr_session *s, const char *path)
{
    const tsr_engine *e = s->engine;
    if (s->n_waiting || (s->n_turns && s->answered))
        return tsr_fail(TSR_E_ARG, "%s: turns wait to be read; read or generate before saving", path);
    char id[65];
    tsr_status st = tsr_model_id(e->model, id, 0);
    if (st) return st;

    header h = {.version = VERSION,
                .flags = (s->answered ? ANSWERED : 0) | (s->ends_line ? ENDS_LINE : 0) |
                         (uint32_t)s->prompt.think * THINK,
                .pos = s->seq.pos,
                .n_past = s->past.n,
                .image_rows = s->image_rows,
                .n_images = s->n_images,
                .images_said = s->prompt.n_images_before + s->prompt.n_images,
                .state_bytes = tsr_seq_saved_bytes(e->state, s->seq.pos)};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.model, id, HASH_HEX);
    types_of(e, &h.conv_type, &h.kv_type, &h.ssm_type);

    void *state = tsr_alloc(h.state_bytes);
    if (!state)
        return tsr_fail(TSR_E_NOMEM, "%s: no memory for %llu bytes of state", path,
                        (unsigned long long)h.state_bytes);
    st = tsr_seq_save(&s->seq, state);
    tsr_file_piece pieces[] = {{&h, sizeof h},
                               {s->past.items, (size_t)s->past.n * sizeof *s->past.items},
                               {s->image_hashes, (size_t)s->n_images * sizeof *s->image_hashes},
                               {state, h.state_bytes},
                               {NULL, 32}};
    enum { N_PIECES = sizeof pieces / sizeof pieces[0] };
    unsigned char digest[32];
    tsr_sha256 sum;
    tsr_sha256_begin(&sum);
    for (int i = 0; i + 1 < N_PIECES; i++) tsr_sha256_add(&sum, pieces[i].data, pieces[i].bytes);
    tsr_sha256_end(&sum, digest);
    pieces[N_PIECES - 1].data = digest;
    if (!st) st = tsr_file_write(path, pieces, N_PIECES);
    tsr_free(state);
    return st;
}

static tsr_status damaged(const char *what)
{
    return tsr_fail(TSR_E_FORMAT, "damaged: %s", what);
}

/* Header, sizes, checksum, model: all that can be wrong. */
static tsr_status check(const tsr_session *s, const tsr_map *map, header *h)
{
    const tsr_engine *e = s->engine;
    if (map->bytes < sizeof *h + 32)
        return tsr_fail(TSR_E_FORMAT, "%zu bytes are no saved session", map->bytes);
    memcpy(h, map->data, sizeof *h);
    if (memcmp(h->magic, magic, sizeof magic)) return tsr_fail(TSR_E_FORMAT, "not a saved session");
    if (h->version != VERSION)
        return tsr_fail(TSR_E_UNSUPPORTED, "format version %u was found; %d is wanted", h->version, VERSION);

    bool sane = h->n_past >= 0 && h->n_past <= e->sizes.n_ctx && h->pos >= 0 && h->pos <= h->n_past &&
                h->image_rows >= 0 && h->image_rows <= h->n_past && h->n_images >= 0 &&
                h->n_images <= h->n_past && h->flags / THINK < TSR_N_THINK && h->images_said >= 0 &&
                h->images_said <= h->n_images;
    if (!sane && h->n_past > e->sizes.n_ctx)
        return tsr_fail(TSR_E_CONTEXT, "%lld tokens were saved; this context holds %lld",
                        (long long)h->n_past, (long long)e->sizes.n_ctx);
    if (!sane) return damaged("sizes that contradict each other");
    size_t wanted =
        sizeof *h + (size_t)h->n_past * sizeof(int32_t) + (size_t)h->n_images * sizeof *s->image_hashes + 32;
    if (h->state_bytes > map->bytes || wanted + h->state_bytes != map->bytes)
        return damaged("it is cut short or too long");

    tsr_sha256 sum;
    unsigned char digest[32];
    tsr_sha256_begin(&sum);
    tsr_sha256_add(&sum, map->data, map->bytes - 32);
    tsr_sha256_end(&sum, digest);
    if (memcmp(digest, map->data + map->bytes - 32, 32)) return damaged("the checksum does not match");

    char id[65];
    tsr_status st = tsr_model_id(e->model, id, 0);
    if (st) return st;
    if (memcmp(id, h->model, HASH_HEX))
        return tsr_fail(TSR_E_ARG, "saved with model %.12s; this is model %.12s", h->model, id);
    uint32_t conv, kv, ssm;
    types_of(e, &conv, &kv, &ssm);
    if (conv != h->conv_type || kv != h->kv_type)
        return tsr_fail(TSR_E_ARG,
                        "saved with other types of activations or KV (--dtype, --kv) than this engine's");
    if (ssm != h->ssm_type)
        return tsr_fail(TSR_E_ARG, "saved with another type of state (--state) than this engine's");
    if (h->state_bytes != tsr_seq_saved_bytes(e->state, h->pos)) return damaged("a state of another size");
    return TSR_OK;
}

static tsr_status restore(tsr_session *s, const unsigned char *at, const header *h)
{
    void *past = tsr_alloc((size_t)h->n_past * sizeof(int32_t));
    void *hashes = tsr_alloc((size_t)h->n_images * sizeof *s->image_hashes);
    if (!past || !hashes) {
        tsr_free(past);
        tsr_free(hashes);
        return tsr_fail(TSR_E_NOMEM, "no memory for %lld tokens", (long long)h->n_past);
    }
    size_t past_bytes = (size_t)h->n_past * sizeof(int32_t),
           hash_bytes = (size_t)h->n_images * sizeof *s->image_hashes;
    const unsigned char *state = at + past_bytes + hash_bytes;
    tsr_status st = tsr_seq_restore(&s->seq, state, h->state_bytes, h->pos);
    if (st) {
        tsr_free(past);
        tsr_free(hashes);
        return st;
    }
    memcpy(past, at, past_bytes);
    memcpy(hashes, at + past_bytes, hash_bytes);
    tsr_free(s->past.items);
    tsr_free(s->image_hashes);
    s->past = (tsr_ids){past, h->n_past, h->n_past};
    s->image_hashes = hashes;
    s->n_images = s->image_capacity = h->n_images;
    s->image_rows = h->image_rows;
    s->n_waiting = 0;
    s->untaken = (tsr_untaken){0};
    tsr_session_forget_turns(s);
    s->answered = h->flags & ANSWERED;
    s->ends_line = h->flags & ENDS_LINE;
    s->prompt.n_images_before = h->images_said;
    s->prompt.n_images = 0;
    s->prompt.think = (tsr_think)(h->flags / THINK);
    return TSR_OK;
}

tsr_status tsr_session_load(tsr_session *s, const char *path)
{
    tsr_map map = {0};
    header h;
    tsr_status st = tsr_map_open(&map, path);
    if (st) return st;
    st = check(s, &map, &h);
    if (!st) st = restore(s, map.data + sizeof h, &h);
    tsr_map_close(&map);
    return st ? tsr_wrap(st, "%s", path) : TSR_OK;
}
