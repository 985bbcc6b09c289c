/* preprocess/resize.h: bicubic resize of 8-bit RGB, bit for bit what Pillow does.
 *
 * Two separable passes over clamped 8-bit values with 22-bit fixed-point weights. The integers are part of the
 * model's input: every CPU level gives the same ones.
 */
#ifndef TSR_RESIZE_H
#define TSR_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"

/* Bytes that must be readable behind the last pixel of every picture given to the resize: vectors load whole. */
#define TSR_RGB_SLACK 64

/* Which pass runs first. Both round and clamp, so the order shows in the result, by up to some twenty levels
 * on hard edges. From w x h to W x H, rows are resized first (horizontal before vertical) except: */
typedef enum tsr_resize_order {
    TSR_ORDER_PILLOW_13,   /* Pillow 13.0: columns first when h > H and h - H > 2 (w - W) */
    TSR_ORDER_PILLOW_12_2, /* Pillow 12.2 to 12.3: columns first when h > 100 w and h > H */
    TSR_ORDER_PILLOW_9     /* Pillow before 12.2: never */
} tsr_resize_order;

/* Where one resized picture goes.
 *
 *   out     [height / tile * (width / tile), tile, tile, 3]  u8  tiles row by row; with tile 0 [height, width, 3]
 *   tile    side of the square tiles, a divisor of width and of height; 0 for one plain picture
 */
typedef struct tsr_resize_target {
    uint8_t *out;
    int64_t width, height;
    int64_t tile;
} tsr_resize_target;

/* out [out_height, out_width, 3] from in [height, width, 3], u8 RGB, dense; all sizes at least 1. `pool` may be
 * NULL: the caller's thread alone.
 *
 * Errors: TSR_E_NOMEM.
 * Threads: any; one caller at a time per pool.
 * Source: Pillow, src/libImaging/Resample.c (13.0.0), BICUBIC.
 */
TSR_CHECKED tsr_status tsr_resize_rgb(uint8_t *out, int64_t out_width, int64_t out_height, const uint8_t *in,
                                      int64_t width, int64_t height, tsr_resize_order order, tsr_pool *pool);

/* The same in steps, for several targets of one picture and for a picture whose rows arrive one after the other. */
typedef struct tsr_resize tsr_resize;

#define TSR_RESIZE_MAX_TARGETS 2

/* The targets' memory stays the caller's and must live until the end. Errors: TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_resize_open(tsr_resize **out, const tsr_resize_target *targets, int n_targets,
                                       int64_t width, int64_t height, tsr_resize_order order);
void tsr_resize_close(tsr_resize *r);

/* All of it: in [height, width, 3]. */
void tsr_resize_picture(tsr_resize *r, const uint8_t *in, tsr_pool *pool);

/* Whether rows can be given piece by piece: no target begins with its columns. If so: tsr_resize_rows for all rows,
 * in any order and from any thread, then tsr_resize_finish. */
bool tsr_resize_takes_rows(const tsr_resize *r);

/* Source rows first .. first + n_rows - 1; not needed any more when this returns. */
void tsr_resize_rows(tsr_resize *r, const uint8_t *rows, int64_t first, int64_t n_rows);
void tsr_resize_finish(tsr_resize *r, tsr_pool *pool);

/* Memory for pixels, free with tsr_free; NULL when there is none. Large blocks ask the system for large pages: the
 * first touch of small ones, one by one, costs half as much as decoding the picture in them. */
uint8_t *tsr_pixels_alloc(size_t bytes);

/* Run n_tasks on `pool`, or one after the other here when it is NULL. */
void tsr_resize_run(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg);

#endif
