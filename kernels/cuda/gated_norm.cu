/* kernels/cuda/gated_norm.cu: the gate, then RMS over groups of columns. A warp keeps a group of a row in registers;
 * wide or odd groups are read twice, one block per row and group where the form of y allows it. */
#include "kernels/cuda/scan.cuh"

/* Left to itself, ptxas spills a register for sm_80; told that one block at a time will do, it takes half as many
 * again for Hopper, where the kernels were measured without. */
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define ROW_BOUNDS __launch_bounds__(cuda_row_threads_most, 1)
#else
#define ROW_BOUNDS __launch_bounds__(cuda_row_threads_most)
#endif

namespace
{

/* A block has a row, each warp a group of at most `octets` times 256 columns. `quick`: x and z are bf16, in rows of
 * whole 16 bytes, and arithmetic is the quick one. */
template <int octets, bool quick>
__global__ void ROW_BOUNDS gated_norm_row_kernel(tsr_view y, tsr_view x, tsr_view z, const float *weight,
                                                 int width, float eps)
{
    __shared__ float scratch[cuda_warp];
    int lane = threadIdx.x % cuda_warp, begin = threadIdx.x / cuda_warp * width;
    int64_t r = gridDim.x - 1 - blockIdx.x; /* the newest of x first: caches have it still */
    cuda_wait_before();
    const unsigned char *x_row = cuda_row(x, r), *z_row = cuda_row(z, r);
    octet v[octets];
    float squares = 0;
    if (quick) {
        uint4 of_x[octets], of_z[octets];
#pragma unroll
        for (int k = 0; k < octets; k++) {
            int c = 8 * (lane + cuda_warp * k);
            of_x[k] = c < width ? *(const uint4 *)(x_row + 2 * (begin + c)) : make_uint4(0, 0, 0, 0);
            of_z[k] = c < width ? *(const uint4 *)(z_row + 2 * (begin + c)) : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int k = 0; k < octets; k++) {
            octet gate;
            cuda_widen_bf16(v[k].v, of_x[k]);
            cuda_widen_bf16(gate.v, of_z[k]);
#pragma unroll
            for (int i = 0; i < 8; i++) v[k].v[i] *= quick_silu(gate.v[i]);
        }
    } else {
        octet gate[octets];
#pragma unroll
        for (int k = 0; k < octets; k++) {
            int c = 8 * (lane + cuda_warp * k);
            v[k] = c < width ? cuda_load8(x_row, x.type, begin + c, x.cols) : octet{};
            gate[k] = c < width ? cuda_load8(z_row, z.type, begin + c, x.cols) : octet{};
        }
#pragma unroll
        for (int k = 0; k < octets; k++)
#pragma unroll
            for (int i = 0; i < 8; i++) v[k].v[i] *= cuda_silu(gate[k].v[i]);
    }
#pragma unroll
    for (int k = 0; k < octets; k++)
#pragma unroll
        for (int i = 0; i < 8; i++) squares += v[k].v[i] * v[k].v[i];
    float inverse = 1 / sqrtf(cuda_warp_sum(squares) / (float)width + eps);
    if (quick && y.scaled == TSR_SCALE_TENSOR)
        inverse /= *cuda_scale(y, r, 0); /* spares a division for each element */
#pragma unroll
    for (int k = 0; k < octets; k++) {
        int c = 8 * (lane + cuda_warp * k);
        octet w = c < width ? cuda_load8(weight, TSR_F32, begin + c, x.cols) : octet{};
#pragma unroll
        for (int i = 0; i < 8; i++) v[k].v[i] *= inverse * w.v[i];
    }

    unsigned char *row = cuda_row(y, r);
    float scale = 1, most = 0;
    if (y.scaled == TSR_SCALE_TENSOR && !quick) scale = *cuda_scale(y, r, 0);
    if (y.scaled == TSR_SCALE_ROW) {
#pragma unroll
        for (int k = 0; k < octets; k++) most = fmaxf(most, cuda_amax8(v[k]));
        scale = cuda_scale_for(cuda_block_max(cuda_warp_max(most), scratch));
        if (threadIdx.x == 0) *cuda_scale(y, r, 0) = scale;
    }
#pragma unroll
    for (int k = 0; k < octets; k++) {
        int c = 8 * (lane + cuda_warp * k);
        if (y.scaled == TSR_SCALE_BLOCK) { /* 16 lanes have a block */
            float amax = cuda_amax8(v[k]);
#pragma unroll
            for (int other = 8; other > 0; other /= 2)
                amax = fmaxf(amax, __shfl_xor_sync(cuda_all_lanes, amax, other));
            scale = cuda_scale_for(amax);
            if (c < width && lane % 16 == 0) *cuda_scale(y, r, begin + c) = scale;
        }
        if (c >= width) continue;
        if (y.scaled == TSR_SCALE_NONE)
            cuda_store8(row, y.type, begin + c, y.cols, v[k]);
        else if (quick && y.scaled == TSR_SCALE_TENSOR)
            quick_store_fp8(row, begin + c, v[k].v);
        else
            cuda_quantise8(row, begin + c, y.cols, v[k], scale);
    }
}

/* Each block takes n_groups groups of a row; the inverse rms of each stays in shared memory. */
__global__ void ROW_BOUNDS gated_norm_kernel(tsr_view y, tsr_view x, tsr_view z, const float *weight,
                                             int64_t width, float eps, int n_groups)
{
    __shared__ float scratch[cuda_warp];
    CUDA_DYNAMIC_SHARED(memory);
    cuda_wait_before();
    float *inverse = (float *)memory;
    int64_t r = blockIdx.x, begin = blockIdx.y * n_groups * width, end = begin + n_groups * width;
    const unsigned char *x_row = cuda_row(x, r);
    const unsigned char *z_row = cuda_row(z, r);
    auto gated8 = [&](int64_t c, int64_t stop) {
        octet o = cuda_load8(x_row, x.type, c, stop), gate = cuda_load8(z_row, z.type, c, stop);
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

/* Whether rows are bf16 of whole 16 bytes. */
bool quick_rows(tsr_view v)
{
    return v.type == TSR_BF16 && v.stride % 8 == 0 && (uintptr_t)v.data % 16 == 0;
}

} // namespace

void tsr_cuda_gated_norm(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    int64_t width = x.cols / m->n_groups;
    const float *weight = (const float *)m->norm.w.data;
    bool whole_blocks = y.scaled != TSR_SCALE_BLOCK || width % TSR_SCALE_BLOCK_COLS == 0;
    if (width % 8 == 0 && width <= 1280 && m->n_groups <= cuda_row_threads_most / cuda_warp && whole_blocks) {
        auto launch = [&](auto kernel) {
            cuda_launch_early(q, "gated_norm", kernel, cuda_grid(x.rows), cuda_grid(cuda_warp * m->n_groups),
                              0, y, x, z, weight, (int)width, m->norm.eps);
        };
        bool quick = quick_rows(x) && quick_rows(z);
        if (width <= 1024)
            launch(quick ? gated_norm_row_kernel<4, true> : gated_norm_row_kernel<4, false>);
        else
            launch(quick ? gated_norm_row_kernel<5, true> : gated_norm_row_kernel<5, false>);
        return;
    }
    bool apart = y.scaled == TSR_SCALE_NONE || y.scaled == TSR_SCALE_TENSOR ||
                 (y.scaled == TSR_SCALE_BLOCK && width % TSR_SCALE_BLOCK_COLS == 0);
    int64_t each = apart ? 1 : m->n_groups;
    cuda_launch_early(q, "gated_norm", gated_norm_kernel, cuda_grid(x.rows, m->n_groups / each),
                      cuda_row_threads(width), (size_t)each * sizeof(float), y, x, z, weight, width,
                      m->norm.eps, (int)each);
}
