/* kernels/cuda/linear_hopper.cuh: what linear uses of sm_90a alone: the copy engine, barriers that count its bytes, and
 * products of whole warpgroups (four warps, 128 threads).
 *
 * Tiles of both operands lie in shared memory as the copy engine puts them: rows of 128 bytes along k, in groups of
 * eight whose 16-byte pieces are swapped by the row's number (the 128-byte swizzle), each tile aligned to 1024
 * bytes. A product of 64 rows and 128 columns takes 32 bytes of k, whatever the type.
 * Source: PTX ISA, sections cp.async.bulk.tensor, mbarrier, wgmma (shared memory matrix layout, matrix descriptor).
 */
#ifndef TSR_CUDA_LINEAR_HOPPER_CUH
#define TSR_CUDA_LINEAR_HOPPER_CUH

#include <cuda.h>

#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/value.cuh"

constexpr int hopper_span = 128; /* bytes of k in a tile */
constexpr int hopper_warpgroup = 128;

/* ---------------------------------------------------------------- host ---------------------------------- */

typedef CUresult hopper_encode(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                               const cuuint64_t *, const cuuint32_t *, const cuuint32_t *,
                               CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                               CUtensorMapFloatOOBfill);

/* The driver's function that encodes maps, or NULL; asked for once. */
static inline hopper_encode *hopper_encoder()
{
    static std::atomic<hopper_encode *> found;
    hopper_encode *f = found.load(std::memory_order_relaxed);
    if (f) return f;
    void *at = nullptr;
    cudaDriverEntryPointQueryResult result;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &at, 12000, cudaEnableDefault, &result) ||
        result != cudaDriverEntryPointSuccess)
        return nullptr;
    f = (hopper_encode *)at;
    found.store(f, std::memory_order_relaxed);
    return f;
}

/* The map of a matrix of bf16 or E4M3 whose tiles are `tile_rows` (at most 256) x 128 bytes; what a tile has beyond
 * the matrix is zeros. Data and stride are of whole 16 bytes. False: the driver refuses. */
static inline bool hopper_map(CUtensorMap *out, const void *data, tsr_dtype type, int64_t rows, int64_t cols,
                              int64_t stride, int tile_rows)
{
    hopper_encode *encode = hopper_encoder();
    int each = (int)tsr_dtype_bytes(type);
    const cuuint64_t dims[2] = {(cuuint64_t)cols, (cuuint64_t)rows},
                     strides[1] = {(cuuint64_t)(stride * each)};
    const cuuint32_t box[2] = {(cuuint32_t)(hopper_span / each), (cuuint32_t)tile_rows}, step[2] = {1, 1};
    return encode &&
           encode(out, type == TSR_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_UINT8, 2,
                  (void *)(uintptr_t)data, dims, strides, box, step, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---------------------------------------------------------------- barriers ------------------------------ */

CUDA_INLINE uint32_t hopper_shared(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

CUDA_INLINE void hopper_barrier_open(uint64_t *barrier, unsigned arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(hopper_shared(barrier)), "r"(arrivals)
                 : "memory");
}

/* Of the thread that opened barriers, before the others are let on. */
CUDA_INLINE void hopper_barriers_opened()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/* Arrive, and have the phase last until so many bytes have been copied too. */
CUDA_INLINE void hopper_expect(uint64_t *barrier, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(hopper_shared(barrier)),
                 "r"(bytes)
                 : "memory");
}

CUDA_INLINE void hopper_arrive(uint64_t *barrier)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(hopper_shared(barrier)) : "memory");
}

/* Until the phase of this parity (0, 1, 0 ...) is over. */
CUDA_INLINE void hopper_wait(uint64_t *barrier, unsigned parity)
{
    asm volatile("{\n\t.reg .pred over;\n\t"
                 "again:\n\t"
                 "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n\t"
                 "@over bra done;\n\t"
                 "bra again;\n\t"
                 "done:\n\t}" ::"r"(hopper_shared(barrier)),
                 "r"(parity)
                 : "memory");
}

/* ---------------------------------------------------------------- copies -------------------------------- */

/* The tile at element k of a row and at `row` to shared memory; its bytes count at the barrier. */
CUDA_INLINE void hopper_fetch(void *to, const CUtensorMap *map, int k, int row, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(hopper_shared(to)),
                 "l"(map), "r"(k), "r"(row), "r"(hopper_shared(barrier))
                 : "memory");
}

/* So many bytes that follow each other, whole 16 of them, to shared memory; they count at the barrier. */
CUDA_INLINE void hopper_fetch_bytes(void *to, const void *from, int bytes, uint64_t *barrier)
{
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            hopper_shared(to)),
        "l"(from), "r"(bytes), "r"(hopper_shared(barrier))
        : "memory");
}

/* ---------------------------------------------------------------- products ------------------------------ */

/* How a tile is named to the tensor cores: its address, 1024 bytes from one group of eight rows to the next, the
 * 128-byte swizzle. 32 bytes further along k is 2 more. */
CUDA_INLINE uint64_t hopper_tile(const void *tile)
{
    return (uint64_t)((hopper_shared(tile) & 0x3ffff) >> 4) | (uint64_t)1 << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

CUDA_INLINE void hopper_begin()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

CUDA_INLINE void hopper_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most PENDING of the groups that were committed are still multiplied. */
template <int PENDING>
CUDA_INLINE void hopper_finish()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* The sums are read, or written, behind this line only. */
template <int N>
CUDA_INLINE void hopper_settle(float (&d)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i])::"memory");
}

#endif
#endif
