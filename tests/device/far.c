/* tests/device/far.c: memory behind a fence. */
#include "tests/device/far.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/backend.h"
#include "tests/device/record.h"
#include "tests/device/wrap.h"

typedef struct block {
    struct block *next;
    unsigned char *data;
    size_t bytes; /* as mapped */
} block;

/* A copy on its way: to far memory, still to be read from `from`; or to the host, already read into `held`. */
typedef struct copy {
    struct copy *next;
    void *to, *held;
    const void *from;
    size_t bytes;
} copy;

enum { MOST_WAITING = 64 };

typedef struct stream {
    copy *first, **last;
    const recording *waiting[MOST_WAITING]; /* replays that nobody has waited for */
    int n_waiting;
    bool replaying;
} stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block *blocks, *pinned;
static int inside;         /* ops and copies that run */
static const char *faulty; /* op */
static bool lost;
static size_t limit = (size_t)4 << 30, taken;

void far_limit(size_t bytes)
{
    limit = bytes ? bytes : (size_t)4 << 30;
}

void far_fault(const char *op)
{
    faulty = op;
}

int64_t far_blocks(void)
{
    int64_t n = 0;
    pthread_mutex_lock(&lock);
    for (const block *b = blocks; b; b = b->next) n++;
    pthread_mutex_unlock(&lock);
    return n;
}

/* ---------------------------------------------------------------- the fence ----------------------------- */

static void protect(int how)
{
    for (const block *b = blocks; b; b = b->next)
        if (mprotect(b->data, b->bytes, how)) abort();
}

static void open_fence(void)
{
    pthread_mutex_lock(&lock);
    if (inside++ == 0) protect(PROT_READ | PROT_WRITE);
    pthread_mutex_unlock(&lock);
}

static void close_fence(void)
{
    pthread_mutex_lock(&lock);
    if (--inside == 0) protect(PROT_NONE);
    pthread_mutex_unlock(&lock);
}

static bool is_far(const void *address)
{
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const block *b = blocks; b && !found; b = b->next)
        found =
            (const unsigned char *)address >= b->data && (const unsigned char *)address < b->data + b->bytes;
    pthread_mutex_unlock(&lock);
    return found;
}

static bool is_pinned(const void *address)
{
    const unsigned char *at = address;
    bool found = false;
    pthread_mutex_lock(&lock);
    for (const block *b = pinned; b && !found; b = b->next) found = at >= b->data && at < b->data + b->bytes;
    pthread_mutex_unlock(&lock);
    return found;
}

static bool range_is_far(const void *address, size_t bytes)
{
    return is_far(address) && is_far((const char *)address + bytes - 1);
}

/* ---------------------------------------------------------------- memory -------------------------------- */

static tsr_status far_take(void **out, size_t bytes)
{
    size_t page = 4096, mapped = (bytes + page) / page * page;
    if (mapped > limit - taken)
        return tsr_fail(TSR_E_NOMEM, "far memory: %zu bytes are wanted, %zu of %zu are free", bytes,
                        limit - taken, limit);
    block *b = malloc(sizeof *b);
    if (!b) return tsr_fail(TSR_E_NOMEM, "no memory for a block");
    b->bytes = mapped;
    b->data = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->data == MAP_FAILED) {
        free(b);
        return tsr_fail(TSR_E_NOMEM, "no memory for %zu bytes", bytes);
    }
    memset(b->data, 0xff, mapped);
    pthread_mutex_lock(&lock);
    if (!inside && mprotect(b->data, mapped, PROT_NONE)) abort();
    b->next = blocks;
    blocks = b;
    taken += mapped;
    pthread_mutex_unlock(&lock);
    *out = b->data;
    return TSR_OK;
}

static void far_give(void *data)
{
    if (!data) return;
    pthread_mutex_lock(&lock);
    block **at = &blocks;
    while (*at && (*at)->data != data) at = &(*at)->next;
    block *b = *at;
    if (!b) abort(); /* not ours, or given back twice */
    *at = b->next;
    taken -= b->bytes;
    munmap(b->data, b->bytes);
    pthread_mutex_unlock(&lock);
    free(b);
}

static tsr_status far_take_pinned(void **out, size_t bytes)
{
    block *b = malloc(sizeof *b);
    void *data = malloc(bytes + 1);
    if (!b || !data) {
        free(b);
        free(data);
        return tsr_fail(TSR_E_NOMEM, "no memory for %zu pinned bytes", bytes);
    }
    pthread_mutex_lock(&lock);
    *b = (block){pinned, data, bytes};
    pinned = b;
    pthread_mutex_unlock(&lock);
    *out = data;
    return TSR_OK;
}

static void far_give_pinned(void *data)
{
    if (!data) return;
    pthread_mutex_lock(&lock);
    block **at = &pinned;
    while (*at && (*at)->data != data) at = &(*at)->next;
    block *b = *at;
    if (!b) abort(); /* not ours, or given back twice */
    *at = b->next;
    pthread_mutex_unlock(&lock);
    free(b);
    free(data);
}

static tsr_status far_room(size_t *free_bytes, size_t *all_bytes)
{
    *free_bytes = limit - taken;
    *all_bytes = limit;
    return TSR_OK;
}

/* ---------------------------------------------------------------- queues -------------------------------- */

static tsr_status far_open(tsr_queue *q)
{
    stream *s = calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "no memory for a stream");
    s->last = &s->first;
    q->stream = s;
    return TSR_OK;
}

/* Sends happen now; what comes back arrives when the host waits for it. */
static void run_copies(tsr_queue *q, bool arrive)
{
    stream *s = q->stream;
    open_fence();
    for (copy *c = s->first; c; c = c->next) {
        if (c->from) memcpy(c->to, c->from, c->bytes);
        c->from = NULL;
        if (arrive && c->held) memcpy(c->to, c->held, c->bytes);
    }
    close_fence();
    while (arrive && s->first) {
        copy *c = s->first;
        s->first = c->next;
        free(c->held);
        free(c);
    }
    if (arrive) s->last = &s->first;
}

/* The oldest replay; as late as can be, so that whoever reads before it has waited reads something else. */
static void run_replay(tsr_queue *q)
{
    stream *s = q->stream;
    const recording *r = s->waiting[0];
    s->n_waiting--;
    for (int i = 0; i < s->n_waiting; i++) s->waiting[i] = s->waiting[i + 1];
    s->replaying = true;
    record_run(q, r);
    s->replaying = false;
}

static void run_replays(tsr_queue *q)
{
    stream *s = q->stream;
    while (s->n_waiting && !s->replaying) run_replay(q);
}

static void far_sync(tsr_queue *q)
{
    run_replays(q);
    run_copies(q, true);
    if (lost) tsr_queue_fail(q, TSR_E_DEVICE, "far memory: an illegal address was used");
}

static void far_close(tsr_queue *q)
{
    far_sync(q);
    free(q->stream);
    q->stream = NULL;
}

static bool check_range(tsr_queue *q, const char *what, const void *address, size_t bytes)
{
    if (!q->stream) tsr_queue_fail(q, TSR_E_DEVICE, "far: %s on a queue that was not opened for work", what);
    if (!range_is_far(address, bytes))
        tsr_queue_fail(q, TSR_E_DEVICE, "far: %s of %zu bytes: not the device's memory", what, bytes);
    if (record_on(q)) tsr_queue_fail(q, TSR_E_DEVICE, "far: %s while ops are recorded", what);
    if (!q->failed) run_replays(q);
    return !q->failed;
}

static void far_upload(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!check_range(q, "upload", to, bytes)) return;
    run_copies(q, false);
    open_fence();
    memcpy(to, from, bytes);
    close_fence();
}

static void push(tsr_queue *q, copy c)
{
    stream *s = q->stream;
    copy *kept = malloc(sizeof *kept);
    if (!kept) {
        tsr_queue_fail(q, TSR_E_NOMEM, "far: no memory for a copy");
        return;
    }
    *kept = c;
    *s->last = kept;
    s->last = &kept->next;
}

static void far_send(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (check_range(q, "send", to, bytes)) push(q, (copy){.to = to, .from = from, .bytes = bytes});
}

static void far_download(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!check_range(q, "download", from, bytes)) return;
    copy c = {.to = to, .held = malloc(bytes), .bytes = bytes};
    if (!c.held) {
        tsr_queue_fail(q, TSR_E_NOMEM, "far: no memory for a copy");
        return;
    }
    run_copies(q, false);
    open_fence();
    memcpy(c.held, from, bytes);
    close_fence();
    push(q, c);
}

static void far_copy(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    if (!check_range(q, "copy", to, bytes) || !check_range(q, "copy", from, bytes)) return;
    run_copies(q, false);
    open_fence();
    memmove(to, from, bytes);
    close_fence();
}

static void far_fill(tsr_queue *q, void *to, int byte, size_t bytes)
{
    if (!check_range(q, "fill", to, bytes)) return;
    run_copies(q, false);
    open_fence();
    memset(to, byte, bytes);
    close_fence();
}

/* ---------------------------------------------------------------- recordings ---------------------------- */

static void far_record(tsr_queue *q)
{
    run_replays(q);
    record_begin(q);
}

static void *far_recorded(tsr_queue *q, int64_t *n_launches)
{
    return record_end(q, n_launches);
}

static void far_replay(tsr_queue *q, void *kept)
{
    stream *s = q->stream;
    if (s->n_waiting == MOST_WAITING) run_replays(q);
    s->waiting[s->n_waiting++] = kept;
}

static void far_forget(void *kept)
{
    record_close(kept);
}

static void far_await(tsr_queue *q, const int64_t *word, int64_t value)
{
    stream *s = q->stream;
    if (!is_pinned(word)) tsr_queue_fail(q, TSR_E_DEVICE, "far: a word that is not pinned is waited for");
    while (*word < value && s->n_waiting) run_replay(q);
    if (lost) tsr_queue_fail(q, TSR_E_DEVICE, "far memory: an illegal address was used");
    if (*word < value) tsr_queue_fail(q, TSR_E_DEVICE, "far: nothing will raise the word that is waited for");
}

static const tsr_memory memory = {.about = "far memory, computed by ref",
                                  .take = far_take,
                                  .give = far_give,
                                  .take_pinned = far_take_pinned,
                                  .give_pinned = far_give_pinned,
                                  .room = far_room,
                                  .open = far_open,
                                  .close = far_close,
                                  .upload = far_upload,
                                  .send = far_send,
                                  .download = far_download,
                                  .copy = far_copy,
                                  .fill = far_fill,
                                  .sync = far_sync,
                                  .record = far_record,
                                  .recorded = far_recorded,
                                  .replay = far_replay,
                                  .forget = far_forget,
                                  .await = far_await};

/* ---------------------------------------------------------------- weights ------------------------------- */

static size_t matrix_bytes(const tsr_matrix *m)
{
    return (size_t)m->rows * (size_t)m->cols * tsr_dtype_bytes(m->type);
}

static int64_t all_rows(const tsr_linear_source *s)
{
    int64_t rows = 0;
    for (int i = 0; i < s->n_parts; i++) rows += s->parts[i].rows;
    return rows;
}

static size_t data_bytes(const tsr_linear_source *s)
{
    size_t bytes = 0;
    for (int i = 0; i < s->n_parts; i++) bytes += matrix_bytes(&s->parts[i]);
    return (bytes + 63) / 64 * 64;
}

/* Everything is copied, with a scale for every row. */
static size_t far_linear_bytes(const tsr_linear_source *s)
{
    return data_bytes(s) + (s->parts[0].scale ? (size_t)all_rows(s) * sizeof(float) : 0);
}

static void far_linear_pack(tsr_queue *q, tsr_weight *w, void *to, const tsr_linear_source *s)
{
    const tsr_matrix *first = &s->parts[0];
    size_t at = 0, scale_at = data_bytes(s);
    for (int i = 0; i < s->n_parts; i++) {
        const tsr_matrix *m = &s->parts[i];
        tsr_memory_upload(q, (char *)to + at, m->data, matrix_bytes(m));
        at += matrix_bytes(m);
        for (int64_t r = 0; m->scale && r < m->rows; r++, scale_at += sizeof(float))
            tsr_memory_upload(q, (char *)to + scale_at, &m->scale[m->n_scales == 1 ? 0 : r], sizeof(float));
    }
    *w =
        (tsr_weight){.name = s->name,
                     .data = to,
                     .scale = first->scale ? (const float *)(const void *)((char *)to + data_bytes(s)) : NULL,
                     .bias = s->bias,
                     .input_scale = s->input_scale,
                     .rows = s->experts ? first->rows : all_rows(s),
                     .cols = first->cols,
                     .n_experts = s->experts ? s->n_parts : 1,
                     .type = first->type,
                     .scaled = first->scale ? TSR_SCALE_ROW : TSR_SCALE_NONE,
                     .input = s->input};
}

/* ---------------------------------------------------------------- the table ----------------------------- */

static void enter(tsr_queue *q, const char *op)
{
    if (!q->stream) tsr_queue_fail(q, TSR_E_DEVICE, "far: %s on a queue that was not opened for work", op);
    if (q->stream) {
        run_replays(q);
        run_copies(q, false);
    }
    open_fence();
}

static void leave(tsr_queue *q, const char *op)
{
    (void)q;
    lost = lost || (faulty && !strcmp(op, faulty));
    close_fence();
}

static void *check_address(tsr_queue *q, const char *op, const char *what, const void *address)
{
    bool reachable = is_far(address) || (!strcmp(what, WRAP_PINNED) && is_pinned(address));
    if (!reachable) tsr_queue_fail(q, TSR_E_DEVICE, "far: %s: %s is not the device's memory", op, what);
    return (void *)(uintptr_t)address;
}

tsr_ops far_ops(void)
{
    static const wrap_hooks hooks = {.enter = enter, .leave = leave, .place = check_address};
    static tsr_ops inner, wrapped;
    inner = tsr_ref_ops;
    inner.name = "far";
    inner.memory = &memory;
    inner.linear_bytes = far_linear_bytes;
    inner.linear_pack = far_linear_pack;
    wrapped = wrap_ops(WRAP_FAR, &inner, &hooks);
    return record_ops(&wrapped);
}
