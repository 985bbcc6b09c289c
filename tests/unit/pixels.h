/* tests/unit/pixels.h: what the tests of preprocess/ share: CRC-32, the test picture, a random stream that
 * tools/oracle_images.py makes too, and the vectors of tests/vectors/images. */
#ifndef TSR_TESTS_PIXELS_H
#define TSR_TESTS_PIXELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

/* CRC-32 as zlib counts it; start with 0. */
uint32_t px_crc32(uint32_t crc, const void *data, size_t bytes);

/* Knuth's MMIX generator, upper 31 bits. */
uint32_t px_random(uint64_t *state);

/* The picture of spec/vision.md 4.2: (x, y) -> (7x + 3y, x^2 + y, xy) mod 256, with TSR_RGB_SLACK behind it. */
uint8_t *px_pattern(int64_t width, int64_t height);

/* Noise of 0 and 255, or of all levels when !hard; with TSR_RGB_SLACK behind it. */
uint8_t *px_noise(int64_t width, int64_t height, uint64_t *state, bool hard);

/* A file of the vectors, whole; fails the test when it cannot be read. Free with free(). */
unsigned char *px_read(const char *name, size_t *bytes);

/* tests/vectors/images/manifest.json; free with cJSON_Delete. */
cJSON *px_manifest(void);

/* A member that must be there. */
const cJSON *px_get(const cJSON *object, const char *key);

#endif
