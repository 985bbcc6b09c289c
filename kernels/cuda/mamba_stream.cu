/* kernels/cuda/mamba_stream.cu: which shapes the stream of states takes, and how it divides them. */
#include "kernels/cuda/mamba_stream.cuh"

namespace
{

constexpr int blocks_each = 2; /* per multiprocessor, as shared memory allows */
constexpr int max_cluster = 8;

int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Blocks that share a unit: as many as end soonest, the fewer the better. */
int cluster_of(const tsr_queue *q, const mixer_shape &m, int64_t n_units, bool by_blocks)
{
    int in_group = m.n_heads / m.n_groups, blocks = blocks_each * cuda_processors(q), best = 1;
    double best_time = INFINITY;
    for (int c = 1; c <= max_cluster; c++) {
        int n = in_group / c * m.head_dim;
        if (in_group % c || (by_blocks && n % TSR_SCALE_BLOCK_COLS)) continue;
        double time = (double)ceiling(n_units, blocks / c) / c;
        if (time < best_time) best = c, best_time = time;
    }
    return best;
}

template <typename shape>
void launch(tsr_queue *q, stream_args a, bool by_blocks)
{
    int64_t n_units = a.step.n_decode * a.m.n_groups;
    int cluster = cluster_of(q, a.m, n_units, by_blocks);
    int64_t clusters = blocks_each * cuda_processors(q) / cluster;
    if (clusters > n_units) clusters = n_units;
    int n_heads = a.m.n_heads / a.m.n_groups / cluster, n = n_heads * a.m.head_dim;
    int64_t chunks = ceiling(n / shape::chunk_rows, shape::warps) * ceiling(n_units, clusters);
    a.stages = (int)(chunks < 3 ? chunks : 3);
    cuda_launch_as(q, "mamba_mix", {(unsigned)cluster, true}, mix_stream_kernel<shape>,
                   cuda_grid(clusters * cluster), shape::threads,
                   stream_memory<shape>::bytes(a.stages, n, n_heads), a);
}

} // namespace

bool cuda_mix_stream(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                     const tsr_step *step)
{
    stream_args a = {};
    a.y = y, a.p = p, a.taps = m->taps, a.bias = m->conv_bias;
    a.norm = (const float *)m->norm.w.data, a.eps = m->norm.eps, a.width = (int)m->conv_width;
    a.m = cuda_mixer_shape(m), a.s = s, a.step = *step;
    int in_group = a.m.n_heads / a.m.n_groups;
    bool fits = cuda_capability(q) >= 90 && a.width <= stream_taps && in_group <= cuda_warp &&
                a.m.head_dim % 16 == 0 && ((uintptr_t)s.ssm.data | (uintptr_t)s.ssm.slot_stride) % 16 == 0;
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
