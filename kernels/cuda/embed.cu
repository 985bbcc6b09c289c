/* kernels/cuda/embed.cu: rows of the embedding table, with image rows in their places. */
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/rows.cuh"

namespace
{

struct embed_op {
    tsr_view x;
    tsr_weight table;
    tsr_view image;
    tsr_step step;

    __device__ void operator()(int64_t r, int64_t c) const
    {
        unsigned char *to = cuda_row(x, r);
        int32_t id = step.ids[r];
        if (id == TSR_ID_LAST) {
            int32_t slot = step.slot[cuda_sequence_of(step, r)];
            if (slot < 0) {
                cuda_store8(to, x.type, c, x.cols, octet{});
                return;
            }
            id = step.last_id[slot];
        }
        if (id < 0) {
            cuda_store8(to, x.type, c, x.cols, cuda_load_row8(image, -1 - (int64_t)id, c));
            return;
        }
        const unsigned char *from =
            (const unsigned char *)table.data + id * cuda_weight_stride(table.cols) * cuda_bytes(table.type);
        octet o = cuda_load8(from, table.type, c, x.cols);
        if (table.scaled != TSR_SCALE_NONE) {
            float scale = table.scale[table.scaled == TSR_SCALE_ROW ? id : 0];
#pragma unroll
            for (int i = 0; i < 8; i++) o.v[i] *= scale;
        }
        cuda_store8(to, x.type, c, x.cols, o);
    }
};

} // namespace

void tsr_cuda_embed(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image, const tsr_step *step)
{
    cuda_rows(q, "embed", x.rows, x.cols, embed_op{x, *table, image, *step});
}
