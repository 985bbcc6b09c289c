/* kernels/cuda/mamba.cuh: what the ops of a Mamba-2 layer share. */
#ifndef TSR_CUDA_MAMBA_CUH
#define TSR_CUDA_MAMBA_CUH

#include "kernels/cuda/value.cuh"

#endif
