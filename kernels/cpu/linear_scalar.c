/* kernels/cpu/linear_scalar.c: linear on any processor: eight partial sums per dot product, in plain C. */
#include "kernels/cpu/linear_rows.h"

enum { STEP = 8, NX = 2, NW = 2, PANEL = 32 };
#define PANEL_TYPE TSR_F32

typedef float elem;
typedef struct vec {
    float v[STEP];
} vec;
typedef vec factor;

static inline vec vec_zero(void)
{
    return (vec){{0}};
}

static inline vec vec_load(const float *p)
{
    vec r;
    memcpy(&r, p, sizeof r);
    return r;
}

static inline void vec_store(float *p, vec a)
{
    memcpy(p, &a, sizeof a);
}

static inline float vec_sum(vec a)
{
    for (int n = STEP / 2; n; n /= 2)
        for (int i = 0; i < n; i++) a.v[i] += a.v[i + n];
    return a.v[0];
}

static inline vec vec_sums(const float *p)
{
    vec r;
    for (int i = 0; i < STEP; i++) r.v[i] = vec_sum(vec_load(p + i * STEP));
    return r;
}

static inline vec madd(vec sum, factor w, factor x)
{
    for (int i = 0; i < STEP; i++) sum.v[i] += w.v[i] * x.v[i];
    return sum;
}

static inline factor load_x(const elem *p)
{
    return vec_load(p);
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
    .type = PANEL_TYPE,
    .few = {few_f32, few_bf16, few_f16, few_fp8},
    .few_rows = 1,
    .unit = 1,
    .step = STEP,
    .panel = PANEL,
    .pass = 256,
    .depth = 1024,
    .per_dot = LANES,
    .block = block,
    .collect = collect,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
