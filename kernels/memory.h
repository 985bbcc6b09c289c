/* kernels/memory.h: the memory of a backend.
 *
 * ref and cpu compute in the host's own memory: their tables carry no tsr_memory, and everything below is then
 * malloc and memcpy, or nothing. A backend with memory of its own fills the struct. What kernels read (weights,
 * state, scratch, the arrays of a step) is taken and filled through these functions and never dereferenced
 * elsewhere.
 */
#ifndef TSR_MEMORY_H
#define TSR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/view.h"

struct tsr_queue;

typedef struct tsr_memory {
    const char *about; /* "NVIDIA H200, sm_90": for people */

    /* Memory that kernels read and write, aligned to 256 bytes. Errors: TSR_E_NOMEM with the sizes wanted and free,
     * TSR_E_DEVICE. give(NULL) is a no-op; it waits for what is still queued. */
    tsr_status (*take)(void **out, size_t bytes);
    void (*give)(void *block);

    /* Host memory that copies run fastest from and to. */
    tsr_status (*take_pinned)(void **out, size_t bytes);
    void (*give_pinned)(void *block);

    /* Free memory now, and all of it. */
    tsr_status (*room)(size_t *free_bytes, size_t *all_bytes);

    /* What a queue needs of its own: sets or clears q->stream. */
    tsr_status (*open)(struct tsr_queue *q);
    void (*close)(struct tsr_queue *q);

    /* Queued behind the work of q; failures are kept in q. */
    void (*upload)(struct tsr_queue *q, void *to, const void *from,
                   size_t bytes); /* `from` may change on return */
    void (*send)(struct tsr_queue *q, void *to, const void *from,
                 size_t bytes); /* pinned; may change after sync */
    void (*download)(struct tsr_queue *q, void *to, const void *from, size_t bytes); /* there after sync */
    void (*copy)(struct tsr_queue *q, void *to, const void *from, size_t bytes);     /* within the device */
    void (*fill)(struct tsr_queue *q, void *to, int byte, size_t bytes);

    /* Wait for all that was queued; a failure of the device is kept in q as TSR_E_DEVICE. */
    void (*sync)(struct tsr_queue *q);

    /* Recordings, or NULL, all five: ops queued between record and recorded are kept instead of run, with the
     * addresses and plain numbers of that moment; a replay queues them all at once. recorded returns NULL when
     * anything has failed, and tells how many launches were kept. Between the two nothing but ops may be queued,
     * all of which have run before, so that libraries are loaded and have chosen what they run with. */
    void (*record)(struct tsr_queue *q);
    void *(*recorded)(struct tsr_queue *q, int64_t *n_launches);
    void (*replay)(struct tsr_queue *q, void *recording);
    void (*forget)(void *recording);
    /* Wait, without waiting for all, until a kernel of q has raised *word, which is pinned, to `value`. A failure
     * is kept in q. */
    void (*await)(struct tsr_queue *q, const int64_t *word, int64_t value);

    /* Marks on the device's clock, for kernels/profile.h: set between ops, read after a sync, in seconds. NULL, all four,
     * where ops are done when they return. */
    tsr_status (*take_mark)(void **out);
    void (*give_mark)(void *mark);
    void (*mark)(struct tsr_queue *q, void *mark);
    double (*between_marks)(void *begin, void *end);
} tsr_memory;

/* The same for every backend: `m` is that of its table, NULL for the host's memory. Those on a queue do nothing
 * when it is dry or has failed. */
TSR_CHECKED tsr_status tsr_memory_take(void **out, const tsr_memory *m, size_t bytes);
void tsr_memory_give(const tsr_memory *m, void *block);
TSR_CHECKED tsr_status tsr_memory_take_pinned(void **out, const tsr_memory *m, size_t bytes);
void tsr_memory_give_pinned(const tsr_memory *m, void *block);

void tsr_memory_upload(struct tsr_queue *q, void *to, const void *from, size_t bytes);
void tsr_memory_send(struct tsr_queue *q, void *to, const void *from, size_t bytes);
void tsr_memory_download(struct tsr_queue *q, void *to, const void *from, size_t bytes);
void tsr_memory_copy(struct tsr_queue *q, void *to, const void *from, size_t bytes);
void tsr_memory_fill(struct tsr_queue *q, void *to, int byte, size_t bytes);

/* Can and may the ops of q be recorded? Not where each is waited for, taken apart, shown or timed. */
bool tsr_memory_records(const struct tsr_queue *q);

/* Wait until a kernel of q has raised *word to `value`; where ops are done on return, or nothing awaits, a sync. */
void tsr_memory_await(struct tsr_queue *q, const int64_t *word, int64_t value);

/* A dense unscaled view of the host where kernels of q can read it: itself on the host, otherwise scratch and an
 * upload into it. */
tsr_view tsr_memory_view(struct tsr_queue *q, tsr_view host);

#endif
