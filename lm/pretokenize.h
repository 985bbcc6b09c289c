/* lm/pretokenize.h: cutting text into the pieces that a tokenizer merges within.
 *
 * The family's own pattern runs as a scanner written by hand; any other goes through PCRE2. Both cut the same
 * way: every match is a piece, and so is whatever lies between two matches. /
 */
#ifndef TSR_PRETOKENIZE_H
#define TSR_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

#define TSR_MAX_PATTERN_BYTES 65536

extern const char tsr_pattern_family[]; /* Nemotron-H, Mistral-NeMo, Pixtral: spec/nemotron-h.md 7.3 */
extern const char tsr_pattern_gpt2[];   /* what ByteLevel uses by itself */

typedef struct tsr_splitter tsr_splitter;

/* Compile a pattern of the reference's regular expressions (Oniguruma). `by_hand` false sends even the
 * family's pattern through PCRE2. Errors: TSR_E_FORMAT for a pattern that does not compile, TSR_E_UNSUPPORTED
 * for one that means something else in PCRE2, TSR_E_LIMIT, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_splitter_open(tsr_splitter **out, const char *pattern, bool by_hand);
void tsr_splitter_close(tsr_splitter *splitter);

/* Takes one piece; anything but TSR_OK ends the split. */
typedef tsr_status tsr_split_fn(void *user, const char *piece, size_t bytes);

/* Cut well-formed UTF-8 into pieces, in order; none is empty and together they are the text. Errors: those of
 * `take`; TSR_E_LIMIT when a match needs too many steps; TSR_E_NOMEM. Threads: a splitter may be used by many
 * at once. */
TSR_CHECKED tsr_status tsr_split(const tsr_splitter *splitter, const char *text, size_t bytes,
                                 tsr_split_fn *take, void *user);

#endif
