/* lm/bpe.c: byte pair merging, in the reference's order.
 *
 * The pair with the lowest rank goes first, the leftmost of equals. A merge changes its neighbours' pairs, so
 * the heap may hold pairs that are gone: one is passed by when what stands at its place no longer gives the
 * same token. /
 */
#include "lm/bpe.h"

#include <string.h>

#include "base/alloc.h"
#include "lm/field.h"

struct tsr_bpe_symbol {
    int32_t id;             /* -1 when merged into an earlier one */
    int32_t previous, next; /* -1 at the ends */
};

struct tsr_bpe_candidate {
    uint32_t rank;
    int32_t at; /* its left symbol */
    int32_t id; /* what it becomes */
};

typedef struct tsr_bpe_symbol symbol;
typedef struct tsr_bpe_candidate candidate;

/* ---- opening ---- */

/* Where a pair is, or the empty slot where it belongs. */
static uint32_t slot_of(const tsr_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9FB21C651E98DF25u;
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
    uint32_t at = (uint32_t)(h >> 32) & bpe->mask;
    while (bpe->merges[at].left >= 0 && (bpe->merges[at].left != left || bpe->merges[at].right != right))
        at = (at + 1) & bpe->mask;
    return at;
}

/* The two halves of a merge as the file spells them; a string is cut at its only space. */
static tsr_status read_pair(const char *half[2], size_t bytes[2], const tsr_json_value *entry)
{
    if (tsr_json_kind_of(entry) == TSR_JSON_STRING) {
        const char *text = tsr_json_string(entry), *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' '))
            return tsr_fail(TSR_E_FORMAT, "'%.64s' is not two tokens with a space between them", text);
        half[0] = text;
        half[1] = space + 1;
        bytes[0] = (size_t)(space - text);
        bytes[1] = strlen(space + 1);
        return TSR_OK;
    }
    if (tsr_json_kind_of(entry) != TSR_JSON_ARRAY)
        return tsr_fail(TSR_E_FORMAT, "%s where a string or an array of two was wanted",
                        tsr_json_kind_name(tsr_json_kind_of(entry)));
    const tsr_json_value *part = tsr_json_first(entry);
    for (int i = 0; i < 2; i++, part = tsr_json_next(part)) {
        if (!part || tsr_json_kind_of(part) != TSR_JSON_STRING)
            return tsr_fail(TSR_E_FORMAT, "not two strings");
        half[i] = tsr_json_string(part);
        bytes[i] = strlen(half[i]);
    }
    return part ? tsr_fail(TSR_E_FORMAT, "more than two strings") : TSR_OK;
}

/* How much of a token a message shows. */
static int shown(size_t bytes)
{
    return bytes < 64 ? (int)bytes : 64;
}

static tsr_status read_merge(tsr_merge *merge, const tsr_vocab *vocab, const tsr_json_value *entry)
{
    const char *half[2];
    size_t bytes[2];
    tsr_status st = read_pair(half, bytes, entry);
    if (st) return st;

    char text[2 * TSR_MAX_TOKEN_BYTES];
    int32_t id[2];
    int64_t used = 0;
    for (int i = 0; i < 2; i++) {
        if (bytes[i] > TSR_MAX_TOKEN_BYTES)
            return tsr_fail(TSR_E_LIMIT, "half %d has %zu bytes, the limit is %d", i + 1, bytes[i],
                            TSR_MAX_TOKEN_BYTES);
        int64_t n = tsr_vocab_bytes(text + used, half[i], bytes[i]);
        id[i] = n > 0 ? tsr_vocab_find(vocab, text + used, (size_t)n) : -1;
        if (id[i] < 0)
            return tsr_fail(TSR_E_FORMAT, "'%.*s' is not in the vocabulary",
                            bytes[i] > 64 ? 64 : (int)bytes[i], half[i]);
        used += n;
    }
    merge->left = id[0];
    merge->right = id[1];
    merge->id = tsr_vocab_find(vocab, text, (size_t)used);
    if (merge->id < 0)
        return tsr_fail(TSR_E_FORMAT, "'%.*s' and '%.*s' merge into nothing that is in the vocabulary",
                        shown(bytes[0]), half[0], shown(bytes[1]), half[1]);
    return TSR_OK;
}

static tsr_status read_merges(tsr_bpe *bpe, const tsr_json_value *array)
{
    int64_t count = tsr_json_count(array);
    if (count > TSR_MAX_MERGES)
        return tsr_fail(TSR_E_LIMIT, "merges has %lld entries, the limit is %d", (long long)count,
                        TSR_MAX_MERGES);
    uint32_t n_slots = 1024;
    while (n_slots < 2 * count) n_slots *= 2;
    bpe->merges = tsr_alloc(n_slots * sizeof *bpe->merges);
    if (!bpe->merges) return tsr_fail(TSR_E_NOMEM, "no memory for %lld merges", (long long)count);
    bpe->mask = n_slots - 1;
    for (uint32_t i = 0; i < n_slots; i++) bpe->merges[i].left = -1;

    uint32_t rank = 0;
    for (const tsr_json_value *entry = tsr_json_first(array); entry; entry = tsr_json_next(entry), rank++) {
        tsr_merge merge = {.rank = rank};
        tsr_status st = read_merge(&merge, bpe->vocab, entry);
        if (st) return tsr_wrap(st, "merges[%u]", (unsigned)rank);
        /* Text must not merge into a control token, whatever the file says. */
        if (bpe->vocab->tokens[merge.id].flags & TSR_TOKEN_SPECIAL) continue;
        bpe->merges[slot_of(bpe, merge.left, merge.right)] = merge; /* listed twice: the last one counts */
    }
    return TSR_OK;
}

/* Parts of the format that this family does not use: absent, or with a value that means nothing. */
static tsr_status refuse_others(const tsr_json_value *model)
{
    bool fallback = false;
    tsr_status st = tsr_field_bool(&fallback, model, "byte_fallback");
    if (st) return st;
    if (fallback)
        return tsr_fail(TSR_E_UNSUPPORTED,
                        "byte_fallback is true; only byte-level vocabularies are supported");
    const tsr_json_value *dropout = NULL;
    st = tsr_field(&dropout, model, "dropout", TSR_JSON_NUMBER);
    if (st) return st;
    if (dropout && tsr_json_number(dropout) != 0)
        return tsr_fail(TSR_E_UNSUPPORTED, "dropout is %g; it must be absent", tsr_json_number(dropout));
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        const char *affix = NULL;
        st = tsr_field_string(&affix, model, affixes[i]);
        if (st) return st;
        if (affix && *affix)
            return tsr_fail(TSR_E_UNSUPPORTED, "%s is '%.64s'; it must be absent", affixes[i], affix);
    }
    return TSR_OK;
}

tsr_status tsr_bpe_open(tsr_bpe *bpe, const tsr_vocab *vocab, const tsr_json_value *model)
{
    bpe->vocab = vocab;
    bpe->unk = -1;
    const char *type = NULL, *unk = NULL;
    const tsr_json_value *merges = NULL;
    tsr_status st = tsr_field_type(&type, model, "model");
    if (st) return st;
    if (strcmp(type, "BPE") != 0)
        return tsr_fail(TSR_E_UNSUPPORTED, "a model of type '%.64s' is not supported; wanted BPE", type);
    st = refuse_others(model);
    if (!st) st = tsr_field_bool(&bpe->fuse_unk, model, "fuse_unk");
    if (!st) st = tsr_field_bool(&bpe->ignore_merges, model, "ignore_merges");
    if (!st) st = tsr_field_string(&unk, model, "unk_token");
    if (!st) st = tsr_field_needed(&merges, model, "merges", TSR_JSON_ARRAY);
    if (!st) st = read_merges(bpe, merges);
    if (st) return tsr_wrap(st, "model");

    if (unk) {
        char bytes[TSR_MAX_TOKEN_BYTES];
        size_t length = strlen(unk);
        int64_t n = length <= sizeof bytes ? tsr_vocab_bytes(bytes, unk, length) : -1;
        bpe->unk = n > 0 ? tsr_vocab_find(vocab, bytes, (size_t)n) : -1;
        if (bpe->unk < 0)
            return tsr_fail(TSR_E_FORMAT, "model: unk_token '%.64s' is not in the vocabulary", unk);
    }
    return TSR_OK;
}

void tsr_bpe_close(tsr_bpe *bpe)
{
    tsr_free(bpe->merges);
    *bpe = (tsr_bpe){0};
}

/* ---- encoding ---- */

static tsr_status grow(void **items, int64_t *capacity, int64_t needed, size_t each)
{
    if (tsr_grow(items, capacity, needed, each)) return TSR_OK;
    return tsr_fail(TSR_E_NOMEM, "no memory to tokenize a word of %lld bytes", (long long)needed);
}

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(candidate *heap, int64_t n, candidate new)
{
    int64_t i = n;
    for (; i > 0 && before(&new, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = new;
}

static candidate heap_pop(candidate *heap, int64_t n)
{
    candidate top = heap[0], last = heap[n - 1];
    int64_t i = 0;
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n - 1) break;
        if (child + 1 < n - 1 && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &last)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* Queue the pair that begins at `at`, if it merges. */
static void consider(const tsr_bpe *bpe, const symbol *symbols, candidate *heap, int64_t *n_heap, int32_t at)
{
    if (at < 0 || symbols[at].next < 0) return;
    const tsr_merge *m = &bpe->merges[slot_of(bpe, symbols[at].id, symbols[symbols[at].next].id)];
    if (m->left < 0) return;
    heap_push(heap, *n_heap, (candidate){m->rank, at, m->id});
    (*n_heap)++;
}

/* One symbol per byte; bytes without a token are unk, or nothing. */
static int64_t spell(const tsr_bpe *bpe, symbol *symbols, const char *piece, size_t bytes)
{
    int64_t n = 0;
    bool after_unk = false;
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = bpe->vocab->byte_id[(unsigned char)piece[i]];
        bool unknown = id < 0;
        if (unknown) id = bpe->fuse_unk && after_unk ? -1 : bpe->unk;
        after_unk = unknown;
        if (id < 0) continue;
        symbols[n] = (symbol){id, (int32_t)n - 1, (int32_t)n + 1};
        n++;
    }
    if (n > 0) symbols[n - 1].next = -1;
    return n;
}

static void merge_all(const tsr_bpe *bpe, symbol *symbols, candidate *heap, int64_t n)
{
    int64_t n_heap = 0;
    for (int64_t i = 0; i < n; i++) consider(bpe, symbols, heap, &n_heap, (int32_t)i);
    while (n_heap > 0) {
        candidate c = heap_pop(heap, n_heap--);
        symbol *left = &symbols[c.at];
        if (left->id < 0 || left->next < 0) continue;
        symbol *right = &symbols[left->next];
        const tsr_merge *now = &bpe->merges[slot_of(bpe, left->id, right->id)];
        if (now->left < 0 || now->id != c.id) continue;

        left->id = c.id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) symbols[left->next].previous = c.at;
        consider(bpe, symbols, heap, &n_heap, left->previous);
        consider(bpe, symbols, heap, &n_heap, c.at);
    }
}

tsr_status tsr_bpe_encode(const tsr_bpe *bpe, tsr_bpe_scratch *scratch, tsr_ids *ids, const char *piece,
                          size_t bytes)
{
    const tsr_vocab *vocab = bpe->vocab;
    if (bpe->ignore_merges) {
        int32_t whole = tsr_vocab_find(vocab, piece, bytes);
        if (whole >= 0 && (bytes == 1 || !(vocab->tokens[whole].flags & TSR_TOKEN_SPECIAL)))
            return tsr_ids_push(ids, whole);
    }
    void *symbols = scratch->symbols, *heap = scratch->heap;
    tsr_status st = grow(&symbols, &scratch->symbols_capacity, (int64_t)bytes, sizeof(symbol));
    scratch->symbols = symbols;
    if (st) return st;
    /* A pair for each byte at first, and two more for each merge, of which there are fewer than bytes. */
    st = grow(&heap, &scratch->heap_capacity, 3 * (int64_t)bytes, sizeof(candidate));
    scratch->heap = heap;
    if (st) return st;

    int64_t n = spell(bpe, scratch->symbols, piece, bytes);
    merge_all(bpe, scratch->symbols, scratch->heap, n);
    for (int32_t i = n > 0 ? 0 : -1; i >= 0 && !st; i = scratch->symbols[i].next)
        st = tsr_ids_push(ids, scratch->symbols[i].id);
    return st;
}

void tsr_bpe_scratch_close(tsr_bpe_scratch *scratch)
{
    tsr_free(scratch->symbols);
    tsr_free(scratch->heap);
    *scratch = (tsr_bpe_scratch){0};
}
