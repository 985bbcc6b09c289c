/* kernels/cuda/kv_attend.cu: causal grouped-query attention over pages: decode rows key by key, the rows of prompts
 * in tiles. */
#include "kernels/cuda/attend.cuh"

namespace
{
/* Blocks that keep every multiprocessor busy; more splits would only add to the sums that are combined. */
constexpr int64_t kEnoughBlocks = 4096;

struct cut {
    int64_t split, splits;
};

/* How the keys of decode rows are cut: by fixed lengths from position 0, so that a row's result does not depend on
 * the context of others; longer ones only where there are very many. */
cut cut_of(const tsr_heads &h, const tsr_step *step)
{
    cut c = {CUDA_ATTEND_SEGMENT, 0};
    int64_t each = step->n_decode * h.n_kv;
    while (each * cuda_blocks(step->max_ctx, c.split) > kEnoughBlocks && c.split < 16 * CUDA_ATTEND_SEGMENT)
        c.split *= 2;
    c.splits = cuda_blocks(step->max_ctx, c.split);
    return c;
}
} // namespace

size_t tsr_cuda_kv_attend_work(const tsr_queue *, tsr_heads heads, const tsr_step *step)
{
    return attend_partial_bytes(heads, step->n_decode, cut_of(heads, step).splits);
}

void tsr_cuda_kv_attend(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                        const tsr_step *step)
{
    if (!attend_fits(q, "kv_attend", heads)) return;
    page_source source = page_source_of(pages, heads, step);
    int64_t n_long = step->n_seqs - step->n_decode, n_rows = step->n_rows - step->n_decode;
    if (step->n_decode && attend_decode_fits(x, pages, heads)) {
        attend_decode(q, "kv_attend", source, y, x, false, step->n_decode);
    } else if (step->n_decode) {
        cut c = cut_of(heads, step);
        attend_rows(q, "kv_attend", source, y, x, 0, step->n_decode, c.split, c.splits, (float *)q->work);
    }
    if (n_long == 0 || attend_wgmma(q, "kv_attend", source, y, x, step->n_decode, n_long, step->max_new))
        return;
    if (x.type == TSR_BF16 && pages.type == TSR_BF16 && attend_tiles_fit(q, heads)) {
        bool aligned = attend_aligned(x.data, x.stride * 2, heads) &&
                       attend_aligned(pages.k, pages.page_stride, heads) &&
                       attend_aligned(pages.v, pages.page_stride, heads);
        attend_tiles(q, "kv_attend", source, y, x, step->n_decode, n_long, step->max_new, aligned);
    } else {
        attend_rows(q, "kv_attend", source, y, x, step->n_decode, n_rows, INT32_MAX / 2, 1, nullptr);
    }
}
