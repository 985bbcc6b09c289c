/* tests/kernels/scan.c: one step, and one sequence cut in two. */
#include <math.h>
#include <string.h>

#include "tests/kernels/kt.h"

/* softplus of -90 is near the end of f32; what is below this may be rounded to nothing. */
#define SMALLEST 0x1p-100

typedef struct operands {
    tsr_view xbc, dt, state;
} operands;

/* Root of the sum of squares of all terms of each y and each final state: the recurrence on squares. */
static void fill_sizes(double *y_size, double *state_size, const tsr_mixer *m, const operands *in,
                       const tsr_step *step)
{
    for (int64_t i = 0; i < step->n_seqs; i++)
        for (int64_t col = 0; col < tsr_mixer_d(m); col++) {
            double squares[256] = {0};
            int64_t head = col / m->head_dim, group = head / (m->n_heads / m->n_groups);
            int64_t b = tsr_mixer_d(m) + group * m->d_state, c = b + m->n_groups * m->d_state;
            for (int64_t n = 0; n < m->d_state && step->pos[i] > 0 && step->slot[i] >= 0; n++)
                squares[n] = pow(kt_at(in->state, step->slot[i], col * m->d_state + n), 2);
            for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++) {
                double dt = kt_dt(m, kt_at(in->dt, t, head), head), x = kt_at(in->xbc, t, col);
                double decay = exp(2 * dt * kt_at(m->a, 0, head)), out = pow(kt_at(m->d, 0, head) * x, 2);
                for (int64_t n = 0; n < m->d_state; n++) {
                    squares[n] = decay * squares[n] + pow(dt * x * kt_at(in->xbc, t, b + n), 2);
                    out += squares[n] * pow(kt_at(in->xbc, t, c + n), 2);
                }
                y_size[t * tsr_mixer_d(m) + col] = sqrt(out) + SMALLEST;
            }
            for (int64_t n = 0; n < m->d_state && step->slot[i] >= 0; n++)
                state_size[(step->slot[i] * tsr_mixer_d(m) + col) * m->d_state + n] =
                    sqrt(squares[n]) + SMALLEST;
        }
}

static tsr_view draw_dt(kt *t, const tsr_mixer *m, tsr_dtype type, int64_t rows)
{
    tsr_view dt = kt_in(t, type, rows, m->n_heads);
    if (!kt_chance(t, 30)) return dt;
    for (int64_t r = 0; r < rows; r++) /* steps that forget everything, and steps that change nothing */
        for (int64_t j = 0; j < m->n_heads; j++)
            if (kt_chance(t, 20)) kt_set(dt, r, j, kt_pick(t, -90, -30, 15, 25, 60));
    return dt;
}

static void run_split(kt *t, const tsr_mixer *m)
{
    int64_t d = tsr_mixer_d(m), rows = kt_int(t, 2, 3 * m->chunk), width = d * m->d_state;
    kt_split s = kt_step_split(t, rows, kt_pick(t, 0, 5, m->chunk), 1);
    operands in = {kt_in(t, TSR_F32, rows, tsr_mixer_d_conv(m)), draw_dt(t, m, TSR_F32, rows), {0}};
    tsr_dtype kept = kt_ssm_type(t);
    int64_t each = (int64_t)tsr_dtype_bytes(kept);
    kt_tol tol = kt_scan(m, rows), tol2 = kt_kept(tol, kept);
    in.state = kt_inout(t, kept, 3, width, "state", tol);
    tsr_view state2 = kt_inout(t, kept, 3, width, "state of two", tol2);
    for (int64_t r = 0; r < 3; r++) memcpy(tsr_row(state2, r), tsr_row(in.state, r), (size_t)(width * each));
    tsr_view y = kt_out(t, TSR_F32, rows, d, "y", tol), y2 = kt_out(t, TSR_F32, rows, d, "y of two", tol2);
    double *y_size = kt_size(t, y), *state_size = kt_size(t, in.state);
    double *y2_size = kt_size(t, y2), *state2_size = kt_size(t, state2);
    if (y_size) {
        fill_sizes(y_size, state_size, m, &in, &s.whole);
        fill_sizes(y2_size, state2_size, m, &in, &s.whole);
    }
    tsr_slots slots = {in.state.data, in.state.stride * each, kept},
              slots2 = {state2.data, state2.stride * each, kept};
    tsr_scan(t->q, y, in.xbc, in.dt, m, slots, &s.whole);
    tsr_scan(t->q, tsr_rows(y2, 0, s.cut), tsr_rows(in.xbc, 0, s.cut), tsr_rows(in.dt, 0, s.cut), m, slots2,
             &s.head);
    int64_t rest = rows - s.cut;
    tsr_scan(t->q, tsr_rows(y2, s.cut, rest), tsr_rows(in.xbc, s.cut, rest), tsr_rows(in.dt, s.cut, rest), m,
             slots2, &s.tail);
    kt_agree(t, y2, y, kt_worse(tol, tol2));
    kt_agree(t, state2, in.state, kt_worse(tol, tol2));
}

static void run(kt *t)
{
    tsr_mixer m = kt_mixer(t);
    if (kt_chance(t, 25) && t->bench < 0) {
        run_split(t, &m);
        return;
    }
    kt_steps k = kt_step(t, kt_step_draw(t, m.chunk));
    int64_t d = tsr_mixer_d(&m);
    operands in = {.xbc = kt_in(t, TSR_F32, k.all.n_rows, tsr_mixer_d_conv(&m))};
    in.dt = draw_dt(t, &m, kt_flt(t), k.all.n_rows);
    kt_tol tol = kt_scan(&m, k.all.max_new);
    tsr_dtype kept = kt_ssm_type(t);
    in.state = kt_inout(t, kept, k.n_slots, d * m.d_state, "state", tol);
    kt_own(t, in.state, k.slot_owner);
    kt_poison_new(in.state, &k.all);
    tsr_view y = kt_out(t, TSR_F32, k.all.n_rows, d, "y", tol);
    double *y_size = kt_size(t, y), *state_size = kt_size(t, in.state);
    if (y_size) fill_sizes(y_size, state_size, &m, &in, &k.all);
    tsr_slots slots = {in.state.data, in.state.stride * (int64_t)tsr_dtype_bytes(kept), kept};
    tsr_scan(t->q, kt_part(t, y), kt_part(t, in.xbc), kt_part(t, in.dt), &m, slots, &k.part);
}

const kt_case kt_case_scan = {.name = "scan", .run = run, .op = TSR_OP_SCAN, .seeds = 80, .benches = 2};
