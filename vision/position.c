/* vision/position.c: bicubic interpolation of position embeddings. */
#include "vision/position.h"

#include <math.h>
#include <string.h>

/* Keys' cubic kernel with a = -0.75, at the four taps around a point t behind the second. */
static void weights(float to[4], float t)
{
    const float a = -0.75f;
    const float x[4] = {1 + t, t, 1 - t, 2 - t};
    for (int k = 0; k < 4; k++)
        to[k] = k == 1 || k == 2 ? ((a + 2) * x[k] - (a + 3)) * x[k] * x[k] + 1
                                 : ((a * x[k] - 5 * a) * x[k] + 8 * a) * x[k] - 4 * a;
}

/* Where output o of n_out reads in a line of n_in: four clamped places and their weights. */
static void taps_of(int64_t at[4], float w[4], int64_t o, int64_t n_out, int64_t n_in)
{
    float source = ((float)o + 0.5f) * ((float)n_in / (float)n_out) - 0.5f;
    float floor = floorf(source);
    weights(w, source - floor);
    for (int k = 0; k < 4; k++) {
        int64_t i = (int64_t)floor + k - 1;
        at[k] = i < 0 ? 0 : i >= n_in ? n_in - 1 : i;
    }
}

void tsr_position_resize(float *to, int64_t to_rows, int64_t to_cols, const float *from, int64_t rows,
                         int64_t cols, int64_t d)
{
    if (rows == to_rows && cols == to_cols) {
        memcpy(to, from, (size_t)(rows * cols * d) * sizeof *to);
        return;
    }
    for (int64_t r = 0; r < to_rows; r++) {
        int64_t row_at[4];
        float row_w[4];
        taps_of(row_at, row_w, r, to_rows, rows);
        for (int64_t c = 0; c < to_cols; c++) {
            int64_t col_at[4];
            float col_w[4];
            taps_of(col_at, col_w, c, to_cols, cols);
            for (int64_t i = 0; i < d; i++) {
                float sum = 0;
                for (int y = 0; y < 4; y++) {
                    const float *line = from + row_at[y] * cols * d + i;
                    float across = 0;
                    for (int x = 0; x < 4; x++) across += col_w[x] * line[col_at[x] * d];
                    sum += row_w[y] * across;
                }
                to[(r * to_cols + c) * d + i] = sum;
            }
        }
    }
}
