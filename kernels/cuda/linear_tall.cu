/* kernels/cuda/linear_tall.cu: products of up to some dozens of rows on Hopper, bound by reading the weights.
 *
 * The weights are the tall operand of the tensor cores (64 rows of an instruction) and all rows of x the other. A
 * block takes an equal share of the weight's rows, to the row: up to three tiles of at most 64, a warpgroup each;
 * what a tile lacks of 64 rows is multiplied as it lies and forgotten, which costs no memory. One thread has the
 * copy engine bring 128 bytes along k of all tiles and of x into a ring; the first weights are asked for before x
 * is there. A single tile's steps are taken in turns by three warpgroups, as one would not keep up with the memory.
 * Where a share would be small beside x, the two blocks of a cluster have a share of twice the rows and cut k
 * between them, so that less of x passes through the second-level cache; their sums meet in shared memory, in order.
 * E4M3: the tensor cores keep about 14 bits of a sum, so 128 elements of k at a time are summed by them and added
 * to sums in f32 by the threads.
 */
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kTile = 64, kTiles = 3, kThreads = kTiles * hopper_warpgroup + cuda_warp;
constexpr int kStages = 12,
              kRingBytes = 96 << 10; /* half of the shared memory is for the next kernel's block */
constexpr int kLargeRows = 16,
              kLargeRing = 150 << 10; /* with more rows of x: a large ring gains more than that */
constexpr int kShare = 48; /* rows of the weight for each multiprocessor: with fewer, two of them cut k */
constexpr int kGroup = 8 * hopper_span;

struct plan {
    int n_out, rows, steps; /* of the weight, of x; along k, 128 bytes each */
    int tiles, box;         /* of a block; rows of the weight that a copy brings for a tile */
    int cluster, stages;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int kReleased = 1; /* steps not yet asked for when the next kernel may start */

#define TALL_SUMS4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define TALL_SUMS8(d, i) TALL_SUMS4(d, i), TALL_SUMS4(d, i + 4)
#define TALL_4 "%0, %1, %2, %3"
#define TALL_8 TALL_4 ", %4, %5, %6, %7"
#define TALL_16 TALL_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define TALL_32 TALL_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TALL_PRODUCT(shape, list, a_at, b_at, adds_at, tail, ...)                                            \
    asm volatile("{\n\t.reg .pred adds;\n\tsetp.ne.b32 adds, " adds_at ", 0;\n\t"                            \
                 "wgmma.mma_async.sync.aligned." shape " {" list "}, " a_at ", " b_at ", adds, 1, 1" tail    \
                 ";\n\t}"                                                                                    \
                 : __VA_ARGS__                                                                               \
                 : "l"(a), "l"(b), "r"(adds))

/* d (+)= a b': 64 rows of the weight, 2 N of x, 32 bytes of k; d as hopper_product has it. */
template <bool FP8>
CUDA_INLINE void product(float (&d)[4], uint64_t a, uint64_t b, int adds)
{
    if constexpr (FP8)
        TALL_PRODUCT("m64n8k32.f32.e4m3.e4m3", TALL_4, "%4", "%5", "%6", "", TALL_SUMS4(d, 0));
    else
        TALL_PRODUCT("m64n8k16.f32.bf16.bf16", TALL_4, "%4", "%5", "%6", ", 0, 0", TALL_SUMS4(d, 0));
}

template <bool FP8>
CUDA_INLINE void product(float (&d)[8], uint64_t a, uint64_t b, int adds)
{
    if constexpr (FP8)
        TALL_PRODUCT("m64n16k32.f32.e4m3.e4m3", TALL_8, "%8", "%9", "%10", "", TALL_SUMS8(d, 0));
    else
        TALL_PRODUCT("m64n16k16.f32.bf16.bf16", TALL_8, "%8", "%9", "%10", ", 0, 0", TALL_SUMS8(d, 0));
}

template <bool FP8>
CUDA_INLINE void product(float (&d)[16], uint64_t a, uint64_t b, int adds)
{
    if constexpr (FP8)
        TALL_PRODUCT("m64n32k32.f32.e4m3.e4m3", TALL_16, "%16", "%17", "%18", "", TALL_SUMS8(d, 0),
                     TALL_SUMS8(d, 8));
    else
        TALL_PRODUCT("m64n32k16.f32.bf16.bf16", TALL_16, "%16", "%17", "%18", ", 0, 0", TALL_SUMS8(d, 0),
                     TALL_SUMS8(d, 8));
}

template <bool FP8>
CUDA_INLINE void product(float (&d)[32], uint64_t a, uint64_t b, int adds)
{
    if constexpr (FP8)
        TALL_PRODUCT("m64n64k32.f32.e4m3.e4m3", TALL_32, "%32", "%33", "%34", "", TALL_SUMS8(d, 0),
                     TALL_SUMS8(d, 8), TALL_SUMS8(d, 16), TALL_SUMS8(d, 24));
    else
        TALL_PRODUCT("m64n64k16.f32.bf16.bf16", TALL_32, "%32", "%33", "%34", ", 0, 0", TALL_SUMS8(d, 0),
                     TALL_SUMS8(d, 8), TALL_SUMS8(d, 16), TALL_SUMS8(d, 24));
}

/* A warpgroup's sums over its steps, every SPLITS-th one. `N` of them for each thread; HALVES of 2 N rows of x. */
template <bool FP8, int HALVES, int N, int TILES, int SPLITS>
CUDA_INLINE void sum_steps(float (&sums)[HALVES][N], const unsigned char *memory, int tile_bytes,
                           int stage_bytes, const plan &p, int n_steps, uint64_t *full, uint64_t *empty)
{
    int group = threadIdx.x / hopper_warpgroup, tile = group % TILES, turn = group / TILES;
    int lane = threadIdx.x % cuda_warp, stage = turn, before = -1;
    unsigned parity = 0;
    float part[FP8 ? N : 1];
#pragma unroll
    for (int h = 0; h < HALVES; h++)
#pragma unroll
        for (int i = 0; i < N; i++) sums[h][i] = 0;
    auto leave = [&](int i) {
        __syncwarp();
        if (lane == 0) hopper_arrive(empty + i);
    };
    for (int s = turn; s < n_steps; s += SPLITS) {
        const unsigned char *at = memory + stage * stage_bytes;
        uint64_t a = hopper_tile(at + tile * tile_bytes), b = hopper_tile(at + TILES * tile_bytes);
        hopper_wait(full + stage, parity);
        if constexpr (FP8) {
#pragma unroll
            for (int h = 0; h < HALVES; h++) {
                hopper_settle(part);
                hopper_begin();
#pragma unroll
                for (int k = 0; k < 4; k++)
                    product<FP8>(part, a + 2 * k, b + h * (2 * N * hopper_span / 16) + 2 * k, k > 0);
                hopper_commit();
                hopper_finish<0>();
                hopper_settle(part);
                if (h == HALVES - 1) leave(stage);
#pragma unroll
                for (int i = 0; i < N; i++) sums[h][i] += part[i];
            }
        } else {
#pragma unroll
            for (int h = 0; h < HALVES; h++) hopper_settle(sums[h]);
            hopper_begin();
#pragma unroll
            for (int h = 0; h < HALVES; h++)
#pragma unroll
                for (int k = 0; k < 4; k++)
                    product<FP8>(sums[h], a + 2 * k, b + h * (2 * N * hopper_span / 16) + 2 * k, 1);
            hopper_commit();
            if (before >= 0) { /* the products of the stage before are done */
                hopper_finish<1>();
                leave(before);
            }
            before = stage;
        }
        stage += SPLITS;
        if (stage >= p.stages) stage -= p.stages, parity ^= 1;
    }
    if constexpr (!FP8) {
        hopper_finish<0>();
#pragma unroll
        for (int h = 0; h < HALVES; h++) hopper_settle(sums[h]);
    }
}

#endif

/* Clusters: equal shares of the weight's rows; the blocks of one: parts of k. HALVES of 2 N rows of x. */
template <bool FP8, int HALVES, int N, int TILES, int SPLITS>
__global__ void __launch_bounds__(kThreads, 2)
    linear_tall_kernel(const __grid_constant__ CUtensorMap w, const __grid_constant__ CUtensorMap x,
                       const __grid_constant__ linear_end e, const __grid_constant__ plan p)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int GROUPS = TILES * SPLITS, x_rows = HALVES * 2 * N, x_bytes = x_rows * hopper_span;
    CUDA_DYNAMIC_SHARED(raw);
    __shared__ __align__(8) uint64_t full[kStages], empty[kStages];
    unsigned char *memory = raw + (-hopper_shared(raw) & 1023);
    int tile_bytes = (p.box + 7) / 8 * kGroup, stage_bytes = TILES * tile_bytes + x_bytes;
    int warp = threadIdx.x / cuda_warp, lane = threadIdx.x % cuda_warp;
    int rank = (int)cuda_cluster_rank(), share = blockIdx.x / p.cluster, shares = gridDim.x / p.cluster;
    int first = (int)((int64_t)p.n_out * share / shares);
    int n_rows = (int)((int64_t)p.n_out * (share + 1) / shares) - first;
    int begin = p.steps * rank / p.cluster, n_steps = p.steps * (rank + 1) / p.cluster - begin;

    if (threadIdx.x == 0) {
        for (int i = 0; i < p.stages; i++) {
            hopper_barrier_open(full + i, 1);
            hopper_barrier_open(empty + i, TILES * 4);
        }
        hopper_barriers_opened();
    }
    __syncthreads();

    int pitch = GROUPS * kTile + 4; /* floats of a row of sums: a fragment's lanes write to different banks */

    /* A thread of the warpgroups ends some rows of one column of y, and reads what the first of them takes while the
     * products run. */
    constexpr int width = TILES * kTile;
    int j = threadIdx.x % width, tile = j / kTile, line = j % kTile;
    int from = n_rows * tile / TILES, column = first + from + line, step = 2 * SPLITS * p.cluster;
    int row = threadIdx.x / width * p.cluster + rank;
    bool there = (int)threadIdx.x < 2 * SPLITS * width && line < n_rows * (tile + 1) / TILES - from;
    constexpr bool reads = HALVES * N <= 8; /* registers */
    linear_held held = {};
    float y_scale = e.y.type == TSR_FP8 ? *e.y.scale : 1;
    if (warp == GROUPS * 4) {
        if (lane == 0) {
            /* Each share begins elsewhere: were all at the same piece of x, they would wait for each other at the few
             * places of the second-level cache that hold it. */
            int rows[TILES], bytes = TILES * p.box * hopper_span + x_bytes;
#pragma unroll
            for (int i = 0; i < TILES; i++) rows[i] = first + n_rows * i / TILES;
            int turn = n_steps * share / shares;
            auto k_of = [&](int s) {
                s += turn;
                return (begin + (s < n_steps ? s : s - n_steps)) * (FP8 ? hopper_span : hopper_span / 2);
            };
            auto bring_w = [&](int s, int stage) {
                hopper_expect(full + stage, bytes);
#pragma unroll
                for (int i = 0; i < TILES; i++)
                    hopper_fetch(memory + stage * stage_bytes + i * tile_bytes, &w, k_of(s), rows[i],
                                 full + stage);
            };
            auto bring_x = [&](int s, int stage) {
                hopper_fetch(memory + stage * stage_bytes + TILES * tile_bytes, &x, k_of(s), 0, full + stage);
            };
            hopper_map_soon(&w);
            hopper_map_soon(&x);
            int early = n_steps < p.stages ? n_steps : p.stages;
            for (int s = 0; s < early; s++) bring_w(s, s);
            if (n_steps - early < kReleased) cuda_release_next();
            cuda_wait_before();
            for (int s = 0; s < early; s++) bring_x(s, s);
            int stage = 0;
            unsigned parity = 0;
            for (int s = p.stages; s < n_steps; s++) {
                hopper_wait(empty + stage, parity);
                bring_w(s, stage);
                bring_x(s, stage);
                if (n_steps - s == kReleased) cuda_release_next();
                if (++stage == p.stages) stage = 0, parity ^= 1;
            }
        }
        __syncwarp();
    } else {
        cuda_wait_before();
        if (reads && there && row < p.rows) held.load(e, row, column);
        float sums[HALVES][N];
        sum_steps<FP8, HALVES, N, TILES, SPLITS>(sums, memory, tile_bytes, stage_bytes, p, n_steps, full,
                                                 empty);
        asm volatile("bar.sync 1, %0;" ::"n"(GROUPS * hopper_warpgroup) : "memory"); /* the ring is free */
        float *to = (float *)memory;
        int g = lane / 4, t = lane % 4, at = warp / 4 * kTile + warp % 4 * 16 + g;
#pragma unroll
        for (int h = 0; h < HALVES; h++)
#pragma unroll
            for (int i = 0; i < N; i++)
                to[(h * 2 * N + i / 4 * 8 + 2 * t + i % 2) * pitch + at + i % 4 / 2 * 8] = sums[h][i];
    }
    if (p.cluster > 1)
        cuda_cluster_sync();
    else
        __syncthreads();

    for (int r = row; there && r < p.rows; r += step) {
        float sum = 0;
        for (int c = 0; c < p.cluster; c++)
#pragma unroll
            for (int i = 0; i < SPLITS; i++) {
                const float *at = (const float *)memory + r * pitch + i * width + j;
                sum += p.cluster > 1 ? cuda_cluster_load(at, c) : *at;
            }
        float u = reads && r == row ? linear_finish(e, sum, held) : linear_finish(e, sum, r, column);
        if (e.y.type == TSR_FP8)
            cuda_row(e.y, r)[column] = cuda_quantise(u, y_scale);
        else
            cuda_store(cuda_row(e.y, r), e.y.type, column, u);
    }
    if (p.cluster > 1) cuda_cluster_sync(); /* nobody leaves while others read its sums */
#else
    __trap(); /* its launcher asks for 9.0 */
#endif
}

template <bool FP8, int HALVES, int N>
bool launch(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w)
{
    constexpr int x_rows = HALVES * 2 * N, x_bytes = x_rows * hopper_span;
    plan p = {};
    int64_t processors = cuda_processors(q), shares = processors;
    p.cluster = w->rows < kShare * processors ? 2 : 1;
    shares /= p.cluster;
    if (shares > w->rows) shares = w->rows;
    int64_t share = cuda_blocks(w->rows, shares);
    if (share > kTiles * kTile) {
        shares *= cuda_blocks(share, kTiles * kTile);
        share = cuda_blocks(w->rows, shares);
    }
    p.n_out = (int)w->rows;
    p.rows = (int)x.rows;
    p.steps = (int)cuda_blocks(x.cols * (FP8 ? 1 : 2), hopper_span);
    p.tiles = (int)cuda_blocks(share, kTile);
    p.box = (int)cuda_blocks(share, p.tiles);
    int stage_bytes = p.tiles * ((p.box + 7) / 8 * kGroup) + x_bytes;
    int stages = (x_rows > kLargeRows ? kLargeRing : kRingBytes) / stage_bytes;
    /* bf16 beside few rows of x lost 2% to turns */
    constexpr int kTurns = FP8 || x_rows > kLargeRows ? kTiles : 1;
    int splits = p.tiles == 1 ? kTurns : 1;

    /* A stage is always the same warpgroup's: one that skipped a phase of it could not tell it from the one after. */
    p.stages = (stages < kStages ? stages : kStages) / splits * splits;
    /* a tile of fewer than 64 rows is read beyond its end */
    size_t ring = (size_t)(1024 + p.stages * stage_bytes + kTile * hopper_span);
    size_t sums = (size_t)(1024 + x_rows * (p.tiles * splits * kTile + 4) * (int)sizeof(float));
    if (cuda_idle(q)) return true;
    CUtensorMap of_x, of_w;
    if (!hopper_map(&of_x, x.data, x.type, x.rows, x.cols, x.stride, x_rows) ||
        !hopper_map(&of_w, w->data, w->type, w->rows, w->cols, cuda_weight_stride(w->cols), p.box))
        return false;
    auto start = [&](auto kernel) {
        cuda_launch_as(q, "linear", {(unsigned)p.cluster, true}, kernel, cuda_grid(shares * p.cluster),
                       cuda_grid(p.tiles * splits * hopper_warpgroup + cuda_warp), ring > sums ? ring : sums,
                       of_w, of_x, e, p);
    };
    if (p.tiles == 1)
        start(linear_tall_kernel<FP8, HALVES, N, 1, kTurns>);
    else if (p.tiles == 2)
        start(linear_tall_kernel<FP8, HALVES, N, 2, 1>);
    else
        start(linear_tall_kernel<FP8, HALVES, N, 3, 1>);
    return true;
}

template <bool FP8>
bool launch_rows(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w)
{
    if (x.rows <= 8) return launch<FP8, 1, 4>(q, e, x, w);
    if (x.rows <= 16) return launch<FP8, 1, 8>(q, e, x, w);
    if (x.rows <= 32) return launch<FP8, 1, 16>(q, e, x, w);
    return launch < FP8, FP8 ? 2 : 1,
           FP8 ? 16 : 32 > (q, e, x, w); /* registers for two sets of sums are too few */
}
} // namespace

bool linear_tall_takes(const tsr_queue *q, const tsr_weight *w)
{
    bool fp8 = w->type == TSR_FP8 && w->input != TSR_INPUT_KEEP && w->cols % 16 == 0;
    return (fp8 || w->type == TSR_BF16) && cuda_capability(q) == 90 && hopper_encoder();
}

bool linear_tall_writes(const tsr_view &y, const tsr_view &x, const tsr_weight *w)
{
    bool made = w->type == TSR_BF16 || x.scaled == TSR_SCALE_NONE || x.scaled == TSR_SCALE_BLOCK;
    bool aligned = (uintptr_t)x.data % 16 == 0 && x.stride % 16 == 0;
    return y.scaled == TSR_SCALE_TENSOR && (made || aligned); /* x as it is, or made for the purpose */
}

bool linear_tall(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w)
{
    if (x.type != w->type) return false;
    linear_end end = e;
    if (x.type == TSR_FP8) {
        end.x_scale = x.scale;
        end.x_scale_stride = x.scaled == TSR_SCALE_ROW ? x.scale_stride : 0;
    }
    return w->type == TSR_FP8 ? launch_rows<true>(q, end, x, w) : launch_rows<false>(q, end, x, w);
}
