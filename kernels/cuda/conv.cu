/* kernels/cuda/conv.cu: the causal depthwise convolution of a Mamba-2 layer, eight columns per thread.
 *
 * Decode rows: one kernel reads the slot, writes the row and moves the slot on. Longer sequences are divided
 * among threads by columns and by runs of rows; their slots are moved on by a second kernel, because the first
 * run's threads may still be reading them.
 */
#include "kernels/cuda/mamba.cuh"

namespace
{

struct conv_args {
    tsr_view y, x, taps, bias;
    tsr_slots conv;
    tsr_step step;
    int width;
};

constexpr int run_rows = 16; /* of one thread; each run reads width - 1 rows of its neighbour again */

/* Kernels are compiled for windows of `most` rows, of which the last `width` count. The newest is the last. */
template <int most>
struct window {
    octet rows[most], taps[most], bias;
};

template <int most>
CUDA_INLINE bool counts(const conv_args &a, int k)
{
    return k >= most - a.width;
}

/* Columns c .. c + 7 of row t of sequence i, where t < 0 reaches back into the slot. */
CUDA_INLINE octet history8(const conv_args &a, int64_t i, int64_t t, int64_t c)
{
    if (t >= 0) return cuda_load8(cuda_row(a.x, a.step.spans.start[i] + t), a.x.type, c, a.x.cols);
    if (!cuda_continues(a.step, i)) return octet{};
    const unsigned char *tail = cuda_slot(a.conv, a.step.slot[i]);
    return cuda_load8(tail + (a.width - 1 + t) * a.x.cols * cuda_bytes(a.conv.type), a.conv.type, c,
                      a.x.cols);
}

/* The rows that row t meets, itself left out where it is not yet there. */
template <int most>
CUDA_INLINE void load_rows(window<most> &w, const conv_args &a, int64_t i, int64_t t, int64_t c, int end)
{
#pragma unroll
    for (int k = 0; k < most; k++)
        w.rows[k] = counts<most>(a, k) && k < end ? history8(a, i, t - (most - 1) + k, c) : octet{};
}

template <int most>
CUDA_INLINE void load_taps(window<most> &w, const conv_args &a, int64_t c)
{
#pragma unroll
    for (int k = 0; k < most; k++)
        w.taps[k] = counts<most>(a, k)
                        ? cuda_load8(cuda_row(a.taps, k - (most - a.width)), TSR_F32, c, a.x.cols)
                        : octet{};
    w.bias = cuda_load8(a.bias.data, TSR_F32, c, a.x.cols);
}

/* silu(bias + sum of taps and rows), oldest first; a row that does not count may be infinite */
template <int most>
CUDA_INLINE octet convolved(const window<most> &w, const conv_args &a)
{
    octet sum = w.bias;
#pragma unroll
    for (int k = 0; k < most; k++)
        if (counts<most>(a, k))
#pragma unroll
            for (int i = 0; i < 8; i++) sum.v[i] += w.taps[k].v[i] * w.rows[k].v[i];
#pragma unroll
    for (int i = 0; i < 8; i++) sum.v[i] = cuda_silu(sum.v[i]);
    return sum;
}

/* The slot's rows become all but the first that count. */
template <int most>
CUDA_INLINE void store_tail(const window<most> &w, const conv_args &a, int64_t i, int64_t c)
{
    unsigned char *tail = cuda_slot(a.conv, a.step.slot[i]);
#pragma unroll
    for (int k = 1; k < most; k++)
        if (counts<most>(a, k - 1))
            cuda_store8(tail + (k - 1 - (most - a.width)) * a.x.cols * cuda_bytes(a.conv.type), a.conv.type,
                        c, a.x.cols, w.rows[k]);
}

/* Grid: columns, decode sequences. */
template <int most>
__global__ void conv_decode_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = blockIdx.y;
    if (c >= a.x.cols) return;
    window<most> w;
    load_taps(w, a, c);
    load_rows(w, a, i, 0, c, most);
    cuda_store8(cuda_row(a.y, i), TSR_F32, c, a.x.cols, convolved(w, a));
    if (a.step.slot[i] >= 0) store_tail(w, a, i, c);
}

/* Grid: columns, runs of the longest sequence, sequences behind the decode rows. */
template <int most>
__global__ void conv_prefill_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = a.step.n_decode + blockIdx.z;
    int64_t first = a.step.spans.start[i], n = a.step.spans.start[i + 1] - first;
    int64_t begin = (int64_t)blockIdx.y * run_rows, end = begin + run_rows < n ? begin + run_rows : n;
    if (c >= a.x.cols || begin >= n) return;
    window<most> w;
    load_taps(w, a, c);
    load_rows(w, a, i, begin, c, most - 1);
#pragma unroll 2
    for (int64_t t = begin; t < end; t++) {
        w.rows[most - 1] = cuda_load8(cuda_row(a.x, first + t), a.x.type, c, a.x.cols);
        cuda_store8(cuda_row(a.y, first + t), TSR_F32, c, a.x.cols, convolved(w, a));
#pragma unroll
        for (int k = 0; k + 1 < most; k++) w.rows[k] = w.rows[k + 1];
    }
}

/* Grid: columns, sequences behind the decode rows. */
template <int most>
__global__ void conv_tail_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = a.step.n_decode + blockIdx.y;
    int64_t n = a.step.spans.start[i + 1] - a.step.spans.start[i];
    if (c >= a.x.cols || n == 0 || a.step.slot[i] < 0) return;
    window<most> w;
    load_rows(w, a, i, n - 1, c, most);
    store_tail(w, a, i, c);
}

constexpr int threads = 128;

conv_args args_of(tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv, const tsr_step *step)
{
    return conv_args{y, x, m->taps, m->conv_bias, conv, *step, (int)m->conv_width};
}

void conv_decode(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                 const tsr_step *step)
{
    cuda_by_conv_width(q, "conv", m->conv_width, [&](auto width) {
        cuda_launch(q, "conv", conv_decode_kernel<decltype(width)::value>,
                    cuda_grid(cuda_blocks(x.cols, 8 * threads), step->n_decode), threads, 0,
                    args_of(y, x, m, conv, step));
    });
}

} // namespace

void cuda_conv_prefill(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                       const tsr_step *step)
{
    int64_t columns = cuda_blocks(x.cols, 8 * threads), n_seqs = step->n_seqs - step->n_decode;
    conv_args args = args_of(y, x, m, conv, step);
    cuda_by_conv_width(q, "conv", m->conv_width, [&](auto width) {
        cuda_launch(q, "conv", conv_prefill_kernel<decltype(width)::value>,
                    cuda_grid(columns, cuda_blocks(step->max_new, run_rows), n_seqs), threads, 0, args);
        if (m->conv_width > 1)
            cuda_launch(q, "conv", conv_tail_kernel<decltype(width)::value>, cuda_grid(columns, n_seqs),
                        threads, 0, args);
    });
}

void tsr_cuda_conv(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                   const tsr_step *step)
{
    conv_decode(q, y, x, m, conv, step);
    cuda_conv_prefill(q, y, x, m, conv, step);
}
