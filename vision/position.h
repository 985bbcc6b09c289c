/* vision/position.h: position embeddings for another grid than the stored one. */
#ifndef TSR_POSITION_H
#define TSR_POSITION_H

#include <stdint.h>

/* Bicubic interpolation (a = -0.75, no antialias, half-pixel centres, taps clamped at the edge) of a grid of
 * d-vectors: from [rows, cols, d] to [to_rows, to_cols, d], both dense f32. Equal sizes copy.
 * Source: torch.nn.functional.interpolate(mode="bicubic", align_corners=False). */
void tsr_position_resize(float *to, int64_t to_rows, int64_t to_cols, const float *from, int64_t rows,
                         int64_t cols, int64_t d);

#endif
