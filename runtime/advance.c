/* runtime/advance.c: from what was said to the state: tiles to rows, rows and tokens to steps. */
#include <string.h>

#include "base/alloc.h"
#include "runtime/engine.h"
#include "runtime/image.h"

/* The rows of the pictures that wait, in the queue's type, and where they begin among the session's image rows. */
typedef struct image_rows {
    tsr_view view;
    int64_t first;
} image_rows;

typedef struct reading {
    tsr_session *s;
    tsr_progress_fn *progress;
    void *user;
} reading;

/* Tell the caller how far it is; it may say stop. */
static tsr_status tell(const reading *r, bool vision, int64_t done, int64_t total)
{
    if (r->progress && !r->progress(r->user, vision, done, total))
        return tsr_fail(TSR_E_CANCELLED, "stopped");
    return TSR_OK;
}

/* A tile of the pictures that wait. */
typedef struct tile_at {
    int64_t image, tile;
} tile_at;

/* The next n tiles, of as many pictures as have them, where kernels can read them. Moves `at` behind them. */
static tsr_view next_tiles(const tsr_session *s, tile_at *at, int64_t n)
{
    tsr_queue *q = s->engine->queue;
    int64_t side = s->engine->model->cut.tile;
    tsr_view tiles = tsr_scratch(q, TSR_U8, n, 3 * side * side);
    for (int64_t done = 0, now; done < n; done += now) {
        const tsr_image *image = s->waiting[at->image].image;
        int64_t left = tsr_image_about(image)->n_tiles - at->tile;
        now = n - done < left ? n - done : left;
        tsr_memory_upload(q, tsr_rows(tiles, done, now).data, tsr_image_tile(image, at->tile),
                          (size_t)(now * tiles.cols));
        *at = now < left ? (tile_at){at->image, at->tile + now} : (tile_at){at->image + 1, 0};
    }
    return tiles;
}

static tsr_status encode_batch(const tsr_session *s, tsr_view out, tile_at *at, int64_t n_tiles)
{
    const tsr_model *m = s->engine->model;
    tsr_queue *q = s->engine->queue;
    tsr_grid grid = tsr_internvit_grid(m->vit);
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view tiles = next_tiles(s, at, n_tiles);
    tsr_view patches = tsr_scratch(q, q->type, n_tiles * grid.rows * grid.cols, m->vit_config.d_model);
    tsr_internvit_encode(m->vit, q, patches, tiles);
    tsr_projector_forward(m->projector, q, out, patches, grid);
    tsr_status st = tsr_queue_sync(q);
    tsr_scratch_release(q, mark);
    return st;
}

static void trace_tiles(tsr_session *s)
{
    int64_t side = s->engine->model->cut.tile, n_tiles = 0;
    for (int64_t i = 0; i < s->n_waiting; i++) n_tiles += tsr_image_about(s->waiting[i].image)->n_tiles;
    size_t each = 3 * (size_t)(side * side);
    uint8_t *all = tsr_alloc(tsr_mul((size_t)n_tiles, each));
    if (!all) return; /* the trace then says that memory ran out, for its larger arrays */
    uint8_t *to = all;
    for (int64_t i = 0; i < s->n_waiting; i++) {
        size_t bytes = (size_t)tsr_image_about(s->waiting[i].image)->n_tiles * each;
        memcpy(to, tsr_image_tile(s->waiting[i].image, 0), bytes);
        to += bytes;
    }
    tsr_tracer_give(s->engine->tracer, "tiles", "u8", (int64_t[]){n_tiles, side, side, 3}, 4, all);
    tsr_free(all);
}

/* Encode and project every waiting picture; rows->view.data is the caller's to give back. */
static tsr_status encode_waiting(const reading *r, image_rows *rows)
{
    tsr_session *s = r->s;
    tsr_engine *e = s->engine;
    int64_t per_tile = tsr_model_rows_per_tile(e->model), d = e->model->lm_config.d_model;
    rows->first = s->waiting[0].first_row;
    int64_t n_rows = s->image_rows - rows->first;
    void *data;
    tsr_status st =
        tsr_memory_take(&data, e->model->ops.memory,
                        tsr_mul(tsr_mul((size_t)n_rows, (size_t)d), tsr_dtype_bytes(e->queue->type)));
    if (st) return tsr_wrap(st, "%lld image rows", (long long)n_rows);
    rows->view = tsr_view_of(data, e->queue->type, n_rows, d);

    double began = tsr_seconds();
    int64_t total = n_rows / per_tile, batch = tsr_vision_batch(e->model);
    tile_at at = {0};
    for (int64_t done = 0, n; !st && done < total; done += n) {
        n = total - done < batch ? total - done : batch;
        st = tell(r, true, done, total);
        if (!st) st = encode_batch(s, tsr_rows(rows->view, done * per_tile, n * per_tile), &at, n);
    }
    if (!st) st = tell(r, true, total, total);
    s->info.vision_seconds += tsr_seconds() - began;
    return st;
}

/* One step of n waiting tokens of this session. */
static tsr_status step(tsr_session *s, int64_t n, const image_rows *rows, tsr_logits_wanted wanted,
                       const tsr_sampling *how, int32_t *id, float *logprob)
{
    tsr_engine *e = s->engine;
    tsr_queue *q = e->queue;
    const int32_t *ids = s->past.items + s->seq.pos;
    for (int64_t i = 0; i < n; i++) /* -1 - row of the session becomes -1 - row of the view */
        e->chunk[i] = ids[i] < 0 && rows->view.rows ? (int32_t)(ids[i] + rows->first) : ids[i];
    tsr_step_item item = {.seq = &s->seq, .ids = e->chunk, .n_new = n, .logits = wanted};
    if (how) item.sampling = *how;
    tsr_status st = tsr_stepper_fill(e->stepper, &item, 1, rows->view.rows, NULL);
    if (st) return st;

    const tsr_step *filled = tsr_stepper_step(e->stepper);
    int64_t vocab = e->model->lm_config.vocab;
    tsr_mark mark = tsr_scratch_mark(q);
    void *all = NULL; /* logits of every row, for a trace: more than scratch was measured for */
    tsr_view logits;
    if (wanted == TSR_LOGITS_ALL) {
        st = tsr_memory_take(&all, q->ops->memory, tsr_mul(tsr_mul((size_t)n, (size_t)vocab), sizeof(float)));
        if (st) return tsr_wrap(st, "%lld rows of logits", (long long)n);
        logits = tsr_view_of(all, TSR_F32, n, vocab);
    } else {
        logits = tsr_scratch(q, TSR_F32, filled->n_logits, vocab);
    }
    tsr_lm_forward(e->model->lm, q, logits, rows->view, e->state, filled);
    /* Without logits it chooses nothing, but marks what was read as seen, for the repeat penalty. */
    if (wanted != TSR_LOGITS_ALL) {
        tsr_sample(q, filled, logits);
        tsr_stepper_fetch(e->stepper);
    }
    st = tsr_queue_sync(q);
    tsr_scratch_release(q, mark);
    tsr_memory_give(q->ops->memory, all);
    if (st) return st;
    if (how) {
        int64_t at = tsr_stepper_logits_of(e->stepper, 0);
        *id = tsr_stepper_id(e->stepper, at);
        *logprob = tsr_stepper_logprob(e->stepper, at);
    }
    tsr_stepper_commit(e->stepper);
    return TSR_OK;
}

static tsr_status run_steps(const reading *r, int64_t keep, const image_rows *rows, const tsr_sampling *how,
                            int32_t *id, float *logprob)
{
    tsr_session *s = r->s;
    tsr_engine *e = s->engine;
    int64_t first = s->seq.pos, total = s->past.n - keep - first;
    while (s->past.n - s->seq.pos > keep) {
        int64_t left = s->past.n - keep - s->seq.pos;
        int64_t n = left < e->sizes.max_rows ? left : e->sizes.max_rows;
        bool last = n == left;
        tsr_logits_wanted wanted = e->tracer     ? TSR_LOGITS_ALL
                                   : last && how ? TSR_LOGITS_LAST
                                                 : TSR_LOGITS_NONE;
        tsr_status st = tell(r, false, s->seq.pos - first, total);
        if (!st) st = step(s, n, rows, wanted, last && !e->tracer ? how : NULL, id, logprob);
        if (st) return st;
    }
    return tell(r, false, total, total);
}

tsr_status tsr_session_decode_begin(tsr_session *s, const tsr_sampling *how, bool stops)
{
    tsr_engine *e = s->engine;
    tsr_seq *seq = &s->seq;
    const tsr_ids *ids = &e->model->stop_ids;
    tsr_decoding what = {
        .seqs = &seq, .sampling = how, .n_seqs = 1, .stops = ids->items, .n_stops = stops ? ids->n : 0};
    tsr_status st = tsr_decoder_begin(e->decoder, &what);
    if (st) return st;
    e->queue->cancel = &s->cancel;
    s->info.decode_seconds -= tsr_seconds();
    return TSR_OK;
}

tsr_status tsr_session_decode_push(tsr_session *s)
{
    return tsr_decoder_push(s->engine->decoder);
}

tsr_status tsr_session_decode_take(tsr_session *s, int32_t *id, float *logprob)
{
    s->info.decode_tokens++;
    return tsr_decoder_take(s->engine->decoder, id, logprob);
}

tsr_status tsr_session_decode_end(tsr_session *s)
{
    tsr_engine *e = s->engine;
    tsr_untaken u = {.at = s->past.n};
    e->queue->cancel = NULL;
    tsr_status st = tsr_decoder_end(e->decoder, &u.id, &u.logprob);
    s->info.decode_seconds += tsr_seconds();
    s->untaken = !st && u.id >= 0 ? u : (tsr_untaken){0};
    return st;
}

tsr_status tsr_session_advance(tsr_session *s, int64_t keep, const tsr_sampling *how, int32_t *id,
                               float *logprob, tsr_progress_fn *progress, void *user)
{
    tsr_engine *e = s->engine;
    reading r = {s, progress, user};
    image_rows rows = {.view = tsr_view_of(NULL, e->queue->type, 0, 0)};
    if (tsr_session_waiting(s) <= keep) return TSR_OK;

    e->queue->cancel = &s->cancel;
    e->queue->tap = e->tracer ? tsr_tracer_take : NULL;
    e->queue->tap_user = e->tracer;
    if (e->tracer && s->n_waiting) trace_tiles(s);
    if (e->tracer)
        tsr_tracer_give(e->tracer, "prompt.ids", "i32", (int64_t[]){tsr_session_waiting(s)}, 1,
                        s->past.items + s->seq.pos);

    tsr_status st = s->n_waiting ? encode_waiting(&r, &rows) : TSR_OK;
    int64_t before = s->seq.pos;
    double began = tsr_seconds();
    if (!st) st = run_steps(&r, keep, &rows, how, id, logprob);
    s->info.prefill_seconds += tsr_seconds() - began;
    s->info.prefill_rows += s->seq.pos - before;
    bool kept_image_row = keep && s->past.items[s->past.n - 1] < 0; /* its rows are needed once more */
    if (!st && !kept_image_row) s->n_waiting = 0;
    if (!st && e->tracer) st = tsr_tracer_flush(e->tracer);
    e->queue->cancel = NULL;
    e->queue->tap = NULL;
    tsr_memory_give(e->queue->ops->memory, rows.view.data);
    return st;
}
