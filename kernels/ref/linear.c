/* kernels/ref/linear.c: matrix products, and how their weights are packed. */
#include <stdint.h>
#include <string.h>

#include "kernels/ref/ref.h"

size_t tsr_ref_linear_work(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w)
{
    (void)q, (void)y, (void)x;
    return tsr_mul((size_t)w->cols, sizeof(double));
}

void tsr_ref_linear(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    double *row = q->work;
    for (int64_t r = 0; r < x.rows; r++) {
        for (int64_t k = 0; k < x.cols; k++) row[k] = tsr_ref_at(x, r, k);
        if (x.scaled == TSR_SCALE_NONE) tsr_ref_round_input(row, w);
        for (int64_t j = 0; j < y.cols; j++) {
            double u = tsr_ref_dot(w, 0, j, row);
            if (w->bias) u += w->bias[j];
            u = tsr_ref_act(o.act, u);
            if (o.gain.rows) u *= tsr_ref_at(o.gain, 0, j);
            if (o.add.rows) u += tsr_ref_at(o.add, r, j);
            tsr_ref_put(tsr_row(y, r), y.type, j, u);
        }
    }
}

/* ---------------------------------------------------------------- loading ------------------------------- */

static size_t matrix_bytes(const tsr_matrix *m)
{
    return tsr_mul(tsr_mul((size_t)m->rows, (size_t)m->cols), tsr_dtype_bytes(m->type));
}

/* The parts lie in the file as one aligned matrix already. */
static bool in_place(const tsr_linear_source *s)
{
    const char *expected = s->parts[0].data;
    if ((uintptr_t)expected % tsr_dtype_bytes(s->parts[0].type)) return false;
    for (int i = 0; i < s->n_parts; i++) {
        if ((const char *)s->parts[i].data != expected) return false;
        expected += matrix_bytes(&s->parts[i]);
    }
    return true;
}

/* One scale serves all parts. */
static bool scales_equal(const tsr_linear_source *s)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->parts[i].n_scales != 1 || s->parts[i].scale[0] != s->parts[0].scale[0]) return false;
    return true;
}

static int64_t total_rows(const tsr_linear_source *s)
{
    int64_t rows = 0;
    for (int i = 0; i < s->n_parts; i++) rows += s->parts[i].rows;
    return rows;
}

/* What a weight takes from its block: first the elements, then one scale per row. */
typedef struct layout {
    size_t data_bytes, scale_bytes;
} layout;

static layout lay_out(const tsr_linear_source *s)
{
    layout l = {0};
    if (!in_place(s)) {
        for (int i = 0; i < s->n_parts; i++) l.data_bytes = tsr_add(l.data_bytes, matrix_bytes(&s->parts[i]));
        l.data_bytes = tsr_add(l.data_bytes, TSR_ARENA_ALIGN - 1) & ~(TSR_ARENA_ALIGN - 1);
    }
    bool own_row_scales = s->n_parts == 1 && s->parts[0].n_scales == s->parts[0].rows;
    if (s->parts[0].scale && !scales_equal(s) && !own_row_scales)
        l.scale_bytes = tsr_mul((size_t)total_rows(s), sizeof(float));
    return l;
}

size_t tsr_ref_linear_bytes(const tsr_linear_source *s)
{
    layout l = lay_out(s);
    return tsr_add(l.data_bytes, l.scale_bytes);
}

static bool parts_agree(const tsr_linear_source *s)
{
    const tsr_matrix *first = &s->parts[0];
    for (int i = 1; i < s->n_parts; i++) {
        const tsr_matrix *m = &s->parts[i];
        if (m->type != first->type || m->cols != first->cols || !m->scale != !first->scale) return false;
        if (s->experts && m->rows != first->rows) return false;
    }
    return true;
}

void tsr_ref_linear_pack(tsr_queue *q, tsr_weight *w, void *block, const tsr_linear_source *s)
{
    const tsr_matrix *first = &s->parts[0];
    if (!parts_agree(s)) {
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "%s: parts of different types or widths cannot be joined",
                       s->name);
        return;
    }
    layout l = lay_out(s);
    int64_t rows = total_rows(s);
    *w = (tsr_weight){.name = s->name,
                      .data = l.data_bytes ? block : first->data,
                      .scale = first->scale,
                      .bias = s->bias,
                      .input_scale = s->input_scale,
                      .rows = s->experts ? first->rows : rows,
                      .cols = first->cols,
                      .n_experts = s->experts ? s->n_parts : 1,
                      .type = first->type,
                      .input = s->input};
    if (first->scale) w->scaled = scales_equal(s) ? TSR_SCALE_TENSOR : TSR_SCALE_ROW;

    if (l.data_bytes) {
        char *to = block;
        for (int i = 0; i < s->n_parts; i++) {
            memcpy(to, s->parts[i].data, matrix_bytes(&s->parts[i]));
            to += matrix_bytes(&s->parts[i]);
        }
    }
    if (l.scale_bytes) {
        float *to = (float *)((char *)block + l.data_bytes);
        w->scale = to;
        for (int i = 0; i < s->n_parts; i++)
            for (int64_t r = 0; r < s->parts[i].rows; r++)
                *to++ = s->parts[i].scale[s->parts[i].n_scales == 1 ? 0 : r];
    }
}
