/* kernels/cuda/launch.cuh: how a launcher starts its kernel.
 *
 *   cuda_launch(q, "norm", norm_kernel, x.rows, threads, 0, y, x, w)
 *
 * The first failure of a launch stays with the queue and names the op; launches on a dry or failed queue, and
 * of grids without blocks, do nothing.
 *
 * A kernel launched early may run while the one before it still does, so that its start, and the weights it asks
 * for, cost nothing. Every block of such a kernel calls cuda_wait_before (value.cuh) before it touches what other
 * kernels write, or writes what they read; a launch is early only where the kernel does so.
 */
#ifndef TSR_CUDA_LAUNCH_CUH
#define TSR_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

#include "kernels/cuda/cuda.h"

/* What the host side of the module (kernels/cuda/memory.cu) gives launchers. */
extern "C" {
/* The stream of a queue. */
cudaStream_t cuda_stream(tsr_queue *q);

/* Compute capability times 10 that the module's code runs with: the device's, or less where it was compiled from
 * PTX for an older one (80 on Hopper then, and no clusters). Multiprocessors of the device. */
int cuda_capability(const tsr_queue *q);
int cuda_processors(const tsr_queue *q);

/* After each launch: with TSR_SYNC=1, wait for it, so that a fault is known by the op's name. */
void cuda_after_launch(tsr_queue *q, const char *op);

/* A word of host memory that kernels may write; 0 until then. tsr_queue_sync turns CUDA_FAULT_NO_TOKEN + i
 * into TSR_E_ARG, "sample: no token is left to choose for sequence i", and clears it. */
int32_t *cuda_fault(tsr_queue *q);
}
#define CUDA_FAULT_NO_TOKEN 1

/* Keep `error` with the queue unless it is success. False if it is not. */
static inline bool cuda_ok(tsr_queue *q, const char *op, cudaError_t error)
{
    if (error == cudaSuccess) return true;
    tsr_queue_fail(q, error == cudaErrorMemoryAllocation ? TSR_E_NOMEM : TSR_E_DEVICE, "%s: %s", op,
                   cudaGetErrorString(error));
    return false;
}

static inline bool cuda_idle(const tsr_queue *q)
{
    return q->dry || q->failed;
}

/* Blocks of x, y and z. z and y are at most 65535. */
static inline dim3 cuda_grid(int64_t x, int64_t y = 1, int64_t z = 1)
{
    return dim3((unsigned)x, (unsigned)y, (unsigned)z);
}

static inline int64_t cuda_blocks(int64_t n, int64_t each)
{
    return (n + each - 1) / each;
}

/* What no block may pass: the shared memory that need not be asked for. */
constexpr size_t cuda_plain_shared = 48 << 10;

struct cuda_launch_how {
    unsigned cluster = 1; /* blocks along x that run as one; more than one takes Hopper */
    bool early = false;   /* heeded by Hopper */
};

/* kernel<<<grid, block, shared, stream>>>(args...), with more than 48 KiB of shared memory asked for first. */
template <typename... Params, typename... Args>
void cuda_launch_as(tsr_queue *q, const char *op, cuda_launch_how how, void (*kernel)(Params...), dim3 grid,
                    dim3 block, size_t shared_bytes, Args... args)
{
    if (cuda_idle(q) || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared_bytes > cuda_plain_shared) {
        cudaError_t error = cudaFuncSetAttribute(
            (const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
        if (!cuda_ok(q, op, error)) return;
    }
    cudaLaunchAttribute attributes[2] = {};
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = cuda_stream(q);
    config.attrs = attributes;
    if (how.cluster > 1) {
        cudaLaunchAttribute *a = &attributes[config.numAttrs++];
        a->id = cudaLaunchAttributeClusterDimension;
        a->val.clusterDim.x = how.cluster;
        a->val.clusterDim.y = a->val.clusterDim.z = 1;
    }
    if (how.early && cuda_capability(q) >= 90) {
        cudaLaunchAttribute *a = &attributes[config.numAttrs++];
        a->id = cudaLaunchAttributeProgrammaticStreamSerialization;
        a->val.programmaticStreamSerializationAllowed = 1;
    }
    if (cuda_ok(q, op, cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...)))
        cuda_after_launch(q, op);
}

template <typename... Params, typename... Args>
void cuda_launch(tsr_queue *q, const char *op, void (*kernel)(Params...), dim3 grid, dim3 block,
                 size_t shared_bytes, Args... args)
{
    cuda_launch_as(q, op, {}, kernel, grid, block, shared_bytes, args...);
}

template <typename... Params, typename... Args>
void cuda_launch_early(tsr_queue *q, const char *op, void (*kernel)(Params...), dim3 grid, dim3 block,
                       size_t shared_bytes, Args... args)
{
    cuda_launch_as(q, op, {1, true}, kernel, grid, block, shared_bytes, args...);
}

#endif
