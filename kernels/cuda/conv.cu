/* kernels/cuda/conv.cu: the causal depthwise convolution of a Mamba-2 layer, eight columns per thread.
 *
 * Decode rows: one kernel reads the slot, writes the row and moves the slot on. Longer sequences are divided
 * among threads by columns and by runs of rows; the threads of the first run, who alone read the slot, move it on.
 * From bf16 to bf16 (mamba_mix) there is a kernel with the quick exponential.
 */
#include "kernels/cuda/scan.cuh"

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
    cuda_wait_before();
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
    cuda_wait_before();
    int64_t c = 8 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x), i = a.step.n_decode + blockIdx.z;
    int64_t first = a.step.spans.start[i], n = a.step.spans.start[i + 1] - first;
    int64_t begin = (int64_t)blockIdx.y * run_rows, end = begin + run_rows < n ? begin + run_rows : n;
    if (c >= a.x.cols || begin >= n) return;
    window<most> w;
    load_taps(w, a, c);
    load_rows(w, a, i, begin, c, most - 1);
    if (begin == 0 && a.step.slot[i] >= 0) {
        window<most> last;
        load_rows(last, a, i, n - 1, c, most);
        store_tail(last, a, i, c);
    }
#pragma unroll 2
    for (int64_t t = begin; t < end; t++) {
        w.rows[most - 1] = cuda_load8(cuda_row(a.x, first + t), a.x.type, c, a.x.cols);
        cuda_store8(cuda_row(a.y, first + t), a.y.type, c, a.x.cols, convolved(w, a));
#pragma unroll
        for (int k = 0; k + 1 < most; k++) w.rows[k] = w.rows[k + 1];
    }
}

/* The same from bf16 to bf16, both with rows of whole 8 bytes, and 4 rows wide. A thread has 4 columns and
 * has 8 rows on their way at once. */
constexpr int quick_width = 4, quick_rows = 32, quick_deep = 8;

__global__ void __launch_bounds__(128) conv_quick_kernel(conv_args a)
{
    cuda_wait_before();
    int c = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    int64_t i = a.step.n_decode + blockIdx.z, first = a.step.spans.start[i];
    int n = (int)(a.step.spans.start[i + 1] - first), begin = blockIdx.y * quick_rows;
    int end = begin + quick_rows < n ? begin + quick_rows : n;
    if (c >= a.x.cols || begin >= n) return;
    auto row_of = [&](const tsr_view &v, int64_t r) { return (uint2 *)(cuda_row(v, r) + 2 * c); };
    auto widen = [](float *to, uint2 bits) {
        to[0] = quick_low(bits.x), to[1] = quick_high(bits.x);
        to[2] = quick_low(bits.y), to[3] = quick_high(bits.y);
    };
    /* Column c + e of row t, which may lie in the slot. */
    int32_t slot = a.step.slot[i];
    auto input_at = [&](int t, int e) {
        if (t >= 0) return cuda_load(cuda_row(a.x, first + t), TSR_BF16, c + e);
        if (!cuda_continues(a.step, i)) return 0.0f;
        return cuda_load(cuda_slot(a.conv, slot), a.conv.type, (a.width - 1 + t) * a.x.cols + c + e);
    };

    float taps[quick_width][4], bias[4], rows[quick_width - 1 + quick_deep][4];
#pragma unroll
    for (int k = 0; k < quick_width; k++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            taps[k][e] = cuda_load(cuda_row(a.taps, k), TSR_F32, c + e);
            if (k < quick_width - 1) rows[k][e] = input_at(begin + k - (quick_width - 1), e);
        }
#pragma unroll
    for (int e = 0; e < 4; e++) bias[e] = cuda_load(a.bias.data, TSR_F32, c + e);
    if (begin == 0 && slot >= 0) /* oldest first: each is read before it is overwritten */
        for (int k = 0; k + 1 < a.width; k++)
            for (int e = 0; e < 4; e++)
                cuda_store(cuda_slot(a.conv, slot), a.conv.type, k * a.x.cols + c + e,
                           input_at(n - (a.width - 1) + k, e));

#pragma unroll 1
    for (int t = begin; t < end; t += quick_deep) {
        uint2 bits[quick_deep];
#pragma unroll
        for (int r = 0; r < quick_deep; r++)
            bits[r] = t + r < end ? *row_of(a.x, first + t + r) : make_uint2(0, 0);
#pragma unroll
        for (int r = 0; r < quick_deep; r++) {
            widen(rows[quick_width - 1 + r], bits[r]);
            float sum[4];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sum[e] = bias[e];
#pragma unroll
                for (int k = 0; k < quick_width; k++) sum[e] += taps[k][e] * rows[r + k][e];
                sum[e] = quick_silu(sum[e]);
            }
            if (t + r < end)
                *row_of(a.y, first + t + r) =
                    make_uint2(quick_bf16x2(sum[0], sum[1]), quick_bf16x2(sum[2], sum[3]));
        }
#pragma unroll
        for (int k = 0; k < quick_width - 1; k++)
#pragma unroll
            for (int e = 0; e < 4; e++) rows[k][e] = rows[quick_deep + k][e];
    }
}

/* Whether rows are bf16 of whole 8 bytes. */
bool quick_rows_of(tsr_view v)
{
    return v.type == TSR_BF16 && v.cols % 4 == 0 && v.stride % 4 == 0 && (uintptr_t)v.data % 8 == 0;
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
        cuda_launch_early(q, "conv", conv_decode_kernel<decltype(width)::value>,
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
    if (quick_rows_of(x) && quick_rows_of(y) && m->conv_width == quick_width) {
        cuda_launch_early(
            q, "conv", conv_quick_kernel,
            cuda_grid(cuda_blocks(x.cols, 4 * threads), cuda_blocks(step->max_new, quick_rows), n_seqs),
            threads, 0, args);
        return;
    }
    cuda_by_conv_width(q, "conv", m->conv_width, [&](auto width) {
        cuda_launch_early(q, "conv", conv_prefill_kernel<decltype(width)::value>,
                          cuda_grid(columns, cuda_blocks(step->max_new, run_rows), n_seqs), threads, 0, args);
    });
}

void tsr_cuda_conv(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                   const tsr_step *step)
{
    conv_decode(q, y, x, m, conv, step);
    cuda_conv_prefill(q, y, x, m, conv, step);
}
