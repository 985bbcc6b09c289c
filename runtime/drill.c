/* runtime/drill.c: the stages of a model on their own, for measuring: sequences with states that nobody computed, and
 * tiles that nobody cut.
 */
#include "base/alloc.h"
#include "runtime/engine.h"

struct tsr_drill {
    tsr_engine *engine;
    int64_t n, context, n_open;
    tsr_seq *seqs, **list;  /* [n] and their addresses */
    tsr_sampling *sampling; /* [n] greedy */
    int32_t *ids;           /* [n] of the step that was taken last */
    float *logprobs;
    tsr_drill_info info;
};

/* A short state from the host, spread over all sequences where they live. */
static tsr_status open_sequences(tsr_drill *d)
{
    enum { MOST_PAGES = 16 };
    tsr_engine *e = d->engine;
    tsr_status st = TSR_OK;
    for (; !st && d->n_open < d->n; d->n_open += !st) {
        d->list[d->n_open] = &d->seqs[d->n_open];
        d->sampling[d->n_open] = (tsr_sampling){.top_p = 1, .repeat_penalty = 1};
        st = tsr_seq_open(d->list[d->n_open], e->state, e->sizes.n_ctx);
    }
    int64_t pages = d->context / TSR_PAGE_TOKENS;
    pages = pages < 1 ? 1 : pages > MOST_PAGES ? MOST_PAGES : pages;
    if (!st) st = tsr_seq_make_up(e, &d->seqs[0], pages * TSR_PAGE_TOKENS, 7);
    for (int64_t i = d->n - 1; i >= 0 && !st; i--) /* the first is the source, and last */
        st = tsr_seq_spread(&d->seqs[i], &d->seqs[0], d->context);
    return st ? st : tsr_queue_sync(e->queue);
}

tsr_status tsr_drill_open(tsr_drill **out, tsr_engine *e, int64_t n_sequences, int64_t context)
{
    int64_t room = e->sizes.n_sessions - e->n_open;
    if (n_sequences < 1 || n_sequences > room)
        return tsr_fail(TSR_E_ARG, "%lld sequences; the engine has room for %lld", (long long)n_sequences,
                        (long long)room);
    tsr_drill *d = tsr_calloc(1, sizeof *d);
    if (!d) return tsr_fail(TSR_E_NOMEM, "no memory for a drill");
    *d = (tsr_drill){.engine = e, .n = n_sequences, .context = context};
    d->seqs = tsr_calloc((size_t)n_sequences, sizeof *d->seqs);
    d->list = tsr_calloc((size_t)n_sequences, sizeof *d->list);
    d->sampling = tsr_calloc((size_t)n_sequences, sizeof *d->sampling);
    d->ids = tsr_calloc((size_t)n_sequences, sizeof *d->ids);
    d->logprobs = tsr_calloc((size_t)n_sequences, sizeof *d->logprobs);
    bool room_for_all = d->seqs && d->list && d->sampling && d->ids && d->logprobs;
    tsr_status st = room_for_all ? open_sequences(d) : tsr_fail(TSR_E_NOMEM, "no memory for a drill");
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
    tsr_free(d->logprobs);
    tsr_free(d->ids);
    tsr_free(d->sampling);
    tsr_free(d->list);
    tsr_free(d->seqs);
    tsr_free(d);
}

/* The step that was pushed runs while the host takes the one before, as in a dialogue. */
static tsr_status run_steps(tsr_drill *d, int64_t n_steps)
{
    tsr_decoder *decoder = d->engine->decoder;
    tsr_status st = n_steps ? tsr_decoder_push(decoder) : TSR_OK;
    for (int64_t i = 0; i < n_steps && !st; i++) {
        if (i + 1 < n_steps) st = tsr_decoder_push(decoder);
        if (!st) st = tsr_decoder_take(decoder, d->ids, d->logprobs);
    }
    return st;
}

tsr_status tsr_drill_decode(tsr_drill *d, int64_t context, int64_t n_steps, double *seconds)
{
    if (context < 1 || context > d->context)
        return tsr_fail(TSR_E_ARG, "a context of %lld; 1 to %lld are at hand", (long long)context,
                        (long long)d->context);
    tsr_decoder *decoder = d->engine->decoder;
    tsr_decoding what = {.seqs = d->list, .sampling = d->sampling, .n_seqs = d->n};
    for (int64_t i = 0; i < d->n; i++) d->seqs[i].pos = context;
    tsr_status st = tsr_decoder_begin(decoder, &what);
    if (st) return st;
    double queued = tsr_decoder_about(decoder).host_seconds, began = tsr_seconds();
    st = run_steps(d, n_steps);
    *seconds = tsr_seconds() - began;
    tsr_decoder_info about = tsr_decoder_about(decoder);
    d->info = (tsr_drill_info){about.host_seconds - queued, about.n_launches};
    tsr_status ended = tsr_decoder_end(decoder, NULL, NULL);
    return st ? st : ended;
}

tsr_drill_info tsr_drill_about(const tsr_drill *d)
{
    return d->info;
}

/* ---------------------------------------------------------------- vision -------------------------------- */

static tsr_status run_vision(tsr_engine *e, tsr_view tiles, tsr_view rows, bool project, double *seconds)
{
    const tsr_model *m = e->model;
    tsr_queue *q = e->queue;
    tsr_grid grid = tsr_internvit_grid(m->vit);
    int64_t per_tile = tsr_model_rows_per_tile(m), batch = tsr_vision_batch(m);
    tsr_mark mark = tsr_scratch_mark(q);
    double began = tsr_seconds();
    for (int64_t t = 0; t < tiles.rows; t += batch) {
        int64_t n = tiles.rows - t < batch ? tiles.rows - t : batch;
        tsr_view patches = tsr_scratch(q, q->type, n * grid.rows * grid.cols, m->vit_config.d_model);
        tsr_internvit_encode(m->vit, q, patches, tsr_rows(tiles, t, n));
        if (project)
            tsr_projector_forward(m->projector, q, tsr_rows(rows, t * per_tile, n * per_tile), patches, grid);
        tsr_scratch_release(q, mark);
    }
    tsr_status st = tsr_queue_sync(q);
    *seconds = tsr_seconds() - began;
    return st;
}

tsr_status tsr_engine_vision(tsr_engine *e, int64_t n_tiles, int project, double *seconds)
{
    const tsr_model *m = e->model;
    if (!m->has_vision) return tsr_fail(TSR_E_UNSUPPORTED, "%s has no vision encoder", m->name);
    int64_t pixels = 3 * m->cut.tile * m->cut.tile, n_rows = n_tiles * tsr_model_rows_per_tile(m);
    size_t tile_bytes = tsr_mul((size_t)n_tiles, (size_t)pixels);
    size_t row_bytes =
        tsr_mul((size_t)n_rows, (size_t)m->lm_config.d_model * tsr_dtype_bytes(e->queue->type));
    void *tiles = NULL, *rows = NULL;
    tsr_status st = tsr_memory_take(&tiles, m->ops.memory, tile_bytes);
    if (!st && project) st = tsr_memory_take(&rows, m->ops.memory, row_bytes);
    if (!st) {
        tsr_memory_fill(e->queue, tiles, 0x5a, tile_bytes); /* the first products mix in random weights */
        st = tsr_queue_sync(e->queue);
    }
    if (!st)
        st = run_vision(e, tsr_view_of(tiles, TSR_U8, n_tiles, pixels),
                        tsr_view_of(rows, e->queue->type, n_rows, m->lm_config.d_model), project, seconds);
    tsr_memory_give(m->ops.memory, rows);
    tsr_memory_give(m->ops.memory, tiles);
    return st;
}
