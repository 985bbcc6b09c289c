/* kernels/cuda/attend_wgmma.cu: softmax attention on Hopper's asynchronous tensor cores, for many rows of bf16.
 *
 * A block has 64 rows of queries for each of its warpgroups, and one warpgroup more that fetches tiles of keys and
 * values with the copy engine, two ahead. A warpgroup starts the scores of the next tile, then the sums over the
 * values of this one, and finds the weights of the next tile while the sums still run; they may take turns, so that one
 * multiplies while another takes exponentials. Source: arXiv:2407.08608.
 *
 * A tile's row is (row of x, head): the query heads of one KV head share their keys. Keys go upwards from 0, which
 * every row sees, so that a running maximum is never empty.
 */

#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/attend_hopper.cuh"
#include "kernels/cuda/mma.cuh"

namespace
{
constexpr int kGroup = 128; /* threads of a warpgroup */
constexpr int kStages = 2;  /* tiles of keys, and of values, in shared memory */

/* What the copy engine knows of queries, keys and values. */
struct tile_maps {
    CUtensorMap q, k, v;
};

/* Heads of DIM dimensions, KEYS keys at a time, GROUPS warpgroups of 64 rows; whether these take turns. What is measured
 * best: three that take turns where exponentials take as long as products; two left alone where products rule. */
template <int DIM, int KEYS, int GROUPS, bool TURNS, bool CODES = false>
struct shape {
    enum { dim = DIM, keys = KEYS, groups = GROUPS, rows = 64 * GROUPS, turns = TURNS, codes = CODES };
    enum { q_half = rows * 128, half = KEYS * 128 }; /* bytes of 64 columns of a tile */
    enum { q_bytes = rows * DIM * 2, tile_bytes = KEYS * DIM * 2 };
    enum { few = DIM == 64 };                      /* wider heads have no registers for it */
    enum { staging = CODES ? 2 * KEYS * DIM : 0 }; /* codes of two tiles on their way */
    static constexpr size_t shared = 1024 + q_bytes + 2 * kStages * tile_bytes + staging;
};
typedef shape<64, 128, 3, true> narrow_heads;
typedef shape<128, 128, 2, false> wide_heads;
typedef shape<128, 128, 2, false, true> wide_heads_fp8;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

CUDA_INLINE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

struct barriers {
    uint64_t q, k_full[kStages], v_full[kStages], k_empty[kStages], v_empty[kStages];
};

/* One tile of keys (k) or values of a span. */
template <int DIM, int KEYS>
CUDA_INLINE void copy_tile(const span_source &s, const tile_maps &maps, bool k, unsigned char *to,
                           uint64_t *barrier, int64_t i, int64_t kv_head, int from, int, int)
{
    int head = (int)(s.heads.n_q + (k ? 0 : s.heads.n_kv) + kv_head);
    if (threadIdx.x % cuda_warp == 0)
        for (int h = 0; h < DIM / 64; h++)
            hopper_copy(to + h * KEYS * 128, &maps.k, barrier, 64 * h, head, s.start[i] + from);
}

/* The same of pages, 64 keys at a time; `ids` is lane l's page, of keys first + 64 l and on. Page -1 lies outside
 * the tensor: zeros. */
template <int DIM, int KEYS>
CUDA_INLINE void copy_tile(const page_source &s, const tile_maps &maps, bool k, unsigned char *to,
                           uint64_t *barrier, int64_t, int64_t kv_head, int from, int first, int ids)
{
    for (int c = 0; c < KEYS / 64; c++) {
        int page = __shfl_sync(cuda_all_lanes, ids, (from - first) / 64 + c);
        if (threadIdx.x % cuda_warp == 0)
            for (int h = 0; h < DIM / 64; h++)
                hopper_copy(to + h * KEYS * 128 + c * 64 * 128, k ? &maps.k : &maps.v, barrier, 64 * h,
                            (int)((from + 64 * c) % s.pages.page_tokens), (int)kv_head, page);
    }
}

CUDA_INLINE int page_of(const span_source &, int64_t, int, int)
{
    return 0;
}
CUDA_INLINE int page_of(const page_source &s, int64_t i, int p, int n)
{
    return p < n ? s.table[i * s.max_pages + p / (int)s.pages.page_tokens] : -1;
}

/* By one warp: all tiles of keys and values, as stages become free. */
template <int DIM, int KEYS, class S>
CUDA_INLINE void fetch_tiles(const S &source, const tile_maps &maps, barriers *b, unsigned char *tiles,
                             int64_t i, int64_t kv_head, int n)
{
    constexpr int kBytes = KEYS * DIM * 2,
                  kAhead = cuda_warp * 64 / KEYS; /* tiles whose pages the lanes hold */
    int n_tiles = (n + KEYS - 1) / KEYS, lane = threadIdx.x % cuda_warp;
    int ids = 0, first = 0, v_ids = 0, v_first = 0;
    auto copy = [&](int j, bool k, int group, int page_ids) {
        int stage = j % kStages;
        uint64_t *full = k ? &b->k_full[stage] : &b->v_full[stage];
        hopper_await(k ? &b->k_empty[stage] : &b->v_empty[stage], (j / kStages & 1) ^ 1);
        if (lane == 0) hopper_expect(full, kBytes);
        __syncwarp();
        copy_tile<DIM, KEYS>(source, maps, k, tiles + ((k ? 0 : kStages) + stage) * kBytes, full, i, kv_head,
                             j * KEYS, group, page_ids);
    };
    for (int j = 0; j <= n_tiles; j++) {
        if (j % kAhead == 0 && j < n_tiles) first = j * KEYS, ids = page_of(source, i, first + 64 * lane, n);
        if (j < n_tiles) copy(j, true, first, ids);
        if (j > 0) copy(j - 1, false, v_first, v_ids);
        v_first = first, v_ids = ids;
    }
}

template <int DIM, int KEYS>
CUDA_INLINE void fetch_codes(const span_source &, barriers *, unsigned char *, unsigned char *, int64_t,
                             int64_t, int)
{
}

/* The same of pages of FP8, by all threads of the warpgroup: each copies pieces of 16 codes and widens those that it
 * has copied. Tiles come in the order in which they are multiplied: keys 0, keys 1, values 0, keys 2, values 1 ... */
template <int DIM, int KEYS>
CUDA_INLINE void fetch_codes(const page_source &s, barriers *b, unsigned char *tiles, unsigned char *staging,
                             int64_t i, int64_t kv_head, int n)
{
    constexpr int kPieces = DIM / 16, kRows = kGroup / kPieces, kEach = KEYS / kRows;
    page_keys keys = s.keys(i, kv_head);
    int thread = threadIdx.x % kGroup, piece = thread % kPieces, n_tiles = (n + KEYS - 1) / KEYS;
    auto is_key = [&](int c) { return c == 0 || (c % 2 == 1 && (c + 1) / 2 < n_tiles); };
    auto tile_of = [&](int c) { return is_key(c) ? (c + 1) / 2 : c % 2 ? n_tiles - 1 : c / 2 - 1; };
    auto slot = [&](int c, int k) { return staging + ((c % 2 * kEach + k) * kGroup + thread) * 16; };
    auto ask = [&](int c) {
        const unsigned char *base = is_key(c) ? keys.k : keys.v;
        if (c < 2 * n_tiles)
#pragma unroll
            for (int k = 0; k < kEach; k++) {
                int p = tile_of(c) * KEYS + thread / kPieces + k * kRows;
                const unsigned char *from = p < n ? keys.at(base, p) : nullptr;
                cuda_copy16(slot(c, k), from ? from + piece * 16 : base, from != nullptr);
            }
        cuda_copy_commit();
    };
    ask(0);
    for (int c = 0; c < 2 * n_tiles; c++) {
        ask(c + 1);
        cuda_copy_wait<1>();
        int j = tile_of(c), stage = j % kStages;
        hopper_await(is_key(c) ? &b->k_empty[stage] : &b->v_empty[stage], (j / kStages & 1) ^ 1);
        unsigned char *tile = tiles + ((is_key(c) ? 0 : kStages) + stage) * KEYS * DIM * 2;
#pragma unroll
        for (int k = 0; k < kEach; k++) {
            uint4 codes = *(const uint4 *)slot(c, k);
            int row = thread / kPieces + k * kRows, at = piece % 4 * 2;
            unsigned char *to = tile + piece / 4 * KEYS * 128 + row * 128;
            *(uint4 *)(to + (at ^ row % 8) * 16) =
                make_uint4(cuda_widen_fp8x2(codes.x & 0xffff), cuda_widen_fp8x2(codes.x >> 16),
                           cuda_widen_fp8x2(codes.y & 0xffff), cuda_widen_fp8x2(codes.y >> 16));
            *(uint4 *)(to + ((at + 1) ^ row % 8) * 16) =
                make_uint4(cuda_widen_fp8x2(codes.z & 0xffff), cuda_widen_fp8x2(codes.z >> 16),
                           cuda_widen_fp8x2(codes.w & 0xffff), cuda_widen_fp8x2(codes.w >> 16));
        }
        hopper_publish();
        hopper_arrive(is_key(c) ? &b->k_full[stage] : &b->v_full[stage]);
    }
}

/* Blocks: tiles of a sequence's queries, the last first as they see most; KV heads; sequences. */
template <class SHAPE, class S>
__global__ void __launch_bounds__(kGroup *(SHAPE::groups + 1), 1)
    attend_wgmma_kernel(const __grid_constant__ tile_maps maps, S source, tsr_view y, int64_t first_seq)
{
    typedef SHAPE at;
    constexpr int DIM = at::dim, KEYS = at::keys, GROUPS = at::groups;
    constexpr int kProducer = at::codes ? 56 : GROUPS == 2 ? 24 : 32;
    constexpr int kConsumer = at::codes ? 224 : GROUPS == 2 ? 240 : 160;
    CUDA_DYNAMIC_SHARED(memory);
    __shared__ barriers b;
    unsigned char *queries = memory + (1024 - (hopper_shared(memory) & 1023)) % 1024,
                  *tiles = queries + at::q_bytes;

    const tsr_heads &h = source.heads;
    int group = (int)(h.n_q / h.n_kv), wg = threadIdx.x / kGroup;
    int64_t i = first_seq + blockIdx.z, kv_head = blockIdx.y, first = source.start[i];
    int rows = (source.start[i + 1] - (int)first) * group,
        tile = (int)(gridDim.x - 1 - blockIdx.x) * at::rows;
    if (tile >= rows) return;
    int last = (tile + at::rows < rows ? tile + at::rows : rows) - 1;
    int n = source.sees(i, last / group), active = (last - tile) / 64 + 1;

    if (threadIdx.x == 0) {
        hopper_barrier_open(&b.q, 1);
        for (int s = 0; s < kStages; s++) {
            hopper_barrier_open(&b.k_full[s], at::codes ? kGroup : 1);
            hopper_barrier_open(&b.v_full[s], at::codes ? kGroup : 1);
            hopper_barrier_open(&b.k_empty[s], 4 * active);
            hopper_barrier_open(&b.v_empty[s], 4 * active);
        }
        hopper_barriers_opened();
    }
    __syncthreads();

    if (wg == GROUPS) {
        hopper_give_registers<kProducer>();
        if (!at::codes && threadIdx.x / cuda_warp != 4 * GROUPS) return;
        if (threadIdx.x == kGroup * GROUPS) {
            hopper_expect(&b.q, at::q_bytes);
            for (int half = 0; half < DIM / 64; half++)
                hopper_copy(queries + half * at::q_half, &maps.q, &b.q, 64 * half, (int)kv_head * group,
                            (int)first + tile / group);
        }
        __syncwarp();
        if (at::codes)
            fetch_codes<DIM, KEYS>(source, &b, tiles, tiles + 2 * kStages * at::tile_bytes, i, kv_head, n);
        else
            fetch_tiles<DIM, KEYS>(source, maps, &b, tiles, i, kv_head, n);
        return;
    }
    hopper_take_registers<kConsumer>();
    if (wg >= active) return;

    /* This lane's two rows of the warp's 16. */
    int lane = threadIdx.x % cuda_warp, t = lane % 4;
    int row = tile + 64 * wg + threadIdx.x % kGroup / cuda_warp * 16 + lane / 4, sees[2];
    for (int k = 0; k < 2; k++) sees[k] = row + 8 * k < rows ? source.sees(i, (row + 8 * k) / group) : 1;
    int least = source.sees(i, (tile + 64 * wg) / group), n_tiles = (n + KEYS - 1) / KEYS;
    /* As of 1,025 tokens the last one. */
    bool few = n_tiles > 1 && n - (n_tiles - 1) * KEYS <= at::few;
    if (few) n_tiles--;
    const float scale = h.scale * source.k_scale() * 1.44269504f; /* weights are powers of 2 */
    float s[KEYS / 2], out[DIM / 2], most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0}, factor[2];
    uint32_t weights[KEYS / 4];

    auto start_scores = [&](auto &s, int j) {
        uint64_t q_tile = hopper_tile(queries + wg * 64 * 128),
                 k_tile = hopper_tile(tiles + j % kStages * at::tile_bytes);
        hopper_begin();
#pragma unroll
        for (int k = 0; k < DIM / 16; k++)
            hopper_scores(s, hopper_further(q_tile, k / 4 * at::q_half + k % 4 * 32),
                          hopper_further(k_tile, k / 4 * at::half + k % 4 * 32), k > 0);
        hopper_commit();
    };
    auto values_of = [&](int j) { return tiles + (kStages + j % kStages) * at::tile_bytes; };
    auto start_sums = [&](int j) {
        uint64_t v_tile = hopper_tile_down(values_of(j), at::half);
        hopper_begin();
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++)
            hopper_sums(out, weights + 4 * k, hopper_further(v_tile, k * 16 * 128), j > 0 || k > 0);
        hopper_commit();
    };
    auto release = [&](uint64_t *empty) {
        __syncwarp();
        if (lane == 0) hopper_arrive(empty);
    };
    /* Values that no row sees may be anything: they are not to be multiplied, not even by 0. */
    auto clear_values = [&](int j, int keys) {
        int there = n - j * KEYS;
        for (int c = threadIdx.x % kGroup; c < (keys - there) * 8; c += kGroup)
            for (int half = 0; half < DIM / 64; half++)
                *(uint4 *)(values_of(j) + half * at::half + there * 128 + c * 16) = make_uint4(0, 0, 0, 0);
        hopper_publish();
        hopper_meet(1 + GROUPS + wg, kGroup);
    };
    /* Scores of keys `first` and on become weights; `factor` is what earlier sums shrink by. */
    auto soften = [&](auto &s, int first) {
        constexpr int n_scores = sizeof s / sizeof *s;
        if (first + 2 * n_scores > least) {
#pragma unroll
            for (int e = 0; e < n_scores; e++)
                if (first + e / 4 * 8 + 2 * t + e % 2 >= sees[e / 2 % 2]) s[e] = -INFINITY;
        }
        float base[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            float max = most[k];
#pragma unroll
            for (int e = 0; e < n_scores / 2; e++) max = fmaxf(max, s[e / 2 * 4 + 2 * k + e % 2]);
            max = fmaxf(max, __shfl_xor_sync(cuda_all_lanes, max, 1));
            max = fmaxf(max, __shfl_xor_sync(cuda_all_lanes, max, 2));
            factor[k] = exp2_fast((most[k] - max) * scale);
            most[k] = max;
            base[k] = max * scale;
            total[k] *= factor[k];
        }
#pragma unroll
        for (int e = 0; e < n_scores; e++) {
            s[e] = exp2_fast(fmaf(s[e], scale, -base[e / 2 % 2]));
            total[e / 2 % 2] += s[e];
        }
    };
    auto shrink_sums = [&] {
#pragma unroll
        for (int e = 0; e < DIM / 2; e++) out[e] *= factor[e / 2 % 2];
    };
    auto round_weights = [&](const auto &s) {
#pragma unroll
        for (int e = 0; e < (int)(sizeof s / sizeof *s) / 2; e++)
            weights[e] = cuda_to_bf16x2(s[2 * e], s[2 * e + 1]);
    };

    hopper_await(&b.q, 0);
    hopper_await(&b.k_full[0], 0);
    bool turns = at::turns && active == GROUPS;
    if (turns && wg == GROUPS - 1) hopper_let(1, 2 * kGroup); /* warpgroup 0 begins */
    if (turns) hopper_meet(1 + wg, 2 * kGroup);
    start_scores(s, 0);
    hopper_finish<0>();
    hopper_settle(s);
    if (turns) hopper_let(1 + (wg + 1) % GROUPS, 2 * kGroup);
    release(&b.k_empty[0]);
    soften(s, 0);
    round_weights(s);
    for (int j = 1; j < n_tiles; j++) {
        hopper_await(&b.k_full[j % kStages], j / kStages & 1);
        if (turns) hopper_meet(1 + wg, 2 * kGroup);
        start_scores(s, j);
        hopper_await(&b.v_full[(j - 1) % kStages], (j - 1) / kStages & 1);
        start_sums(j - 1);
        if (turns) hopper_let(1 + (wg + 1) % GROUPS, 2 * kGroup);
        hopper_finish<1>();
        hopper_settle(s);
        release(&b.k_empty[j % kStages]);
        soften(s, j * KEYS);
        hopper_finish<0>();
        hopper_settle(out);
        release(&b.v_empty[(j - 1) % kStages]);
        shrink_sums();
        round_weights(s);
    }
    int j = n_tiles - 1;
    if (at::few && few) { /* behind the last whole tile */
        float rest[8];
        hopper_await(&b.k_full[n_tiles % kStages], n_tiles / kStages & 1);
        start_scores(rest, n_tiles);
        hopper_await(&b.v_full[j % kStages], j / kStages & 1);
        start_sums(j);
        hopper_finish<1>();
        hopper_settle(rest);
        soften(rest, n_tiles * KEYS);
        hopper_finish<0>();
        hopper_settle(out);
        shrink_sums();
        round_weights(rest);
        hopper_await(&b.v_full[n_tiles % kStages], n_tiles / kStages & 1);
        clear_values(n_tiles, 16);
        hopper_begin();
        hopper_sums(out, weights, hopper_tile_down(values_of(n_tiles), at::half), true);
        hopper_commit();
        hopper_finish<0>();
        hopper_settle(out);
    } else {
        hopper_await(&b.v_full[j % kStages], j / kStages & 1);
        clear_values(j, KEYS);
        start_sums(j);
        hopper_finish<0>();
        hopper_settle(out);
    }

#pragma unroll
    for (int k = 0; k < 2; k++) {
        total[k] += __shfl_xor_sync(cuda_all_lanes, total[k], 1);
        total[k] += __shfl_xor_sync(cuda_all_lanes, total[k], 2);
        int r = row + 8 * k;
        if (r >= rows) continue;
        int64_t col = (kv_head * group + r % group) * DIM + 2 * t;
        float inverse = source.v_scale() / total[k];
#pragma unroll
        for (int e = 0; e < DIM / 8; e++)
            attend_put2(y, first + r / group, col + 8 * e, out[4 * e + 2 * k] * inverse,
                        out[4 * e + 2 * k + 1] * inverse);
    }
}

#else

template <class SHAPE, class S>
__global__ void attend_wgmma_kernel(const __grid_constant__ tile_maps, S, tsr_view, int64_t)
{
}

#endif

/* ---------------------------------------------------------------- the host's side ----------------------- */

/* A tensor of bf16 of 3 or 4 dimensions, the innermost dense, and the box that one copy takes. */
bool describe(CUtensorMap *map, int n, const void *data, const cuuint64_t *size, const cuuint64_t *stride,
              const cuuint32_t *box)
{
    hopper_encode *encode = hopper_encoder();
    const cuuint32_t ones[4] = {1, 1, 1, 1};
    return encode &&
           encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, (cuuint32_t)n, (void *)(uintptr_t)data, size, stride,
                  box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

/* Rows of heads: so many tile rows (row of x, head), `group` heads of each row, 64 values of each. */
bool describe_rows(CUtensorMap *map, const tsr_view &x, const tsr_heads &h, int64_t rows, int64_t group)
{
    const cuuint64_t size[] = {(cuuint64_t)h.head_dim, (cuuint64_t)(x.cols / h.head_dim), (cuuint64_t)x.rows};
    const cuuint64_t stride[] = {(cuuint64_t)h.head_dim * 2, (cuuint64_t)x.stride * 2};
    const cuuint32_t box[] = {64, (cuuint32_t)group, (cuuint32_t)(rows / group)};
    return describe(map, 3, x.data, size, stride, box);
}

/* Pages: 64 keys of one head. How many pages there are is not known here, and only bounds what is zeros. */
bool describe_pages(CUtensorMap *map, const void *data, const tsr_pages &p, const tsr_heads &h)
{
    const cuuint64_t size[] = {(cuuint64_t)h.head_dim, (cuuint64_t)p.page_tokens, (cuuint64_t)h.n_kv,
                               1 << 24};
    const cuuint64_t token = (cuuint64_t)h.head_dim * 2;
    const cuuint64_t stride[] = {token, token * (cuuint64_t)p.page_tokens, (cuuint64_t)p.page_stride};
    const cuuint32_t box[] = {64, 64, 1, 1};
    return describe(map, 4, data, size, stride, box);
}

bool fits(const tsr_queue *q, const tsr_view &x, const tsr_heads &h)
{
    return cuda_capability(q) >= 90 && x.type == TSR_BF16 && (h.head_dim == 64 || h.head_dim == 128) &&
           h.scale > 0 && 64 % (h.n_q / h.n_kv) == 0 && attend_aligned(x.data, x.stride * 2, h);
}

template <class SHAPE, class S>
void start(tsr_queue *q, const char *op, const tile_maps &maps, const S &source, const tsr_view &y,
           int64_t first_seq, int64_t n, int64_t max_rows)
{
    int64_t rows = max_rows * (source.heads.n_q / source.heads.n_kv);
    cuda_launch(q, op, attend_wgmma_kernel<SHAPE, S>,
                cuda_grid(cuda_blocks(rows, SHAPE::rows), source.heads.n_kv, n),
                cuda_grid(kGroup * (SHAPE::groups + 1)), SHAPE::shared, maps, source, y, first_seq);
}
} // namespace

bool attend_wgmma(tsr_queue *q, const char *op, const span_source &source, const tsr_view &y,
                  int64_t max_rows)
{
    const tsr_heads &h = source.heads;
    if (!fits(q, source.qkv, h) || cuda_idle(q)) return false;
    tile_maps maps;
    bool narrow = h.head_dim == 64;
    if (!describe_rows(&maps.q, source.qkv, h, narrow ? (int)narrow_heads::rows : (int)wide_heads::rows,
                       h.n_q / h.n_kv) ||
        !describe_rows(&maps.k, source.qkv, h, narrow ? (int)narrow_heads::keys : (int)wide_heads::keys, 1))
        return false;
    maps.v = maps.k;
    if (narrow)
        start<narrow_heads>(q, op, maps, source, y, 0, source.n, max_rows);
    else
        start<wide_heads>(q, op, maps, source, y, 0, source.n, max_rows);
    return true;
}

bool attend_wgmma(tsr_queue *q, const char *op, const page_source &source, const tsr_view &y,
                  const tsr_view &x, int64_t first_seq, int64_t n, int64_t max_rows)
{
    const tsr_heads &h = source.heads;
    const tsr_pages &p = source.pages;
    bool narrow = h.head_dim == 64, codes = p.type == TSR_FP8;
    if (!fits(q, x, h) || cuda_idle(q) || (p.type != TSR_BF16 && !(codes && !narrow)) ||
        p.page_tokens % 64 != 0 || !attend_aligned(p.k, p.page_stride, h) ||
        !attend_aligned(p.v, p.page_stride, h))
        return false;
    tile_maps maps = {};
    if (!describe_rows(&maps.q, x, h, narrow ? (int)narrow_heads::rows : (int)wide_heads::rows,
                       h.n_q / h.n_kv))
        return false;
    if (!codes && (!describe_pages(&maps.k, p.k, p, h) || !describe_pages(&maps.v, p.v, p, h))) return false;
    if (narrow)
        start<narrow_heads>(q, op, maps, source, y, first_seq, n, max_rows);
    else if (codes)
        start<wide_heads_fp8>(q, op, maps, source, y, first_seq, n, max_rows);
    else
        start<wide_heads>(q, op, maps, source, y, first_seq, n, max_rows);
    return true;
}
