/* lm/pattern.h: from Oniguruma's regular expressions, which tokenizer files are written in, to PCRE2's. */
#ifndef TSR_PATTERN_H
#define TSR_PATTERN_H

#include "base/status.h"

/* Rewrite a pattern so that PCRE2 (UTF, UCP) matches what Oniguruma would: \s and \S become explicit classes.
 * *out is the caller's, freed with tsr_free. Errors: TSR_E_UNSUPPORTED for what the two read differently (\h,
 * \v, \R, \X, \K, \G and rarer ones, set operations and \S inside a class, inline options other than i, a
 * quantifier after {n,m}), TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_pattern_rewrite(char **out, const char *pattern);

#endif
