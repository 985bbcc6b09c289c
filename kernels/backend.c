/* kernels/backend.c: the table for a CPU, filled op by op: plain first, best last. */
#include "kernels/backend.h"

tsr_ops tsr_cpu_ops(unsigned features)
{
    (void)features;
    tsr_ops ops = tsr_ref_ops;
    ops.name = "cpu";

    /* norm */
    /* convert */
    /* linear: linear, linear_bytes, linear_pack, input_form, fuses_norm, linear_work */
    /* embed */
    /* patchify */
    /* vit_enter, vit_leave */
    /* gather */
    /* attend: attend, attend_work */
    /* pixel_shuffle */
    /* conv */
    /* scan: scan, scan_work */
    /* gated_norm */
    /* kv_write */
    /* kv_attend: kv_attend, kv_attend_work */
    /* moe_route */
    /* moe_ffn: moe_ffn, moe_ffn_work */
    /* sample */
    /* slot_copy, slot_read, slot_write */
    /* mamba_mix, attention: the compositions serve */

    return ops;
}
