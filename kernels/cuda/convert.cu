/* kernels/cuda/convert.cu: one form of activations into another, one block per row. */
#include "kernels/cuda/value.cuh"

namespace
{

__global__ void __launch_bounds__(cuda_row_threads_most) convert_kernel(tsr_view y, tsr_view x)
{
    __shared__ float scratch[cuda_warp];
    int64_t r = blockIdx.x;
    cuda_wait_before();
    cuda_put_row(y, r, 0, x.cols, scratch, [&](int64_t c) { return cuda_load_row8(x, r, c); });
}

} // namespace

void tsr_cuda_convert(tsr_queue *q, tsr_view y, tsr_view x)
{
    cuda_launch_early(q, "convert", convert_kernel, cuda_grid(x.rows), cuda_row_threads(x.cols), 0, y, x);
}
