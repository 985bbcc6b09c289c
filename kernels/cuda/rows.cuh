/* kernels/cuda/rows.cuh: ops that make each element of a row from a few others: eight columns per thread. */
#ifndef TSR_CUDA_ROWS_CUH
#define TSR_CUDA_ROWS_CUH

#include "kernels/cuda/value.cuh"

/* op(r, c) for every row and every c = 0, 8, 16 ... below cols. */
template <typename Op>
__global__ void rows_kernel(int64_t rows, int64_t cols, Op op)
{
    int64_t r = (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
    cuda_wait_before();
    cuda_release_next(); /* not sooner: embed holds a step back until the one before it is done (mamba_stream.cuh) */
    if (r >= rows) return;
    for (int64_t c = 8 * (int64_t)threadIdx.x; c < cols; c += 8 * (int64_t)blockDim.x) op(r, c);
}

template <typename Op>
void cuda_rows(tsr_queue *q, const char *name, int64_t rows, int64_t cols, Op op)
{
    constexpr int threads = 256;
    int64_t x = cuda_blocks(cols, 8) < threads ? cuda_blocks(cols, 8) : threads;
    int64_t y = x > 0 ? threads / x : 1; /* narrow rows share a block */
    if (cols > 0)
        cuda_launch_early(q, name, rows_kernel<Op>, cuda_grid(cuda_blocks(rows, y)),
                          dim3((unsigned)x, (unsigned)y), 0, rows, cols, op);
}

/* Eight elements from one array of n elements to another of the same type. */
CUDA_INLINE void cuda_copy8(void *to, const void *from, tsr_dtype type, int64_t c, int64_t n)
{
    cuda_store8(to, type, c, n, cuda_load8(from, type, c, n));
}

#endif
