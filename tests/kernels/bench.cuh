/* tests/kernels/bench.cuh: what the benches on the GPU begin with. */
#ifndef TSR_BENCH_CUH
#define TSR_BENCH_CUH

#include <cuda_runtime.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/ceiling.cuh"
#include "kernels/cuda/cuda.h"

extern "C" {
#include "kernels/module.h"
}

[[noreturn]] inline void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

inline void must(tsr_status st)
{
    if (st) give_up(tsr_message());
}

inline void must(cudaError_t error)
{
    if (error) give_up(cudaGetErrorString(error));
}

inline double now()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of n values, which are put in order. */
inline double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_size);
    return values[n / 2];
}

/* Random E4M3 or bf16 values below 2 in size, never NaN and rarely zero. */
inline void fill(void *to, size_t bytes, bool fp8)
{
    ceiling_fill_kernel<<<1024, 256>>>((uint32_t *)to, bytes / 4, fp8 ? 0xbfbfbfbfu : 0x803f803fu,
                                       fp8 ? 0 : 0x3f003f00u);
    must(cudaDeviceSynchronize());
}

#endif
