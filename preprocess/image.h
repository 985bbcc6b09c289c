/* preprocess/image.h: image files in memory to 8-bit RGB, bit for bit what Pillow gives.
 *
 * JPEG and PNG are read; other formats are refused by name. Colour profiles, gamma and chromaticities are ignored,
 * as the reference processors do.
 */
#ifndef TSR_PICTURE_H
#define TSR_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

/* The reference processors disagree about what a file's pixels are. */
typedef enum tsr_parity {
    TSR_PARITY_VLLM, /* turned by EXIF or XMP orientation; transparency laid over white; 16-bit grey: high byte */
    TSR_PARITY_HF /* as stored; alpha dropped; 16-bit grey clipped at 255: plain open().convert("RGB") */
} tsr_parity;

#define TSR_MAX_PIXELS (INT64_C(1) << 27)
#define TSR_MAX_SIDE INT64_C(65500)
#define TSR_MAX_FILE_BYTES ((size_t)64 << 20)
#define TSR_MAX_JPEG_SCANS 500
#define TSR_MAX_PNG_CHUNK_BYTES ((size_t)8 << 20)

/* A field that is 0 stands for the constant above. */
typedef struct tsr_picture_limits {
    int64_t max_pixels;         /* width * height */
    int64_t max_side;           /* each of width and height; never above 2^24 */
    size_t max_file_bytes;      /* of the file as given */
    int max_jpeg_scans;         /* a progressive file can ask for many passes over few bytes */
    size_t max_png_chunk_bytes; /* of a chunk of metadata, also when expanded; a larger one is skipped */
} tsr_picture_limits;

typedef struct tsr_pixel_opts {
    tsr_parity parity;
    bool allow_truncated; /* keep the rows that are there: the rest is grey (JPEG) or empty (PNG) */
    tsr_picture_limits limits;
} tsr_pixel_opts;

typedef enum tsr_picture_format { TSR_PICTURE_RGB, TSR_PICTURE_JPEG, TSR_PICTURE_PNG } tsr_picture_format;

typedef struct tsr_picture {
    uint8_t *rgb; /* [height, width, 3], TSR_RGB_SLACK bytes behind it */
    int64_t width, height;
    tsr_picture_format format; /* what it was read from */
    int orientation;           /* 1 to 8, as found in the file; already applied under TSR_PARITY_VLLM */
} tsr_picture;

/* Decode a whole file. `out` must be zeroed or closed. `pool` (NULL: none) turns pictures by their orientation.
 *
 * Errors: TSR_E_FORMAT for bytes that are no image, damaged or truncated; TSR_E_UNSUPPORTED for other formats and
 * for 12-bit, lossless and arithmetic JPEG; TSR_E_LIMIT; TSR_E_NOMEM. A complete JPEG with damage inside is
 * decoded as libjpeg does, with a warning in the log.
 * Threads: any; one caller at a time per pool.
 * Source: Pillow 13.0.0, JpegImagePlugin.py, PngImagePlugin.py, ImageOps.exif_transpose; vLLM, multimodal/image.py.
 */
TSR_CHECKED tsr_status tsr_picture_decode(tsr_picture *out, const void *file, size_t bytes,
                                          const tsr_pixel_opts *opts, tsr_pool *pool);

/* A picture of the given size, its pixels not yet written. Errors: TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_picture_open(tsr_picture *out, int64_t width, int64_t height);
void tsr_picture_close(tsr_picture *image); /* a zeroed image is a no-op */

/* The format by the first bytes. Errors: TSR_E_UNSUPPORTED naming a known other format, TSR_E_FORMAT. */
TSR_CHECKED tsr_status tsr_picture_sniff(tsr_picture_format *out, const void *file, size_t bytes);

/* TSR_E_LIMIT when the file or its picture is too large, TSR_E_FORMAT when a side is 0. For the decoders, before
 * they take memory. */
TSR_CHECKED tsr_status tsr_picture_check_file(const tsr_picture_limits *limits, size_t bytes);
TSR_CHECKED tsr_status tsr_picture_check_size(const tsr_picture_limits *limits, int64_t width,
                                              int64_t height);

/* Turn and mirror as EXIF orientation 1 to 8 asks; sides swap from 5 on. Errors: TSR_E_NOMEM, the image is then as
 * it was. */
TSR_CHECKED tsr_status tsr_picture_orient(tsr_picture *image, int orientation, tsr_pool *pool);

/* "JPEG", "PNG", "RGB". */
const char *tsr_picture_format_name(tsr_picture_format format);

#endif
