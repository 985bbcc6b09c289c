/* kernels/cuda/gated_norm.cu: the gate, then RMS over groups of columns; one block per row and group where the
 * form of y allows it. */
#include "kernels/cuda/mamba.cuh"

namespace
{

/* Each block takes n_groups groups of a row; the inverse rms of each stays in shared memory. */
__global__ void __launch_bounds__(cuda_row_threads_most)
    gated_norm_kernel(tsr_view y, tsr_view x, tsr_view z, const float *weight, int64_t width, float eps,
                      int n_groups)
{
    __shared__ float scratch[cuda_warp];
    CUDA_DYNAMIC_SHARED(memory);
    float *inverse = (float *)memory;
    int64_t r = blockIdx.x, begin = blockIdx.y * n_groups * width, end = begin + n_groups * width;
    const float *x_row = (const float *)cuda_row(x, r);
    const unsigned char *z_row = cuda_row(z, r);
    auto gated8 = [&](int64_t c, int64_t stop) {
        octet o = cuda_load8(x_row, TSR_F32, c, stop), gate = cuda_load8(z_row, z.type, c, stop);
#pragma unroll
        for (int i = 0; i < 8; i++) o.v[i] *= cuda_silu(gate.v[i]);
        return o;
    };

    for (int group = 0; group < n_groups; group++) {
        int64_t from = begin + group * width;
        float squares = 0;
        for (int64_t c = from + 8 * (int64_t)threadIdx.x; c < from + width; c += 8 * (int64_t)blockDim.x) {
            octet o = gated8(c, from + width);
#pragma unroll
            for (int i = 0; i < 8; i++) squares += o.v[i] * o.v[i];
        }
        squares = cuda_block_sum(squares, scratch);
        if (threadIdx.x == 0) inverse[group] = 1 / sqrtf(squares / (float)width + eps);
    }
    __syncthreads();

    cuda_put_row(y, r, begin, end, scratch, [&](int64_t c) {
        octet o = gated8(c, end), w = cuda_load8(weight, TSR_F32, c, end);
#pragma unroll
        for (int i = 0; i < 8; i++)
            o.v[i] = c + i < end ? o.v[i] * inverse[(c + i - begin) / width] * w.v[i] : 0;
        return o;
    });
}

} // namespace

void tsr_cuda_gated_norm(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    int64_t width = x.cols / m->n_groups;
    bool apart = y.scaled == TSR_SCALE_NONE || y.scaled == TSR_SCALE_TENSOR ||
                 (y.scaled == TSR_SCALE_BLOCK && width % TSR_SCALE_BLOCK_COLS == 0);
    int64_t each = apart ? 1 : m->n_groups;
    cuda_launch(q, "gated_norm", gated_norm_kernel, cuda_grid(x.rows, m->n_groups / each),
                cuda_row_threads(width), (size_t)each * sizeof(float), y, x, z, (const float *)m->norm.w.data,
                width, m->norm.eps, (int)each);
}
