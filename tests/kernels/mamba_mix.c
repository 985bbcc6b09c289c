/* tests/kernels/mamba_mix.c: conv, scan and gated norm in one, against their composition on ref. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    tsr_mixer m = kt_mixer(t);
    kt_steps k = kt_step(t, kt_step_draw(t, m.chunk));
    int64_t d = tsr_mixer_d(&m), d_conv = tsr_mixer_d_conv(&m), tail = m.conv_width - 1;
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32), kept = kt_ssm_type(t);
    tsr_view p = kt_in(t, type, k.all.n_rows, tsr_mixer_d_in(&m));
    kt_tol scan = kt_worse(kt_scan(&m, k.all.max_new), kt_sum(m.conv_width));
    tsr_view conv = kt_inout(t, type, k.n_slots, tail * d_conv, "conv state", kt_exact());
    tsr_view ssm =
        kt_inout(t, kept, k.n_slots, d * m.d_state, "ssm state", kt_group(scan, m.head_dim * m.d_state));
    kt_own(t, conv, k.slot_owner);
    kt_own(t, ssm, k.slot_owner);
    kt_poison_new(conv, &k.all);
    kt_poison_new(ssm, &k.all);

    /* The norm divides by what the scan made: a group in which terms cancelled is rounded more coarsely than its
     * results look. Eight times the scan's own tolerance covers what these sizes draw. */
    kt_tol tol = kt_worse(scan, kt_sum(d / m.n_groups));
    tol.terms *= 8;
    tol.relative += 0x1p-19;
    tsr_view y = t->bench < 0 ? kt_out_any(t, k.all.n_rows, d, "y", tol)
                              : kt_out(t, TSR_F32, k.all.n_rows, d, "y", tol);
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
