/* tests/unit/tiles.c: the grid, the tiles of whole files, and that threads and bands do not show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "preprocess/tiles.h"
#include "tests/unit/pixels.h"

static const tsr_tile_rule internvl = {.tile_size = 448, .min_tiles = 1, .max_tiles = 12, .thumbnail = true};

static void assert_grid(int64_t w, int64_t h, tsr_tile_rule rule, int columns, int rows, int n_tiles)
{
    tsr_tiling t;
    assert_int_equal(tsr_tiling_pick(&t, w, h, &rule), TSR_OK);
    if (t.columns != columns || t.rows != rows || t.n_tiles != n_tiles)
        fail_msg("%dx%d gives %dx%d and %d tiles, wanted %dx%d and %d", (int)w, (int)h, t.columns, t.rows,
                 t.n_tiles, columns, rows, n_tiles);
}

static void grids_of_the_specification(void **state)
{
    (void)state;
    static const struct {
        int w, h, columns, rows, n_tiles;
    } table[] = {
        {448, 448, 1, 1, 1},
        {800, 600, 4, 3, 13},
        {640, 480, 4, 3, 13},
        {4032, 3024, 4, 3, 13},
        {600, 800, 3, 4, 13},
        {768, 1024, 3, 4, 13},
        {1700, 2200, 3, 4, 13},
        {1920, 1080, 4, 2, 9},
        {1280, 720, 4, 2, 9},
        {3840, 2160, 4, 2, 9},
        {1080, 1920, 2, 4, 9},
        {1000, 3000, 2, 6, 13},
        {3000, 1000, 6, 2, 13},
        {2480, 3508, 2, 3, 7},
        {30, 2000, 1, 12, 13},
        {1, 10000, 1, 12, 13},
        {2000, 30, 12, 1, 13},
        {512, 512, 1, 1, 1},
        {100, 100, 1, 1, 1},
        {1, 1, 1, 1, 1},
        {633, 634, 1, 1, 1},
        {640, 640, 2, 2, 5},
        {900, 900, 2, 2, 5},
        {1344, 1344, 3, 3, 10},
        {1600, 1600, 3, 3, 10},
        /* square thresholds: 401,408 and 903,168 pixels */
        {633, 633, 1, 1, 1},
        {634, 634, 2, 2, 5},
        {950, 950, 2, 2, 5},
        {951, 951, 3, 3, 10},
        /* midpoints between two grids, where single precision and exact fractions choose otherwise */
        {203, 348, 2, 3, 7},
        {204, 288, 3, 4, 13},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_grid(table[i].w, table[i].h, internvl, table[i].columns, table[i].rows, table[i].n_tiles);

    tsr_tile_rule wide = internvl;
    wide.tile_size = 512;
    assert_grid(1280, 720, wide, 2, 1, 3);
    assert_grid(640, 640, wide, 1, 1, 1);

    tsr_tile_rule plain = internvl;
    plain.thumbnail = false;
    assert_grid(800, 600, plain, 4, 3, 12);
    plain.min_tiles = plain.max_tiles = 7;
    assert_grid(100, 100, plain, 1, 7, 7); /* 7/1 is 6 away, 1/7 is 0.86 */
}

static void random_grids_equal_the_reference(void **state)
{
    (void)state;
    cJSON *manifest = px_manifest();
    const cJSON *grid = px_get(manifest, "grid");
    static const uint32_t sizes[] = {448, 512, 56}, limits[] = {40, 700, 5000};
    int n = (int)px_get(grid, "n")->valuedouble;
    assert_int_equal(n, 10000);
    uint64_t random = 1;
    uint32_t crc = 0;
    for (int i = 0; i < n; i++) {
        tsr_tile_rule rule = {.min_tiles = (int)(1 + px_random(&random) % 4)};
        rule.max_tiles = rule.min_tiles + (int)(px_random(&random) % 37);
        rule.tile_size = (int)sizes[px_random(&random) % 3];
        uint32_t limit = limits[px_random(&random) % 3];
        int64_t w = 1 + px_random(&random) % limit, h = 1 + px_random(&random) % limit;
        tsr_tiling t;
        assert_int_equal(tsr_tiling_pick(&t, w, h, &rule), TSR_OK);
        assert_int_equal(t.n_tiles, t.columns * t.rows);
        assert_in_range(t.n_tiles, rule.min_tiles, rule.max_tiles);
        crc = px_crc32(crc, (uint8_t[]){(uint8_t)t.columns, (uint8_t)t.rows}, 2);
    }
    assert_int_equal(crc, (uint32_t)px_get(grid, "crc32")->valuedouble);
    cJSON_Delete(manifest);
}

static void rules_out_of_range_are_refused(void **state)
{
    (void)state;
    static const tsr_tile_rule bad[] = {
        {0, 1, 12, true, 0},  {TSR_MAX_TILE_SIZE + 1, 1, 12, true, 0}, {448, 0, 12, true, 0},
        {448, 5, 4, true, 0}, {448, 1, TSR_MAX_TILES + 1, true, 0},    {448, -1, -1, true, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tsr_tiling t;
        assert_int_equal(tsr_tiling_pick(&t, 10, 10, &bad[i]), TSR_E_ARG);
        tsr_tiles tiles = {0};
        assert_int_equal(tsr_tiles_decode(&tiles, "x", 1, &(tsr_pixel_opts){0}, &bad[i], NULL), TSR_E_ARG);
        assert_null(tiles.data);
    }
}

static void images_share_the_tiles_of_a_request(void **state)
{
    (void)state;
    assert_int_equal(tsr_tiles_share(12, 12, 1), 12);
    assert_int_equal(tsr_tiles_share(12, 40, 4), 10);
    assert_int_equal(tsr_tiles_share(12, 100, 4), 12);
    assert_int_equal(tsr_tiles_share(12, 12, 5), 2);
    assert_int_equal(tsr_tiles_share(12, 3, 100), 1);
}

static tsr_resize_order order_of(const char *name)
{
    if (!strcmp(name, "pillow-13")) return TSR_ORDER_PILLOW_13;
    return strcmp(name, "pillow-12.2") ? TSR_ORDER_PILLOW_9 : TSR_ORDER_PILLOW_12_2;
}

static void tiles_of_files_equal_pillow(void **state)
{
    (void)state;
    cJSON *manifest = px_manifest();
    tsr_pool *pool;
    assert_int_equal(tsr_pool_open(&pool, 3), TSR_OK);
    int cases = 0;
    const cJSON *entry;
    cJSON_ArrayForEach(entry, px_get(manifest, "tiles"))
    {
        size_t bytes;
        const char *name = px_get(entry, "file")->valuestring;
        unsigned char *file = px_read(name, &bytes);
        bool hf = !strcmp(px_get(entry, "parity")->valuestring, "hf");
        const tsr_pixel_opts opts = {.parity = hf ? TSR_PARITY_HF : TSR_PARITY_VLLM};
        tsr_tile_rule rule = internvl;
        rule.tile_size = (int)px_get(entry, "size")->valuedouble;
        rule.order = order_of(px_get(entry, "order")->valuestring);
        for (int threads = 1; threads <= 3; threads += 2) {
            tsr_tiles t = {0};
            assert_int_equal(tsr_tiles_decode(&t, file, bytes, &opts, &rule, threads == 1 ? NULL : pool),
                             TSR_OK);
            assert_int_equal(t.columns, (int)px_get(entry, "columns")->valuedouble);
            assert_int_equal(t.rows, (int)px_get(entry, "rows")->valuedouble);
            assert_int_equal(t.n_tiles, (int)px_get(entry, "n_tiles")->valuedouble);
            uint32_t crc = px_crc32(0, t.data, (size_t)t.n_tiles * tsr_tile_bytes(&t));
            uint32_t wanted = (uint32_t)px_get(entry, "crc32")->valuedouble;
            if (crc != wanted) {
                char *text = cJSON_PrintUnformatted(entry);
                fail_msg("%s: crc %08x with %d threads", text, crc, threads);
            }
            tsr_tiles_close(&t);
        }
        free(file);
        cases++;
    }
    assert_true(cases >= 60);
    tsr_pool_close(pool);
    cJSON_Delete(manifest);
}

/* spec/vision.md 4.2, whole-image values; the last one under both rules that its size tells apart. */
static void golden_values_of_whole_pictures(void **state)
{
    (void)state;
    static const struct {
        int w, h;
        tsr_resize_order order;
        int n_tiles;
        uint32_t crc;
    } cases[] = {{448, 448, TSR_ORDER_PILLOW_9, 1, 0xc11d2922},
                 {800, 600, TSR_ORDER_PILLOW_9, 13, 0xcdf675a6},
                 {800, 600, TSR_ORDER_PILLOW_13, 13, 0xcdf675a6},
                 {1000, 3000, TSR_ORDER_PILLOW_9, 13, 0x4e2e08d0},
                 {1000, 3000, TSR_ORDER_PILLOW_13, 13, 0xe38bc431}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_picture image = {
            .rgb = px_pattern(cases[i].w, cases[i].h), .width = cases[i].w, .height = cases[i].h};
        tsr_tile_rule rule = internvl;
        rule.order = cases[i].order;
        tsr_tiles t = {0};
        assert_int_equal(tsr_tiles_cut(&t, &image, &rule, NULL), TSR_OK);
        assert_int_equal(t.n_tiles, cases[i].n_tiles);
        assert_int_equal(px_crc32(0, t.data, (size_t)t.n_tiles * tsr_tile_bytes(&t)), cases[i].crc);
        tsr_tiles_close(&t);
        free(image.rgb);
    }
}

static void a_decoder_that_fails_reaches_the_caller(void **state)
{
    (void)state;
    size_t bytes;
    unsigned char *file = px_read("jpeg-420-97x61.jpg", &bytes);
    tsr_pool *pool;
    assert_int_equal(tsr_pool_open(&pool, 3), TSR_OK);
    for (int run = 0; run < 20; run++) {
        tsr_tiles t = {0};
        assert_int_equal(tsr_tiles_decode(&t, file, bytes * 2 / 3, &(tsr_pixel_opts){0}, &internvl, pool),
                         TSR_E_FORMAT);
        assert_non_null(strstr(tsr_message(), "truncated"));
        assert_null(t.data);
    }
    tsr_pool_close(pool);
    free(file);
}

/* Fails the first, second, third ... allocation until a run needs no more of them. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const names[] = {
        "jpeg-420-97x61.jpg",    "exif-6.jpg",    "jpeg-cmyk.jpg",        "png-rgba-8.png",
        "png-raw-profile-3.png", "png-3x350.png", "png-grey-16-adam7.png"};
    tsr_tile_rule rule = internvl;
    rule.tile_size = 56;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t bytes;
        unsigned char *file = px_read(names[i], &bytes);
        for (int sticky = 0; sticky < 2; sticky++) {
            tsr_status st = TSR_E_NOMEM;
            int64_t n = 1;
            for (; st; n++) {
                tsr_tiles t = {0};
                tsr_alloc_fail_at(n, sticky);
                st = tsr_tiles_decode(&t, file, bytes, &(tsr_pixel_opts){0}, &rule, NULL);
                tsr_alloc_fail_at(0, 0);
                assert_true(st == TSR_OK || st == TSR_E_NOMEM);
                assert_true(st == TSR_OK ? t.data != NULL : t.data == NULL);
                tsr_tiles_close(&t);
                assert_true(n < 1000);
            }
            assert_true(n > 5);
        }
        free(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_of_the_specification),
        cmocka_unit_test(random_grids_equal_the_reference),
        cmocka_unit_test(rules_out_of_range_are_refused),
        cmocka_unit_test(images_share_the_tiles_of_a_request),
        cmocka_unit_test(tiles_of_files_equal_pillow),
        cmocka_unit_test(golden_values_of_whole_pictures),
        cmocka_unit_test(a_decoder_that_fails_reaches_the_caller),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
