/* kernels/cuda/linear_dot.cu: products of 1 to 4 rows where linear_tall has none: bound by reading the weights.
 *
 * A block takes LINES rows of the weight at a time (8; 4 beside several rows of x) and cuts them along k: a thread
 * reads 16 bytes of each line, the next lines' before it multiplies these, so LINES loads of 16 bytes are always on
 * their way. 256 threads, two blocks per multiprocessor: 64 (32) KiB in flight on each, where 4.3 TB/s over 132 of
 * them and 0.75 us need 25.
 * x lies in shared memory in pieces of 16 bytes, laid so that neighbouring lanes read neighbouring pieces, and a
 * piece read once serves all LINES: reading it per line would load more than the weights.
 * The first weights are asked for before x, which the kernel before this one may still be writing.
 */
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kThreads = 256, kWarps = kThreads / cuda_warp;
constexpr size_t kOwnShared = 2 << 10; /* room for what kernels declare themselves */

/* Lines at a time beside M rows of x: as many as registers allow, two blocks on a multiprocessor. */
template <int M>
constexpr int lines_for = M > 1 ? 4 : 8;

/* How weights of one type meet x. x is f32 beside f32 and f16, whose products would suffer from less. */
template <tsr_dtype T>
struct form {
    static constexpr int per_load = T == TSR_F32 ? 4 : T == TSR_FP8 ? 16 : 8; /* weights in 16 bytes */
    static constexpr bool wide = T == TSR_F32 || T == TSR_F16;
    static constexpr int piece = wide ? 4 : 8;      /* values of x in 16 bytes */
    static constexpr int pieces = per_load / piece; /* of x for one load of weights */
};

/* Piece p of 16 bytes of weights. */
template <tsr_dtype T>
CUDA_INLINE void widen(float *to, const uint4 &bits, int p)
{
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    if (T == TSR_F32) {
#pragma unroll
        for (int i = 0; i < 4; i++) to[i] = __uint_as_float(words[i]);
    } else if (T == TSR_BF16) {
        cuda_widen_bf16(to, bits);
    } else if (T == TSR_F16) {
#pragma unroll
        for (int i = 0; i < 4; i++) to[i] = cuda_from_f16((uint16_t)(words[2 * p + i / 2] >> 16 * (i % 2)));
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t pair = words[2 * p + i / 2] >> 16 * (i % 2);
            __half2_raw h = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)pair, __NV_E4M3);
            to[2 * i] = cuda_from_f16(h.x);
            to[2 * i + 1] = cuda_from_f16(h.y);
        }
    }
}

struct norm_args {
    const float *w, *b; /* w NULL: no norm; b may be NULL */
    float eps;
    bool centred;
};

/* Row r of x, normalised and clamped, as pieces of shared memory: element c belongs to load c / per_load, and
 * there to one of its pieces. */
template <tsr_dtype T>
__device__ void keep_row(uint4 *kept, int64_t n_loads, const tsr_view &x, int64_t r, const norm_args &norm,
                         const float *clamp, float *scratch)
{
    using F = form<T>;
    float mean = 0, factor = 1;
    if (norm.w) {
        float sum = 0;
        for (int64_t c = 8 * threadIdx.x; c < x.cols && norm.centred; c += 8 * kThreads) {
            octet o = cuda_load_row8(x, r, c);
            for (int i = 0; i < 8; i++) sum += o.v[i];
        }
        if (norm.centred) mean = cuda_block_sum(sum, scratch) / (float)x.cols;
        float squares = 0;
        for (int64_t c = 8 * threadIdx.x; c < x.cols; c += 8 * kThreads) {
            octet o = cuda_load_row8(x, r, c);
            for (int i = 0; i < 8; i++)
                if (c + i < x.cols) squares += (o.v[i] - mean) * (o.v[i] - mean);
        }
        factor = 1 / sqrtf(cuda_block_sum(squares, scratch) / (float)x.cols + norm.eps);
    }
    int64_t n = n_loads * F::per_load;
    for (int64_t c = 8 * threadIdx.x; c < n; c += 8 * kThreads) {
        octet o = cuda_load_row8(x, r, c);
        for (int i = 0; i < 8; i++) {
            float v = o.v[i];
            if (norm.w && c + i < x.cols) {
                v = norm.w[c + i] * ((v - mean) * factor);
                if (norm.b) v += norm.b[c + i];
            }
            o.v[i] = linear_clamp(v, clamp);
        }
        for (int i = 0; i < 8; i += F::piece) {
            if (c + i >= n) break;
            int64_t load = (c + i) / F::per_load, p = (c + i) % F::per_load / F::piece;
            const float *v = o.v + i;
            uint4 bits = F::wide ? make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]),
                                              __float_as_uint(v[2]), __float_as_uint(v[3]))
                                 : make_uint4(cuda_to_bf16x2(o.v[0], o.v[1]), cuda_to_bf16x2(o.v[2], o.v[3]),
                                              cuda_to_bf16x2(o.v[4], o.v[5]), cuda_to_bf16x2(o.v[6], o.v[7]));
            kept[p * n_loads + load] = bits;
        }
    }
}

/* The sums of N values over a warp, each in the order of the same tree as cuda_warp_sum, in fewer shuffles: at
 * every step a lane keeps half of its values and gives the other half away, until one is left, whose sum goes on
 * alone. Returned in v[0]; the index of the value whose sum a lane holds is the result. */
template <int N, int STEP = 16>
CUDA_INLINE int sum_many(float *v)
{
    if constexpr (STEP == 0) {
        return 0;
    } else if constexpr (N == 1) {
        v[0] += __shfl_xor_sync(cuda_all_lanes, v[0], STEP);
        return sum_many<1, STEP / 2>(v);
    } else {
        bool upper = threadIdx.x & STEP;
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            float mine = upper ? v[N / 2 + i] : v[i], other = upper ? v[i] : v[N / 2 + i];
            v[i] = mine + __shfl_xor_sync(cuda_all_lanes, other, STEP);
        }
        return (upper ? N / 2 : 0) + sum_many<N / 2, STEP / 2>(v);
    }
}

/* M rows of x from `first` on against all rows of the weight. */
template <tsr_dtype T, int M>
__global__ void __launch_bounds__(kThreads, 2)
    linear_dot_kernel(linear_end e, tsr_view x, const unsigned char *w, int64_t n_out, int64_t stride,
                      int64_t first, norm_args norm, const float *clamp)
{
    using F = form<T>;
    constexpr int kLines = lines_for<M>, kSums = kLines * M;
    CUDA_DYNAMIC_SHARED(memory);
    __shared__ float partial[2][kWarps][kSums];
    __shared__ float scratch[cuda_warp];
    uint4 *kept = (uint4 *)memory;
    int tid = threadIdx.x, lane = tid % cuda_warp, warp = tid / cuda_warp;
    int n_loads = (int)(stride / F::per_load), passes = (n_loads + kThreads - 1) / kThreads;
    int groups = (int)((n_out + kLines - 1) / kLines);
    int64_t row_bytes = stride * cuda_bytes(T);

    /* (group, pass) in order; the loads of the next one are under way while this one is multiplied. */
    uint4 next[kLines];
    int group = blockIdx.x;
    auto fetch = [&](int g, int p) {
        int load = p * kThreads + tid;
#pragma unroll
        for (int i = 0; i < kLines; i++) {
            int64_t line = (int64_t)g * kLines + i;
            next[i] = make_uint4(0, 0, 0, 0);
            if (line < n_out && load < n_loads)
                next[i] = __ldcs((const uint4 *)(w + line * row_bytes) + load);
        }
    };
    if (group < groups) fetch(group, 0);
    for (int m = 0; m < M; m++)
        keep_row<T>(kept + m * n_loads * F::pieces, n_loads, x, first + m, norm, clamp, scratch);
    __syncthreads();

    float sums[kSums];
    for (int buffer = 0; group < groups; buffer ^= 1) {
#pragma unroll
        for (int i = 0; i < kSums; i++) sums[i] = 0;
        int64_t first_line = (int64_t)group * kLines;
        for (int pass = 0; pass < passes; pass++) {
            uint4 bits[kLines];
#pragma unroll
            for (int i = 0; i < kLines; i++) bits[i] = next[i];
            if (pass + 1 < passes) {
                fetch(group, pass + 1);
            } else {
                group += gridDim.x;
                if (group < groups) fetch(group, 0);
            }
            int load = pass * kThreads + tid;
            if (load >= n_loads) continue;
#pragma unroll
            for (int p = 0; p < F::pieces; p++) {
                float values[M][F::piece];
#pragma unroll
                for (int m = 0; m < M; m++) {
                    uint4 piece = kept[(m * F::pieces + p) * n_loads + load];
                    if (F::wide)
                        widen<TSR_F32>(values[m], piece, 0);
                    else
                        widen<TSR_BF16>(values[m], piece, 0);
                }
#pragma unroll
                for (int i = 0; i < kLines; i++) {
                    float weights[F::piece];
                    widen<T>(weights, bits[i], p);
#pragma unroll
                    for (int m = 0; m < M; m++)
#pragma unroll
                        for (int k = 0; k < F::piece; k++)
                            sums[m * kLines + i] = fmaf(values[m][k], weights[k], sums[m * kLines + i]);
                }
            }
        }
        int index = sum_many<kSums>(sums);
        if (lane % (cuda_warp / kSums) == 0) partial[buffer][warp][index] = sums[0];
        __syncthreads(); /* the other buffer is free again: its readers are past this barrier */
        int64_t line = first_line + tid % kLines;
        if (tid < kSums && line < n_out) {
            float total = 0;
            for (int i = 0; i < kWarps; i++) total += partial[buffer][i][tid];
            linear_put(e, total, first + tid / kLines, line);
        }
    }
}

int64_t row_bytes_of_x(const tsr_weight *w)
{
    bool wide = w->type == TSR_F32 || w->type == TSR_F16;
    return cuda_weight_stride(w->cols) * (wide ? 4 : 2);
}

template <tsr_dtype T, int M>
void launch(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w, int64_t first,
            const norm_args &norm, const float *clamp)
{
    int64_t groups = cuda_blocks(w->rows, lines_for<M>);
    size_t shared = (size_t)(M * row_bytes_of_x(w));
    int64_t resident = cuda_processors(q) * (2 * (shared + kOwnShared) > linear_most_shared(q) ? 1 : 2);
    cuda_launch(q, "linear", linear_dot_kernel<T, M>, cuda_grid(groups < resident ? groups : resident),
                cuda_grid(kThreads), shared, e, x, (const unsigned char *)w->data, w->rows,
                cuda_weight_stride(w->cols), first, norm, clamp);
}

template <tsr_dtype T>
void launch_rows(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w, int64_t first,
                 int64_t n, const norm_args &norm, const float *clamp)
{
    if (n == 1) launch<T, 1>(q, e, x, w, first, norm, clamp);
    if (n == 2) launch<T, 2>(q, e, x, w, first, norm, clamp);
    if (n == 4) launch<T, 4>(q, e, x, w, first, norm, clamp);
}
} // namespace

int64_t linear_dot_rows(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    int64_t n = rows >= 4 ? 4 : rows >= 2 ? 2 : rows, most = (int64_t)(linear_most_shared(q) - kOwnShared);
    while (n > 0 && n * row_bytes_of_x(w) > most) n /= 2;
    return n;
}

void linear_dot(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, const tsr_linear_opts &o)
{
    linear_end e = linear_end_of(y, w, o);
    norm_args norm = {};
    if (o.norm) {
        norm.w = (const float *)o.norm->w.data;
        norm.b = o.norm->b.rows ? (const float *)o.norm->b.data : nullptr;
        norm.eps = o.norm->eps;
        norm.centred = o.norm->centred;
    }
    const float *clamp = linear_clamp_scale(x, w);
    for (int64_t first = 0, n; first < x.rows; first += n) {
        n = linear_dot_rows(q, w, x.rows - first);
        switch (w->type) {
        case TSR_F32: launch_rows<TSR_F32>(q, e, x, w, first, n, norm, clamp); break;
        case TSR_BF16: launch_rows<TSR_BF16>(q, e, x, w, first, n, norm, clamp); break;
        case TSR_F16: launch_rows<TSR_F16>(q, e, x, w, first, n, norm, clamp); break;
        default: launch_rows<TSR_FP8>(q, e, x, w, first, n, norm, clamp);
        }
    }
}
