/* kernels/backend.c: the table for a CPU, filled op by op: plain first, best last. */
#include "kernels/backend.h"

#include "base/cpu.h"
#include "kernels/cpu/cpu.h"

tsr_ops tsr_cpu_ops(unsigned features)
{
    (void)features;
    tsr_ops ops = tsr_ref_ops;
    ops.name = "cpu";

    /* norm */
    /* convert */
    /* linear: weights stay as ref packs them, which is as the file has them */
    ops.linear = tsr_cpu_linear, ops.linear_work = tsr_cpu_linear_work;
#if defined(__x86_64__)
    if (features & TSR_CPU_AVX2) ops.linear = tsr_cpu_linear_avx2, ops.linear_work = tsr_cpu_linear_work_avx2;
    if (features & TSR_CPU_AVX512)
        ops.linear = tsr_cpu_linear_avx512, ops.linear_work = tsr_cpu_linear_work_avx512;
    if ((features & TSR_CPU_AVX512_BF16) && (features & TSR_CPU_AVX512_VBMI))
        ops.linear = tsr_cpu_linear_avx512bf16, ops.linear_work = tsr_cpu_linear_work_avx512bf16;
    if ((features & TSR_CPU_AMX_BF16) && (features & TSR_CPU_AVX512_VBMI))
        ops.linear = tsr_cpu_linear_amx, ops.linear_work = tsr_cpu_linear_work_amx;
#endif
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
