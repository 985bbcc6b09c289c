/* lm/bpe.h: byte pair merging of one piece of text. */
#ifndef TSR_BPE_H
#define TSR_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "lm/ids.h"
#include "lm/vocab.h"

#define TSR_MAX_MERGES (1 << 22)

/* Two neighbours that become one token, the lower rank first. */
typedef struct tsr_merge {
    int32_t left, right; /* left is -1 in an empty slot */
    uint32_t rank;
    int32_t id;
} tsr_merge;

typedef struct tsr_bpe {
    const tsr_vocab *vocab; /* the caller's */
    tsr_merge *merges;      /* open addressing by (left, right) */
    uint32_t mask;
    int32_t unk;        /* for a byte without a token, -1: such bytes are dropped */
    bool fuse_unk;      /* a run of them is one unk */
    bool ignore_merges; /* a piece that is a token needs no merging */
} tsr_bpe;

/* Read the "model" object of a tokenizer.json. *out must be zeroed and is closed by the caller even on
 * failure. Merges may be spelled "a b" or ["a", "b"]. Errors: TSR_E_UNSUPPORTED for another model type,
 * byte_fallback, dropout, prefixes or suffixes; TSR_E_FORMAT for a merge of or into what the vocabulary
 * lacks; TSR_E_LIMIT; TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_bpe_open(tsr_bpe *out, const tsr_vocab *vocab, const tsr_json_value *model);
void tsr_bpe_close(tsr_bpe *bpe);

/* Working memory of the merging, grown as needed and kept from piece to piece. Starts zeroed. */
typedef struct tsr_bpe_scratch {
    struct tsr_bpe_symbol *symbols;
    struct tsr_bpe_candidate *heap;
    int64_t symbols_capacity, heap_capacity;
} tsr_bpe_scratch;

void tsr_bpe_scratch_close(tsr_bpe_scratch *scratch);

/* Append the ids of one piece. A piece never becomes a token that added_tokens calls special, unless that is
 * one byte. Errors: TSR_E_NOMEM. Source: tokenizers, models/bpe/word.rs, merge_all. */
TSR_CHECKED tsr_status tsr_bpe_encode(const tsr_bpe *bpe, tsr_bpe_scratch *scratch, tsr_ids *ids,
                                      const char *piece, size_t bytes);

#endif
