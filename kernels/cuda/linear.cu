/* kernels/cuda/linear.cu: who multiplies what, and in which form weights want their inputs. */
#include "kernels/cuda/linear.cuh"

namespace
{
bool widens_x(const tsr_weight *w)
{
    return w->type == TSR_F32 || w->type == TSR_F16;
}

bool takes_tall(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return rows <= CUDA_TALL_ROWS && linear_tall_takes(q, w);
}

bool takes_dot(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return rows <= CUDA_DOT_ROWS && !takes_tall(q, w, rows) && linear_dot_rows(q, w, 1) > 0;
}

bool takes_wide(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return rows > CUDA_SKINNY_ROWS && linear_wide_takes(q, w);
}

bool takes_library(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return rows > CUDA_SKINNY_ROWS && linear_library_work(q, rows, w) > 0;
}

/* All three multiply FP8 by FP8. */
bool takes_fp8(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return takes_tall(q, w, rows) || takes_wide(q, w, rows) || takes_library(q, w, rows);
}

/* Scratch of a product on tensor cores: x in bf16, then the larger of what the library and our own want. */
struct parts {
    size_t x, product;
};

parts parts_of(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    size_t x = (size_t)cuda_round_up((int64_t)linear_bf16_bytes(rows, w), TSR_ARENA_ALIGN);
    parts p = {x, linear_tensor_work(q, rows, w)};
    size_t library = takes_library(q, w, rows) ? linear_library_work(q, rows, w) : 0;
    if (library > p.product) p.product = library;
    return p;
}

/* x as a product of FP8 by FP8 takes it; `memory` holds what linear_bf16 would need, which is more. */
tsr_view in_fp8(tsr_queue *q, tsr_view x, const tsr_weight *w, unsigned char *memory)
{
    if (x.scaled == TSR_SCALE_TENSOR || x.scaled == TSR_SCALE_ROW) return x;
    tsr_view to = tsr_view_of(memory, TSR_FP8, x.rows, x.cols);
    bool fixed = w->input == TSR_INPUT_STATIC && x.scaled == TSR_SCALE_NONE;
    to.scaled = fixed ? TSR_SCALE_TENSOR : TSR_SCALE_ROW;
    to.scale = fixed ? (float *)(uintptr_t)w->input_scale : (float *)(memory + x.rows * x.cols);
    to.scale_stride = !fixed;
    tsr_cuda_convert(q, to, x);
    return to;
}
} // namespace

/* FP8 where it is multiplied by FP8. */
tsr_form tsr_cuda_input_form(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    tsr_form plain = {q->type, TSR_SCALE_NONE}, half = {TSR_BF16, TSR_SCALE_NONE};
    if (w->type != TSR_FP8 || w->input == TSR_INPUT_KEEP) return plain;
    if (!takes_fp8(q, w, rows) || cuda_capability(q) < 89) return half;
    return {TSR_FP8, w->input == TSR_INPUT_STATIC ? TSR_SCALE_TENSOR : TSR_SCALE_ROW};
}

bool tsr_cuda_fuses_norm(const tsr_queue *q, const tsr_weight *w, int64_t rows)
{
    return takes_dot(q, w, rows);
}

bool tsr_cuda_linear_writes(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w)
{
    if (takes_tall(q, w, x.rows)) return linear_tall_writes(y, x, w);
    return takes_wide(q, w, x.rows) && linear_wide_writes(y, x, w);
}

size_t tsr_cuda_linear_work(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w)
{
    (void)y;
    if (x.rows == 0 || takes_dot(q, w, x.rows) || widens_x(w)) return 0;
    parts p = parts_of(q, w, x.rows);
    return tsr_add(p.x, p.product);
}

void tsr_cuda_linear(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    if (x.rows == 0) return;
    if (takes_dot(q, w, x.rows)) {
        linear_dot(q, y, x, w, o);
    } else if (widens_x(w)) {
        linear_plain(q, y, x, w, o);
    } else {
        linear_end e = linear_end_of(y, w, o);
        unsigned char *work = (unsigned char *)q->work, *product = work + parts_of(q, w, x.rows).x;
        if (takes_fp8(q, w, x.rows)) {
            tsr_view u = w->type == TSR_FP8 ? in_fp8(q, x, w, work) : linear_bf16(q, &e, x, w, work);
            if (takes_tall(q, w, x.rows) && linear_tall(q, e, u, w)) return;
            bool library = takes_library(q, w, x.rows);
            if (library && linear_library_alone(e, w) && linear_library(q, e, u, w, product)) return;
            if (takes_wide(q, w, x.rows) && linear_wide(q, e, u, w)) return;
            if (library && linear_library(q, e, u, w, product)) return;
        }
        linear_tensor(q, e, linear_bf16(q, &e, x, w, work), w, product);
    }
}
