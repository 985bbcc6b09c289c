/* kernels/cuda/linear_pack.cu: weights onto the device, in the one layout that all kernels of linear read.
 *
 * Parts follow each other, every row padded with zeros to a multiple of 16 elements. Behind them lie the scales:
 * one where all parts share it, otherwise one per row.
 */
#include "kernels/cuda/linear.cuh"

extern "C" {
#include "base/alloc.h"
}

namespace
{
int64_t total_rows(const tsr_linear_source *s)
{
    int64_t rows = 0;
    for (int i = 0; i < s->n_parts; i++) rows += s->parts[i].rows;
    return rows;
}

size_t row_bytes(const tsr_matrix *m)
{
    return tsr_mul((size_t)m->cols, tsr_dtype_bytes(m->type));
}

size_t packed_row_bytes(const tsr_matrix *m)
{
    return tsr_mul((size_t)cuda_weight_stride(m->cols), tsr_dtype_bytes(m->type));
}

struct layout {
    size_t data_bytes, scale_bytes;
};

/* By sizes alone: while measuring, scales may have no values yet. */
layout lay_out(const tsr_linear_source *s)
{
    size_t rows = (size_t)total_rows(s), data = tsr_mul(rows, packed_row_bytes(&s->parts[0]));
    data = tsr_add(data, TSR_ARENA_ALIGN - 1) & ~(size_t)(TSR_ARENA_ALIGN - 1);
    bool one = s->n_parts == 1 && s->parts[0].n_scales == 1;
    return {data, s->parts[0].scale ? tsr_mul(one ? 1 : rows, sizeof(float)) : 0};
}

bool parts_agree(const tsr_linear_source *s)
{
    const tsr_matrix *first = &s->parts[0];
    for (int i = 1; i < s->n_parts; i++) {
        const tsr_matrix *m = &s->parts[i];
        if (m->type != first->type || m->cols != first->cols || !m->scale != !first->scale) return false;
        if (s->experts && m->rows != first->rows) return false;
    }
    return true;
}

bool one_scale(const tsr_linear_source *s)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->parts[i].n_scales != 1 || s->parts[i].scale[0] != s->parts[0].scale[0]) return false;
    return true;
}

void send_part(tsr_queue *q, unsigned char *to, const tsr_matrix *m)
{
    size_t row = row_bytes(m), packed = packed_row_bytes(m);
    const unsigned char *from = (const unsigned char *)m->data;
    if (row == packed) {
        tsr_memory_upload(q, to, from, (size_t)m->rows * row);
        return;
    }
    tsr_memory_fill(q, to, 0, (size_t)m->rows * packed);
    for (int64_t r = 0; r < m->rows; r++) tsr_memory_upload(q, to + r * packed, from + r * row, row);
}

void send_scales(tsr_queue *q, float *to, const tsr_linear_source *s)
{
    if (one_scale(s)) {
        tsr_memory_upload(q, to, s->parts[0].scale, sizeof *to);
        return;
    }
    float *rows = (float *)tsr_alloc((size_t)total_rows(s) * sizeof *rows), *end = rows;
    if (!rows) {
        tsr_queue_fail(q, TSR_E_NOMEM, "%s: no memory for the scales of its rows", s->name);
        return;
    }
    for (int i = 0; i < s->n_parts; i++)
        for (int64_t r = 0; r < s->parts[i].rows; r++)
            *end++ = s->parts[i].scale[s->parts[i].n_scales == 1 ? 0 : r];
    tsr_memory_upload(q, to, rows, (size_t)(end - rows) * sizeof *rows);
    tsr_free(rows);
}
} // namespace

size_t tsr_cuda_linear_bytes(const tsr_linear_source *s)
{
    layout l = lay_out(s);
    return tsr_add(l.data_bytes, l.scale_bytes);
}

void tsr_cuda_linear_pack(tsr_queue *q, tsr_weight *w, void *block, const tsr_linear_source *s)
{
    const tsr_matrix *first = &s->parts[0];
    if (!parts_agree(s)) {
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: parts of different types or widths cannot be joined",
                       s->name);
        return;
    }
    layout l = lay_out(s);
    unsigned char *data = (unsigned char *)block;
    *w = tsr_weight{};
    w->name = s->name;
    w->data = data;
    w->bias = s->bias;
    w->input_scale = s->input_scale;
    w->rows = s->experts ? first->rows : total_rows(s);
    w->cols = first->cols;
    w->n_experts = s->experts ? s->n_parts : 1;
    w->type = first->type;
    w->input = s->input;
    w->layout = CUDA_LAYOUT_PADDED;
    for (int i = 0; i < s->n_parts; i++) {
        send_part(q, data, &s->parts[i]);
        data += (size_t)s->parts[i].rows * packed_row_bytes(first);
    }
    if (first->scale) {
        float *scale = (float *)((unsigned char *)block + l.data_bytes);
        w->scaled = one_scale(s) ? TSR_SCALE_TENSOR : TSR_SCALE_ROW;
        w->scale = scale;
        send_scales(q, scale, s);
    }
}
