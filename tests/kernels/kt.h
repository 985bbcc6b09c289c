/* tests/kernels/kt.h: what a kernel case is written with.
 *
 * A case is a function of a `kt`: it draws sizes, makes inputs, names outputs with their tolerances and calls a
 * front door on t->q. It is run many times from one seed and must draw the same numbers each time, so it may
 * branch on what it drew but never on the backend. What is checked is told in kt.c.
 */
#ifndef KT_H
#define KT_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/ops.h"

typedef struct kt_buffer kt_buffer;

typedef struct kt {
    tsr_queue *q;

    /* Units are what must not depend on its company: rows, or spans of rows, or sequences. A run has units
     * first .. end - 1 of n_units; all of them unless it runs some alone. */
    int64_t n_units, first, end;
    int32_t *unit_start; /* [n_units + 1] rows of each unit */

    bool sizes;     /* this run wants kt_size filled */
    bool fp8_pages; /* set by kt_pages: a table whose ops lack them is left out */

    /* The harness's own. */
    uint64_t rng, part_rng;
    bool alone, dry, overrun;
    int bench; /* -1, or which of the model's own sizes to take */
    unsigned char fill;
    tsr_status want_status;
    kt_buffer *buffers;
    int64_t n_buffers, cap_buffers;
    struct kt_agreement *agreements;
    int64_t n_agreements, cap_agreements;
} kt;

/* ---------------------------------------------------------------- drawing ------------------------------- */

int64_t kt_int(kt *t, int64_t low, int64_t high); /* both included */
double kt_real(kt *t, double low, double high);
double kt_normal(kt *t); /* mean 0, variance 1, within +-4 */
bool kt_chance(kt *t, int percent);
int64_t kt_pick_of(kt *t, const int64_t *values, int64_t n);
#define kt_pick(t, ...)                                                                                      \
    kt_pick_of(t, (const int64_t[]){__VA_ARGS__}, (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8))

/* `drawn` when testing; when timing, the value of the size that is being timed (the last one serves for all
 * later ones). */
int64_t kt_model_of(kt *t, int64_t drawn, const int64_t *values, int64_t n);
#define kt_model(t, drawn, ...)                                                                              \
    kt_model_of(t, drawn, (const int64_t[]){__VA_ARGS__}, (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8))

/* ---------------------------------------------------------------- tolerances ---------------------------- */

/* |got - want| <= steps * (distance of neighbouring values of the output's type at want)
 *                 + relative * |want| + terms * size
 *
 * where size is what the case told with kt_size, or else the largest |want| of the row (of each `group` columns
 * of it, if group is not 0). Every one is derived in docs/numerics.md. */
typedef struct kt_tol {
    double steps, relative, terms;
    int64_t group;
} kt_tol;

kt_tol kt_exact(void);     /* the same value; NaN is NaN */
kt_tol kt_ulp(double n);   /* n steps of the output's type */
kt_tol kt_sum(int64_t n);  /* one sum of n products in f32, then one rounding */
kt_tol kt_bf16(int64_t n); /* the same, with one factor of each product rounded to bf16 */
kt_tol kt_fp8(int64_t n);  /* the same, with one factor rounded to E4M3 */
kt_tol kt_attend(int64_t head_dim, int64_t n, double score, tsr_dtype type); /* softmax over n keys */
kt_tol kt_scan(const tsr_mixer *m, int64_t n);                               /* n steps of the recurrence */
kt_tol kt_kept(kt_tol tol, tsr_dtype state); /* from a state that was rounded to this type on the way */
kt_tol kt_group(kt_tol tol, int64_t group);
kt_tol kt_worse(kt_tol a, kt_tol b); /* both errors together */

/* ---------------------------------------------------------------- memory -------------------------------- */

/* Views with guard bands around them, strided and placed at random. Data is normal unless said otherwise. */
tsr_view kt_in(kt *t, tsr_dtype type, int64_t rows, int64_t cols);
tsr_view kt_in_range(kt *t, tsr_dtype type, int64_t rows, int64_t cols, double low, double high);
tsr_view kt_in_fp8(kt *t, tsr_scale_kind scaled, int64_t rows, int64_t cols);
tsr_view kt_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols); /* stride == cols, aligned */
int32_t *kt_ints(kt *t, int64_t n);                                   /* zeros, for the case to fill */

/* Outputs start as rubbish that reads as NaN; every element must be written. */
tsr_view kt_out(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol);
/* FP8 outputs: ROW and BLOCK scales are outputs too, TENSOR reads `scale`. */
tsr_view kt_out_fp8(kt *t, tsr_scale_kind scaled, float scale, int64_t rows, int64_t cols, const char *name,
                    kt_tol tol);
/* f32, bf16 or any form of fp8, drawn. An fp8 output takes one more step: its scale's and its rounding's. */
tsr_view kt_out_any(kt *t, int64_t rows, int64_t cols, const char *name, kt_tol tol);
/* Read and written: normal data at first. */
tsr_view kt_inout(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol);
tsr_view kt_out_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol);
tsr_view kt_inout_dense(kt *t, tsr_dtype type, int64_t rows, int64_t cols, const char *name, kt_tol tol);

tsr_dtype kt_flt(kt *t); /* f32 or bf16 */
void kt_set(tsr_view v, int64_t r, int64_t c, double value);
double kt_at(tsr_view v, int64_t r, int64_t c);
void kt_fill_row(tsr_view v, int64_t r, double value);

/* Sometimes: a row of zeros, one value of 2^20, and if `with_nan` one NaN. */
void kt_stress(kt *t, tsr_view v, bool with_nan);

/* Sizes of the terms of each element of an output, row by row, for its tolerance; NULL when not wanted. */
double *kt_size(kt *t, tsr_view output);

/* Two results of one run must be equal within tol, on every backend and on ref; sizes are those of b. */
void kt_agree(kt *t, tsr_view a, tsr_view b, kt_tol tol);

/* The queue must fail with this status, and no output is looked at. */
void kt_fails(kt *t, tsr_status status);

/* ---------------------------------------------------------------- alone and in company ------------------ */

/* Say what the units are, before any output is made; then pass only kt_part of each view of rows. Outputs with
 * as many rows as the units have are owned by them; for others say so with kt_own. */
void kt_rowwise(kt *t, int64_t rows);
void kt_spanwise(kt *t, const int32_t *start, int64_t n);
tsr_view kt_part(kt *t, tsr_view v);
int64_t kt_part_rows(kt *t);

/* An array that only this run needs, for the case to fill and then to seal against writing. */
int32_t *kt_part_ints(kt *t, const int32_t *values, int64_t n);

/* owner[r] is the unit that writes row r of the output, -1: nobody may. Copied. */
void kt_own(kt *t, tsr_view output, const int32_t *owner);

/* Draw q->n_stream for the rows of the units, and keep each row's class when it runs alone. */
void kt_stream(kt *t);

/* ---------------------------------------------------------------- weights ------------------------------- */

typedef struct kt_weight_opts {
    tsr_dtype type;
    int64_t rows, cols;    /* of one expert */
    int parts;             /* 0 and 1: one */
    int experts;           /* 0: no experts; otherwise parts are experts */
    tsr_scale_kind scaled; /* NONE, TENSOR (a scale per part), ROW */
    bool equal_scales;     /* of the parts */
    bool bias;
    tsr_input_mode input;
    float input_scale; /* for STATIC */
    float gain;        /* values have this size over sqrt(cols); 0: 1 */
} kt_weight_opts;

/* A weight as the backend under test packs it, from parts that may be misaligned. */
tsr_weight kt_weight(kt *t, kt_weight_opts o);

tsr_norm_weight kt_norm_weight(kt *t, int64_t d, bool centred, bool bias);

/* ---------------------------------------------------------------- steps --------------------------------- */

typedef struct kt_step_opts {
    int64_t n_decode, n_prefill;
    int64_t max_len;     /* rows of the longest prefill sequence; lengths are drawn from `lengths` below it */
    int64_t max_pos;     /* of tokens already in the state */
    int64_t chunk;       /* lengths and positions near its multiples are drawn often; 0: none */
    int64_t page_tokens; /* 0: 16 */
    int64_t n_slots;     /* at least n_decode + n_prefill */
    bool nobody;         /* some sequences have slot -1, some pages are -1 */
} kt_step_opts;

typedef struct kt_steps {
    tsr_step all, part; /* every sequence; this run's own */
    int64_t n_slots, n_pages, page_tokens;
    int32_t *slot_owner; /* [n_slots] sequence, or -1 */
    int32_t *page_owner; /* [n_pages] */
} kt_steps;

/* Units become the sequences. Arrays that only `embed` and `sample` read are left to their cases. */
kt_steps kt_step(kt *t, kt_step_opts o);

/* Steps with a few sequences, or none; at the model's sizes one sequence decodes, then one prompt of 512. */
kt_step_opts kt_step_draw(kt *t, int64_t chunk);

/* The same with some contexts of several hundred tokens, as attention splits them. */
kt_step_opts kt_step_long(kt *t);

/* One sequence in one call, and the same cut in two. */
typedef struct kt_split {
    tsr_step whole, head, tail;
    int64_t cut; /* rows of head */
} kt_split;
kt_split kt_step_split(kt *t, int64_t rows, int64_t pos, int32_t slot);

/* Sequences at position 0 must not see what their slot holds: make it NaN. */
void kt_poison_new(tsr_view slots, const tsr_step *all);

/* ---------------------------------------------------------------- pages --------------------------------- */

typedef struct kt_paged kt_paged;

tsr_heads kt_heads(kt *t);
tsr_heads kt_heads_usual(kt *t); /* as models have them, which backends have kernels for */

/* Sizes of what one head of one row is summed from, [d]: over n keys and values, [n][d] each. */
void kt_attend_size(double *size, const double *query, const double *keys, const double *values, int64_t n,
                    int64_t d, double scale);

/* The same for all rows of a step, whose new keys and values are in the pages or, if `qkv` has any rows, there. */
void kt_paged_size(double *size, const kt_steps *k, tsr_heads h, const kt_paged *p, tsr_view x, tsr_view qkv);

tsr_dtype kt_page_type(kt *t); /* f32, bf16 or fp8 */

struct kt_paged {
    tsr_pages pages;
    tsr_view block;     /* [n_pages, ...] */
    int64_t k_at, v_at; /* columns at which keys and values begin */
};

/* Pages that hold the context of every sequence, and NaN in all other places. `written`: the op stores the new
 * rows itself, and the pages are its output. The scales of fp8 pages are small enough that some values saturate. */
kt_paged kt_pages(kt *t, const kt_steps *k, tsr_heads h, tsr_dtype type, bool written);

/* ---------------------------------------------------------------- the mixer ----------------------------- */

/* Sizes and weights of a Mamba-2 layer. */
tsr_mixer kt_mixer(kt *t);

/* The type of its SSM state: f32 or f16. */
tsr_dtype kt_ssm_type(kt *t);

/* dt after softplus and clamp, from its raw value. */
double kt_dt(const tsr_mixer *m, double raw, int64_t head);

/* ---------------------------------------------------------------- the list ------------------------------ */

typedef struct kt_case {
    const char *name;
    void (*run)(kt *t);
    tsr_op_id op;
    uint32_t calls; /* 1 << each other op whose slot its front door may call */
    bool loads;     /* packs weights */
    bool by_rows;   /* devices choose kernels by the number of rows: a row alone has not the same bits */
    int seeds;
    int benches;
} kt_case;

/* clang-format off: one line per case */
#define KT_CASES(X)                                                                                          \
    X(norm)                                                                                                  \
    X(convert)                                                                                               \
    X(linear)                                                                                                \
    X(embed)                                                                                                 \
    X(patchify)                                                                                              \
    X(vit_enter)                                                                                             \
    X(vit_leave)                                                                                             \
    X(gather)                                                                                                \
    X(attend)                                                                                                \
    X(pixel_shuffle)                                                                                         \
    X(conv)                                                                                                  \
    X(scan)                                                                                                  \
    X(gated_norm)                                                                                            \
    X(kv_write)                                                                                              \
    X(kv_attend)                                                                                             \
    X(moe_route)                                                                                             \
    X(moe_ffn)                                                                                               \
    X(sample)                                                                                                \
    X(advance)                                                                                               \
    X(slot_copy)                                                                                             \
    X(slot_read)                                                                                             \
    X(slot_write)                                                                                            \
    X(mamba_mix)                                                                                             \
    X(attention)
/* clang-format on */
#define KT_DECLARE(name) extern const kt_case kt_case_##name;
KT_CASES(KT_DECLARE)

/* ---------------------------------------------------------------- the harness --------------------------- */

typedef struct kt_table {
    char label[32]; /* "ref", "cpu-avx2" */
    const char *level;
    bool marshalled; /* by kt_marshalled */
    bool device;     /* CUDA, or its emulation */
    tsr_ops ops;
} kt_table;

/* The table of a backend with memory of its own, for cases that keep theirs on the host. One at a time. */
tsr_ops kt_marshalled(const tsr_ops *device);

/* Run a case from one seed on every table, the first of which is ref, and compare. A table whose slots this
 * case has met already is left out. Failures are printed; the number of tables that failed is returned.
 * *largest grows to the largest error beyond one rounding of the output, as a part of its tolerance. */
int kt_check(const kt_case *c, uint64_t seed, const kt_table *tables, int n_tables, tsr_pool *one,
             tsr_pool *three, double *largest);

/* Two tables give this case the same functions. */
bool kt_same_slots(const kt_case *c, const tsr_ops *a, const tsr_ops *b);

/* Time the case at the model's own sizes on every table and print a line for each. */
void kt_bench(const kt_case *c, const kt_table *tables, int n_tables);

/* Seconds, FLOPs and bytes of the case's ops at one of the model's sizes; the best of `repeats`, which may be 0
 * to learn FLOPs and bytes alone. */
tsr_op_count kt_time(const kt_case *c, int bench, const kt_table *table, tsr_pool *pool, int repeats);

#endif
