/* kernels/cuda/linear_plain.cu: products by f32 multiply-adds: any x, any weight, any number of rows.
 *
 * Serves f32 and f16 weights beside more than a few rows, where the tensor cores would round x. 64 x 64 sums in a
 * block, 4 x 4 in a thread.
 */
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kTile = 64, kDepth = 16, kThreads = 256, kPitch = kTile + 4;

__global__ void __launch_bounds__(kThreads)
    linear_plain_kernel(linear_end e, tsr_view x, const unsigned char *w, tsr_dtype type, int64_t stride,
                        const float *clamp)
{
    __shared__ __align__(16) float a[kDepth][kPitch], b[kDepth][kPitch];
    int tid = threadIdx.x, row = tid / 2 % kTile, part = tid % 2 * 8;
    int64_t r0 = (int64_t)blockIdx.y * kTile, j0 = (int64_t)blockIdx.x * kTile;
    int tr = tid / 16 * 4, tj = tid % 16 * 4;
    float sums[4][4] = {};
    cuda_release_next();
    cuda_wait_before();

    for (int64_t k = 0; k < x.cols; k += kDepth) {
        octet o = {};
        if (tid < 128) { /* half of the threads bring x, the others the weight; 8 values each */
            if (r0 + row < x.rows) o = cuda_load_row8(x, r0 + row, k + part);
            for (int i = 0; i < 8; i++) a[part + i][row] = linear_clamp(o.v[i], clamp);
        } else {
            if (j0 + row < e.y.cols)
                o = cuda_load8(w + (j0 + row) * stride * cuda_bytes(type), type, k + part, x.cols);
            for (int i = 0; i < 8; i++) b[part + i][row] = o.v[i];
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kDepth; i++) {
            float4 p = *(const float4 *)&a[i][tr], s = *(const float4 *)&b[i][tj];
            float left[4] = {p.x, p.y, p.z, p.w}, right[4] = {s.x, s.y, s.z, s.w};
#pragma unroll
            for (int m = 0; m < 4; m++)
#pragma unroll
                for (int n = 0; n < 4; n++) sums[m][n] = fmaf(left[m], right[n], sums[m][n]);
        }
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
            if (r0 + tr + m < e.y.rows && j0 + tj + n < e.y.cols)
                linear_put(e, sums[m][n], r0 + tr + m, j0 + tj + n);
}
} // namespace

void linear_plain(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, const tsr_linear_opts &o)
{
    cuda_launch_early(q, "linear", linear_plain_kernel,
                      cuda_grid(cuda_blocks(w->rows, kTile), cuda_blocks(x.rows, kTile)), cuda_grid(kThreads),
                      0, linear_end_of(y, w, o), x, (const unsigned char *)w->data, w->type,
                      cuda_weight_stride(w->cols), linear_clamp_scale(x, w));
}
