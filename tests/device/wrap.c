/* tests/device/wrap.c: every slot, with its addresses placed.
 *
 * The file is compiled into functions twice, through wrap_slots.h, because a slot has no room to say which table it
 * was called from.
 */
#include "tests/device/wrap.h"

#include <stdlib.h>
#include <string.h>

typedef struct wrapped {
    const tsr_ops *inner;
    const wrap_hooks *hooks;
} wrapped;

static wrapped tables[WRAP_TABLES];

/* ---------------------------------------------------------------- arguments ----------------------------- */

typedef struct call {
    const wrapped *t;
    tsr_queue *q;
    const char *op;
    void *work; /* as the front door gave it */
} call;

static void *place(const call *c, const char *what, const void *address)
{
    if (!address || !c->t->hooks->place) return (void *)(uintptr_t)address;
    return c->t->hooks->place(c->q, c->op, what, address);
}

static call begin(int which, tsr_queue *q, const char *op)
{
    call c = {.t = &tables[which], .q = q, .op = op, .work = q->work};
    if (c.t->hooks->enter) c.t->hooks->enter(q, op);
    q->work = place(&c, "work", q->work);
    return c;
}

static void end(const call *c)
{
    c->q->work = c->work;
    if (c->t->hooks->leave) c->t->hooks->leave(c->q, c->op);
}

static tsr_view view(const call *c, const char *what, tsr_view v)
{
    if (v.rows && v.cols) v.data = place(c, what, v.data);
    v.scale = place(c, "scale", v.scale);
    return v;
}

static tsr_norm_weight norm_weight(const call *c, const tsr_norm_weight *w)
{
    tsr_norm_weight n = *w;
    n.w = view(c, "norm.w", w->w);
    n.b = view(c, "norm.b", w->b);
    return n;
}

static tsr_weight weight(const call *c, const tsr_weight *w)
{
    tsr_weight n = *w;
    n.data = place(c, "weight", w->data);
    n.scale = place(c, "weight's scale", w->scale);
    n.bias = place(c, "bias", w->bias);
    n.input_scale = place(c, "input_scale", w->input_scale);
    return n;
}

static tsr_step step(const call *c, const tsr_step *s)
{
    tsr_step n = *s;
    n.spans.start = place(c, "spans.start", s->spans.start);
    n.pos = place(c, "pos", s->pos);
    n.slot = place(c, "slot", s->slot);
    n.pages = place(c, "pages", s->pages);
    n.ids = place(c, "ids", s->ids);
    n.logit_row = place(c, "logit_row", s->logit_row);
    n.logit_seq = place(c, "logit_seq", s->logit_seq);
    n.sampling = place(c, "sampling", s->sampling);
    n.allow = place(c, "allow", s->allow);
    n.last_id = place(c, "last_id", s->last_id);
    n.seen = place(c, "seen", s->seen);
    n.out_ids = place(c, "out_ids", s->out_ids);
    n.out_logprobs = place(c, "out_logprobs", s->out_logprobs);
    return n;
}

static tsr_ring ring_of(const call *c, const tsr_ring *r)
{
    tsr_ring n = *r;
    n.pos = place(c, "pos", r->pos);
    n.slot = place(c, "slot", r->slot);
    n.stop = place(c, "stop", r->stop);
    n.count = place(c, "count", r->count);
    n.ids = place(c, WRAP_PINNED, r->ids);
    n.logprobs = place(c, WRAP_PINNED, r->logprobs);
    n.done = place(c, WRAP_PINNED, r->done);
    return n;
}

static tsr_mixer mixer(const call *c, const tsr_mixer *m)
{
    tsr_mixer n = *m;
    n.taps = view(c, "taps", m->taps);
    n.conv_bias = view(c, "conv_bias", m->conv_bias);
    n.a = view(c, "a", m->a);
    n.d = view(c, "d", m->d);
    n.dt_bias = view(c, "dt_bias", m->dt_bias);
    n.norm = norm_weight(c, &m->norm);
    return n;
}

static tsr_slots slots(const call *c, tsr_slots s)
{
    s.data = place(c, "slots", s.data);
    return s;
}

static tsr_pages pages(const call *c, tsr_pages p)
{
    p.k = place(c, "k pages", p.k);
    p.v = place(c, "v pages", p.v);
    p.k_scale = place(c, "k scale", p.k_scale);
    p.v_scale = place(c, "v scale", p.v_scale);
    return p;
}

static tsr_blocks blocks(const call *c, tsr_blocks b)
{
    b.data = place(c, "blocks", b.data);
    return b;
}

static const void *unplace(const wrapped *t, const void *address)
{
    return address && t->hooks->unplace ? t->hooks->unplace(address) : address;
}

/* ---------------------------------------------------------------- the two tables ------------------------ */

#define WHICH WRAP_MARSHAL
#define NAME(slot) marshal_##slot
#include "tests/device/wrap_slots.h"
#undef WHICH
#undef NAME
#define WHICH WRAP_FAR
#define NAME(slot) far_##slot
#include "tests/device/wrap_slots.h"

tsr_ops wrap_ops(int which, const tsr_ops *inner, const wrap_hooks *hooks)
{
    tables[which] = (wrapped){inner, hooks};
    return which == WRAP_FAR ? far_table(inner) : marshal_table(inner);
}
