/* kernels/cuda/vit_enter.cu: prefix rows and positions in, prefix rows out. */
#include "kernels/cuda/rows.cuh"

namespace
{

struct vit_enter_op {
    tsr_view x, patches, prefix, pos;

    __device__ void operator()(int64_t r, int64_t c) const
    {
        int n = (int)pos.rows, n_prefix = (int)prefix.rows, tile = (int)r / n, i = (int)r % n;
        int64_t from = (int64_t)tile * (n - n_prefix) + i - n_prefix;
        octet o = i < n_prefix ? cuda_load8(cuda_row(prefix, i), TSR_F32, c, x.cols)
                               : cuda_load8(cuda_row(patches, from), patches.type, c, x.cols);
        octet at = cuda_load8(cuda_row(pos, i), TSR_F32, c, x.cols);
#pragma unroll
        for (int k = 0; k < 8; k++) o.v[k] += at.v[k];
        cuda_store8(cuda_row(x, r), x.type, c, x.cols, o);
    }
};

struct vit_leave_op {
    tsr_view y, x;
    int n_prefix, n_patches;

    __device__ void operator()(int64_t r, int64_t c) const
    {
        int tile = (int)r / n_patches, i = (int)r % n_patches;
        int64_t from = (int64_t)tile * (n_prefix + n_patches) + n_prefix + i;
        cuda_copy8(cuda_row(y, r), cuda_row(x, from), y.type, c, y.cols);
    }
};

} // namespace

void tsr_cuda_vit_enter(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos)
{
    cuda_rows(q, "vit_enter", x.rows, x.cols, vit_enter_op{x, patches, prefix, pos});
}

void tsr_cuda_vit_leave(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches)
{
    cuda_rows(q, "vit_leave", y.rows, y.cols, vit_leave_op{y, x, (int)n_prefix, (int)n_patches});
}
