/* kernels/cuda/mamba_mix.cu: conv, scan and gated norm in one.
 *
 * Decode rows take one kernel; on Hopper that of mamba_stream.cuh, if the layer suits it. A group owns its heads,
 * its B and C and its norm, so nothing crosses groups: a sequence's group is the work of one cluster, whose blocks
 * share its heads. Each block convolves its own columns, and B and C for itself; only the sum of squares is put
 * together across the cluster. The convolution's tail is moved on behind that meeting, when every block has read B
 * and C of it.
 * Longer sequences take the kernels of conv, scan and gated_norm.
 */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/mamba.cuh"
#include "kernels/cuda/scan.cuh"

namespace
{

constexpr int threads = 512, max_cluster = 8;

struct mix_args {
    tsr_view y, p, taps, bias;
    const float *norm;
    float eps;
    int width; /* of the convolution */
    mixer_shape m;
    tsr_mamba_state s;
    tsr_step step;
};

/* Shared memory of a block that has n columns of x. */
struct mix_memory {
    float *x, *y, *b, *c, *partial, *scratch;
    head_step *heads;
};

size_t shared_bytes(int n, int n_heads, int d_state)
{
    return (size_t)(2 * n + 2 * d_state + 1 + cuda_warp) * sizeof(float) +
           (size_t)n_heads * sizeof(head_step);
}

CUDA_INLINE mix_memory lay_out(unsigned char *base, int n, int d_state)
{
    float *at = (float *)base;
    mix_memory w = {at, at + n};
    w.b = w.y + n;
    w.c = w.b + d_state;
    w.partial = w.c + d_state;
    w.scratch = w.partial + 1;
    w.heads = (head_step *)(w.scratch + cuda_warp);
    return w;
}

/* Of the width newest inputs of a column, the k-th; the last one is this step's. */
CUDA_INLINE float input_at(const mix_args &a, int64_t i, int k, int64_t column)
{
    if (k == a.width - 1) return cuda_load(cuda_row(a.p, i), a.p.type, a.m.d + column);
    if (!cuda_continues(a.step, i)) return 0;
    return cuda_load(cuda_slot(a.s.conv, a.step.slot[i]), a.s.conv.type, k * a.m.d_conv + column);
}

CUDA_INLINE float convolved(const mix_args &a, int64_t i, int64_t column)
{
    float sum = ((const float *)a.bias.data)[column];
    for (int k = 0; k < a.width; k++)
        sum += ((const float *)a.taps.data)[k * a.taps.stride + column] * input_at(a, i, k, column);
    return cuda_silu(sum);
}

/* Oldest first: each entry is read before it is overwritten. */
CUDA_INLINE void move_tail(const mix_args &a, int64_t i, int64_t column)
{
    unsigned char *tail = cuda_slot(a.s.conv, a.step.slot[i]);
    for (int k = 0; k + 1 < a.width; k++)
        cuda_store(tail, a.s.conv.type, k * a.m.d_conv + column, input_at(a, i, k + 1, column));
}

/* Grid: groups times blocks of a cluster, decode sequences. */
template <int lanes, int vectors>
__global__ void __launch_bounds__(threads) mix_step_kernel(mix_args a)
{
    CUDA_DYNAMIC_SHARED(memory);
    int n_blocks = (int)cuda_cluster_size(), rank = (int)cuda_cluster_rank(), group = blockIdx.x / n_blocks;
    int in_group = a.m.n_heads / a.m.n_groups, n_heads = in_group / n_blocks;
    int first_head = group * in_group + rank * n_heads, first = first_head * a.m.head_dim;
    int n = n_heads * a.m.head_dim;
    int64_t i = blockIdx.y, b = a.m.d + group * a.m.d_state, c = b + a.m.n_groups * a.m.d_state;
    mix_memory w = lay_out(memory, n, a.m.d_state);

    int32_t slot = a.step.slot[i];
    state_rows h = cuda_state_rows(a.s.ssm, a.step, i, (int64_t)first * a.m.d_state);
    state_part<lanes, vectors> part; /* travels while the block convolves */
    part.load(h, threadIdx.x / cuda_warp * part.warp_rows, n, a.m.d_state);

#pragma unroll 1 /* registers hold the state */
    for (int k = threadIdx.x; k < n; k += threads) w.x[k] = convolved(a, i, first + k);
#pragma unroll 1
    for (int k = threadIdx.x; k < 2 * a.m.d_state; k += threads)
        w.b[k] = convolved(a, i, k < a.m.d_state ? b + k : c + k - a.m.d_state); /* c lies behind b */
    tsr_view dt = a.p;
    dt.data = (unsigned char *)a.p.data + (a.m.d + a.m.d_conv) * cuda_bytes(a.p.type);
    for (int k = threadIdx.x; k < n_heads; k += threads)
        w.heads[k] = cuda_head_step(a.m, dt, i, first_head + k);
    __syncthreads();

    cuda_state_step(part, h, w.y, w.x, w.b, w.c, w.heads, a.m.head_dim, n, a.m.d_state);
    __syncthreads();

    const unsigned char *z = cuda_row(a.p, i);
    float squares = 0;
    for (int k = threadIdx.x; k < n; k += threads) {
        float gated = w.y[k] * cuda_silu(cuda_load(z, a.p.type, first + k));
        w.y[k] = gated;
        squares += gated * gated;
    }
    squares = cuda_block_sum(squares, w.scratch);
    if (threadIdx.x == 0) *w.partial = squares;
    cuda_cluster_sync();
    float sum = 0;
    for (int k = 0; k < n_blocks; k++) sum += cuda_cluster_load(w.partial, (unsigned)k);
    float inverse = 1 / sqrtf(sum / (float)(in_group * a.m.head_dim) + a.eps);

    cuda_put_row(a.y, i, first, first + n, w.scratch, [&](int64_t column) {
        octet o;
#pragma unroll
        for (int k = 0; k < 8; k++) {
            int64_t at = column + k;
            o.v[k] = at < first + n ? w.y[at - first] * inverse * a.norm[at] : 0;
        }
        return o;
    });

    if (slot >= 0) {
        for (int k = threadIdx.x; k < n; k += threads) move_tail(a, i, first + k);
        for (int k = threadIdx.x; k < a.m.d_state && rank == 0; k += threads) {
            move_tail(a, i, b + k);
            move_tail(a, i, c + k);
        }
    }
    cuda_cluster_sync(); /* nobody leaves while its sum is read */
}

/* Blocks that share a group: as many as divide its heads, and as leave each whole blocks of y's scales. */
int cluster_of(const tsr_queue *q, const mixer_shape &m, bool blocks)
{
    int in_group = m.n_heads / m.n_groups, best = 1;
    for (int n = 2; n <= max_cluster && cuda_capability(q) >= 90; n++)
        if (in_group % n == 0 && (!blocks || in_group / n * m.head_dim % TSR_SCALE_BLOCK_COLS == 0)) best = n;
    return best;
}

/* Whether a group can write its part of a row of y without knowing the others. */
bool by_group(tsr_view y, const tsr_mixer *m)
{
    return y.scaled == TSR_SCALE_NONE || y.scaled == TSR_SCALE_TENSOR ||
           (y.scaled == TSR_SCALE_BLOCK && tsr_mixer_d(m) / m->n_groups % TSR_SCALE_BLOCK_COLS == 0);
}

void mix_step(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
              const tsr_step *step)
{
    if (cuda_mix_stream(q, y, p, m, s, step)) return;
    mix_args a = {};
    a.y = y, a.p = p, a.taps = m->taps, a.bias = m->conv_bias;
    a.norm = (const float *)m->norm.w.data, a.eps = m->norm.eps, a.width = (int)m->conv_width;
    a.m = cuda_mixer_shape(m), a.s = s, a.step = *step;
    int cluster = cluster_of(q, a.m, y.scaled == TSR_SCALE_BLOCK);
    int n_heads = a.m.n_heads / a.m.n_groups / cluster;
    size_t bytes = shared_bytes(n_heads * a.m.head_dim, n_heads, a.m.d_state);
    cuda_by_state(q, "mamba_mix", m->d_state, [&](auto width) {
        using v = decltype(width);
        cuda_launch_as(q, "mamba_mix", {(unsigned)cluster}, mix_step_kernel<v::lanes, v::vectors>,
                       cuda_grid(m->n_groups * cluster, step->n_decode), threads, bytes, a);
    });
}

/* The workspace: measured and carved by the same walk. Where activations are bf16, rows that are not decode rows pass
 * through bf16 on their way to and from the scan, if that has tensor cores for the layer. */
struct mix_scratch {
    bool tensor;
    tsr_view h;      /* f32: of the decode rows where y's form wants whole rows; else of all rows */
    tsr_view y, xbc; /* of all rows, if some are not decode rows; y is h unless it is bf16 */
    void *scan;
};

mix_scratch carve(const tsr_queue *q, tsr_arena *a, const tsr_mixer *m, const tsr_step *step)
{
    mix_scratch w = {};
    bool prefill = step->n_seqs > step->n_decode;
    w.tensor = prefill && q->type == TSR_BF16 && scan_tensor_takes(q, m);
    tsr_dtype type = w.tensor ? TSR_BF16 : TSR_F32;
    w.h =
        tsr_arena_view(a, TSR_F32, TSR_SCALE_NONE, w.tensor ? step->n_decode : step->n_rows, tsr_mixer_d(m));
    w.y = w.tensor ? tsr_arena_view(a, type, TSR_SCALE_NONE, step->n_rows, tsr_mixer_d(m)) : w.h;
    w.xbc = tsr_arena_view(a, type, TSR_SCALE_NONE, prefill ? step->n_rows : 0, tsr_mixer_d_conv(m));
    if (prefill)
        w.scan = tsr_arena_take(a, w.tensor ? scan_tensor_work(m, step) : cuda_scan_prefill_work(m, step));
    return w;
}

} // namespace

size_t tsr_cuda_mamba_mix_work(const tsr_queue *q, tsr_view y, const tsr_mixer *m, const tsr_step *step)
{
    (void)y;
    tsr_arena measure = {};
    carve(q, &measure, m, step);
    return measure.used;
}

void tsr_cuda_mamba_mix(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                        const tsr_step *step)
{
    int64_t d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m), n_decode = step->n_decode;
    tsr_arena arena = {};
    arena.base = (unsigned char *)q->work, arena.capacity = (size_t)-1;
    mix_scratch w = carve(q, &arena, m, step);

    if (by_group(y, m)) {
        mix_step(q, y, p, m, s, step);
    } else {
        mix_step(q, w.h, p, m, s, step);
        tsr_cuda_convert(q, tsr_rows(y, 0, n_decode), tsr_rows(w.h, 0, n_decode));
    }
    int64_t rest = step->n_rows - n_decode;
    if (step->n_seqs == n_decode) return;
    cuda_conv_prefill(q, w.xbc, tsr_cols(p, d, d_conv), m, s.conv, step);
    tsr_view dt = tsr_cols(p, d + d_conv, m->n_heads);
    if (!w.tensor)
        cuda_scan_prefill(q, w.scan, w.y, w.xbc, dt, m, s.ssm, step);
    else if (!scan_wgmma(q, w.y, w.xbc, dt, m, s.ssm, step))
        scan_tensor(q, w.scan, w.y, w.xbc, dt, m, s.ssm, step);
    tsr_cuda_gated_norm(q, tsr_rows(y, n_decode, rest), tsr_rows(w.y, n_decode, rest),
                        tsr_rows(tsr_cols(p, 0, d), n_decode, rest), m);
}
