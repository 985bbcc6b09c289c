/* lm/decode.c: decode steps that feed each other, recorded where the backend can.
 *
 * A recording holds the addresses and the plain numbers of a step: how many sequences, and for how long a context
 * its kernels are laid out. Contexts are rounded up to doubling sizes, so that a recording serves many positions.
 */
#include "lm/decode.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "lm/step.h"

enum { SMALLEST_CONTEXT = 1024, MOST_RECORDINGS = 32 };

/* The arrays of the step, in one block that is sent as one up to the end of `pages`, which come last because they
 * are sent again as they grow. */
typedef struct arrays {
    int32_t *start, *pos, *slot, *ids, *logit, *stop;
    tsr_sampling *sampling;
    uint32_t *allow;
    int32_t *pages;
    int32_t *out_ids; /* from here on written by kernels */
    float *out_logprobs;
    int64_t *count;
} arrays;

/* One kind of step, and how it was recorded. */
typedef struct kind {
    int64_t n_seqs, max_ctx;
    bool allow, greedy;
    tsr_mark mark;   /* scratch that was taken already */
    bool ran;        /* once, plainly */
    void *recording; /* NULL: not yet */
    int64_t n_launches;
    tsr_op_count counts[TSR_N_OPS]; /* of one step */
} kind;

struct tsr_decoder {
    const tsr_lm *lm;
    tsr_state *state;
    tsr_queue *q;
    tsr_decoder_limits limits;

    arrays here, there; /* where the host writes, and where kernels read: the same without a device */
    unsigned char *block_here, *block_there;
    size_t block_bytes;

    tsr_arena shared; /* pinned: what kernels write and the host reads while they run */
    int64_t *done;
    int32_t *ring_ids; /* [max_seqs, TSR_DECODE_AHEAD] */
    float *ring_logprobs;

    tsr_arena lists; /* of the host alone: */
    tsr_seq **seqs;  /* [max_seqs] */
    bool *ended;

    tsr_step step; /* between begin and end */
    tsr_ring ring;
    int64_t n_seqs, n_stops;
    bool allow;
    int64_t pushed, taken; /* steps since begin */

    kind kinds[MOST_RECORDINGS];
    int n_kinds, next_kind; /* the one that gives way when all are taken */
    tsr_decoder_info info;
};

/* ---------------------------------------------------------------- sizes --------------------------------- */

static int64_t pages_of(int64_t context)
{
    return (context + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS;
}

/* Columns of the page table. One more token than sequences may hold: one that ended when it was full goes on as
 * nobody, at the position behind its last. */
static int64_t most_pages(tsr_decoder_limits limits)
{
    return pages_of(limits.max_context + 1);
}

static int64_t context_for(tsr_decoder_limits limits, int64_t tokens)
{
    int64_t context = SMALLEST_CONTEXT, most = most_pages(limits) * TSR_PAGE_TOKENS;
    while (context < tokens) context *= 2;
    return context < most ? context : most;
}

static size_t lay_out(const tsr_decoder *d, arrays *to, unsigned char *base)
{
    const tsr_decoder_limits *l = &d->limits;
    tsr_arena a = {.base = base, .capacity = d->block_bytes};
    to->start = tsr_arena_array(&a, l->max_seqs + 1, sizeof *to->start);
    to->pos = tsr_arena_array(&a, l->max_seqs, sizeof *to->pos);
    to->slot = tsr_arena_array(&a, l->max_seqs, sizeof *to->slot);
    to->ids = tsr_arena_array(&a, l->max_seqs, sizeof *to->ids);
    to->logit = tsr_arena_array(&a, l->max_seqs, sizeof *to->logit);
    to->stop = tsr_arena_array(&a, l->max_stops, sizeof *to->stop);
    to->sampling = tsr_arena_array(&a, l->max_seqs, sizeof *to->sampling);
    to->allow = tsr_arena_array(&a, tsr_state_seen_words(d->state), sizeof *to->allow);
    to->pages = tsr_arena_array(&a, l->max_seqs, tsr_mul((size_t)most_pages(*l), sizeof *to->pages));
    to->out_ids = tsr_arena_array(&a, l->max_seqs, sizeof *to->out_ids);
    to->out_logprobs = tsr_arena_array(&a, l->max_seqs, sizeof *to->out_logprobs);
    to->count = tsr_arena_array(&a, 1, sizeof *to->count);
    return a.used;
}

static void lay_out_shared(tsr_decoder *d)
{
    d->done = tsr_arena_array(&d->shared, 1, sizeof *d->done);
    d->ring_ids = tsr_arena_array(&d->shared, d->limits.max_seqs, TSR_DECODE_AHEAD * sizeof *d->ring_ids);
    d->ring_logprobs =
        tsr_arena_array(&d->shared, d->limits.max_seqs, TSR_DECODE_AHEAD * sizeof *d->ring_logprobs);
}

static void lay_out_lists(tsr_decoder *d)
{
    d->seqs = tsr_arena_array(&d->lists, d->limits.max_seqs, sizeof *d->seqs);
    d->ended = tsr_arena_array(&d->lists, d->limits.max_seqs, sizeof *d->ended);
}

tsr_status tsr_decoder_open(tsr_decoder **out, const tsr_lm *lm, tsr_state *state, tsr_decoder_limits limits)
{
    if (limits.max_seqs < 1 || limits.max_context < 1 || limits.max_context > INT32_MAX / 2 ||
        limits.max_stops < 0)
        return tsr_fail(TSR_E_ARG, "a decoder of %" PRId64 " sequences of %" PRId64 " tokens",
                        limits.max_seqs, limits.max_context);
    tsr_decoder *d = tsr_calloc(1, sizeof *d);
    if (!d) return tsr_fail(TSR_E_NOMEM, "no memory for a decoder");
    d->lm = lm;
    d->state = state;
    d->q = tsr_state_queue(state);
    d->limits = limits;
    const tsr_memory *m = d->q->ops->memory;
    void *here = NULL, *there = NULL, *shared = NULL, *lists = NULL;
    d->block_bytes = lay_out(d, &d->here, NULL);
    lay_out_shared(d);
    lay_out_lists(d);
    tsr_status st = tsr_memory_take_pinned(&here, m, d->block_bytes);
    if (!st && m) st = tsr_memory_take(&there, m, d->block_bytes);
    if (!st) st = tsr_memory_take_pinned(&shared, m, d->shared.used);
    if (!st) st = tsr_memory_take(&lists, NULL, d->lists.used);
    d->block_here = here;
    d->block_there = m ? there : here;
    d->shared = (tsr_arena){.base = shared, .capacity = d->shared.used};
    d->lists = (tsr_arena){.base = lists, .capacity = d->lists.used};
    if (st) {
        tsr_decoder_close(d);
        return tsr_wrap(st, "the arrays of a decoder");
    }
    lay_out(d, &d->here, d->block_here);
    lay_out(d, &d->there, d->block_there);
    lay_out_shared(d);
    lay_out_lists(d);
    *out = d;
    return TSR_OK;
}

static void forget(tsr_decoder *d, kind *k)
{
    if (k->recording) d->q->ops->memory->forget(k->recording);
    *k = (kind){0};
}

void tsr_decoder_close(tsr_decoder *d)
{
    if (!d) return;
    const tsr_memory *m = d->q->ops->memory;
    int64_t n = d->info.n_plain + d->info.n_replayed;
    if (m && n)
        tsr_log(TSR_LOG_DEBUG,
                "decoded: %" PRId64 " steps op by op, %" PRId64 " replayed, %.1f us of the host for each",
                d->info.n_plain, d->info.n_replayed, 1e6 * d->info.host_seconds / (double)n);
    for (int i = 0; i < d->n_kinds; i++) forget(d, &d->kinds[i]);
    if (m) tsr_memory_give(m, d->block_there);
    tsr_memory_give_pinned(m, d->block_here);
    tsr_memory_give_pinned(m, d->shared.base);
    tsr_free(d->lists.base);
    tsr_free(d);
}

/* ---------------------------------------------------------------- one step ------------------------------ */

/* Are ops done when they return? Steps are then run when they are taken. */
static bool runs_at_once(const tsr_decoder *d)
{
    return !d->q->ops->memory;
}

static void queue_step(const tsr_lm *lm, tsr_queue *q, const tsr_state *state, const tsr_step *step,
                       const tsr_ring *ring)
{
    int64_t vocab = tsr_lm_config_of(lm)->vocab;
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view logits = tsr_scratch(q, TSR_F32, step->n_logits, vocab);
    tsr_lm_forward(lm, q, logits, tsr_view_of(NULL, q->type, 0, 0), state, step);
    tsr_sample(q, step, logits);
    tsr_advance(q, step, ring);
    tsr_scratch_release(q, mark);
}

void tsr_decoder_walk(const tsr_lm *lm, tsr_queue *q, tsr_decoder_limits limits)
{
    tsr_ring ring = {.depth = TSR_DECODE_AHEAD};
    int64_t most = most_pages(limits) * TSR_PAGE_TOKENS;
    for (int64_t n = 1;; n = 2 * n < limits.max_seqs ? 2 * n : limits.max_seqs) {
        for (int64_t tokens = SMALLEST_CONTEXT;; tokens *= 2) {
            int64_t context = context_for(limits, tokens);
            tsr_step step = tsr_step_shape(n, 1, context, n);
            step.seen_words = (tsr_lm_config_of(lm)->vocab + 31) / 32;
            queue_step(lm, q, NULL, &step, &ring);
            if (context == most) break;
        }
        if (n == limits.max_seqs) break;
    }
}

/* The kind of step that is to be queued; an old one gives way when there are too many. */
static kind *kind_of(tsr_decoder *d)
{
    for (int i = 0; i < d->n_kinds; i++) {
        kind *k = &d->kinds[i];
        if (k->n_seqs == d->n_seqs && k->max_ctx == d->step.max_ctx && k->allow == d->allow &&
            k->greedy == d->step.greedy && k->mark == tsr_scratch_mark(d->q))
            return k;
    }
    int at = d->n_kinds < MOST_RECORDINGS ? d->n_kinds++ : d->next_kind++ % MOST_RECORDINGS;
    tsr_memory_await(d->q, d->done, d->pushed);
    forget(d, &d->kinds[at]);
    d->kinds[at] = (kind){.n_seqs = d->n_seqs,
                          .max_ctx = d->step.max_ctx,
                          .allow = d->allow,
                          .greedy = d->step.greedy,
                          .mark = tsr_scratch_mark(d->q)};
    return &d->kinds[at];
}

/* What one step counts, for those that do not pass the front doors. */
static void record(tsr_decoder *d, kind *k)
{
    tsr_queue *q = d->q;
    const tsr_memory *m = q->ops->memory;
    memcpy(k->counts, q->counts, sizeof k->counts);
    m->record(q);
    queue_step(d->lm, q, d->state, &d->step, &d->ring);
    k->recording = m->recorded(q, &k->n_launches);
    for (int op = 0; op < TSR_N_OPS; op++) {
        const tsr_op_count *after = &q->counts[op];
        tsr_op_count *before = &k->counts[op], once = {.calls = after->calls - before->calls,
                                                       .flops = after->flops - before->flops,
                                                       .bytes = after->bytes - before->bytes};
        q->counts[op] = *before;
        *before = once;
    }
    if (!k->recording) return;
    d->info.n_recorded++;
    d->info.n_launches = k->n_launches;
    tsr_log(TSR_LOG_DEBUG,
            "recorded a step of %" PRId64 " rows for contexts up to %" PRId64 ": %" PRId64 " kernels",
            k->n_seqs, k->max_ctx, k->n_launches);
}

static void replay(tsr_decoder *d, const kind *k)
{
    tsr_queue *q = d->q;
    if (q->failed) return;
    q->ops->memory->replay(q, k->recording);
    for (int op = 0; op < TSR_N_OPS; op++) {
        q->counts[op].calls += k->counts[op].calls;
        q->counts[op].flops += k->counts[op].flops;
        q->counts[op].bytes += k->counts[op].bytes;
    }
    d->info.n_replayed++;
}

static void run_step(tsr_decoder *d)
{
    const int *cancel = d->q->cancel;
    if (!runs_at_once(d)) d->q->cancel = NULL; /* a step that was begun is finished: the state stays of use */
    kind *k = tsr_memory_records(d->q) ? kind_of(d) : NULL;
    if (k && k->ran && !k->recording) record(d, k);
    if (k && k->recording) {
        replay(d, k);
    } else {
        queue_step(d->lm, d->q, d->state, &d->step, &d->ring);
        d->info.n_plain++;
        if (k) k->ran = true;
    }
    d->q->cancel = cancel;
}

/* ---------------------------------------------------------------- pages --------------------------------- */

/* Tokens in the state of sequence i when all that was pushed is done, at most. */
static int64_t pos_ahead(const tsr_decoder *d, int64_t i)
{
    return d->seqs[i]->pos + (d->ended[i] ? 0 : d->pushed - d->taken);
}

static void fill_pages(tsr_decoder *d)
{
    int64_t width = d->step.max_pages;
    for (int64_t i = 0; i < d->n_seqs; i++) {
        const tsr_seq *seq = d->seqs[i];
        int32_t *to = d->here.pages + i * width;
        for (int64_t p = 0; p < width; p++) to[p] = p < seq->n_pages ? seq->pages[p] : -1;
    }
}

/* Pages for one token more of sequence i; where there are enough for all, as many as this context takes, so that
 * the table is sent seldom. *grown: it has others now. */
static tsr_status reserve(tsr_decoder *d, int64_t i, bool *grown)
{
    tsr_seq *seq = d->seqs[i];
    int64_t ahead = pos_ahead(d, i) - seq->pos, before = seq->n_pages;
    tsr_status st = tsr_seq_reserve(seq, ahead + 1);
    if (st || seq->n_pages == before) return st;
    *grown = true;
    int64_t share = tsr_state_free_pages(d->state) / d->n_seqs * TSR_PAGE_TOKENS;
    int64_t end = d->step.max_ctx < seq->max_tokens ? d->step.max_ctx : seq->max_tokens;
    int64_t more = end - seq->pos < ahead + 1 + share ? end - seq->pos : ahead + 1 + share;
    return more > ahead + 1 ? tsr_seq_reserve(seq, more) : TSR_OK;
}

/* Lay the step out for the positions that the next push may reach. */
static tsr_status make_room(tsr_decoder *d)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < d->n_seqs; i++)
        if (pos_ahead(d, i) + 1 > tokens) tokens = pos_ahead(d, i) + 1;
    int64_t context = context_for(d->limits, tokens);
    bool changed = pages_of(context) != d->step.max_pages;
    d->step.max_ctx = context;
    for (int64_t i = 0; i < d->n_seqs; i++) {
        if (d->ended[i]) continue;
        tsr_status st = reserve(d, i, &changed);
        if (st) return st;
    }
    if (!changed) return TSR_OK;
    d->step.max_pages = pages_of(context);
    tsr_memory_await(d->q, d->done, d->pushed); /* they read the table */
    fill_pages(d);
    if (!runs_at_once(d))
        tsr_memory_send(d->q, d->there.pages, d->here.pages,
                        (size_t)(d->n_seqs * d->step.max_pages) * sizeof *d->here.pages);
    return TSR_OK;
}

/* ---------------------------------------------------------------- begin, push, take, end ---------------- */

static void fill(tsr_decoder *d, const tsr_decoding *what)
{
    const arrays *a = &d->here;
    for (int64_t i = 0; i < d->n_seqs; i++) {
        assert(what->seqs[i]->state == d->state && what->seqs[i]->pos > 0);
        d->seqs[i] = what->seqs[i];
        d->ended[i] = false;
        a->start[i] = a->logit[i] = (int32_t)i;
        a->pos[i] = (int32_t)what->seqs[i]->pos;
        a->slot[i] = (int32_t)what->seqs[i]->slot;
        a->ids[i] = TSR_ID_LAST;
        a->sampling[i] = what->sampling[i];
    }
    a->start[d->n_seqs] = (int32_t)d->n_seqs;
    for (int64_t k = 0; k < d->limits.max_stops; k++) a->stop[k] = k < d->n_stops ? what->stops[k] : -1;
    if (d->allow) memcpy(a->allow, what->allow, (size_t)tsr_state_seen_words(d->state) * sizeof *a->allow);
}

/* The step and its ring as kernels are to see them. */
static void describe(tsr_decoder *d)
{
    const arrays *a = &d->there;
    int64_t n = d->n_seqs;
    d->step = (tsr_step){.n_rows = n,
                         .n_seqs = n,
                         .n_decode = n,
                         .n_logits = n,
                         .max_new = 1,
                         .greedy = true,
                         .spans = {.start = a->start, .n = n, .max_rows = 1},
                         .pos = a->pos,
                         .slot = a->slot,
                         .pages = a->pages,
                         .ids = a->ids,
                         .logit_row = a->logit,
                         .logit_seq = a->logit,
                         .sampling = a->sampling,
                         .allow = d->allow ? a->allow : NULL,
                         .last_id = tsr_state_last_id(d->state),
                         .seen = tsr_state_seen(d->state),
                         .seen_words = tsr_state_seen_words(d->state),
                         .out_ids = a->out_ids,
                         .out_logprobs = a->out_logprobs};
    for (int64_t i = 0; i < n; i++) d->step.greedy = d->step.greedy && d->here.sampling[i].temp == 0;
    d->ring = (tsr_ring){.pos = a->pos,
                         .slot = a->slot,
                         .stop = a->stop,
                         .n_stop = d->limits.max_stops,
                         .count = a->count,
                         .ids = d->ring_ids,
                         .logprobs = d->ring_logprobs,
                         .depth = TSR_DECODE_AHEAD,
                         .done = d->done};
}

tsr_status tsr_decoder_begin(tsr_decoder *d, const tsr_decoding *what)
{
    if (what->n_seqs < 1 || what->n_seqs > d->limits.max_seqs || what->n_stops > d->limits.max_stops)
        return tsr_fail(TSR_E_ARG,
                        "%" PRId64 " sequences and %" PRId64 " stop ids; this decoder takes %" PRId64
                        " and %" PRId64,
                        what->n_seqs, what->n_stops, d->limits.max_seqs, d->limits.max_stops);
    d->n_seqs = what->n_seqs;
    d->n_stops = what->n_stops;
    d->allow = what->allow;
    d->pushed = d->taken = 0;
    *d->done = 0;
    fill(d, what);
    describe(d);
    tsr_memory_fill(d->q, d->there.count, 0, sizeof *d->there.count);
    if (!runs_at_once(d))
        tsr_memory_send(d->q, d->block_there, d->block_here,
                        (size_t)((unsigned char *)d->here.pages - d->block_here));
    return TSR_OK;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

tsr_status tsr_decoder_push(tsr_decoder *d)
{
    assert(d->n_seqs > 0 && d->pushed - d->taken < TSR_DECODE_AHEAD);
    double began = seconds();
    if (d->q->cancel && __atomic_load_n(d->q->cancel, __ATOMIC_RELAXED))
        return tsr_fail(TSR_E_CANCELLED, "cancelled");
    tsr_status st = make_room(d);
    if (st) return st;
    if (!runs_at_once(d)) {
        run_step(d);
        if (d->q->failed) return tsr_queue_sync(d->q);
    }
    d->pushed++;
    d->info.host_seconds += seconds() - began;
    return TSR_OK;
}

static bool is_stop(const tsr_decoder *d, int32_t id)
{
    bool found = false;
    for (int64_t k = 0; k < d->n_stops && !found; k++) found = d->here.stop[k] == id;
    return found;
}

/* One more step is done: the same that `advance` did. */
static void consume(tsr_decoder *d, int32_t *ids, float *logprobs)
{
    int64_t at = d->taken++ % TSR_DECODE_AHEAD;
    for (int64_t i = 0; i < d->n_seqs; i++) {
        int32_t id = d->ring_ids[i * TSR_DECODE_AHEAD + at];
        if (ids) ids[i] = id;
        if (logprobs) logprobs[i] = d->ring_logprobs[i * TSR_DECODE_AHEAD + at];
        if (d->ended[i]) continue;
        d->seqs[i]->pos++;
        d->ended[i] = is_stop(d, id);
    }
}

/* In the host's memory kernels are laid out for the contexts there are, and no longer ones. */
static tsr_status run_at_once(tsr_decoder *d)
{
    int64_t context = d->step.max_ctx;
    d->step.max_ctx = 1;
    for (int64_t i = 0; i < d->n_seqs; i++)
        if (d->seqs[i]->pos + 1 > d->step.max_ctx) d->step.max_ctx = d->seqs[i]->pos + 1;
    run_step(d);
    d->step.max_ctx = context;
    return tsr_queue_sync(d->q);
}

tsr_status tsr_decoder_take(tsr_decoder *d, int32_t *ids, float *logprobs)
{
    assert(d->taken < d->pushed);
    if (runs_at_once(d)) {
        tsr_status st = run_at_once(d);
        if (st) return st;
    } else {
        tsr_memory_await(d->q, d->done, d->taken + 1);
        if (d->q->failed) return tsr_queue_sync(d->q);
    }
    consume(d, ids, logprobs);
    return TSR_OK;
}

tsr_status tsr_decoder_end(tsr_decoder *d, int32_t *ids, float *logprobs)
{
    tsr_status st = tsr_queue_sync(d->q);
    for (int64_t i = 0; i < d->n_seqs && ids; i++) ids[i] = -1;
    for (int64_t i = 0; i < d->n_seqs && logprobs; i++) logprobs[i] = 0;
    while (!st && !runs_at_once(d) && d->taken < d->pushed) consume(d, ids, logprobs);
    d->n_seqs = 0;
    return st;
}

tsr_decoder_info tsr_decoder_about(const tsr_decoder *d)
{
    return d->info;
}
