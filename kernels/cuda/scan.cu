/* kernels/cuda/scan.cu: the state space recurrence: a step for decode rows, pieces of chunks for the others.
 *
 * A piece of rows i = 0 .. n-1 (at most 128) that enters with state H, with s_i the sum of dt a up to row i
 * included, in five kernels:
 *
 *   prepare     dt_i, s_i
 *   products    G_ij = C_i B_j, once per group
 *   states      S = sum over j of exp(s_n-1 - s_j) dt_j x_j B_j', what the piece alone leaves
 *   carry       H of the next piece = exp(s_n-1) H + S, along each sequence; H takes the place of S
 *   outputs     y_i = exp(s_i) (C_i H') + sum over j <= i of G_ij exp(s_i - s_j) dt_j x_j + skip x_i
 *
 * All but carry run for all pieces at once. The exponents are differences, never above 0 because a < 0 and
 * dt >= 0; the mask is a choice, not a product. The sums s are taken in double and kept as two floats each: they
 * reach hundreds where one step forgets everything, and the difference of neighbours must not have their rounding.
 * Pieces are cut by position, so that a row's result does not depend on where its prompt was cut into steps at such
 * places. Source: arXiv:2405.21060, section 6.
 */
#include "kernels/cuda/scan.cuh"

namespace
{

constexpr int threads = 256, piece_rows = cuda_max_piece;

struct plain_args : scan_args {
    float *products; /* [place][group][j][i], transposed */
    float *dts;      /* [place][head][row]; 0 behind the last row */
    float2 *sums;    /* [place][head][row], of dt a: rounded, and the rest; the last one is repeated */
    float *states;   /* [place][head][head_dim][d_state] */
};

CUDA_INLINE const float *xbc_row(const plain_args &a, int64_t row)
{
    return (const float *)a.xbc.data + row * a.xbc.stride;
}

/* ---------------------------------------------------------------- one step ------------------------------ */

/* Grid: heads, decode sequences. */
template <int lanes, int vectors>
__global__ void __launch_bounds__(threads) scan_step_kernel(plain_args a)
{
    __shared__ head_step of_head;
    cuda_wait_before();
    int head = blockIdx.x, group = head / (a.m.n_heads / a.m.n_groups);
    int64_t i = blockIdx.y;
    state_rows h = cuda_state_rows(a.ssm, a.step, i, (int64_t)head * a.m.head_dim * a.m.d_state);
    state_part<lanes, vectors> part;
    part.load(h, threadIdx.x / cuda_warp * part.warp_rows, a.m.head_dim, a.m.d_state);
    if (threadIdx.x == 0) of_head = cuda_head_step(a.m, a.dt, i, head);
    __syncthreads();
    const float *row = xbc_row(a, i), *b = row + a.m.d + group * a.m.d_state,
                *c = b + a.m.n_groups * a.m.d_state;
    cuda_state_step(part, h, (float *)cuda_row(a.y, i) + head * a.m.head_dim, row + head * a.m.head_dim, b, c,
                    &of_head, a.m.head_dim, a.m.head_dim, a.m.d_state);
}

/* ---------------------------------------------------------------- prepare ------------------------------- */

constexpr int prepare_rows = 16, prepare_parts = piece_rows / prepare_rows;

/* Grid: pieces, 32 heads each, sequences. A thread has 16 rows of one head. */
__global__ void prepare_kernel(plain_args a)
{
    __shared__ double totals[prepare_parts][cuda_warp];
    cuda_wait_before();
    piece at = piece_of(a, a.step.n_decode + blockIdx.z, blockIdx.x);
    if (at.n == 0) return;
    int head = blockIdx.y * cuda_warp + threadIdx.x, part = threadIdx.y;
    float dts[prepare_rows];
    double sum = 0;
#pragma unroll
    for (int k = 0; k < prepare_rows; k++) {
        int i = part * prepare_rows + k;
        dts[k] = 0;
        if (head < a.m.n_heads && i < at.n)
            dts[k] = cuda_dt(a.m, cuda_load(cuda_row(a.dt, at.row + i), a.dt.type, head), head);
        sum += dts[k];
    }
    totals[part][threadIdx.x] = sum;
    __syncthreads();
    if (head >= a.m.n_heads) return;
    double before = 0;
    for (int k = 0; k < part; k++) before += totals[k][threadIdx.x];
    int64_t to = ((int64_t)at.place * a.m.n_heads + head) * piece_rows + part * prepare_rows;
    double rate = a.m.a[head];
#pragma unroll
    for (int k = 0; k < prepare_rows; k += 4) {
        double s[4];
        for (int e = 0; e < 4; e++) {
            before += dts[k + e];
            s[e] = before * rate;
        }
        *(float4 *)(a.dts + to + k) = make_float4(dts[k], dts[k + 1], dts[k + 2], dts[k + 3]);
        for (int e = 0; e < 4; e += 2) {
            float s0 = (float)s[e], s1 = (float)s[e + 1];
            *(float4 *)(a.sums + to + k + e) =
                make_float4(s0, (float)(s[e] - (double)s0), s1, (float)(s[e + 1] - (double)s1));
        }
    }
}

/* s_i - s_j */
CUDA_INLINE float between(float2 i, float2 j)
{
    return (i.x - j.x) + (i.y - j.y);
}

/* ---------------------------------------------------------------- products of tiles --------------------- */

constexpr int tile_i = 128, tile_p = 64, slab = 16, pad = 4;

struct __align__(16) tile_memory
{
    float a[slab][tile_i + pad], b[slab][tile_p + pad];
};

/* A block's tile of 128 by 64 sums; a thread has rows 4 ti .. + 3, 64 + 4 ti .. + 3 and columns 4 tp .. + 3. */
struct tile {
    float sum[8][4];

    __device__ static int row(int k) { return 4 * (threadIdx.x % 16) + k % 4 + k / 4 * (tile_i / 2); }
    __device__ static int column(int k) { return 4 * (threadIdx.x / 16) + k; }
};

/* sum[i][p] += sum over k < depth of a(k, i) b(k, p). Where `a_along_k`, neighbouring threads ask for
 * neighbouring k, else for neighbouring i; b likewise. All threads of the block call. */
template <bool a_along_k, bool b_along_k, typename A, typename B>
CUDA_INLINE void add_product(tile &t, tile_memory &s, int depth, A a, B b)
{
    for (int base = 0; base < depth; base += slab) {
        float next_a[slab * tile_i / threads], next_b[slab * tile_p / threads];
#pragma unroll
        for (int n = 0; n < slab * tile_i / threads; n++) {
            int at = threadIdx.x + n * threads, k = a_along_k ? at % slab : at / tile_i;
            next_a[n] = base + k < depth ? a(base + k, a_along_k ? at / slab : at % tile_i) : 0;
        }
#pragma unroll
        for (int n = 0; n < slab * tile_p / threads; n++) {
            int at = threadIdx.x + n * threads, k = b_along_k ? at % slab : at / tile_p;
            next_b[n] = base + k < depth ? b(base + k, b_along_k ? at / slab : at % tile_p) : 0;
        }
        __syncthreads(); /* the last slab has been read */
#pragma unroll
        for (int n = 0; n < slab * tile_i / threads; n++) {
            int at = threadIdx.x + n * threads;
            s.a[a_along_k ? at % slab : at / tile_i][a_along_k ? at / slab : at % tile_i] = next_a[n];
        }
#pragma unroll
        for (int n = 0; n < slab * tile_p / threads; n++) {
            int at = threadIdx.x + n * threads;
            s.b[b_along_k ? at % slab : at / tile_p][b_along_k ? at / slab : at % tile_p] = next_b[n];
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < slab; k++) {
            float4 low = *(const float4 *)&s.a[k][tile::row(0)],
                   high = *(const float4 *)&s.a[k][tile::row(4)];
            float4 right = *(const float4 *)&s.b[k][tile::column(0)];
            const float left[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
            for (int i = 0; i < 8; i++) {
                t.sum[i][0] += left[i] * right.x;
                t.sum[i][1] += left[i] * right.y;
                t.sum[i][2] += left[i] * right.z;
                t.sum[i][3] += left[i] * right.w;
            }
        }
    }
}

/* ---------------------------------------------------------------- products, states ---------------------- */

/* Grid: pieces, groups times halves of a piece's j, sequences. */
__global__ void __launch_bounds__(threads, 2) products_kernel(plain_args a)
{
    __shared__ tile_memory s;
    cuda_wait_before();
    constexpr int halves = piece_rows / tile_p;
    piece at = piece_of(a, a.step.n_decode + blockIdx.z, blockIdx.x);
    int group = blockIdx.y / halves, first = blockIdx.y % halves * tile_p;
    if (first >= at.n) return;
    int b = a.m.d + group * a.m.d_state, c = b + a.m.n_groups * a.m.d_state, stride = (int)a.xbc.stride;
    const float *rows = xbc_row(a, at.row); /* 32 bits reach over a piece */
    tile t = {};
    add_product<true, true>(
        t, s, a.m.d_state, [&](int k, int i) { return i < at.n ? rows[i * stride + c + k] : 0; },
        [&](int k, int j) { return first + j < at.n ? rows[(first + j) * stride + b + k] : 0; });
    float *to = a.products + ((int64_t)at.place * a.m.n_groups + group) * piece_rows * piece_rows;
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 8; i += 4)
            *(float4 *)(to + (first + tile::column(j)) * piece_rows + tile::row(i)) =
                make_float4(t.sum[i][j], t.sum[i + 1][j], t.sum[i + 2][j], t.sum[i + 3][j]);
}

/* A head, and which tile of it a block has; tiles of p vary fastest, then tiles of n. */
struct head_tile {
    int head, group, p, n;
};

CUDA_INLINE head_tile head_tile_of(const mixer_shape &m, int block, int n_tiles)
{
    int p_tiles = (m.head_dim + tile_p - 1) / tile_p, head = block / (p_tiles * n_tiles);
    return head_tile{head, head / (m.n_heads / m.n_groups), block % p_tiles * tile_p,
                     block / p_tiles % n_tiles * tile_i};
}

/* Grid: pieces, heads times tiles of p and of n, sequences. */
__global__ void __launch_bounds__(threads, 2) states_kernel(plain_args a)
{
    __shared__ tile_memory s;
    __shared__ float weight[piece_rows];
    cuda_wait_before();
    piece at = piece_of(a, a.step.n_decode + blockIdx.z, blockIdx.x);
    if (at.n == 0) return;
    head_tile h = head_tile_of(a.m, blockIdx.y, (a.m.d_state + tile_i - 1) / tile_i);
    int64_t per_head = ((int64_t)at.place * a.m.n_heads + h.head) * piece_rows;
    for (int j = threadIdx.x; j < at.n; j += threads)
        weight[j] = expf(between(a.sums[per_head + at.n - 1], a.sums[per_head + j])) * a.dts[per_head + j];
    __syncthreads();

    int b = a.m.d + h.group * a.m.d_state + h.n, x = h.head * a.m.head_dim + h.p, stride = (int)a.xbc.stride;
    const float *rows = xbc_row(a, at.row);
    tile t = {};
    add_product<false, false>(
        t, s, at.n, [&](int j, int n) { return h.n + n < a.m.d_state ? rows[j * stride + b + n] : 0; },
        [&](int j, int p) { return h.p + p < a.m.head_dim ? rows[j * stride + x + p] * weight[j] : 0; });
    float *to = a.states + ((int64_t)at.place * a.m.n_heads + h.head) * a.m.head_dim * a.m.d_state;
    bool whole = a.m.d_state % 4 == 0;
#pragma unroll
    for (int p = 0; p < 4; p++)
#pragma unroll
        for (int n = 0; n < 8; n += 4)
            if (h.p + tile::column(p) < a.m.head_dim)
                cuda_store4(to + (h.p + tile::column(p)) * a.m.d_state, h.n + tile::row(n), a.m.d_state,
                            whole,
                            make_float4(t.sum[n][p], t.sum[n + 1][p], t.sum[n + 2][p], t.sum[n + 3][p]));
}

/* ---------------------------------------------------------------- carry --------------------------------- */

/* Grid: a head's state, heads, sequences. A thread carries four elements along its sequence. */
__global__ void carry_kernel(plain_args a)
{
    cuda_wait_before();
    int64_t i = a.step.n_decode + blockIdx.z, count = n_pieces(a, i);
    int size = a.m.head_dim * a.m.d_state, at = 4 * (blockIdx.x * blockDim.x + threadIdx.x),
        head = blockIdx.y;
    if (count == 0 || at >= size) return;
    int32_t slot = a.step.slot[i];
    void *state = slot < 0 ? nullptr : cuda_slot(a.ssm, slot);
    int64_t first = (int64_t)head * size; /* in the slot */
    bool whole = size % 4 == 0;
    float4 h = make_float4(0, 0, 0, 0);
    if (cuda_continues(a.step, i)) h = cuda_state_load4(state, a.ssm.type, first + at, first + size);

    int64_t place = first_place(a, i), stride = (int64_t)a.m.n_heads * size;
    float *piece = a.states + place * stride + (int64_t)head * size;
    const float2 *sum = a.sums + (place * a.m.n_heads + head) * piece_rows + piece_rows - 1;
    float4 next = cuda_load4(piece, at, size, whole);
    for (int64_t k = 0; k < count; k++, piece += stride, sum += a.m.n_heads * piece_rows) {
        float4 own = next;
        if (k + 1 < count) next = cuda_load4(piece + stride, at, size, whole); /* under way during this one */
        float decay = expf(sum->x);
        cuda_store4(piece, at, size, whole, h);
        h.x = decay * h.x + own.x, h.y = decay * h.y + own.y;
        h.z = decay * h.z + own.z, h.w = decay * h.w + own.w;
    }
    if (state)
        cuda_state_store4(state, a.ssm.type, first + at, first + size, h,
                          a.step.pos[i] + a.step.spans.start[i + 1] - a.step.spans.start[i]);
}

/* ---------------------------------------------------------------- outputs ------------------------------- */

/* Grid: pieces, heads times tiles of p, sequences. */
__global__ void __launch_bounds__(threads, 2) outputs_kernel(plain_args a)
{
    __shared__ tile_memory s;
    __shared__ float dt[piece_rows];
    __shared__ float2 sum[piece_rows];
    cuda_wait_before();
    piece at = piece_of(a, a.step.n_decode + blockIdx.z, blockIdx.x);
    if (at.n == 0) return;
    head_tile h = head_tile_of(a.m, blockIdx.y, 1);
    int64_t per_head = ((int64_t)at.place * a.m.n_heads + h.head) * piece_rows;
    for (int j = threadIdx.x; j < piece_rows; j += threads) {
        dt[j] = a.dts[per_head + j];
        sum[j] = a.sums[per_head + j];
    }
    __syncthreads();

    int c = a.m.d + (a.m.n_groups + h.group) * a.m.d_state, x = h.head * a.m.head_dim + h.p;
    int stride = (int)a.xbc.stride;
    const float *rows = xbc_row(a, at.row);
    const float *state =
        a.states + (((int64_t)at.place * a.m.n_heads + h.head) * a.m.head_dim + h.p) * a.m.d_state;
    tile t = {};
    add_product<true, true>(
        t, s, a.m.d_state, [&](int n, int i) { return i < at.n ? rows[i * stride + c + n] : 0; },
        [&](int n, int p) { return h.p + p < a.m.head_dim ? state[p * a.m.d_state + n] : 0; });
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float rise = expf(sum[tile::row(i)].x);
#pragma unroll
        for (int p = 0; p < 4; p++) t.sum[i][p] *= rise;
    }
    const float *products =
        a.products + ((int64_t)at.place * a.m.n_groups + h.group) * piece_rows * piece_rows;
    add_product<false, false>(
        t, s, at.n,
        [&](int j, int i) {
            return j <= i && i < at.n ? products[j * piece_rows + i] * expf(between(sum[i], sum[j])) * dt[j]
                                      : 0;
        },
        [&](int j, int p) { return h.p + p < a.m.head_dim ? rows[j * stride + x + p] : 0; });

    float skip = a.m.skip[h.head];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (tile::row(i) >= at.n) continue;
        int64_t row = at.row + tile::row(i);
        const float *from = rows + tile::row(i) * stride + x;
        float *to = (float *)cuda_row(a.y, row) + x;
#pragma unroll
        for (int p = 0; p < 4; p++) {
            int column = tile::column(p);
            if (h.p + column < a.m.head_dim) to[column] = t.sum[i][p] + skip * from[column];
        }
    }
}

/* ---------------------------------------------------------------- launchers ----------------------------- */

plain_args args_of(tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                   const tsr_step *step)
{
    plain_args a = {};
    a.y = y, a.xbc = xbc, a.dt = dt, a.m = cuda_mixer_shape(m), a.ssm = ssm, a.step = *step;
    return a;
}

void scan_decode(tsr_queue *q, const plain_args &a)
{
    cuda_by_state(q, "scan", a.m.d_state, [&](auto width) {
        using w = decltype(width);
        cuda_launch_early(q, "scan", scan_step_kernel<w::lanes, w::vectors>,
                          cuda_grid(a.m.n_heads, a.step.n_decode), threads, 0, a);
    });
}

} // namespace

size_t cuda_scan_prefill_work(const tsr_mixer *m, const tsr_step *step)
{
    size_t state = tsr_mul((size_t)tsr_mixer_d(m), (size_t)m->d_state), places = scan_places(m, step);
    size_t each = tsr_add(tsr_mul((size_t)m->n_groups, piece_rows * piece_rows),
                          tsr_add(tsr_mul((size_t)m->n_heads, 3 * piece_rows), state));
    return tsr_mul(places, tsr_mul(each, sizeof(float)));
}

void cuda_scan_prefill(tsr_queue *q, void *work, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                       tsr_slots ssm, const tsr_step *step)
{
    int64_t n_seqs = step->n_seqs - step->n_decode;
    if (n_seqs == 0) return;
    plain_args a = args_of(y, xbc, dt, m, ssm, step);
    int64_t n_places = (int64_t)scan_places(m, step), longest = scan_longest(m, step);
    a.products = (float *)work;
    a.dts = a.products + n_places * m->n_groups * piece_rows * piece_rows;
    a.sums = (float2 *)(a.dts + n_places * m->n_heads * piece_rows);
    a.states = (float *)(a.sums + n_places * m->n_heads * piece_rows);

    int64_t p_tiles = cuda_blocks(m->head_dim, tile_p), n_tiles = cuda_blocks(m->d_state, tile_i);
    cuda_launch_early(q, "scan", prepare_kernel,
                      cuda_grid(longest, cuda_blocks(m->n_heads, cuda_warp), n_seqs),
                      dim3(cuda_warp, prepare_parts), 0, a);
    cuda_launch_early(q, "scan", products_kernel,
                      cuda_grid(longest, m->n_groups * (piece_rows / tile_p), n_seqs), threads, 0, a);
    cuda_launch_early(q, "scan", states_kernel, cuda_grid(longest, m->n_heads * p_tiles * n_tiles, n_seqs),
                      threads, 0, a);
    cuda_launch_early(q, "scan", carry_kernel,
                      cuda_grid(cuda_blocks(m->head_dim * m->d_state, 4 * threads), m->n_heads, n_seqs),
                      threads, 0, a);
    cuda_launch_early(q, "scan", outputs_kernel, cuda_grid(longest, m->n_heads * p_tiles, n_seqs), threads, 0,
                      a);
}

size_t tsr_cuda_scan_work(const tsr_queue *q, const tsr_mixer *m, const tsr_step *step)
{
    (void)q;
    return cuda_scan_prefill_work(m, step);
}

void tsr_cuda_scan(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                   const tsr_step *step)
{
    scan_decode(q, args_of(y, xbc, dt, m, ssm, step));
    cuda_scan_prefill(q, q->work, y, xbc, dt, m, ssm, step);
}
