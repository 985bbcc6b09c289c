/* tests/kernels/conv.c: one step, and one sequence cut in two. */
#include <string.h>

#include "tests/kernels/kt.h"

static kt_tol tolerance(const tsr_mixer *m)
{
    kt_tol tol = kt_sum(m->conv_width);
    tol.relative += 0x1p-20; /* the exponential of silu */
    return tol;
}

static void run_split(kt *t, const tsr_mixer *m, tsr_dtype type)
{
    int64_t d = tsr_mixer_d_conv(m), rows = kt_int(t, 2, 20), tail = m->conv_width - 1;
    kt_split s = kt_step_split(t, rows, kt_pick(t, 0, 5), 1);
    tsr_view x = kt_in(t, type, rows, d);
    tsr_view state = kt_inout(t, type, 3, tail * d, "state", kt_exact());
    tsr_view state2 = kt_inout(t, type, 3, tail * d, "state of two", kt_exact());
    for (int64_t r = 0; r < 3; r++)
        memcpy(tsr_row(state2, r), tsr_row(state, r), (size_t)(tail * d) * tsr_dtype_bytes(type));
    tsr_view y = kt_out(t, TSR_F32, rows, d, "y", tolerance(m));
    tsr_view y2 = kt_out(t, TSR_F32, rows, d, "y of two", tolerance(m));
    tsr_slots slots = {state.data, state.stride * (int64_t)tsr_dtype_bytes(type), type};
    tsr_slots slots2 = {state2.data, state2.stride * (int64_t)tsr_dtype_bytes(type), type};
    tsr_conv(t->q, y, x, m, slots, &s.whole);
    tsr_conv(t->q, tsr_rows(y2, 0, s.cut), tsr_rows(x, 0, s.cut), m, slots2, &s.head);
    tsr_conv(t->q, tsr_rows(y2, s.cut, rows - s.cut), tsr_rows(x, s.cut, rows - s.cut), m, slots2, &s.tail);
    kt_agree(t, y2, y, tolerance(m));
    kt_agree(t, state2, state, kt_exact());
}

static void run(kt *t)
{
    tsr_mixer m = kt_mixer(t);
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32);
    if (kt_chance(t, 25) && t->bench < 0) {
        run_split(t, &m, type);
        return;
    }
    int64_t d = tsr_mixer_d_conv(&m), tail = m.conv_width - 1;
    kt_steps k = kt_step(t, kt_step_draw(t, 8));
    tsr_view x = kt_in(t, type, k.all.n_rows, d);
    kt_stress(t, x, false);
    tsr_dtype kept = type == TSR_BF16 && kt_chance(t, 50) ? TSR_BF16 : TSR_F32;
    tsr_view state = kt_inout(t, kept, k.n_slots, tail * d, "state", kt_exact());
    kt_own(t, state, k.slot_owner);
    kt_poison_new(state, &k.all);
    tsr_view y = kt_out(t, TSR_F32, k.all.n_rows, d, "y", tolerance(&m));
    tsr_slots slots = {state.data, state.stride * (int64_t)tsr_dtype_bytes(kept), kept};
    tsr_conv(t->q, kt_part(t, y), kt_part(t, x), &m, slots, &k.part);
}

const kt_case kt_case_conv = {.name = "conv", .run = run, .op = TSR_OP_CONV, .seeds = 80, .benches = 2};
