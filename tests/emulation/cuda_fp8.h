/* tests/emulation/cuda_fp8.h: E4M3 as our plain kernels use it. */
#ifndef EMULATION_CUDA_FP8_H
#define EMULATION_CUDA_FP8_H

#include <cuda_fp16.h>

enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
typedef unsigned char __nv_fp8_storage_t;

static inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float value, __nv_saturation_t,
                                                       __nv_fp8_interpretation_t)
{
    return tsr_to_fp8(value);
}

typedef unsigned short __nv_fp8x2_storage_t;

static inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 values, __nv_saturation_t,
                                                            __nv_fp8_interpretation_t)
{
    return (__nv_fp8x2_storage_t)(tsr_to_fp8(values.x) | tsr_to_fp8(values.y) << 8);
}

static inline __half_raw __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t code, __nv_fp8_interpretation_t)
{
    return {tsr_to_f16(tsr_from_fp8(code))};
}

struct __half2_raw {
    unsigned short x, y;
};
static inline __half2_raw __nv_cvt_fp8x2_to_halfraw2(__nv_fp8x2_storage_t codes, __nv_fp8_interpretation_t)
{
    return {tsr_to_f16(tsr_from_fp8((unsigned char)codes)),
            tsr_to_f16(tsr_from_fp8((unsigned char)(codes >> 8)))};
}

#endif
