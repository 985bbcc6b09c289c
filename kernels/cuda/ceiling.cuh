/* kernels/cuda/ceiling.cuh: what ceilings are measured with, here and in the benches of tests/kernels. */
#ifndef TSR_CUDA_CEILING_CUH
#define TSR_CUDA_CEILING_CUH

#include <cstddef>
#include <cstdint>

/* A hash of i: the same words in every run. */
__device__ inline uint32_t ceiling_word(uint32_t i)
{
    uint32_t h = i * 2654435761u ^ 0x9e3779b9u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13, h *= 3266489917u;
    return h ^ h >> 16;
}

/* Words whose bits `keep` are random and whose bits `set` are 1. */
static __global__ void ceiling_fill_kernel(uint32_t *to, size_t n, uint32_t keep, uint32_t set)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        to[i] = (ceiling_word((uint32_t)i) & keep) | set;
}

/* Reads everything once, from memory alone where it is larger than the caches. */
static __global__ void ceiling_read_kernel(const uint4 *from, size_t n, uint32_t *sink)
{
    uint32_t mixed = 0;
    size_t step = (size_t)gridDim.x * blockDim.x, i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    for (; i + 3 * step < n; i += 4 * step) {
        uint4 a = __ldcs(from + i), b = __ldcs(from + i + step), c = __ldcs(from + i + 2 * step),
              d = __ldcs(from + i + 3 * step);
        mixed ^=
            a.x ^ a.y ^ a.z ^ a.w ^ b.x ^ b.y ^ b.z ^ b.w ^ c.x ^ c.y ^ c.z ^ c.w ^ d.x ^ d.y ^ d.z ^ d.w;
    }
    if (mixed == 0x12345678u) *sink = mixed; /* so that nothing is left out */
}

#endif
