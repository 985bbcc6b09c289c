/* kernels/ref/embed.c: rows of the embedding table, with image rows in their places. */
#include "kernels/ref/ref.h"

static double table_at(const tsr_weight *table, int64_t id, int64_t c)
{
    double value = tsr_load(table->data, table->type, id * table->cols + c);
    if (table->scaled == TSR_SCALE_TENSOR) return value * table->scale[0];
    if (table->scaled == TSR_SCALE_ROW) return value * table->scale[id];
    return value;
}

void tsr_ref_embed(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image, const tsr_step *step)
{
    (void)q;
    for (int64_t i = 0; i < step->n_seqs; i++)
        for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++) {
            int32_t id = step->ids[t];
            bool nobody = id == TSR_ID_LAST && step->slot[i] < 0;
            if (id == TSR_ID_LAST && !nobody) id = step->last_id[step->slot[i]];
            for (int64_t c = 0; c < x.cols; c++) {
                double value = nobody    ? 0
                               : id >= 0 ? table_at(table, id, c)
                                         : tsr_ref_at(image, -1 - (int64_t)id, c);
                tsr_ref_put(tsr_row(x, t), x.type, c, value);
            }
        }
}
