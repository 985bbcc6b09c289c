/* base/cpu.c: CPUID, XGETBV and the cap of TSR_CPU. */
#include "base/cpu.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
    AVX512_ALL = TSR_CPU_AVX2 | TSR_CPU_AVX512 | TSR_CPU_AVX512_VNNI | TSR_CPU_AVX512_VBMI,
    AVX512_BF16_ALL = AVX512_ALL | TSR_CPU_AVX512_BF16
};

static const struct {
    const char *name;
    unsigned keeps;
} levels[] = {
    {"scalar", 0},
    {"avx2", TSR_CPU_AVX2},
    {"avx512", AVX512_ALL},
    {"avx512bf16", AVX512_BF16_ALL},
    {"amx", AVX512_BF16_ALL | TSR_CPU_AMX_BF16},
};

unsigned tsr_cpu_cap(unsigned features, const char *level, int *known)
{
    *known = 1;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (!strcmp(level, levels[i].name)) return features & (levels[i].keeps | (i ? TSR_CPU_SHA : 0));
    *known = 0;
    return features;
}

const char *tsr_cpu_level_name(unsigned features)
{
    for (size_t i = sizeof levels / sizeof *levels; --i > 0;)
        if ((features & levels[i].keeps) == levels[i].keeps) return levels[i].name;
    return levels[0].name;
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has(unsigned reg, unsigned bits)
{
    return (reg & bits) == bits;
}

/* The state components that the operating system saves on a switch. */
static uint64_t saved_state(void)
{
    unsigned low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Linux gives tile state to a process only when it asks; using tiles without asking is a SIGILL. */
static bool tiles_granted(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static unsigned detect(void)
{
    enum { SHA = 1 << 29, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 }; /* not named by all compilers */
    enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6, TILE_STATE = 0x60000 };
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!has(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return 0;
    uint64_t saved = saved_state();
    if ((saved & YMM_STATE) != YMM_STATE) return 0;

    unsigned b7, c7, d7;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (!has(b7, bit_AVX2 | bit_BMI2)) return 0;
    unsigned features = TSR_CPU_AVX2 | (has(b7, SHA) ? TSR_CPU_SHA : 0);

    if ((saved & ZMM_STATE) != ZMM_STATE) return features;
    if (!has(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL)) return features;
    features |= TSR_CPU_AVX512;
    if (has(c7, bit_AVX512VNNI)) features |= TSR_CPU_AVX512_VNNI;
    if (has(c7, bit_AVX512VBMI)) features |= TSR_CPU_AVX512_VBMI;

    unsigned a71;
    if (!__get_cpuid_count(7, 1, &a71, &b, &c, &d) || !has(a71, bit_AVX512BF16)) return features;
    features |= TSR_CPU_AVX512_BF16;
    if (has(d7, AMX_BF16 | AMX_TILE) && (saved & TILE_STATE) == TILE_STATE && tiles_granted())
        features |= TSR_CPU_AMX_BF16;
    return features;
}

#else

static unsigned detect(void)
{
    return 0;
}

#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned found;

static void find(void)
{
    found = detect();
    const char *level = getenv("TSR_CPU");
    if (!level || !*level) return;
    int known;
    found = tsr_cpu_cap(found, level, &known);
    if (!known)
        tsr_log(TSR_LOG_WARN, "TSR_CPU=%s ignored; scalar, avx2, avx512, avx512bf16 and amx are known",
                level);
}

unsigned tsr_cpu_features(void)
{
    pthread_once(&once, find);
    return found;
}

void tsr_cpu_model(char *to, size_t to_bytes)
{
    char name[49] = "";
#if defined(__x86_64__)
    enum { BRAND = 0x80000002 }; /* and the two leaves behind it, 16 characters each */
    for (unsigned i = 0; i < 3; i++) {
        unsigned part[4];
        if (!__get_cpuid(BRAND + i, &part[0], &part[1], &part[2], &part[3])) break;
        memcpy(name + 16 * i, part, sizeof part);
        name[16 * (i + 1)] = '\0';
    }
#endif
    const char *from = name + strspn(name, " ");
    snprintf(to, to_bytes, "%s", *from ? from : "unknown processor");
}
