/* kernels/ref/ref.h: the reference backend: plain C, sums in double, no threads.
 *
 * It is the specification that runs. Every op reads its inputs, computes in double and rounds once, into its
 * output; nothing here is clever, so that it can be compared with the formulas in kernels/ops.h by eye.
 */
#ifndef TSR_REF_H
#define TSR_REF_H

#include "kernels/ops.h"

/* ---------------------------------------------------------------- reading and writing ------------------- */

/* Element (r, c) of an FP8 view, its scale multiplied out. */
double tsr_ref_scaled_at(tsr_view x, int64_t r, int64_t c);

/* Element (r, c) of any floating view. Inline: this is where the backend spends its time. */
static inline double tsr_ref_at(tsr_view x, int64_t r, int64_t c)
{
    if (x.type == TSR_F32) return ((const float *)x.data)[r * x.stride + c];
    if (x.type == TSR_BF16) return tsr_from_bf16(((const uint16_t *)x.data)[r * x.stride + c]);
    return tsr_ref_scaled_at(x, r, c);
}

/* Round `value` once to f32 or bf16 and store it as element i of `data`. */
void tsr_ref_put(void *data, tsr_dtype type, int64_t i, double value);

/* E4M3 of value / scale (the quotient in f32), saturated. */
uint8_t tsr_ref_quantise(double value, float scale);

/* amax / 448, or 1 where that is zero. */
float tsr_ref_scale_for(double amax);

/* Write row r of y in y's form: ROW and BLOCK scales are found from the values, TENSOR is read. value(ctx, c)
 * is asked for ascending columns, and again from the first column for a scaled y. */
typedef double tsr_ref_value_fn(void *ctx, int64_t c);
void tsr_ref_put_row(tsr_view y, int64_t r, tsr_ref_value_fn *value, void *ctx);

/* ---------------------------------------------------------------- products ------------------------------ */

/* Pass a row through E4M3 as w.input says: with the weight's own scale, or with that of the row. */
void tsr_ref_round_input(double *row, const tsr_weight *w);

/* Row j of expert e of w times x, scale multiplied out, bias left out. */
double tsr_ref_dot(const tsr_weight *w, int64_t e, int64_t j, const double *x);

double tsr_ref_act(tsr_act act, double u);
double tsr_ref_silu(double u);

/* ---------------------------------------------------------------- state --------------------------------- */

/* Element i of one layer of a state slot begins at this address. */
static inline void *tsr_ref_slot(tsr_slots slots, int64_t slot)
{
    return (char *)slots.data + slot * slots.slot_stride;
}

/* Sequence i has state to go on from. */
static inline bool tsr_ref_continues(const tsr_step *step, int64_t i)
{
    return step->pos[i] > 0 && step->slot[i] >= 0;
}

/* Index within a page's k or v of dimension 0 of `head` at `pos`. */
static inline int64_t tsr_ref_page_index(tsr_pages pages, int64_t head_dim, int64_t head, int64_t pos)
{
    return (head * pages.page_tokens + pos % pages.page_tokens) * head_dim;
}

/* The page of sequence i that holds `pos`, -1 for nobody's. */
static inline int64_t tsr_ref_page_of(tsr_pages pages, const tsr_step *step, int64_t i, int64_t pos)
{
    return step->pages[i * step->max_pages + pos / pages.page_tokens];
}

/* ---------------------------------------------------------------- the ops ------------------------------- */

tsr_norm_fn tsr_ref_norm;
tsr_convert_fn tsr_ref_convert;
tsr_linear_fn tsr_ref_linear;
tsr_embed_fn tsr_ref_embed;
tsr_patchify_fn tsr_ref_patchify;
tsr_vit_enter_fn tsr_ref_vit_enter;
tsr_vit_leave_fn tsr_ref_vit_leave;
tsr_gather_fn tsr_ref_gather;
tsr_attend_fn tsr_ref_attend;
tsr_pixel_shuffle_fn tsr_ref_pixel_shuffle;
tsr_conv_fn tsr_ref_conv;
tsr_scan_fn tsr_ref_scan;
tsr_gated_norm_fn tsr_ref_gated_norm;
tsr_kv_write_fn tsr_ref_kv_write;
tsr_kv_attend_fn tsr_ref_kv_attend;
tsr_moe_route_fn tsr_ref_moe_route;
tsr_moe_ffn_fn tsr_ref_moe_ffn;
tsr_sample_fn tsr_ref_sample;
tsr_advance_fn tsr_ref_advance;
tsr_slot_copy_fn tsr_ref_slot_copy;
tsr_slot_read_fn tsr_ref_slot_read;
tsr_slot_write_fn tsr_ref_slot_write;

tsr_linear_bytes_fn tsr_ref_linear_bytes;
tsr_linear_pack_fn tsr_ref_linear_pack;

size_t tsr_ref_linear_work(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w);
size_t tsr_ref_attend_work(const tsr_queue *q, tsr_view y, tsr_heads heads, tsr_spans spans);
size_t tsr_ref_scan_work(const tsr_queue *q, const tsr_mixer *m, const tsr_step *step);
size_t tsr_ref_kv_attend_work(const tsr_queue *q, tsr_heads heads, const tsr_step *step);
size_t tsr_ref_moe_ffn_work(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down, tsr_view ids);
size_t tsr_ref_sample_work(const tsr_queue *q, tsr_view logits);

#endif
