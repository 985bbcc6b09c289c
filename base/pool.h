/* base/pool.h: a fixed team of threads that divides one loop at a time.
 *
 * Kernels hand it independent tasks (never parts of one sum), so results do not depend on the number of
 * threads or on who takes which task.
 */
#ifndef TSR_POOL_H
#define TSR_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct tsr_pool tsr_pool;

/* task runs from 0 to n_tasks - 1; worker (0 .. n_threads - 1) names the caller's private scratch. */
typedef void tsr_task_fn(void *arg, int64_t task, int worker);

/* n_threads counts the calling thread; 0 means one per core this process may use, at most TSR_MAX_THREADS. */
#define TSR_MAX_THREADS 256
TSR_CHECKED tsr_status tsr_pool_open(tsr_pool **out, int n_threads);
void tsr_pool_close(tsr_pool *pool);

/* Cores this process may use. */
int tsr_pool_cores(void);

int tsr_pool_threads(const tsr_pool *pool);

/* Run all tasks and return when the last one has ended. The caller takes part. One caller at a time; tasks
 * must not call this on the same pool. Allocates nothing. */
void tsr_pool_run(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg);

/* A worker's private memory: TSR_WORKER_BYTES, 64-byte aligned, taken at open. Kernels cut their blocks so
 * that this is enough; its contents last until the task returns. */
#define TSR_WORKER_BYTES ((size_t)4 << 20)
void *tsr_pool_scratch(tsr_pool *pool, int worker);

#endif
