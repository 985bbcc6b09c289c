/* lm/step.c: pack sequences into the arrays of one step. */
#include "lm/step.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"

/* The arrays of one step, close together in one block: what the step reads first, so that one copy sends it. */
typedef struct arrays {
    int32_t *start, *pos, *slot, *pages, *ids, *logit_row, *logit_seq;
    tsr_sampling *sampling;
    uint32_t *allow;
    int32_t *out_ids; /* behind what is sent: what sample writes */
    float *out_logprobs;
} arrays;

typedef struct extent {
    int64_t rows, seqs, logits, pages;
    bool allow;
} extent;

struct tsr_stepper {
    tsr_state *state;
    tsr_stepper_limits limits;
    int64_t vocab;

    tsr_step step;
    extent extent;
    arrays here, there; /* where the host writes and where kernels read: the same block without a device */
    unsigned char *block_here, *block_there;
    size_t block_bytes, sent_bytes;

    tsr_arena mem;        /* of the host alone: */
    int64_t *first_logit; /* [max_seqs] by item */
    tsr_step_item *items; /* [max_seqs] of the last fill */
    int64_t n_items;
};

/* Bytes of the arrays of such a step; with a base, their addresses. */
static size_t lay_out(tsr_stepper *b, arrays *to, unsigned char *base, const extent *e)
{
    tsr_arena a = {.base = base, .capacity = b->block_bytes};
    to->start = tsr_arena_array(&a, e->seqs + 1, sizeof *to->start);
    to->pos = tsr_arena_array(&a, e->seqs, sizeof *to->pos);
    to->slot = tsr_arena_array(&a, e->seqs, sizeof *to->slot);
    to->pages = tsr_arena_array(&a, e->seqs, tsr_mul((size_t)e->pages, sizeof *to->pages));
    to->ids = tsr_arena_array(&a, e->rows, sizeof *to->ids);
    to->logit_row = tsr_arena_array(&a, e->logits, sizeof *to->logit_row);
    to->logit_seq = tsr_arena_array(&a, e->logits, sizeof *to->logit_seq);
    to->sampling = tsr_arena_array(&a, e->seqs, sizeof *to->sampling);
    to->allow = tsr_arena_array(&a, e->allow ? tsr_state_seen_words(b->state) : 0, sizeof *to->allow);
    b->sent_bytes = a.used;
    to->out_ids = tsr_arena_array(&a, e->logits, sizeof *to->out_ids);
    to->out_logprobs = tsr_arena_array(&a, e->logits, sizeof *to->out_logprobs);
    return a.used;
}

static void lay_out_lists(tsr_stepper *b)
{
    b->first_logit = tsr_arena_array(&b->mem, b->limits.max_seqs, sizeof *b->first_logit);
    b->items = tsr_arena_array(&b->mem, b->limits.max_seqs, sizeof *b->items);
}

static int64_t pages_of(int64_t context)
{
    return (context + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS;
}

static const tsr_memory *memory_of(const tsr_stepper *b)
{
    return tsr_state_queue(b->state)->ops->memory;
}

tsr_status tsr_stepper_open(tsr_stepper **out, tsr_state *s, tsr_stepper_limits limits)
{
    if (limits.max_rows < 1 || limits.max_seqs < 1 || limits.max_logits < 1 || limits.max_context < 1 ||
        limits.max_rows > INT32_MAX || limits.max_context > INT32_MAX)
        return tsr_fail(TSR_E_ARG, "a step of %" PRId64 " rows in %" PRId64 " sequences", limits.max_rows,
                        limits.max_seqs);
    tsr_stepper *b = tsr_calloc(1, sizeof *b);
    if (!b) return tsr_fail(TSR_E_NOMEM, "no memory for a step");
    b->state = s;
    b->limits = limits;
    b->vocab = tsr_state_vocab(s);
    extent most = {limits.max_rows, limits.max_seqs, limits.max_logits, pages_of(limits.max_context), true};
    b->block_bytes = lay_out(b, &b->here, NULL, &most);
    lay_out_lists(b);
    const tsr_memory *d = memory_of(b);
    size_t list_bytes = b->mem.used;
    void *here = NULL, *there = NULL, *lists = NULL;
    tsr_status st = tsr_memory_take_pinned(&here, d, b->block_bytes);
    if (!st && d) st = tsr_memory_take(&there, d, b->block_bytes);
    if (!st) st = tsr_memory_take(&lists, NULL, list_bytes);
    b->block_here = here;
    b->block_there = d ? there : here;
    b->mem = (tsr_arena){.base = lists, .capacity = list_bytes};
    if (st) {
        tsr_stepper_close(b);
        return tsr_wrap(st, "the arrays of a step");
    }
    lay_out_lists(b);
    *out = b;
    return TSR_OK;
}

void tsr_stepper_close(tsr_stepper *b)
{
    if (!b) return;
    const tsr_memory *d = memory_of(b);
    if (d) tsr_memory_give(d, b->block_there);
    tsr_memory_give_pinned(d, b->block_here);
    tsr_free(b->mem.base);
    tsr_free(b);
}

static tsr_status check_ids(const tsr_stepper *b, const tsr_step_item *item, int64_t n_image)
{
    for (int64_t t = 0; t < item->n_new; t++) {
        int64_t id = item->ids[t];
        bool last = id == TSR_ID_LAST && t == 0 && item->seq->pos > 0;
        if (!last && (id >= b->vocab || id < -n_image))
            return tsr_fail(TSR_E_ARG,
                            "id %" PRId64 " at row %" PRId64 ": the vocabulary has %" PRId64
                            " ids, and there are %" PRId64 " image rows",
                            id, t, b->vocab, n_image);
    }
    return TSR_OK;
}

/* A row that follows an earlier one alone. */
static bool decodes(const tsr_step_item *item)
{
    return item->n_new == 1 && item->seq->pos > 0;
}

static int64_t logits_of(const tsr_step_item *item)
{
    return item->logits == TSR_LOGITS_ALL ? item->n_new : item->logits == TSR_LOGITS_LAST;
}

static tsr_status check(const tsr_stepper *b, extent *out, const tsr_step_item *items, int64_t n_items,
                        int64_t n_image)
{
    int64_t n_rows = 0, n_logits = 0, context = 0;
    for (int64_t i = 0; i < n_items; i++) {
        assert(items[i].n_new > 0 && items[i].seq->state == b->state);
        n_rows += items[i].n_new;
        n_logits += logits_of(&items[i]);
        if (items[i].seq->pos + items[i].n_new > b->limits.max_context)
            return tsr_fail(TSR_E_CONTEXT,
                            "%" PRId64 " tokens and %" PRId64 " new ones are more than %" PRId64,
                            items[i].seq->pos, items[i].n_new, b->limits.max_context);
        tsr_status st = check_ids(b, &items[i], n_image);
        if (st) return st;
        if (items[i].seq->pos + items[i].n_new > context) context = items[i].seq->pos + items[i].n_new;
    }
    *out = (extent){.rows = n_rows, .seqs = n_items, .logits = n_logits, .pages = pages_of(context)};
    if (n_items > b->limits.max_seqs || n_rows > b->limits.max_rows || n_logits > b->limits.max_logits)
        return tsr_fail(TSR_E_ARG,
                        "a step of %" PRId64 " sequences, %" PRId64 " rows and %" PRId64
                        " rows of logits; this one takes %" PRId64 ", %" PRId64 " and %" PRId64,
                        n_items, n_rows, n_logits, b->limits.max_seqs, b->limits.max_rows,
                        b->limits.max_logits);
    return TSR_OK;
}

/* Put item i behind what the step holds. */
static void append(tsr_stepper *b, int64_t i)
{
    const tsr_step_item *item = &b->items[i];
    const tsr_seq *seq = item->seq;
    tsr_step *step = &b->step;
    int64_t s = step->n_seqs++, row = step->n_rows;

    b->here.start[s] = (int32_t)row;
    b->here.start[s + 1] = (int32_t)(row + item->n_new);
    b->here.pos[s] = (int32_t)seq->pos;
    b->here.slot[s] = (int32_t)seq->slot;
    b->here.sampling[s] = item->sampling;
    memcpy(b->here.ids + row, item->ids, (size_t)item->n_new * sizeof *item->ids);
    step->n_rows += item->n_new;
    step->n_decode += decodes(item);
    step->greedy = step->greedy && item->sampling.temp == 0;
    if (item->n_new > step->max_new) step->max_new = item->n_new;
    if (seq->pos + item->n_new > step->max_ctx) step->max_ctx = seq->pos + item->n_new;

    int64_t n_logits = logits_of(item);
    b->first_logit[i] = n_logits ? step->n_logits : -1;
    for (int64_t k = 0; k < n_logits; k++) {
        b->here.logit_row[step->n_logits] = (int32_t)(row + item->n_new - n_logits + k);
        b->here.logit_seq[step->n_logits++] = (int32_t)s;
    }
}

/* Page lists side by side, as wide as the longest context of this step needs. */
static void fill_pages(tsr_stepper *b, bool decode, int64_t *s)
{
    int64_t width = b->step.max_pages;
    for (int64_t i = 0; i < b->n_items; i++) {
        const tsr_seq *seq = b->items[i].seq;
        if (decodes(&b->items[i]) != decode) continue;
        int32_t *to = b->here.pages + (*s)++ * width;
        for (int64_t p = 0; p < width; p++) to[p] = p < seq->n_pages ? seq->pages[p] : -1;
    }
}

tsr_status tsr_stepper_fill(tsr_stepper *b, const tsr_step_item *items, int64_t n_items, int64_t n_image,
                            const uint32_t *allow)
{
    extent e;
    tsr_status st = check(b, &e, items, n_items, n_image);
    for (int64_t i = 0; i < n_items && !st; i++) st = tsr_seq_reserve(items[i].seq, items[i].n_new);
    if (st) return st;

    const tsr_memory *d = memory_of(b);
    e.allow = d && allow;
    lay_out(b, &b->here, b->block_here, &e);
    lay_out(b, &b->there, b->block_there, &e);
    b->extent = e;
    memcpy(b->items, items, (size_t)n_items * sizeof *items);
    b->n_items = n_items;
    b->step = (tsr_step){.greedy = true,
                         .spans = {.start = b->there.start},
                         .pos = b->there.pos,
                         .slot = b->there.slot,
                         .pages = b->there.pages,
                         .ids = b->there.ids,
                         .logit_row = b->there.logit_row,
                         .logit_seq = b->there.logit_seq,
                         .sampling = b->there.sampling,
                         .allow = e.allow ? b->there.allow : allow,
                         .last_id = tsr_state_last_id(b->state),
                         .seen = tsr_state_seen(b->state),
                         .seen_words = tsr_state_seen_words(b->state),
                         .out_ids = b->there.out_ids,
                         .out_logprobs = b->there.out_logprobs};
    if (e.allow) memcpy(b->here.allow, allow, (size_t)tsr_state_seen_words(b->state) * sizeof *b->here.allow);
    for (int64_t i = 0; i < n_items; i++)
        if (decodes(&b->items[i])) append(b, i);
    for (int64_t i = 0; i < n_items; i++)
        if (!decodes(&b->items[i])) append(b, i);

    tsr_step *step = &b->step;
    int64_t s = 0;
    step->spans.n = step->n_seqs;
    step->spans.max_rows = step->max_new;
    step->max_pages = e.pages;
    fill_pages(b, true, &s);
    fill_pages(b, false, &s);
    if (d) tsr_memory_send(tsr_state_queue(b->state), b->block_there, b->block_here, b->sent_bytes);
    return TSR_OK;
}

void tsr_stepper_fetch(tsr_stepper *b)
{
    const char *end = (const char *)(b->here.out_logprobs + b->extent.logits);
    if (!memory_of(b)) return;
    tsr_memory_download(tsr_state_queue(b->state), b->here.out_ids, b->there.out_ids,
                        (size_t)(end - (const char *)b->here.out_ids));
}

int32_t tsr_stepper_id(const tsr_stepper *b, int64_t i)
{
    assert(i >= 0 && i < b->extent.logits);
    return b->here.out_ids[i];
}

float tsr_stepper_logprob(const tsr_stepper *b, int64_t i)
{
    assert(i >= 0 && i < b->extent.logits);
    return b->here.out_logprobs[i];
}

const tsr_step *tsr_stepper_step(const tsr_stepper *b)
{
    return &b->step;
}

int64_t tsr_stepper_logits_of(const tsr_stepper *b, int64_t item)
{
    assert(item >= 0 && item < b->n_items);
    return b->first_logit[item];
}

void tsr_stepper_commit(tsr_stepper *b)
{
    for (int64_t i = 0; i < b->n_items; i++) b->items[i].seq->pos += b->items[i].n_new;
    b->n_items = 0;
}

tsr_step tsr_step_shape(int64_t n_seqs, int64_t n_new, int64_t context, int64_t n_logits)
{
    return (tsr_step){.n_rows = n_seqs * n_new,
                      .n_seqs = n_seqs,
                      .n_decode = n_new == 1 && context > 1 ? n_seqs : 0,
                      .n_logits = n_logits,
                      .max_new = n_new,
                      .max_ctx = context,
                      .max_pages = pages_of(context),
                      .spans = {.n = n_seqs, .max_rows = n_new}};
}
