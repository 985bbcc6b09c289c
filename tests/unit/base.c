/* tests/unit/base.c: status, dtype, arena, pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/dtype.h"
#include "base/pool.h"
#include "base/status.h"

static void messages_carry_context_and_no_control_characters(void **state)
{
    (void)state;
    assert_int_equal(tsr_fail(TSR_E_FORMAT, "tensor '%s'", "a\033[2J\n"), TSR_E_FORMAT);
    assert_string_equal(tsr_message(), "tensor 'a\\x1b[2J\\x0a'");
    assert_int_equal(tsr_wrap(TSR_E_FORMAT, "file %d", 7), TSR_E_FORMAT);
    assert_string_equal(tsr_message(), "file 7: tensor 'a\\x1b[2J\\x0a'");
}

/* The nearest of all 256 codes, ties to the even one: what tsr_to_fp8 must equal. */
static uint8_t nearest_fp8(float value)
{
    if (isnan(value)) return 0x7f;
    uint8_t best = 0;
    float magnitude = fabsf(value) > TSR_FP8_MAX ? TSR_FP8_MAX : fabsf(value);
    for (int c = 1; c < 127; c++) {
        float now = fabsf(tsr_fp8_table[c] - magnitude), then = fabsf(tsr_fp8_table[best] - magnitude);
        if (now < then || (now == then && c % 2 == 0)) best = (uint8_t)c;
    }
    return best | (signbit(value) ? 0x80 : 0);
}

static void fp8_rounds_to_nearest_even_and_saturates(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        if ((c & 0x7f) == 0x7f)
            assert_true(isnan(tsr_fp8_table[c]));
        else
            assert_int_equal(tsr_to_fp8(tsr_fp8_table[c]), c);
    }
    for (int i = -70000; i < 70000; i++) {
        float value = (float)i * (float)i * (float)i * 2e-12f;
        assert_int_equal(tsr_to_fp8(value), nearest_fp8(value));
    }
    for (int c = 0; c < 126; c++) { /* exact ties */
        float tie = 0.5f * (tsr_fp8_table[c] + tsr_fp8_table[c + 1]);
        assert_int_equal(tsr_to_fp8(tie), nearest_fp8(tie));
        assert_int_equal(tsr_to_fp8(-tie), nearest_fp8(-tie));
    }
    assert_int_equal(tsr_to_fp8(1e9f), 0x7e);
    assert_int_equal(tsr_to_fp8(-INFINITY), 0xfe);
    assert_true(isnan(tsr_from_fp8(tsr_to_fp8(NAN))));
}

static void halves_round_trip(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float wide = tsr_from_f16((uint16_t)h);
        if (!isnan(wide)) assert_int_equal(tsr_to_f16(wide), h);
        float brain = tsr_from_bf16((uint16_t)h);
        if (!isnan(brain)) assert_int_equal(tsr_to_bf16(brain), h);
    }
    assert_int_equal(tsr_to_f16(65519.0f), 0x7bff);
    assert_int_equal(tsr_to_f16(65520.0f), 0x7c00);
    assert_int_equal(tsr_to_f16(0x1.8p-24f), 2); /* a tie between 1 and 2 subnormal steps */
    assert_int_equal(tsr_to_bf16(1.00390625f), 0x3f80);
    assert_int_equal(tsr_to_bf16(1.01171875f), 0x3f82);
    assert_true(isnan(tsr_from_bf16(tsr_to_bf16(NAN))));
}

static void arena_measures_what_it_carves(void **state)
{
    (void)state;
    tsr_arena measure = {0};
    tsr_mark mark = tsr_arena_mark(&measure);
    tsr_view v = tsr_arena_view(&measure, TSR_BF16, TSR_SCALE_ROW, 3, 17);
    assert_null(v.data);
    assert_int_equal(v.stride, 32);
    assert_int_equal(measure.used, 192 + 64);
    tsr_arena_release(&measure, mark);

    _Alignas(64) unsigned char block[256];
    tsr_arena real = {.base = block, .capacity = sizeof block};
    v = tsr_arena_view(&real, TSR_BF16, TSR_SCALE_ROW, 3, 17);
    assert_ptr_equal(v.data, block);
    assert_ptr_equal(v.scale, block + 192);
    assert_int_equal(real.peak, measure.peak);
    assert_true(tsr_arena_fits(&real));
    assert_null(tsr_arena_take(&real, 1));
    assert_false(tsr_arena_fits(&real));
}

static void overflowing_sizes_saturate(void **state)
{
    (void)state;
    tsr_arena a = {0};
    tsr_arena_view(&a, TSR_F32, TSR_SCALE_NONE, INT64_MAX / 2, 1 << 20);
    assert_true(a.used == SIZE_MAX);
    tsr_arena_array(&a, -1, 4);
    assert_true(a.peak == SIZE_MAX);
}

typedef struct loop {
    atomic_int hits[1000];
} loop;

static void touch(void *arg, int64_t task, int worker)
{
    (void)worker;
    atomic_fetch_add(&((loop *)arg)->hits[task], 1);
}

static void pool_runs_every_task_once(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        tsr_pool *pool = NULL;
        assert_int_equal(tsr_pool_open(&pool, n_threads), TSR_OK);
        for (int round = 0; round < 200; round++) {
            loop l = {0};
            int64_t n_tasks = round * 5;
            tsr_pool_run(pool, n_tasks, touch, &l);
            for (int64_t i = 0; i < 1000; i++) assert_int_equal(atomic_load(&l.hits[i]), i < n_tasks);
        }
        tsr_pool_close(pool);
    }
    tsr_pool *pool = NULL;
    assert_int_equal(tsr_pool_open(&pool, -1), TSR_E_ARG);
    assert_null(pool);
}

static void allocation_fails_when_told(void **state)
{
    (void)state;
    tsr_alloc_fail_at(2, 0);
    void *first = tsr_alloc(8), *second = tsr_alloc(8), *third = tsr_alloc(8);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    tsr_alloc_fail_at(0, 0);
    tsr_free(first);
    tsr_free(third);
    assert_null(tsr_calloc(SIZE_MAX / 2, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_carry_context_and_no_control_characters),
        cmocka_unit_test(fp8_rounds_to_nearest_even_and_saturates),
        cmocka_unit_test(halves_round_trip),
        cmocka_unit_test(arena_measures_what_it_carves),
        cmocka_unit_test(overflowing_sizes_saturate),
        cmocka_unit_test(pool_runs_every_task_once),
        cmocka_unit_test(allocation_fails_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
