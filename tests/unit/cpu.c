/* tests/unit/cpu.c: the order of the CPU levels and the cap of TSR_CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/log.h"

static char warning[256];

static void listen(void *user, tsr_log_level level, const char *line)
{
    (void)user;
    if (level == TSR_LOG_WARN) strncpy(warning, line, sizeof warning - 1);
}

static void bits_imply_their_base(void **state)
{
    (void)state;
    unsigned f = tsr_cpu_features();
    unsigned on_avx512 = TSR_CPU_AVX512_VNNI | TSR_CPU_AVX512_VBMI | TSR_CPU_AVX512_BF16 | TSR_CPU_AMX_BF16;
    if (f & on_avx512) assert_true(f & TSR_CPU_AVX512);
    if (f & TSR_CPU_AVX512) assert_true(f & TSR_CPU_AVX2);
    if (f & TSR_CPU_AMX_BF16) assert_true(f & TSR_CPU_AVX512_BF16);
}

static void an_unknown_cap_is_ignored_with_a_warning(void **state)
{
    (void)state;
    assert_non_null(strstr(warning, "TSR_CPU=fast ignored"));
}

static void caps_only_take_away(void **state)
{
    (void)state;
    unsigned all = TSR_CPU_AVX2 | TSR_CPU_AVX512 | TSR_CPU_AVX512_VNNI | TSR_CPU_AVX512_VBMI |
                   TSR_CPU_AVX512_BF16 | TSR_CPU_AMX_BF16;
    int known;
    assert_int_equal(tsr_cpu_cap(all, "scalar", &known), 0);
    assert_int_equal(tsr_cpu_cap(all, "avx2", &known), TSR_CPU_AVX2);
    assert_int_equal(tsr_cpu_cap(all, "avx512", &known), all & ~(TSR_CPU_AVX512_BF16 | TSR_CPU_AMX_BF16));
    assert_int_equal(tsr_cpu_cap(all, "avx512bf16", &known), all & ~TSR_CPU_AMX_BF16);
    assert_int_equal(tsr_cpu_cap(all, "amx", &known), all);
    assert_int_equal(tsr_cpu_cap(TSR_CPU_AVX2, "amx", &known), TSR_CPU_AVX2);
    assert_int_equal(known, 1);
    assert_int_equal(tsr_cpu_cap(all, "sse9", &known), all);
    assert_int_equal(known, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_imply_their_base),
        cmocka_unit_test(an_unknown_cap_is_ignored_with_a_warning),
        cmocka_unit_test(caps_only_take_away),
    };
    setenv("TSR_CPU", "fast", 1); /* before the first look: features are found once */
    tsr_log_listen(listen, NULL);
    tsr_cpu_features();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
