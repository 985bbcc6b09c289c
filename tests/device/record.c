/* tests/device/record.c: calls kept with what they were given.
 *
 * Views, steps and plain numbers are kept by value: what the host changes afterwards is not seen by a replay, only
 * what lies in the memory that they point to. Weights and mixers are the model's and stay.
 */
#include "tests/device/record.h"

#include <stdlib.h>

typedef struct call {
    tsr_op_id op;
    void *work;
    tsr_view v[6];
    const tsr_weight *w[2];
    const tsr_norm_weight *norm;
    const tsr_mixer *mixer;
    const tsr_router *router;
    tsr_linear_opts o;
    tsr_heads heads;
    tsr_slots slots;
    tsr_pages pages;
    tsr_step step;
    tsr_ring ring;
} call;

struct recording {
    call *calls;
    int64_t n, capacity;
};

static const tsr_ops *ops; /* around which the table was made */
static recording *now;     /* NULL: nothing is recorded */
static const tsr_queue *now_of;

bool record_on(const tsr_queue *q)
{
    return now && now_of == q;
}

/* A place for a call of op, or NULL when it is to run. */
static call *keep(tsr_queue *q, tsr_op_id op)
{
    static call lost; /* without memory */
    if (!record_on(q)) return NULL;
    if (now->n == now->capacity) {
        int64_t capacity = now->capacity ? 2 * now->capacity : 64;
        call *calls = realloc(now->calls, (size_t)capacity * sizeof *calls);
        if (!calls) {
            tsr_queue_fail(q, TSR_E_NOMEM, "no memory to record an op");
            return &lost;
        }
        now->calls = calls;
        now->capacity = capacity;
    }
    call *c = &now->calls[now->n++];
    *c = (call){.op = op, .work = q->work};
    return c;
}

static void keep_norm(tsr_queue *q, tsr_view y, tsr_view x, const tsr_norm_weight *w)
{
    call *c = keep(q, TSR_OP_NORM);
    if (!c) {
        ops->norm(q, y, x, w);
        return;
    }
    c->v[0] = y, c->v[1] = x, c->norm = w;
}

static void keep_convert(tsr_queue *q, tsr_view y, tsr_view x)
{
    call *c = keep(q, TSR_OP_CONVERT);
    if (!c) {
        ops->convert(q, y, x);
        return;
    }
    c->v[0] = y, c->v[1] = x;
}

static void keep_linear(tsr_queue *q, tsr_view y, tsr_view x, const tsr_weight *w, tsr_linear_opts o)
{
    call *c = keep(q, TSR_OP_LINEAR);
    if (!c) {
        ops->linear(q, y, x, w, o);
        return;
    }
    c->v[0] = y, c->v[1] = x, c->w[0] = w, c->o = o;
}

static void keep_embed(tsr_queue *q, tsr_view x, const tsr_weight *table, tsr_view image, const tsr_step *s)
{
    call *c = keep(q, TSR_OP_EMBED);
    if (!c) {
        ops->embed(q, x, table, image, s);
        return;
    }
    c->v[0] = x, c->w[0] = table, c->v[1] = image, c->step = *s;
}

static void keep_conv(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                      const tsr_step *s)
{
    call *c = keep(q, TSR_OP_CONV);
    if (!c) {
        ops->conv(q, y, x, m, conv, s);
        return;
    }
    c->v[0] = y, c->v[1] = x, c->mixer = m, c->slots = conv, c->step = *s;
}

static void keep_scan(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                      const tsr_step *s)
{
    call *c = keep(q, TSR_OP_SCAN);
    if (!c) {
        ops->scan(q, y, xbc, dt, m, ssm, s);
        return;
    }
    c->v[0] = y, c->v[1] = xbc, c->v[2] = dt, c->mixer = m, c->slots = ssm, c->step = *s;
}

static void keep_gated_norm(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    call *c = keep(q, TSR_OP_GATED_NORM);
    if (!c) {
        ops->gated_norm(q, y, x, z, m);
        return;
    }
    c->v[0] = y, c->v[1] = x, c->v[2] = z, c->mixer = m;
}

static void keep_kv_write(tsr_queue *q, tsr_pages p, tsr_view k, tsr_view v, tsr_heads h, const tsr_step *s)
{
    call *c = keep(q, TSR_OP_KV_WRITE);
    if (!c) {
        ops->kv_write(q, p, k, v, h, s);
        return;
    }
    c->pages = p, c->v[0] = k, c->v[1] = v, c->heads = h, c->step = *s;
}

static void keep_kv_attend(tsr_queue *q, tsr_view y, tsr_view x, tsr_pages p, tsr_heads h, const tsr_step *s)
{
    call *c = keep(q, TSR_OP_KV_ATTEND);
    if (!c) {
        ops->kv_attend(q, y, x, p, h, s);
        return;
    }
    c->v[0] = y, c->v[1] = x, c->pages = p, c->heads = h, c->step = *s;
}

static void keep_moe_route(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *r)
{
    call *c = keep(q, TSR_OP_MOE_ROUTE);
    if (!c) {
        ops->moe_route(q, ids, gates, u, r);
        return;
    }
    c->v[0] = ids, c->v[1] = gates, c->v[2] = u, c->router = r;
}

static void keep_moe_ffn(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                         tsr_view ids, tsr_view gates, tsr_view add)
{
    call *c = keep(q, TSR_OP_MOE_FFN);
    if (!c) {
        ops->moe_ffn(q, y, t, up, down, ids, gates, add);
        return;
    }
    c->v[0] = y, c->v[1] = t, c->w[0] = up, c->w[1] = down, c->v[2] = ids, c->v[3] = gates, c->v[4] = add;
}

static void keep_sample(tsr_queue *q, const tsr_step *s, tsr_view logits)
{
    call *c = keep(q, TSR_OP_SAMPLE);
    if (!c) {
        ops->sample(q, s, logits);
        return;
    }
    c->step = *s, c->v[0] = logits;
}

static void keep_advance(tsr_queue *q, const tsr_step *s, const tsr_ring *ring)
{
    call *c = keep(q, TSR_OP_ADVANCE);
    if (!c) {
        ops->advance(q, s, ring);
        return;
    }
    c->step = *s, c->ring = *ring;
}

tsr_ops record_ops(const tsr_ops *inner)
{
    tsr_ops t = *inner;
    ops = inner;
    t.norm = keep_norm;
    t.convert = keep_convert;
    t.linear = keep_linear;
    t.embed = keep_embed;
    t.conv = keep_conv;
    t.scan = keep_scan;
    t.gated_norm = keep_gated_norm;
    t.kv_write = keep_kv_write;
    t.kv_attend = keep_kv_attend;
    t.moe_route = keep_moe_route;
    t.moe_ffn = keep_moe_ffn;
    t.sample = keep_sample;
    t.advance = keep_advance;
    return t;
}

void record_begin(tsr_queue *q)
{
    now = calloc(1, sizeof *now);
    now_of = q;
    if (!now) tsr_queue_fail(q, TSR_E_NOMEM, "no memory for a recording");
}

recording *record_end(tsr_queue *q, int64_t *n_ops)
{
    recording *r = now;
    now = NULL;
    if (q->failed) {
        record_close(r);
        return NULL;
    }
    *n_ops = r->n;
    return r;
}

static void run(tsr_queue *q, const call *c)
{
    const tsr_view *v = c->v;
    const tsr_step *s = &c->step;
    switch (c->op) {
    case TSR_OP_NORM: ops->norm(q, v[0], v[1], c->norm); break;
    case TSR_OP_CONVERT: ops->convert(q, v[0], v[1]); break;
    case TSR_OP_LINEAR: ops->linear(q, v[0], v[1], c->w[0], c->o); break;
    case TSR_OP_EMBED: ops->embed(q, v[0], c->w[0], v[1], s); break;
    case TSR_OP_CONV: ops->conv(q, v[0], v[1], c->mixer, c->slots, s); break;
    case TSR_OP_SCAN: ops->scan(q, v[0], v[1], v[2], c->mixer, c->slots, s); break;
    case TSR_OP_GATED_NORM: ops->gated_norm(q, v[0], v[1], v[2], c->mixer); break;
    case TSR_OP_KV_WRITE: ops->kv_write(q, c->pages, v[0], v[1], c->heads, s); break;
    case TSR_OP_KV_ATTEND: ops->kv_attend(q, v[0], v[1], c->pages, c->heads, s); break;
    case TSR_OP_MOE_ROUTE: ops->moe_route(q, v[0], v[1], v[2], c->router); break;
    case TSR_OP_MOE_FFN: ops->moe_ffn(q, v[0], v[1], c->w[0], c->w[1], v[2], v[3], v[4]); break;
    case TSR_OP_SAMPLE: ops->sample(q, s, v[0]); break;
    case TSR_OP_ADVANCE: ops->advance(q, s, &c->ring); break;
    default: abort(); /* never kept */
    }
}

void record_run(tsr_queue *q, const recording *r)
{
    void *work = q->work;
    for (int64_t i = 0; i < r->n && !q->failed; i++) {
        q->work = r->calls[i].work;
        run(q, &r->calls[i]);
    }
    q->work = work;
}

void record_close(recording *r)
{
    if (!r) return;
    free(r->calls);
    free(r);
}
