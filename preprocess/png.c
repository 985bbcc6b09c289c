/* preprocess/png.c: PNG through libpng, with the colour rules of Pillow or vLLM.
 *
 * All colour types become 3 or 4 bytes a pixel inside libpng, 16-bit samples by their high byte. 16-bit grey under
 * the other parity is the exception: it comes as stored and is clipped here. The buffer is as large as the widest
 * form needs, and the last step brings it to RGB in place.
 */
#include "preprocess/png.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/log.h"
#include "preprocess/exif.h"
#include "preprocess/resize.h"

enum { MAX_ANCILLARY_CHUNKS = 128 };

/* Bytes of image data that libpng asks for in one piece. The last, incomplete piece of a truncated file is lost. */
enum { READ_AT_ONCE = 1024 };

typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf failed;
    tsr_status status; /* why we jumped */
    const uint8_t *file;
    size_t bytes, at;
    bool ended;     /* asked for bytes behind the last one */
    bool no_memory; /* libpng goes on without optional chunks; we do not */

    int64_t width, height;
    char warning[128];
    bool clip_grey; /* 16-bit grey, as stored */
} png_reader;

/* ---- Callbacks ---- */

static void fail_library(png_structp png, png_const_charp message)
{
    png_reader *r = png_get_error_ptr(png);
    if (r->no_memory)
        r->status = tsr_fail(TSR_E_NOMEM, "PNG: no memory to decode %lld x %lld pixels", (long long)r->width,
                             (long long)r->height);
    else if (r->ended)
        r->status = tsr_fail(TSR_E_FORMAT,
                             "PNG: truncated: the file of %zu bytes ends before the picture does", r->bytes);
    else if (r->warning[0])
        r->status = tsr_fail(TSR_E_FORMAT, "PNG: %s (%s)", message, r->warning);
    else
        r->status = tsr_fail(TSR_E_FORMAT, "PNG: %s", message);
    longjmp(r->failed, 1);
}

static void note_warning(png_structp png, png_const_charp message)
{
    png_reader *r = png_get_error_ptr(png);
    snprintf(r->warning, sizeof r->warning, "%s", message); /* may explain the error that follows */
    tsr_log(TSR_LOG_DEBUG, "PNG: %s", message);
}

static png_voidp take(png_structp png, png_alloc_size_t bytes)
{
    png_reader *r = png_get_mem_ptr(png);
    void *block = tsr_alloc(bytes);
    if (!block) r->no_memory = true;
    return block;
}

static void give_back(png_structp png, png_voidp block)
{
    (void)png;
    tsr_free(block);
}

static void read_bytes(png_structp png, png_bytep to, size_t n)
{
    png_reader *r = png_get_io_ptr(png);
    if (n > r->bytes - r->at) {
        r->ended = true;
        png_error(png, "truncated");
    }
    memcpy(to, r->file + r->at, n);
    r->at += n;
}

/* ---- Header ---- */

static void set_limits(png_reader *r, const tsr_picture_limits *limits)
{
    /* None of these changes a pixel here; a compressed profile could be a bomb, or merely wrong. */
    static const png_byte ignored[] =
        "iCCP\0sPLT\0hIST\0pCAL\0sCAL\0oFFs\0pHYs\0tIME\0bKGD\0sBIT\0gAMA\0cHRM\0sRGB";
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, ignored, sizeof ignored / 5);
    png_set_chunk_malloc_max(r->png, limits->max_png_chunk_bytes ? limits->max_png_chunk_bytes
                                                                 : TSR_MAX_PNG_CHUNK_BYTES);
    png_set_chunk_cache_max(r->png, MAX_ANCILLARY_CHUNKS);
    png_set_compression_buffer_size(r->png, READ_AT_ONCE);
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* ours are checked with better words */
}

static void choose_form(png_reader *r, tsr_parity parity)
{
    int depth = png_get_bit_depth(r->png, r->info), type = png_get_color_type(r->png, r->info);
    png_set_interlace_handling(r->png);
    if (type == PNG_COLOR_TYPE_GRAY && depth == 16 && parity == TSR_PARITY_HF) {
        r->clip_grey = true;
    } else {
        png_set_expand(r->png); /* palettes, few bits, and tRNS to alpha */
        png_set_strip_16(r->png);
        png_set_gray_to_rgb(r->png);
        if (parity == TSR_PARITY_HF) png_set_strip_alpha(r->png);
    }
    png_read_update_info(r->png, r->info);
}

static int64_t big_endian(const uint8_t *b)
{
    return (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

/* The size stands at a fixed place. Checking it before libpng sees the file gives better words, and no work. */
static tsr_status check_size(png_reader *r, const tsr_picture_limits *limits)
{
    enum { WIDTH_AT = 16, HEIGHT_AT = 20 };
    if (r->bytes < HEIGHT_AT + 4) return TSR_OK; /* libpng will find it truncated */
    if (memcmp(r->file + 12, "IHDR", 4))
        return tsr_fail(TSR_E_FORMAT, "PNG: the header is not the first chunk");
    r->width = big_endian(r->file + WIDTH_AT);
    r->height = big_endian(r->file + HEIGHT_AT);
    tsr_status st = tsr_picture_check_size(limits, r->width, r->height);
    return st ? tsr_wrap(st, "PNG") : TSR_OK;
}

static tsr_status read_header(png_reader *r, const tsr_pixel_opts *opts)
{
    if (setjmp(r->failed)) return r->status;
    set_limits(r, &opts->limits);
    png_read_info(r->png, r->info);
    assert(png_get_image_width(r->png, r->info) == r->width &&
           png_get_image_height(r->png, r->info) == r->height);
    choose_form(r, opts->parity);
    return TSR_OK;
}

/* ---- Rows and what follows them ---- */

static tsr_status read_rows(png_reader *r, uint8_t *pixels)
{
    if (setjmp(r->failed)) return r->status;
    size_t stride = png_get_rowbytes(r->png, r->info);
    int n_passes =
        png_get_interlace_type(r->png, r->info) == PNG_INTERLACE_ADAM7 ? PNG_INTERLACE_ADAM7_PASSES : 1;
    for (int pass = 0; pass < n_passes; pass++)
        for (int64_t y = 0; y < r->height; y++) png_read_row(r->png, pixels + (size_t)y * stride, NULL);
    return TSR_OK;
}

/* Metadata may stand behind the picture. */
static tsr_status read_end(png_reader *r)
{
    if (setjmp(r->failed)) return r->status;
    png_read_end(r->png, r->info);
    return TSR_OK;
}

static int find_orientation(png_reader *r)
{
    png_uint_32 n_exif = 0;
    png_bytep exif = NULL;
    int orientation = 0;
    bool has_exif = png_get_eXIf_1(r->png, r->info, &n_exif, &exif) != 0;
    if (has_exif) orientation = tsr_exif_orientation(exif, n_exif);

    png_textp texts = NULL;
    int n_texts = 0, xmp = 0;
    png_get_text(r->png, r->info, &texts, &n_texts);
    for (int i = 0; i < n_texts; i++) {
        char *text = texts[i].text;
        if (!text) continue;
        if (!strcmp(texts[i].key, "XML:com.adobe.xmp")) xmp = tsr_xmp_orientation(text, strlen(text));
        if (!has_exif && !strcmp(texts[i].key, "Raw profile type exif"))
            orientation = tsr_raw_profile_orientation(text, strlen(text));
    }
    return orientation ? orientation : xmp ? xmp : 1;
}

/* ---- To RGB ---- */

/* Over white, rounded as Pillow's paste rounds. */
static void rgb_over_white(uint8_t *pixels, int64_t n)
{
    const uint8_t *from = pixels;
    for (int64_t i = 0; i < n; i++, pixels += 3, from += 4) {
        uint32_t alpha = from[3];
        for (int c = 0; c < 3; c++) {
            uint32_t t = 255 * (255 - alpha) + from[c] * alpha + 128;
            pixels[c] = (uint8_t)(((t >> 8) + t) >> 8);
        }
    }
}

/* Two bytes become three, so from the end. */
static void rgb_of_clipped_grey(uint8_t *pixels, int64_t n)
{
    for (int64_t i = n - 1; i >= 0; i--) {
        uint8_t grey = pixels[2 * i] ? 255 : pixels[2 * i + 1];
        memset(pixels + 3 * i, grey, 3);
    }
}

static tsr_status decode(png_reader *r, tsr_picture *out, const tsr_pixel_opts *opts)
{
    tsr_status st = check_size(r, &opts->limits);
    if (!st) st = read_header(r, opts);
    if (st) return st;

    size_t stride = png_get_rowbytes(r->png, r->info);
    size_t each = stride / (size_t)r->width;
    size_t pixels = tsr_mul((size_t)r->width, (size_t)r->height);
    size_t buffer = tsr_add(tsr_mul(pixels, each < 3 ? 3 : each), TSR_RGB_SLACK);
    out->rgb = tsr_pixels_alloc(buffer);
    if (!out->rgb)
        return tsr_fail(TSR_E_NOMEM, "PNG: no memory for %lld x %lld pixels", (long long)r->width,
                        (long long)r->height);
    out->width = r->width;
    out->height = r->height;
    memset(out->rgb, 0,
           buffer); /* interlaced rows are built up in place; of a truncated file some never come */

    st = read_rows(r, out->rgb);
    if (st && (r->no_memory || !opts->allow_truncated)) return st;
    if (st) {
        tsr_log(TSR_LOG_WARN, "%s; kept what is there", tsr_message());
    } else if (read_end(r)) {
        if (!r->no_memory) tsr_log(TSR_LOG_WARN, "%s, after its last row; decoded anyway", tsr_message());
    }
    if (r->no_memory) return tsr_fail(TSR_E_NOMEM, "PNG: no memory for its metadata");

    out->orientation = find_orientation(r);
    if (r->clip_grey)
        rgb_of_clipped_grey(out->rgb, (int64_t)pixels);
    else if (each == 4)
        rgb_over_white(out->rgb, (int64_t)pixels);
    return TSR_OK;
}

static tsr_status open_reader(png_reader *r)
{
    if (setjmp(r->failed)) return r->status;
    r->png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, fail_library, note_warning, r, take, give_back);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->png || !r->info) return tsr_fail(TSR_E_NOMEM, "PNG: no memory for a decoder");
    png_set_read_fn(r->png, r, read_bytes);
    return TSR_OK;
}

tsr_status tsr_png_read(tsr_picture *out, const uint8_t *file, size_t bytes, const tsr_pixel_opts *opts)
{
    png_reader r = {.file = file, .bytes = bytes};
    tsr_status st = open_reader(&r);
    if (!st) st = decode(&r, out, opts);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (st) tsr_picture_close(out);
    return st;
}
