/* runtime/think.h: telling a model's thinking from its answer.
 *
 * A prompt may end inside an open <think>, or the answer may begin with one; what stands before </think> is
 * thinking, and white space behind it is dropped.
 */
#ifndef TSR_RUNTIME_THINK_H
#define TSR_RUNTIME_THINK_H

#include <stdbool.h>
#include <stddef.h>

typedef enum tsr_think_stage {
    TSR_STAGE_START,
    TSR_STAGE_THINKING,
    TSR_STAGE_GAP,
    TSR_STAGE_ANSWER
} tsr_think_stage;

typedef struct tsr_think_split {
    tsr_think_stage stage;
    char held[16]; /* what may yet become a tag */
    size_t n_held;
} tsr_think_split;

/* Where bytes go: `thinking` or to the answer. False: stop. */
typedef bool tsr_think_fn(void *user, bool thinking, const char *bytes, size_t n);

static inline tsr_think_split tsr_think_begin(bool inside)
{
    return (tsr_think_split){.stage = inside ? TSR_STAGE_THINKING : TSR_STAGE_START};
}

/* Pass on the bytes of one token. False when the receiver said stop. */
bool tsr_think_push(tsr_think_split *t, const char *bytes, size_t n, tsr_think_fn *give, void *user);

/* The end: pass on what was held back. */
bool tsr_think_end(tsr_think_split *t, tsr_think_fn *give, void *user);

#endif
