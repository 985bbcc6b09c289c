/* preprocess/exif.h: the orientation in EXIF and XMP metadata, read defensively.
 *
 * Bad metadata never fails an image: what cannot be read is as if it were not there.
 */
#ifndef TSR_EXIF_H
#define TSR_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* 1 to 8 from a TIFF structure, with or without "Exif\0\0" in front of it; 0 when it has no orientation. A value
 * out of range counts as 1.
 * Source: TIFF 6.0, section 2; EXIF 2.32, 4.6.4; Pillow TiffImagePlugin.py (which entries count). */
int tsr_exif_orientation(const uint8_t *exif, size_t bytes);

/* The same from the text of an XMP packet: the first tiff:Orientation, as attribute or element. */
int tsr_xmp_orientation(const char *text, size_t bytes);

/* The same from the text of ImageMagick's "Raw profile type exif": a name, a length and hex digits, which are decoded
 * in place. */
int tsr_raw_profile_orientation(char *text, size_t bytes);

#endif
