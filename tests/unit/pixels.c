/* tests/unit/pixels.c: helpers of the tests of preprocess/. */
#include "tests/unit/pixels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "preprocess/resize.h"

uint32_t px_crc32(uint32_t crc, const void *data, size_t bytes)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
            table[i] = c;
        }
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) crc = table[(crc ^ p[i]) & 255] ^ crc >> 8;
    return ~crc;
}

uint32_t px_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static uint8_t *picture(int64_t width, int64_t height)
{
    uint8_t *rgb = calloc(1, (size_t)(width * height * 3) + TSR_RGB_SLACK);
    assert_non_null(rgb);
    return rgb;
}

uint8_t *px_pattern(int64_t width, int64_t height)
{
    uint8_t *rgb = picture(width, height), *p = rgb;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++, p += 3) {
            p[0] = (uint8_t)(7 * x + 3 * y);
            p[1] = (uint8_t)(x * x + y);
            p[2] = (uint8_t)(x * y);
        }
    return rgb;
}

uint8_t *px_noise(int64_t width, int64_t height, uint64_t *state, bool hard)
{
    uint8_t *rgb = picture(width, height);
    for (int64_t i = 0; i < width * height * 3; i++) {
        uint32_t r = px_random(state);
        rgb[i] = (uint8_t)(hard ? (r & 1) * 255 : r & 255);
    }
    return rgb;
}

unsigned char *px_read(const char *name, size_t *bytes)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/vectors/images/%s", TSR_SOURCE_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    rewind(f);
    unsigned char *data = malloc((size_t)size + 1);
    assert_non_null(data);
    *bytes = fread(data, 1, (size_t)size, f);
    assert_int_equal(*bytes, size);
    data[size] = 0;
    fclose(f);
    return data;
}

cJSON *px_manifest(void)
{
    size_t bytes;
    unsigned char *text = px_read("manifest.json", &bytes);
    cJSON *json = cJSON_Parse((const char *)text);
    assert_non_null(json);
    free(text);
    return json;
}

const cJSON *px_get(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!value) fail_msg("the manifest has no \"%s\" here", key);
    return value;
}
