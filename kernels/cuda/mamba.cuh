/* kernels/cuda/mamba.cuh: what the ops of a Mamba-2 layer share.
 *
 * The first n_decode sequences of a step have one row each and take the kernels for a single step; the others
 * take those for many rows. Each op is queued by one function per kind, so that mamba_mix can join them
 * differently.
 */
#ifndef TSR_CUDA_MAMBA_CUH
#define TSR_CUDA_MAMBA_CUH

#include "kernels/cuda/value.cuh"

/* What kernels need to know of a mixer. */
struct mixer_shape {
    int n_heads, head_dim, n_groups, d_state, d, d_conv;
    int chunk, pieces, piece; /* pieces of at most `piece` rows in a chunk */
    float dt_min, dt_max;
    const float *a, *skip, *dt_bias;
};

/* Rows that the prefill scan takes at a time, at most. */
constexpr int cuda_max_piece = 128;

static inline mixer_shape cuda_mixer_shape(const tsr_mixer *m)
{
    mixer_shape s = {};
    s.n_heads = (int)m->n_heads, s.head_dim = (int)m->head_dim, s.n_groups = (int)m->n_groups;
    s.d_state = (int)m->d_state, s.d = (int)tsr_mixer_d(m), s.d_conv = (int)tsr_mixer_d_conv(m);
    s.chunk = (int)m->chunk;
    s.pieces = (int)cuda_blocks(m->chunk, cuda_max_piece);
    s.piece = (int)cuda_blocks(m->chunk, s.pieces);
    s.dt_min = m->dt_min, s.dt_max = m->dt_max;
    s.a = (const float *)m->a.data, s.skip = (const float *)m->d.data;
    s.dt_bias = (const float *)m->dt_bias.data;
    return s;
}

/* clamp(softplus(raw + bias)) */
CUDA_INLINE float cuda_dt(const mixer_shape &m, float raw, int head)
{
    float v = raw + m.dt_bias[head];
    v = v > 20 ? v : log1pf(expf(v));
    v = v < m.dt_min ? m.dt_min : v;
    return v > m.dt_max ? m.dt_max : v;
}

CUDA_INLINE unsigned char *cuda_slot(const tsr_slots &slots, int64_t slot)
{
    return (unsigned char *)slots.data + slot * slots.slot_stride;
}

/* Rows of the sequences behind the decode rows. */
static inline int64_t cuda_prefill_rows(const tsr_step *step)
{
    return step->n_rows - step->n_decode;
}

/* In kernels/cuda/conv.cu and scan.cu; the views hold all rows of the step. */
void cuda_conv_prefill(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                       const tsr_step *step);
size_t cuda_scan_prefill_work(const tsr_mixer *m, const tsr_step *step);
void cuda_scan_prefill(tsr_queue *q, void *work, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                       tsr_slots ssm, const tsr_step *step);

/* The widths that the convolution is compiled for. */
constexpr int cuda_max_conv_width = 8;

/* Call f(constant of the width) for widths 1 to 8; other widths fail the queue. */
template <int width>
struct conv_width_of {
    static constexpr int value = width;
};
template <typename F>
void cuda_by_conv_width(tsr_queue *q, const char *op, int64_t width, F f)
{
    switch (width) {
    case 1: f(conv_width_of<1>()); break;
    case 2: f(conv_width_of<2>()); break;
    case 3: f(conv_width_of<3>()); break;
    case 4: f(conv_width_of<4>()); break;
    case 5: f(conv_width_of<5>()); break;
    case 6: f(conv_width_of<6>()); break;
    case 7: f(conv_width_of<7>()); break;
    case 8: f(conv_width_of<8>()); break;
    default:
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: CUDA convolves 1 to %d rows, not %lld", op,
                       cuda_max_conv_width, (long long)width);
    }
}

#endif
