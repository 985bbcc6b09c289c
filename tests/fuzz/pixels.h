/* tests/fuzz/pixels.h: the properties of every decoded picture, for the targets jpeg and png. */
#ifndef TSR_FUZZ_PIXELS_H
#define TSR_FUZZ_PIXELS_H

#include <string.h>

#include "preprocess/tiles.h"
#include "tests/fuzz/fuzz.h"

/* Small limits, so that inputs stay quick; the code they pass through is the same. */
static const tsr_picture_limits fuzz_limits = {.max_pixels = 1 << 18, .max_side = 5000, .max_jpeg_scans = 20};

/* What decodes at all decodes within its limits, to the same bytes each time, all of them readable, and is cut into a
 * grid that the rule allows; what does not says why and leaves nothing. The first byte of the input is the options. */
static inline int fuzz_picture(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    tsr_pixel_opts opts = {.parity = data[0] & 1 ? TSR_PARITY_HF : TSR_PARITY_VLLM,
                           .allow_truncated = data[0] & 2,
                           .limits = fuzz_limits};
    tsr_tile_rule rule = {.tile_size = 16,
                          .min_tiles = 1 + (data[0] >> 2 & 3),
                          .max_tiles = 4 + (data[0] >> 4 & 7),
                          .thumbnail = data[0] & 128};
    /* a copy of its own, so that a sanitizer sees the first byte read behind it */
    size_t n = bytes - 1;
    uint8_t *file = malloc(n ? n : 1);
    memcpy(file, data + 1, n);

    tsr_picture one = {0}, two = {0};
    tsr_tiles tiles = {0};
    tsr_status st = tsr_picture_decode(&one, file, n, &opts, NULL);
    FUZZ_CHECK(tsr_picture_decode(&two, file, n, &opts, NULL) == st);
    FUZZ_CHECK(tsr_tiles_decode(&tiles, file, n, &opts, &rule, NULL) == st);
    if (st) {
        FUZZ_CHECK(*tsr_message() && !one.rgb && !two.rgb && !tiles.data);
    } else {
        FUZZ_CHECK(one.width >= 1 && one.width <= fuzz_limits.max_side);
        FUZZ_CHECK(one.height >= 1 && one.height <= fuzz_limits.max_side);
        FUZZ_CHECK(one.width * one.height <= fuzz_limits.max_pixels);
        FUZZ_CHECK(one.orientation >= 1 && one.orientation <= 8);
        FUZZ_CHECK(two.width == one.width && two.height == one.height);
        FUZZ_CHECK(!memcmp(one.rgb, two.rgb, (size_t)(one.width * one.height * 3)));
        int cut = tiles.columns * tiles.rows;
        FUZZ_CHECK(tiles.width == one.width && tiles.height == one.height);
        FUZZ_CHECK(cut >= rule.min_tiles && cut <= rule.max_tiles);
        FUZZ_CHECK(tiles.n_tiles == cut + (rule.thumbnail && cut > 1));
        /* rows on their way from decoder to resize, or the whole picture: the same tiles */
        tsr_tiles whole = {0};
        FUZZ_CHECK(!tsr_tiles_cut(&whole, &one, &rule, NULL));
        FUZZ_CHECK(!memcmp(whole.data, tiles.data, (size_t)tiles.n_tiles * tsr_tile_bytes(&tiles)));
        tsr_tiles_close(&whole);
    }
    tsr_picture_close(&one);
    tsr_picture_close(&two);
    tsr_tiles_close(&tiles);
    free(file);
    return 0;
}

#endif
