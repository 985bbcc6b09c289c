/* base/pool.c: a fork-join team on POSIX threads.
 *
 * Between loops of one token the gap is a few microseconds, so a worker spins briefly before it sleeps.
 * A loop is published by raising `round`; each worker answers every round exactly once, so a worker that is
 * late can never take a task of the next loop.
 */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

enum { SPINS = 4000 };

struct tsr_pool {
    int n_threads;
    unsigned char *scratch; /* n_threads blocks of TSR_WORKER_BYTES */
    pthread_t *threads;     /* n_started of them; the caller is worker 0 and not among them */
    int n_started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t done;

    tsr_task_fn *fn;
    void *arg;
    int64_t n_tasks;
    atomic_llong next;
    atomic_uint round;
    atomic_int busy; /* workers that have not finished this round */
    bool caller_sleeps;
    bool quit;
};

typedef struct worker_start {
    tsr_pool *pool;
    int worker;
} worker_start;

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void take_tasks(tsr_pool *pool, int worker)
{
    for (;;) {
        int64_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= pool->n_tasks) return;
        pool->fn(pool->arg, task, worker);
    }
}

/* Wait until the round is no longer `seen`; false when the pool closes. */
static bool wait_for_round(tsr_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->round, memory_order_acquire) != seen) return !pool->quit;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    return !pool->quit;
}

static void *worker_main(void *start_arg)
{
    worker_start *start = start_arg;
    tsr_pool *pool = start->pool;
    int worker = start->worker;
    tsr_free(start);

    for (unsigned seen = 0; wait_for_round(pool, seen); seen++) {
        take_tasks(pool, worker);
        if (atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->lock);
            if (pool->caller_sleeps) pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->lock);
        }
    }
    return NULL;
}

int tsr_pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    return CPU_COUNT(&set);
}

tsr_status tsr_pool_open(tsr_pool **out, int n_threads)
{
    if (n_threads < 0 || n_threads > TSR_MAX_THREADS)
        return tsr_fail(TSR_E_ARG, "%d threads asked for; 0 (one per core) to %d are possible", n_threads,
                        TSR_MAX_THREADS);
    if (n_threads == 0) n_threads = tsr_pool_cores();
    if (n_threads > TSR_MAX_THREADS) n_threads = TSR_MAX_THREADS;

    tsr_pool *pool = tsr_calloc(1, sizeof *pool);
    if (!pool) return tsr_fail(TSR_E_NOMEM, "no memory for a thread pool");
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->scratch = tsr_alloc_aligned(64, (size_t)n_threads * TSR_WORKER_BYTES);
    pool->threads = tsr_calloc((size_t)n_threads, sizeof *pool->threads);
    if (!pool->scratch || !pool->threads) goto no_memory;

    for (int i = 1; i < n_threads; i++) {
        worker_start *start = tsr_alloc(sizeof *start);
        if (!start) goto no_memory;
        *start = (worker_start){pool, i};
        if (pthread_create(&pool->threads[pool->n_started], NULL, worker_main, start)) {
            tsr_free(start);
            goto no_memory;
        }
        pool->n_started++;
    }
    *out = pool;
    return TSR_OK;

no_memory:
    tsr_pool_close(pool);
    return tsr_fail(TSR_E_NOMEM, "no memory for a pool of %d threads", n_threads);
}

void tsr_pool_close(tsr_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->quit = true;
    atomic_fetch_add(&pool->round, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    tsr_free(pool->threads);
    tsr_free(pool->scratch);
    tsr_free(pool);
}

int tsr_pool_threads(const tsr_pool *pool)
{
    return pool->n_threads;
}

void *tsr_pool_scratch(tsr_pool *pool, int worker)
{
    assert(worker >= 0 && worker < pool->n_threads);
    return pool->scratch + (size_t)worker * TSR_WORKER_BYTES;
}

void tsr_pool_run(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg)
{
    if (n_tasks <= 0) return;
    if (pool->n_threads == 1 || n_tasks == 1) {
        for (int64_t i = 0; i < n_tasks; i++) fn(arg, i, 0);
        return;
    }
    pool->fn = fn;
    pool->arg = arg;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->busy, pool->n_started, memory_order_relaxed);

    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->round, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    take_tasks(pool, 0);

    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->busy, memory_order_acquire) == 0) return;
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    pool->caller_sleeps = true;
    while (atomic_load_explicit(&pool->busy, memory_order_acquire) != 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pool->caller_sleeps = false;
    pthread_mutex_unlock(&pool->lock);
}
