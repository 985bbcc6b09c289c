/* kernels/cuda/scan_tensor.cu: the state space recurrence over many rows on tensor cores, in bf16.
 *
 * Formulas are those of scan.cu. Two kernels:
 *
 *   prepare    G_ij = C_i B_j for j <= i, once per group; dt and sums of dt a of its heads
 *   scan       a block has a head of a sequence and goes along it piece by piece; the state never leaves the chip.
 *              What the next piece needs arrives while this one is computed.
 *
 * In the last one each warp has 16 rows of y: exp(s_i) (C_i H') and, 16 columns j at a time, G_ij, weighted, times
 * x_j. Then it has a part of the state: H = exp(s_last) H + sum over j of (w_j x_j) B_j', w_j = exp(s_last - s_j) dt_j,
 * in f32 in registers. A copy in bf16 is what the next piece multiplies by C.
 * Exponents are sums of three parts, none above 0: from row j to the end of its 16 rows (u_j, found once, with dt_j),
 * from there to the 16 rows of i, and from their beginning to i. On the diagonal the difference itself is taken,
 * and d is added there.
 * Rounded to bf16 once: x, B, C, G and G weighted, w_j x_j, H, y. Sums, decays and the state are f32.
 * Warp k of the first four has rows 16 k, warp 4 + k rows 16 (7 - k): work grows along the piece, and the warps k and
 * 4 + k share a quarter of the multiprocessor. Source: arXiv:2405.21060, section 6.
 */
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/scan.cuh"

namespace
{

constexpr int piece_rows = cuda_max_piece, n_blocks = piece_rows / 16, threads = n_blocks * cuda_warp;
constexpr int n_products = n_blocks * (n_blocks + 1) / 2;

/* What a piece needs to know of a head's steps. Sums of dt a are in units of log 2. */
struct steps {
    float rise[piece_rows]; /* sum from the first of the 16 rows, the row included */
    float dt[piece_rows];   /* 0 behind the last row */
    float u[piece_rows];    /* 2^(rise of the last of the 16 rows - rise) dt */
    float2 end[n_blocks];   /* sum from the first row to the last of 16: rounded, and the rest */
};

struct tensor_args : scan_args {
    steps *steps_of; /* [place][head] */
    uint4 *products; /* [place][group][block of i, blocks of j up to it][lane]: fragments a */
};

/* ---------------------------------------------------------------- shared memory ------------------------- */

/* Heads of P columns and states of N. The state is divided among the warps by P_PARTS along P and the rest along N.
 * With two stages the next piece arrives while this one is computed. */
template <int P, int N, int P_PARTS, int STAGES>
struct plan {
    static constexpr int p = P, n = N, p_parts = P_PARTS, n_parts = n_blocks / P_PARTS;
    static constexpr int b_at = piece_rows * P * 2, c_at = b_at + piece_rows * N * 2;
    static constexpr int steps_at = c_at + piece_rows * N * 2;
    static constexpr int stage_bytes = steps_at + (int)sizeof(steps), state_bytes = P * N * 2;
    static constexpr int deep = N <= 128 ? N / 16 : 4; /* steps along N at once */
    static constexpr int stages = STAGES, bytes = stages * stage_bytes + 2 * state_bytes;
};

/* The 16 rows of a warp. */
CUDA_INLINE int block_of(int warp)
{
    return warp < n_blocks / 2 ? warp : n_blocks + n_blocks / 2 - 1 - warp;
}

/* Where 16 bytes of a row of `units` times 16 bytes lie. Rows are not padded; of one unit, eight neighbouring rows
 * lie in different banks. */
template <int units>
CUDA_INLINE int place_of(int row, int unit)
{
    static_assert(units % 8 == 0 || units == 10, "rows of 64, 80, 128, 256 elements");
    return 16 * (row * units + (unit ^ (units % 8 == 0 ? row % 8 : row / 4 % 2)));
}

/* Fragments (mma.cuh) are read from a matrix by two ways to lay 16 rows and two units out over the lanes: `tall` for
 * a that lies [m][k] and b that lies [k][n], by rows of 16; `square` for b that lies [n][k] and a that lies [k][m], by
 * rows of 8. These are places of the first two units of rows 0 .. 15; rows further on are added, units further on
 * by `along`, two at a time. */
template <int units>
CUDA_INLINE int tall_place()
{
    int lane = threadIdx.x % cuda_warp;
    return place_of<units>(lane % 16, lane / 16);
}

template <int units>
CUDA_INLINE int square_place()
{
    int lane = threadIdx.x % cuda_warp;
    return place_of<units>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
}

template <int units>
CUDA_INLINE int along(int place, int pairs)
{
    return units % 8 == 0 ? place ^ 32 * pairs : place + 32 * pairs;
}

/* ---------------------------------------------------------------- along a sequence ---------------------- */

/* Start copying a matrix of `units` per row, zeros from row n on. */
template <int units>
CUDA_INLINE void fetch_rows(unsigned char *to, const uint16_t *from, int stride, int n)
{
    constexpr int step = threads / units;           /* rows at a time */
    if (step * units == threads && step % 8 == 0) { /* a thread stays with its unit, and with its bank */
        int row = threadIdx.x / units, unit = threadIdx.x % units;
        unsigned char *at = to + place_of<units>(row, unit);
        const uint16_t *source = from + row * stride + 8 * unit;
        int64_t further = (int64_t)step * stride;
        auto copy = [&](bool all) {
#pragma unroll
            for (int k = 0; k < piece_rows / step; k++, source += further)
                cuda_copy16(at + k * step * units * 16, source, all || row + k * step < n);
        };
        if (n == piece_rows)
            copy(true);
        else
            copy(false);
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < piece_rows * units; i += threads)
            cuda_copy16(to + place_of<units>(i / units, i % units), from + i / units * stride + i % units * 8,
                        i / units < n);
    }
}

/* x * (high + low), rounded once, of two bf16 each */
CUDA_INLINE uint32_t weigh(uint32_t x, uint32_t high, uint32_t low)
{
    return cuda_fma_bf16x2(x, high, cuda_fma_bf16x2(x, low, 0x80008000u));
}

/* ---------------------------------------------------------------- what heads share, and their steps ----- */

/* Steps of head first + lane; each warp has 16 rows. All threads of the block call. */
CUDA_INLINE void find_steps(const tensor_args &a, const piece &at, int first, int end)
{
    __shared__ float totals[n_blocks][cuda_warp];
    int lane = threadIdx.x % cuda_warp, block = threadIdx.x / cuda_warp, head = first + lane;
    bool there = head < end;
    float dt[16], rise[16], sum = 0, rate = there ? a.m.a[head] * 1.44269504f : 0;
#pragma unroll
    for (int k = 0; k < 16; k++) {
        int i = 16 * block + k;
        dt[k] = there && i < at.n ? cuda_load(cuda_row(a.dt, at.row + i), a.dt.type, head) : 0;
    }
#pragma unroll
    for (int k = 0; k < 16; k++) {
        dt[k] = there && 16 * block + k < at.n ? cuda_dt(a.m, dt[k], head) : 0;
        sum += dt[k];
        rise[k] = sum * rate;
    }
    __syncthreads(); /* whoever still reads the sums of other heads */
    totals[block][lane] = rise[15];
    __syncthreads();
    if (!there) return;
    steps *to = a.steps_of + (int64_t)at.place * a.m.n_heads + head;
#pragma unroll
    for (int k = 0; k < 16; k += 4) {
        float u[4];
#pragma unroll
        for (int e = 0; e < 4; e++) u[e] = exp2f(rise[15] - rise[k + e]) * dt[k + e];
        *(float4 *)(to->rise + 16 * block + k) = make_float4(rise[k], rise[k + 1], rise[k + 2], rise[k + 3]);
        *(float4 *)(to->dt + 16 * block + k) = make_float4(dt[k], dt[k + 1], dt[k + 2], dt[k + 3]);
        *(float4 *)(to->u + 16 * block + k) = make_float4(u[0], u[1], u[2], u[3]);
    }
    double total =
        0; /* hundreds where one step forgets everything: differences must not have their rounding */
    for (int k = 0; k <= block; k++) total += totals[k][lane];
    to->end[block] = make_float2((float)total, (float)(total - (double)(float)total));
}

/* Grid: pieces, groups, sequences. */
template <int N>
__global__ void __launch_bounds__(threads) prepare_kernel(tensor_args a)
{
    CUDA_DYNAMIC_SHARED(memory);
    constexpr int n_units = N / 8, k_steps = N / 16, sixteen = 16 * 2 * N; /* bytes of 16 rows */
    int lane = threadIdx.x % cuda_warp, block = block_of(threadIdx.x / cuda_warp), group = blockIdx.y;
    cuda_wait_before();
    piece at = piece_of(a, a.step.n_decode + blockIdx.z, blockIdx.x);
    if (at.n == 0) return;
    unsigned char *b = memory, *c = b + piece_rows * N * 2;
    int stride = (int)a.xbc.stride;
    const uint16_t *from = (const uint16_t *)a.xbc.data + (int64_t)at.row * stride + a.m.d + group * N;
    fetch_rows<n_units>(b, from, stride, at.n);
    fetch_rows<n_units>(c, from + a.m.n_groups * N, stride, at.n);
    cuda_copy_commit();
    int in_group = a.m.n_heads / a.m.n_groups;
    for (int k = 0; k < in_group; k += cuda_warp) /* while B and C travel */
        find_steps(a, at, group * in_group + k, (group + 1) * in_group);
    cuda_copy_wait<0>();
    __syncthreads();
    if (16 * block >= at.n) return;

    uint4 *to =
        a.products +
        (((int64_t)at.place * a.m.n_groups + group) * n_products + block * (block + 1) / 2) * cuda_warp +
        lane;
#pragma unroll 1
    for (int j = 0; j <= block; j++) {
        float sum[2][2][4] = {}; /* of even and odd steps, so that more instructions are under way */
#pragma unroll
        for (int kk = 0; kk < k_steps; kk++) {
            uint32_t of_c[4], of_b[4];
            cuda_load_matrices(of_c, c + block * sixteen + along<n_units>(tall_place<n_units>(), kk));
            cuda_load_matrices(of_b, b + j * sixteen + along<n_units>(square_place<n_units>(), kk));
            cuda_mma_bf16(sum[kk % 2][0], of_c, of_b);
            cuda_mma_bf16(sum[kk % 2][1], of_c, of_b + 2);
        }
        uint32_t g[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int tile = e / 2, first = 2 * (e % 2);
            g[e] = quick_bf16x2(sum[0][tile][first] + sum[1][tile][first],
                                sum[0][tile][first + 1] + sum[1][tile][first + 1]);
        }
        to[j * cuda_warp] = make_uint4(g[0], g[1], g[2], g[3]);
    }
}

/* ---------------------------------------------------------------- the scan ------------------------------ */

/* i - j of two ends */
CUDA_INLINE float between(float2 i, float2 j)
{
    return (i.x - j.x) + (i.y - j.y);
}

/* Grid: heads, sequences behind the decode rows. */
template <class T>
__global__ void __launch_bounds__(threads, 1) scan_tensor_kernel(tensor_args a)
{
    CUDA_DYNAMIC_SHARED(memory);
    constexpr int P = T::p, N = T::n, x_units = P / 8, n_units = N / 8, k_steps = N / 16, y_tiles = P / 16;
    constexpr int m_tiles = P / 16 / T::p_parts, n_tiles = N / 16 / T::n_parts;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, g = lane / 4, t = lane % 4;
    int head = blockIdx.x, group = head / (a.m.n_heads / a.m.n_groups), block = block_of(warp);
    int state_row = warp % T::p_parts * 16 * m_tiles, state_col = warp / T::p_parts * 16 * n_tiles;
    constexpr int x_sixteen = 16 * 2 * P, n_sixteen = 16 * 2 * N; /* bytes of 16 rows */
    int tall_x = tall_place<x_units>(), tall_n = tall_place<n_units>(), square_n = square_place<n_units>();
    int of_state_x = along<x_units>(square_place<x_units>(), state_row / 16);
    int of_state_b = along<n_units>(tall_n, state_col / 16);

    cuda_wait_before();
    int64_t i = a.step.n_decode + blockIdx.y;
    int start = a.step.spans.start[i], count = n_pieces(a, i), place = first_place(a, i);
    if (count == 0) return;
    walk at(a.m, a.step.pos[i], a.step.spans.start[i + 1] - start), ahead = at;
    int32_t slot = a.step.slot[i];
    void *kept = slot < 0 ? nullptr : cuda_slot(a.ssm, slot);
    int stride = (int)a.xbc.stride;
    unsigned char *states = memory + T::stages * T::stage_bytes;
    unsigned char *out = cuda_row(a.y, start) + 2 * head * P;
    int64_t out_stride = 2 * a.y.stride;

    auto fetch = [&](int k) { /* piece k, which `ahead` is at */
                              if (k < count) {
                                  int first, n;
                                  ahead.rows(a.m, first, n);
                                  ahead.next(a.m);
                                  unsigned char *to = memory + (T::stages == 2 ? k % 2 : 0) * T::stage_bytes;
                                  const uint16_t *from =
                                      (const uint16_t *)a.xbc.data + (int64_t)(start + first) * stride;
                                  fetch_rows<x_units>(to, from + head * P, stride, n);
                                  fetch_rows<n_units>(to + T::b_at, from + a.m.d + group * N, stride, n);
                                  fetch_rows<n_units>(to + T::c_at, from + a.m.d + (a.m.n_groups + group) * N,
                                                      stride, n);
                                  const steps *of_head =
                                      a.steps_of + (int64_t)(place + k) * a.m.n_heads + head;
                                  if (threadIdx.x < sizeof(steps) / 16)
                                      cuda_copy16(to + T::steps_at + 16 * threadIdx.x,
                                                  (const uint4 *)of_head + threadIdx.x, true);
                              }
                              cuda_copy_commit();
    };
    fetch(0);

    /* The state: rows state_row + 16 m + g and + 8, columns state_col + 8 c + 2 t and + 1. */
    float h[m_tiles][2 * n_tiles][4];
    auto each_of_state = [&](auto f) { /* f(pair of neighbours, row, column) */
#pragma unroll
                                       for (int m = 0; m < m_tiles; m++)
#pragma unroll
                                           for (int c = 0; c < 2 * n_tiles; c++)
#pragma unroll
                                               for (int half = 0; half < 2; half++)
                                                   f(h[m][c] + 2 * half, state_row + 16 * m + g + 8 * half,
                                                     state_col + 8 * c + 2 * t);
    };
    auto publish = [&](unsigned char *to) {
        each_of_state([&](const float *pair, int row, int column) {
            *(uint32_t *)(to + place_of<n_units>(row, column / 8) + column % 8 * 2) =
                quick_bf16x2(pair[0], pair[1]);
        });
    };
    bool fresh = !cuda_continues(a.step, i);
    each_of_state([&](float *pair, int row, int column) {
        pair[0] = pair[1] = 0;
        if (!fresh) scan_load_state2(pair, kept, a.ssm.type, (head * P + row) * N + column);
    });
    publish(states);

    float skip = a.m.skip[head];
#pragma unroll 1
    for (int k = 0; k < count; k++) {
        if (T::stages == 1 && k > 0) {
            __syncthreads(); /* all are done with the only stage */
            fetch(k);
        }
        int first, n;
        at.rows(a.m, first, n);
        at.next(a.m);
        uint4 of_g[n_blocks - 1], diagonal = make_uint4(0, 0, 0, 0); /* of this piece, on their way */
        if (16 * block < n) {
            const uint4 *from =
                a.products +
                (((int64_t)(place + k) * a.m.n_groups + group) * n_products + block * (block + 1) / 2) *
                    cuda_warp +
                lane;
#pragma unroll
            for (int j = 0; j < n_blocks - 1; j++)
                if (j < block) of_g[j] = from[j * cuda_warp];
            diagonal = from[block * cuda_warp];
        }
        cuda_copy_wait<0>();
        __syncthreads(); /* this piece and the state before it are there for all, and all are done with the last */
        if (T::stages == 2) fetch(k + 1);
        unsigned char *x = memory + (T::stages == 2 ? k % 2 : 0) * T::stage_bytes;
        unsigned char *b = x + T::b_at, *c = x + T::c_at;
        const unsigned char *before = states + k % 2 * T::state_bytes;
        const steps &of = *(const steps *)(x + T::steps_at);

        if (16 * block < n) {
            float y[2 * y_tiles][4] = {};
#pragma unroll T::deep
            for (int kk = 0; kk < k_steps; kk++) {
                uint32_t of_c[4];
                cuda_load_matrices(of_c, c + block * n_sixteen + along<n_units>(tall_n, kk));
#pragma unroll
                for (int m = 0; m < y_tiles; m++) {
                    uint32_t of_h[4];
                    cuda_load_matrices(of_h, before + m * n_sixteen + along<n_units>(square_n, kk));
                    cuda_mma_bf16(y[2 * m], of_c, of_h);
                    cuda_mma_bf16(y[2 * m + 1], of_c, of_h + 2);
                }
            }
            float2 begin = block ? of.end[block - 1] : make_float2(0, 0);
            float entered = quick_exp2(begin.x);
#pragma unroll
            for (int m = 0; m < 2 * y_tiles; m++)
#pragma unroll
                for (int e = 0; e < 4; e++) y[m][e] *= entered;

            auto add = [&](const uint32_t *weights,
                           int j) { /* times the 16 rows j of x */
#pragma unroll
                                    for (int m = 0; m < y_tiles; m++) {
                                        uint32_t of_x[4];
                                        cuda_load_transposed(of_x,
                                                             x + j * x_sixteen + along<x_units>(tall_x, m));
                                        cuda_mma_bf16(y[2 * m], weights, of_x);
                                        cuda_mma_bf16(y[2 * m + 1], weights, of_x + 2);
                                    }
            };
#pragma unroll
            for (int j = 0; j < n_blocks - 1; j++)
                if (j < block) {
                    float fall = quick_exp2(between(begin, of.end[j]));
                    const uint32_t products[4] = {of_g[j].x, of_g[j].y, of_g[j].z, of_g[j].w};
                    uint32_t weights[4];
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        float2 u = *(const float2 *)(of.u + 16 * j + 8 * (e / 2) + 2 * t);
                        weights[e] = quick_bf16x2(quick_low(products[e]) * (u.x * fall),
                                                  quick_high(products[e]) * (u.y * fall));
                    }
                    add(weights, j);
                }
            const float mine[2] = {of.rise[16 * block + g], of.rise[16 * block + g + 8]};
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float fall = quick_exp2(mine[half]);
#pragma unroll
                for (int m = 0; m < 2 * y_tiles; m++) y[m][2 * half] *= fall, y[m][2 * half + 1] *= fall;
            }
            const uint32_t products[4] = {diagonal.x, diagonal.y, diagonal.z, diagonal.w};
            uint32_t weights[4];
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = g + e % 2 * 8, column = e / 2 * 8 + 2 * t;
                float2 rise = *(const float2 *)(of.rise + 16 * block + column);
                float2 dt = *(const float2 *)(of.dt + 16 * block + column);
                float w0 = quick_low(products[e]) * quick_exp2(mine[e % 2] - rise.x) * dt.x;
                float w1 = quick_high(products[e]) * quick_exp2(mine[e % 2] - rise.y) * dt.y;
                w0 = column < row ? w0 : column == row ? w0 + skip : 0;
                w1 = column + 1 < row ? w1 : column + 1 == row ? w1 + skip : 0;
                weights[e] = quick_bf16x2(w0, w1);
            }
            add(weights, block);

            /* Out through the rows of C that no other warp reads. */
            __syncwarp();
#pragma unroll
            for (int m = 0; m < 2 * y_tiles; m++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    *(uint32_t *)(c + place_of<n_units>(16 * block + g + 8 * half, m) + 4 * t) =
                        quick_bf16x2(y[m][2 * half], y[m][2 * half + 1]);
            __syncwarp();
            constexpr int together = cuda_warp / x_units; /* rows */
            int row = lane / x_units, unit = lane % x_units;
            unsigned char *to = out + (first + 16 * block + row) * out_stride + 16 * unit;
#pragma unroll
            for (int r = 0; r < 16; r += together, to += together * out_stride)
                if (row < together && r + row < 16 && 16 * block + r + row < n)
                    *(uint4 *)to = *(const uint4 *)(c + place_of<n_units>(16 * block + r + row, unit));
        }

        float2 last = of.end[n_blocks - 1];
        float decay = exp2f(last.x);
        each_of_state([&](float *pair, int, int) { pair[0] *= decay, pair[1] *= decay; });
#pragma unroll 2
        for (int j = 0; j < n_blocks; j++) { /* rows behind the last have u = 0 */
            float fall = quick_exp2(between(last, of.end[j]));
            uint32_t high[2], low[2], of_b[n_tiles][4];
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float2 u = *(const float2 *)(of.u + 16 * j + 8 * e + 2 * t);
                float w0 = u.x * fall, w1 = u.y * fall;
                high[e] = quick_bf16x2(w0, w1);
                low[e] = quick_bf16x2(w0 - quick_low(high[e]), w1 - quick_high(high[e]));
            }
#pragma unroll
            for (int c = 0; c < n_tiles; c++)
                cuda_load_transposed(of_b[c], b + j * n_sixteen + along<n_units>(of_state_b, c));
#pragma unroll
            for (int m = 0; m < m_tiles; m++) {
                uint32_t of_x[4];
                cuda_load_transposed(of_x, x + j * x_sixteen + along<x_units>(of_state_x, m));
#pragma unroll
                for (int e = 0; e < 4; e++) of_x[e] = weigh(of_x[e], high[e / 2], low[e / 2]);
#pragma unroll
                for (int c = 0; c < n_tiles; c++) {
                    cuda_mma_bf16(h[m][2 * c], of_x, of_b[c]);
                    cuda_mma_bf16(h[m][2 * c + 1], of_x, of_b[c] + 2);
                }
            }
        }
        publish(states + (k + 1) % 2 * T::state_bytes);
    }
    if (kept)
        each_of_state([&](const float *pair, int row, int column) {
            scan_store_state2(kept, a.ssm.type, (head * P + row) * N + column, pair, at.end);
        });
}

/* ---------------------------------------------------------------- launchers ----------------------------- */

/* Call f with the plan for such a layer, if there is one. */
template <class F>
void with_plan(const tsr_queue *q, const tsr_mixer *m, F f)
{
    int most = (cuda_capability(q) >= 90   ? 227
                : cuda_capability(q) == 80 ? 163
                                           : 99)
               << 10; /* shared memory */
    auto choose = [&](auto two, auto one) {
        if (decltype(two)::bytes <= most)
            f(two);
        else if (decltype(one)::bytes <= most)
            f(one);
    };
    if (m->head_dim == 64 && m->d_state == 128) choose(plan<64, 128, 2, 2>(), plan<64, 128, 2, 1>());
    if (m->head_dim == 80 && m->d_state == 128) choose(plan<80, 128, 1, 2>(), plan<80, 128, 1, 1>());
    if (m->head_dim == 64 && m->d_state == 256) choose(plan<64, 256, 2, 1>(), plan<64, 256, 2, 1>());
}

size_t steps_bytes(const tsr_mixer *m, const tsr_step *step)
{
    return tsr_mul(scan_places(m, step), tsr_mul((size_t)m->n_heads, sizeof(steps)));
}

} // namespace

bool scan_tensor_takes(const tsr_queue *q, const tsr_mixer *m)
{
    bool takes = false;
    with_plan(q, m, [&](auto) { takes = true; });
    return takes;
}

size_t scan_tensor_work(const tsr_mixer *m, const tsr_step *step)
{
    size_t products = tsr_mul((size_t)m->n_groups, n_products * cuda_warp * sizeof(uint4));
    return tsr_add(steps_bytes(m, step), tsr_mul(scan_places(m, step), products));
}

void scan_tensor(tsr_queue *q, void *work, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                 tsr_slots ssm, const tsr_step *step)
{
    tensor_args a = {};
    a.y = y, a.xbc = xbc, a.dt = dt, a.m = cuda_mixer_shape(m), a.ssm = ssm, a.step = *step;
    a.steps_of = (steps *)work;
    a.products = (uint4 *)((unsigned char *)work + steps_bytes(m, step));
    int64_t longest = scan_longest(m, step), n_seqs = step->n_seqs - step->n_decode;
    with_plan(q, m, [&](auto p) {
        using T = decltype(p);
        cuda_launch_early(q, "scan", prepare_kernel<T::n>, cuda_grid(longest, m->n_groups, n_seqs), threads,
                          (size_t)2 * piece_rows * T::n * 2, a);
        cuda_launch_early(q, "scan", scan_tensor_kernel<T>, cuda_grid(m->n_heads, n_seqs), threads,
                          (size_t)T::bytes, a);
    });
}
