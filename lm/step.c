/* lm/step.c: pack sequences into the arrays of one step. */
#include "lm/step.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"

struct tsr_stepper {
    tsr_state *state;
    tsr_stepper_limits limits;
    int64_t vocab;

    tsr_step step;
    tsr_arena mem; /* the arrays below */
    int32_t *start, *pos, *slot, *pages, *ids, *logit_row, *logit_seq, *out_ids;
    float *out_logprobs;
    tsr_sampling *sampling;
    int64_t *first_logit; /* [max_seqs] by item */
    tsr_step_item *items; /* [max_seqs] of the last fill */
    int64_t n_items;
};

static void lay_out(tsr_stepper *b, tsr_arena *a)
{
    const tsr_stepper_limits *m = &b->limits;
    int64_t max_pages = m->max_context / TSR_PAGE_TOKENS + 1;
    b->start = tsr_arena_array(a, m->max_seqs + 1, sizeof *b->start);
    b->pos = tsr_arena_array(a, m->max_seqs, sizeof *b->pos);
    b->slot = tsr_arena_array(a, m->max_seqs, sizeof *b->slot);
    b->pages = tsr_arena_array(a, m->max_seqs, tsr_mul((size_t)max_pages, sizeof *b->pages));
    b->ids = tsr_arena_array(a, m->max_rows, sizeof *b->ids);
    b->logit_row = tsr_arena_array(a, m->max_logits, sizeof *b->logit_row);
    b->logit_seq = tsr_arena_array(a, m->max_logits, sizeof *b->logit_seq);
    b->out_ids = tsr_arena_array(a, m->max_logits, sizeof *b->out_ids);
    b->out_logprobs = tsr_arena_array(a, m->max_logits, sizeof *b->out_logprobs);
    b->sampling = tsr_arena_array(a, m->max_seqs, sizeof *b->sampling);
    b->first_logit = tsr_arena_array(a, m->max_seqs, sizeof *b->first_logit);
    b->items = tsr_arena_array(a, m->max_seqs, sizeof *b->items);
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
    lay_out(b, &b->mem);
    size_t bytes = b->mem.used;
    void *block = bytes == SIZE_MAX ? NULL : tsr_alloc_aligned(TSR_ARENA_ALIGN, bytes);
    if (!block) {
        tsr_stepper_close(b);
        return tsr_fail(TSR_E_NOMEM, "no memory for %zu bytes of a step's arrays", bytes);
    }
    b->mem = (tsr_arena){.base = block, .capacity = bytes};
    lay_out(b, &b->mem);
    *out = b;
    return TSR_OK;
}

void tsr_stepper_close(tsr_stepper *b)
{
    if (!b) return;
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

static tsr_status check(const tsr_stepper *b, const tsr_step_item *items, int64_t n_items, int64_t n_image)
{
    int64_t n_rows = 0, n_logits = 0;
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
    }
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

    b->start[s] = (int32_t)row;
    b->start[s + 1] = (int32_t)(row + item->n_new);
    b->pos[s] = (int32_t)seq->pos;
    b->slot[s] = (int32_t)seq->slot;
    b->sampling[s] = item->sampling;
    memcpy(b->ids + row, item->ids, (size_t)item->n_new * sizeof *b->ids);
    step->n_rows += item->n_new;
    step->n_decode += decodes(item);
    if (item->n_new > step->max_new) step->max_new = item->n_new;
    if (seq->pos + item->n_new > step->max_ctx) step->max_ctx = seq->pos + item->n_new;

    int64_t n_logits = logits_of(item);
    b->first_logit[i] = n_logits ? step->n_logits : -1;
    for (int64_t k = 0; k < n_logits; k++) {
        b->logit_row[step->n_logits] = (int32_t)(row + item->n_new - n_logits + k);
        b->logit_seq[step->n_logits++] = (int32_t)s;
    }
}

/* Page lists side by side, as wide as the longest context of this step needs. */
static void fill_pages(tsr_stepper *b, bool decode, int64_t *s)
{
    int64_t width = b->step.max_pages;
    for (int64_t i = 0; i < b->n_items; i++) {
        const tsr_seq *seq = b->items[i].seq;
        if (decodes(&b->items[i]) != decode) continue;
        int32_t *to = b->pages + (*s)++ * width;
        for (int64_t p = 0; p < width; p++) to[p] = p < seq->n_pages ? seq->pages[p] : -1;
    }
}

tsr_status tsr_stepper_fill(tsr_stepper *b, const tsr_step_item *items, int64_t n_items, int64_t n_image,
                            const uint32_t *allow)
{
    tsr_status st = check(b, items, n_items, n_image);
    for (int64_t i = 0; i < n_items && !st; i++) st = tsr_seq_reserve(items[i].seq, items[i].n_new);
    if (st) return st;

    memcpy(b->items, items, (size_t)n_items * sizeof *items);
    b->n_items = n_items;
    b->step = (tsr_step){.spans = {.start = b->start},
                         .pos = b->pos,
                         .slot = b->slot,
                         .pages = b->pages,
                         .ids = b->ids,
                         .logit_row = b->logit_row,
                         .logit_seq = b->logit_seq,
                         .sampling = b->sampling,
                         .allow = allow,
                         .last_id = tsr_state_last_id(b->state),
                         .seen = tsr_state_seen(b->state),
                         .seen_words = tsr_state_seen_words(b->state),
                         .out_ids = b->out_ids,
                         .out_logprobs = b->out_logprobs};
    for (int64_t i = 0; i < n_items; i++)
        if (decodes(&b->items[i])) append(b, i);
    for (int64_t i = 0; i < n_items; i++)
        if (!decodes(&b->items[i])) append(b, i);

    tsr_step *step = &b->step;
    int64_t s = 0;
    step->spans.n = step->n_seqs;
    step->spans.max_rows = step->max_new;
    step->max_pages = (step->max_ctx + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS;
    fill_pages(b, true, &s);
    fill_pages(b, false, &s);
    return TSR_OK;
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
                      .max_pages = (context + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS,
                      .spans = {.n = n_seqs, .max_rows = n_new}};
}
