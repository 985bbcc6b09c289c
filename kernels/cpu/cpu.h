/* kernels/cpu/cpu.h: the ops of the cpu backend, with threads and SIMD; contracts are in kernels/ops.h.
 *
 * A name without a level is plain C for any processor; the others are entered where base/cpu.h saw what their
 * level needs.
 */
#ifndef TSR_CPU_CPU_H
#define TSR_CPU_CPU_H

#include "kernels/ops.h"

typedef size_t tsr_linear_work_fn(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w);
typedef size_t tsr_moe_ffn_work_fn(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down,
                                   tsr_view ids);

tsr_linear_fn tsr_cpu_linear, tsr_cpu_linear_avx2, tsr_cpu_linear_avx512, tsr_cpu_linear_avx512bf16,
    tsr_cpu_linear_amx;
tsr_linear_work_fn tsr_cpu_linear_work, tsr_cpu_linear_work_avx2, tsr_cpu_linear_work_avx512,
    tsr_cpu_linear_work_avx512bf16, tsr_cpu_linear_work_amx;

tsr_moe_route_fn tsr_cpu_moe_route;
tsr_moe_ffn_fn tsr_cpu_moe_ffn, tsr_cpu_moe_ffn_avx2, tsr_cpu_moe_ffn_avx512, tsr_cpu_moe_ffn_avx512bf16,
    tsr_cpu_moe_ffn_amx;
tsr_moe_ffn_work_fn tsr_cpu_moe_ffn_work, tsr_cpu_moe_ffn_work_avx2, tsr_cpu_moe_ffn_work_avx512,
    tsr_cpu_moe_ffn_work_avx512bf16, tsr_cpu_moe_ffn_work_amx;

#endif
