/* kernels/cpu/linear_scalar.c: linear on any processor: eight partial sums per dot product, in plain C. */
#include "kernels/cpu/linear_rows.h"

enum { STEP = 8, NX = 2, NW = 2, PANEL = 32, PASS = 64, FEW_ROWS = 1 };
#define KERNEL tsr_linear_scalar

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

static inline factor load_x(const float *p)
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

static inline void store(float *p, factor f)
{
    memcpy(p, &f, sizeof f);
}

#include "kernels/cpu/linear_f32.h"
