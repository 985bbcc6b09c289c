/* lm/state.h: what sequences remember: state slots of fixed size, and pages of keys and values.
 *
 * A pool owns both. A sequence borrows one slot (the conv and SSM state of every Mamba layer) and as many
 * pages as its tokens fill (the keys and values of every attention layer). Full pages are never written again,
 * so forks share them; the page being filled is copied.
 *
 * Slot:  [Mamba layer] conv [conv_width - 1][d_conv], ssm [heads][head_dim][d_state]
 * Page:  [attention layer] k, v, each [kv head][TSR_PAGE_TOKENS][head_dim]
 *
 * A pool belongs to one thread at a time, that of its queue.
 */
#ifndef TSR_STATE_H
#define TSR_STATE_H

#include "kernels/ops.h"
#include "lm/config.h"

/* Tokens of one page. Small enough that forks and short sequences waste little, long enough that one head's
 * keys of a page are a stream (16 KiB in bf16 with head_dim 128). */
#define TSR_PAGE_TOKENS 64

typedef struct tsr_state_opts {
    int64_t n_slots, n_pages;
    tsr_dtype conv_type; /* f32 or bf16: that of the activations */
    tsr_dtype kv_type;   /* f32, bf16 or fp8, whose scales are the layers' own */
    tsr_dtype ssm_type;  /* f32 or f16 */
} tsr_state_opts;

typedef struct tsr_state_sizes {
    size_t slot_bytes; /* one sequence */
    size_t page_bytes; /* TSR_PAGE_TOKENS tokens; 0 without attention layers */
    size_t total;      /* the pool's block for kernels; SIZE_MAX when that overflows */
} tsr_state_sizes;

/* What a pool would take, from the configuration alone. */
tsr_state_sizes tsr_state_measure(const tsr_lm_config *c, tsr_state_opts o);

typedef struct tsr_state tsr_state;

/* Open a pool in the memory of q's backend; q is borrowed for copies. Errors: TSR_E_NOMEM, TSR_E_DEVICE. */
TSR_CHECKED tsr_status tsr_state_open(tsr_state **out, tsr_queue *q, const tsr_lm_config *c,
                                      tsr_state_opts o);
void tsr_state_close(tsr_state *s);

tsr_queue *tsr_state_queue(const tsr_state *s);
int64_t tsr_state_vocab(const tsr_state *s); /* of the model it serves */
int64_t tsr_state_free_slots(const tsr_state *s);
int64_t tsr_state_free_pages(const tsr_state *s);

/* What the layers read: state of the i-th Mamba layer, pages of the i-th attention layer. */
tsr_mamba_state tsr_state_mamba(const tsr_state *s, int64_t i);
tsr_pages tsr_state_attention(const tsr_state *s, int64_t i);

/* What sampling remembers by slot, for tsr_step: the last id, and one bit per id seen. For kernels to read. */
int32_t *tsr_state_last_id(const tsr_state *s);   /* [n_slots] */
uint32_t *tsr_state_seen(const tsr_state *s);     /* [n_slots, seen_words] */
int64_t tsr_state_seen_words(const tsr_state *s); /* (vocab + 31) / 32 */

/* ---------------------------------------------------------------- sequences ----------------------------- */

typedef struct tsr_seq {
    tsr_state *state; /* borrowed; NULL in a closed one */
    int64_t slot;
    int64_t pos; /* tokens in the state */
    int64_t max_tokens;
    int32_t *pages;  /* owned; room for max_tokens */
    int64_t n_pages; /* reserved so far */
} tsr_seq;

/* Borrow a slot for a sequence of at most max_tokens, empty. Errors: TSR_E_LIMIT when all slots are taken,
 * TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_seq_open(tsr_seq *out, tsr_state *s, int64_t max_tokens);
void tsr_seq_close(tsr_seq *seq); /* a zeroed one is a no-op */

/* Forget everything; keeps the slot. */
void tsr_seq_reset(tsr_seq *seq);

/* Make room for n_new tokens behind pos; no allocation. Errors: TSR_E_CONTEXT past max_tokens, TSR_E_LIMIT
 * when the pages are used up; what the sequence held is unchanged. */
TSR_CHECKED tsr_status tsr_seq_reserve(tsr_seq *seq, int64_t n_new);

/* Make `to`, an open sequence of the same pool, a copy of `from`: fork, checkpoint and rewind are all this.
 * Queues copies; from then on neither sees what the other does. On failure (TSR_E_LIMIT, TSR_E_CONTEXT) `to`
 * is empty. Must not run between a step's fill and its sync. */
TSR_CHECKED tsr_status tsr_seq_copy(tsr_seq *to, const tsr_seq *from);

/* Make `to` a sequence of n_tokens out of from's, which it may be itself, without sharing a page: its slot is a copy,
 * its pages are copies of from's again and again. Such sequences read as much memory as strangers would (bench).
 * from->pos is a multiple of TSR_PAGE_TOKENS. Errors: as tsr_seq_copy. */
TSR_CHECKED tsr_status tsr_seq_spread(tsr_seq *to, const tsr_seq *from, int64_t n_tokens);

/* Save and restore one sequence in a layout that depends on the configuration and the three types alone:
 * Mamba layers (conv, ssm), then attention layers: k [kv head][pos][head_dim], v likewise; little-endian,
 * dense. Both sync the queue. tsr_seq_restore needs `bytes` equal to tsr_seq_saved_bytes for that pos. */
size_t tsr_seq_saved_bytes(const tsr_state *s, int64_t pos);
TSR_CHECKED tsr_status tsr_seq_save(const tsr_seq *seq, void *to);
TSR_CHECKED tsr_status tsr_seq_restore(tsr_seq *seq, const void *from, size_t bytes, int64_t pos);

#endif
