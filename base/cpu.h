/* base/cpu.h: which instructions this processor and its operating system offer.
 *
 * Every file built with target flags of its own is entered only after its bit was seen here. On anything but
 * x86-64 all bits are 0 and the plain C versions run.
 */
#ifndef TSR_CPU_H
#define TSR_CPU_H

#include <stddef.h>

enum {
    TSR_CPU_AVX2 = 1 << 0,        /* with FMA, F16C and BMI2 */
    TSR_CPU_AVX512 = 1 << 1,      /* F, BW, DQ, VL */
    TSR_CPU_AVX512_VNNI = 1 << 2, /* bytes and 16-bit integers, four or two products to an int32 lane */
    TSR_CPU_AVX512_VBMI = 1 << 3, /* byte permutes across a register */
    TSR_CPU_AVX512_BF16 = 1 << 4, /* dot products of bf16 pairs */
    TSR_CPU_AMX_BF16 = 1 << 5,    /* tiles; set only once the kernel has granted this process their state */
    TSR_CPU_SHA = 1 << 6          /* SHA-256 */
};

/* The bits above. SHA implies TSR_CPU_AVX2. A bit of AVX-512 implies TSR_CPU_AVX512, which implies TSR_CPU_AVX2; AMX implies
 * TSR_CPU_AVX512_BF16. Found once per process.
 *
 * The environment variable TSR_CPU caps the level, for tests and for comparing: `scalar`, `avx2`, `avx512`
 * (with VNNI and VBMI), `avx512bf16`, `amx`. It can only take bits away. An unknown value is ignored and
 * logged as a warning.
 *
 * Threads: any. Source: Intel SDM volume 1, 13.2 (XGETBV), 14.3 and 15.2 (detection); Linux
 * Documentation/arch/x86/xstate.rst (AMX permission).
 */
unsigned tsr_cpu_features(void);

/* What `level`, a value of TSR_CPU, leaves of `features`; all of them when the name is unknown and then
 * *known is 0. */
unsigned tsr_cpu_cap(unsigned features, const char *level, int *known);

/* "amx", "avx512bf16", "avx512", "avx2" or "scalar": the best level these features reach. */
const char *tsr_cpu_level_name(unsigned features);

/* The processor's own name, into `to` with its NUL; "unknown processor" where it has none. */
void tsr_cpu_model(char *to, size_t to_bytes);

#endif
