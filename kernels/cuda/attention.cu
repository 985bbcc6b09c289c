/* kernels/cuda/attention.cu: kv_write and kv_attend in one. Where all rows are decode rows that is one launch: the warp
 * that reads a sequence's last key stores it first. */
#include "kernels/cuda/attend.cuh"

namespace
{
/* Each value of y can be written without knowing the others of its row. */
bool by_value(const tsr_view &y)
{
    return y.scaled == TSR_SCALE_NONE || y.scaled == TSR_SCALE_TENSOR;
}

size_t result_bytes(const tsr_queue *q, const tsr_view &y)
{
    if (by_value(y)) return 0;
    size_t bytes = tsr_mul(tsr_mul((size_t)y.rows, (size_t)y.cols), tsr_dtype_bytes(q->type));
    return tsr_mul(tsr_add(bytes, TSR_ARENA_ALIGN - 1) / TSR_ARENA_ALIGN, TSR_ARENA_ALIGN);
}
} // namespace

size_t tsr_cuda_attention_work(const tsr_queue *q, tsr_view y, tsr_heads heads, const tsr_step *step)
{
    return tsr_add(result_bytes(q, y), tsr_cuda_kv_attend_work(q, heads, step));
}

void tsr_cuda_attention(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_pages pages, tsr_heads heads,
                        const tsr_step *step)
{
    int64_t d = heads.n_q * heads.head_dim, d_kv = heads.n_kv * heads.head_dim;
    unsigned char *work = (unsigned char *)q->work;
    tsr_view result = by_value(y) ? y : tsr_view_of(work, q->type, y.rows, y.cols);
    if (step->n_decode == step->n_seqs && attend_decode_fits(qkv, pages, heads)) {
        attend_decode(q, "attention", page_source_of(pages, heads, step), result, qkv, true, step->n_decode);
    } else {
        tsr_cuda_kv_write(q, pages, tsr_cols(qkv, d, d_kv), tsr_cols(qkv, d + d_kv, d_kv), heads, step);
        q->work = work + result_bytes(q, y);
        tsr_cuda_kv_attend(q, result, tsr_cols(qkv, 0, d), pages, heads, step);
    }
    if (!by_value(y)) tsr_cuda_convert(q, y, result);
}
