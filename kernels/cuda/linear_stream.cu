/* kernels/cuda/linear_stream.cu: products of 1 to 4 rows, as decoding makes them: bound by reading the weights.
 *
 * One block on each multiprocessor takes an equal share of the weight's rows, to the row, so that all end together.
 * Its warps divide the share: `tiles` of at most 16 rows side by side, `slices` of k, round by round. Each warp has
 * a ring of its own in shared memory, and copies into it without a word to the others: pieces of 16 rows along k,
 * the next ones on their way while one is multiplied. 4.6 TB/s over 132 multiprocessors and 0.8 us want 28 KB on
 * their way on each; the rings hold three times that, and half of the shared memory is left to the kernel that
 * comes next. It is let in when our last pieces are on their way, so that the memory does not rest between two
 * kernels: its first pieces come while our sums end, and before it waits for us to have written its x.
 *
 * The tensor cores multiply, as the weights are the tall operand and 8 rows of x cost as one: widened and multiplied
 * one by one, weights of E4M3 would take more instructions than there is time for. k may run in any order within a
 * product: a lane takes 16 bytes of a row of the weight as they lie, and the same elements of x. E4M3 is widened to
 * f16, which one instruction does for two; x is then f16 too, each row times a power of two that puts its largest
 * value below 2^15.
 * x lies in shared memory: all of it, or chunks along k in two buffers. The kernel may take its norm along.
 */
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/mma.cuh"

namespace
{
constexpr int kTile = 16, kRows = CUDA_DOT_ROWS; /* of the weight, of x */
constexpr int kWarps = 8, kThreads = kWarps * cuda_warp;
constexpr int kPiece = 256; /* bytes of a row in a piece */
constexpr int kStageBytes = kTile * kPiece;
constexpr int kSums = kTile * 8; /* of a warp */
constexpr int kSumBytes = 2 * kWarps * kSums * (int)sizeof(float);
constexpr int kStaticBytes = 1 << 10; /* room for what the kernel declares itself */
constexpr int kReleased = 3;          /* steps before the last when the next kernel may start */

struct norm_args {
    const float *w, *b; /* w NULL: no norm; b may be NULL */
    float eps;
    bool centred;
};

/* How the work is cut. */
struct plan {
    int tiles, slices;         /* of the warps */
    int slots;                 /* tiles of a block, over all rounds */
    int pieces;                /* of a row */
    int chunk_steps, n_chunks; /* pieces of a warp in a chunk of x */
    int x_pitch, x_bytes;      /* of a row in a chunk; of a chunk */
};

struct operands {
    tsr_view x;
    const unsigned char *w;
    int64_t row_bytes; /* of the weight */
    int n_out;
    norm_args norm;
    const float *clamp;
};

/* Weights of one type. 64 bytes of a row, 16 for each lane of four, meet 64 or 32 elements of x. */
template <bool FP8>
struct form {
    static constexpr int each = FP8 ? 1 : 2, piece = kPiece / each; /* bytes of an element; elements of a piece */
    static constexpr int products = FP8 ? 4 : 2;                    /* of 16 bytes of the weight */
    static constexpr int x_lane = FP8 ? 32 : 16;                    /* bytes of x beside them */
    static constexpr int x_pad = FP8 ? 16 : 64; /* behind a row of x, so that two rows read different banks */
};

/* Per row of x its mean and 1 / its deviation, as norm has them; warps share a row evenly. */
__device__ void measure_rows(float (*stats)[2], const tsr_view &x, const norm_args &norm)
{
    __shared__ float parts[kWarps];
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp;
    int each = x.rows > 2 ? kWarps / 4 : x.rows > 1 ? kWarps / 2 : kWarps, m = warp / each, part = warp % each;
    float mean = 0;
    for (int pass = norm.centred ? 0 : 1; pass < 2; pass++) {
        float sum = 0;
        if (m < x.rows)
#pragma unroll 4
            for (int64_t c = 8 * (part * cuda_warp + lane); c < x.cols; c += 8 * each * cuda_warp) {
                octet o = cuda_load_row8(x, m, c);
                for (int i = 0; i < 8; i++) {
                    float v = c + i < x.cols ? o.v[i] - mean : 0;
                    sum += pass ? v * v : v;
                }
            }
        sum = cuda_warp_sum(sum);
        if (lane == 0) parts[warp] = sum;
        __syncthreads();
        float total = 0;
        for (int i = 0; i < each; i++) total += parts[m * each + i];
        if (pass == 0) mean = total / (float)x.cols;
        if (pass == 1 && part == 0 && lane == 0) {
            stats[m][0] = mean;
            stats[m][1] = 1 / sqrtf(total / (float)x.cols + norm.eps);
        }
        __syncthreads();
    }
}

/* Chunk number `chunk` of x, normalised and clamped; zeros behind its columns. In f16 it is multiplied by a power of
 * two for each row, whose inverse goes to `back`. */
template <bool FP8>
CUDA_INLINE void keep_chunk(unsigned char *to, const operands &a, const plan &p, int chunk,
                            const float (*stats)[2], float (*most)[kWarps], float *back)
{
    constexpr int kAtOnce = 4;
    int elements = p.chunk_steps * p.slices * form<FP8>::piece, octets = elements / 8, n = (int)a.x.rows * octets;
    int64_t first = (int64_t)chunk * elements;
    int warp = threadIdx.x / cuda_warp, lane = threadIdx.x % cuda_warp;
    if (FP8 && lane < kRows) most[lane][warp] = 0;
    __syncwarp();
    bool plain = a.x.type == TSR_BF16 && a.x.scaled == TSR_SCALE_NONE && a.x.cols % 8 == 0 &&
                 a.x.stride % 8 == 0 && cuda_aligned(a.x.data, 16);
    for (int begin = threadIdx.x; begin < n; begin += kAtOnce * kThreads) {
        uint4 raw[kAtOnce];
#pragma unroll
        for (int b = 0; b < kAtOnce; b++) { /* all on their way before the first is looked at */
            int i = begin + b * kThreads, m = i / octets;
            int64_t c = first + i % octets * 8;
            raw[b] = make_uint4(0, 0, 0, 0);
            if (plain && i < n && c < a.x.cols) raw[b] = *(const uint4 *)(cuda_row(a.x, m) + c * 2);
        }
#pragma unroll
        for (int b = 0; b < kAtOnce; b++) {
            int i = begin + b * kThreads, m = i / octets, at = i % octets * 8;
            int64_t c = first + at;
            if (i >= n) break;
            octet o;
            cuda_widen_bf16(o.v, raw[b]);
            if (!plain) o = cuda_load_row8(a.x, m, c);
            if (a.norm.w) {
                octet w = cuda_load8(a.norm.w, TSR_F32, c, a.x.cols), shift = {};
                if (a.norm.b) shift = cuda_load8(a.norm.b, TSR_F32, c, a.x.cols);
#pragma unroll
                for (int j = 0; j < 8; j++)
                    o.v[j] = w.v[j] * ((o.v[j] - stats[m][0]) * stats[m][1]) + shift.v[j];
            }
            float amax = 0;
#pragma unroll
            for (int j = 0; j < 8; j++) {
                o.v[j] = linear_clamp(o.v[j], a.clamp);
                amax = fmaxf(amax, fabsf(o.v[j]));
            }
            cuda_store8(to + m * p.x_pitch, TSR_BF16, at, elements, o);
            if (FP8) { /* 32 threads are at the same row */
                amax = cuda_warp_max(amax);
                if (lane == 0) most[m][warp] = fmaxf(most[m][warp], amax);
            }
        }
    }
    if constexpr (FP8) {
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += kThreads) {
            int m = i / octets;
            float amax = 0;
            for (int j = 0; j < kWarps; j++) amax = fmaxf(amax, most[m][j]);
            int exponent = (int)(__float_as_uint(amax) >> 23), up = 268 - exponent; /* both with their bias of 127 */
            if (exponent == 255) up = 127;
            if (up > 252) up = 252;
            float factor = __uint_as_float((uint32_t)up << 23);
            if (i == m * octets) back[m] = __uint_as_float((uint32_t)(254 - up) << 23);
            uint4 *at = (uint4 *)(to + m * p.x_pitch + i % octets * 16);
            octet o;
            cuda_widen_bf16(o.v, *at);
            uint32_t h[4];
#pragma unroll
            for (int j = 0; j < 4; j++) h[j] = cuda_to_f16x2(o.v[2 * j] * factor, o.v[2 * j + 1] * factor);
            *at = make_uint4(h[0], h[1], h[2], h[3]);
        }
    }
}

/* The rows of a block's slot: `first`, counted from the block's own, and how many. */
struct span {
    int first, n;
};

CUDA_INLINE span span_of(int slot, int slots, int block_rows)
{
    int first = block_rows * slot / slots;
    return {first, block_rows * (slot + 1) / slots - first};
}

/* d += 16 rows of the weight x' over one piece. `w`: the piece in the ring; `x`: this lane's row at its elements. */
template <bool FP8>
CUDA_INLINE void multiply(float (*d)[4], const unsigned char *w, const unsigned char *x)
{
    using F = form<FP8>;
    int lane = threadIdx.x % cuda_warp, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int u = 0; u < kPiece / 64; u++) {
        const unsigned char *at = w + g * kPiece + ((4 * u + t) ^ g % 2 * 4) * 16;
        uint4 low = *(const uint4 *)at, high = *(const uint4 *)(at + 8 * kPiece);
        const uint32_t lows[4] = {low.x, low.y, low.z, low.w}, highs[4] = {high.x, high.y, high.z, high.w};
        uint32_t b[2 * F::products];
#pragma unroll
        for (int i = 0; i < F::products / 2; i++) {
            uint4 bits = *(const uint4 *)(x + u * 4 * F::x_lane + 16 * i);
            b[4 * i] = bits.x, b[4 * i + 1] = bits.y, b[4 * i + 2] = bits.z, b[4 * i + 3] = bits.w;
        }
#pragma unroll
        for (int i = 0; i < F::products; i++) {
            uint32_t from[4];
            if (FP8) {
                from[0] = cuda_fp8x2_as_f16(lows[i]), from[2] = cuda_fp8x2_as_f16(lows[i] >> 16);
                from[1] = cuda_fp8x2_as_f16(highs[i]), from[3] = cuda_fp8x2_as_f16(highs[i] >> 16);
            } else {
                from[0] = lows[2 * i % 4], from[2] = lows[2 * i % 4 + 1];
                from[1] = highs[2 * i % 4], from[3] = highs[2 * i % 4 + 1];
            }
            if (FP8)
                cuda_mma_f16(d[i % 2], from, b + 2 * i);
            else
                cuda_mma_bf16(d[i % 2], from, b + 2 * i);
        }
    }
}

/* Blocks: equal shares of the weight's rows. STAGES: pieces of a ring. */
template <bool FP8, int STAGES>
__global__ void __launch_bounds__(kThreads, 2)
    linear_stream_kernel(const __grid_constant__ linear_end e, const __grid_constant__ operands a,
                         const __grid_constant__ plan p)
{
    using F = form<FP8>;
    CUDA_DYNAMIC_SHARED(memory);
    __shared__ float stats[kRows][2], most[kRows][kWarps], back[2][kRows];
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, g = lane / 4, t = lane % 4;
    int tile = warp / p.slices, slice = warp % p.slices;
    unsigned char *ring = memory + warp * STAGES * kStageBytes, *chunks = memory + kWarps * STAGES * kStageBytes;
    float *sums = (float *)(chunks + (p.n_chunks > 1 ? 2 : 1) * p.x_bytes);
    int64_t block_first = (int64_t)a.n_out * blockIdx.x / gridDim.x;
    int block_rows = (int)((int64_t)a.n_out * (blockIdx.x + 1) / gridDim.x - block_first);
    int rounds = p.slots / p.tiles, steps = p.n_chunks * p.chunk_steps, left = rounds * steps;
    int release = left < kReleased ? left : kReleased;

    /* Pieces in the order of their use: round by round, step by step. */
    int next_round = 0, next_step = 0, next_stage = 0;
    auto fetch = [&]() {
        constexpr int chunk16 = kPiece / 16, at_once = cuda_warp / chunk16;
        span s = span_of(next_round * p.tiles + tile, p.slots, block_rows);
        int piece = next_step * p.slices + slice, row = lane / chunk16, c = lane % chunk16;
        int64_t byte = (int64_t)piece * kPiece + 16 * c;
        bool any = next_round < rounds && byte < a.row_bytes;
        unsigned char *to = ring + next_stage * kStageBytes;
        const unsigned char *from = a.w + (block_first + s.first) * a.row_bytes + byte;
#pragma unroll
        for (int i = 0; i < kTile / at_once; i++) {
            int r = row + i * at_once;
            bool there = any && r < s.n;
            cuda_copy16(to + r * kPiece + (c ^ r % 2 * 4) * 16, there ? from + r * a.row_bytes : a.w, there);
        }
        cuda_copy_commit(); /* an empty group too: groups are counted */
        next_stage = next_stage + 1 < STAGES ? next_stage + 1 : 0;
        if (++next_step == steps) next_step = 0, next_round++;
    };
    for (int i = 0; i < STAGES - 1; i++) fetch();

    cuda_wait_before();
    if (a.norm.w) measure_rows(stats, a.x, a.norm);
    keep_chunk<FP8>(chunks, a, p, 0, stats, most, back[0]);
    __syncthreads();

    int stage = 0, buffer = 0, m = g < (int)a.x.rows ? g : (int)a.x.rows - 1; /* rows that are not there: any */
    for (int round = 0; round < rounds; round++) {
        float totals[4] = {};
        for (int chunk = 0; chunk < p.n_chunks; chunk++) {
            bool last = chunk + 1 == p.n_chunks, more = p.n_chunks > 1 && (!last || round + 1 < rounds);
            if (more)
                keep_chunk<FP8>(chunks + (buffer ^ 1) * p.x_bytes, a, p, last ? 0 : chunk + 1, stats, most,
                                back[buffer ^ 1]);
            float d[2][4] = {};
            const unsigned char *x = chunks + buffer * p.x_bytes + m * p.x_pitch + t * F::x_lane;
            for (int s = 0; s < p.chunk_steps; s++) {
                cuda_copy_wait<STAGES - 2>();
                __syncwarp(); /* this piece is there for all lanes, and all have read the one before */
                fetch();
                if (left-- == release) cuda_release_next();
                if ((chunk * p.chunk_steps + s) * p.slices + slice < p.pieces)
                    multiply<FP8>(d, ring + stage * kStageBytes, x + (s * p.slices + slice) * F::piece * 2);
                stage = stage + 1 < STAGES ? stage + 1 : 0;
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int r = 2 * t + i % 2;
                totals[i] += (d[0][i] + d[1][i]) * (FP8 ? back[buffer][r < (int)a.x.rows ? r : 0] : 1);
            }
            if (p.n_chunks > 1) __syncthreads();
            if (more) buffer ^= 1;
        }
        float *parts = sums + round % 2 * kWarps * kSums;
#pragma unroll
        for (int i = 0; i < 4; i++) parts[warp * kSums + i * cuda_warp + lane] = totals[i];
        __syncthreads(); /* the other half of the sums is free again: its readers are past this barrier */
        int width = p.tiles * kTile;
        for (int i = threadIdx.x; i < (int)a.x.rows * width; i += kThreads) {
            int r = i / width, of = i % width / kTile, line = i % kTile;
            span s = span_of(round * p.tiles + of, p.slots, block_rows);
            if (line >= s.n) continue;
            const float *part = parts + of * p.slices * kSums + (line / 8 * 2 + r % 2) * cuda_warp +
                                line % 8 * 4 + r / 2;
            float sum = 0;
            for (int k = 0; k < p.slices; k++) sum += part[k * kSums];
            linear_put(e, sum, r, block_first + s.first + line);
        }
    }
}

constexpr int ring_bytes(int stages)
{
    return kWarps * stages * kStageBytes;
}

template <bool FP8>
plan plan_of(const operands &a, int64_t blocks, int64_t room)
{
    using F = form<FP8>;
    plan p = {};
    int64_t rows = a.x.rows, need = cuda_blocks(cuda_blocks(a.n_out, blocks), kTile);
    p.tiles = 1;
    p.pieces = (int)cuda_blocks(a.row_bytes, kPiece);
    int64_t all = cuda_blocks(p.pieces, kWarps);
    bool whole = rows * (all * kWarps * F::piece * 2 + F::x_pad) <= room;
    if (!whole && need > 1) p.tiles = 2; /* each passes over x at the same time */
    p.slices = kWarps / p.tiles;
    p.slots = (int)cuda_round_up(need, p.tiles);
    int step_bytes = p.slices * F::piece * 2, steps = (int)cuda_blocks(p.pieces, p.slices);
    p.chunk_steps = steps;
    if (!whole) {
        p.chunk_steps = (int)((room / (2 * rows) - F::x_pad) / step_bytes);
        if (p.chunk_steps < 1) p.chunk_steps = 1;
    }
    p.n_chunks = (int)cuda_blocks(steps, p.chunk_steps);
    p.x_pitch = p.chunk_steps * step_bytes + F::x_pad;
    p.x_bytes = (int)rows * p.x_pitch;
    return p;
}

template <bool FP8, int STAGES>
void launch(tsr_queue *q, const linear_end &e, const operands &a)
{
    int64_t blocks = a.n_out < cuda_processors(q) ? a.n_out : cuda_processors(q);
    int own = ring_bytes(STAGES) + kSumBytes;
    plan p = plan_of<FP8>(a, blocks, (int64_t)linear_most_shared(q) - kStaticBytes - own);
    cuda_launch_early(q, "linear", linear_stream_kernel<FP8, STAGES>, cuda_grid(blocks), cuda_grid(kThreads),
                      (size_t)(own + (p.n_chunks > 1 ? 2 : 1) * p.x_bytes), e, a, p);
}

template <bool FP8>
void launch_for(tsr_queue *q, const linear_end &e, const operands &a)
{
    if ((int64_t)linear_most_shared(q) > 2 * ring_bytes(2))
        launch<FP8, 3>(q, e, a);
    else
        launch<FP8, 2>(q, e, a);
}
} // namespace

void linear_stream(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, const tsr_linear_opts &o)
{
    operands a = {};
    a.x = x;
    a.w = (const unsigned char *)w->data;
    a.row_bytes = cuda_weight_stride(w->cols) * (int64_t)tsr_dtype_bytes(w->type);
    a.n_out = (int)w->rows;
    a.clamp = linear_clamp_scale(x, w);
    if (o.norm) {
        a.norm.w = (const float *)o.norm->w.data;
        a.norm.b = o.norm->b.rows ? (const float *)o.norm->b.data : nullptr;
        a.norm.eps = o.norm->eps;
        a.norm.centred = o.norm->centred;
    }
    if (w->type == TSR_FP8)
        launch_for<true>(q, linear_end_of(y, w, o), a);
    else
        launch_for<false>(q, linear_end_of(y, w, o), a);
}
