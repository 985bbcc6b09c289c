/* preprocess/image.c: which decoder, which limits, which way up. */
#include "preprocess/image.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "preprocess/jpeg.h"
#include "preprocess/png.h"
#include "preprocess/resize.h"

/* ---- What it is ---- */

typedef struct signature {
    const char *name;
    size_t at, bytes;
    const char *text;
} signature;

static const signature others[] = {
    {"GIF", 0, 4, "GIF8"},
    {"WebP", 8, 4, "WEBP"},
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"TIFF", 0, 4, "II+\0"},
    {"TIFF", 0, 4, "MM\0+"},
    {"BMP", 0, 2, "BM"},
    {"PDF", 0, 5, "%PDF-"},
    {"AVIF", 4, 8, "ftypavif"},
    {"AVIF", 4, 8, "ftypavis"},
    {"HEIC", 4, 7, "ftyphei"},
    {"HEIC", 4, 8, "ftypmif1"},
    {"HEIC", 4, 8, "ftypmsf1"},
    {"JPEG 2000", 0, 8, "\0\0\0\014jP  "},
    {"JPEG 2000", 0, 4, "\377\117\377\121"},
    {"JPEG XL", 0, 8, "\0\0\0\014JXL "},
    {"JPEG XL", 0, 2, "\377\012"},
    {"Photoshop", 0, 4, "8BPS"},
    {"ICO", 0, 4, "\0\0\1\0"},
    {"OpenEXR", 0, 4, "v/1\1"},
    {"QOI", 0, 4, "qoif"},
};

static bool is_svg(const char *text, size_t bytes)
{
    if (bytes > 1024) bytes = 1024;
    size_t at = bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    while (at < bytes && memchr(" \t\r\n", text[at], 4)) at++;
    return at < bytes && text[at] == '<' && memmem(text + at, bytes - at, "<svg", 4);
}

tsr_status tsr_picture_sniff(tsr_picture_format *out, const void *file, size_t bytes)
{
    const uint8_t *b = file;
    if (bytes == 0) return tsr_fail(TSR_E_FORMAT, "the file is empty; a JPEG or PNG image is wanted");
    if (bytes >= 3 && !memcmp(b, "\377\330\377", 3)) {
        *out = TSR_PICTURE_JPEG;
        return TSR_OK;
    }
    if (bytes >= 8 && !memcmp(b, "\211PNG\r\n\032\n", 8)) {
        *out = TSR_PICTURE_PNG;
        return TSR_OK;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const signature *s = &others[i];
        if (bytes >= s->at + s->bytes && !memcmp(b + s->at, s->text, s->bytes))
            return tsr_fail(TSR_E_UNSUPPORTED, "this is a %s file; JPEG and PNG are read", s->name);
    }
    if (bytes >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '7' && memchr(" \t\r\n#", b[2], 5))
        return tsr_fail(TSR_E_UNSUPPORTED, "this is a PNM file; JPEG and PNG are read");
    if (is_svg(file, bytes)) return tsr_fail(TSR_E_UNSUPPORTED, "this is an SVG file; JPEG and PNG are read");

    char start[4 * 3 + 1] = "";
    for (size_t i = 0; i < 4 && i < bytes; i++) {
        start[3 * i] = ' ';
        start[3 * i + 1] = "0123456789abcdef"[b[i] >> 4];
        start[3 * i + 2] = "0123456789abcdef"[b[i] & 15];
        start[3 * i + 3] = 0;
    }
    return tsr_fail(TSR_E_FORMAT,
                    "this is no image: its %zu bytes begin with%s; a JPEG or PNG image is wanted", bytes,
                    start);
}

const char *tsr_picture_format_name(tsr_picture_format format)
{
    static const char *const names[] = {"RGB", "JPEG", "PNG"};
    return names[format];
}

/* ---- Limits ---- */

tsr_status tsr_picture_check_file(const tsr_picture_limits *limits, size_t bytes)
{
    size_t max = limits->max_file_bytes ? limits->max_file_bytes : TSR_MAX_FILE_BYTES;
    if (bytes > max) return tsr_fail(TSR_E_LIMIT, "an image file of %zu bytes; the limit is %zu", bytes, max);
    return TSR_OK;
}

tsr_status tsr_picture_check_size(const tsr_picture_limits *limits, int64_t width, int64_t height)
{
    enum { LARGEST_SIDE = 1 << 24 }; /* products with 3, 4 and a row count stay far inside int64 */
    int64_t max_side = limits->max_side ? limits->max_side : TSR_MAX_SIDE;
    int64_t max_pixels = limits->max_pixels ? limits->max_pixels : TSR_MAX_PIXELS;
    if (max_side > LARGEST_SIDE) max_side = LARGEST_SIDE;
    if (width < 1 || height < 1)
        return tsr_fail(TSR_E_FORMAT, "%lld x %lld pixels; both sides must be at least 1", (long long)width,
                        (long long)height);
    if (width > max_side || height > max_side)
        return tsr_fail(TSR_E_LIMIT, "%lld x %lld pixels; the limit is %lld on a side", (long long)width,
                        (long long)height, (long long)max_side);
    if (width * height > max_pixels)
        return tsr_fail(TSR_E_LIMIT, "%lld x %lld are %lld pixels; the limit is %lld", (long long)width,
                        (long long)height, (long long)(width * height), (long long)max_pixels);
    return TSR_OK;
}

/* ---- The picture ---- */

tsr_status tsr_picture_open(tsr_picture *out, int64_t width, int64_t height)
{
    size_t bytes = tsr_mul(tsr_mul((size_t)width, (size_t)height), 3);
    uint8_t *rgb = tsr_pixels_alloc(tsr_add(bytes, TSR_RGB_SLACK));
    if (!rgb)
        return tsr_fail(TSR_E_NOMEM, "no memory for %lld x %lld pixels", (long long)width, (long long)height);
    memset(rgb + bytes, 0, TSR_RGB_SLACK);
    *out = (tsr_picture){.rgb = rgb, .width = width, .height = height, .orientation = 1};
    return TSR_OK;
}

void tsr_picture_close(tsr_picture *image)
{
    tsr_free(image->rgb);
    *image = (tsr_picture){0};
}

typedef struct turn {
    uint8_t *to;
    const uint8_t *from;
    int64_t width, height;          /* of the result */
    int64_t origin, step_x, step_y; /* source pixel of result (x, y): origin + x * step_x + y * step_y */
} turn;

enum { BLOCK = 32 }; /* a square of source and one of result stay in the first-level cache together */

static void turn_rows(void *arg, int64_t task, int worker)
{
    (void)worker;
    const turn *t = arg;
    int64_t first = task * BLOCK, last = first + BLOCK < t->height ? first + BLOCK : t->height;
    for (int64_t left = 0; left < t->width; left += BLOCK) {
        int64_t right = left + BLOCK < t->width ? left + BLOCK : t->width;
        for (int64_t y = first; y < last; y++) {
            uint8_t *to = t->to + (y * t->width + left) * 3;
            for (int64_t x = left; x < right; x++, to += 3) {
                const uint8_t *from = t->from + (t->origin + x * t->step_x + y * t->step_y) * 3;
                to[0] = from[0];
                to[1] = from[1];
                to[2] = from[2];
            }
        }
    }
}

tsr_status tsr_picture_orient(tsr_picture *image, int orientation, tsr_pool *pool)
{
    assert(orientation >= 1 && orientation <= 8);
    if (orientation == 1) return TSR_OK;
    int64_t w = image->width, h = image->height;
    bool swap = orientation >= 5;
    /* where the result's first pixel comes from, and whether its rows run along the source's columns */
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int64_t along_row = from_right ? -1 : 1, along_column = from_bottom ? -w : w;

    tsr_picture turned;
    tsr_status st = tsr_picture_open(&turned, swap ? h : w, swap ? w : h);
    if (st) return st;
    turn t = {.to = turned.rgb,
              .from = image->rgb,
              .width = turned.width,
              .height = turned.height,
              .origin = (from_right ? w - 1 : 0) + (from_bottom ? (h - 1) * w : 0),
              .step_x = swap ? along_column : along_row,
              .step_y = swap ? along_row : along_column};
    tsr_resize_run(pool, (t.height + BLOCK - 1) / BLOCK, turn_rows, &t);
    turned.format = image->format;
    turned.orientation = image->orientation;
    tsr_picture_close(image);
    *image = turned;
    return TSR_OK;
}

static tsr_status decode_jpeg(tsr_picture *out, const uint8_t *file, size_t bytes, const tsr_pixel_opts *opts)
{
    tsr_jpeg *jpeg = NULL;
    tsr_status st = tsr_jpeg_open(&jpeg, file, bytes, opts);
    if (!st) st = tsr_picture_open(out, tsr_jpeg_width(jpeg), tsr_jpeg_height(jpeg));
    if (!st) {
        out->orientation = tsr_jpeg_orientation(jpeg);
        st = tsr_jpeg_rows(jpeg, out->rgb, out->height);
        if (st) tsr_picture_close(out);
    }
    tsr_jpeg_close(jpeg);
    return st;
}

tsr_status tsr_picture_decode(tsr_picture *out, const void *file, size_t bytes, const tsr_pixel_opts *opts,
                              tsr_pool *pool)
{
    tsr_picture image = {0};
    tsr_picture_format format;
    tsr_status st = tsr_picture_check_file(&opts->limits, bytes);
    if (!st) st = tsr_picture_sniff(&format, file, bytes);
    if (st) return st;
    if (format == TSR_PICTURE_JPEG)
        st = decode_jpeg(&image, file, bytes, opts);
    else
        st = tsr_png_read(&image, file, bytes, opts);
    if (st) return st;

    image.format = format;
    if (opts->parity == TSR_PARITY_VLLM) st = tsr_picture_orient(&image, image.orientation, pool);
    if (st) {
        tsr_picture_close(&image);
        return st;
    }
    *out = image;
    return TSR_OK;
}
