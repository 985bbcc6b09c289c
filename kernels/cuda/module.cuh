/* kernels/cuda/module.cuh: what table.cu and memory.cu share. */
#ifndef TSR_CUDA_MODULE_CUH
#define TSR_CUDA_MODULE_CUH

#include "kernels/cuda/cuda.h"

extern const tsr_memory cuda_memory;

/* Look at the first device, once, before any queue is opened. Errors: TSR_E_DEVICE when there is none, or none for
 * which this module has code. */
tsr_status cuda_find_device(void);

#endif
