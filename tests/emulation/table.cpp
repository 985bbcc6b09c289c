/* tests/emulation/table.cpp: the emulated table, and the host side that its launchers ask for. */
#include "kernels/cuda/attend.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear.cuh"
#include "kernels/cuda/scan.cuh"

extern "C" {
#include "kernels/backend.h"
#include "tests/emulation/emulation.h"
}

static int32_t fault;

extern "C" cudaStream_t cuda_stream(tsr_queue *)
{
    return nullptr;
}

extern "C" int cuda_capability(const tsr_queue *)
{
    return 80;
}

extern "C" int cuda_processors(const tsr_queue *)
{
    return 3; /* few, so that persistent loops go round */
}

extern "C" int32_t *cuda_fault(tsr_queue *)
{
    return &fault;
}

/* Launches run at once, so a fault is known here. */
extern "C" void cuda_after_launch(tsr_queue *q, const char *)
{
    if (fault)
        tsr_queue_fail(q, TSR_E_ARG, "sample: no token is left to choose for sequence %d",
                       (int)(fault - CUDA_FAULT_NO_TOKEN));
    fault = 0;
}

/* There is no matrix library on the host. */
size_t linear_library_work(const tsr_queue *, int64_t, const tsr_weight *)
{
    return 0;
}

bool linear_library_alone(const linear_end &, const tsr_weight *)
{
    return false;
}

bool linear_library(tsr_queue *, const linear_end &, tsr_view, const tsr_weight *, void *)
{
    return false;
}

/* Nor are there the instructions of sm_90a. */
bool attend_wgmma(tsr_queue *, const char *, const span_source &, const tsr_view &, int64_t)
{
    return false;
}

bool attend_wgmma(tsr_queue *, const char *, const page_source &, const tsr_view &, const tsr_view &, int64_t,
                  int64_t, int64_t)
{
    return false;
}

bool linear_wide_takes(const tsr_queue *, const tsr_weight *)
{
    return false;
}

bool linear_tall_writes(const tsr_view &, const tsr_view &, const tsr_weight *)
{
    return false;
}

bool linear_wide_writes(const tsr_view &, const tsr_view &, const tsr_weight *)
{
    return false;
}

bool linear_wide(tsr_queue *, const linear_end &, tsr_view, const tsr_weight *)
{
    return false;
}

bool linear_tall_takes(const tsr_queue *, const tsr_weight *)
{
    return false;
}

bool linear_tall(tsr_queue *, const linear_end &, tsr_view, const tsr_weight *)
{
    return false;
}

bool scan_wgmma(tsr_queue *, tsr_view, tsr_view, tsr_view, const tsr_mixer *, tsr_slots, const tsr_step *)
{
    return false;
}

extern "C" bool tsr_emulated_ops(tsr_ops *ops)
{
    *ops = tsr_ref_ops;
    ops->name = "emulated";
    ops->fp8_pages = true;
    ops->linear = tsr_cuda_linear;
    ops->linear_work = tsr_cuda_linear_work;
    ops->linear_bytes = tsr_cuda_linear_bytes;
    ops->linear_pack = tsr_cuda_linear_pack;
    ops->input_form = tsr_cuda_input_form;
    ops->fuses_norm = tsr_cuda_fuses_norm;
    ops->attend = tsr_cuda_attend;
    ops->moe_ffn = tsr_cuda_moe_ffn;
    ops->moe_ffn_work = tsr_cuda_moe_ffn_work;
    ops->attend_work = tsr_cuda_attend_work;
    ops->kv_attend = tsr_cuda_kv_attend;
    ops->kv_attend_work = tsr_cuda_kv_attend_work;
    ops->attention = tsr_cuda_attention;
    ops->attention_work = tsr_cuda_attention_work;
    ops->norm = tsr_cuda_norm;
    ops->convert = tsr_cuda_convert;
    ops->embed = tsr_cuda_embed;
    ops->patchify = tsr_cuda_patchify;
    ops->vit_enter = tsr_cuda_vit_enter;
    ops->vit_leave = tsr_cuda_vit_leave;
    ops->gather = tsr_cuda_gather;
    ops->pixel_shuffle = tsr_cuda_pixel_shuffle;
    ops->conv = tsr_cuda_conv;
    ops->moe_route = tsr_cuda_moe_route;
    ops->sample = tsr_cuda_sample;
    ops->sample_work = tsr_cuda_sample_work;
    ops->advance = tsr_cuda_advance;
    ops->mamba_mix = tsr_cuda_mamba_mix;
    ops->mamba_mix_work = tsr_cuda_mamba_mix_work;
    ops->scan = tsr_cuda_scan;
    ops->scan_work = tsr_cuda_scan_work;
    ops->gated_norm = tsr_cuda_gated_norm;
    ops->kv_write = tsr_cuda_kv_write;
    ops->slot_copy = tsr_cuda_slot_copy;
    ops->slot_read = tsr_cuda_slot_read;
    ops->slot_write = tsr_cuda_slot_write;
    return true;
}
