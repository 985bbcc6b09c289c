/* tests/kernels/mixer.c: sizes and weights of Mamba-2 layers, drawn at random. */
#include <math.h>

#include "tests/kernels/kt.h"

tsr_mixer kt_mixer(kt *t)
{
    tsr_mixer m = {.name = "mixer"};
    m.n_groups = kt_model(t, kt_pick(t, 1, 2, 4, 8), 8);
    m.n_heads = kt_model(t, m.n_groups * kt_pick(t, 1, 2, 3), 128);
    m.head_dim = kt_model(t, kt_pick(t, 4, 16, 16, 64, 80), 64);
    m.d_state = kt_model(t, kt_pick(t, 16, 16, 24, 128, 256), 128);
    if (t->bench < 0 && m.n_heads * m.head_dim * m.d_state > 40000) m.n_heads = m.n_groups = 1;
    m.conv_width = kt_model(t, kt_pick(t, 4, 4, 4, 2, 3, 1), 4);
    m.chunk = kt_model(t, kt_pick(t, 4, 8, 16, 16, 32), 128);
    if (kt_chance(t, 10) && t->bench < 0) { /* the model's own chunks, on narrow heads */
        m.chunk = kt_pick(t, 64, 128, 256);
        m.n_heads = m.n_groups = kt_int(t, 1, 2);
        m.head_dim = 16;
        m.d_state = kt_pick(t, 16, 64);
    }
    if (t->bench < 0 && kt_chance(t, 5)) { /* chunks that a backend cuts again, in a small layer */
        m.chunk = kt_pick(t, 100, 128, 200);
        m.n_heads = m.n_groups, m.head_dim = 16, m.d_state = 24;
    }
    if (t->bench < 0 && kt_chance(t, 15)) { /* the shapes of published models, a few heads of them */
        m.n_groups = kt_int(t, 1, 2), m.n_heads = kt_pick(t, 2, 2, 8); /* 8: rows of whole 16 bytes */
        m.head_dim = kt_pick(t, 64, 64, 80);
        m.d_state = m.head_dim == 64 ? kt_pick(t, 128, 128, 256) : 128;
        m.chunk = kt_pick(t, 32, 64, 128), m.conv_width = 4;
    }
    m.dt_max = INFINITY;
    if (kt_chance(t, 25)) m.dt_min = 0.01f, m.dt_max = (float)kt_real(t, 0.1, 1);
    int64_t d_conv = tsr_mixer_d_conv(&m);
    m.taps = kt_dense(t, TSR_F32, m.conv_width, d_conv);
    m.conv_bias = kt_dense(t, TSR_F32, 1, d_conv);
    m.a = kt_dense(t, TSR_F32, 1, m.n_heads);
    m.d = kt_dense(t, TSR_F32, 1, m.n_heads);
    m.dt_bias = kt_dense(t, TSR_F32, 1, m.n_heads);
    for (int64_t j = 0; j < m.n_heads; j++) {
        kt_set(m.a, 0, j, -exp(kt_real(t, -4, 2.8))); /* from 0.02 to 16, as trained models have it */
        kt_set(m.dt_bias, 0, j, kt_real(t, -6, 1));
    }
    m.norm = kt_norm_weight(t, tsr_mixer_d(&m), false, false);
    return m;
}

tsr_dtype kt_ssm_type(kt *t)
{
    return (tsr_dtype)kt_model(t, kt_pick(t, TSR_F32, TSR_F32, TSR_F16), TSR_F32, TSR_F32, TSR_F16);
}

double kt_dt(const tsr_mixer *m, double raw, int64_t head)
{
    double v = raw + kt_at(m->dt_bias, 0, head);
    double dt = v > 20 ? v : log1p(exp(v));
    return fmin(fmax(dt, m->dt_min), m->dt_max);
}
