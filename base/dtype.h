/* base/dtype.h: element types and the conversions between them.
 *
 * Conversions round to nearest, ties to even. FP8 is E4M3 "fn": bias 7, no infinity, NaN 0x7F and 0xFF,
 * largest 448; quantising saturates, and NaN stays NaN.
 */
#ifndef TSR_DTYPE_H
#define TSR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum tsr_dtype {
    TSR_F32,
    TSR_BF16,
    TSR_F16,
    TSR_FP8,
    TSR_U8,
    TSR_I32,
    TSR_DTYPE_OTHER /* named by a file, used by no op */
} tsr_dtype;

#define TSR_FP8_MAX 448.0f

/* Bytes of one element; 0 for TSR_DTYPE_OTHER. */
size_t tsr_dtype_bytes(tsr_dtype type);

/* "f32", "bf16", "f16", "fp8", "u8", "i32", "other". */
const char *tsr_dtype_name(tsr_dtype type);

/* E4M3 to f32, all 256 codes. */
extern const float tsr_fp8_table[256];

static inline uint32_t tsr_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tsr_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float tsr_from_bf16(uint16_t h)
{
    return tsr_float_of((uint32_t)h << 16);
}

static inline uint16_t tsr_to_bf16(float value)
{
    uint32_t bits = tsr_bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40); /* keep NaN a NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float tsr_from_f16(uint16_t h);
uint16_t tsr_to_f16(float value);
uint8_t tsr_to_fp8(float value);

static inline float tsr_from_fp8(uint8_t code)
{
    return tsr_fp8_table[code];
}

/* Element i of an array of floating type `type` as f32. */
float tsr_load(const void *data, tsr_dtype type, int64_t i);

/* Write `value` rounded to `type` as element i. */
void tsr_store(void *data, tsr_dtype type, int64_t i, float value);

#endif
