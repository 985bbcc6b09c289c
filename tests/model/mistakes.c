/* tests/model/mistakes.c: each mistake is a slot of its own around the reference's ops.
 *
 * Only what the golden prompt needs: one sequence from position 0, plain f32 rows.
 * Source: nemotron-h spec, appendix A, diagnosis table.
 */
#include "mistakes.h"

#include <math.h>
#include <string.h>

#include "kernels/backend.h"

enum { MAX_ROWS = 64, MAX_STATE = 64, MAX_TAPS = 8, CHUNK = 8 };

static float *at(tsr_view v, int64_t r, int64_t c)
{
    return (float *)tsr_row(v, r) + c;
}

static double silu(double u)
{
    return u / (1 + exp(-u));
}

/* ---------------------------------------------------------------- gated norm ---------------------------- */

static void one_group(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    tsr_mixer all = *m;
    all.n_groups = 1;
    tsr_ref_ops.gated_norm(q, y, x, z, &all);
}

static void gate_last(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    (void)q;
    int64_t width = x.cols / m->n_groups;
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t g = 0; g < m->n_groups; g++) {
            double squares = 0;
            for (int64_t c = g * width; c < (g + 1) * width; c++)
                squares += (double)*at(x, r, c) * (double)*at(x, r, c);
            double inverse = 1 / sqrt(squares / (double)width + (double)m->norm.eps);
            for (int64_t c = g * width; c < (g + 1) * width; c++)
                *at(y, r, c) = (float)((double)*at(x, r, c) * inverse * (double)*at(m->norm.w, 0, c) *
                                       silu((double)*at(z, r, c)));
        }
}

/* ---------------------------------------------------------------- convolution --------------------------- */

static void convolve(tsr_view y, tsr_view x, const tsr_mixer *m, bool reversed, bool activated)
{
    int64_t last = m->conv_width - 1;
    for (int64_t t = 0; t < x.rows; t++)
        for (int64_t c = 0; c < x.cols; c++) {
            double a = (double)*at(m->conv_bias, 0, c);
            for (int64_t k = 0; k <= last; k++)
                if (t - last + k >= 0)
                    a += (double)*at(m->taps, reversed ? last - k : k, c) * (double)*at(x, t - last + k, c);
            *at(y, t, c) = (float)(activated ? silu(a) : a);
        }
}

static void reversed_taps(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                          const tsr_step *step)
{
    (void)q, (void)conv, (void)step;
    convolve(y, x, m, true, true);
}

static void no_silu(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                    const tsr_step *step)
{
    (void)q, (void)conv, (void)step;
    convolve(y, x, m, false, false);
}

/* ---------------------------------------------------------------- scan ---------------------------------- */

typedef struct scan_mistake {
    bool modulo, swapped, no_skip, no_dt, wrong_axis;
} scan_mistake;

typedef struct scan_head {
    tsr_view y, xbc;
    int64_t x_col, b_col, c_col, d_state;
    double dt[MAX_ROWS], a, d;
    scan_mistake wrong;
} scan_head;

/* Rows first to end - 1 of one column, from and into h; writes y unless this is a rehearsal. */
static void scan_rows(const scan_head *s, double h[MAX_STATE], int64_t first, int64_t end, bool rehearse)
{
    for (int64_t t = first; t < end; t++) {
        double x = (double)*at(s->xbc, t, s->x_col), out = s->wrong.no_skip ? 0 : s->d * x;
        for (int64_t n = 0; n < s->d_state; n++) {
            double in = (s->wrong.no_dt ? 1 : s->dt[t]) * x * (double)*at(s->xbc, t, s->b_col + n);
            h[n] = exp(s->dt[t] * s->a) * h[n] + in;
            out += h[n] * (double)*at(s->xbc, t, s->c_col + n);
        }
        if (!rehearse) *at(s->y, t, s->x_col) = (float)out;
    }
}

/* What the wrong axis makes of the chunk before `first`: its own state times a sum over the chunks that follow. */
static void enter_wrongly(const scan_head *s, double h[MAX_STATE], int64_t first, int64_t n_rows)
{
    memset(h, 0, MAX_STATE * sizeof *h);
    if (first == 0) return;
    scan_rows(s, h, first - CHUNK, first, true);
    double decay = 0, sum = 1;
    for (int64_t t = first; t < n_rows; t++) {
        decay += s->dt[t] * s->a;
        if ((t + 1) % CHUNK == 0 || t + 1 == n_rows) sum += exp(decay);
    }
    for (int64_t n = 0; n < s->d_state; n++) h[n] *= sum;
}

static void scan_wrongly(tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, scan_mistake wrong)
{
    int64_t per_group = m->n_heads / m->n_groups, d = m->n_heads * m->head_dim,
            d_b = m->n_groups * m->d_state;
    for (int64_t head = 0; head < m->n_heads; head++)
        for (int64_t column = 0; column < m->head_dim; column++) {
            int64_t group = wrong.modulo ? head % m->n_groups : head / per_group;
            int64_t b = d + group * m->d_state, c = b + d_b;
            scan_head s = {.y = y,
                           .xbc = xbc,
                           .x_col = head * m->head_dim + column,
                           .d_state = m->d_state,
                           .b_col = wrong.swapped ? c : b,
                           .c_col = wrong.swapped ? b : c,
                           .a = (double)*at(m->a, 0, head),
                           .d = (double)*at(m->d, 0, head),
                           .wrong = wrong};
            for (int64_t t = 0; t < xbc.rows; t++)
                s.dt[t] = log1p(exp((double)*at(dt, t, head) + (double)*at(m->dt_bias, 0, head)));
            double h[MAX_STATE] = {0};
            for (int64_t t = 0; t < xbc.rows; t += CHUNK) {
                if (wrong.wrong_axis) enter_wrongly(&s, h, t, xbc.rows);
                scan_rows(&s, h, t, t + CHUNK < xbc.rows ? t + CHUNK : xbc.rows, false);
            }
        }
}

#define SCAN(name, ...)                                                                                      \
    static void name(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm, \
                     const tsr_step *step)                                                                   \
    {                                                                                                        \
        (void)q, (void)ssm, (void)step;                                                                      \
        scan_wrongly(y, xbc, dt, m, (scan_mistake){__VA_ARGS__});                                            \
    }

SCAN(right_scan, .modulo = false)
SCAN(modulo_groups, .modulo = true)
SCAN(swapped_b_c, .swapped = true)
SCAN(no_skip, .no_skip = true)
SCAN(no_dt, .no_dt = true)
SCAN(wrong_axis, .wrong_axis = true)

/* ---------------------------------------------------------------- attention ----------------------------- */

/* Query heads reordered so that the right kernel pairs head j with KV head j mod n_kv; then put back. */
static void modulo_heads(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages pages, tsr_heads heads,
                         const tsr_step *step)
{
    float in[MAX_ROWS * 256], out[MAX_ROWS * 256];
    tsr_view to = tsr_view_of(in, TSR_F32, x.rows, x.cols), from = tsr_view_of(out, TSR_F32, x.rows, x.cols);
    assert(x.rows <= MAX_ROWS && x.cols <= 256);
    int64_t each = heads.n_q / heads.n_kv;
    size_t bytes = (size_t)heads.head_dim * sizeof(float);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t j = 0; j < heads.n_q; j++) {
            int64_t place = j % heads.n_kv * each + j / heads.n_kv;
            memcpy(at(to, r, place * heads.head_dim), at(x, r, j * heads.head_dim), bytes);
        }
    tsr_ref_ops.kv_attend(q, from, to, pages, heads, step);
    for (int64_t r = 0; r < x.rows; r++)
        for (int64_t j = 0; j < heads.n_q; j++) {
            int64_t place = j % heads.n_kv * each + j / heads.n_kv;
            memcpy(at(y, r, j * heads.head_dim), at(from, r, place * heads.head_dim), bytes);
        }
}

/* ---------------------------------------------------------------- MLP and experts ----------------------- */

static void biased_gates(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    tsr_router plain = *router;
    plain.renormalise = false;
    plain.scale = 1;
    tsr_ref_ops.moe_route(q, ids, gates, u, &plain);
    for (int64_t r = 0; r < u.rows; r++) {
        double sum = 0;
        for (int64_t k = 0; k < ids.cols; k++) {
            *at(gates, r, k) += *at(router->bias, 0, ((const int32_t *)tsr_row(ids, r))[k]);
            sum += (double)*at(gates, r, k);
        }
        for (int64_t k = 0; k < ids.cols; k++)
            *at(gates, r, k) = (float)((double)*at(gates, r, k) / sum * (double)router->scale);
    }
}

static void no_route_scale(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    tsr_router wrong = *router;
    wrong.scale = 1;
    tsr_ref_ops.moe_route(q, ids, gates, u, &wrong);
}

static void no_renormalising(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    tsr_router wrong = *router;
    wrong.renormalise = false;
    tsr_ref_ops.moe_route(q, ids, gates, u, &wrong);
}

static void relu_linear(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    tsr_ref_ops.linear(q, y, x, w, o);
    for (int64_t r = 0; r < y.rows && o.act == TSR_RELU2; r++)
        for (int64_t c = 0; c < y.cols; c++) *at(y, r, c) = sqrtf(*at(y, r, c));
}

static void relu_experts(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                         tsr_view ids, tsr_view gates, tsr_view add)
{
    float hidden[256];
    assert(up->rows <= 256 && tsr_same_shape(y, add) && y.data == add.data);
    for (int64_t r = 0; r < y.rows; r++)
        for (int64_t k = 0; k < ids.cols; k++) {
            int64_t e = ((const int32_t *)tsr_row(ids, r))[k];
            for (int64_t j = 0; j < up->rows; j++) {
                hidden[j] = 0;
                for (int64_t i = 0; i < up->cols; i++)
                    hidden[j] +=
                        tsr_load(up->data, up->type, (e * up->rows + j) * up->cols + i) * *at(t, r, i);
                hidden[j] = fmaxf(hidden[j], 0);
            }
            for (int64_t j = 0; j < down->rows; j++)
                for (int64_t i = 0; i < down->cols; i++)
                    *at(y, r, j) += *at(gates, r, k) * hidden[i] *
                                    tsr_load(down->data, down->type, (e * down->rows + j) * down->cols + i);
        }
    (void)q;
}

/* ---------------------------------------------------------------- the table ----------------------------- */

static const struct mistake {
    const char *name; /* as in golden.json */
    float dt_min;
    tsr_gated_norm_fn *gated_norm;
    tsr_conv_fn *conv;
    tsr_scan_fn *scan;
    tsr_kv_attend_fn *kv_attend;
    tsr_moe_route_fn *moe_route;
    tsr_linear_fn *linear;
    tsr_moe_ffn_fn *moe_ffn;
} mistakes[] = {
    {.name = "(correct)", .scan = right_scan},
    {.name = "dt floored at 0.001 (native HF)", .dt_min = 0.001f},
    {.name = "inter-chunk axis defect, chunk 8 (HF slow path 5.6-5.13)", .scan = wrong_axis},
    {.name = "RMS over all d", .gated_norm = one_group},
    {.name = "gate after norm", .gated_norm = gate_last},
    {.name = "head -> group by modulo", .scan = modulo_groups},
    {.name = "conv taps reversed", .conv = reversed_taps},
    {.name = "B and C swapped", .scan = swapped_b_c},
    {.name = "no D skip", .scan = no_skip},
    {.name = "no SiLU after conv", .conv = no_silu},
    {.name = "dt missing in the input term", .scan = no_dt},
    {.name = "correction bias inside expert weights", .moe_route = biased_gates},
    {.name = "routed scale omitted", .moe_route = no_route_scale},
    {.name = "top-k weights not renormalised", .moe_route = no_renormalising},
    {.name = "KV head by modulo", .kv_attend = modulo_heads},
    {.name = "relu instead of relu^2", .linear = relu_linear, .moe_ffn = relu_experts},
};

bool mistaken_ops(tsr_ops *out, float *dt_min, const char *name)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        if (strcmp(m->name, name) != 0) continue;
        *out = tsr_ref_ops;
        if (m->gated_norm) out->gated_norm = m->gated_norm;
        if (m->conv) out->conv = m->conv;
        if (m->scan) out->scan = m->scan;
        if (m->kv_attend) out->kv_attend = m->kv_attend;
        if (m->moe_route) out->moe_route = m->moe_route;
        if (m->linear) out->linear = m->linear;
        if (m->moe_ffn) out->moe_ffn = m->moe_ffn;
        *dt_min = m->dt_min;
        return true;
    }
    return false;
}
