/* lm/state.c: two pools, their free lists, and what sequences borrow. */
#include "lm/state.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"

struct tsr_state {
    tsr_queue *q;
    tsr_state_opts opts;
    tsr_state_sizes sizes;

    int64_t n_mamba, n_attention, vocab;
    int64_t conv_elements, ssm_elements; /* of one Mamba layer */
    int64_t n_kv, head_dim;
    size_t conv_bytes, ssm_bytes; /* the same, each rounded to the arena's alignment in a slot */
    size_t k_bytes;               /* keys of one attention layer in a page; values follow, as long */

    tsr_arena mem; /* one block where kernels read: */
    tsr_blocks slots, pages;
    int32_t *last_id;
    uint32_t *seen;

    tsr_arena lists;                  /* one block of the host: */
    int32_t *free_slots, *free_pages; /* stacks */
    int32_t *page_users;              /* [n_pages] sequences that hold the page */
    int64_t n_free_slots, n_free_pages;
};

static size_t aligned(size_t bytes)
{
    return tsr_add(bytes, TSR_ARENA_ALIGN - 1) / TSR_ARENA_ALIGN * TSR_ARENA_ALIGN;
}

static size_t product(int64_t a, int64_t b, size_t c)
{
    return tsr_mul(tsr_mul((size_t)a, (size_t)b), c);
}

/* Sizes of one slot and one page. */
static void set_sizes(tsr_state *s, const tsr_lm_config *c, tsr_state_opts o)
{
    s->opts = o;
    s->vocab = c->vocab;
    s->n_mamba = c->n_mamba;
    s->n_attention = c->n_attention;
    s->n_kv = c->n_kv_heads;
    s->head_dim = c->head_dim;
    s->conv_elements = c->n_mamba ? (c->conv_width - 1) * tsr_lm_d_conv(c) : 0;
    s->ssm_elements = c->n_mamba ? tsr_lm_d_mamba(c) * c->d_state : 0;
    s->conv_bytes = aligned(product(s->conv_elements, 1, tsr_dtype_bytes(o.conv_type)));
    s->ssm_bytes = aligned(product(s->ssm_elements, 1, tsr_dtype_bytes(o.ssm_type)));
    s->k_bytes = aligned(product(s->n_kv * TSR_PAGE_TOKENS, s->head_dim, tsr_dtype_bytes(o.kv_type)));
    s->sizes.slot_bytes = tsr_mul((size_t)s->n_mamba, tsr_add(s->conv_bytes, s->ssm_bytes));
    s->sizes.page_bytes = tsr_mul((size_t)s->n_attention, tsr_mul(2, s->k_bytes));
}

static void lay_out(tsr_state *s)
{
    const tsr_state_opts *o = &s->opts;
    tsr_arena *a = &s->mem;
    s->slots = (tsr_blocks){.bytes = s->sizes.slot_bytes, .n = o->n_slots};
    s->pages = (tsr_blocks){.bytes = s->sizes.page_bytes, .n = o->n_pages};
    s->slots.data = tsr_arena_array(a, o->n_slots, s->slots.bytes);
    s->pages.data = tsr_arena_array(a, o->n_pages, s->pages.bytes);
    s->last_id = tsr_arena_array(a, o->n_slots, sizeof *s->last_id);
    s->seen = tsr_arena_array(a, o->n_slots, tsr_mul((size_t)tsr_state_seen_words(s), sizeof *s->seen));
    a = &s->lists;
    s->free_slots = tsr_arena_array(a, o->n_slots, sizeof *s->free_slots);
    s->free_pages = tsr_arena_array(a, o->n_pages, sizeof *s->free_pages);
    s->page_users = tsr_arena_array(a, o->n_pages, sizeof *s->page_users);
}

tsr_state_sizes tsr_state_measure(const tsr_lm_config *c, tsr_state_opts o)
{
    tsr_state s = {0};
    set_sizes(&s, c, o);
    lay_out(&s);
    s.sizes.total = s.mem.used;
    return s.sizes;
}

tsr_status tsr_state_open(tsr_state **out, tsr_queue *q, const tsr_lm_config *c, tsr_state_opts o)
{
    if (o.n_slots < 1 || o.n_pages < 0 || o.n_slots > INT32_MAX || o.n_pages > INT32_MAX)
        return tsr_fail(TSR_E_ARG, "a pool of %" PRId64 " slots and %" PRId64 " pages", o.n_slots, o.n_pages);
    tsr_state *s = tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "no memory for a pool of states");
    s->q = q;
    set_sizes(s, c, o);
    lay_out(s);
    s->sizes.total = s->mem.used;
    size_t list_bytes = s->lists.used;
    void *block = NULL, *lists = NULL;
    tsr_status st = tsr_memory_take(&block, q->ops->memory, s->sizes.total);
    s->mem = (tsr_arena){.base = block, .capacity = s->sizes.total};
    if (!st) st = tsr_memory_take(&lists, NULL, list_bytes);
    s->lists = (tsr_arena){.base = lists, .capacity = list_bytes};
    if (st) {
        st = tsr_wrap(st, "%zu bytes of state: %" PRId64 " slots of %zu and %" PRId64 " pages of %zu",
                      s->sizes.total, o.n_slots, s->sizes.slot_bytes, o.n_pages, s->sizes.page_bytes);
        tsr_state_close(s);
        return st;
    }
    lay_out(s);
    assert(tsr_arena_fits(&s->mem) && tsr_arena_fits(&s->lists));

    /* Lowest numbers on top of the stacks. States and pages need no clearing: position 0 reads as zeros. */
    for (int64_t i = 0; i < o.n_slots; i++) s->free_slots[i] = (int32_t)(o.n_slots - 1 - i);
    for (int64_t i = 0; i < o.n_pages; i++) s->free_pages[i] = (int32_t)(o.n_pages - 1 - i);
    s->n_free_slots = o.n_slots;
    s->n_free_pages = o.n_pages;
    *out = s;
    return TSR_OK;
}

void tsr_state_close(tsr_state *s)
{
    if (!s) return;
    tsr_memory_give(s->q->ops->memory, s->mem.base);
    tsr_free(s->lists.base);
    tsr_free(s);
}

tsr_queue *tsr_state_queue(const tsr_state *s)
{
    return s->q;
}

int64_t tsr_state_vocab(const tsr_state *s)
{
    return s->vocab;
}

int64_t tsr_state_free_slots(const tsr_state *s)
{
    return s->n_free_slots;
}

int64_t tsr_state_free_pages(const tsr_state *s)
{
    return s->n_free_pages;
}

tsr_mamba_state tsr_state_mamba(const tsr_state *s, int64_t i)
{
    char *layer = (char *)s->slots.data + (size_t)i * (s->conv_bytes + s->ssm_bytes);
    int64_t stride = (int64_t)s->slots.bytes;
    return (tsr_mamba_state){
        .conv = {.data = layer, .slot_stride = stride, .type = s->opts.conv_type},
        .ssm = {.data = layer + s->conv_bytes, .slot_stride = stride, .type = s->opts.ssm_type}};
}

tsr_pages tsr_state_attention(const tsr_state *s, int64_t i)
{
    char *layer = (char *)s->pages.data + (size_t)i * 2 * s->k_bytes;
    return (tsr_pages){.k = layer,
                       .v = layer + s->k_bytes,
                       .page_stride = (int64_t)s->pages.bytes,
                       .page_tokens = TSR_PAGE_TOKENS,
                       .type = s->opts.kv_type};
}

int32_t *tsr_state_last_id(const tsr_state *s)
{
    return s->last_id;
}

uint32_t *tsr_state_seen(const tsr_state *s)
{
    return s->seen;
}

int64_t tsr_state_seen_words(const tsr_state *s)
{
    return (s->vocab + 31) / 32;
}

/* ---------------------------------------------------------------- sequences ----------------------------- */

/* Without attention layers no token needs a page. */
static int64_t pages_for(const tsr_state *s, int64_t n_tokens)
{
    return s->n_attention ? (n_tokens + TSR_PAGE_TOKENS - 1) / TSR_PAGE_TOKENS : 0;
}

static void release_pages(tsr_seq *seq, int64_t keep)
{
    tsr_state *s = seq->state;
    while (seq->n_pages > keep) {
        int32_t page = seq->pages[--seq->n_pages];
        if (--s->page_users[page] == 0) s->free_pages[s->n_free_pages++] = page;
    }
}

static uint32_t *seen_by(const tsr_state *s, int64_t slot)
{
    return s->seen + slot * tsr_state_seen_words(s);
}

static size_t seen_bytes(const tsr_state *s)
{
    return (size_t)tsr_state_seen_words(s) * sizeof *s->seen;
}

static void forget_ids(tsr_state *s, int64_t slot)
{
    tsr_memory_fill(s->q, s->last_id + slot, 0, sizeof *s->last_id);
    tsr_memory_fill(s->q, seen_by(s, slot), 0, seen_bytes(s));
}

tsr_status tsr_seq_open(tsr_seq *out, tsr_state *s, int64_t max_tokens)
{
    if (max_tokens < 1 || max_tokens > INT32_MAX)
        return tsr_fail(TSR_E_ARG, "a sequence of %" PRId64 " tokens", max_tokens);
    if (!s->n_free_slots)
        return tsr_fail(TSR_E_LIMIT, "all %" PRId64 " sequences are taken", s->opts.n_slots);
    tsr_seq seq = {.state = s, .max_tokens = max_tokens};
    seq.pages = tsr_alloc(tsr_mul((size_t)pages_for(s, max_tokens) + 1, sizeof *seq.pages));
    if (!seq.pages)
        return tsr_fail(TSR_E_NOMEM, "no memory for the page list of %" PRId64 " tokens", max_tokens);
    seq.slot = s->free_slots[--s->n_free_slots];
    forget_ids(s, seq.slot);
    *out = seq;
    return TSR_OK;
}

void tsr_seq_close(tsr_seq *seq)
{
    if (!seq->state) return;
    release_pages(seq, 0);
    seq->state->free_slots[seq->state->n_free_slots++] = (int32_t)seq->slot;
    tsr_free(seq->pages);
    *seq = (tsr_seq){0};
}

void tsr_seq_reset(tsr_seq *seq)
{
    release_pages(seq, 0);
    forget_ids(seq->state, seq->slot);
    seq->pos = 0;
}

tsr_status tsr_seq_reserve(tsr_seq *seq, int64_t n_new)
{
    tsr_state *s = seq->state;
    if (n_new > seq->max_tokens - seq->pos)
        return tsr_fail(TSR_E_CONTEXT,
                        "%" PRId64 " tokens and %" PRId64 " new ones do not fit a context of %" PRId64,
                        seq->pos, n_new, seq->max_tokens);
    int64_t wanted = pages_for(s, seq->pos + n_new) - seq->n_pages;
    if (wanted > s->n_free_pages)
        return tsr_fail(TSR_E_LIMIT,
                        "%" PRId64 " pages of %d tokens wanted, %" PRId64 " of %" PRId64 " are free", wanted,
                        TSR_PAGE_TOKENS, s->n_free_pages, s->opts.n_pages);
    for (; wanted > 0; wanted--) {
        int32_t page = s->free_pages[--s->n_free_pages];
        s->page_users[page] = 1;
        seq->pages[seq->n_pages++] = page;
    }
    return TSR_OK;
}

tsr_status tsr_seq_copy(tsr_seq *to, const tsr_seq *from)
{
    tsr_state *s = to->state;
    assert(s == from->state && to != from);
    tsr_seq_reset(to);
    if (from->pos > to->max_tokens)
        return tsr_fail(TSR_E_CONTEXT, "%" PRId64 " tokens do not fit a context of %" PRId64, from->pos,
                        to->max_tokens);

    int64_t shared = s->n_attention ? from->pos / TSR_PAGE_TOKENS : 0; /* full pages, never written again */
    for (int64_t i = 0; i < shared; i++) {
        s->page_users[from->pages[i]]++;
        to->pages[i] = from->pages[i];
    }
    to->n_pages = shared;
    tsr_status st = tsr_seq_reserve(to, from->pos);
    if (st) {
        release_pages(to, 0);
        return st;
    }
    for (int64_t i = shared; i < to->n_pages; i++)
        tsr_slot_copy(s->q, s->pages, to->pages[i], from->pages[i]);
    if (s->n_mamba) tsr_slot_copy(s->q, s->slots, to->slot, from->slot);
    tsr_memory_copy(s->q, s->last_id + to->slot, s->last_id + from->slot, sizeof *s->last_id);
    tsr_memory_copy(s->q, seen_by(s, to->slot), seen_by(s, from->slot), seen_bytes(s));
    to->pos = from->pos;
    return TSR_OK;
}

tsr_status tsr_seq_spread(tsr_seq *to, const tsr_seq *from, int64_t n_tokens)
{
    tsr_state *s = to->state;
    int64_t n_from = from->n_pages;
    assert(s == from->state && from->pos > 0 && from->pos % TSR_PAGE_TOKENS == 0);
    if (to != from) {
        tsr_seq_reset(to);
        if (s->n_mamba) tsr_slot_copy(s->q, s->slots, to->slot, from->slot);
    }
    tsr_status st = tsr_seq_reserve(to, n_tokens - to->pos);
    for (int64_t i = to == from ? n_from : 0; i < to->n_pages && !st; i++)
        tsr_slot_copy(s->q, s->pages, to->pages[i], from->pages[i % n_from]);
    if (!st) to->pos = n_tokens;
    return st;
}

/* ---------------------------------------------------------------- save and restore ---------------------- */

static size_t token_bytes(const tsr_state *s)
{
    return (size_t)s->head_dim * tsr_dtype_bytes(s->opts.kv_type);
}

size_t tsr_seq_saved_bytes(const tsr_state *s, int64_t pos)
{
    size_t conv = (size_t)s->conv_elements * tsr_dtype_bytes(s->opts.conv_type);
    size_t ssm = (size_t)s->ssm_elements * tsr_dtype_bytes(s->opts.ssm_type);
    size_t kv = s->n_attention ? tsr_mul(product(2 * s->n_attention * s->n_kv, pos, 1), token_bytes(s)) : 0;
    return tsr_add(tsr_mul((size_t)s->n_mamba, conv + ssm), kv);
}

typedef enum direction { TO_FILE, FROM_FILE } direction;

static void move(void *block, void *file, size_t bytes, direction way)
{
    if (way == TO_FILE)
        memcpy(file, block, bytes);
    else
        memcpy(block, file, bytes);
}

/* Between a slot as it lies in host memory and the dense layout; returns what follows in the file. */
static char *move_slot(const tsr_state *s, char *slot, char *file, direction way)
{
    size_t conv = (size_t)s->conv_elements * tsr_dtype_bytes(s->opts.conv_type);
    size_t ssm = (size_t)s->ssm_elements * tsr_dtype_bytes(s->opts.ssm_type);
    for (int64_t i = 0; i < s->n_mamba; i++) {
        move(slot, file, conv, way);
        move(slot + s->conv_bytes, file + conv, ssm, way);
        slot += s->conv_bytes + s->ssm_bytes;
        file += conv + ssm;
    }
    return file;
}

/* The same for page p of a sequence of pos tokens: each head's tokens are one run there, a piece of one in the
 * file. `file` is where the attention layers begin. */
static void move_page(const tsr_state *s, char *page, char *file, int64_t p, int64_t pos, direction way)
{
    int64_t first = p * TSR_PAGE_TOKENS;
    int64_t n = pos - first < TSR_PAGE_TOKENS ? pos - first : TSR_PAGE_TOKENS;
    for (int64_t part = 0; part < 2 * s->n_attention; part++)
        for (int64_t head = 0; head < s->n_kv; head++) {
            size_t in_page = (size_t)part * s->k_bytes + (size_t)(head * TSR_PAGE_TOKENS) * token_bytes(s);
            size_t in_file = (size_t)((part * s->n_kv + head) * pos + first) * token_bytes(s);
            move(page + in_page, file + in_file, (size_t)n * token_bytes(s), way);
        }
}

/* One block of host memory, large enough for a slot or a page. */
static char *bounce(const tsr_state *s)
{
    size_t slot = s->sizes.slot_bytes, page = s->sizes.page_bytes;
    char *block = tsr_calloc(1, (slot > page ? slot : page) + 1);
    if (!block) (void)tsr_fail(TSR_E_NOMEM, "no memory to copy a state");
    return block;
}

tsr_status tsr_seq_save(const tsr_seq *seq, void *to)
{
    const tsr_state *s = seq->state;
    char *block = bounce(s), *file = to;
    tsr_status st = TSR_OK;
    if (!block) return TSR_E_NOMEM;
    if (s->n_mamba && seq->pos) {
        tsr_slot_read(s->q, block, s->slots, seq->slot);
        st = tsr_queue_sync(s->q);
    }
    if (!st) file = move_slot(s, block, file, TO_FILE);
    for (int64_t p = 0; p < pages_for(s, seq->pos) && !st; p++) {
        tsr_slot_read(s->q, block, s->pages, seq->pages[p]);
        st = tsr_queue_sync(s->q);
        if (!st) move_page(s, block, file, p, seq->pos, TO_FILE);
    }
    tsr_free(block);
    return st;
}

tsr_status tsr_seq_restore(tsr_seq *seq, const void *from, size_t bytes, int64_t pos)
{
    tsr_state *s = seq->state;
    tsr_seq_reset(seq);
    if (pos < 0 || pos > seq->max_tokens)
        return tsr_fail(TSR_E_CONTEXT, "%" PRId64 " tokens do not fit a context of %" PRId64, pos,
                        seq->max_tokens);
    if (bytes != tsr_seq_saved_bytes(s, pos))
        return tsr_fail(TSR_E_FORMAT, "a state of %zu bytes, wanted %zu for %" PRId64 " tokens", bytes,
                        tsr_seq_saved_bytes(s, pos), pos);
    tsr_status st = tsr_seq_reserve(seq, pos);
    if (st) return st;

    char *block = bounce(s);
    char *file = (char *)(uintptr_t)from; /* FROM_FILE only reads it */
    if (!block) return TSR_E_NOMEM;
    file = move_slot(s, block, file, FROM_FILE);
    if (s->n_mamba) tsr_slot_write(s->q, s->slots, seq->slot, block);
    st = tsr_queue_sync(s->q);
    for (int64_t p = 0; p < pages_for(s, pos) && !st; p++) {
        move_page(s, block, file, p, pos, FROM_FILE);
        tsr_slot_write(s->q, s->pages, seq->pages[p], block);
        st = tsr_queue_sync(s->q);
    }
    tsr_free(block);
    if (!st) seq->pos = pos;
    return st;
}
