/* kernels/ops.h: the contract between the network and its backends.
 *
 * Every op is a formula, a function type, a front door and a slot. Front doors (ops.c) check shapes and types
 * once for all backends; behind them kernels may trust their arguments. Plain ops have a slot in every table.
 * Fused ops are defined by their composition from plain ones, written in their front door; a backend may
 * replace it.
 *
 * Notation: R rows; flt is f32 or bf16, unscaled; any is flt or fp8 with any scale kind. Outputs come first.
 * Rows may be strided. Sums are f32 or better. Outputs do not overlap inputs unless the contract says so.
 * Row results do not depend on the other rows of the call nor on the number of threads, and the same call
 * gives the same bits every time.
 */
#ifndef TSR_OPS_H
#define TSR_OPS_H

#include "kernels/memory.h"
#include "kernels/queue.h"
#include "kernels/step.h"

/* ---------------------------------------------------------------- what ops read besides views ----------- */

/* May a linear round its input to FP8? KEEP: no. STATIC: x is clamped to +-448 * input_scale and may be
 * rounded through E4M3 with that scale. DYNAMIC: the same with a scale per row, amax / 448. */
typedef enum tsr_input_mode { TSR_INPUT_KEEP, TSR_INPUT_STATIC, TSR_INPUT_DYNAMIC } tsr_input_mode;

/* A linear's matrix as the backend packed it. Never written after loading. */
typedef struct tsr_weight {
    const char *name;         /* as in docs/model.md */
    const void *data;         /* [n_experts][rows][cols], row by row unless `layout` says otherwise */
    const float *scale;       /* TSR_SCALE_TENSOR: one; TSR_SCALE_ROW: one per row (of every expert) */
    const float *bias;        /* f32 [rows] or NULL */
    const float *input_scale; /* one float, for TSR_INPUT_STATIC */
    int64_t rows, cols;       /* n_out, n_in of one expert */
    int64_t n_experts;        /* 1 outside MoE */
    tsr_dtype type;           /* f32 bf16 f16 fp8 */
    tsr_scale_kind scaled;    /* NONE, TENSOR or ROW */
    tsr_input_mode input;
    int layout; /* the backend's own number; 0: rows as in the file, aligned to their type */
} tsr_weight;

typedef struct tsr_norm_weight {
    const char *name;
    tsr_view w, b; /* f32 [1, d]; b empty (rows 0) when there is none */
    float eps;
    bool centred; /* LayerNorm; otherwise RMSNorm */
} tsr_norm_weight;

/* GELU is the erf form. RELU2 is max(u, 0)^2, and NaN stays NaN. */
typedef enum tsr_act { TSR_LINEAR, TSR_GELU, TSR_RELU2 } tsr_act;

typedef struct tsr_linear_opts {
    const tsr_norm_weight *norm; /* normalise x first */
    tsr_act act;
    tsr_view gain; /* f32 [1, n_out], empty for none: InternViT's layer scale */
    tsr_view add;  /* flt [R, n_out], empty for none; added last; may be y itself */
} tsr_linear_opts;

typedef struct tsr_grid {
    int64_t rows, cols;
} tsr_grid; /* patches of one tile */

typedef struct tsr_heads {
    int64_t n_q, n_kv, head_dim; /* n_q is a multiple of n_kv; query head j uses KV head j / (n_q / n_kv) */
    float scale;                 /* of scores before the softmax */
} tsr_heads;

/* One layer of every state slot: slot s begins at data + s * slot_stride bytes. */
typedef struct tsr_slots {
    void *data;
    int64_t slot_stride;
    tsr_dtype type;
} tsr_slots;

/* One layer of every KV page, k and v [n_kv][page_tokens][head_dim] each: page p begins page_stride bytes
 * after page p - 1. In fp8 a key is code * *k_scale, a value code * *v_scale. */
typedef struct tsr_pages {
    void *k, *v;
    const float *k_scale, *v_scale; /* one float each, where kernels read; NULL unless type is fp8 */
    int64_t page_stride, page_tokens;
    tsr_dtype type; /* f32, bf16, or where tsr_ops.fp8_pages says so fp8 */
} tsr_pages;

/* A pool of equal blocks (state slots, KV pages): block i begins at data + i * bytes. */
typedef struct tsr_blocks {
    void *data;
    size_t bytes;
    int64_t n;
} tsr_blocks;

/* The part of a Mamba-2 layer between its two projections. d = n_heads * head_dim,
 * d_conv = d + 2 * n_groups * d_state. */
typedef struct tsr_mixer {
    const char *name;
    int64_t n_heads, head_dim, n_groups, d_state, conv_width;
    int64_t chunk;          /* rows per chunk of the prefill scan; cut at multiples from position 0 */
    float dt_min, dt_max;   /* clamp of softplus(dt + bias) */
    tsr_view taps;          /* f32 [conv_width, d_conv]; the last row meets the newest input */
    tsr_view conv_bias;     /* f32 [1, d_conv] */
    tsr_view a, d, dt_bias; /* f32 [1, n_heads]; a = -exp(A_log) */
    tsr_norm_weight norm;   /* w f32 [1, d] over groups of d / n_groups columns */
} tsr_mixer;

/* Slots of one Mamba layer: conv [conv_width - 1][d_conv] (newest last), f32 or bf16; ssm
 * [n_heads][head_dim][d_state], f32, or f16 as kernels/half_state.h rounds it. */
typedef struct tsr_mamba_state {
    tsr_slots conv, ssm;
} tsr_mamba_state;

typedef struct tsr_router {
    tsr_view w;    /* f32 [n_experts, d] */
    tsr_view bias; /* f32 [1, n_experts], added for the choice only */
    int64_t top_k; /* at most TSR_MAX_TOP_K */
    bool renormalise;
    float scale;
} tsr_router;

#define TSR_MAX_TOP_K 64

/* ---------------------------------------------------------------- plain ops ----------------------------- */

/* y = w x / sqrt(mean(x^2) + eps), or with centred: w (x - mean) / sqrt(var + eps) + b (biased variance)
 *
 *   y  [R, d]  any; may be x when both are flt of one type
 *   x  [R, d]  flt
 *
 * One rounding, into y. y fp8: TENSOR uses y.scale as given; ROW and BLOCK write amax / 448 (1 for a row of
 * zeros) there. Accuracy: kt_sum(d). Source: arXiv:1910.07467 eq. 4; arXiv:1607.06450.
 */
typedef void tsr_norm_fn(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w);

/* y = x in y's form
 *
 *   y  [R, d]  any     x  [R, d]  any
 *
 * To fp8: divided by the scale (one f32 division), saturated to +-448, rounded to nearest even; ROW and BLOCK
 * write amax / 448 (1 where all is zero) as scale; TENSOR reads it. Exact otherwise but for the one rounding.
 */
typedef void tsr_convert_fn(tsr_queue *q, tsr_view y, tsr_view x);

/* y = add + gain * act(norm(x) W' + bias)
 *
 *   y  [R, n_out]  any; may be o.add; fp8 is converted to from the queue's type, unless the backend writes it
 *                  (tsr_linear_writes_fn): behind the front door flt, or what the backend said it writes
 *   x  [R, n_in']  any; n_in' = w.cols
 *
 * x is rounded to bf16 where a backend multiplies bf16; products are summed in f32 or better; one rounding
 * into y. With w.input STATIC or DYNAMIC an unscaled x passes through E4M3 as tsr_input_mode says. A scaled x
 * is taken as it is. Rows below q->n_stream and the others may be summed in different orders; each kind in one.
 * Behind the front door norm is NULL unless the backend fuses it.
 * Accuracy: kt_sum(n_in) plus one rounding of x (kt_bf16, kt_fp8). Source: nemotron-h spec 6.3.
 */
typedef void tsr_linear_fn(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o);

/* x[t] = table[ids[t]], or image[-1 - ids[t]], or table[last_id[slot]] for TSR_ID_LAST
 *
 *   x      [n_rows, d]    flt
 *   table  [vocab, d]     any weight type; scaled rows are multiplied out
 *   image  [n_image, d]   flt; empty when no row is an image's
 *
 * TSR_ID_LAST with slot -1 is a row of zeros. Exact. Ids are in range: lm checks them.
 */
typedef void tsr_embed_fn(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image,
                          const tsr_step *step);

/* y[patch, (c, ky, kx)] = table[c][tile pixel]; patches row by row, tiles one after another
 *
 *   y      [n_tiles * rows * cols, >= 3 p^2]  flt; surplus columns become 0
 *   tiles  [n_tiles, S * S * 3]               u8, R G B interleaved, S = p * rows = p * cols of grid
 *   table  [3, 256]                           f32
 */
typedef void tsr_patchify_fn(tsr_queue *q, tsr_view y, tsr_view tiles, tsr_view table, tsr_grid grid);

/* x = [prefix; patches of the tile] + pos, tile by tile
 *
 *   x        [n_tiles * (n_prefix + rows * cols), d]  flt
 *   patches  [n_tiles * rows * cols, d]               flt
 *   prefix   [n_prefix, d]                            f32; rows 0 for none
 *   pos      [n_prefix + rows * cols, d]              f32
 */
typedef void tsr_vit_enter_fn(tsr_queue *q, tsr_view x, tsr_view patches, tsr_view prefix, tsr_view pos);

/* y = x without the first n_prefix of every n_prefix + n_patches rows. y flt, x of the same type. */
typedef void tsr_vit_leave_fn(tsr_queue *q, tsr_view y, tsr_view x, int64_t n_prefix, int64_t n_patches);

/* y[i] = x[row[i]]; y [n, d] flt, x [R, d] of the same type, row i32 [n] */
typedef void tsr_gather_fn(tsr_queue *q, tsr_view y, tsr_view x, const int32_t *row);

/* Full softmax attention inside each span: y = softmax(scale q k') v
 *
 *   y    [R, n_q D]              flt
 *   qkv  [R, (n_q + 2 n_kv) D]   flt: q heads, k heads, v heads
 *
 * Softmax and sums in f32; weights may be rounded to bf16 where qkv is. Accuracy: kt_attend(D, rows of the
 * longest span).
 */
typedef void tsr_attend_fn(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_heads heads, tsr_spans spans);

/* Four neighbours become one row: y[p, q, m] = x[2p + m / 2d, 2q + (m mod 2d) / d, m mod d]
 *
 *   y  [n_tiles * rows/2 * cols/2, 4d]  flt, tokens row by row (version 2) or column by column (version 1)
 *   x  [n_tiles * rows * cols, d]       same type
 *
 * grid.rows and grid.cols are even. Exact. Source: InternVLChatModel.pixel_shuffle.
 */
typedef void tsr_pixel_shuffle_fn(tsr_queue *q, tsr_view y, tsr_view x, tsr_grid grid, int version);

/* y[t, c] = silu(bias[c] + sum_k taps[k, c] x[t - (K-1) + k, c]), each sequence for itself
 *
 *   y  [n_rows, d_conv]  f32
 *   x  [n_rows, d_conv]  flt (columns of the in-projection's output)
 *
 * Rows before the first of this step come from the slot, or are zero at position 0 and for slot -1. The slot
 * is left holding the last K-1 rows of x, unprocessed. Source: nemotron-h spec 2.3.
 */
typedef void tsr_conv_fn(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                         const tsr_step *step);

/* H = exp(dt a) H + dt x B',  y = H C + d x, per head, state in and out
 *
 *   y    [n_rows, d]       f32
 *   xbc  [n_rows, d_conv]  f32: x [n_heads][head_dim], B [n_groups][d_state], C [n_groups][d_state]
 *   dt   [n_rows, n_heads] flt, before bias and softplus
 *
 * dt = clamp(softplus(dt + dt_bias), dt_min, dt_max); head j uses group j / (n_heads / n_groups). Decode rows
 * take one step; longer sequences go chunk by chunk, cut at multiples of m->chunk from position 0. A state in f16
 * is rounded once, when the call leaves it; y is made from the unrounded one.
 * Accuracy: kt_scan(m, rows of the longest sequence); sums of dt a over a chunk need more than one float.
 * Source: arXiv:2405.21060; nemotron-h spec 2.4-2.7.
 */
typedef void tsr_scan_fn(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                         tsr_slots ssm, const tsr_step *step);

/* y = w * grouprms(x silu(z)): the gate first, then RMS over each group of d / n_groups columns
 *
 *   y [R, d] any     x [R, d] f32; may be y     z [R, d] flt
 */
typedef void tsr_gated_norm_fn(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m);

/* Store new keys and values: row t of sequence i goes to position pos[i] + t of its pages
 *
 *   k, v  [n_rows, n_kv D]  flt, rounded to the pages' type
 *
 * To fp8 as tsr_convert with TENSOR scales: divided by *k_scale or *v_scale (one f32 division), saturated to
 * +-448, rounded to nearest even. Exact otherwise but for the one rounding.
 */
typedef void tsr_kv_write_fn(tsr_queue *q, tsr_pages pages, tsr_view k, tsr_view v, tsr_heads heads,
                             const tsr_step *step);

/* Causal grouped-query attention over pages, new rows included (they are written already)
 *
 *   y, x  [n_rows, n_q D]  flt; x holds the queries
 *
 * Positions on page -1 read as zero keys and values; a slot of -1 changes nothing. Softmax and sums in f32;
 * weights may be rounded to bf16 where the pages are bf16 or fp8. Codes of fp8 pages multiply as they are (every
 * one is exact in bf16 and f16); *k_scale goes into the scores, *v_scale into y. Accuracy: kt_attend(D, context).
 */
typedef void tsr_kv_attend_fn(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                              const tsr_step *step);

/* ids = the top_k experts by sigmoid(u w') + bias, best first, ties to the lower id;
 * gates = sigmoid(u w') of those, divided by their sum + 1e-20 if renormalise, times scale
 *
 *   ids [R, k] i32     gates [R, k] f32     u [R, d] flt
 */
typedef void tsr_moe_route_fn(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u,
                              const tsr_router *router);

/* y = add + sum over k of gate * down_e(relu(up_e t)^2), experts summed in ascending id
 *
 *   y, add [R, d] flt; y may be add     t [R, n_in] flt     up [E][m, n_in]     down [E][d, m]
 *
 * t and the rows between the two products are linear inputs: rounded as tsr_linear says.
 */
typedef void tsr_moe_ffn_fn(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up,
                            const tsr_weight *down, tsr_view ids, tsr_view gates, tsr_view add);

/* The next token of each row of logits, by its sequence's sampling record
 *
 *   logits  [n_logits, vocab]  f32
 *
 * In this order: the ids of this step's rows are marked seen by their slot (which has seen nothing at position
 * 0); ids not in `allow`, NaN and -inf are out; the repeat penalty divides positive and multiplies negative
 * logits of seen ids; at temp 0 the largest is taken (ties to the lower id); otherwise logits are divided by
 * temp, top_k keeps the best (ties to the lower id), top_p the fewest best whose share reaches it, min_p those
 * of at least that part of the largest share, and u = tsr_philox_uniform(seed, position of the row) chooses the
 * first id, in ascending order, at which the sum of the shares passes u of the whole. out_logprobs is the log
 * of the chosen id's share before temp and cuts. Writes out_ids, out_logprobs, last_id and seen; a slot of -1
 * keeps neither. If every id of a row is out, the queue fails with TSR_E_ARG.
 */
typedef void tsr_sample_fn(tsr_queue *q, const tsr_step *step, tsr_view logits);

/* What a decode step leaves for the next one, and for the host. */
typedef struct tsr_ring {
    int32_t *pos, *slot; /* [n_seqs] those of the step */
    const int32_t *stop; /* [n_stop] ids that end a sequence */
    int64_t n_stop;
    int64_t *count;  /* [1] steps so far */
    int32_t *ids;    /* [n_seqs, depth] from here on where the host reads while kernels run */
    float *logprobs; /* [n_seqs, depth] */
    int64_t depth;
    int64_t *done; /* [1] */
} tsr_ring;

/* On to the next step, after `sample` of one in which every sequence has one row and one row of logits
 *
 * For a sequence with a slot: pos grows by 1, slot becomes -1 if out_ids is among `stop`, and column *count mod
 * depth of its row of the ring becomes out_ids and out_logprobs. For one without: -1 and 0 there. Then *count grows
 * by 1, and, once the host can see the columns, *done becomes the same.
 */
typedef void tsr_advance_fn(tsr_queue *q, const tsr_step *step, const tsr_ring *ring);

/* Block dst becomes a copy of block src. */
typedef void tsr_slot_copy_fn(tsr_queue *q, tsr_blocks blocks, int64_t dst, int64_t src);
/* Block i to or from host memory of blocks.bytes. */
typedef void tsr_slot_read_fn(tsr_queue *q, void *host, tsr_blocks blocks, int64_t i);
typedef void tsr_slot_write_fn(tsr_queue *q, tsr_blocks blocks, int64_t i, const void *host);

/* ---------------------------------------------------------------- fused ops ----------------------------- */

/* conv, scan, gated_norm on the in-projection's output p = z | x B C | dt
 *
 *   y [R, d] any     p [R, 2 d + 2 n_groups d_state + n_heads] flt
 */
typedef void tsr_mamba_mix_fn(tsr_queue *q, tsr_view y, tsr_view p, const tsr_mixer *m, tsr_mamba_state s,
                              const tsr_step *step);

/* kv_write, then kv_attend, on qkv [R, (n_q + 2 n_kv) D]; y [R, n_q D] any */
typedef void tsr_attention_fn(tsr_queue *q, tsr_view y, tsr_view qkv, tsr_pages pages, tsr_heads heads,
                              const tsr_step *step);

/* ---------------------------------------------------------------- loading weights ------------------------ */

/* A tensor of a file. */
typedef struct tsr_matrix {
    const char *name; /* as in the file */
    const void *data; /* may be misaligned */
    int64_t rows, cols;
    tsr_dtype type;
    const float *scale; /* f32, aligned; NULL when unscaled; must outlive the weight */
    int64_t n_scales;   /* 1 or rows */
} tsr_matrix;

/* What one weight is made of: parts stacked by rows (q, k, v), or experts of equal shape.
 *
 * For a backend with memory of its own (tsr_memory), parts and their scales are the host's and may go when
 * linear_pack returns; name is the host's and stays; bias and input_scale are the device's and stay, but are filled
 * only later. */
typedef struct tsr_linear_source {
    const char *name;
    const tsr_matrix *parts;
    int n_parts;
    bool experts;
    const float *bias;        /* f32 [rows of all parts] or NULL; must outlive the weight */
    const float *input_scale; /* one float or NULL; must outlive the weight */
    tsr_input_mode input;
} tsr_linear_source;

/* Bytes this backend needs beside the mapped file; 0: point into the map. A backend with memory of its own needs
 * them for everything. */
typedef size_t tsr_linear_bytes_fn(const tsr_linear_source *s);
/* Fill w, using `block` of that many bytes. */
typedef void tsr_linear_pack_fn(tsr_queue *q, tsr_weight *w, void *block, const tsr_linear_source *s);

/* The form of x that w eats for so many rows; NULL slot: the queue's type, unscaled. */
typedef struct tsr_form {
    tsr_dtype type;
    tsr_scale_kind scaled;
} tsr_form;
typedef tsr_form tsr_input_form_fn(const tsr_queue *q, const tsr_weight *w, int64_t rows);
/* Whether linear takes o.norm itself; NULL slot: never. Both are functions of weight and row count alone. */
typedef bool tsr_fuses_norm_fn(const tsr_queue *q, const tsr_weight *w, int64_t rows);
/* Whether linear itself writes this fp8 y from this x; NULL slot: never. */
typedef bool tsr_linear_writes_fn(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w);

/* ---------------------------------------------------------------- measuring ----------------------------- */

/* What a device reaches at best, for bench. */
typedef enum tsr_ceiling_kind {
    TSR_CEILING_READ,   /* bytes per second: a streaming read of `data`, `bytes` long */
    TSR_CEILING_COPY,   /* the same: within the device, bytes read and written */
    TSR_CEILING_SEND,   /* the same: from pinned memory of the host */
    TSR_CEILING_PRODUCT /* FLOP per second: [rows, n_in] by [n_out, n_in]' in bf16 or FP8 */
} tsr_ceiling_kind;

typedef struct tsr_ceiling {
    tsr_ceiling_kind what;
    const void *data;
    size_t bytes;
    int64_t rows, n_out, n_in;
    tsr_dtype type;
} tsr_ceiling;

/* Measured now, behind what is queued, in memory that is taken for it. A failure stays with the queue. */
typedef double tsr_ceiling_fn(tsr_queue *q, const tsr_ceiling *c);

/* ---------------------------------------------------------------- the table ----------------------------- */

/* One slot per op, in the order above. */
typedef struct tsr_ops {
    const char *name;         /* "ref", "cpu", "cuda" */
    const tsr_memory *memory; /* its memory; NULL: the host's own */
    bool fp8_pages;           /* kv_write, kv_attend and attention take pages in fp8 */

    tsr_norm_fn *norm;
    tsr_convert_fn *convert;
    tsr_linear_fn *linear;
    tsr_embed_fn *embed;
    tsr_patchify_fn *patchify;
    tsr_vit_enter_fn *vit_enter;
    tsr_vit_leave_fn *vit_leave;
    tsr_gather_fn *gather;
    tsr_attend_fn *attend;
    tsr_pixel_shuffle_fn *pixel_shuffle;
    tsr_conv_fn *conv;
    tsr_scan_fn *scan;
    tsr_gated_norm_fn *gated_norm;
    tsr_kv_write_fn *kv_write;
    tsr_kv_attend_fn *kv_attend;
    tsr_moe_route_fn *moe_route;
    tsr_moe_ffn_fn *moe_ffn;
    tsr_sample_fn *sample;
    tsr_advance_fn *advance;
    tsr_slot_copy_fn *slot_copy;
    tsr_slot_read_fn *slot_read;
    tsr_slot_write_fn *slot_write;

    tsr_mamba_mix_fn *mamba_mix; /* optional from here */
    tsr_attention_fn *attention;

    tsr_linear_bytes_fn *linear_bytes;
    tsr_linear_pack_fn *linear_pack;
    tsr_input_form_fn *input_form;
    tsr_fuses_norm_fn *fuses_norm;
    tsr_linear_writes_fn *linear_writes;

    /* Scratch an op needs besides its outputs, taken by the front door before the call; NULL: none. */
    size_t (*linear_work)(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w);
    size_t (*attend_work)(const tsr_queue *q, tsr_view y, tsr_heads heads, tsr_spans spans);
    size_t (*scan_work)(const tsr_queue *q, const tsr_mixer *m, const tsr_step *step);
    size_t (*kv_attend_work)(const tsr_queue *q, tsr_heads heads, const tsr_step *step);
    size_t (*moe_ffn_work)(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down, tsr_view ids);
    size_t (*sample_work)(const tsr_queue *q, tsr_view logits);
    size_t (*mamba_mix_work)(const tsr_queue *q, tsr_view y, const tsr_mixer *m, const tsr_step *step);
    size_t (*attention_work)(const tsr_queue *q, tsr_view y, tsr_heads heads, const tsr_step *step);

    tsr_ceiling_fn *ceiling;
} tsr_ops;

/* ---------------------------------------------------------------- front doors --------------------------- */

tsr_norm_fn tsr_norm;
tsr_convert_fn tsr_convert;
tsr_linear_fn tsr_linear;
tsr_embed_fn tsr_embed;
tsr_patchify_fn tsr_patchify;
tsr_vit_enter_fn tsr_vit_enter;
tsr_vit_leave_fn tsr_vit_leave;
tsr_gather_fn tsr_gather;
tsr_attend_fn tsr_attend;
tsr_pixel_shuffle_fn tsr_pixel_shuffle;
tsr_conv_fn tsr_conv;
tsr_scan_fn tsr_scan;
tsr_gated_norm_fn tsr_gated_norm;
tsr_kv_write_fn tsr_kv_write;
tsr_kv_attend_fn tsr_kv_attend;
tsr_moe_route_fn tsr_moe_route;
tsr_moe_ffn_fn tsr_moe_ffn;
tsr_sample_fn tsr_sample;
tsr_advance_fn tsr_advance;
tsr_slot_copy_fn tsr_slot_copy;
tsr_slot_read_fn tsr_slot_read;
tsr_slot_write_fn tsr_slot_write;
tsr_mamba_mix_fn tsr_mamba_mix;
tsr_attention_fn tsr_attention;

/* d_conv of a mixer, and the width of the in-projection's output. */
static inline int64_t tsr_mixer_d(const tsr_mixer *m)
{
    return m->n_heads * m->head_dim;
}
static inline int64_t tsr_mixer_d_conv(const tsr_mixer *m)
{
    return tsr_mixer_d(m) + 2 * m->n_groups * m->d_state;
}
static inline int64_t tsr_mixer_d_in(const tsr_mixer *m)
{
    return tsr_mixer_d(m) + tsr_mixer_d_conv(m) + m->n_heads;
}

#endif
