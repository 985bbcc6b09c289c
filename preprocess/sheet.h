/* preprocess/sheet.h: a picture of the tiles, for people. */
#ifndef TSR_SHEET_H
#define TSR_SHEET_H

#include "preprocess/tiles.h"

/* Draw the tiles, scaled down, at their places in the grid with gaps between them, the thumbnail to the right, and
 * write it as PNG, whole or not at all. The same tiles give the same pixels.
 *
 * Errors: TSR_E_IO, TSR_E_NOMEM.
 * Threads: any.
 */
TSR_CHECKED tsr_status tsr_sheet_write(const char *path, const tsr_tiles *tiles);

#endif
