/* kernels/cuda/linear.cuh: what the kernels of linear share: how weights lie, the end of a product, and who
 * multiplies what.
 *
 *   rows 1 - 64         linear_tall     on Hopper: weights are the tall operand of the tensor cores; else
 *   rows 1 - 4          linear_dot      weights stream by once, x lies in shared memory; may take the norm along
 *   rows 5 - 64         linear_tensor   square tiles of tensor cores
 *   more rows           linear_wide     on Hopper, where something follows the sum
 *                       linear_library  cuBLASLt where it is, else
 *                       linear_tensor
 *   f32, f16 weights    linear_plain    from 5 rows on: tensor cores would round x
 *
 * Weights are row by row, every row a multiple of 16 elements: the padding is zeros, and w.cols does not count it.
 */
#ifndef TSR_CUDA_LINEAR_CUH
#define TSR_CUDA_LINEAR_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/value.cuh"

enum {
    CUDA_LAYOUT_PADDED = 1,
    CUDA_WEIGHT_ALIGN = 16,
    CUDA_DOT_ROWS = 4,
    CUDA_TALL_ROWS = 64,
    CUDA_SKINNY_ROWS = 64
};

static inline __host__ __device__ int64_t cuda_round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Bytes of shared memory that a block may ask for, as the programming guide lists them by compute capability. */
static inline size_t linear_most_shared(const tsr_queue *q)
{
    return (size_t)(cuda_capability(q) >= 90 ? 227 : cuda_capability(q) == 80 ? 163 : 99) << 10;
}

/* Elements from one row of a packed weight to the next. */
static inline __host__ __device__ int64_t cuda_weight_stride(int64_t cols)
{
    return cuda_round_up(cols, CUDA_WEIGHT_ALIGN);
}

/* What becomes of a sum of products. */
struct linear_end {
    tsr_view y, gain, add;
    const float *bias, *w_scale, *x_scale;  /* each may be NULL */
    int64_t w_scale_stride, x_scale_stride; /* 0: one for all */
    tsr_act act;
};

/* x_scale is left to the caller: most kernels multiply scales out as they read. */
static inline linear_end linear_end_of(tsr_view y, const tsr_weight *w, const tsr_linear_opts &o)
{
    linear_end e = {};
    e.y = y;
    e.gain = o.gain;
    e.add = o.add;
    e.bias = w->bias;
    e.w_scale = w->scaled == TSR_SCALE_NONE ? nullptr : w->scale;
    e.w_scale_stride = w->scaled == TSR_SCALE_ROW;
    e.act = o.act;
    return e;
}

CUDA_INLINE float linear_act(tsr_act act, float u)
{
    if (act == TSR_GELU) return 0.5f * u * (1 + erff(u * 0.70710678f));
    if (act == TSR_RELU2) return u <= 0 ? 0 : u * u; /* NaN stays NaN */
    return u;
}

/* What the end of y[r, j] takes from memory: looked up when it is used, or held since before. */
struct linear_looked_up {
    const linear_end &e;
    int64_t r, j;

    __device__ __forceinline__ float x_scale() const { return e.x_scale[r * e.x_scale_stride]; }
    __device__ __forceinline__ float w_scale() const { return e.w_scale[j * e.w_scale_stride]; }
    __device__ __forceinline__ float bias() const { return e.bias[j]; }
    __device__ __forceinline__ float gain() const { return ((const float *)e.gain.data)[j]; }
    __device__ __forceinline__ float add() const { return cuda_load(cuda_row(e.add, r), e.add.type, j); }
};

struct linear_held {
    float held[5];

    __device__ __forceinline__ void load(const linear_end &e, int64_t r, int64_t j)
    {
        linear_looked_up at = {e, r, j};
        if (e.x_scale) held[0] = at.x_scale();
        if (e.w_scale) held[1] = at.w_scale();
        if (e.bias) held[2] = at.bias();
        if (e.gain.rows) held[3] = at.gain();
        if (e.add.rows) held[4] = at.add();
    }

    __device__ __forceinline__ float x_scale() const { return held[0]; }
    __device__ __forceinline__ float w_scale() const { return held[1]; }
    __device__ __forceinline__ float bias() const { return held[2]; }
    __device__ __forceinline__ float gain() const { return held[3]; }
    __device__ __forceinline__ float add() const { return held[4]; }
};

/* y[r, j] before its rounding, from the sum of row r of x and row j of the weight. */
template <typename Reads>
CUDA_INLINE float linear_finish(const linear_end &e, float sum, const Reads &at)
{
    float u = sum;
    if (e.x_scale) u *= at.x_scale();
    if (e.w_scale) u *= at.w_scale();
    if (e.bias) u += at.bias();
    u = linear_act(e.act, u);
    if (e.gain.rows) u *= at.gain();
    if (e.add.rows) u += at.add();
    return u;
}

CUDA_INLINE float linear_finish(const linear_end &e, float sum, int64_t r, int64_t j)
{
    return linear_finish(e, sum, linear_looked_up{e, r, j});
}

CUDA_INLINE void linear_put(const linear_end &e, float sum, int64_t r, int64_t j)
{
    cuda_store(cuda_row(e.y, r), e.y.type, j, linear_finish(e, sum, r, j));
}

/* Two neighbours, in one store where y allows. */
CUDA_INLINE void linear_put2(const linear_end &e, float sum0, float sum1, int64_t r, int64_t j)
{
    unsigned char *at = cuda_row(e.y, r) + j * cuda_bytes(e.y.type);
    if (j + 1 < e.y.cols && cuda_aligned(at, 2 * (uintptr_t)cuda_bytes(e.y.type))) {
        float u0 = linear_finish(e, sum0, r, j), u1 = linear_finish(e, sum1, r, j + 1);
        if (e.y.type == TSR_F32)
            *(float2 *)at = make_float2(u0, u1);
        else
            *(uint32_t *)at = cuda_to_bf16x2(u0, u1);
        return;
    }
    if (j < e.y.cols) linear_put(e, sum0, r, j);
    if (j + 1 < e.y.cols) linear_put(e, sum1, r, j + 1);
}

/* `value` within +-448 * scale, as a static FP8 input is; NaN stays NaN. scale NULL: any value. */
CUDA_INLINE float linear_clamp(float value, const float *scale)
{
    if (!scale) return value;
    float most = TSR_FP8_MAX * *scale;
    return value > most ? most : value < -most ? -most : value;
}

/* The scale that an unscaled x is clamped by, or NULL. */
static inline const float *linear_clamp_scale(const tsr_view &x, const tsr_weight *w)
{
    return x.scaled == TSR_SCALE_NONE && w->input == TSR_INPUT_STATIC ? w->input_scale : nullptr;
}

/* Each queues y = add + gain * act(x W' + bias). */

/* Any x; 1 - 4 rows at a time. How many fit into shared memory: 0 when not even one does. */
int64_t linear_dot_rows(const tsr_queue *q, const tsr_weight *w, int64_t rows);
void linear_dot(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, const tsr_linear_opts &o);

/* Any x and weight, f32 multiply-adds. */
void linear_plain(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, const tsr_linear_opts &o);

/* bf16 and fp8 weights on tensor cores; x as linear_bf16 makes it. `work` of so many bytes. */
size_t linear_tensor_work(const tsr_queue *q, int64_t rows, const tsr_weight *w);
void linear_tensor(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w, void *work);

/* At most CUDA_TALL_ROWS rows on Hopper's tensor cores: bf16 by bf16, fp8 by fp8 (x scaled by TENSOR or ROW), y of
 * any type but scaled by TENSOR alone. False: x does not lie as the copy engine wants it, and nothing was queued;
 * never where linear_tall_writes was true. */
bool linear_tall_takes(const tsr_queue *q, const tsr_weight *w);
bool linear_tall_writes(const tsr_view &y, const tsr_view &x, const tsr_weight *w);
bool linear_tall(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w);

/* x as the tensor cores take it: bf16, rows of whole 16 bytes, aligned. `to` is x itself where it is that already;
 * otherwise it is filled, in linear_bf16_bytes of memory. TENSOR and ROW scales are left to the end of the
 * product (e->x_scale), where they are exact. */
size_t linear_bf16_bytes(int64_t rows, const tsr_weight *w);
tsr_view linear_bf16(tsr_queue *q, linear_end *e, tsr_view x, const tsr_weight *w, void *memory);

/* y's columns first .. first + n from `planes` sums each: f32 [planes][rows of y][n]. */
void linear_sum(tsr_queue *q, const linear_end &e, const float *sums, int64_t planes, int64_t first,
                int64_t n);

/* bf16 by bf16 and fp8 by fp8 (x unscaled, or scaled by TENSOR or ROW) on Hopper's tensor cores, y of any type but
 * scaled by TENSOR alone. False: x does not lie as the copy engine wants it, and nothing was queued; never where
 * linear_wide_writes was true. */
bool linear_wide_takes(const tsr_queue *q, const tsr_weight *w);
bool linear_wide_writes(const tsr_view &y, const tsr_view &x, const tsr_weight *w);
bool linear_wide(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w);

/* The same products by cuBLASLt, where that is there and takes x and w as they are. Bytes 0, or false: it does
 * not, and nothing was queued. */
size_t linear_library_work(const tsr_queue *q, int64_t rows, const tsr_weight *w);
/* It does so in one call: nothing follows the sum but a rounding, or adding what lies like y. */
bool linear_library_alone(const linear_end &e, const tsr_weight *w);
bool linear_library(tsr_queue *q, const linear_end &e, tsr_view x, const tsr_weight *w, void *work);

#endif
