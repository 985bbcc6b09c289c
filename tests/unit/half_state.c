/* tests/unit/half_state.c: the odds of rounding a state to f16, and what they are for. Prints what each rounding
 * costs a long recurrence, as docs/numerics.md tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "kernels/half_state.h"

static void values_of_f16_stay(void **state)
{
    (void)state;
    for (uint32_t h = 1; h < 0x7c00; h++)
        for (uint32_t pos = 0; pos < 20; pos++) {
            float v = tsr_from_f16((uint16_t)h);
            assert_int_equal(tsr_half_state(v, pos, h), h);
            assert_int_equal(tsr_half_state(-v, pos, h), h | 0x8000);
            assert_true(tsr_half_value((uint16_t)h) == v);
        }
    assert_int_equal(tsr_half_state(0, 1, 1) & 0x7fff, 0);
    assert_int_equal(tsr_half_state(1e30f, 1, 1), 0x7bff);
    assert_true(isnan(tsr_from_f16(tsr_half_state(NAN, 1, 1))));
}

/* The neighbour below or above, and right on average: six deviations of a mean of n. */
static void others_are_right_on_average(void **state)
{
    (void)state;
    static const float values[] = {1.0003f, 1.9995f, -2.71828f, 0.3333f, 6.1e-5f, 1e-5f, 3e-8f, 40000.7f};
    enum { N = 100000 };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        float v = values[i];
        double sum = 0, low = INFINITY, high = -INFINITY;
        for (uint32_t pos = 0; pos < N; pos++) {
            double h = tsr_from_f16(tsr_half_state(v, pos, 12345));
            sum += h;
            low = fmin(low, h), high = fmax(high, h);
        }
        double step = fmax(ldexp(1, ilogb(v) - 10), 0x1p-24);
        assert_true(low <= v && v <= high && high - low <= 1.001 * step);
        assert_true(fabs(sum / N - v) < 6 * 0.5 * step / sqrt(N) + step * 0x1p-13);
    }
}

/* ---------------------------------------------------------------- a long recurrence --------------------- */

enum { STATES = 1024, STEPS = 8192 };

static uint64_t seed;

/* Uniform, of variance 1. */
static double draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(seed >> 11) * 0x1p-53 - 0.5) * 3.4641016;
}

typedef enum rounding { NONE, NEAREST, ODDS, BF16, N_ROUNDINGS } rounding;

static float kept(float v, rounding how, uint32_t pos, int64_t i)
{
    switch (how) {
    case NEAREST: return tsr_from_f16(tsr_to_f16(v));
    case ODDS: return tsr_from_f16(tsr_half_state(v, pos, i));
    case BF16: return tsr_from_bf16(tsr_to_bf16(v));
    default: return v;
    }
}

/* h = exp(-dt) h + dt x, dt of every step anywhere (by its logarithm) between low and 0.1; of every 1024 steps the
 * last `quiet` have dt = low and nothing to add. Root of the mean square error beside that of h, per rounding. */
static void recur(double error[N_ROUNDINGS], double low, int quiet)
{
    static float h[N_ROUNDINGS][STATES];
    static double exact[STATES];
    double size = 0;
    seed = 1;
    for (int r = 0; r < N_ROUNDINGS; r++) error[r] = 0;
    for (int i = 0; i < STATES; i++) {
        exact[i] = 0;
        for (int r = 0; r < N_ROUNDINGS; r++) h[r][i] = 0;
    }
    for (int t = 0; t < STEPS; t++) {
        bool rest = t % 1024 >= 1024 - quiet;
        double dt = low * pow(0.1 / low, draw() / 3.4641016 + 0.5);
        float decay = (float)exp(-(rest ? low : dt));
        for (int i = 0; i < STATES; i++) {
            float more = rest ? 0 : (float)(dt * draw());
            exact[i] = (double)decay * exact[i] + more;
            size += exact[i] * exact[i];
            for (int r = 0; r < N_ROUNDINGS; r++) {
                h[r][i] = kept(decay * h[r][i] + more, (rounding)r, (uint32_t)t, i);
                error[r] += pow(h[r][i] - exact[i], 2);
            }
        }
    }
    for (int r = 0; r < N_ROUNDINGS; r++) error[r] = sqrt(error[r] / size);
}

/* Rounding to nearest holds what should fade; with odds the error is that of a random walk. */
static void nothing_is_held_for_good(void **state)
{
    (void)state;
    printf("  error of the state      f32   f16 nearest   f16 odds   bf16\n");
    for (int quiet = 0; quiet <= 896; quiet += 448) {
        double e[N_ROUNDINGS];
        recur(e, 1e-4, quiet);
        printf("  %3d of 1024 quiet  %.1e       %.1e    %.1e  %.1e\n", quiet, e[NONE], e[NEAREST], e[ODDS],
               e[BF16]);
        assert_true(e[ODDS] < 0.01);
        if (quiet)
            assert_true(e[ODDS] < e[NEAREST] / 3);
        else
            assert_true(e[ODDS] < 2 * e[NEAREST]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_f16_stay),
        cmocka_unit_test(others_are_right_on_average),
        cmocka_unit_test(nothing_is_held_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
