/* kernels/cuda/table.cu: the table of the module, and the one function that the module exports.
 *
 * The ops are weak here: a module that is built without one of them links, its slot stays empty, and the program
 * reports it by name.
 */
#include "kernels/cuda/module.cuh"

extern "C" {
#include "kernels/guest.h"

#pragma weak tsr_cuda_norm
#pragma weak tsr_cuda_convert
#pragma weak tsr_cuda_linear
#pragma weak tsr_cuda_embed
#pragma weak tsr_cuda_patchify
#pragma weak tsr_cuda_vit_enter
#pragma weak tsr_cuda_vit_leave
#pragma weak tsr_cuda_gather
#pragma weak tsr_cuda_attend
#pragma weak tsr_cuda_pixel_shuffle
#pragma weak tsr_cuda_conv
#pragma weak tsr_cuda_scan
#pragma weak tsr_cuda_gated_norm
#pragma weak tsr_cuda_kv_write
#pragma weak tsr_cuda_kv_attend
#pragma weak tsr_cuda_moe_route
#pragma weak tsr_cuda_moe_ffn
#pragma weak tsr_cuda_sample
#pragma weak tsr_cuda_advance
#pragma weak tsr_cuda_slot_copy
#pragma weak tsr_cuda_slot_read
#pragma weak tsr_cuda_slot_write
#pragma weak tsr_cuda_mamba_mix
#pragma weak tsr_cuda_attention
#pragma weak tsr_cuda_linear_bytes
#pragma weak tsr_cuda_linear_pack
#pragma weak tsr_cuda_input_form
#pragma weak tsr_cuda_fuses_norm
#pragma weak tsr_cuda_linear_writes
#pragma weak tsr_cuda_linear_work
#pragma weak tsr_cuda_attend_work
#pragma weak tsr_cuda_scan_work
#pragma weak tsr_cuda_kv_attend_work
#pragma weak tsr_cuda_moe_ffn_work
#pragma weak tsr_cuda_sample_work
#pragma weak tsr_cuda_mamba_mix_work
#pragma weak tsr_cuda_attention_work
#pragma weak tsr_cuda_ceiling
}

extern "C" TSR_EXPORT int tsr_module_open(int abi, const tsr_module_host *host, tsr_ops *ops)
{
    if (!tsr_guest_open(abi, host)) return -tsr_module_abi();
    tsr_status st = cuda_find_device();
    if (st) return st;
    *ops = tsr_ops{};
    ops->name = "cuda";
    ops->memory = &cuda_memory;
    ops->fp8_pages = true;
#define SLOT(slot) ops->slot = tsr_cuda_##slot
    SLOT(norm);
    SLOT(convert);
    SLOT(linear);
    SLOT(embed);
    SLOT(patchify);
    SLOT(vit_enter);
    SLOT(vit_leave);
    SLOT(gather);
    SLOT(attend);
    SLOT(pixel_shuffle);
    SLOT(conv);
    SLOT(scan);
    SLOT(gated_norm);
    SLOT(kv_write);
    SLOT(kv_attend);
    SLOT(moe_route);
    SLOT(moe_ffn);
    SLOT(sample);
    SLOT(advance);
    SLOT(slot_copy);
    SLOT(slot_read);
    SLOT(slot_write);

    SLOT(mamba_mix);
    SLOT(attention);

    SLOT(linear_bytes);
    SLOT(linear_pack);
    SLOT(input_form);
    SLOT(fuses_norm);
    SLOT(linear_writes);

    SLOT(linear_work);
    SLOT(attend_work);
    SLOT(scan_work);
    SLOT(kv_attend_work);
    SLOT(moe_ffn_work);
    SLOT(sample_work);
    SLOT(mamba_mix_work);
    SLOT(attention_work);

    SLOT(ceiling);
#undef SLOT
    return TSR_OK;
}
