/* tests/kernels/main.c: the kernel checker.
 *
 *   kernels [OP...] [--seed N] [--seeds N] [--level LEVEL] [--bench] [--list]
 *
 * Without OP all ops are checked; without --seed a case's own number of seeds, from 1. LEVEL is scalar, avx2,
 * avx512, avx512bf16 or amx: only the CPU table of that level is compared with ref, otherwise each that this
 * machine offers. LEVEL cuda is the module beside this program, emulated its kernels on the host
 * (tests/emulation), far the tests' own backend whose memory the host cannot touch; these have to be asked for.
 * --bench times the model's own sizes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "kernels/backend.h"
#include "kernels/module.h"
#include "tests/device/far.h"
#include "tests/emulation/emulation.h"
#include "tests/kernels/kt.h"

#define ADDRESS(name) &kt_case_##name,
static const kt_case *const cases[] = {KT_CASES(ADDRESS)};
enum { N_CASES = sizeof cases / sizeof *cases };

static const char *const levels[] = {"scalar", "avx2", "avx512", "avx512bf16", "amx"};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static int usage(void)
{
    fprintf(stderr, "usage: kernels [OP...] [--seed N] [--seeds N] "
                    "[--level scalar|avx2|avx512|avx512bf16|amx|cuda|emulated|far] [--bench] [--list]\n");
    return 2;
}

/* ref, then a table per level this machine has; only `level` if that is given. Emulation is slow, so it has to
 * be asked for. */
static int fill_tables(kt_table *tables, const char *level)
{
    int n = 0;
    unsigned last = 0;
    tables[n++] = (kt_table){.label = "ref", .ops = tsr_ref_ops};
    if (level && (!strcmp(level, "cuda") || !strcmp(level, "far"))) {
        static tsr_ops device;
        if (!strcmp(level, "far")) {
            device = far_ops();
        } else if (tsr_cuda_ops(&device)) {
            fprintf(stderr, "kernels: %s\n", tsr_message());
            exit(1);
        }
        tables[n] = (kt_table){.level = level,
                               .marshalled = true,
                               .device = !strcmp(level, "cuda"),
                               .ops = kt_marshalled(&device)};
        snprintf(tables[n++].label, sizeof tables[0].label, "%s", level);
        return n;
    }
    if (level && !strcmp(level, "emulated")) {
        tables[n] = (kt_table){.label = "emulated", .level = "emulated", .device = true};
        return n + tsr_emulated_ops(&tables[n].ops);
    }
    for (int i = 0; i < N_LEVELS; i++) {
        int known;
        unsigned features = tsr_cpu_cap(tsr_cpu_features(), levels[i], &known);
        if (i > 0 && features == last) continue; /* the machine has no more than the level below */
        last = features;
        if (level && strcmp(level, levels[i])) continue;
        tables[n] = (kt_table){.level = levels[i], .ops = tsr_cpu_ops(features)};
        snprintf(tables[n++].label, sizeof tables[0].label, "cpu-%s", levels[i]);
    }
    return n;
}

static bool wanted(const kt_case *c, char **names, int n_names)
{
    for (int i = 0; i < n_names; i++)
        if (!strcmp(names[i], c->name)) return true;
    return n_names == 0;
}

static tsr_pool *open_pool(int threads)
{
    tsr_pool *pool;
    if (tsr_pool_open(&pool, threads)) {
        fprintf(stderr, "kernels: %s\n", tsr_message());
        exit(1);
    }
    return pool;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static int check(const kt_case *c, const kt_table *tables, int n_tables, uint64_t seed, uint64_t seeds)
{
    tsr_pool *one = open_pool(1), *three = open_pool(3);
    double began = now();
    int failures = 0;
    double largest = 0;
    for (uint64_t i = 0; i < seeds; i++)
        failures += kt_check(c, seed + i, tables, n_tables, one, three, &largest);
    printf("%-14s %4" PRIu64 " seeds %6.2f s  beyond rounding at most %3.0f%% of the tolerance  %s\n",
           c->name, seeds, now() - began, 100 * largest, failures ? "FAILED" : "ok");
    tsr_pool_close(one);
    tsr_pool_close(three);
    return failures;
}

int main(int argc, char **argv)
{
    char **names = argv + 1;
    int n_names = 0;
    uint64_t seed = 1, seeds = 0;
    bool bench = false;
    const char *level = NULL;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--seed") && next)
            seed = strtoull(argv[++i], NULL, 10), seeds = seeds ? seeds : 1;
        else if (!strcmp(argv[i], "--seeds") && next)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--level") && next)
            level = argv[++i];
        else if (!strcmp(argv[i], "--bench"))
            bench = true;
        else if (!strcmp(argv[i], "--list")) {
            for (int k = 0; k < N_CASES; k++) printf("%s\n", cases[k]->name);
            return 0;
        } else if (argv[i][0] == '-')
            return usage();
        else
            names[n_names++] = argv[i];
    }
    for (int i = 0; i < n_names; i++) {
        bool known = false;
        for (int k = 0; k < N_CASES; k++) known = known || !strcmp(cases[k]->name, names[i]);
        if (!known) {
            fprintf(stderr, "kernels: no case is named '%s'; --list names them\n", names[i]);
            return 2;
        }
    }

    setvbuf(stdout, NULL, _IOLBF, 0); /* a kernel that crashes must not take earlier lines with it */
    kt_table tables[1 + N_LEVELS];
    int n_tables = fill_tables(tables, level);
    if (level && n_tables == 1) {
        fprintf(stderr, "kernels: this machine has no level '%s' of its own\n", level);
        return 2;
    }
    int failures = 0;
    for (int k = 0; k < N_CASES; k++) {
        if (!wanted(cases[k], names, n_names)) continue;
        if (bench)
            kt_bench(cases[k], tables, n_tables);
        else
            failures += check(cases[k], tables, n_tables, seed, seeds ? seeds : (uint64_t)cases[k]->seeds);
    }
    return failures ? 1 : 0;
}
