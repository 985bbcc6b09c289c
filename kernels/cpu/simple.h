/* kernels/cpu/simple.h: the cpu backend's ops other than products and experts; contracts are in kernels/ops.h.
 *
 * A name without a level is plain C for any processor; the others are entered where base/cpu.h saw what their
 * level needs.
 */
#ifndef TSR_CPU_SIMPLE_H
#define TSR_CPU_SIMPLE_H

#include "kernels/ops.h"

/* Bounds the configurations stay far below; they keep a task within TSR_WORKER_BYTES. */
#define TSR_CPU_MAX_TAPS 64

tsr_norm_fn tsr_cpu_norm, tsr_cpu_norm_avx2, tsr_cpu_norm_avx512;
tsr_convert_fn tsr_cpu_convert, tsr_cpu_convert_avx2, tsr_cpu_convert_avx512;
tsr_embed_fn tsr_cpu_embed, tsr_cpu_embed_avx2, tsr_cpu_embed_avx512;
tsr_patchify_fn tsr_cpu_patchify;
tsr_vit_enter_fn tsr_cpu_vit_enter, tsr_cpu_vit_enter_avx2, tsr_cpu_vit_enter_avx512;
tsr_vit_leave_fn tsr_cpu_vit_leave, tsr_cpu_vit_leave_avx2, tsr_cpu_vit_leave_avx512;
tsr_gather_fn tsr_cpu_gather;
tsr_attend_fn tsr_cpu_attend, tsr_cpu_attend_avx2, tsr_cpu_attend_avx512;
tsr_pixel_shuffle_fn tsr_cpu_pixel_shuffle;
tsr_conv_fn tsr_cpu_conv, tsr_cpu_conv_avx2, tsr_cpu_conv_avx512;
tsr_scan_fn tsr_cpu_scan, tsr_cpu_scan_avx2, tsr_cpu_scan_avx512;
tsr_gated_norm_fn tsr_cpu_gated_norm, tsr_cpu_gated_norm_avx2, tsr_cpu_gated_norm_avx512;
tsr_kv_write_fn tsr_cpu_kv_write, tsr_cpu_kv_write_avx2, tsr_cpu_kv_write_avx512;
tsr_kv_attend_fn tsr_cpu_kv_attend, tsr_cpu_kv_attend_avx2, tsr_cpu_kv_attend_avx512;

typedef size_t tsr_kv_attend_work_fn(const tsr_queue *q, tsr_heads heads, const tsr_step *step);
tsr_kv_attend_work_fn tsr_cpu_kv_attend_work, tsr_cpu_kv_attend_work_avx2, tsr_cpu_kv_attend_work_avx512;

#endif
