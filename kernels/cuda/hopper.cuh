/* kernels/cuda/hopper.cuh: what sm_90a alone has: the copy engine, barriers that count its bytes, and products of
 * whole warpgroups (four warps, 128 threads).
 *
 * Tiles of both operands lie in shared memory as the copy engine puts them: rows of 128 bytes along k, in groups of
 * eight whose 16-byte pieces are swapped by the row's number (the 128-byte swizzle), each tile aligned to 1024
 * bytes. A product of 64 rows and 128 columns takes 32 bytes of k, whatever the type.
 * Source: PTX ISA, sections cp.async.bulk.tensor, mbarrier, wgmma (shared memory matrix layout, matrix descriptor).
 */
#ifndef TSR_CUDA_HOPPER_CUH
#define TSR_CUDA_HOPPER_CUH

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

/* Arrive at the same barrier of block `rank` of the cluster. */
CUDA_INLINE void hopper_arrive(uint64_t *barrier, unsigned rank)
{
    asm volatile("{\n\t.reg .b32 there;\n\t"
                 "mapa.shared::cluster.u32 there, %0, %1;\n\t"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n\t}" ::"r"(hopper_shared(barrier)),
                 "r"(rank)
                 : "memory");
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

/* Barrier 1 .. 15 of a block, of so many threads in whole warps: wait there for the rest, or be counted and go on. */
CUDA_INLINE void hopper_meet(int barrier, int threads)
{
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

CUDA_INLINE void hopper_let(int barrier, int threads)
{
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/* What this thread wrote to shared memory is seen by the copy engine and the tensor cores behind the next barrier. */
CUDA_INLINE void hopper_publish()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---------------------------------------------------------------- copies -------------------------------- */

/* Have the copy engine learn this map before it is used. */
CUDA_INLINE void hopper_map_soon(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* The tile at element k of a row and at `row` to shared memory; its bytes count at the barrier. */
CUDA_INLINE void hopper_fetch(void *to, const CUtensorMap *map, int k, int row, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(hopper_shared(to)),
                 "l"(map), "r"(k), "r"(row), "r"(hopper_shared(barrier))
                 : "memory");
}

/* The same to this place of every block of the cluster that has its bit in `blocks`, counted at the barrier of each. */
CUDA_INLINE void hopper_fetch_shared(void *to, const CUtensorMap *map, int k, int row, uint64_t *barrier,
                                     uint16_t blocks)
{
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
        "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(hopper_shared(to)),
        "l"(map), "r"(k), "r"(row), "r"(hopper_shared(barrier)), "h"(blocks)
        : "memory");
}

/* ---------------------------------------------------------------- products ------------------------------ */

/* Registers of each thread of this warpgroup from here on. */
template <int REGISTERS>
CUDA_INLINE void hopper_take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS>
CUDA_INLINE void hopper_give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

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

#define HOPPER_SUMS8(d, i)                                                                                   \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),              \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define HOPPER_PRODUCT(shape, tail)                                                                          \
    asm volatile("{\n\t.reg .pred adds;\n\tsetp.ne.b32 adds, %66, 0;\n\t"                                    \
                 "wgmma.mma_async.sync.aligned." shape " "                                                   \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                   \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "          \
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "          \
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "         \
                 "%64, %65, adds, 1, 1" tail ";\n\t}"                                                        \
                 : HOPPER_SUMS8(d, 0), HOPPER_SUMS8(d, 8), HOPPER_SUMS8(d, 16), HOPPER_SUMS8(d, 24),         \
                   HOPPER_SUMS8(d, 32), HOPPER_SUMS8(d, 40), HOPPER_SUMS8(d, 48), HOPPER_SUMS8(d, 56)        \
                 : "l"(a), "l"(b), "r"(adds))

/* d (+)= a b': 64 rows of a, 128 of b, 32 bytes of k. Thread 32 w + 4 g + t holds, of columns 8 j + 2 t and the next,
 * row 16 w + g in d[4 j], d[4 j + 1] and row 16 w + g + 8 in d[4 j + 2], d[4 j + 3]. */
template <bool FP8>
CUDA_INLINE void hopper_product(float (&d)[64], uint64_t a, uint64_t b, int adds)
{
    if constexpr (FP8)
        HOPPER_PRODUCT("m64n128k32.f32.e4m3.e4m3", "");
    else
        HOPPER_PRODUCT("m64n128k16.f32.bf16.bf16", ", 0, 0");
}

/* The same of bf16 with 256 rows of b: those behind the first 128 are summed in d1. */
CUDA_INLINE void hopper_product_wide(float (&d0)[64], float (&d1)[64], uint64_t a, uint64_t b, int adds)
{
    asm volatile(
        "{\n\t.reg .pred adds;\n\tsetp.ne.b32 adds, %130, 0;\n\t"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "%128, %129, adds, 1, 1, 0, 0;\n\t}"
        : HOPPER_SUMS8(d0, 0), HOPPER_SUMS8(d0, 8), HOPPER_SUMS8(d0, 16), HOPPER_SUMS8(d0, 24),
          HOPPER_SUMS8(d0, 32), HOPPER_SUMS8(d0, 40), HOPPER_SUMS8(d0, 48), HOPPER_SUMS8(d0, 56),
          HOPPER_SUMS8(d1, 0), HOPPER_SUMS8(d1, 8), HOPPER_SUMS8(d1, 16), HOPPER_SUMS8(d1, 24),
          HOPPER_SUMS8(d1, 32), HOPPER_SUMS8(d1, 40), HOPPER_SUMS8(d1, 48), HOPPER_SUMS8(d1, 56)
        : "l"(a), "l"(b), "r"(adds));
}

#undef HOPPER_PRODUCT
#undef HOPPER_SUMS8

#endif
#endif
