/* kernels/cuda/mamba_stream.cu: which shapes the stream of states takes, and how it divides them. */
#include "kernels/cuda/mamba_stream.cuh"

namespace
{

constexpr int blocks_each = 2, max_cluster = 8; /* blocks: per multiprocessor */
constexpr size_t block_room = 113 << 10;        /* of shared memory, for so many */

int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Blocks that share a unit: as many as find multiprocessors of their own. */
int cluster_of(const tsr_queue *q, const mixer_shape &m, int64_t n_units, bool by_blocks)
{
    int in_group = m.n_heads / m.n_groups, best = 1;
    for (int c = 2; c <= max_cluster && n_units * c <= cuda_processors(q); c++)
        if (in_group % c == 0 && (!by_blocks || in_group / c * m.head_dim % TSR_SCALE_BLOCK_COLS == 0))
            best = c;
    return best;
}

template <typename shape>
void launch(tsr_queue *q, stream_args a, bool by_blocks)
{
    int64_t n_units = a.step.n_decode * a.m.n_groups;
    int cluster = cluster_of(q, a.m, n_units, by_blocks);
    int64_t clusters = blocks_each * cuda_processors(q) / cluster;
    if (clusters > n_units) clusters = n_units;
    int in_group = a.m.n_heads / a.m.n_groups, n_heads = in_group / cluster, n = n_heads * a.m.head_dim;
    int64_t chunks = ceiling(n / shape::chunk_rows, shape::warps) * ceiling(n_units, clusters);
    auto bytes = [&] { return stream_memory<shape>::bytes(a.stages, n, n_heads, in_group); };
    a.stages = (int)(chunks < 3 ? chunks : 3); /* one suffices for one chunk, more want at least two */
    if (a.stages == 3 && bytes() > block_room) a.stages = 2;
    cuda_launch_as(q, "mamba_mix", {(unsigned)cluster, true}, mix_stream_kernel<shape>,
                   cuda_grid(clusters * cluster), shape::threads, bytes(), a);
}

} // namespace

bool cuda_mix_stream(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                     const tsr_step *step)
{
    stream_args a = {};
    a.y = y, a.p = p, a.taps = m->taps, a.bias = m->conv_bias;
    a.norm = (const float *)m->norm.w.data, a.eps = m->norm.eps;
    a.m = cuda_mixer_shape(m), a.s = s, a.step = *step;
    int in_group = a.m.n_heads / a.m.n_groups;
    uintptr_t places = (uintptr_t)s.ssm.data | (uintptr_t)s.ssm.slot_stride | (uintptr_t)s.conv.data |
                       (uintptr_t)s.conv.slot_stride | (uintptr_t)p.data | (uintptr_t)(2 * p.stride) |
                       (uintptr_t)m->taps.data | (uintptr_t)(4 * m->taps.stride) |
                       (uintptr_t)m->conv_bias.data | (uintptr_t)m->norm.w.data;
    bool fits = cuda_capability(q) >= 90 && m->conv_width == stream_taps && in_group <= cuda_warp &&
                a.m.head_dim % 16 == 0 && p.type == TSR_BF16 && s.conv.type == TSR_BF16 && places % 16 == 0;
    if (step->n_decode == 0) return true;
    if (!fits || (m->d_state != 128 && m->d_state != 256)) return false;
    bool by_blocks = y.scaled == TSR_SCALE_BLOCK, half = s.ssm.type == TSR_F16;
    if (m->d_state == 128)
        half ? launch<stream_shape<true, 8, 16, 8>>(q, a, by_blocks)
             : launch<stream_shape<false, 8, 8, 8>>(q, a, by_blocks);
    else
        half ? launch<stream_shape<true, 16, 8, 8>>(q, a, by_blocks)
             : launch<stream_shape<false, 16, 4, 8>>(q, a, by_blocks);
    return true;
}
