/* kernels/cuda/linear_wide.cu: products of many rows on Hopper, with everything that follows the sum in one kernel.
 *
 * A block stays on its multiprocessor and takes tile after tile of y: 128 rows x 128 or 256 columns. One thread has
 * the copy engine bring both operands along k into a ring of stages; two warpgroups multiply 64 rows of the tile
 * each, and end their part of it (scales, bias, activation, gain, add, rounding) while the other warpgroup and the
 * copies go on. Two blocks on neighbouring multiprocessors form a pair with the same columns: each brings half of
 * the weights' tile for both, or the second-level cache could not keep up with E4M3.
 *
 * E4M3: the tensor cores keep about 14 bits of a sum, so 128 elements of k at a time are summed by them and added to
 * sums in f32 by the threads ("promotion").
 */
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr int kRows = 128, kHalf = 128; /* of a tile: its rows; the columns of one product */
constexpr int kGroup = 16;              /* tiles along the rows that go through the columns together */
constexpr int64_t kNarrow = 4096;       /* columns of y up to which a warpgroup has tiles of its own */
constexpr int kConsumers = 2, kThreads = (kConsumers + 1) * hopper_warpgroup;
constexpr int kPart = 32,
              kPitch = kPart + 4; /* columns, and floats of a row, of what a warp ends at a time */

/* A tile is of HALVES products per warpgroup: along the columns, 64 rows each warpgroup, or (SOLO, 2) along the rows,
 * and each warpgroup has a tile of its own. BM blocks share weights, BN blocks share rows of x. */
template <bool FP8, int HALVES, int BM, int BN, bool PROMOTED, bool SOLO>
struct plan {
    enum { fp8 = FP8, promoted = PROMOTED, solo = SOLO, halves = HALVES };
    static constexpr int bm = BM, bn = BN, blocks = BM * BN;
    static constexpr int cols = SOLO ? kHalf : HALVES * kHalf;
    static constexpr int depth = hopper_span / (FP8 ? 1 : 2); /* elements of k in a stage */
    static constexpr int x_bytes = kRows * hopper_span, w_bytes = cols * hopper_span;
    static constexpr int stage_bytes = x_bytes + w_bytes, stages = cols == 256 ? 4 : 6;
    static constexpr int end_bytes = kConsumers * 4 * 16 * kPitch * 4;
    static constexpr int shared_bytes = 1024 + stages * stage_bytes + end_bytes + 2 * stages * 8;
};

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

/* GELU in the erf form: max(u, 0) - |u| erfc(|u| / sqrt 2) / 2, with erfc as Abramowitz and Stegun 7.1.26 have it,
 * within 1.5e-7: half the work of erff, and no branch, so that neighbours fill each other's waits. NaN stays NaN: it
 * is in the tail. */
[[maybe_unused]] CUDA_INLINE float gelu(float u)
{
    float size = fabsf(u) * 0.70710678f, t, e;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(t) : "f"(fmaf(0.3275911f, size, 1)));
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(size * size * -1.44269504f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(p, t, 1.421413741f);
    p = fmaf(p, t, -0.284496736f);
    p = fmaf(p, t, 0.254829592f);
    float near = fmaxf(u, 0) - p * t * e * (size * 0.70710678f);
    if (u > 16) near = u;
    return near;
}

/* Eight columns of f32 or bf16; EVEN: they are there, as vectors of 16 bytes. */
template <bool EVEN>
CUDA_INLINE octet load8(const void *data, tsr_dtype type, int64_t c, int64_t n)
{
    if (!EVEN) return cuda_load8(data, type, c, n);
    octet o;
    if (type == TSR_F32) {
        const float4 *at = (const float4 *)((const float *)data + c);
        float4 a = at[0], b = at[1];
        o = octet{{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
    } else {
        cuda_widen_bf16(o.v, *(const uint4 *)((const uint16_t *)data + c));
    }
    return o;
}

/* The same way back, in type Y; E4M3 of the values times `inverse`. */
template <tsr_dtype Y, bool EVEN>
CUDA_INLINE void store8(unsigned char *row, int64_t c, int64_t n, const octet &o, float inverse)
{
    if (Y != TSR_FP8 && !EVEN) {
        cuda_store8(row, Y, c, n, o);
    } else if (Y == TSR_F32) {
        float4 *at = (float4 *)((float *)row + c);
        at[0] = make_float4(o.v[0], o.v[1], o.v[2], o.v[3]);
        at[1] = make_float4(o.v[4], o.v[5], o.v[6], o.v[7]);
    } else if (Y == TSR_BF16) {
        *(uint4 *)((uint16_t *)row + c) =
            make_uint4(cuda_to_bf16x2(o.v[0], o.v[1]), cuda_to_bf16x2(o.v[2], o.v[3]),
                       cuda_to_bf16x2(o.v[4], o.v[5]), cuda_to_bf16x2(o.v[6], o.v[7]));
    } else {
        uint32_t words[2] = {0, 0};
#pragma unroll
        for (int i = 0; i < 8; i += 2)
            words[i / 4] |=
                (uint32_t)__nv_cvt_float2_to_fp8x2(make_float2(o.v[i] * inverse, o.v[i + 1] * inverse),
                                                   __NV_SATFINITE, __NV_E4M3)
                << 8 * (i % 4);
        if (EVEN)
            *(uint2 *)(row + c) = make_uint2(words[0], words[1]);
        else
            for (int i = 0; i < 8 && c + i < n; i++) row[c + i] = (uint8_t)(words[i / 4] >> 8 * (i % 4));
    }
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Columns 32 PART and on of a warp's sums to its piece of shared memory. */
template <int PART, int HALVES>
CUDA_INLINE void lay_out(float *piece, const float (&sums)[HALVES][64])
{
    constexpr int each = kHalf / kPart;
    if constexpr (PART < HALVES * each) {
        const float *d = sums[PART / each] + PART % each * (kPart / 2);
        float *at = piece + threadIdx.x % cuda_warp / 4 * kPitch + threadIdx.x % 4 * 2;
#pragma unroll
        for (int j = 0; j < kPart / 8; j++) {
            *(float2 *)(at + 8 * j) = make_float2(d[4 * j], d[4 * j + 1]);
            *(float2 *)(at + 8 * j + 8 * kPitch) = make_float2(d[4 * j + 2], d[4 * j + 3]);
        }
    }
}

/* A warp's 16 rows of a tile (SOLO: twice): through its own piece of shared memory, where threads trade columns 2 t,
 * 2 t + 1 of every eight for eight in a row. */
template <class P, tsr_dtype Y, bool EVEN>
CUDA_INLINE void end_rows(const linear_end &e, const float (&sums)[P::halves][64], float *piece, int64_t row,
                          int64_t col)
{
    constexpr int each = kHalf / kPart;
    int lane = threadIdx.x % cuda_warp, g = lane / 4, t = lane % 4;
    int64_t n = e.y.cols;
    float inverse = Y == TSR_FP8 ? 1 / *e.y.scale : 1;
    float scale_of_all = e.w_scale && !e.w_scale_stride ? *e.w_scale : 1;
    unsigned char *to[2];
    const unsigned char *add[2];
    float scale[2];
    bool there[2];
#pragma unroll 1 /* one copy of what follows: unrolled, instructions would come from far away */
    for (int part = 0; part < P::halves * each; part++) {
        if (part % each == 0 && (part == 0 || P::solo)) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int64_t r = row + g + 8 * i + part / each * 64;
                there[i] = r < e.y.rows;
                if (!there[i]) r = 0; /* something to point at */
                to[i] = cuda_row(e.y, r);
                add[i] = cuda_row(e.add, r);
                scale[i] = e.x_scale ? scale_of_all * e.x_scale[r * e.x_scale_stride] : scale_of_all;
            }
        }
        int64_t c = col + (P::solo ? part % each : part) * kPart + 8 * t;
        bool inside = c < n;
        octet adds[2];
        if (e.add.rows && inside) {
#pragma unroll
            for (int i = 0; i < 2; i++) adds[i] = load8<EVEN>(add[i], e.add.type, c, n);
        }
        __syncwarp();
        switch (part) { /* registers have no index */
        case 0: lay_out<0>(piece, sums); break;
        case 1: lay_out<1>(piece, sums); break;
        case 2: lay_out<2>(piece, sums); break;
        case 3: lay_out<3>(piece, sums); break;
        case 4: lay_out<4>(piece, sums); break;
        case 5: lay_out<5>(piece, sums); break;
        case 6: lay_out<6>(piece, sums); break;
        case 7: lay_out<7>(piece, sums); break;
        }
        __syncwarp();
        if (!inside) continue;
        octet o[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float4 *at = (const float4 *)(piece + (g + 8 * i) * kPitch + 8 * t);
            float4 low = at[0], high = at[1];
            o[i] = octet{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
#pragma unroll
            for (int k = 0; k < 8; k++) o[i].v[k] *= scale[i];
        }
        if (e.w_scale_stride) {
            octet s = load8<EVEN>(e.w_scale, TSR_F32, c, n);
#pragma unroll
            for (int k = 0; k < 8; k++) o[0].v[k] *= s.v[k], o[1].v[k] *= s.v[k];
        }
        if (e.bias) {
            octet b = load8<EVEN>(e.bias, TSR_F32, c, n);
#pragma unroll
            for (int k = 0; k < 8; k++) o[0].v[k] += b.v[k], o[1].v[k] += b.v[k];
        }
        if (e.act == TSR_GELU) {
#pragma unroll
            for (int k = 0; k < 8; k++) o[0].v[k] = gelu(o[0].v[k]), o[1].v[k] = gelu(o[1].v[k]);
        } else if (e.act == TSR_RELU2) {
#pragma unroll
            for (int k = 0; k < 8; k++)
                o[0].v[k] = linear_act(TSR_RELU2, o[0].v[k]), o[1].v[k] = linear_act(TSR_RELU2, o[1].v[k]);
        }
        if (e.gain.rows) {
            octet s = load8<EVEN>(e.gain.data, TSR_F32, c, n);
#pragma unroll
            for (int k = 0; k < 8; k++) o[0].v[k] *= s.v[k], o[1].v[k] *= s.v[k];
        }
        if (e.add.rows) {
#pragma unroll
            for (int k = 0; k < 8; k++) o[0].v[k] += adds[0].v[k], o[1].v[k] += adds[1].v[k];
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (there[i]) store8<Y, EVEN>(to[i], c, n, o[i], inverse);
    }
}

template <class P>
CUDA_INLINE void end_tile(const linear_end &e, bool even, const float (&sums)[P::halves][64], float *piece,
                          int64_t row, int64_t col)
{
    if (e.y.type == TSR_BF16 && even)
        end_rows<P, TSR_BF16, true>(e, sums, piece, row, col);
    else if (e.y.type == TSR_BF16)
        end_rows<P, TSR_BF16, false>(e, sums, piece, row, col);
    else if (e.y.type == TSR_F32 && even)
        end_rows<P, TSR_F32, true>(e, sums, piece, row, col);
    else if (e.y.type == TSR_F32)
        end_rows<P, TSR_F32, false>(e, sums, piece, row, col);
    else if (even)
        end_rows<P, TSR_FP8, true>(e, sums, piece, row, col);
    else
        end_rows<P, TSR_FP8, false>(e, sums, piece, row, col);
}

/* Where the ring stands. */
struct ring {
    int stage = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void next(int stages)
    {
        if (++stage == stages) stage = 0, parity ^= 1;
    }

    __device__ __forceinline__ void skip(int steps, int stages)
    {
        stage += steps;
        parity ^= stage / stages & 1;
        stage %= stages;
    }
};

#endif

template <class P>
__global__ void __launch_bounds__(kThreads, 1)
    linear_wide_kernel(const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap w,
                       const __grid_constant__ linear_end e, int steps, int tiles_m, int tiles_n, bool even)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    CUDA_DYNAMIC_SHARED(raw);
    unsigned char *memory = raw + (-hopper_shared(raw) & 1023);
    float *pieces = (float *)(memory + P::stages * P::stage_bytes);
    uint64_t *full = (uint64_t *)(memory + P::stages * P::stage_bytes + P::end_bytes),
             *empty = full + P::stages;
    int warp = threadIdx.x / cuda_warp, lane = threadIdx.x % cuda_warp;
    int rank = P::blocks > 1 ? (int)cuda_cluster_rank() : 0, rank_m = rank % P::bm, rank_n = rank / P::bm;
    int first = blockIdx.x / P::blocks, apart = gridDim.x / P::blocks, tiles = tiles_m * tiles_n;

    if (threadIdx.x == 0) {
        for (int i = 0; i < P::stages; i++) {
            hopper_barrier_open(full + i, 1);
            hopper_barrier_open(empty + i, (P::bm + P::bn - 1) * (P::solo ? 1 : kConsumers) * 4);
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
            constexpr int x_rows = kRows / P::bn,
                          w_rows = P::cols / P::bm; /* this block's part of either tile */
            constexpr unsigned column =
                (1u << P::bm) - 1; /* blocks of the same columns: they share weights */
            unsigned row_mates = 0;
            for (int k = 0; k < P::bn; k++) row_mates |= 1u << (rank_m + k * P::bm);
            for (int i = first; i < tiles; i += apart) {
                place p = place_of(i, tiles_m, tiles_n);
                int row = (p.m * P::bm + rank_m) * kRows + rank_n * x_rows;
                int col = (p.n * P::bn + rank_n) * P::cols + rank_m * w_rows;
                for (int s = 0; s < steps; s++, at.next(P::stages)) {
                    uint64_t *there = full + at.stage;
                    unsigned char *to_x = memory + at.stage * P::stage_bytes, *to_w = to_x + P::x_bytes;
                    to_x += rank_n * x_rows * hopper_span;
                    to_w += rank_m * w_rows * hopper_span;
                    hopper_wait(empty + at.stage, at.parity ^ 1);
                    hopper_expect(there, P::stage_bytes);
                    if constexpr (P::bn > 1)
                        hopper_fetch_shared(to_x, &x, s * P::depth, row, there, (uint16_t)row_mates);
                    else
                        hopper_fetch(to_x, &x, s * P::depth, row, there);
                    if constexpr (P::bm > 1)
                        hopper_fetch_shared(to_w, &w, s * P::depth, col, there,
                                            (uint16_t)(column << (rank_n * P::bm)));
                    else
                        hopper_fetch(to_w, &w, s * P::depth, col, there);
                }
            }
        }
    } else {
        hopper_take_registers<232>();
        cuda_wait_before();
        int group = warp / 4;
        auto release = [&](int stage) {
            if (lane < P::bm)
                hopper_arrive(empty + stage, rank_n * P::bm + lane);
            else if (lane < P::bm + P::bn && lane - P::bm != rank_n)
                hopper_arrive(empty + stage, (lane - P::bm) * P::bm + rank_m);
        };
        float sums[P::halves][64], partial[P::promoted ? 64 : 1];
        if (P::promoted) {
#pragma unroll
            for (int i = 0; i < (P::promoted ? 64 : 1); i++) partial[i] = 0;
        }
        if (P::solo && group == 1) at.skip(steps, P::stages);
        for (int i = first + (P::solo ? group * apart : 0); i < tiles; i += (P::solo ? 2 : 1) * apart) {
            place p = place_of(i, tiles_m, tiles_n);
            int before = 0;
            if (P::solo && i > first) hopper_meet(1 + group, 2 * hopper_warpgroup);
            if (P::promoted) {
#pragma unroll
                for (int h = 0; h < P::halves; h++)
#pragma unroll
                    for (int k = 0; k < 64; k++) sums[h][k] = 0;
            }
            for (int s = 0; s < steps; s++) {
                unsigned char *stage = memory + at.stage * P::stage_bytes;
                uint64_t a = hopper_tile(stage + (P::solo ? 0 : group * 64 * hopper_span));
                uint64_t b = hopper_tile(stage + P::x_bytes);
                constexpr int a_half = P::solo ? 64 * hopper_span / 16 : 0,
                              b_half = P::solo ? 0 : kHalf * hopper_span / 16;
                hopper_wait(full + at.stage, at.parity);
                if constexpr (P::promoted) {
#pragma unroll
                    for (int h = 0; h < P::halves; h++) {
                        hopper_settle(partial);
                        hopper_begin();
#pragma unroll
                        for (int k = 0; k < 4; k++)
                            hopper_product<P::fp8>(partial, a + h * a_half + 2 * k, b + h * b_half + 2 * k,
                                                   k > 0);
                        hopper_commit();
                        hopper_finish<0>();
                        hopper_settle(partial);
#pragma unroll
                        for (int k = 0; k < 64; k++) sums[h][k] += partial[k];
                    }
                    release(at.stage);
                } else {
#pragma unroll
                    for (int h = 0; h < P::halves; h++) hopper_settle(sums[h]);
                    hopper_begin();
#pragma unroll
                    for (int h = 0; h < P::halves; h++)
#pragma unroll
                        for (int k = 0; k < 4; k++)
                            hopper_product<P::fp8>(sums[h], a + h * a_half + 2 * k, b + h * b_half + 2 * k,
                                                   s > 0 || k > 0);
                    hopper_commit();
                    if (s > 0) { /* the products of the stage before are done */
                        hopper_finish<1>();
                        release(before);
                    }
                    before = at.stage;
                }
                at.next(P::stages);
            }
            if (P::solo && i + apart < tiles) hopper_let(2 - group, 2 * hopper_warpgroup);
            if constexpr (!P::promoted) {
                hopper_finish<0>();
#pragma unroll
                for (int h = 0; h < P::halves; h++) hopper_settle(sums[h]);
                release(before);
            }
            end_tile<P>(e, even, sums, pieces + warp * 16 * kPitch,
                        (int64_t)(p.m * P::bm + rank_m) * kRows + (P::solo ? warp % 4 : warp) * 16,
                        (int64_t)(p.n * P::bn + rank_n) * P::cols);
            if (P::solo) at.skip(steps, P::stages);
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

/* Eight columns of everything that follows a sum lie in 16-byte vectors. */
bool is_even(const linear_end &e)
{
    bool vectors = (uintptr_t)e.bias % 16 == 0 && (!e.gain.rows || aligned(e.gain)) &&
                   (!e.w_scale_stride || (uintptr_t)e.w_scale % 16 == 0);
    return e.y.cols % 8 == 0 && aligned(e.y) && (!e.add.rows || aligned(e.add)) && vectors;
}

/* Clusters that run at the same time. */
template <class P>
int64_t clusters_at_once(tsr_queue *q)
{
    static std::atomic<int> kept;
    int n = kept.load(std::memory_order_relaxed);
    if (n) return n;
    n = cuda_processors(q) / P::blocks;
    if (P::blocks > 2) { /* pairs fit everywhere */
        cudaLaunchAttribute a = {};
        a.id = cudaLaunchAttributeClusterDimension;
        a.val.clusterDim.x = P::blocks, a.val.clusterDim.y = a.val.clusterDim.z = 1;
        cudaLaunchConfig_t config = {};
        config.gridDim = cuda_grid(P::blocks * n), config.blockDim = cuda_grid(kThreads);
        config.dynamicSmemBytes = P::shared_bytes;
        config.attrs = &a, config.numAttrs = 1;
        cudaFuncSetAttribute((const void *)linear_wide_kernel<P>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             P::shared_bytes);
        if (cudaOccupancyMaxActiveClusters(&n, linear_wide_kernel<P>, &config) || n < 1) n = 1;
    }
    kept.store(n, std::memory_order_relaxed);
    return n;
}

template <class P>
void launch(tsr_queue *q, const linear_end &e, const tsr_view &x, const tsr_weight *w)
{
    CUtensorMap of_x, of_w;
    if (!hopper_map(&of_x, x.data, x.type, x.rows, x.cols, x.stride, kRows / P::bn) ||
        !hopper_map(&of_w, w->data, w->type, w->rows, w->cols, cuda_weight_stride(w->cols),
                    P::cols / P::bm)) {
        tsr_queue_fail(q, TSR_E_DEVICE, "linear %s: the driver does not map x %s", w->name, TSR_SHAPE(x));
        return;
    }
    int tiles_m = (int)cuda_blocks(x.rows, kRows * P::bm),
        tiles_n = (int)cuda_blocks(w->rows, P::cols * P::bn);
    int64_t at_once = clusters_at_once<P>(q), tiles = (int64_t)tiles_m * tiles_n;
    int steps = (int)cuda_blocks(x.cols, P::depth);
    cuda_launch_as(q, "linear", {P::blocks, true}, linear_wide_kernel<P>,
                   cuda_grid(P::blocks * (tiles < at_once ? tiles : at_once)), cuda_grid(kThreads),
                   (size_t)P::shared_bytes, of_x, of_w, e, steps, tiles_m, tiles_n, is_even(e));
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
        launch<plan<true, 2, 1, 1, true, false>>(q, end, x, w);
    } else if (w->rows <= kNarrow) {
        launch<plan<false, 2, 2, 1, false, true>>(q, end, x, w);
    } else {
        launch<plan<false, 2, 2, 1, false, false>>(q, end, x, w);
    }
    return true;
}
