/* preprocess/sheet.c: a picture of the tiles. Nothing here reaches the model, so a stock resize will do. */
#include "preprocess/sheet.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"

#define STBIR_MALLOC(bytes, user) ((void)(user), tsr_alloc(bytes))
#define STBIR_FREE(block, user) ((void)(user), tsr_free(block))
#ifdef TSR_STB_RESIZE2
#define STB_IMAGE_RESIZE2_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb_image_resize2.h>
#else
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb_image_resize.h>
#endif

enum {
    GAP = 6,
    SHEET_SIDE = 1600, /* aimed at, cells permitting */
    MIN_CELL = 16,
    BACKGROUND = 0xd0
};

typedef struct sheet {
    int cell;
    int64_t width, height;
    uint8_t *rgb;
} sheet;

/* ---- Drawing ---- */

static int resize_cell(uint8_t *out, int cell, int64_t out_stride, const uint8_t *tile, int size)
{
#ifdef TSR_STB_RESIZE2
    return stbir_resize_uint8_linear(tile, size, size, 0, out, cell, cell, (int)out_stride, STBIR_RGB) !=
           NULL;
#else
    return stbir_resize_uint8(tile, size, size, 0, out, cell, cell, (int)out_stride, 3);
#endif
}

static tsr_status draw(sheet *s, const tsr_tiles *t)
{
    int n_cut = t->columns * t->rows;
    int columns = t->columns + (t->n_tiles > n_cut), longer = columns > t->rows ? columns : t->rows;
    s->cell = (SHEET_SIDE - GAP) / longer - GAP;
    if (s->cell > t->tile_size) s->cell = t->tile_size;
    if (s->cell < MIN_CELL) s->cell = MIN_CELL;
    int64_t pitch = s->cell + GAP;
    s->width = columns * pitch + GAP;
    s->height = t->rows * pitch + GAP;
    size_t bytes = tsr_mul(3 * (size_t)s->width, (size_t)s->height);
    s->rgb = tsr_alloc(bytes);
    if (!s->rgb) return tsr_fail(TSR_E_NOMEM, "no memory for a sheet of %d tiles", t->n_tiles);
    memset(s->rgb, BACKGROUND, bytes);

    for (int i = 0; i < t->n_tiles; i++) {
        int64_t column = i < n_cut ? i % t->columns : t->columns, row = i < n_cut ? i / t->columns : 0;
        uint8_t *at = s->rgb + ((GAP + row * pitch) * s->width + GAP + column * pitch) * 3;
        if (!resize_cell(at, s->cell, 3 * s->width, tsr_tile_at(t, i), t->tile_size))
            return tsr_fail(TSR_E_NOMEM, "no memory to scale tile %d", i);
    }
    return TSR_OK;
}

/* ---- Writing ---- */

typedef struct png_writer {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    unsigned char *file;
    int64_t bytes, capacity;
} png_writer;

static void fail_library(png_structp png, png_const_charp message)
{
    (void)message;
    png_writer *w = png_get_error_ptr(png);
    longjmp(w->failed, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp take(png_structp png, png_alloc_size_t bytes)
{
    (void)png;
    return tsr_alloc(bytes);
}

static void give_back(png_structp png, png_voidp block)
{
    (void)png;
    tsr_free(block);
}

static void append(png_structp png, png_bytep data, size_t n)
{
    png_writer *w = png_get_io_ptr(png);
    if (!tsr_grow((void **)&w->file, &w->capacity, w->bytes + (int64_t)n, 1)) png_error(png, "no memory");
    memcpy(w->file + w->bytes, data, n);
    w->bytes += (int64_t)n;
}

static void flush(png_structp png)
{
    (void)png;
}

/* All that can fail here is memory. */
static tsr_status encode(png_writer *w, const sheet *s)
{
    if (setjmp(w->failed)) return tsr_fail(TSR_E_NOMEM, "no memory to write a PNG of the tiles");
    w->png =
        png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, fail_library, ignore_warning, w, take, give_back);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (!w->info) longjmp(w->failed, 1);
    png_set_write_fn(w->png, w, append, flush);
    png_set_IHDR(w->png, w->info, (png_uint_32)s->width, (png_uint_32)s->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (int64_t y = 0; y < s->height; y++) png_write_row(w->png, s->rgb + y * s->width * 3);
    png_write_end(w->png, w->info);
    return TSR_OK;
}

tsr_status tsr_sheet_write(const char *path, const tsr_tiles *tiles)
{
    sheet s = {0};
    png_writer w = {0};
    tsr_status st = draw(&s, tiles);
    if (!st) st = encode(&w, &s);
    if (!st) st = tsr_file_write(path, &(tsr_file_piece){w.file, (size_t)w.bytes}, 1);
    png_destroy_write_struct(&w.png, &w.info);
    tsr_free(w.file);
    tsr_free(s.rgb);
    return st;
}
