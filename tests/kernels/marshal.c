/* tests/kernels/marshal.c: cases of the host on a table whose kernels read a device's memory.
 *
 * A case makes and fills its buffers in host memory, whatever it runs on. Around each op every buffer, guards and
 * all, is copied to a twin on the device, the op is given addresses in the twins, and everything is copied back; so
 * what the harness proves about memory it proves about the device's. While timing, buffers go up once and stay.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/device/wrap.h"
#include "tests/kernels/kt_private.h"

typedef struct twin {
    unsigned char *host, *there;
    size_t bytes;
    bool sent;
} twin;

static struct {
    tsr_ops inner;
    const tsr_ops *outer; /* of the queue while an op runs */
    kt *t;
    twin *twins;
    int64_t n, capacity;
} m;

static void must(tsr_status st)
{
    if (!st) return;
    fprintf(stderr, "kernels: %s\n", tsr_message());
    exit(1);
}

static void add_twin(unsigned char *host, size_t bytes)
{
    for (int64_t i = 0; i < m.n; i++)
        if (m.twins[i].host == host) return;
    if (m.n == m.capacity) {
        m.capacity = m.capacity ? 2 * m.capacity : 32;
        m.twins = realloc(m.twins, (size_t)m.capacity * sizeof *m.twins);
        if (!m.twins) exit(1);
    }
    void *there;
    must(m.inner.memory->take(&there, bytes));
    m.twins[m.n++] = (twin){.host = host, .there = there, .bytes = bytes};
}

void kt_marshal_begin(kt *t, unsigned char *scratch, size_t scratch_bytes)
{
    m.t = t;
    if (scratch) add_twin(scratch, scratch_bytes);
}

void kt_marshal_end(kt *t)
{
    if (t->q->stream) {
        m.inner.memory->sync(t->q);
        m.inner.memory->close(t->q);
    }
    for (int64_t i = 0; i < m.n; i++) m.inner.memory->give(m.twins[i].there);
    m.n = 0;
    m.t = NULL;
    if (t->q->failed != TSR_E_DEVICE) return;
    fprintf(stderr, "kernels: %s\n", t->q->message); /* nothing after this would mean anything */
    exit(1);
}

static void enter(tsr_queue *q, const char *op)
{
    (void)op;
    m.outer = q->ops;
    q->ops = &m.inner;
    q->sync_each = m.t->bench < 0; /* a fault is known by the op's name */
    if (!q->stream) must(m.inner.memory->open(q));
    for (int64_t i = 0; i < m.t->n_buffers; i++) add_twin(m.t->buffers[i].block, m.t->buffers[i].bytes);
    for (int64_t i = 0; i < m.n; i++) {
        if (m.t->bench >= 0 && m.twins[i].sent) continue;
        m.inner.memory->upload(q, m.twins[i].there, m.twins[i].host, m.twins[i].bytes);
        m.twins[i].sent = true;
    }
}

static void leave(tsr_queue *q, const char *op)
{
    (void)op;
    for (int64_t i = 0; i < m.n && m.t->bench < 0; i++)
        m.inner.memory->download(q, m.twins[i].host, m.twins[i].there, m.twins[i].bytes);
    m.inner.memory->sync(q);
    q->ops = m.outer;
}

static void *place(tsr_queue *q, const char *op, const char *what, const void *address)
{
    (void)q, (void)op, (void)what;
    const unsigned char *at = address;
    for (int64_t i = 0; i < m.n; i++)
        if (at >= m.twins[i].host && at < m.twins[i].host + m.twins[i].bytes)
            return m.twins[i].there + (at - m.twins[i].host);
    return (void *)(uintptr_t)address;
}

static void *unplace(const void *address)
{
    const unsigned char *at = address;
    for (int64_t i = 0; i < m.n; i++)
        if (at >= m.twins[i].there && at < m.twins[i].there + m.twins[i].bytes)
            return m.twins[i].host + (at - m.twins[i].there);
    return (void *)(uintptr_t)address;
}

tsr_ops kt_marshalled(const tsr_ops *device)
{
    static const wrap_hooks hooks = {.enter = enter, .leave = leave, .place = place, .unplace = unplace};
    m.inner = *device;
    tsr_ops ops = wrap_ops(WRAP_MARSHAL, &m.inner, &hooks);
    ops.memory = NULL; /* cases and front doors stay on the host */
    return ops;
}
