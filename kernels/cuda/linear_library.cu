/* kernels/cuda/linear_library.cu: large products by cuBLASLt, bf16 or E4M3 on both sides.
 *
 * The library counts columns first, so it is asked for y' = w x' with w transposed: the form that it wants for
 * E4M3. What its epilogue has not (bias in f32, erf, relu^2, gain) is one pass of linear_sum over sums in f32,
 * columns by columns, so that a piece is still in the second-level cache when it is read again. A plain product,
 * or one with `add` of y's type, goes straight to y with one rounding.
 */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/linear.cuh"

namespace
{
constexpr size_t kWorkBytes = 32 << 20; /* what the library recommends on Hopper */
constexpr size_t kSumBytes = 32 << 20;  /* of the second-level cache's 50 to 60 MB */
constexpr int64_t kColumns = 256;
constexpr int kCandidates = 16, kRuns = 3;

/* Off until K = 21504 has been measured both ways: the tensor cores then keep about 14 bits of a sum. */
constexpr int8_t kFastAccumulation = 0;

int blas_type(tsr_dtype type)
{
    return type == TSR_F32 ? BLAS_F32 : type == TSR_BF16 ? BLAS_BF16 : BLAS_FP8;
}

/* Columns of y at a time when sums need a second pass. */
int64_t piece_of(int64_t rows, const tsr_weight *w)
{
    int64_t n = (int64_t)kSumBytes / (4 * rows) / kColumns * kColumns;
    if (n < kColumns) n = kColumns;
    return n < w->rows ? n : w->rows;
}

/* Vectors of scales: of the weight's rows, then of x's. */
size_t scale_bytes(int64_t rows, const tsr_weight *w)
{
    return w->type == TSR_FP8 ? (size_t)cuda_round_up(4 * (rows + w->rows), TSR_ARENA_ALIGN) : 0;
}

__global__ void linear_spread_kernel(float *to, const float *scale, int64_t stride, int64_t n)
{
    int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (i < n) to[i] = scale[i * stride];
}

/* n scales one behind the other: as they are, or spread into `to`. */
const float *vector_of(tsr_queue *q, float *to, const float *scale, int64_t stride, int64_t n)
{
    if (stride == 1) return scale;
    cuda_launch(q, "linear", linear_spread_kernel, cuda_grid(cuda_blocks(n, 256)), cuda_grid(256), 0, to,
                scale, stride, n);
    return to;
}

/* One call of the library. */
struct product {
    const blas_library *lib;
    blas_desc desc;
    blas_layout w, x, y;
    bool made;
};

struct scales {
    const float *w, *x; /* NULL: none */
    bool vectors;
};

void unmake(product *p)
{
    if (p->desc) p->lib->desc_destroy(p->desc);
    if (p->w) p->lib->layout_destroy(p->w);
    if (p->x) p->lib->layout_destroy(p->x);
    if (p->y) p->lib->layout_destroy(p->y);
}

/* y [rows, n] with rows `y_stride` apart, of type y_type. */
product make(const blas_library *lib, const tsr_weight *w, const tsr_view &x, int64_t n, tsr_dtype y_type,
             int64_t y_stride, const scales &s)
{
    product p = {lib, nullptr, nullptr, nullptr, nullptr, false};
    int transposed = BLAS_TRANSPOSED, mode = BLAS_SCALE_OUTER_VECTOR, type = blas_type(x.type);
    bool bad = lib->desc_create(&p.desc, BLAS_COMPUTE_F32, BLAS_F32) ||
               lib->desc_set(p.desc, BLAS_DESC_TRANSA, &transposed, sizeof transposed) ||
               lib->layout_create(&p.w, type, (uint64_t)x.cols, (uint64_t)n, cuda_weight_stride(w->cols)) ||
               lib->layout_create(&p.x, type, (uint64_t)x.cols, (uint64_t)x.rows, x.stride) ||
               lib->layout_create(&p.y, blas_type(y_type), (uint64_t)n, (uint64_t)x.rows, y_stride);
    if (!bad && s.w)
        bad = lib->desc_set(p.desc, BLAS_DESC_A_SCALE, &s.w, sizeof s.w) ||
              lib->desc_set(p.desc, BLAS_DESC_B_SCALE, &s.x, sizeof s.x) ||
              lib->desc_set(p.desc, BLAS_DESC_FAST_ACCUM, &kFastAccumulation, sizeof kFastAccumulation);
    if (!bad && s.vectors)
        bad = lib->desc_set(p.desc, BLAS_DESC_A_SCALE_MODE, &mode, sizeof mode) ||
              lib->desc_set(p.desc, BLAS_DESC_B_SCALE_MODE, &mode, sizeof mode);
    p.made = !bad;
    return p;
}

int run(const product &p, const void *w, const void *x, const void *c, void *y, float beta,
        const blas_algo *algo, void *work, cudaStream_t stream)
{
    const float one = 1;
    return p.lib->matmul(p.lib->handle, p.desc, &one, w, p.w, x, p.x, &beta, c, p.y, y, p.y, algo, work,
                         kWorkBytes, stream);
}

int suggest(const product &p, blas_heuristic *results)
{
    blas_pref pref = nullptr;
    int found = 0;
    size_t bytes = kWorkBytes;
    bool bad =
        p.lib->pref_create(&pref) || p.lib->pref_set(pref, BLAS_PREF_WORK_BYTES, &bytes, sizeof bytes) ||
        p.lib->heuristic(p.lib->handle, p.desc, p.w, p.x, p.y, p.y, pref, kCandidates, results, &found);
    if (pref) p.lib->pref_destroy(pref);
    return bad ? 0 : found;
}

/* The fastest of the candidates, by their best of a few runs into memory of its own. -1 where none can be timed. */
int fastest(const product &p, const blas_heuristic *results, int n, const void *w, const void *x,
            size_t y_bytes, void *work, cudaStream_t stream)
{
    void *y = nullptr;
    cudaEvent_t begin = nullptr, end = nullptr;
    int best = -1;
    float shortest = INFINITY;
    if (!cudaMalloc(&y, y_bytes) && !cudaEventCreate(&begin) && !cudaEventCreate(&end))
        for (int i = 0; i < n; i++) {
            bool bad = results[i].status || run(p, w, x, y, y, 0, &results[i].algo, work, stream);
            for (int k = 0; k < kRuns && !bad; k++) {
                float ms = INFINITY;
                bad = cudaEventRecord(begin, stream) ||
                      run(p, w, x, y, y, 0, &results[i].algo, work, stream) || cudaEventRecord(end, stream) ||
                      cudaEventSynchronize(end) || cudaEventElapsedTime(&ms, begin, end);
                if (!bad && ms < shortest) shortest = ms, best = i;
            }
        }
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    cudaFree(y);
    cudaGetLastError(); /* a candidate that would not run is no fault of the queue */
    return best;
}

/* The algorithm for p: kept, or timed now, or the library's first suggestion while a recording forbids timing. */
bool choose(blas_algo *algo, const product &p, const blas_shape &shape, const void *w, const void *x,
            size_t y_bytes, void *work, cudaStream_t stream)
{
    blas_heuristic results[kCandidates];
    if (blas_choice_find(algo, &shape) &&
        !p.lib->check(p.lib->handle, p.desc, p.w, p.x, p.y, p.y, algo, &results[0]) &&
        results[0].work_bytes <= kWorkBytes)
        return true;
    int n = suggest(p, results);
    if (n == 0) return false;
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream, &capture);
    int best =
        capture == cudaStreamCaptureStatusNone ? fastest(p, results, n, w, x, y_bytes, work, stream) : -1;
    *algo = results[best < 0 ? 0 : best].algo;
    if (best >= 0) blas_choice_keep(&shape, algo);
    return true;
}

bool aligned(const tsr_view &v)
{
    int64_t each = (int64_t)tsr_dtype_bytes(v.type);
    return (uintptr_t)v.data % 16 == 0 && v.stride * each % 16 == 0;
}

/* Nothing happens between the sum and its one rounding into y, except adding what has y's type. */
bool is_plain(const linear_end &e)
{
    if (e.y.type == TSR_FP8) return false;
    bool adds = !e.add.rows || (e.add.type == e.y.type && aligned(e.add) && e.add.stride == e.y.stride);
    return !e.bias && e.act == TSR_LINEAR && !e.gain.rows && adds && aligned(e.y);
}
} // namespace

bool linear_library_alone(const linear_end &e, const tsr_weight *w)
{
    return is_plain(e) && (w->type == TSR_FP8 || (!e.w_scale && !e.x_scale));
}

size_t linear_library_work(const tsr_queue *q, int64_t rows, const tsr_weight *w)
{
    bool fp8 = w->type == TSR_FP8;
    if (w->type != TSR_BF16 && !fp8) return 0;
    if (fp8 && (w->input == TSR_INPUT_KEEP || w->rows % 16 || w->cols % 16 || cuda_capability(q) < 89))
        return 0;
    /* Vectors of scales exist on Hopper alone. */
    bool vectors = w->scaled == TSR_SCALE_ROW || w->input == TSR_INPUT_DYNAMIC;
    if (fp8 && vectors && cuda_capability(q) != 90) return 0;
    if (w->rows < kColumns || !blas_open()) return 0;
    return tsr_add(tsr_add(kWorkBytes, scale_bytes(rows, w)),
                   tsr_mul(tsr_mul((size_t)rows, (size_t)piece_of(rows, w)), sizeof(float)));
}

bool linear_library(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w, void *work)
{
    const blas_library *lib = blas_open();
    if (!lib || q->failed || x.type != w->type || !aligned(x)) return false;
    cudaStream_t stream = cuda_stream(q);
    unsigned char *memory = (unsigned char *)work;
    float *vectors = (float *)(memory + kWorkBytes);
    float *sums = (float *)(memory + kWorkBytes + scale_bytes(x.rows, w));

    scales s = {};
    linear_end rest = e;
    if (x.type == TSR_FP8) {
        s.vectors = w->scaled == TSR_SCALE_ROW || x.scaled == TSR_SCALE_ROW;
        s.w = s.vectors ? vector_of(q, vectors, w->scale, w->scaled == TSR_SCALE_ROW, w->rows) : w->scale;
        s.x = s.vectors ? vector_of(q, vectors + w->rows, x.scale, x.scale_stride, x.rows) : x.scale;
        rest.w_scale = rest.x_scale = nullptr;
    }
    bool plain = is_plain(e) && !rest.w_scale && !rest.x_scale;
    int64_t each = plain ? w->rows : piece_of(x.rows, w);
    for (int64_t first = 0; first < w->rows; first += each) {
        int64_t n = w->rows - first < each ? w->rows - first : each;
        scales here = s;
        if (s.vectors) here.w += first;
        tsr_dtype y_type = plain ? e.y.type : TSR_F32;
        int64_t y_stride = plain ? e.y.stride : n;
        product p = make(lib, w, x, n, y_type, y_stride, here);
        blas_shape shape = {blas_rows_class(x.rows), n,        x.cols, blas_type(x.type),
                            blas_type(y_type),       s.vectors};
        const unsigned char *part = (const unsigned char *)w->data +
                                    first * cuda_weight_stride(w->cols) * (int64_t)tsr_dtype_bytes(w->type);
        void *y = plain ? e.y.data : (void *)sums;
        const void *c = plain && e.add.rows ? e.add.data : y;
        blas_algo algo;
        size_t y_bytes = (size_t)(x.rows * y_stride) * tsr_dtype_bytes(y_type);
        int status = p.made && choose(&algo, p, shape, part, x.data, y_bytes, memory, stream)
                         ? run(p, part, x.data, c, y, plain && e.add.rows ? 1 : 0, &algo, memory, stream)
                         : -1;
        unmake(&p);
        if (status && first == 0) return false; /* a shape it does not take */
        if (status) {
            tsr_queue_fail(q, TSR_E_DEVICE, "linear %s: cuBLASLt failed with status %d", w->name, status);
            return true;
        }
        cuda_after_launch(q, "linear");
        if (!plain) linear_sum(q, rest, sums, 1, first, n);
    }
    return true;
}
