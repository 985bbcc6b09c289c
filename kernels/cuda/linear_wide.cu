/* kernels/cuda/linear_wide.cu: products of many rows on Hopper, with everything that follows the sum in one kernel.
 *
 * A block stays on its multiprocessor and takes tile after tile of y: 128 rows x 256 columns. One thread has the copy
 * engine bring both operands along k into a ring of stages; two warpgroups multiply 64 rows of the tile each, and end
 * their part of it (scales, bias, activation, gain, add, rounding) straight from registers, while the other warpgroup
 * and the copies go on. What the end needs is asked for at the tile's beginning: the columns' scales and biases come
 * to shared memory, what is added to the second-level cache. bf16: two blocks on neighbouring multiprocessors form a
 * pair with the same columns, and each brings half of the weights' tile for both.
 *
 * E4M3: the tensor cores keep about 14 bits of a sum, so 128 elements of k at a time are summed by them and added to
 * sums in f32 by the threads ("promotion").
 */
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kRows = 128, kHalf = 128,
              kCols = 2 * kHalf; /* of a tile: its rows; the columns of a half of it; all */
constexpr int kGroup = 16;       /* tiles along the rows that go through the columns together */
constexpr int kStages = 4;
constexpr int kConsumers = 2, kThreads = (kConsumers + 1) * hopper_warpgroup;

/* BLOCKS share weights. */
template <bool FP8, int BLOCKS>
struct plan {
    enum { fp8 = FP8, blocks = BLOCKS };
    static constexpr int depth = hopper_span / (FP8 ? 1 : 2); /* elements of k in a stage */
    static constexpr int x_bytes = kRows * hopper_span, stage_bytes = x_bytes + kCols * hopper_span;
    static constexpr int rest_bytes = kConsumers * 3 * kCols * 4; /* a column_rest of each warpgroup */
    static constexpr int shared_bytes = 1024 + kStages * stage_bytes + rest_bytes + 2 * kStages * 8;
};

/* What follows the sums. Any: element by element. Acts: an activation perhaps, and nothing to add; adds: bf16 and no
 * activation; in both y is bf16 or E4M3, has whole parts of 32 columns, and lies in vectors as what is added does. */
enum end_kind { END_ANY, END_ACTS, END_ADDS };

struct place {
    int m, n; /* in tiles, those of a pair counted once along the rows */
};

/* Tile i of the order in which they are taken: a group of rows keeps its x in the second-level cache while all
 * weights pass by. */
[[maybe_unused]] CUDA_INLINE place place_of(int i, int tiles_m, int tiles_n)
{
    int group = i / (kGroup * tiles_n), rest = i % (kGroup * tiles_n), first = group * kGroup;
    int rows = tiles_m - first < kGroup ? tiles_m - first : kGroup;
    return {first + rest % rows, rest / rows};
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* GELU in the erf form: max(u, 0) - |u| erfc(|u| / sqrt 2) / 2, with erfc as Abramowitz and Stegun 7.1.26 have it,
 * within 1.5e-7: half the work of erff, and no branch, so that neighbours fill each other's waits. NaN stays NaN: it
 * is in the tail. */
CUDA_INLINE float gelu(float u)
{
    float size = fminf(fabsf(u), 16), t, e,
          most; /* behind 16 the tail is nothing; infinity times nothing is NaN */
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(t) : "f"(fmaf(0.231641888f, size, 1)));
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(size * -0.72134752f * size));
    asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(most) : "f"(u));
    float p = fmaf(0.5307027145f, t, -0.7265760135f);
    p = fmaf(p, t, 0.7107068705f);
    p = fmaf(p, t, -0.142248368f);
    p = fmaf(p, t, 0.127414796f);
    return fmaf(-size, p * t * e, most);
}

/* What a thread has of 32 columns of a tile: columns 8 j + 2 t and the next, of rows g and g + 8. */
typedef float part_sums[2][4][2];

/* What the columns of a tile have in common, as each warpgroup keeps it in shared memory for its end. */
struct column_rest {
    float w_scale[kCols], bias[kCols], gain[kCols];
};

/* By a warpgroup: what no linear changes. */
CUDA_INLINE void clear_columns(column_rest *to)
{
    for (int c = threadIdx.x % hopper_warpgroup; c < kCols; c += hopper_warpgroup)
        to->w_scale[c] = 1, to->bias[c] = 0;
}

CUDA_INLINE void copy_column(float *to, const float *from, bool there)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(hopper_shared(to)), "l"(from),
                 "r"(there ? 4 : 0)
                 : "memory");
}

/* By a warpgroup, while the tile is multiplied; each thread waits for its own copies with arrived(). */
CUDA_INLINE void copy_columns(column_rest *to, const linear_end &e, int col)
{
#pragma unroll
    for (int at = threadIdx.x % hopper_warpgroup; at < kCols; at += hopper_warpgroup) {
        bool there = col + at < e.y.cols;
        int c = there ? col + at : 0;
        if (e.w_scale_stride) copy_column(to->w_scale + at, e.w_scale + c, there);
        if (e.bias) copy_column(to->bias + at, e.bias + c, there);
        if (e.gain.rows) copy_column(to->gain + at, (const float *)e.gain.data + c, there);
    }
}

CUDA_INLINE void arrived()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* A thread's first row of a product, its second is 8 below it; of y's rows, so many are left from there on. */
struct end_place {
    int row, left, col;

    __device__ __forceinline__ end_place(const linear_end &e, int first_row, int first_col)
    {
        row = first_row + threadIdx.x % cuda_warp / 4, left = (int)e.y.rows - row, col = first_col;
    }
};

/* What a product adds, if it comes in words: of two neighbouring threads the even one has half of eight columns, the
 * odd one half of the next eight, so that each load fills 32 bytes of a row. They are asked for a product ahead. */
typedef uint2 part_adds[2][2];

struct end_adds {
    const unsigned char *from;
    int left, n; /* rows and columns */
    part_adds words[kHalf / 32];

    __device__ __forceinline__ void aim(const linear_end &e, const end_place &at)
    {
        int c = at.col + threadIdx.x % 4 * 2 + (threadIdx.x & 1 ? 6 : 0);
        from = cuda_row(e.add, at.row) + 2 * c;
        left = at.left, n = (int)e.y.cols - at.col;
    }

    template <int PART>
    __device__ __forceinline__ void ask(const linear_end &e)
    {
        if (32 * PART >= n) return;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 2; j++)
                if (8 * i < left)
                    words[PART][i][j] = *(const uint2 *)(from + i * 16 * e.add.stride + 64 * PART + 32 * j);
    }
};

CUDA_INLINE uint32_t to_fp8x2(const float (&v)[2], float inverse)
{
    return __nv_cvt_float2_to_fp8x2(make_float2(v[0] * inverse, v[1] * inverse), __NV_SATFINITE, __NV_E4M3);
}

CUDA_INLINE uint32_t to_bf16x2(const float (&v)[2])
{
    uint32_t word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(v[1]), "f"(v[0]));
    return word;
}

/* One row's part to y, `c` being the first of its columns. Where they can, the four threads that have a row together
 * trade words first, so that each store of theirs fills 32 bytes. */
template <tsr_dtype Y, end_kind KIND>
CUDA_INLINE void put_part(unsigned char *row, bool there, const float (&v)[4][2], int64_t c, int64_t n,
                          float inverse)
{
    int t = threadIdx.x % 4;
    bool odd = t & 1, high = t & 2;
    if (KIND == END_ANY) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int k = 0; k < 2; k++) {
                int64_t at = c + 8 * j + 2 * t + k;
                if (!there || at >= n) continue;
                if (Y == TSR_FP8)
                    row[at] = cuda_to_fp8(v[j][k] * inverse);
                else
                    cuda_store(row, Y, at, v[j][k]);
            }
    } else if (Y == TSR_BF16) { /* as in end_adds */
        uint16_t *to = (uint16_t *)row + c + 2 * t + (odd ? 6 : 0);
#pragma unroll
        for (int j = 0; j < 4; j += 2) {
            uint32_t first = to_bf16x2(v[j]), second = to_bf16x2(v[j + 1]);
            uint32_t got = __shfl_xor_sync(cuda_all_lanes, odd ? first : second, 1);
            if (there) *(uint2 *)(to + 8 * j) = odd ? make_uint2(got, second) : make_uint2(first, got);
        }
    } else { /* of four eights, thread t gets the t-th */
        uint32_t order = odd ? 0x7632 : 0x5410, rest = odd ? 0x5410 : 0x7632;
        uint32_t front = odd ? 0x1054 : 0x5410, back = odd ? 0x3276 : 0x7632;
        uint32_t a = to_fp8x2(v[0], inverse) | to_fp8x2(v[1], inverse) << 16;
        uint32_t b = to_fp8x2(v[2], inverse) | to_fp8x2(v[3], inverse) << 16;
        uint32_t got = __shfl_xor_sync(cuda_all_lanes, high ? a : b, 2), own = high ? b : a;
        uint32_t mine = __byte_perm(own, got, order);                          /* of threads t and t ^ 2 */
        got = __shfl_xor_sync(cuda_all_lanes, __byte_perm(own, got, rest), 1); /* of t ^ 1 and t ^ 3 */
        uint32_t near = __byte_perm(mine, got, front), far = __byte_perm(mine, got, back);
        if (there) *(uint2 *)(row + c + 8 * t) = high ? make_uint2(far, near) : make_uint2(near, far);
    }
}

/* What follows that, but for `add`. `at`: this thread's first column within the tile. */
template <end_kind KIND>
CUDA_INLINE void finish_part(const linear_end &e, part_sums &v, const column_rest *rest, int at)
{
    if (KIND != END_ADDS && e.act == TSR_GELU) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) v[i][j][0] = gelu(v[i][j][0]), v[i][j][1] = gelu(v[i][j][1]);
    } else if (KIND != END_ADDS && e.act == TSR_RELU2) {
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                v[i][j][0] = linear_act(TSR_RELU2, v[i][j][0]),
                v[i][j][1] = linear_act(TSR_RELU2, v[i][j][1]);
    }
    if (e.gain.rows) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float2 s = *(const float2 *)(rest->gain + at + 8 * j);
#pragma unroll
            for (int i = 0; i < 2; i++) v[i][j][0] *= s.x, v[i][j][1] *= s.y;
        }
    }
}

CUDA_INLINE void add_part(part_sums &v, const part_adds &adds)
{
    bool odd = threadIdx.x & 1;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
            uint2 w = adds[i][j];
            uint32_t got = __shfl_xor_sync(cuda_all_lanes, odd ? w.x : w.y, 1);
            uint32_t words[2] = {odd ? got : w.x, odd ? w.y : got};
#pragma unroll
            for (int k = 0; k < 2; k++) {
                v[i][2 * j + k][0] += __uint_as_float(words[k] << 16);
                v[i][2 * j + k][1] += __uint_as_float(words[k] & 0xffff0000u);
            }
        }
}

/* By a warpgroup: what a tile adds comes from memory to the second-level cache while it is multiplied. */
CUDA_INLINE void call_adds(const linear_end &e, int row, int col)
{
    static_assert(kRows == hopper_warpgroup, "a row by each thread");
    int r = row + (int)threadIdx.x % kRows, left = (int)e.add.cols - col;
    if (r >= e.add.rows || left <= 0) return;
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(cuda_row(e.add, r) + 2 * col),
                 "r"(2 * (left < kCols ? left : kCols))
                 : "memory");
}

/* What becomes of each sum first: times its row's scale, and its column's where SCALED, plus the column's bias. */
struct part_line {
    float row[2];
    float2 column[4], bias[4];
};

/* Sums and addends of a part; the addends of the same part of the next product are asked for in their place. */
template <int PART, bool SCALED, end_kind KIND>
CUDA_INLINE void take_part(part_sums &v, part_adds &add, const linear_end &e, const part_line &l,
                           const float (&sums)[64], end_adds &adds)
{
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float *sum = sums + PART * 16 + 4 * j + 2 * i;
            v[i][j][0] = fmaf(sum[0], SCALED ? l.row[i] * l.column[j].x : l.row[i], l.bias[j].x);
            v[i][j][1] = fmaf(sum[1], SCALED ? l.row[i] * l.column[j].y : l.row[i], l.bias[j].y);
        }
    if constexpr (KIND == END_ADDS) {
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < 2; j++) add[i][j] = adds.words[PART][i][j];
        adds.ask<PART>(e);
    }
}

/* A warp's 16 rows of one product's 128 columns, 32 at a time; the product begins at column `from` of the tile.
 * `adds` holds its addends, and points at those of the next product. */
template <bool SCALED, tsr_dtype Y, end_kind KIND>
CUDA_INLINE void end_rows(const linear_end &e, const float (&sums)[64], const column_rest *rest,
                          end_adds &adds, const end_place &at, int from)
{
    int t = threadIdx.x % 4, n = (int)e.y.cols - at.col;
    float inverse = Y == TSR_FP8 ? 1 / *e.y.scale : 1;
    part_line line;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        line.row[i] = e.w_scale && !e.w_scale_stride ? *e.w_scale : 1;
        if (e.x_scale && 8 * i < at.left) line.row[i] *= e.x_scale[(at.row + 8 * i) * e.x_scale_stride];
    }
    constexpr int copies = KIND == END_ADDS ? kHalf / 32 : 1; /* many instructions would come from far away */
#pragma unroll copies
    for (int part = 0; part < kHalf / 32; part++) {
        part_sums v;
        part_adds add;
        int c = from + part * 32 + 2 * t;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            line.bias[j] = *(const float2 *)(rest->bias + c + 8 * j);
            if (SCALED) line.column[j] = *(const float2 *)(rest->w_scale + c + 8 * j);
        }
        switch (part) { /* registers have no index */
        case 0: take_part<0, SCALED, KIND>(v, add, e, line, sums, adds); break;
        case 1: take_part<1, SCALED, KIND>(v, add, e, line, sums, adds); break;
        case 2: take_part<2, SCALED, KIND>(v, add, e, line, sums, adds); break;
        default: take_part<3, SCALED, KIND>(v, add, e, line, sums, adds); break;
        }
        if (part * 32 >= n) continue;
        finish_part<KIND>(e, v, rest, c);
        int first = at.col + part * 32;
        if (KIND == END_ADDS) {
            add_part(v, add);
        } else if (KIND == END_ANY && e.add.rows) {
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
#pragma unroll
                    for (int k = 0; k < 2; k++) {
                        int to = first + 8 * j + 2 * t + k;
                        if (8 * i < at.left && to < e.y.cols)
                            v[i][j][k] += cuda_load(cuda_row(e.add, at.row + 8 * i), e.add.type, to);
                    }
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
            put_part<Y, KIND>(cuda_row(e.y, at.row + 8 * i), 8 * i < at.left, v[i], first, e.y.cols, inverse);
    }
}

/* The same of both halves of a tile. */
template <class P, tsr_dtype Y, end_kind KIND>
CUDA_INLINE void end_halves(const linear_end &e, const float (&sums)[2][64], const column_rest *rest,
                            end_adds &adds, int row, int col)
{
    end_place first(e, row, col), second(e, row, col + kHalf);
    if (KIND == END_ADDS) adds.aim(e, second);
    end_rows<P::fp8, Y, KIND>(e, sums[0], rest, adds, first, 0);
    adds.n = 0;
    end_rows<P::fp8, Y, KIND>(e, sums[1], rest, adds, second, kHalf);
}

template <class P>
CUDA_INLINE void end_tile(const linear_end &e, end_kind kind, const float (&sums)[2][64],
                          const column_rest *rest, end_adds &adds, int row, int col)
{
    if (kind == END_ADDS)
        end_halves<P, TSR_BF16, END_ADDS>(e, sums, rest, adds, row, col);
    else if (kind == END_ACTS && e.y.type == TSR_BF16)
        end_halves<P, TSR_BF16, END_ACTS>(e, sums, rest, adds, row, col);
    else if (kind == END_ACTS)
        end_halves<P, TSR_FP8, END_ACTS>(e, sums, rest, adds, row, col);
    else if (e.y.type == TSR_BF16)
        end_halves<P, TSR_BF16, END_ANY>(e, sums, rest, adds, row, col);
    else if (e.y.type == TSR_F32)
        end_halves<P, TSR_F32, END_ANY>(e, sums, rest, adds, row, col);
    else
        end_halves<P, TSR_FP8, END_ANY>(e, sums, rest, adds, row, col);
}

/* Where the ring stands. */
struct ring {
    int stage = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void next()
    {
        if (++stage == kStages) stage = 0, parity ^= 1;
    }
};

#endif

template <class P>
__global__ void __launch_bounds__(kThreads, 1)
    linear_wide_kernel(const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap w,
                       const __grid_constant__ linear_end e, int steps, int tiles_m, int tiles_n,
                       end_kind kind)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    CUDA_DYNAMIC_SHARED(raw);
    unsigned char *memory = raw + (-hopper_shared(raw) & 1023);
    column_rest *rests = (column_rest *)(memory + kStages * P::stage_bytes);
    uint64_t *full = (uint64_t *)(rests + kConsumers), *empty = full + kStages;
    int warp = threadIdx.x / cuda_warp, lane = threadIdx.x % cuda_warp;
    int rank = P::blocks > 1 ? (int)cuda_cluster_rank() : 0;
    int first = blockIdx.x / P::blocks, apart = gridDim.x / P::blocks, tiles = tiles_m * tiles_n;

    if (threadIdx.x == 0) {
        for (int i = 0; i < kStages; i++) {
            hopper_barrier_open(full + i, 1);
            hopper_barrier_open(empty + i, P::blocks * kConsumers * 4);
        }
        hopper_barriers_opened();
    }
    cuda_cluster_sync();
    cuda_release_next();

    ring at;
    if (warp >= 4 * kConsumers) {
        hopper_give_registers<40>();
        if (warp == 4 * kConsumers && lane == 0) {
            cuda_wait_before();
            constexpr int w_rows = kCols / P::blocks; /* this block's part of the weights' tile */
            for (int i = first; i < tiles; i += apart) {
                place p = place_of(i, tiles_m, tiles_n);
                int row = (p.m * P::blocks + rank) * kRows, col = p.n * kCols + rank * w_rows;
                for (int s = 0; s < steps; s++, at.next()) {
                    uint64_t *there = full + at.stage;
                    unsigned char *to_x = memory + at.stage * P::stage_bytes,
                                  *to_w = to_x + P::x_bytes + rank * w_rows * hopper_span;
                    hopper_wait(empty + at.stage, at.parity ^ 1);
                    hopper_expect(there, P::stage_bytes);
                    hopper_fetch(to_x, &x, s * P::depth, row, there);
                    if constexpr (P::blocks > 1)
                        hopper_fetch_shared(to_w, &w, s * P::depth, col, there, (1 << P::blocks) - 1);
                    else
                        hopper_fetch(to_w, &w, s * P::depth, col, there);
                }
            }
        }
    } else {
        hopper_take_registers<232>();
        int group = warp / 4;
        clear_columns(rests + group);
        hopper_meet(1 + group, hopper_warpgroup);
        cuda_wait_before();
        auto release = [&](int stage) {
            if (lane < P::blocks) hopper_arrive(empty + stage, lane);
        };
        float sums[2][64];
        for (int i = first; i < tiles; i += apart) {
            place p = place_of(i, tiles_m, tiles_n);
            int before = 0, row = (p.m * P::blocks + rank) * kRows, col = p.n * kCols;
            copy_columns(rests + group, e, col);
            if (kind == END_ADDS && group == 0) call_adds(e, row, col);
            float partial[P::fp8 ? 64 : 1] = {};
            if (P::fp8) {
#pragma unroll
                for (int k = 0; k < 128; k++) sums[k / 64][k % 64] = 0;
            }
            for (int s = 0; s < steps; s++) {
                unsigned char *stage = memory + at.stage * P::stage_bytes;
                uint64_t a = hopper_tile(stage + group * 64 * hopper_span);
                uint64_t b = hopper_tile(stage + P::x_bytes);
                hopper_wait(full + at.stage, at.parity);
                if constexpr (P::fp8) {
#pragma unroll
                    for (int h = 0; h < 2; h++) {
                        hopper_settle(partial);
                        hopper_begin();
#pragma unroll
                        for (int k = 0; k < 4; k++)
                            hopper_product<true>(partial, a + 2 * k,
                                                 b + h * (kHalf * hopper_span / 16) + 2 * k, k > 0);
                        hopper_commit();
                        hopper_finish<0>();
                        hopper_settle(partial);
#pragma unroll
                        for (int k = 0; k < 64; k++) sums[h][k] += partial[k];
                    }
                    release(at.stage);
                } else {
                    hopper_settle(sums[0]);
                    hopper_settle(sums[1]);
                    hopper_begin();
#pragma unroll
                    for (int k = 0; k < 4; k++)
                        hopper_product_wide(sums[0], sums[1], a + 2 * k, b + 2 * k, s > 0 || k > 0);
                    hopper_commit();
                    if (s > 0) { /* the products of the stage before are done */
                        hopper_finish<1>();
                        release(before);
                    }
                    before = at.stage;
                }
                at.next();
            }
            if constexpr (!P::fp8) {
                hopper_finish<0>();
                hopper_settle(sums[0]);
                hopper_settle(sums[1]);
                release(before);
            }
            end_adds adds;
            if (kind == END_ADDS) {
                adds.aim(e, end_place(e, row + warp * 16, col));
                adds.ask<0>(e), adds.ask<1>(e), adds.ask<2>(e), adds.ask<3>(e);
            }
            arrived();
            hopper_meet(1 + group, hopper_warpgroup);
            end_tile<P>(e, kind, sums, rests + group, adds, row + warp * 16, col);
            hopper_meet(1 + group, hopper_warpgroup); /* before new columns come */
        }
    }
    __syncwarp();
    if (P::blocks > 1)
        cuda_cluster_sync(); /* the other block may still copy to, or arrive at, what is here */
#else
    __trap(); /* its launcher asks for 9.0 */
#endif
}

bool aligned(const tsr_view &x)
{
    return (uintptr_t)x.data % 16 == 0 && x.stride * (int64_t)tsr_dtype_bytes(x.type) % 16 == 0;
}

end_kind kind_of(const linear_end &e)
{
    bool vectors = e.y.cols % 32 == 0 && aligned(e.y) && e.y.type != TSR_F32;
    if (vectors && !e.add.rows) return END_ACTS;
    bool words = e.add.type == TSR_BF16 && aligned(e.add) && e.y.type == TSR_BF16 && e.act == TSR_LINEAR;
    return vectors && words ? END_ADDS : END_ANY;
}

template <class P>
void launch(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w)
{
    CUtensorMap of_x, of_w;
    if (!hopper_map(&of_x, x.data, x.type, x.rows, x.cols, x.stride, kRows) ||
        !hopper_map(&of_w, w->data, w->type, w->rows, w->cols, cuda_weight_stride(w->cols),
                    kCols / P::blocks)) {
        tsr_queue_fail(q, TSR_E_DEVICE, "linear %s: the driver does not map x %s", w->name, TSR_SHAPE(x));
        return;
    }
    int tiles_m = (int)cuda_blocks(x.rows, kRows * P::blocks), tiles_n = (int)cuda_blocks(w->rows, kCols);
    int64_t at_once = cuda_processors(q) / P::blocks, tiles = (int64_t)tiles_m * tiles_n;
    cuda_launch_as(q, "linear", {P::blocks, true}, linear_wide_kernel<P>,
                   cuda_grid(P::blocks * (tiles < at_once ? tiles : at_once)), cuda_grid(kThreads),
                   (size_t)P::shared_bytes, of_x, of_w, e, (int)cuda_blocks(x.cols, P::depth), tiles_m,
                   tiles_n, kind_of(e));
}
} // namespace

bool linear_wide_takes(const tsr_queue *q, const tsr_weight *w)
{
    bool fp8 = w->type == TSR_FP8 && w->input != TSR_INPUT_KEEP && w->cols % 16 == 0;
    return (fp8 || w->type == TSR_BF16) && cuda_capability(q) == 90 && hopper_encoder();
}

bool linear_wide_writes(const tsr_view &y, const tsr_view &x, const tsr_weight *w)
{
    bool made = w->type == TSR_BF16 || x.scaled == TSR_SCALE_NONE || x.scaled == TSR_SCALE_BLOCK;
    return y.scaled == TSR_SCALE_TENSOR && (made || aligned(x)); /* x as it is, or made for the purpose */
}

bool linear_wide(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w)
{
    if (x.type != w->type || !aligned(x)) return false;
    linear_end end = e;
    if (x.type == TSR_FP8) {
        end.x_scale = x.scale;
        end.x_scale_stride = x.scale_stride;
        launch<plan<true, 1>>(q, end, x, w);
    } else {
        launch<plan<false, 2>>(q, end, x, w);
    }
    return true;
}
