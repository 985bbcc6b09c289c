/* kernels/cuda/cuda.h: the ops on CUDA, one .cu per op, and what the host side of the module gives them.
 *
 * Views, steps and weights hold addresses of the device. Launchers queue work on the stream of their queue and
 * return; they read shapes and plain integers only, never an array.
 */
#ifndef TSR_CUDA_H
#define TSR_CUDA_H

#ifdef __cplusplus /* before the C headers: nothing of C++ may be declared inside extern "C" */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <atomic>

extern "C" {
#endif

#include "kernels/ops.h"

tsr_norm_fn tsr_cuda_norm;
tsr_convert_fn tsr_cuda_convert;
tsr_linear_fn tsr_cuda_linear;
tsr_embed_fn tsr_cuda_embed;
tsr_patchify_fn tsr_cuda_patchify;
tsr_vit_enter_fn tsr_cuda_vit_enter;
tsr_vit_leave_fn tsr_cuda_vit_leave;
tsr_gather_fn tsr_cuda_gather;
tsr_attend_fn tsr_cuda_attend;
tsr_pixel_shuffle_fn tsr_cuda_pixel_shuffle;
tsr_conv_fn tsr_cuda_conv;
tsr_scan_fn tsr_cuda_scan;
tsr_gated_norm_fn tsr_cuda_gated_norm;
tsr_kv_write_fn tsr_cuda_kv_write;
tsr_kv_attend_fn tsr_cuda_kv_attend;
tsr_moe_route_fn tsr_cuda_moe_route;
tsr_moe_ffn_fn tsr_cuda_moe_ffn;
tsr_sample_fn tsr_cuda_sample;
tsr_advance_fn tsr_cuda_advance;
tsr_slot_copy_fn tsr_cuda_slot_copy;
tsr_slot_read_fn tsr_cuda_slot_read;
tsr_slot_write_fn tsr_cuda_slot_write;

tsr_mamba_mix_fn tsr_cuda_mamba_mix;
tsr_attention_fn tsr_cuda_attention;

tsr_linear_bytes_fn tsr_cuda_linear_bytes;
tsr_linear_pack_fn tsr_cuda_linear_pack;
tsr_input_form_fn tsr_cuda_input_form;
tsr_fuses_norm_fn tsr_cuda_fuses_norm;
tsr_linear_writes_fn tsr_cuda_linear_writes;

size_t tsr_cuda_linear_work(const tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w);
size_t tsr_cuda_attend_work(const tsr_queue *q, tsr_view y, tsr_heads heads, tsr_spans spans);
size_t tsr_cuda_scan_work(const tsr_queue *q, const tsr_mixer *m, const tsr_step *step);
size_t tsr_cuda_kv_attend_work(const tsr_queue *q, tsr_heads heads, const tsr_step *step);
size_t tsr_cuda_moe_ffn_work(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down, tsr_view ids);
size_t tsr_cuda_sample_work(const tsr_queue *q, tsr_view logits);
size_t tsr_cuda_mamba_mix_work(const tsr_queue *q, tsr_view y, const tsr_mixer *m, const tsr_step *step);
size_t tsr_cuda_attention_work(const tsr_queue *q, tsr_view y, tsr_heads heads, const tsr_step *step);

tsr_ceiling_fn tsr_cuda_ceiling;

#ifdef __cplusplus
}
#endif
#endif
