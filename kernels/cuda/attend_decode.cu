/* kernels/cuda/attend_decode.cu: one new row per sequence against its pages, at the rate of reading them.
 *
 * The blocks of a cluster share a sequence and a KV head; their warps take tiles of 16 keys in turn, whatever the
 * context is. So nothing depends on step->max_ctx or on other sequences, and a recorded launch stays right while
 * positions grow. A warp multiplies straight from registers while its next tile is under way:
 *   scores  [query heads, keys]  fragment b is keys as they lie: a lane has 16 bytes of one, k runs in their order
 *   sums    [query heads, dims]  fragment b pairs the same dimension of two keys: two loads, interleaved
 * Column 2t + e of product m of the scores is key 4t + 2m + e, so that a lane's weights belong to the keys whose
 * values it has loaded. Rows behind the query heads of the KV head are zeros. What warps, then blocks, have found is
 * joined in their order.
 */
#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/cluster.cuh"

namespace
{
constexpr int decode_tile = 16, decode_heads = 8; /* keys at a time; most query heads of a KV head */

struct decode_args {
    page_source source;
    tsr_view y, x;
    bool write;
};

/* What a lane has of a tile, in pieces of 16 bytes: of each of two keys, and of each of four values. */
template <int DIM, bool FP8>
struct decode_pieces {
    static constexpr int each = FP8 ? 16 : 8; /* elements */
    static constexpr int n_k = DIM / (4 * each), n_v = DIM / (8 * each);
    uint4 k[2][n_k], v[4][n_v];
};

CUDA_INLINE float decode_bf16(uint32_t pair, int i)
{
    return cuda_from_bf16((uint16_t)(pair >> 16 * i));
}

CUDA_INLINE uint32_t decode_word(const uint4 &piece, int i)
{
    return i == 0 ? piece.x : i == 1 ? piece.y : i == 2 ? piece.z : piece.w;
}

/* Element i of two words of keys, as two of bf16 or f16. */
template <bool FP8>
CUDA_INLINE uint32_t decode_pair(uint32_t a, uint32_t b, int i)
{
    if (FP8) return cuda_fp8x2_as_f16(__byte_perm(a, b, (unsigned)(i | (4 + i) << 4)));
    return __byte_perm(a, b, i ? 0x7632u : 0x5410u);
}

template <bool FP8>
CUDA_INLINE uint32_t decode_round(float low, float high)
{
    return FP8 ? cuda_to_f16x2(low, high) : cuda_to_bf16x2(low, high);
}

template <bool FP8>
CUDA_INLINE void decode_mma(float *d, const uint32_t *a, const uint32_t *b)
{
    if (FP8)
        cuda_mma_f16(d, a, b);
    else
        cuda_mma_bf16(d, a, b);
}

/* The new key and value of a sequence at position p, by one warp. */
CUDA_INLINE void decode_store(const decode_args &a, const page_keys &keys, int64_t i, int64_t kv_head, int p)
{
    const tsr_heads &h = a.source.heads;
    const tsr_pages &pages = a.source.pages;
    int d = (int)h.head_dim;
    for (int c = threadIdx.x % cuda_warp * 8; c < 2 * d; c += cuda_warp * 8) {
        bool is_key = c < d;
        unsigned char *to = (unsigned char *)(uintptr_t)(is_key ? keys.key(p) : keys.value(p));
        int64_t head = is_key ? h.n_q + kv_head : h.n_q + h.n_kv + kv_head;
        if (!to) continue;
        octet o = cuda_load8(cuda_row(a.x, i) + head * d * 2, TSR_BF16, c % d, d);
        if (pages.type == TSR_FP8)
            cuda_quantise8(to, c % d, d, o, is_key ? *pages.k_scale : *pages.v_scale);
        else
            cuda_store8(to, pages.type, c % d, d, o);
    }
    __threadfence();
    __syncwarp(); /* the warp reads them back */
}

/* Queries of this lane's row of fragment a. For f16 they are first brought to [1, 2), by a power of 2 that is
 * returned: f16 then drops only what is 2^-24 of the largest. */
template <int DIM, bool FP8>
CUDA_INLINE float decode_query(uint32_t (*query)[2], const unsigned char *from, bool there)
{
    constexpr int each = decode_pieces<DIM, FP8>::each;
    int t = threadIdx.x % 4;
    uint2 words[DIM / 16];
#pragma unroll
    for (int s = 0; s < DIM / 16; s++) {
        int c = s / (each / 4) * 4 * each + t * each + s % (each / 4) * 4;
        words[s] = there ? *(const uint2 *)(from + 2 * c) : make_uint2(0, 0);
    }
    float size = 1;
    if (FP8) {
        float most = 0;
#pragma unroll
        for (int s = 0; s < DIM / 16; s++)
            most = fmaxf(most,
                         fmaxf(fmaxf(fabsf(decode_bf16(words[s].x, 0)), fabsf(decode_bf16(words[s].x, 1))),
                               fmaxf(fabsf(decode_bf16(words[s].y, 0)), fabsf(decode_bf16(words[s].y, 1)))));
        most = fmaxf(most, __shfl_xor_sync(cuda_all_lanes, most, 1));
        most = fmaxf(most, __shfl_xor_sync(cuda_all_lanes, most, 2));
        uint32_t exponent = __float_as_uint(most) & 0x7f800000u; /* within what has a normal reciprocal */
        size = __uint_as_float(exponent < 0x01000000u   ? 0x01000000u
                               : exponent > 0x7e000000u ? 0x7e000000u
                                                        : exponent);
    }
#pragma unroll
    for (int s = 0; s < DIM / 16; s++) {
        query[s][0] = words[s].x, query[s][1] = words[s].y;
        if (FP8)
            for (int k = 0; k < 2; k++) {
                uint32_t w = k ? words[s].y : words[s].x;
                query[s][k] = cuda_to_f16x2(decode_bf16(w, 0) / size, decode_bf16(w, 1) / size);
            }
    }
    return size;
}

/* Blocks: KV heads times the blocks of a cluster; decode rows. */
template <int DIM, bool FP8, int WARPS>
__global__ void __launch_bounds__(WARPS *cuda_warp, 8 / WARPS) attend_decode_kernel(decode_args a)
{
    typedef decode_pieces<DIM, FP8> pieces;
    constexpr int each = pieces::each, kThreads = WARPS * cuda_warp;
    constexpr float kLift = FP8 ? 15 : 0; /* weights up to 2^15: f16 loses those below 2^-29 */
    __shared__ float sums[WARPS][decode_heads][DIM];
    __shared__ float warp_most[WARPS][decode_heads], warp_total[WARPS][decode_heads];
    __shared__ float most_of[decode_heads], total_of[decode_heads];
    const page_source &s = a.source;
    const tsr_heads &h = s.heads;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, g = lane / 4, t = lane % 4;
    int ranks = (int)cuda_cluster_size(), rank = (int)cuda_cluster_rank(), group = (int)(h.n_q / h.n_kv);
    int64_t i = blockIdx.y, kv_head = blockIdx.x / ranks;

    cuda_release_next();
    cuda_wait_before();
    int n = s.sees(i, 0), n_tiles = (n + decode_tile - 1) / decode_tile;
    int begin = rank * WARPS + warp, step = ranks * WARPS;
    page_keys keys = s.keys(i, kv_head);
    if (a.write && (n_tiles - 1) % step == begin) decode_store(a, keys, i, kv_head, n - 1);

    /* Always the whole tile, so that no load waits for another: what may not be read as it is is dropped when it is
     * used. Page -1 is read as page 0. */
    pieces there;
    auto page_of = [&](int tile) {
        int at = tile * decode_tile / keys.page_tokens;
        return at < s.max_pages ? keys.pages[at] : -1;
    };
    auto place_of = [&](int tile, int page) {
        return (page < 0 ? 0 : page) * keys.page_bytes +
               tile * decode_tile % keys.page_tokens * (int)keys.token_bytes;
    };
    auto load_keys = [&](int tile, int page) {
        const unsigned char *from = keys.k + place_of(tile, page);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int c = 0; c < pieces::n_k; c++)
                there.k[m][c] =
                    ((const uint4 *)(from + (g / 2 * 4 + 2 * m + g % 2) * (int)keys.token_bytes))[c * 4 + t];
    };
    auto load_values = [&](int tile, int page) {
        const unsigned char *from = keys.v + place_of(tile, page);
#pragma unroll
        for (int r = 0; r < 4; r++)
#pragma unroll
            for (int c = 0; c < pieces::n_v; c++)
                there.v[r][c] = ((const uint4 *)(from + (4 * t + r) * (int)keys.token_bytes))[c * 8 + g];
    };

    int page = page_of(begin), next_page = page_of(begin + step);
    if (begin < n_tiles) {
        load_keys(begin, page);
        load_values(begin, page);
    }
    uint32_t query[DIM / 16][2];
    float size = decode_query<DIM, FP8>(query, cuda_row(a.x, i) + (kv_head * group + g) * DIM * 2, g < group);
    const float scale =
        h.scale * 1.44269504f * size * (FP8 ? *s.pages.k_scale : 1); /* weights are powers of 2 */
    float out[DIM / 8][4] = {}, most = -INFINITY, total = 0;

    for (int tile = begin; tile < n_tiles; tile += step) {
        int next = tile + step, page_after = page_of(next + step);
        float p[2][4] = {};
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int c = 0; c < pieces::n_k; c++) {
                const uint4 &piece = there.k[m][c];
#pragma unroll
                for (int word = 0; word < each / 4; word++) {
                    const uint32_t *q_words = query[c * (each / 4) + word];
                    uint32_t fragment_a[4] = {q_words[0], 0, q_words[1], 0}, fragment_b[2];
                    if (FP8) {
                        uint32_t codes = decode_word(piece, word);
                        fragment_b[0] = cuda_fp8x2_as_f16(codes & 0xffff);
                        fragment_b[1] = cuda_fp8x2_as_f16(codes >> 16);
                    } else {
                        fragment_b[0] = decode_word(piece, 2 * word);
                        fragment_b[1] = decode_word(piece, 2 * word + 1);
                    }
                    decode_mma<FP8>(p[m], fragment_a, fragment_b);
                }
            }

        if (next < n_tiles) load_keys(next, next_page);

        float max = most;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                p[m][e] = page < 0 ? 0 : p[m][e] * scale;
                if (tile * decode_tile + 4 * t + 2 * m + e >= n) p[m][e] = -INFINITY;
                max = fmaxf(max, p[m][e]);
            }
        max = fmaxf(max, __shfl_xor_sync(cuda_all_lanes, max, 1));
        max = fmaxf(max, __shfl_xor_sync(cuda_all_lanes, max, 2));
        float base = max == -INFINITY ? 0 : max - kLift, factor = exp2f(most - kLift - base);
        most = max;
        total *= factor;
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 2; e++) total += p[m][e] = exp2f(p[m][e] - base);
        uint32_t weights[4] = {decode_round<FP8>(p[0][0], p[0][1]), 0, decode_round<FP8>(p[1][0], p[1][1]),
                               0};
        if (page < 0 || (tile + 1) * decode_tile > n) { /* what is not seen may be NaN */
#pragma unroll
            for (int r = 0; r < 4; r++)
#pragma unroll
                for (int c = 0; c < pieces::n_v; c++)
                    if (page < 0 || tile * decode_tile + 4 * t + r >= n)
                        there.v[r][c] = make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int c = 0; c < pieces::n_v; c++) {
#pragma unroll
            for (int k = 0; k < each; k++) {
                int word = k / (each / 4), element = k % (each / 4);
                uint32_t fragment_b[2];
#pragma unroll
                for (int half = 0; half < 2; half++)
                    fragment_b[half] = decode_pair<FP8>(decode_word(there.v[2 * half][c], word),
                                                        decode_word(there.v[2 * half + 1][c], word), element);
                float *d = out[c * each + k];
                d[0] *= factor, d[1] *= factor;
                decode_mma<FP8>(d, weights, fragment_b);
            }
        }
        if (next < n_tiles) load_values(next, next_page);
        page = next_page, next_page = page_after;
    }

    /* The warps of the block. */
    total += __shfl_xor_sync(cuda_all_lanes, total, 1);
    total += __shfl_xor_sync(cuda_all_lanes, total, 2);
    if (t == 0) warp_most[warp][g] = most, warp_total[warp][g] = total;
    __syncthreads();
    auto shrink = [](float from, float to) { return from == -INFINITY ? 0 : exp2f(from - to); };
    float block_most = -INFINITY, block_total = 0;
    for (int w = 0; w < WARPS; w++) block_most = fmaxf(block_most, warp_most[w][g]);
    for (int w = 0; w < WARPS; w++) block_total += warp_total[w][g] * shrink(warp_most[w][g], block_most);
    if (warp == 0 && t == 0) most_of[g] = block_most, total_of[g] = block_total;
    float factor = shrink(most, block_most);
    if (g < group) {
#pragma unroll
        for (int k = 0; k < DIM / 8; k++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                sums[warp][g][k / each * 8 * each + (2 * t + e) * each + k % each] = out[k][e] * factor;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < group * DIM; e += kThreads) {
        float sum = 0;
        for (int w = 0; w < WARPS; w++) sum += sums[w][e / DIM][e % DIM];
        sums[0][e / DIM][e % DIM] = sum;
    }

    /* The blocks of the cluster: each writes its part of the heads. */
    cuda_cluster_sync();
    float v_scale = FP8 ? *s.pages.v_scale : 1;
    for (int e = 2 * (rank * kThreads + (int)threadIdx.x); e < group * DIM; e += 2 * ranks * kThreads) {
        int head = e / DIM;
        float most_all = -INFINITY, total_all = 0, low = 0, high = 0;
        for (int r = 0; r < ranks; r++)
            most_all = fmaxf(most_all, cuda_cluster_load(&most_of[head], (unsigned)r));
        for (int r = 0; r < ranks; r++) {
            float part = shrink(cuda_cluster_load(&most_of[head], (unsigned)r), most_all);
            total_all += part * cuda_cluster_load(&total_of[head], (unsigned)r);
            low += part * cuda_cluster_load(&sums[0][head][e % DIM], (unsigned)r);
            high += part * cuda_cluster_load(&sums[0][head][e % DIM + 1], (unsigned)r);
        }
        attend_put2(a.y, i, kv_head * group * DIM + e, low / total_all * v_scale, high / total_all * v_scale);
    }
    cuda_cluster_sync(); /* nobody leaves while another reads */
}

} // namespace

/* Everything at multiples of 16 bytes, pages of whole tiles. */
bool attend_decode_fits(const tsr_view &x, const tsr_pages &p, const tsr_heads &h)
{
    bool size = p.type == TSR_FP8 ? h.head_dim == 128 : h.head_dim == 64 || h.head_dim == 128;
    return size && x.type == TSR_BF16 && (p.type == TSR_BF16 || p.type == TSR_FP8) &&
           h.n_q / h.n_kv <= decode_heads && p.page_tokens % decode_tile == 0 &&
           attend_aligned(x.data, x.stride * 2, h) && attend_aligned(p.k, p.page_stride, h) &&
           attend_aligned(p.v, p.page_stride, h);
}

void attend_decode(tsr_queue *q, const char *op, const page_source &source, const tsr_view &y,
                   const tsr_view &x, bool write, int64_t n_decode)
{
    decode_args a = {source, y, x, write};
    const tsr_heads &h = a.source.heads;
    /* About 1,024 warps keep the memory busy; more would have more to join. There are clusters on Hopper alone. */
    int64_t pairs = n_decode * h.n_kv, cluster = pairs <= 16 ? 8 : pairs <= 32 ? 4 : pairs <= 64 ? 2 : 1;
    if (cuda_capability(q) < 90) cluster = 1;
    bool fp8 = a.source.pages.type == TSR_FP8, wide = pairs <= 128;
    auto launch = [&](auto kernel) {
        cuda_launch_as(q, op, {(unsigned)cluster, true}, kernel, cuda_grid(h.n_kv * cluster, n_decode),
                       cuda_grid((wide ? 8 : 4) * cuda_warp), 0, a);
    };
    if (h.head_dim == 64)
        launch(wide ? attend_decode_kernel<64, false, 8> : attend_decode_kernel<64, false, 4>);
    else if (fp8)
        launch(wide ? attend_decode_kernel<128, true, 8> : attend_decode_kernel<128, true, 4>);
    else
        launch(wide ? attend_decode_kernel<128, false, 8> : attend_decode_kernel<128, false, 4>);
}
