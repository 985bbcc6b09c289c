/* tests/emulation/cuda_bf16.h: bf16 as our plain kernels use it. */
#ifndef EMULATION_CUDA_BF16_H
#define EMULATION_CUDA_BF16_H

#include <cuda_runtime.h>

extern "C" {
#include "base/dtype.h"
}

struct __nv_bfloat16 {
    unsigned short bits;
};

static inline __nv_bfloat16 __float2bfloat16_rn(float value)
{
    return {tsr_to_bf16(value)};
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value)
{
    return value.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return {bits};
}
static inline float __bfloat162float(__nv_bfloat16 value)
{
    return tsr_from_bf16(value.bits);
}

#endif
