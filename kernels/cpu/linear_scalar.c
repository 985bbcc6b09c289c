/* kernels/cpu/linear_scalar.c: linear on any processor: eight partial sums per dot product, in plain C. */
#include "kernels/cpu/linear_rows.h"

enum { STEP = 8, NX = 2, NW = 2, PANEL = 32, PASS = 64 };
#define TYPE TSR_F32

typedef float elem;
typedef struct vec {
    float v[STEP];
} vec;
typedef vec factor;

static inline vec vec_zero(void)
{
    return (vec){{0}};
}

INLINE void vec_sums(float *to, const vec *v, int n)
{
    for (int j = 0; j < n; j++) {
        vec a = v[j];
        for (int half = STEP / 2; half; half /= 2)
            for (int i = 0; i < half; i++) a.v[i] += a.v[i + half];
        to[j] = a.v[0];
    }
}

static inline vec madd(vec sum, factor w, factor x)
{
    for (int i = 0; i < STEP; i++) sum.v[i] += w.v[i] * x.v[i];
    return sum;
}

static inline factor load_x(const elem *p)
{
    factor r;
    memcpy(&r, p, sizeof r);
    return r;
}

static inline factor load_w(const unsigned char *row, tsr_dtype type, int64_t column)
{
    factor r;
    for (int i = 0; i < STEP; i++) r.v[i] = tsr_load(row, type, column + i);
    return r;
}

static inline void fetch(const unsigned char *p)
{
    (void)p;
}

#include "kernels/cpu/linear_tile.h"

DEFINE_FEW(few_f32, TSR_F32)
DEFINE_FEW(few_bf16, TSR_BF16)
DEFINE_FEW(few_f16, TSR_F16)
DEFINE_FEW(few_fp8, TSR_FP8)

static void widen(void *to, const void *from, tsr_dtype type, int64_t n)
{
    for (int64_t i = 0; i < n; i++) ((float *)to)[i] = tsr_load(from, type, i);
}

const tsr_linear_kernel tsr_linear_scalar = {
    .type = TYPE,
    .few = {few_f32, few_bf16, few_f16, few_fp8},
    .few_rows = 1,
    .unit = 1,
    .step = STEP,
    .panel = PANEL,
    .pass = PASS,
    .depth = DEPTH,
    .block = block,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
