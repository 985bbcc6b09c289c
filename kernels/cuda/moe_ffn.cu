/* kernels/cuda/moe_ffn.cu: rows through their experts, plainly: a warp per element, no grouping by expert.
 *
 * Two passes: the hidden row of every (row, choice) into scratch, then the sum of the experts' outputs. Weights are
 * read once per row that chose them, which decoding of one row cannot better; for prompts a grouped product has to
 * come. Inputs with FP8 rounding (STATIC, DYNAMIC) are only clamped, or kept, as linear does for few rows.
 */
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kThreads = 256, kWarps = kThreads / cuda_warp;
constexpr int64_t kRows = 1024; /* at a time: scratch for their hidden rows is bounded */

/* One lane's part of the product of n values of x with weight row `line`, counted over all experts. */
template <class X>
CUDA_INLINE float dot(const unsigned char *w, tsr_dtype type, int64_t line, int64_t cols, int lane, X x)
{
    const unsigned char *row = w + line * cuda_weight_stride(cols) * cuda_bytes(type);
    float sum = 0;
    for (int64_t c = 8 * lane; c < cols; c += 8 * cuda_warp) {
        octet a = x(c), b = cuda_load8(row, type, c, cuda_weight_stride(cols));
#pragma unroll
        for (int i = 0; i < 8; i++) sum = fmaf(a.v[i], b.v[i], sum);
    }
    return sum;
}

CUDA_INLINE octet clamped(octet o, const float *clamp)
{
    for (int i = 0; i < 8; i++) o.v[i] = linear_clamp(o.v[i], clamp);
    return o;
}

CUDA_INLINE float scale_of(const tsr_weight &w, int64_t line)
{
    if (w.scaled == TSR_SCALE_NONE) return 1;
    return w.scale[w.scaled == TSR_SCALE_ROW ? line : 0];
}

/* hidden[row, choice, j] = relu(up_e t)^2. Blocks: pieces of j, (row, choice). */
__global__ void moe_up_kernel(float *hidden, tsr_view t, tsr_weight up, tsr_view ids, const float *clamp)
{
    int lane = threadIdx.x % cuda_warp;
    int64_t j = blockIdx.x * (int64_t)kWarps + threadIdx.x / cuda_warp, pair = blockIdx.y;
    cuda_release_next();
    cuda_wait_before();
    int64_t r = pair / ids.cols, e = ((const int32_t *)cuda_row(ids, r))[pair % ids.cols];
    if (j >= up.rows) return;
    const unsigned char *row = cuda_row(t, r);
    int64_t line = e * up.rows + j;
    float sum =
        cuda_warp_sum(dot((const unsigned char *)up.data, up.type, line, up.cols, lane,
                          [&](int64_t c) { return clamped(cuda_load8(row, t.type, c, up.cols), clamp); }));
    if (lane == 0) hidden[pair * up.rows + j] = linear_act(TSR_RELU2, sum * scale_of(up, line));
}

/* y[row, j] = add + sum of gate * down_e hidden, experts in ascending order. Blocks: pieces of j, rows. */
__global__ void moe_down_kernel(tsr_view y, const float *hidden, tsr_weight down, tsr_view ids,
                                tsr_view gates, tsr_view add, const float *clamp)
{
    int lane = threadIdx.x % cuda_warp;
    int64_t j = blockIdx.x * (int64_t)kWarps + threadIdx.x / cuda_warp, r = blockIdx.y;
    cuda_release_next();
    cuda_wait_before();
    if (j >= down.rows) return;
    const int32_t *experts = (const int32_t *)cuda_row(ids, r);
    float total = 0;
    for (int64_t last = -1;;) {
        int64_t at = -1;
        for (int64_t i = 0; i < ids.cols; i++)
            if (experts[i] > last && (at < 0 || experts[i] < experts[at])) at = i;
        if (at < 0) break;
        last = experts[at];
        const float *row = hidden + (r * ids.cols + at) * down.cols;
        int64_t line = last * down.rows + j;
        float sum = cuda_warp_sum(
            dot((const unsigned char *)down.data, down.type, line, down.cols, lane,
                [&](int64_t c) { return clamped(cuda_load8(row, TSR_F32, c, down.cols), clamp); }));
        total += ((const float *)cuda_row(gates, r))[at] * (sum * scale_of(down, line));
    }
    if (lane == 0) cuda_store(cuda_row(y, r), y.type, j, cuda_load(cuda_row(add, r), add.type, j) + total);
}

const float *clamp_of(const tsr_weight *w)
{
    return w->input == TSR_INPUT_STATIC ? w->input_scale : nullptr;
}
} // namespace

size_t tsr_cuda_moe_ffn_work(const tsr_queue *, const tsr_weight *up, const tsr_weight *, tsr_view ids)
{
    size_t rows = (size_t)(ids.rows < kRows ? ids.rows : kRows);
    return tsr_mul(tsr_mul(rows, (size_t)ids.cols), tsr_mul((size_t)up->rows, sizeof(float)));
}

void tsr_cuda_moe_ffn(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                      tsr_view ids, tsr_view gates, tsr_view add)
{
    for (int64_t first = 0; first < y.rows;
         first += kRows) { /* times TSR_MAX_TOP_K it just fits into a grid's y */
        int64_t n = y.rows - first < kRows ? y.rows - first : kRows;
        tsr_view id = tsr_rows(ids, first, n);
        float *hidden = (float *)q->work;
        cuda_launch_early(q, "moe_ffn", moe_up_kernel, cuda_grid(cuda_blocks(up->rows, kWarps), n * ids.cols),
                          cuda_grid(kThreads), 0, hidden, tsr_rows(t, first, n), *up, id, clamp_of(up));
        cuda_launch_early(q, "moe_ffn", moe_down_kernel, cuda_grid(cuda_blocks(down->rows, kWarps), n),
                          cuda_grid(kThreads), 0, tsr_rows(y, first, n), (const float *)hidden, *down, id,
                          tsr_rows(gates, first, n), tsr_rows(add, first, n), clamp_of(down));
    }
}
