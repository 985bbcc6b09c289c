/* runtime/image.c: pictures for the public API. */
#include "runtime/image.h"

#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/sha256.h"
#include "preprocess/sheet.h"
#include "preprocess/tiles.h"

static void hash(char hex[65], const void *data, size_t bytes)
{
    tsr_sha256 h;
    unsigned char digest[32];
    tsr_sha256_begin(&h);
    tsr_sha256_add(&h, data, bytes);
    tsr_sha256_end(&h, digest);
    tsr_sha256_hex(hex, digest);
}

static tsr_status choose_order(tsr_resize_order *out, const char *rule)
{
    static const char *const names[] = {
        [TSR_ORDER_PILLOW_13] = "default", [TSR_ORDER_PILLOW_12_2] = "12.2", [TSR_ORDER_PILLOW_9] = "old"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(rule, names[i])) continue;
        *out = (tsr_resize_order)i;
        return TSR_OK;
    }
    return tsr_fail(TSR_E_ARG, "resize-rule: '%s' was found; default, 12.2 or old is wanted", rule);
}

static tsr_status options(tsr_pixel_opts *pixels, tsr_tile_rule *rule, const tsr_model *m,
                          const tsr_image_opts *o)
{
    static const tsr_image_opts none;
    if (!o) o = &none;
    if (o->max_tiles < 0 || o->min_tiles < 0 || o->max_pixels < 0 || o->max_side < 0 || o->max_file_bytes < 0)
        return tsr_fail(TSR_E_ARG, "image options: a negative number was found");
    *pixels = (tsr_pixel_opts){.parity = m->cut.parity,
                               .allow_truncated = o->allow_truncated,
                               .limits = {.max_pixels = o->max_pixels,
                                          .max_side = o->max_side,
                                          .max_file_bytes = (size_t)o->max_file_bytes}};
    *rule = (tsr_tile_rule){.tile_size = (int)m->cut.tile,
                            .min_tiles = o->min_tiles ? o->min_tiles : m->cut.min_tiles,
                            .max_tiles = o->max_tiles ? o->max_tiles : m->cut.max_tiles,
                            .thumbnail = m->cut.thumbnail && !o->no_thumbnail};
    if (o->max_tiles && !o->min_tiles && rule->min_tiles > rule->max_tiles) rule->min_tiles = rule->max_tiles;
    if (o->min_tiles && !o->max_tiles && rule->max_tiles < rule->min_tiles) rule->max_tiles = rule->min_tiles;
    return choose_order(&rule->order, o->resize_rule ? o->resize_rule : "default");
}

static tsr_status decode(tsr_image **out, const tsr_model *model, const void *data, size_t bytes,
                         const tsr_image_opts *opts)
{
    if (!model->has_vision)
        return tsr_fail(TSR_E_UNSUPPORTED, "%s reads text only; it has no vision encoder", model->name);
    tsr_pixel_opts pixels;
    tsr_tile_rule rule;
    tsr_status st = options(&pixels, &rule, model, opts);
    if (st) return st;
    tsr_image *image = tsr_calloc(1, sizeof *image);
    if (!image) return tsr_fail(TSR_E_NOMEM, "no memory for an image");

    tsr_model *m = (tsr_model *)(uintptr_t)model; /* only the lock is written */
    bool mine = m->pool && !pthread_mutex_trylock(&m->pool_lock);
    st = tsr_tiles_decode(&image->tiles, data, bytes, &pixels, &rule, mine ? m->pool : NULL);
    if (mine) pthread_mutex_unlock(&m->pool_lock);
    if (st) {
        tsr_image_close(image);
        return st;
    }
    const tsr_tiles *t = &image->tiles;
    image->info = (tsr_image_info){.format = t->format == TSR_PICTURE_JPEG ? "jpeg" : "png",
                                   .width = t->width,
                                   .height = t->height,
                                   .columns = t->columns,
                                   .rows = t->rows,
                                   .n_tiles = t->n_tiles,
                                   .has_thumbnail = t->n_tiles > t->columns * t->rows,
                                   .tile_size = t->tile_size,
                                   .n_tokens = t->n_tiles * tsr_model_rows_per_tile(model)};
    hash(image->info.file_hash, data, bytes);
    hash(image->info.tile_hash, t->data, (size_t)t->n_tiles * tsr_tile_bytes(t));
    *out = image;
    return TSR_OK;
}

tsr_status tsr_image_read(tsr_image **out, const tsr_model *model, const void *data, size_t bytes,
                          const char *name, const tsr_image_opts *opts)
{
    tsr_status st = decode(out, model, data, bytes, opts);
    return st ? tsr_wrap(st, "%s", name) : TSR_OK;
}

tsr_status tsr_image_open(tsr_image **out, const tsr_model *model, const char *path,
                          const tsr_image_opts *opts)
{
    unsigned char *data = NULL;
    size_t bytes,
        limit = opts && opts->max_file_bytes > 0 ? (size_t)opts->max_file_bytes : TSR_MAX_FILE_BYTES;
    tsr_status st = tsr_file_read(&data, &bytes, path, limit);
    if (st) return st;
    st = tsr_image_read(out, model, data, bytes, path, opts);
    tsr_free(data);
    return st;
}

void tsr_image_close(tsr_image *image)
{
    if (!image) return;
    tsr_tiles_close(&image->tiles);
    tsr_free(image);
}

const tsr_image_info *tsr_image_about(const tsr_image *image)
{
    return &image->info;
}

const uint8_t *tsr_image_tile(const tsr_image *image, int64_t i)
{
    return tsr_tile_at(&image->tiles, i);
}

tsr_status tsr_image_draw(const tsr_image *image, const char *png_path)
{
    return tsr_sheet_write(png_path, &image->tiles);
}
