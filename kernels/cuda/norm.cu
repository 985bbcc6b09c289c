/* kernels/cuda/norm.cu: RMSNorm and LayerNorm: a warp per row up to 1024 columns, then a block.
 *
 * Up to 4096 columns each thread asks for its whole part of a row at once and keeps it: a row is read once, and enough
 * bytes are on their way.
 */
#include "kernels/cuda/value.cuh"

namespace
{
constexpr int kThreads = 128, kOctets = 4; /* of a block, of a thread */
constexpr int64_t kFewRows = 64;           /* as decoding has them */
constexpr int kBlocks = 5;                 /* on a multiprocessor */

/* One element of a row, from its weights. */
struct normed {
    float mean, inverse;

    __device__ __forceinline__ octet operator()(octet x, const octet &scale, const octet &shift) const
    {
#pragma unroll
        for (int i = 0; i < 8; i++) x.v[i] = (x.v[i] - mean) * inverse * scale.v[i] + shift.v[i];
        return x;
    }
};

/* The part of a row of up to 1024 WARPS columns that a thread holds: octet k is columns column(k) and on. A block has
 * one row, or four of a warp each. */
template <int WARPS>
struct held {
    octet o[kOctets];

    __device__ __forceinline__ void get(const void *row, tsr_dtype type, int64_t d)
    {
#pragma unroll
        for (int k = 0; k < kOctets; k++) o[k] = cuda_load8(row, type, column(k), d);
    }

    static __device__ __forceinline__ int column(int k)
    {
        return 8 * (k * WARPS * cuda_warp + threadIdx.x % (WARPS * cuda_warp));
    }

    static __device__ __forceinline__ float sum(float value, float *scratch)
    {
        return WARPS == 1 ? cuda_warp_sum(value) : cuda_block_sum(value, scratch);
    }

    /* In y's form; zeros behind the row's end. */
    __device__ __forceinline__ void put(const tsr_view &y, int64_t r, float *scratch) const
    {
        unsigned char *row = cuda_row(y, r);
        float scale = y.scaled == TSR_SCALE_TENSOR ? *y.scale : 1;
        if (y.scaled == TSR_SCALE_ROW) {
            float amax = 0;
#pragma unroll
            for (int k = 0; k < kOctets; k++) amax = fmaxf(amax, cuda_amax8(o[k]));
            scale = cuda_scale_for(WARPS == 1 ? cuda_warp_max(amax) : cuda_block_max(amax, scratch));
            if (column(0) == 0) *cuda_scale(y, r, 0) = scale;
        }
#pragma unroll
        for (int k = 0; k < kOctets; k++) {
            int c = column(k);
            if (y.scaled == TSR_SCALE_BLOCK) { /* of 16 lanes */
                float amax = cuda_amax8(o[k]);
#pragma unroll
                for (int step = 8; step > 0; step /= 2)
                    amax = fmaxf(amax, __shfl_xor_sync(cuda_all_lanes, amax, step));
                scale = cuda_scale_for(amax);
                if (threadIdx.x % 16 == 0 && c < y.cols) *cuda_scale(y, r, c) = scale;
            }
            if (c >= y.cols) continue;
            if (y.scaled == TSR_SCALE_NONE)
                cuda_store8(row, y.type, c, y.cols, o[k]);
            else
                cuda_quantise8(row, c, y.cols, o[k], scale);
        }
    }
};

/* A row of weights, or zeros, for all rows of a block; its halves of octets apart, so that neighbours read banks of
 * their own. */
template <int WARPS>
struct shared_row {
    float4 half[2][kOctets * WARPS * cuda_warp];

    __device__ __forceinline__ void get(const tsr_view &w, int64_t d)
    {
        for (int i = threadIdx.x; i < kOctets * WARPS * cuda_warp; i += kThreads) {
            octet o = {};
            if (w.rows) o = cuda_load8(w.data, TSR_F32, 8 * i, d);
            half[0][i] = make_float4(o.v[0], o.v[1], o.v[2], o.v[3]);
            half[1][i] = make_float4(o.v[4], o.v[5], o.v[6], o.v[7]);
        }
    }

    __device__ __forceinline__ octet at(int k) const
    {
        int i = held<WARPS>::column(k) / 8;
        float4 a = half[0][i], b = half[1][i];
        return octet{{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
    }
};

/* The row that comes next. WHOLE: of bf16, in vectors that are all there or all behind its end, and on its way as soon
 * as it is asked for. */
template <int WARPS, bool WHOLE>
struct coming {
    const unsigned char *row;
    tsr_dtype type;
    int64_t d;

    __device__ __forceinline__ void ask(const tsr_view &x, int64_t r)
    {
        row = cuda_row(x, r), type = x.type, d = x.cols;
    }

    __device__ __forceinline__ held<WARPS> take() const
    {
        held<WARPS> h;
        h.get(row, type, d);
        return h;
    }
};

template <int WARPS>
struct coming<WARPS, true> {
    uint4 bits[kOctets];

    __device__ __forceinline__ void ask(const tsr_view &x, int64_t r)
    {
        const uint4 *row = (const uint4 *)cuda_row(x, r);
#pragma unroll
        for (int k = 0; k < kOctets; k++) {
            int c = held<WARPS>::column(k);
            bits[k] = c < x.cols ? row[c / 8] : make_uint4(0, 0, 0, 0);
        }
    }

    __device__ __forceinline__ held<WARPS> take() const
    {
        held<WARPS> h;
#pragma unroll
        for (int k = 0; k < kOctets; k++) cuda_widen_bf16(h.o[k].v, bits[k]);
        return h;
    }
};

/* A block, or a warp, takes row after row: the next row is on its way while one is summed up. */
template <int WARPS, bool WHOLE>
__global__ void __launch_bounds__(kThreads, kBlocks)
    norm_held_kernel(tsr_view y, tsr_view x, tsr_norm_weight w)
{
    __shared__ float scratch[cuda_warp];
    constexpr int rows = kThreads / (WARPS * cuda_warp);
    int64_t r = blockIdx.x * (int64_t)rows + threadIdx.x / (WARPS * cuda_warp),
            apart = gridDim.x * (int64_t)rows, d = x.cols;
    __shared__ shared_row<WARPS> scale, shift;
    scale.get(w.w, d);
    shift.get(w.b, d);
    __syncthreads();
    cuda_wait_before();
    cuda_release_next();
    coming<WARPS, WHOLE> next;
    if (r < x.rows) next.ask(x, r);
    for (; r < x.rows; r += apart) { /* whole warps; a block where a row is more than one */
        held<WARPS> h = next.take();
        if (r + apart < x.rows) next.ask(x, r + apart);
        normed n = {};
        if (w.centred) {
            float sum = 0;
#pragma unroll
            for (int k = 0; k < kOctets; k++)
#pragma unroll
                for (int i = 0; i < 8; i++) sum += h.o[k].v[i];
            n.mean = h.sum(sum, scratch) / (float)d;
        }
        float squares = 0;
#pragma unroll
        for (int k = 0; k < kOctets; k++) {
            if (WHOLE && h.column(k) >= d) continue;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float far = h.o[k].v[i] - n.mean;
                squares += WHOLE || h.column(k) + i < d ? far * far : 0;
            }
        }
        n.inverse = 1 / sqrtf(h.sum(squares, scratch) / (float)d + w.eps);
#pragma unroll
        for (int k = 0; k < kOctets; k++) h.o[k] = n(h.o[k], scale.at(k), shift.at(k));
        h.put(y, r, scratch);
    }
}

/* A row of at most eight columns for each thread of a block, as soon as it is there: what waits for nobody is asked
 * for before, and the product behind may ask for its weights meanwhile. */
__global__ void __launch_bounds__(cuda_row_threads_most)
    norm_few_kernel(tsr_view y, tsr_view x, tsr_norm_weight w)
{
    __shared__ float scratch[cuda_warp];
    int64_t r = blockIdx.x, d = x.cols;
    int c = 8 * threadIdx.x;
    cuda_release_next();
    octet scale = cuda_load8(w.w.data, TSR_F32, c, d), shift = {};
    if (w.b.rows) shift = cuda_load8(w.b.data, TSR_F32, c, d);
    float y_scale = y.scaled == TSR_SCALE_TENSOR ? *y.scale : 0;
    cuda_wait_before();
    octet o = cuda_load8(cuda_row(x, r), x.type, c, d);

    normed n = {};
    if (w.centred) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) sum += o.v[i];
        n.mean = cuda_block_sum(sum, scratch) / (float)d;
    }
    float squares = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) squares += c + i < d ? (o.v[i] - n.mean) * (o.v[i] - n.mean) : 0;
    n.inverse = 1 / sqrtf(cuda_block_sum(squares, scratch) / (float)d + w.eps);
    o = n(o, scale, shift);
    if (y.scaled != TSR_SCALE_TENSOR)
        cuda_put_row(y, r, 0, d, scratch, [&](int64_t) { return o; });
    else if (c < d)
        cuda_quantise8(cuda_row(y, r), c, d, o, y_scale);
}

__global__ void __launch_bounds__(cuda_row_threads_most)
    norm_kernel(tsr_view y, tsr_view x, tsr_norm_weight w)
{
    __shared__ float scratch[cuda_warp];
    int64_t r = blockIdx.x, d = x.cols;
    int64_t first = 8 * (int64_t)threadIdx.x, step = 8 * (int64_t)blockDim.x;
    const unsigned char *row = cuda_row(x, r);
    const octet first_scale = cuda_load8(w.w.data, TSR_F32, first, d); /* weights wait for nobody */
    cuda_wait_before();
    const octet kept = cuda_load8(row, x.type, first, d);
    cuda_release_next();
    auto x8 = [&](int64_t c) { return c == first ? kept : cuda_load8(row, x.type, c, d); };

    normed n = {};
    if (w.centred) {
        float sum = 0;
        for (int64_t c = first; c < d; c += step) {
            octet o = x8(c);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += o.v[i];
        }
        n.mean = cuda_block_sum(sum, scratch) / (float)d;
    }
    float squares = 0;
    for (int64_t c = first; c < d; c += step) {
        octet o = x8(c);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (c + i < d) squares += (o.v[i] - n.mean) * (o.v[i] - n.mean);
    }
    n.inverse = 1 / sqrtf(cuda_block_sum(squares, scratch) / (float)d + w.eps);

    cuda_put_row(y, r, 0, d, scratch, [&](int64_t c) {
        octet shift = {};
        if (w.b.rows) shift = cuda_load8(w.b.data, TSR_F32, c, d);
        return n(x8(c), c == first ? first_scale : cuda_load8(w.w.data, TSR_F32, c, d), shift);
    });
}

template <int WARPS>
void launch(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    int64_t blocks = cuda_blocks(x.rows * WARPS * cuda_warp, kThreads), most = kBlocks * cuda_processors(q);
    bool whole = x.type == TSR_BF16 && x.cols % 8 == 0 && x.stride % 8 == 0 && (uintptr_t)x.data % 16 == 0;
    cuda_launch_early(q, "norm", whole ? norm_held_kernel<WARPS, true> : norm_held_kernel<WARPS, false>,
                      cuda_grid(blocks < most ? blocks : most), cuda_grid(kThreads), 0, y, x, *w);
}
} // namespace

void tsr_cuda_norm(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    constexpr int64_t of_warp = 8 * kOctets * cuda_warp;
    if (x.rows <= kFewRows && x.cols <= 8 * cuda_row_threads_most)
        cuda_launch_early(q, "norm", norm_few_kernel, cuda_grid(x.rows), cuda_row_threads(x.cols), 0, y, x,
                          *w);
    else if (x.cols <= of_warp)
        launch<1>(q, y, x, w);
    else if (x.cols <= 4 * of_warp)
        launch<4>(q, y, x, w);
    else
        cuda_launch_early(q, "norm", norm_kernel, cuda_grid(x.rows), cuda_row_threads(x.cols), 0, y, x, *w);
}
