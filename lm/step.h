/* lm/step.h: from a list of sequences to one ragged step.
 *
 * The arrays of the step are sized once, at open; filling allocates nothing. On a backend with memory of its own
 * they are written in pinned memory and sent in one copy.
 */
#ifndef TSR_LM_STEP_H
#define TSR_LM_STEP_H

#include "kernels/step.h"
#include "lm/state.h"

typedef enum tsr_logits_wanted { TSR_LOGITS_LAST, TSR_LOGITS_ALL, TSR_LOGITS_NONE } tsr_logits_wanted;

/* What one sequence does in a step. */
typedef struct tsr_step_item {
    tsr_seq *seq;
    const int32_t *ids; /* [n_new] tokens, -1-k for image row k, or TSR_ID_LAST (alone, after a sample) */
    int64_t n_new;      /* at least 1 */
    tsr_logits_wanted logits;
    tsr_sampling sampling;
} tsr_step_item;

typedef struct tsr_stepper tsr_stepper;

typedef struct tsr_stepper_limits {
    int64_t max_rows, max_seqs, max_logits, max_context;
} tsr_stepper_limits;

TSR_CHECKED tsr_status tsr_stepper_open(tsr_stepper **out, tsr_state *s, tsr_stepper_limits limits);
void tsr_stepper_close(tsr_stepper *b);

/* Fill the step: decode rows first, pages reserved, ids checked against the vocabulary and the n_image rows at
 * hand. `allow` as in tsr_step, or NULL. The step is valid until the next fill. Errors: TSR_E_ARG for an id
 * out of range or a list past the limits, TSR_E_CONTEXT, TSR_E_LIMIT. Positions do not move. The step before must
 * have been synced. */
TSR_CHECKED tsr_status tsr_stepper_fill(tsr_stepper *b, const tsr_step_item *items, int64_t n_items,
                                        int64_t n_image, const uint32_t *allow);
const tsr_step *tsr_stepper_step(const tsr_stepper *b);

/* After tsr_sample: bring the chosen ids back. They are there, by row of logits, once the queue has been synced. */
void tsr_stepper_fetch(tsr_stepper *b);
int32_t tsr_stepper_id(const tsr_stepper *b, int64_t i);
float tsr_stepper_logprob(const tsr_stepper *b, int64_t i);

/* Where the items ended up: item i's first row of logits (its only one with LAST), -1 for NONE. Index of
 * what tsr_stepper_id and tsr_stepper_logprob return too. */
int64_t tsr_stepper_logits_of(const tsr_stepper *b, int64_t item);

/* After the step has been run and synced: every sequence moves behind its new tokens. */
void tsr_stepper_commit(tsr_stepper *b);

/* The shape of a step for a dry walk: n_seqs sequences of n_new rows that end at context, n_logits rows of
 * logits. No arrays. */
tsr_step tsr_step_shape(int64_t n_seqs, int64_t n_new, int64_t context, int64_t n_logits);

#endif
