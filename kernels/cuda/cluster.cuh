/* kernels/cuda/cluster.cuh: blocks that run together on neighbouring multiprocessors and read each other's
 * shared memory. Hopper has them; elsewhere a cluster is one block, and these are what is left of them.
 * Source: PTX ISA, barrier.cluster, mapa, ld.shared::cluster.
 */
#ifndef TSR_CUDA_CLUSTER_CUH
#define TSR_CUDA_CLUSTER_CUH

#include "kernels/cuda/value.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

CUDA_INLINE unsigned cuda_cluster_rank()
{
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

CUDA_INLINE unsigned cuda_cluster_size()
{
    unsigned size;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
}

/* All threads of all blocks of the cluster; what they wrote before is seen behind it. */
CUDA_INLINE void cuda_cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}

/* The same for the first meeting of all, in two halves with other work between them: that they have begun, and that
 * barriers opened before are open. Nothing else is seen. */
CUDA_INLINE void cuda_cluster_arrive()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
CUDA_INLINE void cuda_cluster_wait()
{
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* Write a word of the shared memory of block `rank`, and count its 4 bytes at that block's barrier. */
CUDA_INLINE void cuda_cluster_send(float *shared, uint64_t *barrier, unsigned rank, float value)
{
    unsigned to, at;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(to)
        : "r"((unsigned)__cvta_generic_to_shared(shared)), "r"(rank));
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(at)
        : "r"((unsigned)__cvta_generic_to_shared(barrier)), "r"(rank));
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to),
                 "r"(__float_as_uint(value)), "r"(at)
                 : "memory");
}

/* A word of shared memory, as block `rank` of the cluster has it. */
CUDA_INLINE float cuda_cluster_load(const float *shared, unsigned rank)
{
    unsigned own = (unsigned)__cvta_generic_to_shared(shared), at;
    float value;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(own), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at) : "memory");
    return value;
}

#else

CUDA_INLINE unsigned cuda_cluster_rank()
{
    return 0;
}
CUDA_INLINE unsigned cuda_cluster_size()
{
    return 1;
}
CUDA_INLINE void cuda_cluster_sync()
{
    __syncthreads();
}
CUDA_INLINE void cuda_cluster_arrive() {}
CUDA_INLINE void cuda_cluster_wait() {}
CUDA_INLINE void cuda_cluster_send(float *, uint64_t *, unsigned, float) {}
CUDA_INLINE float cuda_cluster_load(const float *shared, unsigned rank)
{
    (void)rank;
    return *shared;
}

#endif

#endif
