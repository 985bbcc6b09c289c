/* kernels/queue.h: order and memory of one stream of ops.
 *
 * Ops return nothing: a queue keeps its first failure, later ops on it do nothing, and tsr_queue_sync reports.
 * All working memory comes from the queue's one arena, sized when it is opened by running the same work dry.
 * One queue belongs to one host thread at a time.
 */
#ifndef TSR_QUEUE_H
#define TSR_QUEUE_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/pool.h"
#include "base/status.h"
#include "base/view.h"

struct tsr_ops;
struct tsr_profile;
struct tsr_weight;

/* Work counted at the front doors, one entry per op, whether it ran or was dry. */
typedef enum tsr_op_id {
    TSR_OP_NORM,
    TSR_OP_CONVERT,
    TSR_OP_LINEAR,
    TSR_OP_EMBED,
    TSR_OP_PATCHIFY,
    TSR_OP_VIT_ENTER,
    TSR_OP_VIT_LEAVE,
    TSR_OP_GATHER,
    TSR_OP_ATTEND,
    TSR_OP_PIXEL_SHUFFLE,
    TSR_OP_CONV,
    TSR_OP_SCAN,
    TSR_OP_GATED_NORM,
    TSR_OP_KV_WRITE,
    TSR_OP_KV_ATTEND,
    TSR_OP_MOE_ROUTE,
    TSR_OP_MOE_FFN,
    TSR_OP_SAMPLE,
    TSR_OP_ADVANCE,
    TSR_OP_SLOT_COPY,
    TSR_OP_SLOT_READ,
    TSR_OP_SLOT_WRITE,
    TSR_OP_MAMBA_MIX,
    TSR_OP_ATTENTION,
    TSR_N_OPS
} tsr_op_id;

const char *tsr_op_name(tsr_op_id op);

typedef struct tsr_op_count {
    int64_t calls;
    double flops;   /* 2 per multiply-add; useful ones only, never padding */
    double bytes;   /* each operand once */
    double seconds; /* filled when q->timed */
} tsr_op_count;

/* A listener for named intermediate values. `value` is readable during the call only. */
typedef void tsr_tap_fn(void *user, const char *name, tsr_view value);

/* A listener for what linears read, told before each product: x as the op takes it (a norm before the product is
 * then never fused, if the queue is `unfused`), or the rows of a mixture and the experts that each chose; and for
 * keys and values on their way into pages. */
typedef struct tsr_watch {
    void (*linear)(void *user, const struct tsr_weight *w, tsr_view x);
    void (*experts)(void *user, const struct tsr_weight *up, const struct tsr_weight *down, tsr_view t,
                    tsr_view ids);
    void *user;
    void (*keys)(void *user, tsr_view k, tsr_view v); /* may be NULL */
} tsr_watch;

typedef struct tsr_queue {
    const struct tsr_ops *ops;
    tsr_pool *pool;    /* CPU threads; borrowed */
    tsr_arena scratch; /* owns its block */
    tsr_dtype type;    /* of activations between linears: TSR_F32 or TSR_BF16 */

    /* Rows at the front whose products stream the weights once (decode rows, and rows on their way to the
     * logits); the others are multiplied in blocks. The row's own role decides, never the company it keeps. */
    int64_t n_stream;

    bool dry;     /* launch nothing: measure scratch, count work */
    bool unfused; /* fused ops run their compositions, so that every intermediate can be tapped */
    bool timed;   /* add up seconds per op, waiting for each */
    struct tsr_profile *profile; /* NULL: nobody asks where the time goes */

    tsr_tap_fn *tap;
    void *tap_user;
    const tsr_watch
        *watch; /* NULL: nobody; for backends in the host's memory, whose ops are done on return */
    const int
        *cancel; /* non-zero: fail with TSR_E_CANCELLED before the next op; read atomically; may be NULL */

    void *stream;   /* of a backend with memory of its own: what it keeps for this queue */
    bool sync_each; /* wait after every op, so that a fault of the device names it; TSR_SYNC=1 */

    void *work; /* scratch of the op that runs now, as large as its *_work slot asked for */
    tsr_op_count counts[TSR_N_OPS];
    tsr_status failed;
    char message[512];
} tsr_queue;

/* Open a queue with `scratch_bytes` of working memory (0 for a dry one), where the kernels of `ops` can reach it.
 * ops and pool are borrowed. Errors: TSR_E_NOMEM, TSR_E_DEVICE. */
TSR_CHECKED tsr_status tsr_queue_open(tsr_queue **out, const struct tsr_ops *ops, tsr_pool *pool,
                                      tsr_dtype type, size_t scratch_bytes);
void tsr_queue_close(tsr_queue *q);

/* Wait for all work; report the first failure since the last sync, as status and message, and forget it. */
TSR_CHECKED tsr_status tsr_queue_sync(tsr_queue *q);

/* Record a failure unless one is already kept. */
void tsr_queue_fail(tsr_queue *q, tsr_status code, const char *format, ...) TSR_PRINTF(3, 4);

/* `ok`, or fail the queue with TSR_E_SHAPE and this message. False as well once the queue has failed. */
bool tsr_expect(tsr_queue *q, bool ok, const char *format, ...) TSR_PRINTF(3, 4);

/* For messages: TSR_SHAPE(v) expands to a short text such as "bf16 [3, 4096]", valid until the thread has
 * asked for seven more. */
const char *tsr_view_text(tsr_view v);
#define TSR_SHAPE(v) tsr_view_text(v)

/* Working memory, by mark and release. Running out fails the queue with TSR_E_NOMEM (never on a dry one). */
tsr_view tsr_scratch(tsr_queue *q, tsr_dtype type, int64_t rows, int64_t cols);
tsr_view tsr_scratch_scaled(tsr_queue *q, tsr_dtype type, tsr_scale_kind scaled, int64_t rows, int64_t cols);
void *tsr_scratch_bytes(tsr_queue *q, size_t bytes);

static inline tsr_mark tsr_scratch_mark(tsr_queue *q)
{
    return tsr_arena_mark(&q->scratch);
}
static inline void tsr_scratch_release(tsr_queue *q, tsr_mark m)
{
    tsr_arena_release(&q->scratch, m);
}

/* Scratch in the form that weight w eats on this backend for so many rows. */
tsr_view tsr_input_for(tsr_queue *q, const struct tsr_weight *w, int64_t rows);

/* Show a value to whoever listens, in host memory; costs a test when nobody does. */
void tsr_tap(tsr_queue *q, tsr_view value, const char *format, ...) TSR_PRINTF(3, 4);

#endif
