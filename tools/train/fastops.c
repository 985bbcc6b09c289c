/* tools/train/fastops.c: the loader's hot loops: the runtime's bicubic resize and its cutting, on four channels.
 *
 * The trainer must see the tiles that the runtime cuts, and Pillow's own resize would be the slowest part of the
 * loader. This is the recipe of preprocess/resize.c without its vectors: two passes in the same order, weights of
 * 22 fraction bits, clamped to a byte after each pass. test_tiles.py compares it with the runtime and with Pillow.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FRACTION = 22, HALF = 1 << (FRACTION - 1), CHANNELS = 4 };

/* Output o is the sum over j < n[o] of weight[o * most + j] * input[first[o] + j]. */
typedef struct taps {
    int most;
    int *first, *n;
    int32_t *weight;
} taps;

/* Keys' cubic with a = -1/2. */
static double cubic(double t)
{
    t = fabs(t);
    if (t >= 2) return 0;
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : ((-0.5 * t + 2.5) * t - 4) * t + 2;
}

static void open_taps(taps *t, int n_in, int n_out)
{
    double step = (double)n_in / n_out, wide = step > 1 ? step : 1, reach = 2 * wide;
    t->most = 2 * (int)ceil(reach) + 1;
    t->first = malloc(sizeof *t->first * (size_t)n_out);
    t->n = malloc(sizeof *t->n * (size_t)n_out);
    t->weight = calloc((size_t)n_out * (size_t)t->most, sizeof *t->weight);
    double exact[t->most];
    for (int o = 0; o < n_out; o++) {
        double middle = (o + 0.5) * step, sum = 0;
        int from = (int)(middle - reach + 0.5), to = (int)(middle + reach + 0.5);
        from = from < 0 ? 0 : from;
        to = to > n_in ? n_in : to;
        for (int i = from; i < to; i++) sum += exact[i - from] = cubic((i - middle + 0.5) * (1.0 / wide));
        for (int i = from; i < to; i++) {
            double scaled = exact[i - from] / sum * (1 << FRACTION);
            t->weight[o * t->most + i - from] = (int32_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
        }
        t->first[o] = from;
        t->n[o] = to - from;
    }
}

static void close_taps(taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weight);
}

static inline uint8_t to_byte(int32_t sum)
{
    sum >>= FRACTION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void resize_row(uint8_t *out, int n_out, const uint8_t *in, const taps *t)
{
    for (int o = 0; o < n_out; o++) {
        const uint8_t *pixel = in + CHANNELS * t->first[o];
        int32_t sum[CHANNELS] = {HALF, HALF, HALF, HALF};
        for (int j = 0; j < t->n[o]; j++)
            for (int c = 0; c < CHANNELS; c++) sum[c] += t->weight[o * t->most + j] * pixel[CHANNELS * j + c];
        for (int c = 0; c < CHANNELS; c++) out[CHANNELS * o + c] = to_byte(sum[c]);
    }
}

/* One output row as a weighted sum of whole input rows; `sum` is n_bytes of working memory. */
static void mix_rows(uint8_t *out, int32_t *sum, const uint8_t *rows, size_t stride, int n_bytes,
                     const taps *t, int o)
{
    for (int i = 0; i < n_bytes; i++) sum[i] = HALF;
    for (int j = 0; j < t->n[o]; j++) {
        const uint8_t *row = rows + (size_t)(t->first[o] + j) * stride;
        int32_t weight = t->weight[o * t->most + j];
        for (int i = 0; i < n_bytes; i++) sum[i] += weight * row[i];
    }
    for (int i = 0; i < n_bytes; i++) out[i] = to_byte(sum[i]);
}

/* dst [h, n_out, 4] packed */
static void across(uint8_t *dst, int n_out, const uint8_t *src, size_t stride, int n_in, int h)
{
    taps t;
    open_taps(&t, n_in, n_out);
    for (int y = 0; y < h; y++, dst += CHANNELS * n_out, src += stride)
        if (n_in == n_out)
            memcpy(dst, src, CHANNELS * (size_t)n_out);
        else
            resize_row(dst, n_out, src, &t);
    close_taps(&t);
}

/* dst [n_out, w, 4] packed */
static void down(uint8_t *dst, int n_out, const uint8_t *src, size_t stride, int n_in, int w)
{
    taps t;
    int n_bytes = CHANNELS * w;
    int32_t *sum = malloc(sizeof *sum * (size_t)n_bytes);
    open_taps(&t, n_in, n_out);
    for (int y = 0; y < n_out; y++, dst += n_bytes)
        if (n_in == n_out)
            memcpy(dst, src + (size_t)y * stride, (size_t)n_bytes);
        else
            mix_rows(dst, sum, src, stride, n_bytes, &t, y);
    close_taps(&t);
    free(sum);
}

/* src [h, w, 4] with `stride` bytes from row to row -> dst [oh, ow, 4] packed, channels in the same order. Columns
 * before rows where Pillow 13 and preprocess/resize.c do so: both passes round, so the order shows. */
void resize4(uint8_t *dst, int ow, int oh, const uint8_t *src, int w, int h, int stride)
{
    int columns_first = h > oh && h - oh > 2 * (w - ow);
    uint8_t *middle = malloc(CHANNELS * (columns_first ? (size_t)oh * (size_t)w : (size_t)h * (size_t)ow));
    if (columns_first) {
        down(middle, oh, src, (size_t)stride, h, w);
        across(dst, ow, middle, CHANNELS * (size_t)w, w, oh);
    } else {
        across(middle, ow, src, (size_t)stride, w, h);
        down(dst, oh, middle, CHANNELS * (size_t)ow, h, ow);
    }
    free(middle);
}

/* src [rows * side, cols * side, 4] as B, G, R, x -> dst [rows * cols, side, side, 3] as R, G, B. */
void cut_tiles(uint8_t *dst, const uint8_t *src, int cols, int rows, int side)
{
    for (int tile = 0; tile < rows * cols; tile++)
        for (int y = 0; y < side; y++) {
            size_t line = (size_t)(tile / cols * side + y) * (size_t)cols + (size_t)(tile % cols);
            const uint8_t *pixel = src + line * (size_t)side * CHANNELS;
            for (int x = 0; x < side; x++, pixel += CHANNELS, dst += 3) {
                dst[0] = pixel[2];
                dst[1] = pixel[1];
                dst[2] = pixel[0];
            }
        }
}
