/* tests/unit/images.c: every file of tests/vectors/images against what Pillow made of it, in both parities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preprocess/image.h"
#include "tests/unit/pixels.h"

static int64_t number(const cJSON *object, const char *key)
{
    return (int64_t)px_get(object, key)->valuedouble;
}

/* Where the pixels are committed too, say which one is wrong. */
static void name_first_difference(const tsr_picture *image, const cJSON *wanted)
{
    const cJSON *raw = cJSON_GetObjectItemCaseSensitive(wanted, "raw");
    if (!raw) return;
    size_t bytes;
    unsigned char *pixels = px_read(raw->valuestring, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (image->rgb[i] == pixels[i]) continue;
        size_t pixel = i / 3;
        print_error("  first difference: pixel (%zu, %zu) channel %zu is %d, wanted %d\n",
                    pixel % (size_t)image->width, pixel / (size_t)image->width, i % 3, image->rgb[i],
                    pixels[i]);
        break;
    }
    free(pixels);
}

static int check_one(const char *name, const cJSON *wanted, tsr_parity parity, tsr_pool *pool)
{
    size_t bytes;
    unsigned char *file = px_read(name, &bytes);
    const tsr_pixel_opts opts = {.parity = parity};
    tsr_picture image = {0};
    tsr_status st = tsr_picture_decode(&image, file, bytes, &opts, pool);
    free(file);
    if (st) {
        print_error("%s: %s\n", name, tsr_message());
        return 1;
    }
    int wrong = 0;
    if (image.width != number(wanted, "width") || image.height != number(wanted, "height")) {
        print_error("%s: %dx%d, wanted %dx%d\n", name, (int)image.width, (int)image.height,
                    (int)number(wanted, "width"), (int)number(wanted, "height"));
        wrong = 1;
    } else if (px_crc32(0, image.rgb, (size_t)(image.width * image.height * 3)) != number(wanted, "crc32")) {
        print_error("%s: other pixels than Pillow's (parity %d)\n", name, parity);
        name_first_difference(&image, wanted);
        wrong = 1;
    }
    tsr_picture_close(&image);
    return wrong;
}

static void every_file_equals_pillow(void **state)
{
    (void)state;
    cJSON *manifest = px_manifest();
    print_message("vectors by Pillow %s with libjpeg-turbo %s\n", px_get(manifest, "pillow")->valuestring,
                  px_get(manifest, "libjpeg_turbo")->valuestring);
    tsr_pool *pool;
    assert_int_equal(tsr_pool_open(&pool, 2), TSR_OK);
    int wrong = 0, files = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, px_get(manifest, "images"))
    {
        const char *name = px_get(entry, "file")->valuestring;
        wrong += check_one(name, px_get(entry, "default"), TSR_PARITY_VLLM, pool);
        wrong += check_one(name, px_get(entry, "hf"), TSR_PARITY_HF, NULL);
        files++;
    }
    tsr_pool_close(pool);
    cJSON_Delete(manifest);
    assert_int_equal(wrong, 0);
    assert_true(files > 90); /* a manifest that lost its list would pass too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_equals_pillow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
