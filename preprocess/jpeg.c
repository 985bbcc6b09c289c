/* preprocess/jpeg.c: JPEG through libjpeg-turbo, with the settings and the colour rules of Pillow.
 *
 * The library reports errors by a call that must not return: it jumps back to the setjmp of whichever shared
 * function is running. All that must survive the jump lives in the struct.
 */
#include "preprocess/jpeg.h"

#include <assert.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/log.h"
#include "preprocess/exif.h"

enum { ROWS_AT_ONCE = 16 };

struct tsr_jpeg {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    tsr_status status; /* why we jumped */

    size_t bytes;
    bool allow_truncated;
    bool started, truncated;
    int max_scans;
    int orientation;
    uint8_t *cmyk_row; /* [width, 4]; only for four components */
    char warning[JMSG_LENGTH_MAX];
};

/* ---- Callbacks ---- */

static void fail_library(j_common_ptr info)
{
    tsr_jpeg *j = info->client_data;
    char message[JMSG_LENGTH_MAX];
    info->err->format_message(info, message);
    if (info->err->msg_code == JERR_OUT_OF_MEMORY)
        j->status = tsr_fail(TSR_E_NOMEM, "JPEG: no memory to decode %u x %u pixels", j->info.image_width,
                             j->info.image_height);
    else
        j->status = tsr_fail(TSR_E_FORMAT, "JPEG: %s", message);
    longjmp(j->failed, 1);
}

static void note_message(j_common_ptr info, int level)
{
    tsr_jpeg *j = info->client_data;
    if (level >= 0) return; /* traces */
    if (info->err->num_warnings++ == 0) info->err->format_message(info, j->warning);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

static void do_nothing(j_decompress_ptr info)
{
    (void)info;
}

/* All bytes were there from the start, so being asked for more means that the file ends too early. */
static boolean end_of_file(j_decompress_ptr info)
{
    static const JOCTET end_of_image[] = {0xff, JPEG_EOI};
    tsr_jpeg *j = info->client_data;
    if (!j->allow_truncated) {
        if (info->output_scanline)
            j->status = tsr_fail(TSR_E_FORMAT, "JPEG: truncated: the file of %zu bytes ends in row %u of %u",
                                 j->bytes, info->output_scanline, info->output_height);
        else
            j->status =
                tsr_fail(TSR_E_FORMAT, "JPEG: truncated: the file of %zu bytes ends before the picture does",
                         j->bytes);
        longjmp(j->failed, 1);
    }
    j->truncated = true;
    j->source.next_input_byte = end_of_image;
    j->source.bytes_in_buffer = sizeof end_of_image;
    return TRUE;
}

static void skip_input(j_decompress_ptr info, long n_bytes)
{
    tsr_jpeg *j = info->client_data;
    if (n_bytes <= 0) return;
    if ((size_t)n_bytes > j->source.bytes_in_buffer) {
        end_of_file(info);
        return;
    }
    j->source.next_input_byte += n_bytes;
    j->source.bytes_in_buffer -= (size_t)n_bytes;
}

static void count_scans(j_common_ptr info)
{
    tsr_jpeg *j = info->client_data;
    if (j->info.input_scan_number <= j->max_scans) return;
    j->status = tsr_fail(TSR_E_LIMIT, "JPEG: more than %d scans", j->max_scans);
    longjmp(j->failed, 1);
}

/* ---- Header ---- */

/* The start-of-frame segment: its marker's code, then what the bytes say. */
typedef struct frame {
    int code; /* 0: none was found */
    int precision;
    int64_t width, height;
} frame;

/* Markers are walked here because the library's versions differ in what they accept (3.0 decodes lossless files,
 * arithmetic coding depends on how it was built), and so that a size is refused before any work. Files that are
 * beyond this walk are left to the library's own words. */
static frame find_frame(const uint8_t *file, size_t bytes)
{
    enum { SEGMENT = 4, PRECISION_AT = 4, HEIGHT_AT = 5, WIDTH_AT = 7, FRAME_BYTES = 9 };
    size_t at = 2;
    while (bytes - at >= SEGMENT && file[at] == 0xff) {
        const uint8_t *marker = file + at;
        int code = marker[1];
        if (code == 0xff) { /* fill */
            at++;
            continue;
        }
        if (code >= 0xc0 && code <= 0xcf && code != 0xc4 && code != 0xc8 && code != 0xcc) {
            if (bytes - at < FRAME_BYTES) break;
            return (frame){code, marker[PRECISION_AT], marker[WIDTH_AT] << 8 | marker[WIDTH_AT + 1],
                           marker[HEIGHT_AT] << 8 | marker[HEIGHT_AT + 1]};
        }
        size_t length = (size_t)marker[2] << 8 | marker[3];
        if (code == 0xda || code == JPEG_EOI || length < 2 || length + 2 > bytes - at) break;
        at += length + 2;
    }
    return (frame){0};
}

static tsr_status check_frame(const uint8_t *file, size_t bytes, const tsr_picture_limits *limits)
{
    frame f = find_frame(file, bytes);
    switch (f.code) {
    case 0: return TSR_OK;
    case 0xc0:
    case 0xc1:
    case 0xc2: break;
    case 0xc3:
    case 0xc7:
    case 0xcb:
    case 0xcf: return tsr_fail(TSR_E_UNSUPPORTED, "JPEG: lossless; baseline and progressive files are read");
    case 0xc5:
    case 0xc6:
        return tsr_fail(TSR_E_UNSUPPORTED, "JPEG: hierarchical; baseline and progressive files are read");
    default:
        return tsr_fail(TSR_E_UNSUPPORTED, "JPEG: arithmetic coding; files with Huffman coding are read");
    }
    if (f.precision != 8)
        return tsr_fail(TSR_E_UNSUPPORTED, "JPEG: %d bits per sample; 8 are read", f.precision);
    tsr_status st = tsr_picture_check_size(limits, f.width, f.height);
    return st ? tsr_wrap(st, "JPEG") : TSR_OK;
}

static bool starts_with(const struct jpeg_marker_struct *m, const char *prefix, size_t bytes)
{
    return m->marker == JPEG_APP0 + 1 && m->data_length >= bytes && !memcmp(m->data, prefix, bytes);
}

/* EXIF may be spread over several segments, which are joined; of XMP packets the last one counts. */
static tsr_status find_orientation(tsr_jpeg *j)
{
    static const char exif_name[] = "Exif\0"; /* two NULs with C's own */
    static const char xmp_name[] = "http://ns.adobe.com/xap/1.0/";
    size_t total = 0, n = 0;
    int xmp = 0;
    for (const struct jpeg_marker_struct *m = j->info.marker_list; m; m = m->next) {
        if (starts_with(m, exif_name, sizeof exif_name)) total += m->data_length - sizeof exif_name;
        if (starts_with(m, xmp_name, sizeof xmp_name))
            xmp = tsr_xmp_orientation((const char *)m->data + sizeof xmp_name,
                                      m->data_length - sizeof xmp_name);
    }
    uint8_t *exif = tsr_alloc(total);
    if (!exif) return tsr_fail(TSR_E_NOMEM, "JPEG: no memory for %zu bytes of EXIF", total);
    for (const struct jpeg_marker_struct *m = j->info.marker_list; m; m = m->next) {
        if (!starts_with(m, exif_name, sizeof exif_name)) continue;
        memcpy(exif + n, m->data + sizeof exif_name, m->data_length - sizeof exif_name);
        n += m->data_length - sizeof exif_name;
    }
    int orientation = tsr_exif_orientation(exif, n);
    tsr_free(exif);
    j->orientation = orientation ? orientation : xmp ? xmp : 1;
    return TSR_OK;
}

static tsr_status read_header(tsr_jpeg *j, const tsr_picture_limits *limits)
{
    if (setjmp(j->failed)) return j->status;
    jpeg_create_decompress(&j->info); /* keeps err and client_data, clears the rest */
    j->info.src = &j->source;
    j->info.progress = &j->progress;
    jpeg_save_markers(&j->info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&j->info, TRUE);

    tsr_status st = tsr_picture_check_size(limits, j->info.image_width, j->info.image_height);
    if (st) return tsr_wrap(st, "JPEG");
    switch (j->info.num_components) {
    case 1:
    case 3: j->info.out_color_space = JCS_RGB; break;
    case 4:
        j->info.out_color_space = JCS_CMYK;
        j->cmyk_row = tsr_alloc(tsr_mul(4, j->info.image_width));
        if (!j->cmyk_row)
            return tsr_fail(TSR_E_NOMEM, "JPEG: no memory for a row of %u", j->info.image_width);
        break;
    default:
        return tsr_fail(TSR_E_UNSUPPORTED, "JPEG: %d components; 1, 3 and 4 are read",
                        j->info.num_components);
    }
    /* the library's defaults, said aloud: they are part of the model's input */
    j->info.dct_method = JDCT_ISLOW;
    j->info.do_fancy_upsampling = TRUE;
    j->info.do_block_smoothing = TRUE;
    return find_orientation(j);
}

tsr_status tsr_jpeg_open(tsr_jpeg **out, const uint8_t *file, size_t bytes, const tsr_pixel_opts *opts)
{
    tsr_status st = check_frame(file, bytes, &opts->limits);
    if (st) return st;
    tsr_jpeg *j = tsr_calloc(1, sizeof *j);
    if (!j) return tsr_fail(TSR_E_NOMEM, "JPEG: no memory for a decoder");

    j->info.err = jpeg_std_error(&j->errors);
    j->info.client_data = j;
    j->errors.error_exit = fail_library;
    j->errors.emit_message = note_message;
    j->errors.output_message = say_nothing;
    j->source = (struct jpeg_source_mgr){.next_input_byte = file,
                                         .bytes_in_buffer = bytes,
                                         .init_source = do_nothing,
                                         .fill_input_buffer = end_of_file,
                                         .skip_input_data = skip_input,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = do_nothing};
    j->progress.progress_monitor = count_scans;
    j->bytes = bytes;
    j->allow_truncated = opts->allow_truncated;
    j->max_scans = opts->limits.max_jpeg_scans ? opts->limits.max_jpeg_scans : TSR_MAX_JPEG_SCANS;

    st = read_header(j, &opts->limits);
    if (st) {
        tsr_jpeg_close(j);
        return st;
    }
    *out = j;
    return TSR_OK;
}

void tsr_jpeg_close(tsr_jpeg *j)
{
    if (!j) return;
    jpeg_destroy_decompress(&j->info); /* a no-op when creating it failed */
    tsr_free(j->cmyk_row);
    tsr_free(j);
}

int64_t tsr_jpeg_width(const tsr_jpeg *j)
{
    return j->info.image_width;
}

int64_t tsr_jpeg_height(const tsr_jpeg *j)
{
    return j->info.image_height;
}

int tsr_jpeg_orientation(const tsr_jpeg *j)
{
    return j->orientation;
}

/* ---- Rows ---- */

/* a * b / 255, rounded, as Pillow does it */
static uint32_t scaled(uint32_t a, uint32_t b)
{
    uint32_t t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/* Pillow takes every four-component JPEG for an inverted one, as Adobe writes them. */
static void rgb_of_inverted_cmyk(uint8_t *rgb, const uint8_t *cmyk, int64_t n)
{
    for (int64_t i = 0; i < n; i++, rgb += 3, cmyk += 4)
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)(cmyk[3] - scaled(255u - cmyk[c], cmyk[3]));
}

static void read_rows(tsr_jpeg *j, uint8_t *rgb, JDIMENSION end)
{
    size_t stride = (size_t)j->info.output_width * 3;
    while (j->info.output_scanline < end) {
        JSAMPROW rows[ROWS_AT_ONCE];
        JDIMENSION n = end - j->info.output_scanline;
        if (j->cmyk_row) {
            rows[0] = j->cmyk_row;
            n = jpeg_read_scanlines(&j->info, rows, 1);
            rgb_of_inverted_cmyk(rgb, j->cmyk_row, j->info.output_width);
        } else {
            if (n > ROWS_AT_ONCE) n = ROWS_AT_ONCE;
            for (JDIMENSION i = 0; i < n; i++) rows[i] = rgb + i * stride;
            n = jpeg_read_scanlines(&j->info, rows, n);
        }
        rgb += n * stride;
    }
}

/* The last row is there; what follows is no concern of ours, so the decoder is not asked to finish. */
static void report_damage(const tsr_jpeg *j)
{
    if (j->truncated)
        tsr_log(TSR_LOG_WARN, "JPEG: truncated after %zu bytes; the missing part is grey", j->bytes);
    else if (j->errors.num_warnings)
        tsr_log(TSR_LOG_WARN, "JPEG: damaged but complete: %s (%ld such warnings)", j->warning,
                j->errors.num_warnings);
}

tsr_status tsr_jpeg_rows(tsr_jpeg *j, uint8_t *rgb, int64_t n_rows)
{
    if (setjmp(j->failed)) return j->status;
    if (!j->started) {
        j->started = true;
        jpeg_start_decompress(&j->info);
    }
    assert(n_rows >= 0 && n_rows <= j->info.output_height - j->info.output_scanline);
    read_rows(j, rgb, j->info.output_scanline + (JDIMENSION)n_rows);
    if (j->info.output_scanline == j->info.output_height) report_damage(j);
    return TSR_OK;
}
