/* kernels/cuda/kv_write.cu: new keys and values into their pages. */
#include "kernels/cuda/rows.cuh"

namespace
{

struct kv_write_op {
    tsr_pages pages;
    tsr_view k, v;
    int64_t n_kv, head_dim;
    tsr_step step;

    /* r counts the heads of all rows. */
    __device__ void operator()(int64_t r, int64_t c) const
    {
        int64_t t = r / n_kv, head = r % n_kv, i = cuda_sequence_of(step, t);
        int64_t pos = step.pos[i] + t - step.spans.start[i];
        int64_t page = step.pages[i * step.max_pages + pos / pages.page_tokens];
        if (page < 0) return;
        int64_t to = page * pages.page_stride +
                     (head * pages.page_tokens + pos % pages.page_tokens) * head_dim * cuda_bytes(pages.type);
        int64_t from = head * head_dim * cuda_bytes(k.type);
        octet keys = cuda_load8(cuda_row(k, t) + from, k.type, c, head_dim);
        octet values = cuda_load8(cuda_row(v, t) + from, v.type, c, head_dim);
        unsigned char *k_at = (unsigned char *)pages.k + to, *v_at = (unsigned char *)pages.v + to;
        if (pages.type == TSR_FP8) {
            cuda_quantise8(k_at, c, head_dim, keys, *pages.k_scale);
            cuda_quantise8(v_at, c, head_dim, values, *pages.v_scale);
        } else {
            cuda_store8(k_at, pages.type, c, head_dim, keys);
            cuda_store8(v_at, pages.type, c, head_dim, values);
        }
    }
};

} // namespace

void tsr_cuda_kv_write(tsr_queue *q, tsr_pages pages, tsr_view k, tsr_view v, tsr_heads heads,
                       const tsr_step *step)
{
    cuda_rows(q, "kv_write", k.rows * heads.n_kv, heads.head_dim,
              kv_write_op{pages, k, v, heads.n_kv, heads.head_dim, *step});
}
