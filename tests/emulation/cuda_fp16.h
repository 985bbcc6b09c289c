/* tests/emulation/cuda_fp16.h: f16 as our plain kernels use it. */
#ifndef EMULATION_CUDA_FP16_H
#define EMULATION_CUDA_FP16_H

#include <cuda_runtime.h>

extern "C" {
#include "base/dtype.h"
}

struct __half {
    unsigned short bits;
};
struct __half_raw {
    unsigned short x;
};

static inline __half __ushort_as_half(unsigned short bits)
{
    return {bits};
}
static inline unsigned short __half_as_ushort(__half value)
{
    return value.bits;
}
static inline __half __float2half_rn(float value)
{
    return {tsr_to_f16(value)};
}
static inline float __half2float(__half value)
{
    return tsr_from_f16(value.bits);
}

#endif
