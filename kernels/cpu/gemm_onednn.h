/* kernels/cpu/gemm_onednn.h: one matrix product by oneDNN, on the thread that asks for it.
 *
 * The yardstick that our own products are measured against. Plain layouts: weights as the file holds them.
 */
#ifndef TSR_CPU_GEMM_ONEDNN_H
#define TSR_CPU_GEMM_ONEDNN_H

#include "base/dtype.h"
#include "base/status.h"

typedef struct tsr_onednn tsr_onednn;

/* Prepare y [m, n] = x [m, k] w [n, k]', x and w f32 or bf16, y f32, all dense. The instructions that oneDNN
 * takes are capped as base/cpu.h caps ours, by the first call of the process.
 * Errors: TSR_E_UNSUPPORTED with oneDNN's code; also for every call of a build without oneDNN. */
TSR_CHECKED tsr_status tsr_onednn_open(tsr_onednn **out, tsr_dtype type, int64_t m, int64_t n, int64_t k);
void tsr_onednn_close(tsr_onednn *g);

/* Multiply. Threads: one at a time for each g. */
TSR_CHECKED tsr_status tsr_onednn_run(tsr_onednn *g, float *y, const void *x, const void *w);

/* What oneDNN calls the kernel it chose; lives as long as g. */
const char *tsr_onednn_kernel(const tsr_onednn *g);

#endif
