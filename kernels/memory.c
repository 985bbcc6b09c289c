/* kernels/memory.c: the host's own memory, for backends that bring none. */
#include "kernels/memory.h"

#include <string.h>

#include "base/alloc.h"
#include "kernels/ops.h"

tsr_status tsr_memory_take(void **out, const tsr_memory *m, size_t bytes)
{
    if (bytes == SIZE_MAX) return tsr_fail(TSR_E_NOMEM, "more memory than a machine can address");
    if (m) return m->take(out, bytes);
    void *block = tsr_alloc_aligned(TSR_ARENA_ALIGN, bytes);
    if (!block) return tsr_fail(TSR_E_NOMEM, "no memory for %zu bytes", bytes);
    *out = block;
    return TSR_OK;
}

void tsr_memory_give(const tsr_memory *m, void *block)
{
    if (m)
        m->give(block);
    else
        tsr_free(block);
}

tsr_status tsr_memory_take_pinned(void **out, const tsr_memory *m, size_t bytes)
{
    return m && bytes != SIZE_MAX ? m->take_pinned(out, bytes) : tsr_memory_take(out, NULL, bytes);
}

void tsr_memory_give_pinned(const tsr_memory *m, void *block)
{
    if (m)
        m->give_pinned(block);
    else
        tsr_free(block);
}

static bool runs(const tsr_queue *q, size_t bytes)
{
    return bytes && !q->dry && !q->failed;
}

void tsr_memory_upload(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!runs(q, bytes)) return;
    if (q->ops->memory)
        q->ops->memory->upload(q, to, from, bytes);
    else
        memcpy(to, from, bytes);
}

void tsr_memory_send(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!runs(q, bytes)) return;
    if (q->ops->memory)
        q->ops->memory->send(q, to, from, bytes);
    else
        memcpy(to, from, bytes);
}

void tsr_memory_download(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!runs(q, bytes)) return;
    if (q->ops->memory)
        q->ops->memory->download(q, to, from, bytes);
    else
        memcpy(to, from, bytes);
}

void tsr_memory_copy(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!runs(q, bytes)) return;
    if (q->ops->memory)
        q->ops->memory->copy(q, to, from, bytes);
    else
        memcpy(to, from, bytes);
}

void tsr_memory_fill(tsr_queue *q, void *to, int byte, size_t bytes)
{
    if (!runs(q, bytes)) return;
    if (q->ops->memory)
        q->ops->memory->fill(q, to, byte, bytes);
    else
        memset(to, byte, bytes);
}

bool tsr_memory_records(const tsr_queue *q)
{
    return q->ops->memory && q->ops->memory->record && !q->dry && !q->unfused && !q->timed && !q->profile &&
           !q->sync_each && !q->tap && !q->watch;
}

void tsr_memory_await(tsr_queue *q, const int64_t *word, int64_t value)
{
    if (!q->ops->memory || q->dry || q->failed) return;
    if (q->ops->memory->await)
        q->ops->memory->await(q, word, value);
    else
        q->ops->memory->sync(q);
}

tsr_view tsr_memory_view(tsr_queue *q, tsr_view host)
{
    assert(host.stride == host.cols && host.scaled == TSR_SCALE_NONE);
    if (!q->ops->memory) return host;
    size_t bytes = tsr_mul(tsr_mul((size_t)host.rows, (size_t)host.cols), tsr_dtype_bytes(host.type));
    void *to = tsr_scratch_bytes(q, bytes);
    tsr_memory_upload(q, to, host.data, bytes);
    host.data = to;
    return host;
}
