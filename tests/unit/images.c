/* tests/unit/images.c: every file of tests/vectors/images against what Pillow made of it, in both parities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "preprocess/image.h"
#include "tests/unit/pixels.h"

static char warning[1024];

static void keep_warning(void *user, tsr_log_level level, const char *line)
{
    (void)user;
    if (level == TSR_LOG_WARN) snprintf(warning, sizeof warning, "%s", line);
}

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

/* The rows of spec/vision.md 7: one clear message and nothing else, or a picture. */
static void hostile_files_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        tsr_status status;
    } codes[] = {
        {"OK", TSR_OK}, {"FORMAT", TSR_E_FORMAT}, {"LIMIT", TSR_E_LIMIT}, {"UNSUPPORTED", TSR_E_UNSUPPORTED}};
    cJSON *manifest = px_manifest();
    int wrong = 0, files = 0;
    tsr_log_listen(keep_warning, NULL);
    const cJSON *entry;
    cJSON_ArrayForEach(entry, px_get(manifest, "hostile"))
    {
        const char *name = px_get(entry, "file")->valuestring, *says = px_get(entry, "says")->valuestring;
        const char *code = px_get(entry, "status")->valuestring;
        tsr_status wanted = TSR_E_DEVICE;
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
            if (!strcmp(code, codes[i].name)) wanted = codes[i].status;
        assert_int_not_equal(wanted, TSR_E_DEVICE);

        size_t bytes;
        unsigned char *file = px_read(name, &bytes);
        tsr_picture image = {0};
        warning[0] = 0;
        tsr_status st = tsr_picture_decode(&image, file, bytes, &(tsr_pixel_opts){0}, NULL);
        const char *said = st ? tsr_message() : warning;
        if (st != wanted || !strstr(said, says) || (st == TSR_OK && !*says && *said)) {
            print_error("%s: status %d, \"%s\"; wanted %s, \"%s\"\n", name, st, said, code, says);
            wrong++;
        }
        if (!st && image.orientation != 1) {
            print_error("%s: turned by orientation %d\n", name, image.orientation);
            wrong++;
        }
        assert_true(st ? image.rgb == NULL : image.rgb != NULL);
        tsr_picture_close(&image);
        free(file);
        files++;
    }
    tsr_log_listen(NULL, NULL);
    cJSON_Delete(manifest);
    assert_int_equal(wrong, 0);
    assert_true(files >= 50);
}

static uint32_t decoded_crc(const unsigned char *file, size_t bytes, tsr_pixel_opts opts)
{
    tsr_picture image = {0};
    if (tsr_picture_decode(&image, file, bytes, &opts, NULL)) fail_msg("%s", tsr_message());
    uint32_t crc = px_crc32(0, image.rgb, (size_t)(image.width * image.height * 3));
    tsr_picture_close(&image);
    return crc;
}

static void limits_can_be_moved(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        tsr_picture_limits limits;
        const char *says;
    } cases[] = {
        {"jpeg-420-97x61.jpg", {.max_side = 96}, "97 x 61 pixels; the limit is 96 on a side"},
        {"jpeg-420-97x61.jpg", {.max_pixels = 97 * 61 - 1}, "97 x 61 are 5917 pixels; the limit is 5916"},
        {"jpeg-420-97x61.jpg", {.max_file_bytes = 100}, "bytes; the limit is 100"},
        {"jpeg-progressive-2.jpg", {.max_jpeg_scans = 2}, "more than 2 scans"},
        {"png-rgb-8.png", {.max_side = 36}, "37 x 26 pixels; the limit is 36 on a side"},
        {"png-rgb-8.png", {.max_pixels = 961}, "37 x 26 are 962 pixels; the limit is 961"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bytes;
        unsigned char *file = px_read(cases[i].file, &bytes);
        tsr_picture image = {0};
        tsr_pixel_opts opts = {.limits = cases[i].limits};
        if (tsr_picture_decode(&image, file, bytes, &opts, NULL) != TSR_E_LIMIT)
            fail_msg("wanted \"%s\"", cases[i].says);
        if (!strstr(tsr_message(), cases[i].says))
            fail_msg("\"%s\", wanted \"%s\"", tsr_message(), cases[i].says);
        free(file);
    }
    size_t bytes;
    unsigned char *file = px_read("bad-scans.jpg", &bytes);
    decoded_crc(file, bytes, (tsr_pixel_opts){.limits = {.max_jpeg_scans = 1000}});
    free(file);

    file = px_read("png-raw-profile-3.png",
                   &bytes); /* its profile expands to 112 bytes: now skipped, not turned */
    assert_int_equal(decoded_crc(file, bytes, (tsr_pixel_opts){.limits = {.max_png_chunk_bytes = 100}}),
                     decoded_crc(file, bytes, (tsr_pixel_opts){.parity = TSR_PARITY_HF}));
    assert_int_not_equal(decoded_crc(file, bytes, (tsr_pixel_opts){0}),
                         decoded_crc(file, bytes, (tsr_pixel_opts){.parity = TSR_PARITY_HF}));
    free(file);
}

/* A header that lies costs no memory: the limits are checked before any row is asked for. */
static void a_bomb_takes_no_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"bad-bomb.png", "bad-bomb.jpg"};
    for (int i = 0; i < 2; i++) {
        size_t bytes;
        unsigned char *file = px_read(names[i], &bytes);
        struct mallinfo2 before = mallinfo2();
        tsr_picture image = {0};
        assert_int_equal(tsr_picture_decode(&image, file, bytes, &(tsr_pixel_opts){0}, NULL), TSR_E_LIMIT);
        struct mallinfo2 after = mallinfo2();
        assert_true(after.hblkhd <= before.hblkhd + (1 << 20));
        free(file);
    }
}

static void truncated_files_can_be_allowed(void **state)
{
    (void)state;
    static const char *const names[] = {"jpeg-420-97x61.jpg", "jpeg-progressive-1.jpg", "png-rgb-8.png",
                                        "png-rgba-8.png",     "png-rgb-8-adam7.png",    "png-grey-16.png"};
    tsr_pixel_opts lenient = {.allow_truncated = true};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t bytes;
        unsigned char *file = px_read(names[i], &bytes);
        tsr_picture whole = {0}, part = {0};
        assert_int_equal(tsr_picture_decode(&whole, file, bytes, &lenient, NULL), TSR_OK);
        tsr_log_listen(keep_warning, NULL);
        warning[0] = 0;
        assert_int_equal(tsr_picture_decode(&part, file, bytes * 2 / 3, &lenient, NULL), TSR_OK);
        tsr_log_listen(NULL, NULL);
        assert_non_null(strstr(warning, "truncated"));
        assert_int_equal(part.width, whole.width);
        assert_int_equal(part.height, whole.height);
        size_t row = (size_t)whole.width * 3, n = row * (size_t)whole.height;
        assert_memory_not_equal(part.rgb, whole.rgb, n);
        if (!strstr(names[i], "progressive") && !strstr(names[i], "adam7"))
            assert_memory_equal(part.rgb, whole.rgb, row);
        tsr_picture_close(&whole);
        tsr_picture_close(&part);
        free(file);
    }
}

static void an_animation_shows_its_first_frame(void **state)
{
    (void)state;
    size_t n_animated, n_still;
    unsigned char *animated = px_read("bad-animated.png", &n_animated),
                  *still = px_read("bad-no-end.png", &n_still);
    assert_int_equal(decoded_crc(animated, n_animated, (tsr_pixel_opts){0}),
                     decoded_crc(still, n_still, (tsr_pixel_opts){0}));
    free(animated);
    free(still);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_equals_pillow),
        cmocka_unit_test(hostile_files_are_answered),
        cmocka_unit_test(limits_can_be_moved),
        cmocka_unit_test(a_bomb_takes_no_memory),
        cmocka_unit_test(truncated_files_can_be_allowed),
        cmocka_unit_test(an_animation_shows_its_first_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
