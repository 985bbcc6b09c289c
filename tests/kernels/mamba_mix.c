/* tests/kernels/mamba_mix.c: conv, scan and gated norm in one, against their composition on ref. */
#include <math.h>
#include <stdlib.h>

#include "tests/kernels/kt.h"

/* What one call reads, on ref. */
typedef struct operands {
    const tsr_mixer *m;
    tsr_view p, conv, ssm;
    const tsr_step *step;
} operands;

/* One sequence with x, B and C behind the convolution, and dt. */
typedef struct sequence {
    int64_t rows;
    double *xbc, *dt; /* [rows][d_conv], [rows][n_heads] */
} sequence;

static void *numbers(int64_t n)
{
    double *a = calloc((size_t)n + 1, sizeof *a);
    if (!a) exit(1);
    return a;
}

static sequence convolved(const operands *in, int64_t i)
{
    const tsr_mixer *m = in->m;
    int64_t d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m), tail = m->conv_width - 1;
    int64_t first = in->step->spans.start[i], slot = in->step->slot[i];
    sequence s = {.rows = in->step->spans.start[i + 1] - first};
    s.xbc = numbers(s.rows * d_conv);
    s.dt = numbers(s.rows * m->n_heads);
    for (int64_t t = 0; t < s.rows; t++) {
        for (int64_t c = 0; c < d_conv; c++) {
            double sum = kt_at(m->conv_bias, 0, c);
            for (int64_t k = 0; k <= tail; k++) {
                int64_t from = t - tail + k;
                double x = 0;
                if (from >= 0)
                    x = kt_at(in->p, first + from, d + c);
                else if (in->step->pos[i] > 0 && slot >= 0)
                    x = kt_at(in->conv, slot, (tail + from) * d_conv + c);
                sum += kt_at(m->taps, k, c) * x;
            }
            s.xbc[t * d_conv + c] = sum / (1 + exp(-sum));
        }
        for (int64_t j = 0; j < m->n_heads; j++)
            s.dt[t * m->n_heads + j] = kt_dt(m, kt_at(in->p, first + t, d + d_conv + j), j);
    }
    return s;
}

/* y of the scan, and the square of the size of its errors in units of one rounding of a factor to bf16. Errors of B
 * are independent in all terms; those of x and of the two factors that C B' becomes in its row are shared by the N
 * products of that row, those of C and of the state by all rows before: sums of those come first, then squares. y is
 * rounded too. */
static void scan_errors(double *y, double *errors, double *state_size, const operands *in, const sequence *s,
                        int64_t i, int64_t head)
{
    const tsr_mixer *m = in->m;
    int64_t width = m->head_dim, states = m->d_state, d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m);
    int64_t group = head / (m->n_heads / m->n_groups), slot = in->step->slot[i];
    double a = kt_at(m->a, 0, head), skip = kt_at(m->d, 0, head);
    double *h = numbers(width * states), *squares = numbers(width * states), *products = numbers(s->rows);
    for (int64_t e = 0; e < width * states && in->step->pos[i] > 0 && slot >= 0; e++)
        h[e] = kt_at(in->ssm, slot, head * width * states + e);
    for (int64_t t = 0; t < s->rows; t++) {
        const double *x = s->xbc + t * d_conv + head * width, *b = s->xbc + t * d_conv + d + group * states;
        const double *c = b + m->n_groups * states;
        double dt = s->dt[t * m->n_heads + head], decay = exp(dt * a), fall = 1;
        for (int64_t j = t; j >= 0; j--) {
            const double *of_j = s->xbc + j * d_conv + d + group * states;
            products[j] = j == t ? skip : 0;
            for (int64_t n = 0; n < states && fall > 0; n++)
                products[j] += c[n] * of_j[n] * fall * s->dt[j * m->n_heads + head];
            fall *= exp(s->dt[j * m->n_heads + head] * a);
        }
        for (int64_t p = 0; p < width; p++) {
            double out = skip * x[p], of_b = 0, of_c = 0, of_x = 0;
            for (int64_t n = 0; n < states; n++) {
                double *now = h + p * states + n, *square = squares + p * states + n;
                *now = decay * *now + dt * x[p] * b[n];
                *square = decay * decay * *square + pow(dt * x[p] * b[n], 2);
                out += *now * c[n];
                of_b += *square * c[n] * c[n];
                of_c += *now * *now * c[n] * c[n];
            }
            for (int64_t j = 0; j <= t; j++)
                of_x += pow(products[j] * s->xbc[j * d_conv + head * width + p], 2);
            y[t * d + head * width + p] = out;
            errors[t * d + head * width + p] = 3 * of_x + of_b + 2 * of_c + out * out;
        }
    }
    for (int64_t e = 0; e < width * states && slot >= 0; e++) /* x, B, and x times its weight */
        state_size[(slot * d + head * width) * states + e] = sqrt(3 * squares[e]) + fabs(h[e]) * 0x1p-10;
    free(h);
    free(squares);
    free(products);
}

/* Through the gate and the norm: a group is divided by the root of its mean square, which has the errors of all of it. */
static void fill_sizes(double *y_size, double *scale_size, double *state_size, tsr_view y, const operands *in)
{
    const tsr_mixer *m = in->m;
    int64_t d = tsr_mixer_d(m), width = d / m->n_groups;
    for (int64_t i = 0; i < in->step->n_seqs; i++) {
        sequence s = convolved(in, i);
        double *out = numbers(s.rows * d), *errors = numbers(s.rows * d);
        for (int64_t j = 0; j < m->n_heads; j++) scan_errors(out, errors, state_size, in, &s, i, j);
        for (int64_t t = 0; t < s.rows; t++)
            for (int64_t group = 0; group < m->n_groups; group++) {
                int64_t r = in->step->spans.start[i] + t, first = group * width;
                double sum = 0, wrong = 0;
                for (int64_t c = first; c < first + width; c++) {
                    double z = kt_at(in->p, r, c), gate = z / (1 + exp(-z));
                    out[t * d + c] *= gate;
                    errors[t * d + c] *= gate * gate;
                    sum += pow(out[t * d + c], 2);
                    wrong += errors[t * d + c];
                }
                for (int64_t c = first; c < first + width; c++) {
                    double of_all = sum > 0 ? fabs(out[t * d + c]) * sqrt(wrong / sum) : 0;
                    double w = fabs(kt_at(m->norm.w, 0, c)) / sqrt(sum / (double)width + m->norm.eps);
                    double size = w * (sqrt(errors[t * d + c]) + of_all);
                    y_size[r * d + c] = size;
                    if (!scale_size) continue;
                    int64_t at = y.scaled == TSR_SCALE_BLOCK ? c / TSR_SCALE_BLOCK_COLS : 0;
                    double *scale = scale_size + r * y.scale_stride + at;
                    *scale = fmax(*scale, size / TSR_FP8_MAX);
                }
            }
        free(s.xbc);
        free(s.dt);
        free(out);
        free(errors);
    }
}

static void run(kt *t)
{
    tsr_mixer m = kt_mixer(t);
    kt_steps k = kt_step(t, kt_step_draw(t, m.chunk));
    int64_t d = tsr_mixer_d(&m), d_conv = tsr_mixer_d_conv(&m), tail = m.conv_width - 1;
    bool published = m.head_dim >= 64 && m.d_state >= 128 && kt_chance(t, 75); /* as they run: bf16 */
    tsr_dtype type = (tsr_dtype)kt_model(t, published ? TSR_BF16 : kt_flt(t), TSR_F32);
    tsr_dtype kept = kt_ssm_type(t);
    t->q->type = type;
    tsr_view p = kt_in(t, type, k.all.n_rows, tsr_mixer_d_in(&m));
    kt_tol scan = kt_worse(kt_scan(&m, k.all.max_new), kt_sum(m.conv_width));
    bool rounds =
        type == TSR_BF16 && t->bench < 0; /* the scan's operands may be bf16 where activations are */
    kt_tol state_tol = kt_group(scan, m.head_dim * m.d_state);
    if (rounds) state_tol = kt_worse(scan, kt_bf16(1));
    tsr_view conv = kt_inout(t, type, k.n_slots, tail * d_conv, "conv state", kt_exact());
    tsr_view ssm = kt_inout(t, kept, k.n_slots, d * m.d_state, "ssm state", state_tol);
    kt_own(t, conv, k.slot_owner);
    kt_own(t, ssm, k.slot_owner);
    kt_poison_new(conv, &k.all);
    kt_poison_new(ssm, &k.all);

    /* The norm divides by what the scan made: a group in which terms cancelled is rounded more coarsely than its
     * results look. Eight times the scan's own tolerance covers what these sizes draw. */
    kt_tol tol = kt_worse(scan, kt_sum(d / m.n_groups));
    tol.terms *= 8;
    tol.relative += 0x1p-19;
    if (rounds) tol = kt_worse(tol, kt_bf16(1));
    tsr_view y = t->bench < 0 ? kt_out_any(t, k.all.n_rows, d, "y", tol)
                              : kt_out(t, TSR_F32, k.all.n_rows, d, "y", tol);
    double *y_size = rounds ? kt_size(t, y) : NULL;
    if (y_size) {
        bool own_scale = y.scaled == TSR_SCALE_ROW || y.scaled == TSR_SCALE_BLOCK;
        tsr_view scale = tsr_view_of(y.scale, TSR_F32, y.rows, y.scale_stride);
        operands in = {&m, p, conv, ssm, &k.all};
        fill_sizes(y_size, own_scale ? kt_size(t, scale) : NULL, kt_size(t, ssm), y, &in);
    }
    tsr_mamba_state state = {{conv.data, conv.stride * (int64_t)tsr_dtype_bytes(type), type},
                             {ssm.data, ssm.stride * (int64_t)tsr_dtype_bytes(kept), kept}};
    tsr_mamba_mix(t->q, kt_part(t, y), kt_part(t, p), &m, state, &k.part);
}

const kt_case kt_case_mamba_mix = {.name = "mamba_mix",
                                   .run = run,
                                   .op = TSR_OP_MAMBA_MIX,
                                   .calls = 1u << TSR_OP_CONV | 1u << TSR_OP_SCAN | 1u << TSR_OP_GATED_NORM,
                                   .seeds = 60,
                                   .benches = 3};
