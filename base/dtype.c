/* base/dtype.c: element sizes, names and scalar conversions. */
#include "base/dtype.h"

#include <assert.h>
#include <math.h>

size_t tsr_dtype_bytes(tsr_dtype type)
{
    static const size_t bytes[] = {4, 2, 2, 1, 1, 4, 0};
    return bytes[type];
}

const char *tsr_dtype_name(tsr_dtype type)
{
    static const char *const names[] = {"f32", "bf16", "f16", "fp8", "u8", "i32", "other"};
    return names[type];
}

#define ROW8(e, s)                                                                                           \
    s 1.000 * (e), s 1.125 * (e), s 1.250 * (e), s 1.375 * (e), s 1.500 * (e), s 1.625 * (e), s 1.750 * (e), \
        s 1.875 * (e)
#define HALF(s)                                                                                              \
    s 0.0f, s 0x1p-9f, s 0x2p-9f, s 0x3p-9f, s 0x4p-9f, s 0x5p-9f, s 0x6p-9f, s 0x7p-9f, ROW8(0x1p-6f, s),   \
        ROW8(0x1p-5f, s), ROW8(0x1p-4f, s), ROW8(0x1p-3f, s), ROW8(0x1p-2f, s), ROW8(0x1p-1f, s),            \
        ROW8(0x1p0f, s), ROW8(0x1p1f, s), ROW8(0x1p2f, s), ROW8(0x1p3f, s), ROW8(0x1p4f, s),                 \
        ROW8(0x1p5f, s), ROW8(0x1p6f, s), ROW8(0x1p7f, s), s 256.0f, s 288.0f, s 320.0f, s 352.0f, s 384.0f, \
        s 416.0f, s 448.0f, NAN

const float tsr_fp8_table[256] = {HALF(+), HALF(-)};

float tsr_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) /* infinity and NaN */
        return tsr_float_of(sign | 0x7f800000u | (magnitude & 0x3ff) << 13);
    /* As an f32 the same bits are off by 2^112, subnormals included. */
    return tsr_float_of(sign | tsr_bits_of(tsr_float_of(magnitude << 13) * 0x1p112f));
}

uint16_t tsr_to_f16(float value)
{
    uint32_t bits = tsr_bits_of(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00; /* 65520 and above round to infinity */
    if (magnitude < 0x38800000u)                        /* subnormal: let the adder round at 2^-24 */
        return (uint16_t)(sign | (tsr_bits_of(tsr_float_of(magnitude) + 0.5f) - 0x3f000000u));
    magnitude += 0xfffu + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000u) >> 13);
}

uint8_t tsr_to_fp8(float value)
{
    uint32_t bits = tsr_bits_of(value);
    uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7f;
    if (magnitude >= 0x43e00000u) return sign | 0x7e; /* 448 and above saturate */
    if (magnitude < 0x3c800000u)                      /* below 2^-6: let the adder round at 2^-9 */
        return (uint8_t)(sign | (tsr_bits_of(tsr_float_of(magnitude) + 0x1p14f) - 0x46800000u));
    magnitude += 0x7ffffu + (magnitude >> 20 & 1);
    uint32_t code = (magnitude - 0x3c000000u) >> 20;
    return (uint8_t)(sign | (code > 0x7e ? 0x7e : code));
}

float tsr_load(const void *data, tsr_dtype type, int64_t i)
{
    switch (type) {
    case TSR_F32: return ((const float *)data)[i];
    case TSR_BF16: return tsr_from_bf16(((const uint16_t *)data)[i]);
    case TSR_F16: return tsr_from_f16(((const uint16_t *)data)[i]);
    case TSR_FP8: return tsr_from_fp8(((const uint8_t *)data)[i]);
    default: assert(!"tsr_load: not a floating type"); return 0;
    }
}

void tsr_store(void *data, tsr_dtype type, int64_t i, float value)
{
    switch (type) {
    case TSR_F32: ((float *)data)[i] = value; break;
    case TSR_BF16: ((uint16_t *)data)[i] = tsr_to_bf16(value); break;
    case TSR_F16: ((uint16_t *)data)[i] = tsr_to_f16(value); break;
    case TSR_FP8: ((uint8_t *)data)[i] = tsr_to_fp8(value); break;
    default: assert(!"tsr_store: not a floating type");
    }
}
