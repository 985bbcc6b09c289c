/* tests/kernels/bench.c: how fast each op is at the model's own sizes, beside what this machine can do.
 *
 * Two roofs are measured first: reading a block far larger than the caches, and multiply-adds on registers in
 * f32. Products of bf16 may pass the second one where the processor has instructions for them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "tests/kernels/kt.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

/* ---------------------------------------------------------------- roofs --------------------------------- */

enum { READ_BYTES = 512 << 20, READ_TASKS = 64, FMA_ROUNDS = 4000000, FMA_CHAINS = 12 };

static void read_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    const uint64_t *p = (const uint64_t *)arg + task * (READ_BYTES / READ_TASKS / 8);
    uint64_t sum[8] = {0};
    for (int64_t i = 0; i < READ_BYTES / READ_TASKS / 8; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += p[i + k];
    volatile uint64_t keep = sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
    (void)keep;
}

/* FLOPs of one call of the widest loop this machine has. */
static double flops_per_task;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void fma_avx512(void)
{
    __m512 sums[FMA_CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int k = 0; k < FMA_CHAINS; k++) sums[k] = _mm512_set1_ps((float)k);
    for (int i = 0; i < FMA_ROUNDS; i++)
        for (int k = 0; k < FMA_CHAINS; k++) sums[k] = _mm512_fmadd_ps(sums[k], a, b);
    for (int k = 1; k < FMA_CHAINS; k++) sums[0] = _mm512_add_ps(sums[0], sums[k]);
    volatile float keep = _mm512_cvtss_f32(sums[0]);
    (void)keep;
}

__attribute__((target("avx2,fma"))) static void fma_avx2(void)
{
    __m256 sums[FMA_CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int k = 0; k < FMA_CHAINS; k++) sums[k] = _mm256_set1_ps((float)k);
    for (int i = 0; i < FMA_ROUNDS; i++)
        for (int k = 0; k < FMA_CHAINS; k++) sums[k] = _mm256_fmadd_ps(sums[k], a, b);
    for (int k = 1; k < FMA_CHAINS; k++) sums[0] = _mm256_add_ps(sums[0], sums[k]);
    volatile float keep = _mm256_cvtss_f32(sums[0]);
    (void)keep;
}
#endif

static void fma_plain(void)
{
    float sums[FMA_CHAINS];
    for (int k = 0; k < FMA_CHAINS; k++) sums[k] = (float)k;
    for (int i = 0; i < FMA_ROUNDS; i++)
        for (int k = 0; k < FMA_CHAINS; k++) sums[k] = sums[k] * 0.999f + 1e-3f;
    volatile float keep = 0;
    for (int k = 0; k < FMA_CHAINS; k++) keep = keep + sums[k];
}

static void fma_task(void *arg, int64_t task, int worker)
{
    (void)arg, (void)task, (void)worker;
    double lanes = 1;
#if defined(__x86_64__)
    if (tsr_cpu_features() & TSR_CPU_AVX512)
        lanes = 16, fma_avx512();
    else if (tsr_cpu_features() & TSR_CPU_AVX2)
        lanes = 8, fma_avx2();
    else
#endif
        fma_plain();
    if (worker == 0) flops_per_task = 2.0 * lanes * FMA_CHAINS * FMA_ROUNDS;
}

/* ---------------------------------------------------------------- the table ----------------------------- */

/* ref is slow. Above so many FLOPs its time is reckoned from that at a smaller size, and marked with a ~. */
#define REF_FLOPS 5e8

enum { REPEATS = 5 };

static double read_roof, fma_roof; /* bytes and FLOPs per second */

static void measure_roofs(tsr_pool *pool)
{
    void *block = malloc(READ_BYTES);
    if (!block) exit(1);
    memset(block, 1, READ_BYTES);
    for (int i = 0; i < 5; i++) {
        double began = now();
        tsr_pool_run(pool, READ_TASKS, read_task, block);
        read_roof = fmax(read_roof, READ_BYTES / (now() - began));
        began = now();
        tsr_pool_run(pool, tsr_pool_threads(pool), fma_task, NULL);
        fma_roof = fmax(fma_roof, flops_per_task * tsr_pool_threads(pool) / (now() - began));
    }
    free(block);
    printf("%d threads; reading %.1f GB/s, f32 multiply-adds %.0f GFLOPS\n", tsr_pool_threads(pool),
           read_roof * 1e-9, fma_roof * 1e-9);
    printf("%-14s %-4s %-16s %10s %9s %6s %9s %6s %8s\n", "op", "size", "table", "ms", "GB/s", "roof",
           "GFLOPS", "roof", "x ref");
}

static void print_line(const kt_case *c, int size, const char *label, tsr_op_count n, double ref, bool scaled)
{
    printf("%-14s %-4d %-16s %10.3f %9.2f %5.0f%% %9.2f %5.0f%% %s%.1f\n", c->name, size, label,
           n.seconds * 1e3, n.bytes / n.seconds * 1e-9, 100 * n.bytes / n.seconds / read_roof,
           n.flops / n.seconds * 1e-9, 100 * n.flops / n.seconds / fma_roof, scaled ? "~" : "",
           ref / n.seconds);
    fflush(stdout);
}

void kt_bench(const kt_case *c, const kt_table *tables, int n_tables)
{
    tsr_pool *pool;
    if (tsr_pool_open(&pool, 0)) exit(1);
    if (read_roof == 0) measure_roofs(pool);
    tsr_op_count known = {0}; /* the last size at which ref was timed */
    for (int size = 0; size < c->benches; size++) {
        tsr_op_count asked = kt_time(c, size, &tables[0], pool, 0);
        bool scaled = asked.flops > REF_FLOPS && known.flops > 0;
        double ref = known.seconds * asked.flops / known.flops;
        if (!scaled) {
            known = kt_time(c, size, &tables[0], pool, 1);
            ref = known.seconds;
            print_line(c, size, tables[0].label, known, ref, false);
        }
        for (int i = 1; i < n_tables; i++)
            if (!kt_same_slots(c, &tables[i - 1].ops, &tables[i].ops))
                print_line(c, size, tables[i].label, kt_time(c, size, &tables[i], pool, REPEATS), ref,
                           scaled);
    }
    tsr_pool_close(pool);
}
