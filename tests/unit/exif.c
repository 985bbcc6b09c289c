/* tests/unit/exif.c: orientation from EXIF, XMP and raw profiles; the files are in tests/unit/images.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "preprocess/exif.h"
#include "preprocess/image.h"

/* A copy of exactly these bytes on the heap, so that a sanitizer sees the first one too many. */
#define EXIF_OF(text) exif_of(text, sizeof(text) - 1)
static int exif_of(const char *text, size_t bytes)
{
    uint8_t *copy = calloc(bytes ? bytes : 1, 1);
    memcpy(copy, text, bytes);
    int orientation = tsr_exif_orientation(copy, bytes);
    free(copy);
    return orientation;
}

static int xmp_of(const char *text)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    int orientation = tsr_xmp_orientation(copy, bytes);
    free(copy);
    return orientation;
}

static int raw_of(const char *text)
{
    char *copy = strdup(text);
    int orientation = tsr_raw_profile_orientation(copy, strlen(copy));
    free(copy);
    return orientation;
}

#define LITTLE "II*\0\x08\0\0\0"
#define BIG "MM\0*\0\0\0\x08"

static void well_formed_entries_are_read(void **state)
{
    (void)state;
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\1\0\0\0\6\0\0\0"),
                     6);
    assert_int_equal(EXIF_OF(BIG "\0\1"
                                 "\1\x12\0\3\0\0\0\1\0\6\0\0"),
                     6);
    assert_int_equal(EXIF_OF("Exif\0\0" LITTLE "\1\0"
                             "\x12\1\3\0\1\0\0\0\3\0\0\0"),
                     3);
    assert_int_equal(EXIF_OF("Exif\0\0Exif\0\0" LITTLE "\1\0"
                             "\x12\1\3\0\1\0\0\0\3\0\0\0"),
                     3);
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\4\0\1\0\0\0\x08\0\0\0"),
                     8);
    /* three values do not fit the entry: they stand elsewhere, the first one counts */
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\3\0\0\0\x1a\0\0\0"
                                    "\0\0\0\0"
                                    "\5\0\1\0\1\0"),
                     5);
    /* the last of two entries counts */
    assert_int_equal(EXIF_OF(LITTLE "\2\0"
                                    "\x12\1\3\0\1\0\0\0\2\0\0\0"
                                    "\x12\1\3\0\1\0\0\0\4\0\0\0"),
                     4);
}

static void entries_that_lie_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(EXIF_OF(""), 0);
    assert_int_equal(EXIF_OF("Exif\0\0"), 0);
    assert_int_equal(EXIF_OF("II*\0\x08\0\0"), 0);
    assert_int_equal(EXIF_OF("IM*\0\x08\0\0\0"
                             "\1\0"
                             "\x12\1\3\0\1\0\0\0\6\0\0\0"),
                     0);
    assert_int_equal(EXIF_OF("II*\0\xff\xff\xff\xff"), 0);
    assert_int_equal(EXIF_OF(LITTLE "\1"), 0);
    assert_int_equal(EXIF_OF(LITTLE "\xff\xff"
                                    "\x12\1\3\0\1\0\0\0\6\0\0"),
                     0); /* cut inside the entry */
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\0\0\0\0\6\0\0\0"),
                     0); /* no values */
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\xff\xff\xff\xff\6\0\0\0"),
                     0);
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\x63\0\1\0\0\0\6\0\0\0"),
                     0); /* no such type */
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\3\0\0\0\xf0\xff\xff\xff"),
                     0);
}

static void values_out_of_range_turn_nothing(void **state)
{
    (void)state;
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\1\0\0\0\0\0\0\0"),
                     1);
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\3\0\1\0\0\0\x09\0\0\0"),
                     1);
    assert_int_equal(EXIF_OF(LITTLE "\1\0"
                                    "\x12\1\2\0\1\0\0\0\x36\0\0\0"),
                     1); /* a string */
}

static void xmp_gives_its_first_orientation(void **state)
{
    (void)state;
    assert_int_equal(xmp_of("<a tiff:Orientation=\"6\"/>"), 6);
    assert_int_equal(xmp_of("<tiff:Orientation>8</tiff:Orientation>"), 8);
    assert_int_equal(xmp_of("tiff:Orientation tiff:Orientation=\"3"), 3);
    assert_int_equal(xmp_of("<a tiff:Orientation=\"9\"/>"), 1);
    assert_int_equal(xmp_of("<a tiff:Orientation='6'/>"), 0);
    assert_int_equal(xmp_of("<a tiff:Orientation=\""), 0);
    assert_int_equal(xmp_of("<a tiff:Orientation"), 0);
    assert_int_equal(xmp_of(""), 0);
}

static void raw_profiles_are_hex(void **state)
{
    (void)state;
    assert_int_equal(raw_of("\nexif\n      32\n457869660000"
                            "49492a0008000000"
                            "\n0100"
                            "120103000100000007000000\n"),
                     7);
    assert_int_equal(raw_of("\nexif\n      32\n4"), 0);
    assert_int_equal(raw_of("\nexif\n"), 0);
    assert_int_equal(raw_of(""), 0);
}

/* The eight orientations on a picture of six numbered pixels. Source: TIFF 6.0, Orientation. */
static void pictures_are_turned(void **state)
{
    (void)state;
    static const struct {
        int64_t width, height;
        const char *pixels;
    } wanted[9] = {{0, 0, ""},       {3, 2, "012345"}, {3, 2, "210543"}, {3, 2, "543210"}, {3, 2, "345012"},
                   {2, 3, "031425"}, {2, 3, "304152"}, {2, 3, "524130"}, {2, 3, "251403"}};
    for (int orientation = 1; orientation <= 8; orientation++) {
        tsr_picture image;
        assert_int_equal(tsr_picture_open(&image, 3, 2), TSR_OK);
        for (int i = 0; i < 18; i++) image.rgb[i] = (uint8_t)('0' + i / 3);
        assert_int_equal(tsr_picture_orient(&image, orientation, NULL), TSR_OK);
        assert_int_equal(image.width, wanted[orientation].width);
        assert_int_equal(image.height, wanted[orientation].height);
        for (int i = 0; i < 18; i++) assert_int_equal(image.rgb[i], wanted[orientation].pixels[i / 3]);
        tsr_picture_close(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_entries_are_read),
        cmocka_unit_test(entries_that_lie_are_ignored),
        cmocka_unit_test(values_out_of_range_turn_nothing),
        cmocka_unit_test(xmp_gives_its_first_orientation),
        cmocka_unit_test(raw_profiles_are_hex),
        cmocka_unit_test(pictures_are_turned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
