/* tests/emulation/emulation.h: the kernels of kernels/cuda as one more table for the checker. */
#ifndef EMULATION_H
#define EMULATION_H

#include "kernels/ops.h"

/* Fill *ops with the CUDA ops that run on the host (those that do not yet are ref's). False: this build has no
 * emulation. */
bool tsr_emulated_ops(tsr_ops *ops);

#endif
