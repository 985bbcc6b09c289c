/* runtime/bench.c: traces, made-up state, and the ceilings of this machine. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/backend.h"
#include "runtime/engine.h"

void tsr_engine_trace(tsr_engine *e, tsr_trace_fn *listener, void *user)
{
    tsr_tracer_close(e->tracer);
    e->tracer = NULL;
    /* Without memory for the tracer's few bytes nobody listens; the arrays would not have fitted either. */
    if (listener && tsr_tracer_open(&e->tracer, listener, user)) e->tracer = NULL;
}

tsr_status tsr_engine_profile(tsr_engine *e, int on)
{
    tsr_profile_close(e->profile);
    e->profile = NULL;
    return on ? tsr_profile_open(&e->profile, e->queue) : TSR_OK;
}

const tsr_counter *tsr_engine_part(const tsr_engine *engine, int i)
{
    tsr_engine *e = (tsr_engine *)(uintptr_t)engine; /* the counter is a buffer, not state */
    const tsr_profile_line *l = e->profile ? tsr_profile_at(e->profile, i) : NULL;
    if (!l) return NULL;
    e->counter = (tsr_counter){l->name, l->count.calls, l->count.flops, l->count.bytes, l->count.seconds};
    return &e->counter;
}

/* ---------------------------------------------------------------- made-up state ------------------------- */

/* Pairs of bf16 numbers between 2^-7 and 2^-4 with random signs: read as bf16 they are two such numbers, read as
 * f32 they are the second one, as f16 two between 1 and 1.4, as E4M3 four of which none is NaN; so one fill serves
 * every layout. */
static void fill_random(void *to, size_t bytes, uint64_t seed)
{
    uint16_t *h = to;
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < bytes / 2; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        h[i] = (uint16_t)((x & 0x8000) | ((0x3c00 + (x >> 16) % 0x180) & ~0x08u));
    }
}

tsr_status tsr_seq_make_up(const tsr_engine *e, tsr_seq *seq, int64_t n_tokens, uint64_t seed)
{
    if (n_tokens < 1 || n_tokens > e->sizes.n_ctx)
        return tsr_fail(TSR_E_CONTEXT, "%lld tokens; 1 to %lld fit the context", (long long)n_tokens,
                        (long long)e->sizes.n_ctx);
    size_t bytes = tsr_seq_saved_bytes(e->state, n_tokens);
    void *state = tsr_alloc(bytes);
    if (!state) return tsr_fail(TSR_E_NOMEM, "no memory for %zu bytes of state", bytes);
    fill_random(state, bytes, seed);
    tsr_status st = tsr_seq_restore(seq, state, bytes, n_tokens);
    tsr_free(state);
    return st;
}

tsr_status tsr_session_randomise(tsr_session *s, int64_t n_tokens, uint64_t seed)
{
    const tsr_engine *e = s->engine;
    tsr_status st = tsr_seq_make_up(e, &s->seq, n_tokens, seed);
    s->past.n = 0;
    for (int64_t i = 0; !st && i < n_tokens; i++)
        st = tsr_ids_push(&s->past, (int32_t)(1 + i % (e->model->lm_config.vocab - 1)));
    return st;
}

/* ---------------------------------------------------------------- a mixer alone ------------------------- */

typedef struct mixing {
    tsr_view p;
    tsr_step step;
    int32_t ints[4]; /* where the sequence's rows start and end, its position, its slot */
} mixing;

/* Room for it in the scratch of q, where it is. */
static void lay_out(mixing *m, tsr_queue *q, const tsr_lm_config *c, int64_t n_rows, int64_t slot)
{
    memcpy(m->ints, (int32_t[]){0, (int32_t)n_rows, 0, (int32_t)slot}, sizeof m->ints);
    m->p = tsr_scratch(q, q->type, n_rows, tsr_lm_d_mamba(c) + tsr_lm_d_conv(c) + c->mamba_heads);
    const int32_t *ints = tsr_memory_view(q, tsr_view_of(m->ints, TSR_I32, 1, 4)).data;
    m->step = (tsr_step){.n_rows = n_rows, .n_seqs = 1, .max_new = n_rows, .max_ctx = n_rows};
    m->step.spans = (tsr_spans){ints, 1, n_rows};
    m->step.pos = ints + 2;
    m->step.slot = ints + 3;
}

/* The same numbers again and again, in pieces that the host need not hold all at once. */
static tsr_status fill_view(tsr_queue *q, tsr_view v)
{
    enum { PIECE = 1 << 24 };
    size_t bytes = (size_t)(v.rows * v.cols) * tsr_dtype_bytes(v.type);
    unsigned char *numbers = tsr_alloc(PIECE);
    if (!numbers) return tsr_fail(TSR_E_NOMEM, "no memory for made-up rows");
    fill_random(numbers, PIECE, 3);
    for (size_t at = 0; at < bytes; at += PIECE)
        tsr_memory_upload(q, (unsigned char *)v.data + at, numbers, bytes - at < PIECE ? bytes - at : PIECE);
    tsr_status st = tsr_queue_sync(q);
    tsr_free(numbers);
    return st;
}

tsr_status tsr_engine_mixer(tsr_engine *e, int64_t n_rows, int64_t n_runs, double *seconds)
{
    enum { WARM_UPS = 3 };
    const tsr_lm *lm = e->model->lm;
    const tsr_lm_config *c = tsr_lm_config_of(lm);
    mixing m;
    tsr_seq seq = {0};
    tsr_queue *q = NULL;
    tsr_status st = tsr_queue_open(&q, e->queue->ops, NULL, e->queue->type, 0);
    if (st) return st;
    lay_out(&m, q, c, n_rows, 0);
    bool there = tsr_lm_mix(lm, q, m.p, NULL, &m.step);
    size_t wanted = q->scratch.peak;
    tsr_queue_close(q);
    q = NULL;
    if (!there) st = tsr_fail(TSR_E_UNSUPPORTED, "%s has no Mamba layer", e->model->name);
    if (!st) st = tsr_queue_open(&q, e->queue->ops, e->pool, e->queue->type, wanted);
    if (!st) st = tsr_seq_open(&seq, e->state, e->sizes.n_ctx);
    if (!st) {
        lay_out(&m, q, c, n_rows, seq.slot);
        st = fill_view(q, m.p);
    }
    for (int64_t i = -WARM_UPS; i < n_runs && !st; i++) {
        double began = tsr_seconds();
        tsr_lm_mix(lm, q, m.p, e->state, &m.step);
        st = tsr_queue_sync(q);
        if (i >= 0) seconds[i] = tsr_seconds() - began;
    }
    tsr_seq_close(&seq);
    tsr_queue_close(q);
    return st;
}

/* ---------------------------------------------------------------- ceilings ------------------------------ */

enum { SLAB = 1 << 20 };

typedef struct reading {
    const unsigned char *data;
    size_t bytes;
    uint64_t sums[TSR_MAX_THREADS][8]; /* one cache line each, so that the reads cannot be left out */
} reading;

/* Four streams at a time, each asked for ahead: one stream alone leaves memory waiting. */
static void read_slab(void *arg, int64_t task, int worker)
{
    enum { STREAMS = 4, LINE = 8, QUARTER = SLAB / STREAMS / sizeof(uint64_t), AHEAD = 64 * LINE };
    reading *r = arg;
    const uint64_t *from = (const uint64_t *)(const void *)(r->data + (size_t)task * SLAB);
    uint64_t sum[STREAMS][LINE] = {{0}};
    for (size_t i = 0; i < QUARTER; i += LINE)
        for (int s = 0; s < STREAMS; s++) {
            const uint64_t *line = from + (size_t)s * QUARTER + i;
            __builtin_prefetch(line + AHEAD);
            for (int lane = 0; lane < LINE; lane++) sum[s][lane] += line[lane];
        }
    for (int s = 0; s < STREAMS; s++)
        for (int lane = 0; lane < LINE; lane++) r->sums[worker][lane] += sum[s][lane];
}

/* One of the backend's own ceilings. */
static tsr_status measure(tsr_engine *e, double *per_second, tsr_ceiling c)
{
    const tsr_ops *ops = &e->model->ops;
    if (!ops->ceiling) return tsr_fail(TSR_E_UNSUPPORTED, "%s measures no ceilings", ops->name);
    *per_second = ops->ceiling(e->queue, &c);
    return tsr_queue_sync(e->queue);
}

tsr_status tsr_engine_ceiling(tsr_engine *e, tsr_ceiling_of what, double *per_second)
{
    enum { SQUARE = 8192 };
    static const tsr_ceiling ceilings[] = {
        [TSR_COPY_RATE] = {.what = TSR_CEILING_COPY},
        [TSR_SEND_RATE] = {.what = TSR_CEILING_SEND},
        [TSR_FP8_RATE] =
            {.what = TSR_CEILING_PRODUCT, .rows = SQUARE, .n_out = SQUARE, .n_in = SQUARE, .type = TSR_FP8},
        [TSR_BF16_RATE] = {
            .what = TSR_CEILING_PRODUCT, .rows = SQUARE, .n_out = SQUARE, .n_in = SQUARE, .type = TSR_BF16}};
    return measure(e, per_second, ceilings[what]);
}

tsr_status tsr_engine_read_rate(tsr_engine *e, double *bytes_per_second)
{
    if (e->model->ops.memory) {
        const tsr_loaded *there = tsr_lm_loaded(e->model->lm);
        return measure(
            e, bytes_per_second,
            (tsr_ceiling){.what = TSR_CEILING_READ, .data = there->block, .bytes = there->block_bytes});
    }
    /* The largest block the model has in memory: the decoder's, or its first shard. */
    const tsr_loaded *lm = tsr_lm_loaded(e->model->lm);
    reading *r = tsr_calloc(1, sizeof *r);
    if (!r) return tsr_fail(TSR_E_NOMEM, "no memory to measure a read rate");
    r->data = lm->block;
    r->bytes = lm->block_bytes;
    for (int64_t i = 0; e->model->files && i < tsr_safetensors_shards(e->model->files); i++) {
        const unsigned char *header;
        size_t header_bytes, file_bytes;
        tsr_safetensors_header(e->model->files, i, &header, &header_bytes, &file_bytes);
        if (file_bytes <= r->bytes) continue;
        r->data = (const unsigned char *)(((uintptr_t)header + 63) & ~(uintptr_t)63);
        r->bytes = file_bytes - 128;
    }
    int64_t n = (int64_t)(r->bytes / SLAB);
    tsr_status st = TSR_OK;
    if (n < 256) {
        st = tsr_fail(TSR_E_UNSUPPORTED, "%s has too few weights to measure a read rate on", e->model->name);
    } else {
        double began = tsr_seconds();
        tsr_pool_run(e->pool, n, read_slab, r);
        *bytes_per_second = (double)n * SLAB / (tsr_seconds() - began);
    }
    tsr_free(r);
    return st;
}

/* ---------------------------------------------------------------- the products of a model --------------- */

typedef struct shape {
    int64_t n, k, count;
    tsr_dtype type; /* of the weights */
} shape;

enum { MAX_SHAPES = 16 };

typedef struct shapes {
    shape items[MAX_SHAPES];
    int n;
} shapes;

static void add_shape(shapes *s, int64_t n, int64_t k, int64_t count, tsr_dtype type)
{
    for (int i = 0; i < s->n; i++) {
        if (s->items[i].n != n || s->items[i].k != k || s->items[i].type != type) continue;
        s->items[i].count += count;
        return;
    }
    if (count && s->n < MAX_SHAPES) s->items[s->n++] = (shape){n, k, count, type};
}

/* Linears that every prompt row passes through; the head sees the last row alone. */
static shapes decoder_shapes(const tsr_lm *lm)
{
    const tsr_lm_config *c = tsr_lm_config_of(lm);
    tsr_dtype mamba = tsr_lm_weight_type(lm, TSR_LAYER_MAMBA), mlp = tsr_lm_weight_type(lm, TSR_LAYER_MLP),
              attention = tsr_lm_weight_type(lm, TSR_LAYER_ATTENTION);
    shapes s = {.n = 0};
    int64_t d = tsr_lm_d_mamba(c), d_q = c->n_heads * c->head_dim, d_kv = c->n_kv_heads * c->head_dim;
    add_shape(&s, d + tsr_lm_d_conv(c) + c->mamba_heads, c->d_model, c->n_mamba, mamba);
    add_shape(&s, c->d_model, d, c->n_mamba, mamba);
    add_shape(&s, d_q + 2 * d_kv, c->d_model, c->n_attention, attention);
    add_shape(&s, c->d_model, d_q, c->n_attention, attention);
    for (int64_t i = 0; i < c->n_layers; i++) {
        if (c->kind[i] != TSR_LAYER_MLP) continue;
        add_shape(&s, c->d_ff[i], c->d_model, 1, mlp);
        add_shape(&s, c->d_model, c->d_ff[i], 1, mlp);
    }
    return s;
}

static shapes vision_shapes(const tsr_vit_config *c, tsr_dtype type)
{
    shapes s = {.n = 0};
    add_shape(&s, 3 * c->d_model, c->d_model, c->n_run, type);
    add_shape(&s, c->d_model, c->d_model, c->n_run, type);
    add_shape(&s, c->d_ff, c->d_model, c->n_run, type);
    add_shape(&s, c->d_model, c->d_ff, c->n_run, type);
    return s;
}

/* Through the matrix library of where the model runs. */
static tsr_status product_seconds(tsr_engine *e, double *seconds, int64_t rows, const shape *s, double flops)
{
    if (!e->model->ops.memory) return tsr_cpu_library_seconds(seconds, e->pool, rows, s->n, s->k);
    double rate = 0;
    tsr_ceiling product = {
        .what = TSR_CEILING_PRODUCT, .rows = rows, .n_out = s->n, .n_in = s->k, .type = s->type};
    tsr_status st = measure(e, &rate, product);
    if (!st) *seconds = flops / rate;
    return st;
}

tsr_status tsr_engine_product_rate(tsr_engine *e, int64_t rows, int vision, double *flops_per_second)
{
    const tsr_model *m = e->model;
    if (vision && !m->has_vision) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no vision encoder", m->name);
    shapes s = vision ? vision_shapes(&m->vit_config, m->vision_type) : decoder_shapes(m->lm);
    double flops = 0, seconds = 0;
    for (int i = 0; i < s.n; i++) {
        double took, each = 2.0 * (double)rows * (double)s.items[i].n * (double)s.items[i].k;
        tsr_status st = product_seconds(e, &took, rows, &s.items[i], each);
        if (st) return st;
        seconds += took * (double)s.items[i].count;
        flops += each * (double)s.items[i].count;
    }
    if (!s.n) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no linears to measure", m->name);
    *flops_per_second = flops / seconds;
    return TSR_OK;
}
