/* tests/unit/resize.c: the resize against Pillow, and every CPU level against plain C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "preprocess/resize.h"
#include "preprocess/resize_kernels.h"
#include "tests/unit/pixels.h"

static uint32_t resized_crc(const uint8_t *in, int64_t w, int64_t h, int64_t to_w, int64_t to_h,
                            tsr_resize_order order, tsr_pool *pool)
{
    size_t bytes = (size_t)(to_w * to_h * 3);
    uint8_t *out = malloc(bytes);
    assert_int_equal(tsr_resize_rgb(out, to_w, to_h, in, w, h, order, pool), TSR_OK);
    uint32_t crc = px_crc32(0, out, bytes);
    free(out);
    return crc;
}

/* The six rows of spec/vision.md 4.2 first; then sizes where the orders differ, or almost. Made by Pillow
 * 13.0.0; for the older orders by two calls of its resize, one direction each. */
static void golden_values_of_every_order(void **state)
{
    (void)state;
    static const struct {
        int w, h, to_w, to_h;
        uint32_t crc[3]; /* by tsr_resize_order */
    } cases[] = {
        {3, 2, 7, 5, {0x779ff7cd, 0x779ff7cd, 0x779ff7cd}},
        {17, 11, 8, 8, {0x69405c0f, 0x69405c0f, 0x69405c0f}},
        {640, 480, 448, 448, {0xe301d2d0, 0xe301d2d0, 0xe301d2d0}},
        {640, 480, 1792, 1344, {0x293662ea, 0x293662ea, 0x293662ea}},
        {1920, 1080, 1792, 896, {0xfeefef8c, 0xfeefef8c, 0xfeefef8c}},
        {30, 2000, 448, 5376, {0x12bcfc04, 0x12bcfc04, 0x12bcfc04}},
        {20, 5000, 448, 448, {0x72563f9d, 0x72563f9d, 0x8da453bf}},
        {20, 5000, 448, 5376, {0x23b43e33, 0x23b43e33, 0x23b43e33}},
        {1, 10000, 448, 448, {0xf6040618, 0xf6040618, 0xf6040618}},
        {2, 201, 5, 4, {0x9f5a7bb6, 0x9f5a7bb6, 0x827fb686}},
        {2, 200, 5, 4, {0x2fd58cb1, 0x0efef9d9, 0x0efef9d9}},
        {1000, 3000, 896, 2688, {0xe218d4f8, 0x34216f98, 0x34216f98}},
        {1000, 3000, 448, 448, {0x6f7fde2b, 0x0e4ec15e, 0x0e4ec15e}},
        {37, 111, 18, 55, {0x6a7cefd2, 0x3c76fa3b, 0x3c76fa3b}},
        {37, 74, 18, 37, {0xde029eeb, 0xde029eeb, 0xde029eeb}},
        {5000, 20, 448, 448, {0x828987ab, 0x828987ab, 0x828987ab}},
        {1, 1, 448, 448, {0xb3aaa1b7, 0xb3aaa1b7, 0xb3aaa1b7}},
        {1, 37, 448, 448, {0xec5271c5, 0xec5271c5, 0xec5271c5}},
        {37, 1, 448, 448, {0x126bebaa, 0x126bebaa, 0x126bebaa}},
        {448, 448, 448, 448, {0xc11d2922, 0xc11d2922, 0xc11d2922}},
        {448, 900, 448, 450, {0x2bc9630a, 0x2bc9630a, 0x2bc9630a}},
        {900, 448, 450, 448, {0x94903181, 0x94903181, 0x94903181}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *in = px_pattern(cases[i].w, cases[i].h);
        for (int order = TSR_ORDER_PILLOW_13; order <= TSR_ORDER_PILLOW_9; order++) {
            uint32_t crc = resized_crc(in, cases[i].w, cases[i].h, cases[i].to_w, cases[i].to_h,
                                       (tsr_resize_order)order, NULL);
            if (crc != cases[i].crc[order])
                fail_msg("%dx%d to %dx%d, order %d: crc %08x, wanted %08x", cases[i].w, cases[i].h,
                         cases[i].to_w, cases[i].to_h, order, crc, cases[i].crc[order]);
        }
        free(in);
    }
}

static void the_red_rows_of_the_specification(void **state)
{
    (void)state;
    static const uint8_t red[5][7] = {{0, 1, 3, 7, 11, 13, 15},
                                      {0, 1, 3, 7, 11, 13, 15},
                                      {1, 3, 5, 9, 13, 15, 17},
                                      {2, 4, 6, 10, 14, 16, 18},
                                      {2, 4, 6, 10, 14, 16, 18}};
    uint8_t *in = px_pattern(3, 2), out[5 * 7 * 3];
    assert_int_equal(tsr_resize_rgb(out, 7, 5, in, 3, 2, TSR_ORDER_PILLOW_13, NULL), TSR_OK);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 7; x++) assert_int_equal(out[(y * 7 + x) * 3], red[y][x]);
    free(in);
}

static int64_t side(uint64_t *state)
{
    static const uint32_t widest[] = {4, 20, 90, 400};
    uint32_t value = px_random(state); /* C leaves the order of two calls in one expression open */
    return 1 + value % widest[px_random(state) % 4];
}

static void random_sizes_equal_pillow(void **state)
{
    (void)state;
    cJSON *manifest = px_manifest();
    const cJSON *crcs = px_get(px_get(manifest, "resize"), "random_crc32");
    uint64_t random = 2;
    for (int i = 0; i < cJSON_GetArraySize(crcs); i++) {
        int64_t w = side(&random), h = side(&random), to_w = side(&random), to_h = side(&random);
        uint8_t *in = px_noise(w, h, &random, i % 2);
        uint32_t crc = resized_crc(in, w, h, to_w, to_h, TSR_ORDER_PILLOW_13, NULL);
        uint32_t wanted = (uint32_t)cJSON_GetArrayItem(crcs, i)->valuedouble;
        if (crc != wanted)
            fail_msg("case %d, %dx%d to %dx%d: crc %08x, wanted %08x", i, (int)w, (int)h, (int)to_w,
                     (int)to_h, crc, wanted);
        free(in);
    }
    cJSON_Delete(manifest);
}

static void threads_do_not_change_the_result(void **state)
{
    (void)state;
    uint64_t random = 3;
    uint8_t *in = px_noise(301, 407, &random, true);
    tsr_pool *pool;
    assert_int_equal(tsr_pool_open(&pool, 3), TSR_OK);
    for (int order = TSR_ORDER_PILLOW_13; order <= TSR_ORDER_PILLOW_9; order++)
        assert_int_equal(resized_crc(in, 301, 407, 340, 95, (tsr_resize_order)order, pool),
                         resized_crc(in, 301, 407, 340, 95, (tsr_resize_order)order, NULL));
    tsr_pool_close(pool);
    free(in);
}

static void tiles_are_cut_from_the_whole(void **state)
{
    (void)state;
    enum { TILE = 20, COLUMNS = 3, ROWS = 2 };
    for (int64_t h = 50; h <= 170; h += 120) { /* rows first, columns first */
        uint8_t *in = px_pattern(70, h);
        uint8_t tiles[ROWS * COLUMNS][TILE][TILE * 3], whole[ROWS * TILE][COLUMNS * TILE * 3];
        tsr_resize_target to = {tiles[0][0], COLUMNS * TILE, ROWS * TILE, TILE};
        tsr_resize *r;
        assert_int_equal(tsr_resize_open(&r, &to, 1, 70, h, TSR_ORDER_PILLOW_13), TSR_OK);
        assert_int_equal(tsr_resize_takes_rows(r), h == 50);
        if (tsr_resize_takes_rows(r)) { /* in any pieces, in any order */
            for (int64_t y = h - 1; y >= 7; y--) tsr_resize_rows(r, in + y * 3 * 70, y, 1);
            tsr_resize_rows(r, in, 0, 7);
            tsr_resize_finish(r, NULL);
        } else {
            tsr_resize_picture(r, in, NULL);
        }
        tsr_resize_close(r);
        assert_int_equal(
            tsr_resize_rgb(whole[0], COLUMNS * TILE, ROWS * TILE, in, 70, h, TSR_ORDER_PILLOW_13, NULL),
            TSR_OK);
        for (int t = 0; t < ROWS * COLUMNS; t++)
            for (int y = 0; y < TILE; y++)
                assert_memory_equal(tiles[t][y], whole[t / COLUMNS * TILE + y] + t % COLUMNS * TILE * 3,
                                    TILE * 3);
        free(in);
    }
}

/* Random weights up to the largest a filter can have, all tap counts, odd row counts and byte counts. */
static void compare_levels(const tsr_resize_kernels *plain, const tsr_resize_kernels *fast)
{
    enum { MAX_TAPS = 13, N_OUT = 8, WIDTH = 40, MAX_ROWS = 9, OUT_STRIDE = N_OUT * 3 + TSR_RGB_SLACK };
    uint64_t random = 4;
    for (int run = 0; run < 300; run++) {
        int32_t q[N_OUT][MAX_TAPS + TSR_TAP_GROUP] = {{0}}, lo[N_OUT], n[N_OUT];
        int32_t packed[2][N_OUT * 4 * TSR_TAP_MAX_WORDS] = {{0}};
        const tsr_resize_kernels *levels[2] = {plain, fast};
        tsr_taps taps[2];
        for (int o = 0; o < N_OUT; o++) {
            n[o] = (int32_t)(px_random(&random) % (MAX_TAPS + 1));
            lo[o] = (int32_t)(px_random(&random) % (WIDTH - MAX_TAPS));
            for (int k = 0; k < n[o]; k++)
                q[o][k] = ((int32_t)(px_random(&random) % 8000000) - 1000000) / n[o];
        }
        for (int l = 0; l < 2; l++) {
            taps[l] = (tsr_taps){N_OUT, 4 * levels[l]->words, lo, n, packed[l]};
            for (int o = 0; o < N_OUT; o++)
                for (int g = 0; g < 4; g++)
                    levels[l]->pack(packed[l] + o * taps[l].stride + g * levels[l]->words,
                                    q[o] + g * TSR_TAP_GROUP);
        }
        int64_t rows = 1 + px_random(&random) % MAX_ROWS;
        uint8_t *in = px_noise(WIDTH, MAX_TAPS, &random, run % 2);
        uint8_t out[2][MAX_ROWS * OUT_STRIDE];
        for (int l = 0; l < 2; l++) levels[l]->across(out[l], OUT_STRIDE, in, 3 * WIDTH, rows, &taps[l]);
        for (int64_t y = 0; y < rows; y++)
            assert_memory_equal(out[0] + y * OUT_STRIDE, out[1] + y * OUT_STRIDE, 3 * N_OUT);

        int64_t bytes = 1 + px_random(&random) % (3 * WIDTH);
        for (int o = 0; o < N_OUT; o++) {
            if (!n[o]) continue;
            memset(out, 0xa5, sizeof out);
            for (int l = 0; l < 2; l++)
                levels[l]->down(out[l], in, 3 * WIDTH, bytes, packed[l] + o * taps[l].stride, n[o]);
            assert_memory_equal(out[0], out[1], (size_t)bytes + 64); /* and nothing behind the last byte */
        }
        free(in);
    }
}

static void every_level_gives_the_same_integers(void **state)
{
    (void)state;
#if defined(__x86_64__)
    unsigned features = tsr_cpu_features();
    if (features & TSR_CPU_AVX2) compare_levels(&tsr_resize_scalar, &tsr_resize_avx2);
    if (features & TSR_CPU_AVX512_VNNI) compare_levels(&tsr_resize_scalar, &tsr_resize_vnni);
#endif
    compare_levels(&tsr_resize_scalar, tsr_resize_kernels_pick(tsr_cpu_features()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_values_of_every_order), cmocka_unit_test(the_red_rows_of_the_specification),
        cmocka_unit_test(random_sizes_equal_pillow),    cmocka_unit_test(threads_do_not_change_the_result),
        cmocka_unit_test(tiles_are_cut_from_the_whole), cmocka_unit_test(every_level_gives_the_same_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
