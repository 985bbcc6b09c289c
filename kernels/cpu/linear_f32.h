/* kernels/cpu/linear_f32.h: the kernel of a level that multiplies in f32: weights of every type are widened to it.
 *
 * Included once by the file of each such level in place of linear_tile.h, after it has said what is asked for there
 * (but TYPE and elem, which are f32 here) and besides:
 *
 *   KERNEL, FEW_ROWS        the kernel's name; its few_rows
 *   void store(float *, factor)
 */
#define TYPE TSR_F32
typedef float elem;

#include "kernels/cpu/linear_tile.h"

DEFINE_FEW(few_f32, TSR_F32)
DEFINE_FEW(few_bf16, TSR_BF16)
DEFINE_FEW(few_f16, TSR_F16)
DEFINE_FEW(few_fp8, TSR_FP8)

static void widen(void *to, const void *from, tsr_dtype type, int64_t n)
{
    int64_t i = 0;
    for (; i + STEP <= n; i += STEP) store((float *)to + i, load_w(from, type, i));
    for (; i < n; i++) ((float *)to)[i] = tsr_load(from, type, i);
}

const tsr_linear_kernel KERNEL = {
    .type = TYPE,
    .few = {few_f32, few_bf16, few_f16, few_fp8},
    .few_rows = FEW_ROWS,
    .unit = 1,
    .step = STEP,
    .panel = PANEL,
    .pass = PASS,
    .depth = DEPTH,
    .block = block,
    .widen = widen,
    .convert = rows_convert,
    .finish = rows_finish,
};
