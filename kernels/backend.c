/* kernels/backend.c: the table for a CPU, filled op by op: plain first, best last. */
#include "kernels/backend.h"

#include "base/cpu.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simple.h"

/* linear and what is made of it, by what they need, worst first. */
typedef struct linear_slots {
    unsigned needs;
    tsr_linear_fn *linear;
    tsr_linear_work_fn *linear_work;
    tsr_moe_ffn_fn *moe_ffn;
    tsr_moe_ffn_work_fn *moe_ffn_work;
} linear_slots;

#define SLOTS(suffix)                                                                                        \
    tsr_cpu_linear##suffix, tsr_cpu_linear_work##suffix, tsr_cpu_moe_ffn##suffix, tsr_cpu_moe_ffn_work##suffix

static const linear_slots linears[] = {
    {0, SLOTS()},
    {TSR_CPU_AVX2, SLOTS(_avx2)},
    {TSR_CPU_AVX512, SLOTS(_avx512)},
    {TSR_CPU_AVX512_BF16 | TSR_CPU_AVX512_VBMI, SLOTS(_avx512bf16)},
    {TSR_CPU_AMX_BF16 | TSR_CPU_AVX512_VBMI, SLOTS(_amx)},
};

static const linear_slots *best_linear(unsigned features)
{
    const linear_slots *best = linears;
    for (size_t i = 1; i < sizeof linears / sizeof *linears; i++)
        if ((features & linears[i].needs) == linears[i].needs) best = &linears[i];
    return best;
}

/* slot, from the best of the three levels this processor has */
#if defined(__x86_64__)
#define LEVELLED(slot)                                                                                       \
    ops.slot = features & TSR_CPU_AVX512 ? tsr_cpu_##slot##_avx512                                           \
               : features & TSR_CPU_AVX2 ? tsr_cpu_##slot##_avx2                                             \
                                         : tsr_cpu_##slot
#else
#define LEVELLED(slot) ops.slot = tsr_cpu_##slot
#endif

tsr_ops tsr_cpu_ops(unsigned features)
{
    tsr_ops ops = tsr_ref_ops;
    ops.name = "cpu";

    LEVELLED(norm);
    LEVELLED(convert);
    /* linear: weights stay as ref packs them, which is as the file has them */
    const linear_slots *linear = best_linear(features);
    ops.linear = linear->linear, ops.linear_work = linear->linear_work;
    LEVELLED(embed);
    ops.patchify = tsr_cpu_patchify;
    LEVELLED(vit_enter);
    LEVELLED(vit_leave);
    ops.gather = tsr_cpu_gather;
    LEVELLED(attend);
    ops.attend_work = NULL;
    ops.pixel_shuffle = tsr_cpu_pixel_shuffle;
    LEVELLED(conv);
    LEVELLED(scan);
    ops.scan_work = NULL;
    LEVELLED(gated_norm);
    LEVELLED(kv_write);
    LEVELLED(kv_attend);
    LEVELLED(kv_attend_work);
    ops.moe_route = tsr_cpu_moe_route;
    ops.moe_ffn = linear->moe_ffn, ops.moe_ffn_work = linear->moe_ffn_work;
    /* sample, advance */
    /* slot_copy, slot_read, slot_write */
    /* mamba_mix, attention: the compositions serve */

    return ops;
}
