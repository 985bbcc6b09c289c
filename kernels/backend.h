/* kernels/backend.h: the tables of ops. */
#ifndef TSR_BACKEND_H
#define TSR_BACKEND_H

#include "kernels/ops.h"

/* Plain C, double sums, no threads: the definition of every op, and the oracle of the others. */
extern const tsr_ops tsr_ref_ops;

/* The table for a CPU with these features (TSR_CPU_* of base/cpu.h): plain first, best last, no plain slot
 * empty. */
tsr_ops tsr_cpu_ops(unsigned features);

/* Seconds that the matrix library (oneDNN) takes for y [rows, n] = x [rows, k] w [n, k]' on all threads of the
 * pool, made-up bf16 values (f32 where the processor multiplies no bf16): a ceiling for bench.
 * Errors: TSR_E_NOMEM; TSR_E_UNSUPPORTED in a build without oneDNN. */
TSR_CHECKED tsr_status tsr_cpu_library_seconds(double *seconds, tsr_pool *pool, int64_t rows, int64_t n,
                                               int64_t k);

#endif
