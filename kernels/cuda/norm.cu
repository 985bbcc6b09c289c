/* kernels/cuda/norm.cu: RMSNorm and LayerNorm, one block per row. */
#include "kernels/cuda/value.cuh"

namespace
{

__global__ void __launch_bounds__(cuda_row_threads_most)
    norm_kernel(tsr_view y, tsr_view x, tsr_norm_weight w)
{
    __shared__ float scratch[cuda_warp];
    int64_t r = blockIdx.x, d = x.cols;
    int64_t first = 8 * (int64_t)threadIdx.x, step = 8 * (int64_t)blockDim.x;
    const unsigned char *row = cuda_row(x, r);
    const octet kept = cuda_load8(row, x.type, first, d); /* rows of up to 4096 are read once */
    auto x8 = [&](int64_t c) { return c == first ? kept : cuda_load8(row, x.type, c, d); };

    float mean = 0;
    if (w.centred) {
        float sum = 0;
        for (int64_t c = first; c < d; c += step) {
            octet o = x8(c);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += o.v[i];
        }
        mean = cuda_block_sum(sum, scratch) / (float)d;
    }
    float squares = 0;
    for (int64_t c = first; c < d; c += step) {
        octet o = x8(c);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (c + i < d) squares += (o.v[i] - mean) * (o.v[i] - mean);
    }
    float inverse = 1 / sqrtf(cuda_block_sum(squares, scratch) / (float)d + w.eps);

    cuda_put_row(y, r, 0, d, scratch, [&](int64_t c) {
        octet o = x8(c), scale = cuda_load8(w.w.data, TSR_F32, c, d), shift = {};
        if (w.b.rows) shift = cuda_load8(w.b.data, TSR_F32, c, d);
#pragma unroll
        for (int i = 0; i < 8; i++)
            o.v[i] = c + i < d ? (o.v[i] - mean) * inverse * scale.v[i] + shift.v[i] : 0;
        return o;
    });
}

} // namespace

void tsr_cuda_norm(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    cuda_launch(q, "norm", norm_kernel, cuda_grid(x.rows), cuda_row_threads(x.cols), 0, y, x, *w);
}
