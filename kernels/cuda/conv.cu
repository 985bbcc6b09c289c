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
};

constexpr int run_rows = 16; /* of one thread; each run reads width - 1 rows of its neighbour again */

/* Columns c .. c + 7 of row t of sequence i, where t < 0 reaches back into the slot. */
template <int width>
__device__ octet history8(const conv_args &a, int64_t i, int64_t t, int64_t c)
{
    if (t >= 0) return cuda_load8(cuda_row(a.x, a.step.spans.start[i] + t), a.x.type, c, a.x.cols);
    if (!cuda_continues(a.step, i)) return octet{};
    const unsigned char *tail = cuda_slot(a.conv, a.step.slot[i]);
    return cuda_load8(tail + (width - 1 + t) * a.x.cols * cuda_bytes(a.conv.type), a.conv.type, c, a.x.cols);
}

template <int width>
__device__ void load_taps(octet *taps, const conv_args &a, int64_t c)
{
#pragma unroll
    for (int k = 0; k < width; k++) taps[k] = cuda_load8(cuda_row(a.taps, k), TSR_F32, c, a.x.cols);
}

/* silu(bias + sum of taps and rows), oldest first */
template <int width>
__device__ octet convolve(const octet *rows, const octet *taps, octet sum)
{
#pragma unroll
    for (int k = 0; k < width; k++)
#pragma unroll
        for (int i = 0; i < 8; i++) sum.v[i] += taps[k].v[i] * rows[k].v[i];
#pragma unroll
    for (int i = 0; i < 8; i++) sum.v[i] = cuda_silu(sum.v[i]);
    return sum;
}

template <int width>
__device__ void store_tail(const conv_args &a, int64_t i, int64_t c, const octet *rows)
{
    unsigned char *tail = cuda_slot(a.conv, a.step.slot[i]);
#pragma unroll
    for (int k = 0; k < width - 1; k++)
        cuda_store8(tail + k * a.x.cols * cuda_bytes(a.conv.type), a.conv.type, c, a.x.cols, rows[k]);
}

/* Grid: columns, decode sequences. */
template <int width>
__global__ void conv_decode_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = blockIdx.y;
    if (c >= a.x.cols) return;
    octet rows[width], taps[width];
    load_taps<width>(taps, a, c);
#pragma unroll
    for (int k = 0; k < width; k++) rows[k] = history8<width>(a, i, k - (width - 1), c);
    octet y = convolve<width>(rows, taps, cuda_load8(a.bias.data, TSR_F32, c, a.x.cols));
    cuda_store8(cuda_row(a.y, i), TSR_F32, c, a.x.cols, y);
    if (a.step.slot[i] >= 0) store_tail<width>(a, i, c, rows + 1);
}

/* Grid: columns, runs of the longest sequence, sequences behind the decode rows. */
template <int width>
__global__ void conv_prefill_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = a.step.n_decode + blockIdx.z;
    int64_t first = a.step.spans.start[i], n = a.step.spans.start[i + 1] - first;
    int64_t begin = (int64_t)blockIdx.y * run_rows, end = begin + run_rows < n ? begin + run_rows : n;
    if (c >= a.x.cols || begin >= n) return;
    octet rows[width], taps[width], bias = cuda_load8(a.bias.data, TSR_F32, c, a.x.cols);
    load_taps<width>(taps, a, c);
#pragma unroll
    for (int k = 1; k < width; k++) rows[k] = history8<width>(a, i, begin - width + k, c);
#pragma unroll 4
    for (int64_t t = begin; t < end; t++) {
#pragma unroll
        for (int k = 0; k + 1 < width; k++) rows[k] = rows[k + 1];
        rows[width - 1] = cuda_load8(cuda_row(a.x, first + t), a.x.type, c, a.x.cols);
        cuda_store8(cuda_row(a.y, first + t), TSR_F32, c, a.x.cols, convolve<width>(rows, taps, bias));
    }
}

/* Grid: columns, sequences behind the decode rows. */
template <int width>
__global__ void conv_tail_kernel(conv_args a)
{
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = a.step.n_decode + blockIdx.y;
    int64_t n = a.step.spans.start[i + 1] - a.step.spans.start[i];
    if (c >= a.x.cols || n == 0 || a.step.slot[i] < 0) return;
    octet rows[width];
#pragma unroll
    for (int k = 0; k < width - 1; k++) rows[k] = history8<width>(a, i, n - (width - 1) + k, c);
    store_tail<width>(a, i, c, rows);
}

constexpr int threads = 128;

conv_args args_of(tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv, const tsr_step *step)
{
    return conv_args{y, x, m->taps, m->conv_bias, conv, *step};
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
        if (decltype(width)::value > 1)
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
