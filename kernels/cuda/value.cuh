/* kernels/cuda/value.cuh: elements and rows of activations on the device, and sums in a fixed order.
 *
 * Rows are read and written eight elements at a time: 16 bytes of bf16, twice that of f32. Where a row is not
 * aligned, or ends, the same calls go element by element. The type is looked up at run time: it is the same for
 * a whole grid, so the branch costs an instruction beside a load.
 */
#ifndef TSR_CUDA_VALUE_CUH
#define TSR_CUDA_VALUE_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include "kernels/cuda/launch.cuh"

/* Memory that a launch asked for, shared by the threads of a block, aligned to 16 bytes. */
#ifndef CUDA_DYNAMIC_SHARED
#define CUDA_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#define CUDA_INLINE static __device__ __forceinline__

/* Of a kernel launched early (launch.cuh): wait until all kernels before it are done and what they wrote is seen.
 * In others, and where there is no early launch, nothing. Source: PTX ISA, griddepcontrol. */
CUDA_INLINE void cuda_wait_before()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Once every block has said so or left, the blocks of the next kernel, if it is launched early, may take the room
 * that is free. Results are unaffected by where it stands. */
CUDA_INLINE void cuda_release_next()
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* ---------------------------------------------------------------- conversions --------------------------- */

CUDA_INLINE float cuda_from_bf16(uint16_t h)
{
    return __uint_as_float((uint32_t)h << 16);
}

CUDA_INLINE uint16_t cuda_to_bf16(float value)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

/* Two at a time; `low` comes first in memory. */
CUDA_INLINE uint32_t cuda_to_bf16x2(float low, float high)
{
    return (uint32_t)cuda_to_bf16(low) | (uint32_t)cuda_to_bf16(high) << 16;
}

/* E4M3, saturated to +-448; NaN stays NaN. */
CUDA_INLINE uint8_t cuda_to_fp8(float value)
{
    return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
}

CUDA_INLINE float cuda_from_f16(uint16_t h)
{
    return __half2float(__ushort_as_half(h));
}

/* E4M3 is exact in f16. */
CUDA_INLINE float cuda_from_fp8(uint8_t code)
{
    return cuda_from_f16(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3).x);
}

CUDA_INLINE uint8_t cuda_quantise(float value, float scale)
{
    return cuda_to_fp8(__fdiv_rn(value, scale));
}

/* amax / 448, or 1 where that is zero. */
CUDA_INLINE float cuda_scale_for(float amax)
{
    float scale = __fdiv_rn(amax, TSR_FP8_MAX);
    return scale > 0 ? scale : 1;
}

CUDA_INLINE float cuda_silu(float u)
{
    return u / (1 + expf(-u));
}

/* ---------------------------------------------------------------- addresses ----------------------------- */

CUDA_INLINE int64_t cuda_bytes(tsr_dtype type)
{
    return type == TSR_F32 || type == TSR_I32 ? 4 : type == TSR_BF16 || type == TSR_F16 ? 2 : 1;
}

CUDA_INLINE unsigned char *cuda_row(const tsr_view &v, int64_t r)
{
    return (unsigned char *)v.data + r * v.stride * cuda_bytes(v.type);
}

/* The scale of element (r, c) of a scaled view. */
CUDA_INLINE float *cuda_scale(const tsr_view &v, int64_t r, int64_t c)
{
    return v.scale + r * v.scale_stride + (v.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0);
}

/* The sequence that a row belongs to. */
CUDA_INLINE int64_t cuda_sequence_of(const tsr_step &step, int64_t row)
{
    if (row < step.n_decode) return row;
    int64_t low = step.n_decode, high = step.n_seqs - 1; /* the last one that does not begin behind the row */
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (step.spans.start[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Sequence i has state to go on from. */
CUDA_INLINE bool cuda_continues(const tsr_step &step, int64_t i)
{
    return step.pos[i] > 0 && step.slot[i] >= 0;
}

/* ---------------------------------------------------------------- one element --------------------------- */

/* Element i of an array, unscaled. */
CUDA_INLINE float cuda_load(const void *data, tsr_dtype type, int64_t i)
{
    switch (type) {
    case TSR_F32: return ((const float *)data)[i];
    case TSR_BF16: return cuda_from_bf16(((const uint16_t *)data)[i]);
    case TSR_F16: return cuda_from_f16(((const uint16_t *)data)[i]);
    default: return cuda_from_fp8(((const uint8_t *)data)[i]);
    }
}

/* Write `value` rounded to f32 or bf16 as element i. */
CUDA_INLINE void cuda_store(void *data, tsr_dtype type, int64_t i, float value)
{
    if (type == TSR_F32)
        ((float *)data)[i] = value;
    else
        ((uint16_t *)data)[i] = cuda_to_bf16(value);
}

/* Element (r, c), its scale multiplied out. */
CUDA_INLINE float cuda_at(const tsr_view &v, int64_t r, int64_t c)
{
    float value = cuda_load(cuda_row(v, r), v.type, c);
    return v.scaled == TSR_SCALE_NONE ? value : value * *cuda_scale(v, r, c);
}

/* ---------------------------------------------------------------- eight elements ------------------------ */

struct octet {
    float v[8];
};

CUDA_INLINE bool cuda_aligned(const void *p, uintptr_t bytes)
{
    return ((uintptr_t)p & (bytes - 1)) == 0;
}

CUDA_INLINE void cuda_widen_bf16(float *to, uint4 bits)
{
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        to[2 * i] = __uint_as_float(words[i] << 16);
        to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

/* Elements c .. c + 7 of an array of n that begins at `data`, unscaled; zeros behind its end. */
CUDA_INLINE octet cuda_load8(const void *data, tsr_dtype type, int64_t c, int64_t n)
{
    octet o;
    const unsigned char *at = (const unsigned char *)data + c * cuda_bytes(type);
    if (c + 8 <= n && type == TSR_F32 && cuda_aligned(at, 16)) {
        float4 a = ((const float4 *)at)[0], b = ((const float4 *)at)[1];
        o.v[0] = a.x, o.v[1] = a.y, o.v[2] = a.z, o.v[3] = a.w;
        o.v[4] = b.x, o.v[5] = b.y, o.v[6] = b.z, o.v[7] = b.w;
    } else if (c + 8 <= n && type == TSR_BF16 && cuda_aligned(at, 16)) {
        cuda_widen_bf16(o.v, *(const uint4 *)at);
    } else if (c + 8 <= n && type == TSR_FP8 && cuda_aligned(at, 8)) {
        uint2 bits = *(const uint2 *)at;
#pragma unroll
        for (int i = 0; i < 8; i++)
            o.v[i] = cuda_from_fp8((uint8_t)((i < 4 ? bits.x : bits.y) >> 8 * (i % 4)));
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) o.v[i] = c + i < n ? cuda_load(data, type, c + i) : 0;
    }
    return o;
}

/* Write eight values, rounded to f32 or bf16, as elements c .. c + 7 of an array of n; those behind its end are
 * dropped. */
CUDA_INLINE void cuda_store8(void *data, tsr_dtype type, int64_t c, int64_t n, const octet &o)
{
    unsigned char *at = (unsigned char *)data + c * cuda_bytes(type);
    if (c + 8 <= n && type == TSR_F32 && cuda_aligned(at, 16)) {
        ((float4 *)at)[0] = make_float4(o.v[0], o.v[1], o.v[2], o.v[3]);
        ((float4 *)at)[1] = make_float4(o.v[4], o.v[5], o.v[6], o.v[7]);
    } else if (c + 8 <= n && type == TSR_BF16 && cuda_aligned(at, 16)) {
        *(uint4 *)at = make_uint4(cuda_to_bf16x2(o.v[0], o.v[1]), cuda_to_bf16x2(o.v[2], o.v[3]),
                                  cuda_to_bf16x2(o.v[4], o.v[5]), cuda_to_bf16x2(o.v[6], o.v[7]));
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (c + i < n) cuda_store(data, type, c + i, o.v[i]);
    }
}

/* value / scale, rounded once, for scales in 1e-20 .. 1e20 and quotients below 512; larger ones are near, and NaN
 * stays. `inverse` is 1 / scale. Two steps of Newton's, which a division takes too, without its tests. */
CUDA_INLINE float cuda_divide(float value, float scale, float inverse)
{
    float q = value * inverse, better = fmaf(fmaf(-q, scale, value), inverse, q);
    return fabsf(q) < 512 ? better : q;
}

/* The same in E4M3 of value / scale. */
CUDA_INLINE void cuda_quantise8(uint8_t *data, int64_t c, int64_t n, const octet &o, float scale)
{
    uint32_t words[2] = {0, 0};
    float inverse = __fdiv_rn(1, scale);
    float q[8];
    if (scale > 1e-20f && scale < 1e20f) {
#pragma unroll
        for (int i = 0; i < 8; i++) q[i] = cuda_divide(o.v[i], scale, inverse);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) q[i] = __fdiv_rn(o.v[i], scale);
    }
#pragma unroll
    for (int i = 0; i < 8; i += 2)
        words[i / 4] |=
            (uint32_t)__nv_cvt_float2_to_fp8x2(make_float2(q[i], q[i + 1]), __NV_SATFINITE, __NV_E4M3)
            << 8 * (i % 4);
    if (c + 8 <= n && cuda_aligned(data + c, 8)) {
        *(uint2 *)(data + c) = make_uint2(words[0], words[1]);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (c + i < n) data[c + i] = (uint8_t)(words[i / 4] >> 8 * (i % 4));
    }
}

/* Elements c .. c + 7 of row r of any view, scales multiplied out. c is a multiple of 8, so that the eight are
 * of one block. */
CUDA_INLINE octet cuda_load_row8(const tsr_view &v, int64_t r, int64_t c)
{
    octet o = cuda_load8(cuda_row(v, r), v.type, c, v.cols);
    if (v.scaled == TSR_SCALE_NONE) return o;
    float scale = c < v.cols ? *cuda_scale(v, r, c) : 0;
#pragma unroll
    for (int i = 0; i < 8; i++) o.v[i] *= scale;
    return o;
}

/* ---------------------------------------------------------------- reductions ---------------------------- */

constexpr int cuda_warp = 32;
constexpr unsigned cuda_all_lanes = 0xffffffffu;

/* The sum over a warp, in every lane, always in the order of the same tree. */
CUDA_INLINE float cuda_warp_sum(float value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(cuda_all_lanes, value, step);
    return value;
}

/* The largest over a warp; NaN gives way to numbers, as in fmax. */
CUDA_INLINE float cuda_warp_max(float value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        value = fmaxf(value, __shfl_xor_sync(cuda_all_lanes, value, step));
    return value;
}

/* Over a block of whole warps, in every thread; `scratch` is 32 floats of shared memory. All threads call. */
CUDA_INLINE float cuda_block_sum(float value, float *scratch)
{
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, n_warps = blockDim.x / cuda_warp;
    value = cuda_warp_sum(value);
    __syncthreads(); /* whoever still reads the last result */
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return cuda_warp_sum(lane < n_warps ? scratch[lane] : 0);
}

CUDA_INLINE float cuda_block_max(float value, float *scratch)
{
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, n_warps = blockDim.x / cuda_warp;
    value = cuda_warp_max(value);
    __syncthreads();
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return cuda_warp_max(lane < n_warps ? scratch[lane] : -INFINITY);
}

/* ---------------------------------------------------------------- a row in any form --------------------- */

CUDA_INLINE float cuda_amax8(const octet &o)
{
    float amax = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) amax = fmaxf(amax, fabsf(o.v[i]));
    return amax;
}

/* Write columns begin .. end - 1 of row r of y in y's form, by all threads of a block. value8(c) gives elements
 * c .. c + 7, zeros from `end` on; thread i is asked for c = begin + 8 i, begin + 8 (i + threads) ... alone,
 * twice where a ROW scale has to be found first. ROW wants the whole row, BLOCK a begin that is a multiple of
 * 128; `scratch` is 32 floats of shared memory. */
template <typename Value8>
CUDA_INLINE void cuda_put_row(const tsr_view &y, int64_t r, int64_t begin, int64_t end, float *scratch,
                              Value8 value8)
{
    int64_t first = begin + 8 * (int64_t)threadIdx.x, step = 8 * (int64_t)blockDim.x;
    unsigned char *row = cuda_row(y, r);
    if (y.scaled == TSR_SCALE_NONE) {
        for (int64_t c = first; c < end; c += step) cuda_store8(row, y.type, c, end, value8(c));
        return;
    }
    if (y.scaled == TSR_SCALE_BLOCK) { /* 16 neighbouring threads have a block; all take part in shuffles */
        for (int64_t c = first; c - 8 * (int64_t)threadIdx.x < end; c += step) {
            octet o = value8(c);
            float amax = cuda_amax8(o);
#pragma unroll
            for (int lane = 8; lane > 0; lane /= 2)
                amax = fmaxf(amax, __shfl_xor_sync(cuda_all_lanes, amax, lane));
            float scale = cuda_scale_for(amax);
            if (c >= end) continue;
            if (threadIdx.x % 16 == 0) *cuda_scale(y, r, c) = scale;
            cuda_quantise8(row, c, end, o, scale);
        }
        return;
    }
    float scale;
    if (y.scaled == TSR_SCALE_ROW) {
        float amax = 0;
        for (int64_t c = first; c < end; c += step) amax = fmaxf(amax, cuda_amax8(value8(c)));
        scale = cuda_scale_for(cuda_block_max(amax, scratch));
        if (threadIdx.x == 0) *cuda_scale(y, r, 0) = scale;
    } else {
        scale = *cuda_scale(y, r, 0);
    }
    for (int64_t c = first; c < end; c += step) cuda_quantise8(row, c, end, value8(c), scale);
}

/* Threads for a row of so many columns: one per eight, whole warps, at most cuda_row_threads_most. */
constexpr int cuda_row_threads_most = 512;

static inline unsigned cuda_row_threads(int64_t cols)
{
    int64_t warps = cuda_blocks(cols, 8 * cuda_warp), most = cuda_row_threads_most / cuda_warp;
    return (unsigned)(cuda_warp * (warps < 1 ? 1 : warps > most ? most : warps));
}

#endif
