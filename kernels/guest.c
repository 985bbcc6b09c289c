/* kernels/guest.c: what a module needs of base/, passed on to the program. Linked into modules alone. */
#include "kernels/guest.h"

#include <stdio.h>

#include "base/alloc.h"

static const tsr_module_host *host;

bool tsr_guest_open(int abi, const tsr_module_host *h)
{
    if (abi != tsr_module_abi()) return false;
    host = h;
    return true;
}

void *tsr_alloc_aligned(size_t alignment, size_t bytes)
{
    return host->alloc_aligned(alignment, bytes);
}

void *tsr_alloc(size_t bytes)
{
    return host->alloc_aligned(sizeof(void *), bytes);
}

void *tsr_calloc(size_t count, size_t bytes)
{
    return host->calloc(count, bytes);
}

void tsr_free(void *block)
{
    host->free(block);
}

tsr_status tsr_fail_v(tsr_status code, const char *format, va_list args)
{
    return host->fail_v(code, format, args);
}

tsr_status tsr_fail(tsr_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)host->fail_v(code, format, args);
    va_end(args);
    return code;
}

tsr_status tsr_wrap(tsr_status code, const char *format, ...)
{
    char context[512];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    return host->wrap(code, "%s", context);
}

void tsr_pool_run(tsr_pool *pool, int64_t n_tasks, tsr_task_fn *fn, void *arg)
{
    host->pool_run(pool, n_tasks, fn, arg);
}

void tsr_log(tsr_log_level level, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    host->log(level, "%s", line);
}
