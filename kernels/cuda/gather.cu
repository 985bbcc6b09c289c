/* kernels/cuda/gather.cu: chosen rows. */
#include "kernels/cuda/rows.cuh"

namespace
{

struct gather_op {
    tsr_view y, x;
    const int32_t *row;

    __device__ void operator()(int64_t r, int64_t c) const
    {
        cuda_copy8(cuda_row(y, r), cuda_row(x, row[r]), y.type, c, y.cols);
    }
};

} // namespace

void tsr_cuda_gather(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row)
{
    cuda_rows(q, "gather", y.rows, y.cols, gather_op{y, x, row});
}
