/* runtime/engine.c: working memory, measured by running the same work dry. */
#include "runtime/engine.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"

enum {
    DEFAULT_CONTEXT = 8192, /* when the checkpoint allows as much */
    DEFAULT_ROWS = 512,
    DEFAULT_IMAGES = 64,
    MAX_SESSIONS = 1 << 20,
    MAX_ROWS = 65536
};

double tsr_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static tsr_status in_range(const char *what, int64_t value, int64_t high)
{
    if (value >= 0 && value <= high) return TSR_OK;
    return tsr_fail(TSR_E_ARG, "%s: %lld was found; 1 to %lld are possible", what, (long long)value,
                    (long long)high);
}

/* What keys and values are kept in, and whether model and backend can. */
static tsr_status choose_kv(tsr_dtype *out, const tsr_model *m, const char *kv)
{
    *out = tsr_lm_kv_type(m->lm);
    if (!kv || !strcmp(kv, "auto")) return TSR_OK;
    if (!strcmp(kv, "f32") || !strcmp(kv, "bf16")) {
        *out = !strcmp(kv, "f32") ? TSR_F32 : TSR_BF16;
        return TSR_OK;
    }
    if (strcmp(kv, "fp8") != 0)
        return tsr_fail(TSR_E_ARG, "kv: '%s' was found; auto, f32, bf16 or fp8 is wanted", kv);
    if (!tsr_lm_has_kv_scales(m->lm))
        return tsr_fail(TSR_E_UNSUPPORTED,
                        "kv: fp8 wants k_scale and v_scale for every attention layer, and %s has none; "
                        "`tessera quantize --kv fp8` writes them",
                        m->name);
    if (!m->ops.fp8_pages) return tsr_fail(TSR_E_UNSUPPORTED, "kv: the backend %s has no fp8", m->ops.name);
    *out = TSR_FP8;
    return TSR_OK;
}

static tsr_status choose_state(tsr_dtype *out, const char *state)
{
    *out = state && !strcmp(state, "f16") ? TSR_F16 : TSR_F32;
    if (!state || *out == TSR_F16 || !strcmp(state, "f32")) return TSR_OK;
    return tsr_fail(TSR_E_ARG, "state: '%s' was found; f32 or f16 is wanted", state);
}

tsr_status tsr_engine_sizes(tsr_sizes *out, const tsr_model *m, const tsr_engine_opts *opts)
{
    static const tsr_engine_opts none;
    if (!opts) opts = &none;
    tsr_status st = in_range("context size", opts->n_ctx, TSR_LM_MAX_CONTEXT);
    if (!st) st = in_range("sessions", opts->n_sessions, MAX_SESSIONS);
    if (!st) st = in_range("rows of one step", opts->max_rows, MAX_ROWS);
    if (!st) st = in_range("images of one request", opts->max_images, TSR_LM_MAX_CONTEXT);
    if (st) return st;

    int64_t trained = m->lm_config.max_context;
    tsr_sizes s = {opts->n_ctx, opts->n_sessions, opts->max_rows, opts->max_images,
                   TSR_F32,     TSR_F32,          opts->no_spare};
    st = choose_kv(&s.kv_type, m, opts->kv);
    if (st) return st;
    st = choose_state(&s.ssm_type, opts->state);
    if (st) return st;
    if (!s.n_ctx) s.n_ctx = trained && trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    if (trained && s.n_ctx > trained)
        tsr_log(TSR_LOG_WARN, "a context of %lld tokens is more than the %lld this model was trained with",
                (long long)s.n_ctx, (long long)trained);
    if (!s.n_sessions) s.n_sessions = 1;
    if (!s.max_rows) s.max_rows = DEFAULT_ROWS;
    if (s.max_rows > s.n_ctx) s.max_rows = s.n_ctx;
    if (!s.max_images) s.max_images = DEFAULT_IMAGES;
    *out = s;
    return TSR_OK;
}

/* One step of the decoder and the choice of a token, on a dry queue. */
static void walk_step(const tsr_model *m, tsr_queue *q, tsr_step step)
{
    tsr_mark mark = tsr_scratch_mark(q);
    step.seen_words = (m->lm_config.vocab + 31) / 32;
    tsr_view logits = tsr_scratch(q, TSR_F32, step.n_logits, m->lm_config.vocab);
    tsr_view no_rows = tsr_view_of(NULL, q->type, 0, 0);
    tsr_lm_forward(m->lm, q, logits, no_rows, NULL, &step);
    tsr_sample(q, &step, logits);
    tsr_scratch_release(q, mark);
}

/* Logits of all rows, as a trace has them: they lie elsewhere (advance.c), what the head needs for them does not. */
static void walk_trace(const tsr_model *m, tsr_queue *q, tsr_step step)
{
    tsr_view logits = tsr_view_of(NULL, TSR_F32, step.n_logits, m->lm_config.vocab);
    tsr_lm_forward(m->lm, q, logits, tsr_view_of(NULL, q->type, 0, 0), NULL, &step);
}

static void walk_vision(const tsr_model *m, tsr_queue *q)
{
    tsr_grid grid = tsr_internvit_grid(m->vit);
    int64_t n_tiles = tsr_vision_batch(m), patches = n_tiles * grid.rows * grid.cols;
    tsr_mark mark = tsr_scratch_mark(q);
    tsr_view tiles = tsr_scratch(q, TSR_U8, n_tiles, 3 * m->cut.tile * m->cut.tile);
    tsr_view out = tsr_scratch(q, q->type, patches, m->vit_config.d_model);
    tsr_internvit_encode(m->vit, q, out, tiles);
    tsr_view rows = tsr_view_of(NULL, q->type, patches / 4, m->lm_config.d_model);
    tsr_projector_forward(m->projector, q, rows, out, grid);
    tsr_scratch_release(q, mark);
}

static tsr_decoder_limits decoder_limits(const tsr_model *m, tsr_sizes s)
{
    return (tsr_decoder_limits){.max_seqs = s.n_sessions, .max_context = s.n_ctx, .max_stops = m->stop_ids.n};
}

/* The largest power of two below n: kernels take rows in blocks of such sizes, and want most at a block's end. */
static int64_t shorter(int64_t n)
{
    int64_t power = 1;
    while (2 * power < n) power *= 2;
    return power;
}

static tsr_status measure_scratch(size_t *out, const tsr_model *m, tsr_sizes s)
{
    tsr_queue *q = NULL;
    tsr_status st = tsr_queue_open(&q, &m->ops, NULL, m->type, 0);
    if (st) return st;
    /* A product of few rows may be cut along K where one of many is not, and then wants more: shorter steps too. */
    for (int64_t rows = s.max_rows; rows > 0; rows = rows == 1 ? 0 : shorter(rows)) {
        walk_step(m, q, tsr_step_shape(1, rows, s.n_ctx, 1));
        walk_trace(m, q, tsr_step_shape(1, rows, s.n_ctx, rows));
    }
    tsr_decoder_walk(m->lm, q, decoder_limits(m, s));
    if (m->has_vision) walk_vision(m, q);
    st = tsr_queue_sync(q);
    *out = q->scratch.peak;
    tsr_queue_close(q);
    return st;
}

static tsr_state_opts state_opts(const tsr_model *m, tsr_sizes s)
{
    int64_t pages = (s.n_ctx + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS;
    int64_t n = s.n_sessions + !s.no_spare; /* one for checkpoints within a call */
    return (tsr_state_opts){.n_slots = n,
                            .n_pages = n * pages,
                            .conv_type = m->type,
                            .kv_type = s.kv_type,
                            .ssm_type = s.ssm_type};
}

static int64_t machine_memory(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (int64_t)info.totalram * (int64_t)info.mem_unit;
}

/* A size for people and comparisons: saturating instead of wrapping. */
static int64_t as_int64(size_t bytes)
{
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

/* The memory of what the model runs on. */
static tsr_status fill_memory(tsr_plan *out, const tsr_model *m)
{
    size_t free_bytes, all_bytes;
    out->memory_bytes = machine_memory();
    if (!m->ops.memory) return TSR_OK;
    tsr_status st = m->ops.memory->room(&free_bytes, &all_bytes);
    if (st) return st;
    out->memory_bytes = as_int64(all_bytes);
    out->free_bytes = as_int64(free_bytes);
    return TSR_OK;
}

/* An engine that does not fit beside the weights is refused before any of it is taken, with plan's figures. */
static tsr_status check_room(const tsr_model *m, const tsr_plan *p)
{
    size_t free_bytes, all_bytes;
    if (!m->ops.memory) return TSR_OK;
    tsr_status st = m->ops.memory->room(&free_bytes, &all_bytes);
    int64_t wanted = p->total_bytes - p->weight_block_bytes;
    if (st || wanted <= as_int64(free_bytes)) return st;
    return tsr_fail(
        TSR_E_NOMEM,
        "%.3g GiB for scratch and the state of %lld sessions of %lld tokens are wanted beside %.3g GiB "
        "of weights; %.3g of %.3g GiB are free on %s: a smaller context (-c) or fewer sessions fit",
        (double)wanted * 0x1p-30, (long long)p->n_sessions, (long long)p->n_ctx,
        (double)p->weight_block_bytes * 0x1p-30, (double)free_bytes * 0x1p-30, (double)all_bytes * 0x1p-30,
        m->ops.memory->about);
}

tsr_status tsr_engine_measure(tsr_plan *out, const tsr_model *m, tsr_sizes s)
{
    size_t scratch;
    tsr_status st = measure_scratch(&scratch, m, s);
    if (st) return st;
    tsr_state_sizes sizes = tsr_state_measure(&m->lm_config, state_opts(m, s));
    int64_t pages = (s.n_ctx + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS;
    size_t block = tsr_model_block_bytes(m), weights = tsr_lm_loaded(m->lm)->weight_bytes;
    if (m->has_vision)
        weights +=
            tsr_internvit_loaded(m->vit)->weight_bytes + tsr_projector_loaded(m->projector)->weight_bytes;
    if (m->ops.memory) weights = block; /* nothing is read from the file where it lies */
    tsr_plan p = {.weight_file_bytes = weights > block ? as_int64(weights - block) : 0,
                  .weight_block_bytes = as_int64(block),
                  .weight_step_bytes = as_int64(tsr_lm_step_bytes(m->lm)),
                  .state_bytes = as_int64(sizes.slot_bytes),
                  .kv_bytes_per_token = as_int64(sizes.page_bytes / TSR_PAGE_TOKENS),
                  .kv_bytes = as_int64(tsr_mul((size_t)pages, sizes.page_bytes)),
                  .scratch_bytes = as_int64(scratch),
                  .n_ctx = s.n_ctx,
                  .n_sessions = s.n_sessions};
    st = fill_memory(&p, m);
    if (st) return st;
    size_t total = tsr_add(tsr_add(weights > block ? weights : block, scratch), sizes.total);
    p.total_bytes = as_int64(total);
    *out = p;
    return TSR_OK;
}

tsr_status tsr_engine_open(tsr_engine **out, tsr_model *model, const tsr_engine_opts *opts)
{
    tsr_sizes sizes;
    tsr_status st = tsr_engine_sizes(&sizes, model, opts);
    if (st) return st;
    tsr_engine *e = tsr_calloc(1, sizeof *e);
    if (!e) return tsr_fail(TSR_E_NOMEM, "no memory for an engine");
    e->model = model;
    e->sizes = sizes;
    if (sizes.kv_type != TSR_FP8 && model->files && tsr_lm_has_kv_scales(model->lm))
        tsr_log(TSR_LOG_INFO, "the checkpoint's FP8 scales of keys and values are not used: KV stays %s",
                tsr_dtype_name(sizes.kv_type));

    st = tsr_engine_measure(&e->memory, model, sizes);
    if (!st) st = check_room(model, &e->memory);
    if (!st) st = tsr_pool_open(&e->pool, model->n_threads);
    if (!st)
        st = tsr_queue_open(&e->queue, &model->ops, e->pool, model->type, (size_t)e->memory.scratch_bytes);
    if (!st) st = tsr_state_open(&e->state, e->queue, &model->lm_config, state_opts(model, sizes));
    if (!st && !sizes.no_spare) st = tsr_seq_open(&e->spare, e->state, sizes.n_ctx);
    tsr_stepper_limits limits = {
        .max_rows = sizes.max_rows > sizes.n_sessions ? sizes.max_rows : sizes.n_sessions,
        .max_seqs = sizes.n_sessions,
        .max_logits = sizes.max_rows > sizes.n_sessions ? sizes.max_rows : sizes.n_sessions,
        .max_context = sizes.n_ctx};
    if (!st) st = tsr_stepper_open(&e->stepper, e->state, limits);
    if (!st) st = tsr_decoder_open(&e->decoder, model->lm, e->state, decoder_limits(model, sizes));
    if (!st && !(e->chunk = tsr_calloc((size_t)sizes.max_rows, sizeof *e->chunk)))
        st = tsr_fail(TSR_E_NOMEM, "no memory for a step of %lld rows", (long long)sizes.max_rows);
    if (st) {
        tsr_engine_close(e);
        return st;
    }
    e->queue->unfused = opts && opts->unfused;
    *out = e;
    return TSR_OK;
}

void tsr_engine_close(tsr_engine *e)
{
    if (!e) return;
    assert(e->n_open == 0);
    tsr_tracer_close(e->tracer);
    tsr_decoder_close(e->decoder);
    tsr_profile_close(e->profile);
    tsr_stepper_close(e->stepper);
    tsr_seq_close(&e->spare);
    tsr_state_close(e->state);
    tsr_queue_close(e->queue);
    tsr_pool_close(e->pool);
    tsr_free(e->chunk);
    tsr_free(e);
}

tsr_plan tsr_engine_memory(const tsr_engine *e)
{
    return e->memory;
}

const tsr_counter *tsr_engine_counter(const tsr_engine *engine, int i)
{
    if (i < 0 || i >= TSR_N_OPS) return NULL;
    tsr_engine *e = (tsr_engine *)(uintptr_t)engine; /* the counter is a buffer, not state */
    const tsr_op_count *c = &e->queue->counts[i];
    e->counter = (tsr_counter){tsr_op_name((tsr_op_id)i), c->calls, c->flops, c->bytes, c->seconds};
    return &e->counter;
}

void tsr_engine_counters_clear(tsr_engine *e)
{
    memset(e->queue->counts, 0, sizeof e->queue->counts);
}

tsr_status tsr_plan_model(tsr_plan *out, const char *path, const tsr_model_opts *model_opts,
                          const tsr_engine_opts *opts)
{
    tsr_model *m = NULL;
    tsr_sizes sizes;
    tsr_plan plan;
    tsr_status st = tsr_model_sketch(&m, path, model_opts);
    if (!st) st = tsr_engine_sizes(&sizes, m, opts);
    if (!st) st = tsr_engine_measure(&plan, m, sizes);
    if (!st) {
        if (opts && opts->memory_bytes > 0) plan.memory_bytes = opts->memory_bytes;
        int64_t each = plan.state_bytes + plan.kv_bytes;
        int64_t fixed = plan.total_bytes - sizes.n_sessions * each;
        int64_t room = plan.memory_bytes - fixed;
        plan.sessions_that_fit = room > 0 && each > 0 ? room / each : 0;
        *out = plan;
    }
    tsr_model_close(m);
    return st;
}
