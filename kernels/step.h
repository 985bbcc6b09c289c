/* kernels/step.h: one ragged step: several sequences, each with one new row or many, packed in one matrix.
 *
 * Prefill, chunked prefill, decode and any mixture are the same step. Sequences with one new row that follow
 * an earlier one ("decode rows") come first: sequence i < n_decode is row i. The plain integers are the host's
 * and choose kernels; the arrays are read by kernels where they lie.
 *
 * Slots hold the fixed-size state of a sequence, pages its growing keys and values. Slot -1 and page -1 mean
 * nobody: read as zeros, never written. A sequence at position 0 has zero state whatever memory holds, so new
 * sequences need no clearing.
 */
#ifndef TSR_STEP_H
#define TSR_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"

/* Rows start[i] .. start[i+1]-1 belong to span i. */
typedef struct tsr_spans {
    const int32_t *start; /* [n + 1], from 0, ascending */
    int64_t n;
    int64_t max_rows; /* of the longest span */
} tsr_spans;

/* How one sequence's next token is chosen. temp 0 is greedy; the others then do nothing but the penalty. */
typedef struct tsr_sampling {
    float temp;           /* >= 0 */
    float top_p;          /* (0, 1]; 1: off */
    float min_p;          /* [0, 1); 0: off */
    float repeat_penalty; /* > 0; 1: off; over all tokens seen by the slot */
    int32_t top_k;        /* 0: off */
    uint64_t seed;        /* the draw is keyed by (seed, position): the same text in any batch */
} tsr_sampling;

/* ids of a row: >= 0 a token, -1-k image row k, TSR_ID_LAST the slot's last sampled token. */
#define TSR_ID_LAST INT32_MIN

typedef struct tsr_step {
    int64_t n_rows, n_seqs;
    int64_t n_decode;  /* leading sequences that are one row each */
    int64_t n_logits;  /* rows whose logits are wanted */
    int64_t max_new;   /* rows of the longest sequence of this step */
    int64_t max_ctx;   /* pos + new rows of the longest */
    int64_t max_pages; /* columns of `pages` */
    bool greedy;       /* no sampling record has a temperature; false: some may have */

    tsr_spans spans;          /* one span per sequence */
    const int32_t *pos;       /* [n_seqs] tokens already in the state */
    const int32_t *slot;      /* [n_seqs] */
    const int32_t *pages;     /* [n_seqs, max_pages] page p holds positions p * page_tokens ... */
    const int32_t *ids;       /* [n_rows] */
    const int32_t *logit_row; /* [n_logits] ascending */
    const int32_t *logit_seq; /* [n_logits] the sequence each belongs to */

    const tsr_sampling *sampling; /* [n_seqs] */
    const uint32_t *allow;        /* bits of the ids that may be sampled, for all sequences; NULL: all */
    int32_t *last_id;             /* [n_slots] the last token sampled for each slot */
    uint32_t *seen;               /* [n_slots, seen_words] bits of the tokens each slot has read */
    int64_t seen_words;           /* (vocabulary + 31) / 32 */
    int32_t *out_ids;             /* [n_logits] */
    float *out_logprobs;          /* [n_logits] log of the chosen id's share before temperature and cuts */
} tsr_step;

#endif
