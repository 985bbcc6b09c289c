/* kernels/backend.h: the tables of ops. */
#ifndef TSR_BACKEND_H
#define TSR_BACKEND_H

#include "kernels/ops.h"

/* Plain C, double sums, no threads: the definition of every op, and the oracle of the others. */
extern const tsr_ops tsr_ref_ops;

/* The table for a CPU with these features (TSR_CPU_* of base/cpu.h): plain first, best last, no plain slot
 * empty. */
tsr_ops tsr_cpu_ops(unsigned features);

#endif
