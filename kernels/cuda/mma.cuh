/* kernels/cuda/mma.cuh: the matrix instructions of sm_80 and newer, one function each.
 *
 * Compiled for the host (the emulation of the kernel checker), the same functions do the same by shuffles, so
 * that fragments and indices are checked without a GPU. Nothing else in this folder knows the difference.
 *
 * Fragments of m16n8k16, for lane l with g = l / 4 and t = l % 4:
 *   a[0] row g, a[1] row g + 8, columns 2t and 2t + 1;  a[2], a[3] the same rows, columns 2t + 8 and 2t + 9
 *   b[0] rows 2t and 2t + 1 of column g;                b[1] rows 2t + 8 and 2t + 9
 *   d[0], d[1] row g, columns 2t and 2t + 1;            d[2], d[3] row g + 8
 * A product does not mind in which order k runs, so fragments may also be filled from four neighbours: a[0], a[2]
 * and b[0], b[1] from k = 4t .. 4t + 3. Then one load of 8 bytes fills two registers, and E4M3 loads 4.
 */
#ifndef TSR_CUDA_MMA_CUH
#define TSR_CUDA_MMA_CUH

#include "kernels/cuda/value.cuh"

/* Two values of E4M3 (the lower two bytes) as two of bf16, exactly. */
CUDA_INLINE uint32_t cuda_widen_fp8x2(uint32_t codes)
{
    __half2_raw h = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)codes, __NV_E4M3);
    return cuda_to_bf16x2(cuda_from_f16(h.x), cuda_from_f16(h.y));
}

/* The same as two of f16. */
CUDA_INLINE uint32_t cuda_fp8x2_as_f16(uint32_t codes)
{
    __half2_raw h = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)codes, __NV_E4M3);
    return (uint32_t)h.x | (uint32_t)h.y << 16;
}

/* Two values rounded to f16; `low` comes first in memory. */
CUDA_INLINE uint32_t cuda_to_f16x2(float low, float high)
{
    return (uint32_t)__half_as_ushort(__float2half_rn(low)) |
           (uint32_t)__half_as_ushort(__float2half_rn(high)) << 16;
}

#ifdef __CUDACC__

/* d += a b */
CUDA_INLINE void cuda_mma_bf16(float *d, const uint32_t *a, const uint32_t *b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four matrices of 8 by 8 from shared memory: lane l gives the address of 8 values, row l % 8 of matrix l / 8, and
 * gets columns 2t and 2t + 1 of row g of each. */
CUDA_INLINE void cuda_load_matrices(uint32_t *to, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
}

/* a b + c of two bf16 each, rounded once */
CUDA_INLINE uint32_t cuda_fma_bf16x2(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* The same of f16. */
CUDA_INLINE void cuda_mma_f16(float *d, const uint32_t *a, const uint32_t *b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Two b fragments from a matrix that lies [k][n] in shared memory: lane l gives the address of 8 values, row
 * l % 16 of k, columns 0 .. 7 (lanes below 16) or 8 .. 15. to[0], to[1] serve the first 8 columns. */
CUDA_INLINE void cuda_load_transposed(uint32_t *to, const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
}

/* 16 bytes from global to shared memory, arriving later; zeros where not `there`. */
CUDA_INLINE void cuda_copy16(void *shared, const void *global, bool there)
{
    uint32_t to = (uint32_t)__cvta_generic_to_shared(shared);
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
                 : "memory");
}

/* End of a group of copies. */
CUDA_INLINE void cuda_copy_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Wait until at most N groups are under way. */
template <int N>
CUDA_INLINE void cuda_copy_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#else

CUDA_INLINE float cuda_half_of(uint32_t pair, int i)
{
    return cuda_from_bf16((uint16_t)(pair >> 16 * i));
}

template <typename Of>
CUDA_INLINE void cuda_mma_by(float *d, const uint32_t *a, const uint32_t *b, Of of)
{
    int lane = threadIdx.x % cuda_warp, g = lane / 4, t = lane % 4;
    for (int s = 0; s < 4; s++) {
        uint32_t row[4], col[2][2];
        for (int i = 0; i < 4; i++) row[i] = __shfl_sync(cuda_all_lanes, a[i], g * 4 + s);
        for (int n = 0; n < 2; n++)
            for (int i = 0; i < 2; i++) col[n][i] = __shfl_sync(cuda_all_lanes, b[i], (2 * t + n) * 4 + s);
        for (int m = 0; m < 2; m++)
            for (int n = 0; n < 2; n++)
                for (int i = 0; i < 4; i++)
                    d[2 * m + n] += of(row[m + i / 2 * 2], i % 2) * of(col[n][i / 2], i % 2);
    }
}

CUDA_INLINE void cuda_mma_bf16(float *d, const uint32_t *a, const uint32_t *b)
{
    cuda_mma_by(d, a, b, cuda_half_of);
}

CUDA_INLINE void cuda_mma_f16(float *d, const uint32_t *a, const uint32_t *b)
{
    cuda_mma_by(d, a, b, [](uint32_t pair, int i) { return cuda_from_f16((uint16_t)(pair >> 16 * i)); });
}

CUDA_INLINE void cuda_load_matrices(uint32_t *to, const void *row)
{
    int lane = threadIdx.x % cuda_warp;
    for (int i = 0; i < 4; i++) {
        uint64_t from = __shfl_sync(cuda_all_lanes, (unsigned long long)(uintptr_t)row, 8 * i + lane / 4);
        memcpy(to + i, (const uint16_t *)(uintptr_t)from + 2 * (lane % 4), 4);
    }
}

CUDA_INLINE uint32_t cuda_fma_bf16x2(uint32_t a, uint32_t b, uint32_t c)
{
    float low = cuda_half_of(a, 0) * cuda_half_of(b, 0) + cuda_half_of(c, 0); /* products are exact */
    float high = cuda_half_of(a, 1) * cuda_half_of(b, 1) + cuda_half_of(c, 1);
    return cuda_to_bf16x2(low, high);
}

CUDA_INLINE void cuda_load_transposed(uint32_t *to, const void *row)
{
    int lane = threadIdx.x % cuda_warp, n = lane / 4, k = 2 * (lane % 4);
    for (int i = 0; i < 4; i++) { /* matrix i: rows 8 (i % 2) .. of k, columns 8 (i / 2) .. */
        uint64_t low = __shfl_sync(cuda_all_lanes, (unsigned long long)(uintptr_t)row, 8 * i + k);
        uint64_t high = __shfl_sync(cuda_all_lanes, (unsigned long long)(uintptr_t)row, 8 * i + k + 1);
        to[i] = ((const uint16_t *)(uintptr_t)low)[n] | (uint32_t)((const uint16_t *)(uintptr_t)high)[n]
                                                            << 16;
    }
}

CUDA_INLINE void cuda_copy16(void *shared, const void *global, bool there)
{
    if (there)
        memcpy(shared, global, 16);
    else
        memset(shared, 0, 16);
}

CUDA_INLINE void cuda_copy_commit(void) {}

template <int N>
CUDA_INLINE void cuda_copy_wait(void)
{
}

#endif
#endif
