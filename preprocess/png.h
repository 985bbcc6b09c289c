/* preprocess/png.h: PNG through libpng, for image.c. */
#ifndef TSR_PNG_H
#define TSR_PNG_H

#include "preprocess/image.h"

/* Decode a file into `out`, which must be zeroed; its orientation is found (1 when there is none), not applied.
 * Errors: as tsr_picture_decode. */
TSR_CHECKED tsr_status tsr_png_read(tsr_picture *out, const uint8_t *file, size_t bytes,
                                    const tsr_pixel_opts *opts);

#endif
