/* kernels/cuda/mamba_stream.cuh: the step of decode rows on Hopper, as a stream of states through shared memory.
 *
 * A sequence's group of heads is a unit of work: it owns its B and C and its norm. A cluster of blocks takes a unit,
 * each block some of its heads, and then the next unit that is left for it. Every warp has a ring of stages for
 * chunks of a few rows of state: the copy engine brings a chunk, the warp steps it where it lies, the copy engine
 * takes it back. A ring runs over the ends of units, so that memory is busy while a block convolves its columns or
 * normalises its results.
 *
 * Sums are taken row by row and head by head, so that a result does not depend on how units are divided.
 *
 * The state, its tail, positions, slots and weights are read before cuda_wait_before. That is safe because whoever
 * wrote them is done by then: within a step this kernel alone writes a layer's state, and nobody the step's arrays;
 * and a step begins with embed, whose blocks let no other kernel start before they have seen all of the step
 * before it done.
 */
#ifndef TSR_CUDA_MAMBA_STREAM_CUH
#define TSR_CUDA_MAMBA_STREAM_CUH

#include "kernels/cuda/bulk.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/mamba.cuh"

struct stream_args {
    tsr_view y, p, taps, bias;
    const float *norm;
    float eps;
    mixer_shape m;
    tsr_mamba_state s;
    tsr_step step;
    int stages; /* of a ring, at most as many as a warp has chunks */
};

constexpr int stream_taps = 4;

/* half: the state is f16. lanes: threads that share a row, 16 elements each. */
template <bool half_, int lanes_, int chunk_rows_, int warps_>
struct stream_shape {
    static constexpr bool half = half_;
    static constexpr int lanes = lanes_, chunk_rows = chunk_rows_, warps = warps_,
                         threads = warps * cuda_warp;
    static constexpr int d_state = 16 * lanes, row_bytes = d_state * (half ? 2 : 4);
    static constexpr int chunk_bytes = chunk_rows * row_bytes, warp_rows = cuda_warp / lanes;
    static constexpr int at_once = half && lanes > 8 ? 1 : 2; /* passes that registers have room for */
    static_assert(chunk_rows % warp_rows == 0, "a chunk is whole passes of a warp");
};

/* Shared memory of a block that has n_heads heads, n columns, of a group of in_group heads. */
template <typename shape>
struct stream_memory {
    unsigned char *rings;
    uint64_t *barriers; /* [warps][stages] */
    uint64_t *told;     /* [2]: of `squares` */
    float *x;           /* [n]; becomes the gated result */
    float *b, *c;       /* [d_state] */
    float *gate, *norm; /* [n] */
    float *squares;     /* [2][in_group]: of the heads' results, of this unit and of the one before */
    head_step *heads;   /* [n_heads] */

    uint4 *tails; /* [stream_taps - 1][2 * d_state / 8], of clusters: inputs of B and C that are to be kept */

    static size_t bytes(int stages, int n, int n_heads, int in_group)
    {
        size_t tails = n_heads < in_group ? (stream_taps - 1) * 2 * shape::d_state * 2 : 0;
        return (size_t)shape::warps * (size_t)stages * (shape::chunk_bytes + sizeof(uint64_t)) +
               2 * sizeof(uint64_t) + (size_t)(3 * n + 2 * shape::d_state + 2 * in_group) * sizeof(float) +
               (size_t)((n_heads + 3) / 4 * 4) * sizeof(head_step) + tails;
    }

    __device__ __forceinline__ stream_memory(unsigned char *base, int stages, int n, int n_heads,
                                             int in_group)
    {
        rings = base;
        barriers = (uint64_t *)(rings + shape::warps * stages * shape::chunk_bytes);
        told = barriers + shape::warps * stages;
        x = (float *)(told + 2);
        b = x + n;
        c = b + shape::d_state;
        gate = c + shape::d_state;
        norm = gate + n;
        squares = norm + n;
        heads = (head_step *)(squares + 2 * in_group);
        tails = (uint4 *)(heads + (n_heads + 3) / 4 * 4); /* aligned again */
    }
};

/* The next chunk of a warp: in unit after unit, every warps-th one. */
template <typename shape>
struct stream_cursor {
    int64_t unit;
    int chunk;
    unsigned char *state; /* of the block's rows of this unit; NULL: there is none to be read */

    __device__ __forceinline__ void locate(const stream_args &a, int64_t n_units, int64_t first_row)
    {
        state = nullptr;
        if (unit >= n_units) return;
        int64_t i = unit / a.m.n_groups, group = unit % a.m.n_groups;
        if (!cuda_continues(a.step, i)) return;
        int64_t row = group * (a.m.n_heads / a.m.n_groups) * a.m.head_dim + first_row;
        state = cuda_slot(a.s.ssm, a.step.slot[i]) + row * shape::row_bytes;
    }

    __device__ __forceinline__ void advance(const stream_args &a, int64_t n_units, int n_chunks,
                                            int64_t first_row, int n_clusters)
    {
        chunk += shape::warps;
        if (chunk < n_chunks) return;
        chunk = threadIdx.x / cuda_warp;
        unit += n_clusters;
        locate(a, n_units, first_row);
    }

    /* By one thread. */
    __device__ __forceinline__ void fetch(int64_t n_units, unsigned char *stage, uint64_t *barrier) const
    {
        if (unit >= n_units) return;
        if (state)
            bulk_fetch(stage, state + (int64_t)chunk * shape::chunk_bytes, shape::chunk_bytes, barrier);
        else
            bulk_arrive(barrier);
    }
};

/* A thread's 16 elements of a row: vectors of 16 bytes, `lanes` apart. */
template <typename shape>
struct stream_row {
    static constexpr int each = shape::half ? 8 : 4, vectors = 16 / each;

    __device__ static int column(int v) { return each * (threadIdx.x % shape::lanes + shape::lanes * v); }

    __device__ __forceinline__ static void load(float *to, const unsigned char *row)
    {
#pragma unroll
        for (int v = 0; v < vectors; v++) {
            const uint4 w = *(const uint4 *)(row + column(v) * (shape::half ? 2 : 4));
            const uint32_t words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if constexpr (shape::half) {
                    to[8 * v + 2 * k] = cuda_from_f16((uint16_t)words[k]);
                    to[8 * v + 2 * k + 1] = cuda_from_f16((uint16_t)(words[k] >> 16));
                } else {
                    to[4 * v + k] = __uint_as_float(words[k]);
                }
            }
        }
    }

    /* Element 0 of the row is element `first` of the layer's state. */
    __device__ __forceinline__ static void store(unsigned char *row, const float *from, uint32_t first,
                                                 uint32_t pos)
    {
#pragma unroll
        for (int v = 0; v < vectors; v++) {
            uint32_t words[4], random = shape::half ? tsr_half_random(pos, (first + column(v)) / 8) : 0;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if constexpr (shape::half)
                    words[k] = cuda_to_half2(from[8 * v + 2 * k], from[8 * v + 2 * k + 1], random, 2 * k);
                else
                    words[k] = __float_as_uint(from[4 * v + k]);
            }
            *(uint4 *)(row + column(v) * (shape::half ? 2 : 4)) =
                make_uint4(words[0], words[1], words[2], words[3]);
        }
    }
};

CUDA_INLINE void stream_put8(float *to, const octet &o)
{
    ((float4 *)to)[0] = make_float4(o.v[0], o.v[1], o.v[2], o.v[3]);
    ((float4 *)to)[1] = make_float4(o.v[4], o.v[5], o.v[6], o.v[7]);
}

CUDA_INLINE octet stream_get8(const float *from)
{
    float4 a = ((const float4 *)from)[0], b = ((const float4 *)from)[1];
    return octet{{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

/* Eight columns of the convolution. Rows are bf16 as they lie, oldest first. */
struct stream_window {
    uint4 rows[stream_taps];
    octet sum, tap; /* of what came before; this step's */

    /* All but this step's row. */
    __device__ __forceinline__ void load(const stream_args &a, const unsigned char *tail, int column)
    {
        const float *taps = (const float *)a.taps.data + column;
        octet old[stream_taps - 1];
#pragma unroll
        for (int k = 0; k < stream_taps - 1; k++) {
            rows[k] = tail ? *(const uint4 *)row_of(a, tail, k, column) : make_uint4(0, 0, 0, 0);
            old[k] = stream_get8(taps + k * a.taps.stride);
        }
        tap = stream_get8(taps + (stream_taps - 1) * a.taps.stride);
        sum = stream_get8((const float *)a.bias.data + column);
#pragma unroll
        for (int k = 0; k < stream_taps - 1; k++) add(old[k], rows[k]);
    }

    __device__ __forceinline__ octet convolved(uint4 newest)
    {
        rows[stream_taps - 1] = newest;
        add(tap, newest);
#pragma unroll
        for (int j = 0; j < 8; j++) sum.v[j] = cuda_silu(sum.v[j]);
        return sum;
    }

    __device__ __forceinline__ void add(const octet &factors, uint4 bits)
    {
        float row[8];
        cuda_widen_bf16(row, bits);
#pragma unroll
        for (int j = 0; j < 8; j++) sum.v[j] += factors.v[j] * row[j];
    }

    __device__ __forceinline__ static unsigned char *row_of(const stream_args &a, const unsigned char *tail,
                                                            int k, int column)
    {
        return (unsigned char *)tail + 2 * ((int64_t)k * a.m.d_conv + column);
    }
};

/* Grid: clusters, a multiple of whose size it is. */
template <typename shape>
__global__ void __launch_bounds__(shape::threads, 512 / shape::threads) mix_stream_kernel(stream_args a)
{
    CUDA_DYNAMIC_SHARED(memory);
    constexpr int warps = shape::warps, threads = shape::threads, lanes = shape::lanes,
                  d_state = shape::d_state;
    const int n_blocks = (int)cuda_cluster_size(), rank = (int)cuda_cluster_rank();
    const int n_clusters = gridDim.x / n_blocks, in_group = a.m.n_heads / a.m.n_groups,
              n_heads = in_group / n_blocks, n = n_heads * a.m.head_dim, n_chunks = n / shape::chunk_rows;
    const int warp = threadIdx.x / cuda_warp, lane = threadIdx.x % cuda_warp;
    const int64_t n_units = a.step.n_decode * a.m.n_groups, first_row = (int64_t)rank * n;
    stream_memory<shape> w(memory, a.stages, n, n_heads, in_group);
    unsigned char *ring = w.rings + warp * a.stages * shape::chunk_bytes;
    uint64_t *barriers = w.barriers + warp * a.stages;

    stream_cursor<shape> next = {(int64_t)(blockIdx.x / n_blocks), warp, nullptr};
    if (warp >= n_chunks) next.unit = n_units;
    if (lane == 0) {
        for (int k = 0; k < a.stages; k++) bulk_open(&barriers[k]);
        bulk_opened();
        next.locate(a, n_units, first_row);
        for (int k = 0; k < a.stages; k++) {
            next.fetch(n_units, ring + k * shape::chunk_bytes, &barriers[k]);
            next.advance(a, n_units, n_chunks, first_row, n_clusters);
        }
    }
    if (threadIdx.x == 0) {
        bulk_open(&w.told[0]);
        bulk_open(&w.told[1]);
        bulk_opened();
    }
    __syncwarp();
    if (n_blocks > 1) cuda_cluster_arrive();
    cuda_release_next(); /* the product behind it asks for its weights meanwhile */
    const float y_scale = a.y.scaled == TSR_SCALE_TENSOR ? *a.y.scale : 0;
    int stage = 0, before = -1; /* `before`: a stage whose chunk is on its way back */
    unsigned parity = 0;

    unsigned round = 0; /* units done */
    for (int64_t unit = blockIdx.x / n_blocks; unit < n_units; unit += n_clusters, round++) {
        const int64_t i = unit / a.m.n_groups;
        const int group = (int)(unit % a.m.n_groups), first_head = group * in_group + rank * n_heads,
                  first = first_head * a.m.head_dim;
        const int b = a.m.d + group * d_state, c = b + a.m.n_groups * d_state;
        const int32_t slot = a.step.slot[i];
        const bool fresh = !cuda_continues(a.step, i);
        const uint32_t pos = (uint32_t)a.step.pos[i] + 1;
        unsigned char *tail = slot < 0 ? nullptr : cuda_slot(a.s.conv, slot);
        auto column_of = [&](int t) { /* of xBC, where the t-th eight of this block lie */
                                      return 8 * t < n             ? first + 8 * t
                                             : 8 * t < n + d_state ? b + 8 * t - n
                                                                   : c + 8 * t - n - d_state;
        };

        /* Gate, convolution, steps; all loads that wait for nobody first. */
        const int head = (int)threadIdx.x - (threads - n_heads); /* from 0 on: whose step this thread finds */
        head_step of_head = {};
        if (head >= 0) {
            of_head.dt = a.m.dt_bias[first_head + head];
            of_head.decay = a.m.a[first_head + head];
            of_head.skip = a.m.skip[first_head + head];
        }
        const unsigned char *row = cuda_row(a.p, i);
        for (int base = 0; base < (n + 2 * d_state) / 8; base += threads) {
            int t = base + threadIdx.x, z = base + threads - 1 - threadIdx.x; /* few threads have both */
            bool has_t = 8 * t < n + 2 * d_state, has_z = 8 * z < n;
            stream_window window;
            uint4 gate = {}, newest = {};
            if (has_t) window.load(a, fresh ? nullptr : tail, column_of(t));
            if (has_z) stream_put8(w.norm + 8 * z, stream_get8(a.norm + first + 8 * z));
            cuda_wait_before();
            if (head >= 0 && base == 0)
                of_head.dt += cuda_from_bf16(((const uint16_t *)row)[a.m.d + a.m.d_conv + first_head + head]);
            if (has_z) gate = *(const uint4 *)(row + 2 * (first + 8 * z));
            if (has_t) newest = *(const uint4 *)(row + 2 * (a.m.d + column_of(t)));
            if (has_t) {
                stream_put8(w.x + 8 * t, window.convolved(newest)); /* b and c lie behind x */
#pragma unroll
                for (int k = 0; k < stream_taps - 1; k++)
                    if (8 * t >= n && n_blocks > 1) /* the other blocks may not have read it yet */
                        w.tails[k * 2 * d_state / 8 + t - n / 8] = window.rows[k + 1];
                    else if (tail)
                        *(uint4 *)window.row_of(a, tail, k, column_of(t)) = window.rows[k + 1];
            }
            if (has_z) {
                octet o;
                cuda_widen_bf16(o.v, gate);
#pragma unroll
                for (int k = 0; k < 8; k++) o.v[k] = cuda_silu(o.v[k]);
                stream_put8(w.gate + 8 * z, o);
            }
        }
        if (head >= 0) {
            of_head.dt = cuda_softplus(a.m, of_head.dt);
            of_head.decay = expf(of_head.dt * of_head.decay);
            w.heads[head] = of_head;
        }
        __syncthreads();

        /* The state. */
        float b16[16], c16[16];
#pragma unroll
        for (int v = 0; v < stream_row<shape>::vectors; v++)
#pragma unroll
            for (int k = 0; k < stream_row<shape>::each; k++) {
                b16[v * stream_row<shape>::each + k] = w.b[stream_row<shape>::column(v) + k];
                c16[v * stream_row<shape>::each + k] = w.c[stream_row<shape>::column(v) + k];
            }
        unsigned char *to = slot < 0 ? nullptr : cuda_slot(a.s.ssm, slot) + (int64_t)first * shape::row_bytes;
        for (int chunk = warp; chunk < n_chunks; chunk += warps) {
            unsigned char *rows = ring + stage * shape::chunk_bytes;
            const int p0 = chunk * shape::chunk_rows;
            const head_step of = w.heads[p0 / a.m.head_dim];
            bulk_wait(&barriers[stage], parity);
            if (fresh) {
                for (int k = 16 * lane; k < shape::chunk_bytes; k += 16 * cuda_warp)
                    *(uint4 *)(rows + k) = make_uint4(0, 0, 0, 0);
                __syncwarp();
            }
#pragma unroll shape::at_once
            for (int k = 0; k < shape::chunk_rows; k += shape::warp_rows) {
                int r = k + lane / lanes, p = p0 + r;
                float h[16], at = w.x[p], dtx = of.dt * at, sum = 0;
                stream_row<shape>::load(h, rows + r * shape::row_bytes);
#pragma unroll
                for (int e = 0; e < 16; e++) {
                    h[e] = fmaf(of.decay, h[e], dtx * b16[e]);
                    sum = fmaf(h[e], c16[e], sum);
                }
                stream_row<shape>::store(rows + r * shape::row_bytes, h, (uint32_t)(first + p) * d_state,
                                         pos);
#pragma unroll
                for (int step = lanes / 2; step > 0; step /= 2)
                    sum += __shfl_xor_sync(cuda_all_lanes, sum, step);
                if (lane % lanes == 0) w.x[p] = (sum + of.skip * at) * w.gate[p];
            }
            bulk_publish();
            __syncwarp();
            if (lane == 0) {
                if (to) bulk_store(to + (int64_t)chunk * shape::chunk_bytes, rows, shape::chunk_bytes);
                if (before >= 0) {
                    to ? bulk_stored<1>() : bulk_stored<0>();
                    next.fetch(n_units, ring + before * shape::chunk_bytes, &barriers[before]);
                    next.advance(a, n_units, n_chunks, first_row, n_clusters);
                }
            }
            before = stage;
            if (++stage == a.stages) stage = 0, parity ^= 1;
        }
        __syncthreads();

        /* The norm. Every block is told the squares of all heads. */
        float *squares = w.squares + round % 2 * in_group;
        uint64_t *told = &w.told[round % 2];
        if (n_blocks > 1 && round == 0) cuda_cluster_wait();
        if (n_blocks > 1 && threadIdx.x == 0) bulk_expect(told, in_group * (unsigned)sizeof(float));
        for (int k = warp; k < n_heads; k += warps) {
            float sum = 0;
            for (int p = lane; p < a.m.head_dim; p += cuda_warp) {
                float value = w.x[k * a.m.head_dim + p];
                sum += value * value;
            }
            sum = cuda_warp_sum(sum);
            if (n_blocks == 1 && lane == 0) squares[k] = sum;
            if (n_blocks > 1 && lane < n_blocks)
                cuda_cluster_send(&squares[rank * n_heads + k], told, (unsigned)lane, sum);
        }
        if (n_blocks == 1)
            __syncthreads();
        else
            bulk_wait(told, round / 2 % 2);
        float sum = cuda_warp_sum(lane < in_group ? squares[lane] : 0);
        float inverse = 1 / sqrtf(sum / (float)(in_group * a.m.head_dim) + a.eps);
        auto result8 = [&](int64_t column) {
            octet o = {};
            if (column >= first + n) return o;
            o = stream_get8(w.x + column - first);
            const octet scale = stream_get8(w.norm + column - first);
#pragma unroll
            for (int k = 0; k < 8; k++) o.v[k] *= inverse * scale.v[k];
            return o;
        };
        if (a.y.scaled == TSR_SCALE_TENSOR) /* whose scale has been here for long */
            for (int k = 8 * threadIdx.x; k < n; k += 8 * threads)
                cuda_quantise8(cuda_row(a.y, i), first + k, first + n, result8(first + k), y_scale);
        else
            cuda_put_row(a.y, i, first, first + n, nullptr, result8);
        if (tail && n_blocks > 1 && rank == 0) /* every block has read it */
            for (int t = threadIdx.x; t < (stream_taps - 1) * d_state / 4; t += threads)
                *(uint4 *)stream_window::row_of(a, tail, t / (d_state / 4),
                                                column_of(n / 8 + t % (d_state / 4))) = w.tails[t];
        __syncthreads(); /* x, b, c, gate, norm and tails are free */
    }
    bulk_stored<0>();
}

#endif
