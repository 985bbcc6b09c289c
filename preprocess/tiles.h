/* preprocess/tiles.h: from an image file to the tiles that the vision encoder sees.
 */
#ifndef TSR_TILES_H
#define TSR_TILES_H

#include "preprocess/image.h"
#include "preprocess/resize.h"

#define TSR_MAX_TILES 256      /* of one image, without its thumbnail */
#define TSR_MAX_TILE_SIZE 2048 /* pixels on a side */

/* How a picture is cut; the checkpoint's configuration, with the user's tile counts. */
typedef struct tsr_tile_rule {
    int tile_size;            /* pixels on a side, 448 for InternViT-300M */
    int min_tiles, max_tiles; /* without the thumbnail */
    bool thumbnail;           /* append the whole picture as one more tile when there are several */
    tsr_resize_order order;
} tsr_tile_rule;

typedef struct tsr_tiling {
    int columns, rows;
    int n_tiles; /* columns * rows, and the thumbnail */
} tsr_tiling;

/* The grid whose aspect ratio is nearest to the picture's.
 *
 * Errors: TSR_E_ARG when the rule contradicts itself or passes the constants above.
 * Source: InternVL, train/dataset.py, find_closest_aspect_ratio; in IEEE doubles, as there: single precision or
 * exact fractions choose other grids for some sizes.
 */
TSR_CHECKED tsr_status tsr_tiling_pick(tsr_tiling *out, int64_t width, int64_t height,
                                       const tsr_tile_rule *rule);

/* max_tiles for each of n_images (at least 1) that share max_total_tiles; thumbnails are not counted.
 * Source: InternVL, train/dataset.py (max_dynamic_patch // num_image, at least 1). */
int tsr_tiles_share(int max_tiles, int64_t max_total_tiles, int64_t n_images);

typedef struct tsr_tiles {
    uint8_t *data; /* [n_tiles, tile_size, tile_size, 3] u8 RGB, dense; row by row, thumbnail last */
    int n_tiles, tile_size;
    int columns, rows;
    int64_t width, height;     /* of the picture, after orientation */
    tsr_picture_format format; /* of the file */
    int orientation;           /* found in the file; applied under TSR_PARITY_VLLM */
} tsr_tiles;

/* Decode a file and cut it. `out` must be zeroed or closed. With two threads or more a JPEG that needs no turning is
 * resized while its rows arrive; the result is the same. `pool` may be NULL.
 *
 * Errors: as tsr_picture_decode and tsr_tiling_pick.
 * Threads: any; one caller at a time per pool.
 */
TSR_CHECKED tsr_status tsr_tiles_decode(tsr_tiles *out, const void *file, size_t bytes,
                                        const tsr_pixel_opts *opts, const tsr_tile_rule *rule,
                                        tsr_pool *pool);

/* Cut a decoded picture, which stays the caller's. */
TSR_CHECKED tsr_status tsr_tiles_cut(tsr_tiles *out, const tsr_picture *image, const tsr_tile_rule *rule,
                                     tsr_pool *pool);
void tsr_tiles_close(tsr_tiles *tiles); /* zeroed tiles are a no-op */

/* Bytes of one tile, and its first byte. */
static inline size_t tsr_tile_bytes(const tsr_tiles *t)
{
    return (size_t)t->tile_size * (size_t)t->tile_size * 3;
}
static inline uint8_t *tsr_tile_at(const tsr_tiles *t, int64_t tile)
{
    return t->data + (size_t)tile * tsr_tile_bytes(t);
}

#endif
