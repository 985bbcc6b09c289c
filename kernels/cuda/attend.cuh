/* kernels/cuda/attend.cuh: softmax attention, once for rows of one matrix (attend) and once for pages (kv_attend).
 *
 * A source says which keys a row sees and where they lie. Two kernels read it:
 *   attend_rows   one row and a KV head per block, f32 multiply-adds: any type; what decoding uses, where the time
 *                 is that of reading keys and values. Keys may be cut in splits of fixed length, whose results
 *                 attend_combine joins in their order.
 *   attend_tiles  64 queries per block against tiles of keys on the tensor cores, bf16, scores never leaving the
 *                 multiprocessor (arXiv:2205.14135). The query heads of one KV head share a tile: a tile's row is
 *                 (row of x, head), so keys are read once for all of them.
 * Both keep a running maximum and sum (arXiv:1805.02867).
 */
#ifndef TSR_CUDA_ATTEND_CUH
#define TSR_CUDA_ATTEND_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/value.cuh"

enum { CUDA_ATTEND_SEGMENT = 256, CUDA_ATTEND_MOST_DIM = 256 };

/* Keys and values of one KV head. key(p), value(p): head_dim elements; NULL stands for zeros. */
struct span_keys {
    const unsigned char *k, *v;
    int64_t row_bytes;
    __device__ const unsigned char *key(int p) const { return k + p * row_bytes; }
    __device__ const unsigned char *value(int p) const { return v + p * row_bytes; }
};

struct page_keys {
    const unsigned char *k, *v; /* of this head in page 0 */
    const int32_t *pages;
    int64_t page_bytes, token_bytes;
    int page_tokens;
    __device__ const unsigned char *at(const unsigned char *base, int p) const
    {
        int page = pages[p / page_tokens];
        return page < 0 ? nullptr : base + page * page_bytes + p % page_tokens * token_bytes;
    }
    __device__ const unsigned char *key(int p) const { return at(k, p); }
    __device__ const unsigned char *value(int p) const { return at(v, p); }
};

/* Rows of sequence i begin at first(i); row t of it sees keys 0 .. sees(i, t) - 1. */
struct span_source {
    typedef span_keys keys_type;
    tsr_view qkv;
    tsr_heads heads;
    const int32_t *start;
    int64_t n;

    __device__ tsr_dtype type() const { return qkv.type; }
    __device__ float k_scale() const { return 1; }
    __device__ float v_scale() const { return 1; }
    __device__ int sees(int64_t i, int64_t) const { return start[i + 1] - start[i]; }
    __device__ span_keys keys(int64_t i, int64_t kv_head) const
    {
        int64_t each = cuda_bytes(qkv.type), d = heads.head_dim;
        const unsigned char *row = cuda_row(qkv, start[i]);
        return {row + (heads.n_q + kv_head) * d * each, row + (heads.n_q + heads.n_kv + kv_head) * d * each,
                qkv.stride * each};
    }
};

struct page_source {
    typedef page_keys keys_type;
    tsr_pages pages;
    tsr_heads heads;
    const int32_t *start, *pos, *table;
    int64_t n, max_pages;

    __device__ tsr_dtype type() const { return pages.type; }
    __device__ float k_scale() const { return pages.type == TSR_FP8 ? *pages.k_scale : 1; }
    __device__ float v_scale() const { return pages.type == TSR_FP8 ? *pages.v_scale : 1; }
    __device__ int sees(int64_t i, int64_t t) const { return pos[i] + (int)t + 1; }
    __device__ page_keys keys(int64_t i, int64_t kv_head) const
    {
        int64_t each = cuda_bytes(pages.type), token = heads.head_dim * each;
        int64_t head = kv_head * pages.page_tokens * token;
        return {(const unsigned char *)pages.k + head,
                (const unsigned char *)pages.v + head,
                table + i * max_pages,
                pages.page_stride,
                token,
                (int)pages.page_tokens};
    }
};

static inline page_source page_source_of(const tsr_pages &pages, const tsr_heads &heads, const tsr_step *step)
{
    return {pages, heads, step->spans.start, step->pos, step->pages, step->n_seqs, step->max_pages};
}

/* The sequence that row r belongs to: the last whose first row is not behind it. */
template <class S>
CUDA_INLINE int64_t attend_sequence(const S &s, int64_t r)
{
    int64_t low = 0, high = s.n - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (s.start[middle] <= r)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* One value of y, in a form that needs no other value. */
CUDA_INLINE void attend_put(const tsr_view &y, int64_t r, int64_t c, float value)
{
    unsigned char *row = cuda_row(y, r);
    if (y.type == TSR_FP8)
        row[c] = cuda_quantise(value, *cuda_scale(y, r, c));
    else
        cuda_store(row, y.type, c, value);
}

/* Two neighbours, an even column and the next. */
CUDA_INLINE void attend_put2(const tsr_view &y, int64_t r, int64_t c, float a, float b)
{
    unsigned char *row = cuda_row(y, r);
    if (y.type == TSR_BF16 && cuda_aligned(row, 4)) {
        ((uint32_t *)row)[c / 2] = cuda_to_bf16x2(a, b);
    } else {
        attend_put(y, r, c, a);
        attend_put(y, r, c + 1, b);
    }
}

/* ---------------------------------------------------------------- a row at a time ----------------------- */

constexpr int attend_threads = 128;

/* Blocks: rows from first_row on; KV heads times pieces of at most G of its query heads; splits of `split` keys.
 * `partial` NULL: y is written; otherwise [rows][n_q][splits][head_dim + 2]: sums, maximum, sum of weights. */
template <int G, class S>
__global__ void __launch_bounds__(attend_threads)
    attend_rows_kernel(S source, tsr_view y, tsr_view x, int64_t first_row, int lanes, int split,
                       float *partial)
{
    constexpr int kWarps = attend_threads / cuda_warp;
    __shared__ float score[G][CUDA_ATTEND_SEGMENT];
    __shared__ float most[G], total[G], factor[G];
    __shared__ float sums[kWarps][G][CUDA_ATTEND_MOST_DIM];
    const tsr_heads &h = source.heads;
    int tid = threadIdx.x, lane = tid % cuda_warp, warp = tid / cuda_warp;
    int d = (int)h.head_dim, group = (int)(h.n_q / h.n_kv), pieces = (group + G - 1) / G;
    int64_t r = first_row + blockIdx.x, kv_head = blockIdx.y / pieces;
    int first_head = (int)(kv_head * group) + blockIdx.y % pieces * G;
    int n_heads =
        (int)((kv_head + 1) * group) - first_head < G ? (int)((kv_head + 1) * group) - first_head : G;

    int64_t i = attend_sequence(source, r);
    int n = source.sees(i, r - source.start[i]), begin = blockIdx.z * split;
    if (begin >= n) return; /* attend_combine counts splits as it does here */
    int end = n - begin < split ? n : begin + split;
    typename S::keys_type keys = source.keys(i, kv_head);
    tsr_dtype type = source.type();
    const float scale = h.scale * source.k_scale();

    /* `lanes` threads share a key, 8 dimensions each. */
    int slot = tid / lanes, slots = attend_threads / lanes, c = tid % lanes * 8;
    octet query[G], acc[G];
#pragma unroll
    for (int g = 0; g < G; g++) {
        acc[g] = {};
        query[g] = {};
        if (g < n_heads)
            query[g] = cuda_load8(cuda_row(x, r) + (first_head + g) * d * cuda_bytes(x.type), x.type, c, d);
    }
    if (tid < G) most[tid] = -INFINITY, total[tid] = 0;

    for (int from = begin; from < end; from += CUDA_ATTEND_SEGMENT) {
        int there = end - from < CUDA_ATTEND_SEGMENT ? end - from : CUDA_ATTEND_SEGMENT;
        for (int base = 0; base < there; base += slots) {
            int p = base + slot;
            octet k = {};
            const unsigned char *key = p < there ? keys.key(from + p) : nullptr;
            if (key) k = cuda_load8(key, type, c, d);
#pragma unroll
            for (int g = 0; g < G; g++) {
                float dot = 0;
#pragma unroll
                for (int e = 0; e < 8; e++) dot = fmaf(query[g].v[e], k.v[e], dot);
                for (int step = lanes / 2; step > 0; step /= 2)
                    dot += __shfl_xor_sync(cuda_all_lanes, dot, step);
                if (c == 0 && p < there) score[g][p] = dot * scale;
            }
        }
        __syncthreads();
        for (int g = warp; g < G; g += kWarps) {
            float max = -INFINITY, sum = 0;
            for (int p = lane; p < there; p += cuda_warp) max = fmaxf(max, score[g][p]);
            float before = most[g], now = fmaxf(before, cuda_warp_max(max));
            for (int p = lane; p < there; p += cuda_warp) sum += score[g][p] = expf(score[g][p] - now);
            sum = cuda_warp_sum(sum);
            __syncwarp(); /* all have read most[g] */
            if (lane == 0) {
                factor[g] = expf(before - now);
                total[g] = total[g] * factor[g] + sum;
                most[g] = now;
            }
        }
        __syncthreads();
        if (from > begin) {
#pragma unroll
            for (int g = 0; g < G; g++)
                for (int e = 0; e < 8; e++) acc[g].v[e] *= factor[g];
        }
        for (int p = slot; p < there; p += slots) {
            const unsigned char *value = keys.value(from + p);
            octet v = {};
            if (value) v = cuda_load8(value, type, c, d);
#pragma unroll
            for (int g = 0; g < G; g++) {
                float weight = score[g][p];
#pragma unroll
                for (int e = 0; e < 8; e++) acc[g].v[e] = fmaf(weight, v.v[e], acc[g].v[e]);
            }
        }
        __syncthreads(); /* scores are overwritten next */
    }

#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int e = 0; e < 8; e++) {
            float sum = acc[g].v[e];
            for (int step = lanes; step < cuda_warp; step *= 2)
                sum += __shfl_xor_sync(cuda_all_lanes, sum, step);
            if (lane < lanes && c + e < d) sums[warp][g][c + e] = sum;
        }
    __syncthreads();
    for (int at = tid; at < n_heads * d; at += attend_threads) {
        int g = at / d, e = at % d;
        float sum = 0;
        for (int w = 0; w < kWarps; w++) sum += sums[w][g][e];
        if (partial) {
            float *to = partial + ((blockIdx.x * h.n_q + first_head + g) * gridDim.z + blockIdx.z) * (d + 2);
            to[e] = sum;
            if (e == 0) to[d] = most[g], to[d + 1] = total[g];
        } else {
            attend_put(y, r, (first_head + g) * d + e, sum / total[g] * source.v_scale());
        }
    }
}

/* Blocks: rows from first_row on, query heads. */
template <class S>
__global__ void attend_combine_kernel(S source, tsr_view y, int64_t first_row, int split, int splits,
                                      const float *partial)
{
    int d = (int)source.heads.head_dim;
    int64_t r = first_row + blockIdx.x, i = attend_sequence(source, r);
    int n = source.sees(i, r - source.start[i]), used = (n + split - 1) / split;
    const float *from = partial + (blockIdx.x * source.heads.n_q + blockIdx.y) * splits * (d + 2);
    float most = -INFINITY, total = 0;
    for (int s = 0; s < used; s++) most = fmaxf(most, from[s * (d + 2) + d]);
    for (int s = 0; s < used; s++) total += from[s * (d + 2) + d + 1] * expf(from[s * (d + 2) + d] - most);
    for (int e = threadIdx.x; e < d; e += blockDim.x) {
        float sum = 0;
        for (int s = 0; s < used; s++) sum += from[s * (d + 2) + e] * expf(from[s * (d + 2) + d] - most);
        attend_put(y, r, (int64_t)blockIdx.y * d + e, sum / total * source.v_scale());
    }
}

static inline size_t attend_partial_bytes(const tsr_heads &h, int64_t rows, int64_t splits)
{
    if (splits == 1) return 0;
    size_t each = tsr_mul((size_t)h.head_dim + 2, sizeof(float));
    return tsr_mul(tsr_mul((size_t)rows, (size_t)h.n_q), tsr_mul((size_t)splits, each));
}

/* n rows of y from first_row on. split is a multiple of CUDA_ATTEND_SEGMENT; splits 1: partial is not used. */
template <class S>
void attend_rows(tsr_queue *q, const char *op, const S &source, const tsr_view &y, const tsr_view &x,
                 int64_t first_row, int64_t n, int64_t split, int64_t splits, float *partial)
{
    const tsr_heads &h = source.heads;
    int64_t group = h.n_q / h.n_kv;
    int lanes = 1;
    while (lanes * 8 < h.head_dim) lanes *= 2;
    if (splits == 1) partial = nullptr;
    auto launch = [&](auto kernel, int64_t g) {
        cuda_launch(q, op, kernel, cuda_grid(n, h.n_kv * cuda_blocks(group, g), splits),
                    cuda_grid(attend_threads), 0, source, y, x, first_row, lanes, (int)split, partial);
    };
    if (group == 1)
        launch(attend_rows_kernel<1, S>, 1);
    else if (group == 2)
        launch(attend_rows_kernel<2, S>, 2);
    else
        launch(attend_rows_kernel<4, S>, 4);
    if (partial)
        cuda_launch(q, op, attend_combine_kernel<S>, cuda_grid(n, h.n_q), cuda_grid(128), 0, source, y,
                    first_row, (int)split, (int)splits, (const float *)partial);
}

/* ---------------------------------------------------------------- tiles --------------------------------- */

constexpr int attend_tile = 64; /* queries of a block, 16 for each of 4 warps */

/* Tile of ROWS rows of DIM bf16 values, zeros beyond head_dim and where a row is NULL. A copy of nothing still
 * wants an address: `somewhere`. */
template <int ROWS, int DIM, int PITCH, class At>
CUDA_INLINE void attend_fetch(unsigned char *to, int d, bool aligned, const void *somewhere, At at)
{
    constexpr int chunks = DIM / 8;
    for (int i = threadIdx.x; i < ROWS * chunks; i += attend_threads) {
        int row = i / chunks, c = i % chunks * 8;
        const unsigned char *from = at(row);
        unsigned char *there = to + row * PITCH + 2 * c;
        if (aligned) {
            bool real = from && c < d;
            cuda_copy16(there, real ? from + 2 * c : somewhere, real);
        } else {
            for (int e = 0; e < 8; e++)
                ((uint16_t *)there)[e] = from && c + e < d ? ((const uint16_t *)from)[c + e] : 0;
        }
    }
}

/* DIM: head_dim rounded up to a size that was compiled. Blocks: tiles of a sequence's queries, KV heads,
 * sequences from first_seq on. */
template <int DIM, class S>
__global__ void __launch_bounds__(attend_threads)
    attend_tiles_kernel(S source, tsr_view y, tsr_view x, int64_t first_seq, bool aligned)
{
    constexpr int kKeys = DIM > 128 ? 32 : 64, kPitch = 2 * DIM + 32, kPitchV = 2 * DIM + 16;
    constexpr int kK = kKeys * kPitch, kStage = kK + kKeys * kPitchV;
    CUDA_DYNAMIC_SHARED(memory);
    unsigned char *queries = memory, *stages = memory + attend_tile * kPitch;
    const tsr_heads &h = source.heads;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp, g = lane / 4, t = lane % 4;
    int d = (int)h.head_dim, group = (int)(h.n_q / h.n_kv);
    int64_t i = first_seq + blockIdx.z, kv_head = blockIdx.y, first = source.start[i];
    int rows = (source.start[i + 1] - (int)first) * group, tile = blockIdx.x * attend_tile;
    if (tile >= rows) return;
    typename S::keys_type keys = source.keys(i, kv_head);
    int last = tile + attend_tile < rows ? tile + attend_tile - 1 : rows - 1;
    int n = source.sees(i, last / group); /* of the row that sees most */

    attend_fetch<attend_tile, DIM, kPitch>(
        queries, d, aligned, x.data, [&](int row) -> const unsigned char * {
            int at = tile + row;
            if (at >= rows) return nullptr;
            return cuda_row(x, first + at / group) + (kv_head * group + at % group) * d * 2;
        });
    auto fetch = [&](int j) {
        unsigned char *to = stages + j % 2 * kStage;
        if (j * kKeys < n) {
            attend_fetch<kKeys, DIM, kPitch>(to, d, aligned, x.data, [&](int row) {
                return j * kKeys + row < n ? keys.key(j * kKeys + row) : nullptr;
            });
            attend_fetch<kKeys, DIM, kPitchV>(to + kK, d, aligned, x.data, [&](int row) {
                return j * kKeys + row < n ? keys.value(j * kKeys + row) : nullptr;
            });
        }
        cuda_copy_commit();
    };
    fetch(0);

    /* This lane's two rows: g and g + 8 of the warp's 16. */
    int row[2] = {tile + 16 * warp + g, tile + 16 * warp + g + 8}, sees[2];
    for (int k = 0; k < 2; k++) sees[k] = row[k] < rows ? source.sees(i, row[k] / group) : 1;
    const float scale = h.scale * 1.44269504f; /* weights are powers of 2 */
    float out[DIM / 8][4] = {}, most[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};

    for (int j = 0; j * kKeys < n; j++) {
        cuda_copy_wait<0>();
        __syncthreads(); /* tile j is there for all, and nobody reads the other stage any more */
        fetch(j + 1);
        const unsigned char *k_at = stages + j % 2 * kStage, *v_at = k_at + kK;

        float s[kKeys / 8][4] = {};
#pragma unroll
        for (int kk = 0; kk < DIM / 16; kk++) {
            uint32_t a[4];
            const unsigned char *at = queries + (16 * warp + g) * kPitch + 32 * kk + 8 * t;
            uint2 low = *(const uint2 *)at, high = *(const uint2 *)(at + 8 * kPitch);
            a[0] = low.x, a[1] = high.x, a[2] = low.y, a[3] = high.y;
#pragma unroll
            for (int m = 0; m < kKeys / 8; m++) {
                uint2 pair = *(const uint2 *)(k_at + (8 * m + g) * kPitch + 32 * kk + 8 * t);
                uint32_t b[2] = {pair.x, pair.y};
                cuda_mma_bf16(s[m], a, b);
            }
        }

        float max[2] = {-INFINITY, -INFINITY}, factor[2];
#pragma unroll
        for (int m = 0; m < kKeys / 8; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int key = j * kKeys + 8 * m + 2 * t + e % 2;
                s[m][e] = key < sees[e / 2] ? s[m][e] * scale : -INFINITY;
                max[e / 2] = fmaxf(max[e / 2], s[m][e]);
            }
#pragma unroll
        for (int k = 0; k < 2; k++) {
            max[k] = fmaxf(max[k], __shfl_xor_sync(cuda_all_lanes, max[k], 1));
            max[k] = fmaxf(max[k], __shfl_xor_sync(cuda_all_lanes, max[k], 2));
            max[k] = fmaxf(most[k], max[k]);
            factor[k] = exp2f(most[k] - max[k]);
            most[k] = max[k];
            total[k] *= factor[k];
        }
#pragma unroll
        for (int m = 0; m < kKeys / 8; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[m][e] = exp2f(s[m][e] - most[e / 2]);
                total[e / 2] += s[m][e];
            }
#pragma unroll
        for (int c = 0; c < DIM / 8; c++)
#pragma unroll
            for (int e = 0; e < 4; e++) out[c][e] *= factor[e / 2];

                /* A result of two instructions is the operand a of the next one. */
#pragma unroll
        for (int kk = 0; kk < kKeys / 16; kk++) {
            const float *p0 = s[2 * kk], *p1 = s[2 * kk + 1];
            uint32_t a[4] = {cuda_to_bf16x2(p0[0], p0[1]), cuda_to_bf16x2(p0[2], p0[3]),
                             cuda_to_bf16x2(p1[0], p1[1]), cuda_to_bf16x2(p1[2], p1[3])};
#pragma unroll
            for (int c = 0; c < DIM / 16; c++) {
                uint32_t b[4];
                cuda_load_transposed(b, v_at + (16 * kk + lane % 16) * kPitchV + 32 * c + lane / 16 * 16);
                cuda_mma_bf16(out[2 * c], a, b);
                cuda_mma_bf16(out[2 * c + 1], a, b + 2);
            }
        }
    }

#pragma unroll
    for (int k = 0; k < 2; k++) {
        total[k] += __shfl_xor_sync(cuda_all_lanes, total[k], 1);
        total[k] += __shfl_xor_sync(cuda_all_lanes, total[k], 2);
        if (row[k] >= rows) continue;
        int64_t col = (kv_head * group + row[k] % group) * d;
#pragma unroll
        for (int c = 0; c < DIM / 8; c++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (8 * c + 2 * t + e < d)
                    attend_put(y, first + row[k] / group, col + 8 * c + 2 * t + e,
                               out[c][2 * k + e] / total[k]);
    }
}

/* Sequences first_seq .. first_seq + n of at most max_rows rows; x and the keys are bf16. */
template <class S>
void attend_tiles(tsr_queue *q, const char *op, const S &source, const tsr_view &y, const tsr_view &x,
                  int64_t first_seq, int64_t n, int64_t max_rows, bool aligned)
{
    const tsr_heads &h = source.heads;
    auto launch = [&](auto kernel, int dim) {
        int keys = dim > 128 ? 32 : 64, pitch = 2 * dim + 32;
        size_t shared = (size_t)(attend_tile * pitch + 2 * keys * (pitch + 2 * dim + 16));
        cuda_launch(q, op, kernel,
                    cuda_grid(cuda_blocks(max_rows * (h.n_q / h.n_kv), attend_tile), h.n_kv, n),
                    cuda_grid(attend_threads), shared, source, y, x, first_seq, aligned);
    };
    if (h.head_dim <= 16)
        launch(attend_tiles_kernel<16, S>, 16);
    else if (h.head_dim <= 64)
        launch(attend_tiles_kernel<64, S>, 64);
    else if (h.head_dim <= 80)
        launch(attend_tiles_kernel<80, S>, 80);
    else if (h.head_dim <= 128)
        launch(attend_tiles_kernel<128, S>, 128);
    else
        launch(attend_tiles_kernel<256, S>, 256);
}

static inline bool attend_fits(tsr_queue *q, const char *op, const tsr_heads &h)
{
    if (h.head_dim <= CUDA_ATTEND_MOST_DIM) return true;
    tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: heads of %lld dimensions; CUDA takes up to %d", op,
                   (long long)h.head_dim, CUDA_ATTEND_MOST_DIM);
    return false;
}

/* attend_tiles with heads beyond 128 needs more shared memory than 8.6 and 8.9 have. */
static inline bool attend_tiles_fit(const tsr_queue *q, const tsr_heads &h)
{
    int capability = cuda_capability(q);
    return h.head_dim <= 128 || capability == 80 || capability >= 90;
}

/* 16-byte copies: every row of `each`-byte elements begins at a multiple of 16 bytes and has a multiple of them. */
static inline bool attend_aligned(const void *data, int64_t stride_bytes, const tsr_heads &h)
{
    return (uintptr_t)data % 16 == 0 && stride_bytes % 16 == 0 && h.head_dim % 8 == 0;
}

/* ---------------------------------------------------------------- kernels of their own files ------------ */

/* attend_decode.cu: one new row of each of the first n_decode sequences, bf16, over pages of bf16 or FP8. x begins with
 * the queries; with `write` it is qkv, whose keys and values are stored first. */
bool attend_decode_fits(const tsr_view &x, const tsr_pages &pages, const tsr_heads &heads);
void attend_decode(tsr_queue *q, const char *op, const page_source &source, const tsr_view &y,
                   const tsr_view &x, bool write, int64_t n_decode);

/* attend_wgmma.cu: tiles on Hopper's asynchronous tensor cores. False where they do not fit, and nothing was done. */
bool attend_wgmma(tsr_queue *q, const char *op, const span_source &source, const tsr_view &y,
                  int64_t max_rows);
bool attend_wgmma(tsr_queue *q, const char *op, const page_source &source, const tsr_view &y,
                  const tsr_view &x, int64_t first_seq, int64_t n, int64_t max_rows);

#endif
