/* tests/unit/sheet.c: the drawing of the tiles can be read again and shows every tile at its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "preprocess/sheet.h"

enum { COLUMNS = 3, ROWS = 2, N_TILES = 7, SIZE = 40, GAP = 6 };

/* Tiles of one colour each. */
static tsr_tiles plain_tiles(void)
{
    tsr_tiles t = {.n_tiles = N_TILES, .tile_size = SIZE, .columns = COLUMNS, .rows = ROWS};
    t.data = tsr_alloc(N_TILES * SIZE * SIZE * 3);
    assert_non_null(t.data);
    for (int i = 0; i < N_TILES; i++) memset(tsr_tile_at(&t, i), 20 * (i + 1), tsr_tile_bytes(&t));
    return t;
}

static char path[64];

static void every_tile_is_at_its_place(void **state)
{
    (void)state;
    tsr_tiles t = plain_tiles();
    assert_int_equal(tsr_sheet_write(path, &t), TSR_OK);
    tsr_tiles_close(&t);

    unsigned char *file;
    size_t bytes;
    assert_int_equal(tsr_file_read(&file, &bytes, path, 1 << 20), TSR_OK);
    tsr_picture image = {0};
    assert_int_equal(tsr_picture_decode(&image, file, bytes, &(tsr_pixel_opts){0}, NULL), TSR_OK);
    assert_int_equal(image.width, (COLUMNS + 1) * (SIZE + GAP) + GAP);
    assert_int_equal(image.height, ROWS * (SIZE + GAP) + GAP);
    for (int64_t y = 0; y < image.height; y++)
        for (int64_t x = 0; x < image.width; x++) {
            int64_t column = x / (SIZE + GAP), row = y / (SIZE + GAP);
            bool gap = x % (SIZE + GAP) < GAP || y % (SIZE + GAP) < GAP || (column == COLUMNS && row > 0);
            int64_t tile = column < COLUMNS ? row * COLUMNS + column : N_TILES - 1;
            assert_int_equal(image.rgb[(y * image.width + x) * 3], gap ? 0xd0 : 20 * (tile + 1));
        }
    tsr_picture_close(&image);
    tsr_free(file);
    remove(path);
}

static void large_grids_are_scaled_down(void **state)
{
    (void)state;
    tsr_tiles t = {.n_tiles = 100, .tile_size = 64, .columns = 1, .rows = 100};
    t.data = tsr_calloc(100, 64 * 64 * 3);
    assert_int_equal(tsr_sheet_write(path, &t), TSR_OK);
    tsr_tiles_close(&t);
    unsigned char *file;
    size_t bytes;
    assert_int_equal(tsr_file_read(&file, &bytes, path, 1 << 20), TSR_OK);
    tsr_picture image = {0};
    assert_int_equal(tsr_picture_decode(&image, file, bytes, &(tsr_pixel_opts){0}, NULL), TSR_OK);
    assert_int_equal(image.width, 16 + 2 * GAP);
    assert_int_equal(image.height, 100 * (16 + GAP) + GAP);
    tsr_picture_close(&image);
    tsr_free(file);
    remove(path);
}

static void failures_leave_nothing_behind(void **state)
{
    (void)state;
    tsr_tiles t = plain_tiles();
    assert_int_equal(tsr_sheet_write("/nowhere/sheet.png", &t), TSR_E_IO);
    tsr_status st = TSR_E_NOMEM;
    for (int64_t n = 1; st; n++) {
        assert_true(n < 1000);
        tsr_alloc_fail_at(n, 0);
        st = tsr_sheet_write(path, &t);
        tsr_alloc_fail_at(0, 0);
        assert_true(st == TSR_OK || st == TSR_E_NOMEM);
        assert_int_equal(access(path, F_OK), st ? -1 : 0);
    }
    remove(path);
    tsr_tiles_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tile_is_at_its_place),
        cmocka_unit_test(large_grids_are_scaled_down),
        cmocka_unit_test(failures_leave_nothing_behind),
    };
    snprintf(path, sizeof path, "/tmp/tessera-sheet-%ld.png", (long)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
