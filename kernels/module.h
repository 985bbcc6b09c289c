/* kernels/module.h: the door between the program and a backend in a shared object.
 *
 * The object exports one function. It is given a number that both sides computed from the types they share, and
 * what it needs of the program: the module has no memory, messages or threads of its own, so that failures are told
 * and allocations counted in one place (kernels/guest.c).
 */
#ifndef TSR_MODULE_H
#define TSR_MODULE_H

#include "base/log.h"
#include "kernels/ops.h"

#define TSR_MODULE_FILE "tessera-cuda.so"
#define TSR_MODULE_SYMBOL "tsr_module_open"

typedef struct tsr_module_host {
    void *(*alloc_aligned)(size_t alignment, size_t bytes);
    void *(*calloc)(size_t count, size_t bytes);
    void (*free)(void *block);
    tsr_status (*fail_v)(tsr_status code, const char *format, va_list args);
    tsr_status (*wrap)(tsr_status code, const char *format, ...);
    void (*log)(tsr_log_level level, const char *format, ...);
    void (*pool_run)(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg);
} tsr_module_host;

/* Fill *ops and return TSR_OK; or the status of a failure that was told to the host; or, when `abi` is not the
 * module's own number, minus that number. `host` stays. */
typedef int tsr_module_open_fn(int abi, const tsr_module_host *host, tsr_ops *ops);

/* Counts up when the meaning of a shared type changes; their sizes count themselves. */
#define TSR_MODULE_VERSION 1

static inline int tsr_module_abi(void)
{
    size_t sizes[] = {sizeof(tsr_ops),   sizeof(tsr_queue),  sizeof(tsr_memory),
                      sizeof(tsr_step),  sizeof(tsr_weight), sizeof(tsr_linear_source),
                      sizeof(tsr_mixer), sizeof(tsr_pages),  sizeof(tsr_module_host)};
    size_t mixed = TSR_MODULE_VERSION;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) mixed = (mixed * 31 + sizes[i]) % 1000003;
    return (int)mixed + 1;
}

/* The CUDA table, from the module beside the program or in the installed library folder, once for the process.
 * Errors: TSR_E_DEVICE, with one line that says why there is none: no driver, no device, an older one, no module, a
 * module of another version or without a kernel. Any thread. */
TSR_CHECKED tsr_status tsr_cuda_ops(tsr_ops *out);

#endif
