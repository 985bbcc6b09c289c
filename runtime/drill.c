/* runtime/drill.c: many sequences that decode in one step, with states that nobody computed: for measuring. */
#include <string.h>

#include "base/alloc.h"
#include "runtime/engine.h"

struct tsr_drill {
    tsr_engine *engine;
    int64_t n, context, n_open;
    tsr_seq *seqs;        /* [n] */
    tsr_step_item *items; /* [n] */
};

/* One state from the host, copied on the device for the others; none shares a page, as strangers would not. */
static tsr_status open_sequences(tsr_drill *d)
{
    tsr_engine *e = d->engine;
    tsr_status st = TSR_OK;
    for (; !st && d->n_open < d->n; d->n_open += !st) {
        tsr_seq *seq = &d->seqs[d->n_open];
        st = tsr_seq_open(seq, e->state, e->sizes.n_ctx);
        if (!st) st = d->n_open ? tsr_seq_clone(seq, &d->seqs[0]) : tsr_seq_make_up(e, seq, d->context, 7);
        if (st) tsr_seq_close(seq);
    }
    return st ? st : tsr_queue_sync(e->queue);
}

tsr_status tsr_drill_open(tsr_drill **out, tsr_engine *e, int64_t n_sequences, int64_t context)
{
    if (n_sequences < 1 || n_sequences > e->sizes.n_sessions - e->n_open)
        return tsr_fail(TSR_E_ARG, "%lld sequences; the engine has room for %lld", (long long)n_sequences,
                        (long long)(e->sizes.n_sessions - e->n_open));
    tsr_drill *d = tsr_calloc(1, sizeof *d);
    if (!d) return tsr_fail(TSR_E_NOMEM, "no memory for a drill");
    *d = (tsr_drill){.engine = e, .n = n_sequences, .context = context};
    d->seqs = tsr_calloc((size_t)n_sequences, sizeof *d->seqs);
    d->items = tsr_calloc((size_t)n_sequences, sizeof *d->items);
    tsr_status st = d->seqs && d->items ? open_sequences(d) : tsr_fail(TSR_E_NOMEM, "no memory for a drill");
    if (st)
        tsr_drill_close(d);
    else
        *out = d;
    return st;
}

void tsr_drill_close(tsr_drill *d)
{
    if (!d) return;
    for (int64_t i = 0; i < d->n_open; i++) tsr_seq_close(&d->seqs[i]);
    tsr_free(d->items);
    tsr_free(d->seqs);
    tsr_free(d);
}

static tsr_status step(tsr_drill *d, const int32_t *id)
{
    tsr_engine *e = d->engine;
    tsr_queue *q = e->queue;
    for (int64_t i = 0; i < d->n; i++)
        d->items[i] = (tsr_step_item){
            .seq = &d->seqs[i], .ids = id, .n_new = 1, .sampling = {.top_p = 1, .repeat_penalty = 1}};
    tsr_status st = tsr_stepper_fill(e->stepper, d->items, d->n, 0, NULL);
    if (st) return st;
    const tsr_step *filled = tsr_stepper_step(e->stepper);
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view logits = tsr_scratch(q, TSR_F32, d->n, e->model->lm_config.vocab);
    tsr_lm_forward(e->model->lm, q, logits, tsr_view_of(NULL, q->type, 0, 0), e->state, filled);
    tsr_sample(q, filled, logits);
    tsr_stepper_fetch(e->stepper);
    st = tsr_queue_sync(q);
    tsr_scratch_release(q, mark);
    if (!st) tsr_stepper_commit(e->stepper);
    return st;
}

tsr_status tsr_drill_decode(tsr_drill *d, int64_t n_steps, double *seconds)
{
    static const int32_t first = 1, last = TSR_ID_LAST;
    tsr_status st = TSR_OK;
    for (int64_t i = 0; i < d->n; i++) d->seqs[i].pos = d->context;
    double began = tsr_seconds();
    for (int64_t i = 0; i < n_steps && !st; i++) st = step(d, i ? &last : &first);
    *seconds = tsr_seconds() - began;
    return st;
}
