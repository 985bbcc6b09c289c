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
 * The state, its tail, positions, slots and weights are read before cuda_wait_before. This is safe because none of
 * them is written by a kernel that may still run then: a step begins with a kernel that is not launched early
 * (embed), so no kernel of an earlier step runs beside one of this step; the step's arrays and this layer's state were
 * last written before it; and within a step the only writer of a layer's state is this kernel.
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
    int width; /* of the convolution, at most 4 */
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
    static_assert(chunk_rows % warp_rows == 0, "a chunk is whole passes of a warp");
};

/* Shared memory of a block that has n_heads heads, n columns. */
template <typename shape>
struct stream_memory {
    unsigned char *rings;
    uint64_t *barriers; /* [warps][stages] */
    float *x, *gate;    /* [n]; x becomes the gated result */
    float *b, *c;       /* [d_state] */
    float *squares;     /* [2][n_heads], of this unit and the one before */
    head_step *heads;   /* [n_heads] */

    static size_t bytes(int stages, int n, int n_heads)
    {
        return (size_t)shape::warps * (size_t)stages * (shape::chunk_bytes + sizeof(uint64_t)) +
               (size_t)(2 * n + 2 * shape::d_state + 2 * n_heads) * sizeof(float) +
               (size_t)n_heads * sizeof(head_step);
    }

    __device__ __forceinline__ stream_memory(unsigned char *base, int stages, int n, int n_heads)
    {
        rings = base;
        barriers = (uint64_t *)(rings + shape::warps * stages * shape::chunk_bytes);
        x = (float *)(barriers + shape::warps * stages);
        gate = x + n;
        b = gate + n;
        c = b + shape::d_state;
        squares = c + shape::d_state;
        heads = (head_step *)(squares + 2 * n_heads);
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
            uint32_t words[4];
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if constexpr (shape::half) {
                    uint32_t random = tsr_half_random(pos, (first + column(v)) / 2 + k);
                    words[k] = cuda_to_half2(from[8 * v + 2 * k], from[8 * v + 2 * k + 1], random);
                } else {
                    words[k] = __float_as_uint(from[4 * v + k]);
                }
            }
            *(uint4 *)(row + column(v) * (shape::half ? 2 : 4)) =
                make_uint4(words[0], words[1], words[2], words[3]);
        }
    }
};

/* Eight columns of the convolution, oldest rows first; those behind `width` do not count, whatever they hold. */
struct stream_window {
    octet rows[stream_taps - 1]; /* the ones that stay, this step's last */
    octet sum;

    /* All but this step's row. */
    __device__ __forceinline__ void load(const stream_args &a, const unsigned char *tail, int column)
    {
        octet taps[stream_taps - 1], old[stream_taps - 1];
        sum = cuda_load8(a.bias.data, TSR_F32, column, a.m.d_conv);
#pragma unroll
        for (int k = 0; k < stream_taps - 1; k++) {
            int from = k - (stream_taps - a.width);
            taps[k] = old[k] = octet{};
            if (from < 0) continue;
            taps[k] = cuda_load8(cuda_row(a.taps, from), TSR_F32, column, a.m.d_conv);
            if (tail) old[k] = cuda_load8(row_of(a, tail, from), a.s.conv.type, column, a.m.d_conv);
        }
#pragma unroll
        for (int k = 0; k < stream_taps - 1; k++) {
            if (k > 0) rows[k - 1] = old[k];
            if (k >= stream_taps - a.width) add(taps[k], old[k]);
        }
    }

    __device__ __forceinline__ octet convolve(const stream_args &a, const octet &newest, int column)
    {
        rows[stream_taps - 2] = newest;
        add(cuda_load8(cuda_row(a.taps, a.width - 1), TSR_F32, column, a.m.d_conv), newest);
#pragma unroll
        for (int j = 0; j < 8; j++) sum.v[j] = cuda_silu(sum.v[j]);
        return sum;
    }

    __device__ __forceinline__ void keep(const stream_args &a, unsigned char *tail, int column) const
    {
#pragma unroll
        for (int k = 0; k < stream_taps - 1; k++) {
            int to = k - (stream_taps - a.width);
            if (to >= 0) cuda_store8(row_of(a, tail, to), a.s.conv.type, column, a.m.d_conv, rows[k]);
        }
    }

private:
    __device__ __forceinline__ void add(const octet &tap, const octet &row)
    {
#pragma unroll
        for (int j = 0; j < 8; j++) sum.v[j] += tap.v[j] * row.v[j];
    }

    __device__ __forceinline__ static unsigned char *row_of(const stream_args &a, const unsigned char *tail, int k)
    {
        return (unsigned char *)tail + (int64_t)k * a.m.d_conv * cuda_bytes(a.s.conv.type);
    }
};

CUDA_INLINE void stream_put8(float *to, const octet &o)
{
    ((float4 *)to)[0] = make_float4(o.v[0], o.v[1], o.v[2], o.v[3]);
    ((float4 *)to)[1] = make_float4(o.v[4], o.v[5], o.v[6], o.v[7]);
}

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
    stream_memory<shape> w(memory, a.stages, n, n_heads);
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
    __syncwarp();
    int stage = 0, before = -1; /* `before`: a stage whose chunk is on its way back */
    unsigned parity = 0;

    int round = 0;
    for (int64_t unit = blockIdx.x / n_blocks; unit < n_units; unit += n_clusters, round ^= 1) {
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

        /* Gate, convolution, steps. */
        for (int base = 0; base < (n + 2 * d_state) / 8; base += threads) {
            int t = base + threadIdx.x, z = base + threads - 1 - threadIdx.x; /* few threads have both */
            bool has_t = 8 * t < n + 2 * d_state, has_z = 8 * z < n;
            stream_window window;
            if (has_t) window.load(a, fresh ? nullptr : tail, column_of(t));
            cuda_wait_before();
            const unsigned char *row = cuda_row(a.p, i);
            octet gate = {};
            if (has_z) gate = cuda_load8(row, a.p.type, first + 8 * z, a.m.d);
            if (has_t) {
                octet newest = cuda_load8(row, a.p.type, a.m.d + column_of(t), a.m.d + a.m.d_conv);
                stream_put8((8 * t < n ? w.x : w.b - n) + 8 * t, /* c lies behind b */
                            window.convolve(a, newest, column_of(t)));
                if (tail && (8 * t < n || n_blocks == 1)) window.keep(a, tail, column_of(t));
            }
            if (has_z) {
#pragma unroll
                for (int k = 0; k < 8; k++) gate.v[k] = cuda_silu(gate.v[k]);
                stream_put8(w.gate + 8 * z, gate);
            }
        }
        if ((int)threadIdx.x >= threads - n_heads) {
            int k = threadIdx.x - (threads - n_heads);
            tsr_view dt = a.p;
            dt.data = (unsigned char *)a.p.data + (a.m.d + a.m.d_conv) * cuda_bytes(a.p.type);
            w.heads[k] = cuda_head_step(a.m, dt, i, first_head + k);
        }
        cuda_release_next();
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
            const head_step head = w.heads[p0 / a.m.head_dim];
            bulk_wait(&barriers[stage], parity);
#pragma unroll 2
            for (int k = 0; k < shape::chunk_rows; k += shape::warp_rows) {
                int r = k + lane / lanes, p = p0 + r;
                float h[16], at = w.x[p], dtx = head.dt * at, sum = 0;
                stream_row<shape>::load(h, rows + r * shape::row_bytes);
#pragma unroll
                for (int e = 0; e < 16; e++) {
                    h[e] = fmaf(head.decay, fresh ? 0 : h[e], dtx * b16[e]);
                    sum = fmaf(h[e], c16[e], sum);
                }
                stream_row<shape>::store(rows + r * shape::row_bytes, h, (uint32_t)(first + p) * d_state,
                                         pos);
#pragma unroll
                for (int step = lanes / 2; step > 0; step /= 2)
                    sum += __shfl_xor_sync(cuda_all_lanes, sum, step);
                if (lane % lanes == 0) w.x[p] = (sum + head.skip * at) * w.gate[p];
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

        /* The norm. */
        float *squares = w.squares + round * n_heads;
        for (int k = warp; k < n_heads; k += warps) {
            float sum = 0;
            for (int p = lane; p < a.m.head_dim; p += cuda_warp) {
                float value = w.x[k * a.m.head_dim + p];
                sum += value * value;
            }
            sum = cuda_warp_sum(sum);
            if (lane == 0) squares[k] = sum;
        }
        if (n_blocks == 1)
            __syncthreads();
        else
            cuda_cluster_sync();
        float sum = 0;
        if (lane < in_group) sum = cuda_cluster_load(&squares[lane % n_heads], (unsigned)(lane / n_heads));
        float inverse = 1 / sqrtf(cuda_warp_sum(sum) / (float)(in_group * a.m.head_dim) + a.eps);
        cuda_put_row(a.y, i, first, first + n, nullptr, [&](int64_t column) {
            octet o = {};
            if (column < first + n) {
                o = cuda_load8(a.norm, TSR_F32, column, a.m.d);
#pragma unroll
                for (int k = 0; k < 8; k++) o.v[k] *= w.x[column - first + k] * inverse;
            }
            return o;
        });
        if (tail && n_blocks > 1 && rank == 0) /* every block has read them */
            for (int t = n / 8 + threadIdx.x; 8 * t < n + 2 * d_state; t += threads) {
                stream_window window;
                window.load(a, fresh ? nullptr : tail, column_of(t));
                window.rows[stream_taps - 2] =
                    cuda_load8(cuda_row(a.p, i), a.p.type, a.m.d + column_of(t), a.m.d + a.m.d_conv);
                window.keep(a, tail, column_of(t));
            }
        __syncthreads(); /* x, gate, b, c are free */
    }
    bulk_stored<0>();
    if (n_blocks > 1) cuda_cluster_sync(); /* nobody leaves while its sums are read */
}

#endif
