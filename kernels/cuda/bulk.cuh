/* kernels/cuda/bulk.cuh: stretches of memory copied to shared memory and back by Hopper's copy engine, and barriers
 * that count their bytes. Addresses and sizes are multiples of 16 bytes. Elsewhere these do nothing: launchers
 * choose other kernels there.
 * Source: PTX ISA, cp.async.bulk, mbarrier.
 */
#ifndef TSR_CUDA_BULK_CUH
#define TSR_CUDA_BULK_CUH

#include "kernels/cuda/value.cuh"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

CUDA_INLINE unsigned bulk_shared(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* A barrier whose phase ends with one arrival, and the bytes that this has announced. */
CUDA_INLINE void bulk_open(uint64_t *barrier)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bulk_shared(barrier)) : "memory");
}

/* Of threads that opened barriers, before copies use them. */
CUDA_INLINE void bulk_opened()
{
    asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
}

/* Arrive without a copy. */
CUDA_INLINE void bulk_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bulk_shared(barrier)) : "memory");
}

/* Arrive, and have the phase last until so many bytes have come. */
CUDA_INLINE void bulk_expect(uint64_t *barrier, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bulk_shared(barrier)),
                 "r"(bytes)
                 : "memory");
}

/* Arrive, and copy `bytes` to shared memory. */
CUDA_INLINE void bulk_fetch(void *to, const void *from, unsigned bytes, uint64_t *barrier)
{
    bulk_expect(barrier, bytes);
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            bulk_shared(to)),
        "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(bulk_shared(barrier))
        : "memory");
}

/* Until the phase of this parity (0, 1, 0 ...) is over. */
CUDA_INLINE void bulk_wait(uint64_t *barrier, unsigned parity)
{
    unsigned over;
    do
        asm volatile("{\n\t.reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(over)
                     : "r"(bulk_shared(barrier)), "r"(parity)
                     : "memory");
    while (!over);
}

/* What this thread wrote to shared memory is seen by copies begun behind the next barrier. */
CUDA_INLINE void bulk_publish()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Copy `bytes` from shared memory, as a group of its own. */
CUDA_INLINE void bulk_store(void *to, const void *from, unsigned bytes)
{
    asm volatile(
        "cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;\n\tcp.async.bulk.commit_group;" ::"l"(
            __cvta_generic_to_global(to)),
        "r"(bulk_shared(from)), "r"(bytes)
        : "memory");
}

/* Until all but the `pending` newest of this thread's groups have been read from shared memory. */
template <int pending>
CUDA_INLINE void bulk_stored()
{
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}

#else

CUDA_INLINE void bulk_open(uint64_t *) {}
CUDA_INLINE void bulk_opened() {}
CUDA_INLINE void bulk_arrive(uint64_t *) {}
CUDA_INLINE void bulk_expect(uint64_t *, unsigned) {}
CUDA_INLINE void bulk_fetch(void *, const void *, unsigned, uint64_t *) {}
CUDA_INLINE void bulk_wait(uint64_t *, unsigned) {}
CUDA_INLINE void bulk_publish() {}
CUDA_INLINE void bulk_store(void *, const void *, unsigned) {}
template <int>
CUDA_INLINE void bulk_stored()
{
}

#endif

#endif
