/* vision/internvit.h: the InternViT-300M image encoder.
 *
 * An encoder is read-only after loading; all working memory comes from the caller's queue, so one encoder
 * serves any number of queues at once.
 */
#ifndef TSR_INTERNVIT_H
#define TSR_INTERNVIT_H

#include "kernels/load.h"
#include "vision/config.h"

typedef struct tsr_internvit tsr_internvit;

/* Tiles of one call to tsr_internvit_encode. */
#define TSR_VIT_MAX_TILES 64

/* Bind the weights. `l` may be dry: the encoder then serves dry queues only. Errors as tsr_loader_run. */
TSR_CHECKED tsr_status tsr_internvit_open(tsr_internvit **out, tsr_loader *l, const tsr_vit_config *c);
void tsr_internvit_close(tsr_internvit *vit);

const tsr_vit_config *tsr_internvit_config(const tsr_internvit *vit);
const tsr_loaded *tsr_internvit_loaded(const tsr_internvit *vit);

/* Patches of one tile: tile / patch squared. */
tsr_grid tsr_internvit_grid(const tsr_internvit *vit);

/* Encode tiles into one embedding per patch.
 *
 *   out    [n_tiles * grid, d_model]      activation type  patches row by row, class token dropped
 *   tiles  [n_tiles, tile * tile * 3]     u8               R, G, B interleaved; normalised here, by table
 *
 * Queues the work; out is ready after tsr_queue_sync. Taps vision.embed, vision.layer.NN (class token
 * included) and vision.out. Errors: a view of the wrong shape, or more than TSR_VIT_MAX_TILES tiles, fails the
 * queue with TSR_E_SHAPE. Threads: safe on different queues at the same time.
 * Source: arXiv:2410.16261; modeling_intern_vit.py, InternVisionModel.forward.
 */
void tsr_internvit_encode(const tsr_internvit *vit, tsr_queue *q, tsr_view out, tsr_view tiles);

#endif
