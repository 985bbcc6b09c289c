/* kernels/cuda/mamba.cuh: what the ops of a Mamba-2 layer share.
 *
 * The first n_decode sequences of a step have one row each and take the kernels for a single step; the others
 * take those for many rows. Each op is queued by one function per kind, so that mamba_mix can join them
 * differently.
 */
#ifndef TSR_CUDA_MAMBA_CUH
#define TSR_CUDA_MAMBA_CUH

#define TSR_HALF_FN static __host__ __device__ __forceinline__
#include "kernels/cuda/value.cuh"
#include "kernels/half_state.h"

/* What kernels need to know of a mixer. */
struct mixer_shape {
    int n_heads, head_dim, n_groups, d_state, d, d_conv;
    int chunk, pieces, piece; /* pieces of at most `piece` rows in a chunk */
    float dt_min, dt_max;
    const float *a, *skip, *dt_bias;
};

/* Rows that the prefill scan takes at a time, at most. */
constexpr int cuda_max_piece = 128;

static inline mixer_shape cuda_mixer_shape(const tsr_mixer *m)
{
    mixer_shape s = {};
    s.n_heads = (int)m->n_heads, s.head_dim = (int)m->head_dim, s.n_groups = (int)m->n_groups;
    s.d_state = (int)m->d_state, s.d = (int)tsr_mixer_d(m), s.d_conv = (int)tsr_mixer_d_conv(m);
    s.chunk = (int)m->chunk;
    s.pieces = (int)cuda_blocks(m->chunk, cuda_max_piece);
    s.piece = (int)cuda_blocks(m->chunk, s.pieces);
    s.dt_min = m->dt_min, s.dt_max = m->dt_max;
    s.a = (const float *)m->a.data, s.skip = (const float *)m->d.data;
    s.dt_bias = (const float *)m->dt_bias.data;
    return s;
}

/* clamp(softplus(v)), v with its bias */
CUDA_INLINE float cuda_softplus(const mixer_shape &m, float v)
{
    v = v > 20 ? v : log1pf(expf(v));
    v = v < m.dt_min ? m.dt_min : v;
    return v > m.dt_max ? m.dt_max : v;
}

CUDA_INLINE float cuda_dt(const mixer_shape &m, float raw, int head)
{
    return cuda_softplus(m, raw + m.dt_bias[head]);
}

CUDA_INLINE unsigned char *cuda_slot(const tsr_slots &slots, int64_t slot)
{
    return (unsigned char *)slots.data + slot * slots.slot_stride;
}

/* As tsr_half_moved. */
CUDA_INLINE float cuda_half_moved(float v, uint32_t fraction)
{
#ifdef __CUDACC__
    uint32_t bits = __float_as_uint(v), exponent = max(bits & 0x7f800000u, 0x38800000u);
    float unit = __uint_as_float((bits & 0x80000000u) | exponent);
    return __fmaf_rz(__uint_as_float(0x3a800000u | fraction) - 0x1p-10f, unit, v);
#else
    return tsr_half_moved(v, fraction);
#endif
}

/* Two neighbours of a state in f16, as kernels/half_state.h rounds them: the k-th and the next of the eight that
 * share `random`. */
CUDA_INLINE uint32_t cuda_to_half2(float even, float odd, uint32_t random, int k)
{
    even = cuda_half_moved(even, tsr_half_fraction(random, k));
    odd = cuda_half_moved(odd, tsr_half_fraction(random, k + 1));
#ifdef __CUDACC__
    uint32_t both;
    asm("cvt.rz.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(odd), "f"(even));
    return both;
#else
    return (uint32_t)tsr_half_cut(even) | (uint32_t)tsr_half_cut(odd) << 16;
#endif
}

/* Elements i .. i + 3 of one layer's state in a slot, which is f32 or f16 and begins at `state`; zeros from
 * element `limit` on. i is a multiple of 4 wherever d_state is. */
CUDA_INLINE float4 cuda_state_load4(const void *state, tsr_dtype type, int64_t i, int64_t limit)
{
    if (type == TSR_F32) {
        const float *at = (const float *)state + i;
        if (i + 4 <= limit && cuda_aligned(at, 16)) return *(const float4 *)at;
    } else {
        const uint16_t *at = (const uint16_t *)state + i;
        if (i + 4 <= limit && cuda_aligned(at, 8)) {
            uint2 w = *(const uint2 *)at;
            return make_float4(cuda_from_f16((uint16_t)w.x), cuda_from_f16((uint16_t)(w.x >> 16)),
                               cuda_from_f16((uint16_t)w.y), cuda_from_f16((uint16_t)(w.y >> 16)));
        }
    }
    return make_float4(
        i < limit ? cuda_load(state, type, i) : 0, i + 1 < limit ? cuda_load(state, type, i + 1) : 0,
        i + 2 < limit ? cuda_load(state, type, i + 2) : 0, i + 3 < limit ? cuda_load(state, type, i + 3) : 0);
}

/* Write them; `pos` tokens are in the state then (f16 is rounded by it). */
CUDA_INLINE void cuda_state_store4(void *state, tsr_dtype type, int64_t i, int64_t limit, float4 v,
                                   int64_t pos)
{
    const float values[4] = {v.x, v.y, v.z, v.w};
    if (type == TSR_F32) {
        float *at = (float *)state + i;
        if (i + 4 <= limit && cuda_aligned(at, 16)) {
            *(float4 *)at = v;
            return;
        }
#pragma unroll
        for (int k = 0; k < 4; k++)
            if (i + k < limit) at[k] = values[k];
        return;
    }
    uint16_t *at = (uint16_t *)state + i;
    if (i % 4 == 0 && i + 4 <= limit && cuda_aligned(at, 8)) {
        uint32_t random = tsr_half_random((uint32_t)pos, (uint32_t)(i / 8));
        *(uint2 *)at =
            i % 8 ? make_uint2(cuda_to_half2(v.x, v.y, random, 4), cuda_to_half2(v.z, v.w, random, 6))
                  : make_uint2(cuda_to_half2(v.x, v.y, random, 0), cuda_to_half2(v.z, v.w, random, 2));
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++) {
        uint32_t random = tsr_half_random((uint32_t)pos, (uint32_t)((i + k) / 8));
        if (i + k < limit) at[k] = (uint16_t)cuda_to_half2(values[k], 0, random, (int)((i + k) % 8));
    }
}

/* Rows of the sequences behind the decode rows. */
static inline int64_t cuda_prefill_rows(const tsr_step *step)
{
    return step->n_rows - step->n_decode;
}

/* ---------------------------------------------------------------- one step of the state ----------------- */

/* Elements n .. n + 3 of a row of `limit`; zeros behind its end. `whole`: rows are aligned to 16 bytes and full. */
CUDA_INLINE float4 cuda_load4(const float *row, int n, int limit, bool whole)
{
    if (whole) return n < limit ? *(const float4 *)(row + n) : make_float4(0, 0, 0, 0);
    return make_float4(n < limit ? row[n] : 0, n + 1 < limit ? row[n + 1] : 0, n + 2 < limit ? row[n + 2] : 0,
                       n + 3 < limit ? row[n + 3] : 0);
}

CUDA_INLINE void cuda_store4(float *row, int n, int limit, bool whole, float4 v)
{
    if (whole) {
        if (n < limit) *(float4 *)(row + n) = v;
        return;
    }
    if (n < limit) row[n] = v.x;
    if (n + 1 < limit) row[n + 1] = v.y;
    if (n + 2 < limit) row[n + 2] = v.z;
    if (n + 3 < limit) row[n + 3] = v.w;
}

/* What a step needs of a head. */
struct head_step {
    float dt, decay, skip;
};

CUDA_INLINE head_step cuda_head_step(const mixer_shape &m, const tsr_view &dt, int64_t row, int head)
{
    float value = cuda_dt(m, cuda_load(cuda_row(dt, row), dt.type, head), head);
    return head_step{value, expf(value * m.a[head]), m.skip[head]};
}

/* Rows of a layer's state, the first of which begins with element `first` of its slot; data NULL: nobody's, zeros
 * that are not kept. `fresh`: zeros whatever memory holds. `pos` tokens are in it after the step. */
struct state_rows {
    void *data;
    tsr_dtype type;
    bool fresh;
    int64_t first, pos;
};

CUDA_INLINE state_rows cuda_state_rows(const tsr_slots &ssm, const tsr_step &step, int64_t i, int64_t first)
{
    int32_t slot = step.slot[i];
    return state_rows{slot < 0 ? nullptr : cuda_slot(ssm, slot), ssm.type, !cuda_continues(step, i), first,
                      step.pos[i] + (int64_t)1};
}

/* What a thread has of a state at a time: one row of h for `lanes` neighbouring lanes, each of `vectors` times
 * four elements; eight vectors are on their way at once. */
template <int lanes, int vectors>
struct state_part {
    static constexpr int rows = cuda_warp / lanes, deep = 8 / vectors, warp_rows = rows * deep;
    float4 old[deep][vectors];

    /* Rows base + ... of h [n][d_state]. */
    __device__ __forceinline__ void load(const state_rows &h, int base, int n, int d_state)
    {
        int lane = threadIdx.x % cuda_warp;
#pragma unroll
        for (int k = 0; k < deep; k++)
#pragma unroll
            for (int v = 0; v < vectors; v++) {
                int p = base + k * rows + lane / lanes;
                int64_t row = h.first + (int64_t)p * d_state;
                old[k][v] = make_float4(0, 0, 0, 0);
                if (!h.fresh && p < n)
                    old[k][v] =
                        cuda_state_load4(h.data, h.type, row + 4 * (lane % lanes + lanes * v), row + d_state);
            }
    }
};

/* h = decay h + dt x B', y = h C + skip x, for neighbouring heads of one group by all warps of a block.
 *
 * h [n][d_state] has the columns of all these heads. x and y have n elements, b and c d_state; column p is of head
 * p / head_dim. `part` holds the rows from warp * warp_rows on: a caller who loads them early does other things
 * while they travel. */
template <int lanes, int vectors>
CUDA_INLINE void cuda_state_step(state_part<lanes, vectors> &part, const state_rows &h, float *y,
                                 const float *x, const float *b, const float *c, const head_step *heads,
                                 int head_dim, int n, int d_state)
{
    using p_ = state_part<lanes, vectors>;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, n_warps = blockDim.x / cuda_warp;
    int first = 4 * (lane % lanes);
    float4 b4[vectors], c4[vectors];
#pragma unroll
    for (int v = 0; v < vectors; v++) {
        b4[v] = cuda_load4(b, first + 4 * lanes * v, d_state, false);
        c4[v] = cuda_load4(c, first + 4 * lanes * v, d_state, false);
    }
    for (int base = warp * p_::warp_rows; base < n; base += n_warps * p_::warp_rows) {
        if (base != warp * p_::warp_rows) part.load(h, base, n, d_state);
#pragma unroll
        for (int k = 0; k < p_::deep; k++) {
            int p = base + k * p_::rows + lane / lanes;
            int64_t row = h.first + (int64_t)p * d_state;
            head_step head = heads[p < n ? p / head_dim : 0];
            float at = p < n ? x[p] : 0, dtx = head.dt * at, sum = 0;
#pragma unroll
            for (int v = 0; v < vectors; v++) {
                float4 o = part.old[k][v];
                o.x = head.decay * o.x + dtx * b4[v].x, o.y = head.decay * o.y + dtx * b4[v].y;
                o.z = head.decay * o.z + dtx * b4[v].z, o.w = head.decay * o.w + dtx * b4[v].w;
                sum += o.x * c4[v].x + o.y * c4[v].y + (o.z * c4[v].z + o.w * c4[v].w);
                if (h.data && p < n)
                    cuda_state_store4(h.data, h.type, row + first + 4 * lanes * v, row + d_state, o, h.pos);
            }
#pragma unroll
            for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(cuda_all_lanes, sum, step);
            if (lane % lanes == 0 && p < n) y[p] = sum + head.skip * at;
        }
    }
}

/* Call f(lanes and vectors that hold d_state); states past 512 fail the queue. */
template <int lanes_, int vectors_>
struct state_width_of {
    static constexpr int lanes = lanes_, vectors = vectors_;
};
template <typename F>
void cuda_by_state(tsr_queue *q, const char *op, int64_t d_state, F f)
{
    if (d_state <= 16)
        f(state_width_of<4, 1>());
    else if (d_state <= 32)
        f(state_width_of<8, 1>());
    else if (d_state <= 64)
        f(state_width_of<16, 1>());
    else if (d_state <= 128)
        f(state_width_of<32, 1>());
    else if (d_state <= 256)
        f(state_width_of<32, 2>());
    else if (d_state <= 512)
        f(state_width_of<32, 4>());
    else
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: CUDA has no step for a state of %lld", op,
                       (long long)d_state);
}

/* ---------------------------------------------------------------- the parts of mamba_mix ---------------- */

/* The decode rows on Hopper, in kernels/cuda/mamba_stream.cu; false: not for this layer. */
bool cuda_mix_stream(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                     const tsr_step *step);

/* In kernels/cuda/conv.cu and scan.cu; the views hold all rows of the step. */
void cuda_conv_prefill(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                       const tsr_step *step);
size_t cuda_scan_prefill_work(const tsr_mixer *m, const tsr_step *step);
void cuda_scan_prefill(tsr_queue *q, void *work, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                       tsr_slots ssm, const tsr_step *step);

/* Call f(constant of 4 or 8), whichever holds a convolution's width; wider ones fail the queue. */
template <int width>
struct conv_width_of {
    static constexpr int value = width;
};
template <typename F>
void cuda_by_conv_width(tsr_queue *q, const char *op, int64_t width, F f)
{
    if (width <= 4)
        f(conv_width_of<4>());
    else if (width <= 8)
        f(conv_width_of<8>());
    else
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: CUDA convolves at most 8 rows, not %lld", op,
                       (long long)width);
}

#endif
