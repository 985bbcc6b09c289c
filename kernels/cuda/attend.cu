/* kernels/cuda/attend.cu: full softmax attention inside spans, as the vision encoder has it. */
#include "kernels/cuda/attend.cuh"

size_t tsr_cuda_attend_work(const tsr_queue *, tsr_view, tsr_heads, tsr_spans)
{
    return 0;
}

void tsr_cuda_attend(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans)
{
    if (spans.n == 0 || !attend_fits(q, "attend", heads)) return;
    span_source source = {qkv, heads, spans.start, spans.n};
    if (attend_wgmma(q, "attend", source, y, spans.max_rows)) return;
    if (qkv.type == TSR_BF16 && attend_tiles_fit(q, heads))
        attend_tiles(q, "attend", source, y, qkv, 0, spans.n, spans.max_rows,
                     attend_aligned(qkv.data, qkv.stride * 2, heads));
    else
        attend_rows(q, "attend", source, y, qkv, 0, y.rows, INT32_MAX / 2, 1, nullptr);
}
