/* kernels/cuda/linear_tensor.cu: products on the tensor cores by mma.sync, for any number of rows.
 *
 * Operands are a (16 rows of an instruction) and b (8). With few rows of x the weights are a and x is b, so that
 * no part of an instruction multiplies padding; with many, x is a. Weights of E4M3 are widened in registers: they
 * leave memory as they lie there. x is bf16 (see linear_bf16).
 * Both operands lie in shared memory as they do outside, k running along the row. Rows are padded by 32 bytes (bf16;
 * 16 for E4M3) so that the 32 lanes of a fragment, 8 rows of 4 neighbours, read different banks.
 * Two to four pieces along k are on their way at once, as many as shared memory holds. Where tiles are too few for the device, k is cut in `splits`
 * parts whose sums meet in linear_sum, always in the same order.
 */
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/mma.cuh"

namespace
{
struct operand {
    const unsigned char *data;
    int64_t stride; /* bytes from row to row */
    int rows;
    int bytes; /* of a row that are there, a multiple of 16; zeros behind */
};

/* One operand's tile of ROWS rows and KT elements. */
template <bool FP8, int ROWS, int KT>
struct tile {
    static constexpr int each = FP8 ? 1 : 2;
    static constexpr int pitch = KT * each + (FP8 ? 16 : 32);
    static constexpr int bytes = ROWS * pitch;
    static constexpr int chunks = KT * each / 16; /* of a row */

    /* Start copying rows first .. and elements k .. k + KT of the operand. */
    static __device__ __forceinline__ void fetch(unsigned char *to, const operand &from, int first, int k,
                                                 int threads)
    {
#pragma unroll 4
        for (int i = threadIdx.x; i < ROWS * chunks; i += threads) {
            int row = i / chunks, at = i % chunks * 16, byte = k * each + at;
            bool there = first + row < from.rows && byte < from.bytes;
            const unsigned char *source =
                from.data + (there ? (int64_t)(first + row) * from.stride + byte : 0);
            cuda_copy16(to + row * pitch + at, source, there);
        }
    }

    /* Elements 16 kk + 4t .. + 3 of a row, as two registers of bf16. */
    static __device__ __forceinline__ void read(uint32_t *to, const unsigned char *from, int row, int kk)
    {
        const unsigned char *at = from + row * pitch + (16 * kk + 4 * (threadIdx.x % 4)) * each;
        if (FP8) {
            uint32_t codes = *(const uint32_t *)at;
            to[0] = cuda_widen_fp8x2(codes & 0xffff);
            to[1] = cuda_widen_fp8x2(codes >> 16);
        } else {
            uint2 pair = *(const uint2 *)at;
            to[0] = pair.x, to[1] = pair.y;
        }
    }
};

/* WM x WN warps of MT x NT instructions each. SWAPPED: a is the weight and b is x; otherwise a is x. */
template <bool A8, bool B8, int KT, int WM, int WN, int MT, int NT, bool SWAPPED>
struct plan {
    static constexpr int a_rows = 16 * WM * MT, b_rows = 8 * WN * NT, threads = cuda_warp * WM * WN;
    typedef tile<A8, a_rows, KT> a_tile;
    typedef tile<B8, b_rows, KT> b_tile;
    static constexpr int stage_bytes = a_tile::bytes + b_tile::bytes;
    static constexpr int depth = KT, warps_n = WN, m_tiles = MT, n_tiles = NT;
    static constexpr bool swapped = SWAPPED;
};

/* Blocks: tiles of a, tiles of b, splits of k. With splits, sums go to `partial`, f32 [splits][rows of y][n_out]. */
template <class P>
__global__ void __launch_bounds__(P::threads)
    linear_tensor_kernel(linear_end e, operand a, operand b, int stages, int steps, int steps_each,
                         float *partial)
{
    CUDA_DYNAMIC_SHARED(memory);
    constexpr int MT = P::m_tiles, NT = P::n_tiles;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, g = lane / 4, t = lane % 4;
    int a_first = blockIdx.x * P::a_rows, b_first = blockIdx.y * P::b_rows;
    int a_warp = warp / P::warps_n * MT * 16, b_warp = warp % P::warps_n * NT * 8;
    int begin = blockIdx.z * steps_each, n = steps - begin < steps_each ? steps - begin : steps_each;

    auto fetch = [&](int i, int stage) {
        unsigned char *to = memory + stage * P::stage_bytes;
        if (i < n) {
            P::a_tile::fetch(to, a, a_first, (begin + i) * P::depth, P::threads);
            P::b_tile::fetch(to + P::a_tile::bytes, b, b_first, (begin + i) * P::depth, P::threads);
        }
        cuda_copy_commit(); /* an empty group too: groups are counted */
    };
    cuda_release_next();
    cuda_wait_before();
    for (int i = 0; i < stages - 1; i++) fetch(i, i);

    float d[MT][NT][4] = {};
    int stage = 0, refilled = stages - 1;
    for (int i = 0; i < n; i++) {
        if (stages == 4)
            cuda_copy_wait<2>();
        else if (stages == 3)
            cuda_copy_wait<1>();
        else
            cuda_copy_wait<0>();
        __syncthreads(); /* this stage is there for all, and all have read the one that is refilled */
        fetch(i + stages - 1, refilled);
        const unsigned char *a_at = memory + stage * P::stage_bytes, *b_at = a_at + P::a_tile::bytes;
        refilled = stage;
        stage = stage + 1 < stages ? stage + 1 : 0;
#pragma unroll
        for (int kk = 0; kk < P::depth / 16; kk++) {
            uint32_t from_a[MT][4], from_b[NT][2];
#pragma unroll
            for (int m = 0; m < MT; m++) {
                uint32_t low[2], high[2];
                P::a_tile::read(low, a_at, a_warp + 16 * m + g, kk);
                P::a_tile::read(high, a_at, a_warp + 16 * m + g + 8, kk);
                from_a[m][0] = low[0], from_a[m][1] = high[0], from_a[m][2] = low[1], from_a[m][3] = high[1];
            }
#pragma unroll
            for (int j = 0; j < NT; j++) P::b_tile::read(from_b[j], b_at, b_warp + 8 * j + g, kk);
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int j = 0; j < NT; j++) cuda_mma_bf16(d[m][j], from_a[m], from_b[j]);
        }
    }

    float *sums = partial + blockIdx.z * e.y.rows * e.y.cols;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int j = 0; j < NT; j++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int from_a = a_first + a_warp + 16 * m + g + 8 * half,
                    from_b = b_first + b_warp + 8 * j + 2 * t;
                const float *pair = d[m][j] + 2 * half;
                if (!P::swapped && !partial && from_a < a.rows) {
                    linear_put2(e, pair[0], pair[1], from_a, from_b);
                    continue;
                }
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    int r = P::swapped ? from_b + i : from_a, line = P::swapped ? from_a : from_b + i;
                    if (r >= e.y.rows || line >= e.y.cols) continue;
                    if (partial)
                        sums[r * e.y.cols + line] = pair[i];
                    else
                        linear_put(e, pair[i], r, line);
                }
            }
}

/* How k is cut: so that the tiles fill the device about twice, each part at least 4 steps long. */
struct cut {
    int64_t splits, steps, steps_each;
};

cut cut_of(const tsr_queue *q, int64_t tiles, int64_t k, int depth)
{
    cut c = {1, cuda_blocks(k, depth), 0};
    int64_t wanted = tiles >= cuda_processors(q) ? 1 : 2 * cuda_processors(q) / tiles, most = c.steps / 4;
    c.splits = wanted < most ? wanted : most;
    if (c.splits > 8) c.splits = 8;
    if (c.splits < 1) c.splits = 1;
    c.steps_each = cuda_blocks(c.steps, c.splits);
    c.splits = cuda_blocks(c.steps, c.steps_each);
    return c;
}

template <class P>
cut cut_for(const tsr_queue *q, int64_t rows, const tsr_weight *w)
{
    int64_t x_tile = P::swapped ? P::b_rows : P::a_rows, w_tile = P::swapped ? P::a_rows : P::b_rows;
    int64_t tiles = cuda_blocks(rows, x_tile) * cuda_blocks(w->rows, w_tile);
    return cut_of(q, tiles, cuda_weight_stride(w->cols), P::depth);
}

template <class P>
void launch(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w, float *partial)
{
    int64_t each = (int64_t)tsr_dtype_bytes(w->type), stride = cuda_weight_stride(w->cols) * each;
    operand of_w = {(const unsigned char *)w->data, stride, (int)w->rows, (int)stride};
    operand of_x = {(const unsigned char *)x.data, x.stride * 2, (int)x.rows, (int)x.cols * 2};
    operand a = P::swapped ? of_w : of_x, b = P::swapped ? of_x : of_w;
    cut c = cut_for<P>(q, x.rows, w);
    int stages = 4; /* two blocks on a multiprocessor where they fit */
    size_t most = cuda_capability(q) >= 90 ? linear_most_shared(q) / 2 : linear_most_shared(q);
    while (stages > 2 && (size_t)stages * P::stage_bytes > most) stages--;
    cuda_launch_early(q, "linear", linear_tensor_kernel<P>,
                      cuda_grid(cuda_blocks(a.rows, P::a_rows), cuda_blocks(b.rows, P::b_rows), c.splits),
                      cuda_grid(P::threads), (size_t)stages * P::stage_bytes, e, a, b, stages, (int)c.steps,
                      (int)c.steps_each, c.splits > 1 ? partial : nullptr);
    if (c.splits > 1) linear_sum(q, e, partial, c.splits, 0, w->rows);
}

/* Call f with the plan for so many rows. */
template <bool W8, class F>
void with_plan(int64_t rows, F f)
{
    constexpr int deep = W8 ? 128 : 64; /* 128 bytes of weights in a row */
    if (rows <= 16)
        f(plan<W8, false, deep, 8, 1, 1, 2, true>());
    else if (rows <= 32)
        f(plan<W8, false, deep, 8, 1, 1, 4, true>());
    else if (rows <= CUDA_SKINNY_ROWS)
        f(plan<W8, false, deep, 8, 1, 1, 8, true>());
    else
        f(plan<false, W8, 64, 2, 4, 4, 4, false>());
}

template <class F>
void with_plan_for(const tsr_weight *w, int64_t rows, F f)
{
    if (w->type == TSR_FP8)
        with_plan<true>(rows, f);
    else
        with_plan<false>(rows, f);
}

/* y = x in bf16, the elements of scaled x alone unless they differ along a row; zeros up to y's stride. */
__global__ void linear_bf16_kernel(tsr_view y, tsr_view x, const float *clamp)
{
    cuda_release_next();
    cuda_wait_before();
    int64_t r = blockIdx.x;
    bool scaled = x.scaled == TSR_SCALE_BLOCK;
    for (int64_t c = 8 * (int64_t)threadIdx.x; c < y.stride; c += 8 * (int64_t)blockDim.x) {
        octet o = scaled ? cuda_load_row8(x, r, c) : cuda_load8(cuda_row(x, r), x.type, c, x.cols);
#pragma unroll
        for (int i = 0; i < 8; i++) o.v[i] = linear_clamp(o.v[i], clamp);
        cuda_store8(cuda_row(y, r), TSR_BF16, c, y.stride, o);
    }
}

__global__ void linear_sum_kernel(linear_end e, const float *sums, int64_t planes, int64_t first, int64_t n)
{
    cuda_release_next();
    cuda_wait_before();
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, plane = e.y.rows * n;
    if (i >= plane) return;
    float sum = 0;
    for (int64_t p = 0; p < planes; p++) sum += sums[p * plane + i];
    linear_put(e, sum, i / n, first + i % n);
}
} // namespace

size_t linear_tensor_work(const tsr_queue *q, int64_t rows, const tsr_weight *w)
{
    int64_t splits = 1;
    with_plan_for(w, rows, [&](auto p) { splits = cut_for<decltype(p)>(q, rows, w).splits; });
    if (splits == 1) return 0;
    return tsr_mul(tsr_mul((size_t)splits, (size_t)rows), tsr_mul((size_t)w->rows, sizeof(float)));
}

void linear_tensor(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w, void *work)
{
    with_plan_for(w, x.rows, [&](auto p) { launch<decltype(p)>(q, e, x, w, (float *)work); });
}

size_t linear_bf16_bytes(int64_t rows, const tsr_weight *w)
{
    return tsr_mul((size_t)rows, tsr_mul((size_t)cuda_weight_stride(w->cols), 2));
}

tsr_view linear_bf16(tsr_queue *q, linear_end *e, tsr_view x, const tsr_weight *w, void *memory)
{
    const float *clamp = linear_clamp_scale(x, w);
    if (x.scaled == TSR_SCALE_TENSOR || x.scaled == TSR_SCALE_ROW) {
        e->x_scale = x.scale;
        e->x_scale_stride = x.scale_stride;
    }
    bool aligned = (uintptr_t)x.data % 16 == 0 && x.stride % 8 == 0 && x.cols % 8 == 0;
    if (x.type == TSR_BF16 && aligned && !clamp) return x;
    tsr_view to = tsr_view_of(memory, TSR_BF16, x.rows, cuda_weight_stride(x.cols));
    cuda_launch_early(q, "linear", linear_bf16_kernel, cuda_grid(x.rows), cuda_grid(256), 0, to, x, clamp);
    return to;
}

void linear_sum(tsr_queue *q, const linear_end &e, const float *sums, int64_t planes, int64_t first,
                int64_t n)
{
    cuda_launch_early(q, "linear", linear_sum_kernel, cuda_grid(cuda_blocks(e.y.rows * n, 256)),
                      cuda_grid(256), 0, e, sums, planes, first, n);
}
