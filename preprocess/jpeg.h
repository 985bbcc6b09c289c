/* preprocess/jpeg.h: JPEG through libjpeg-turbo, for image.c and tiles.c.
 *
 * Opening reads the header, so that the caller can prepare for the size before the rows arrive.
 */
#ifndef TSR_JPEG_H
#define TSR_JPEG_H

#include "preprocess/image.h"

typedef struct tsr_jpeg tsr_jpeg;

/* Read the header of a file that stays the caller's until close. Errors: as tsr_picture_decode. */
TSR_CHECKED tsr_status tsr_jpeg_open(tsr_jpeg **out, const uint8_t *file, size_t bytes,
                                     const tsr_pixel_opts *opts);
int64_t tsr_jpeg_width(const tsr_jpeg *jpeg);
int64_t tsr_jpeg_height(const tsr_jpeg *jpeg);
int tsr_jpeg_orientation(const tsr_jpeg *jpeg); /* 1 to 8; 1 when the file has none */

/* Decode the next n_rows into rgb [n_rows, width, 3]. From one thread at a time. Errors end the decoding. */
TSR_CHECKED tsr_status tsr_jpeg_rows(tsr_jpeg *jpeg, uint8_t *rgb, int64_t n_rows);
void tsr_jpeg_close(tsr_jpeg *jpeg);

#endif
