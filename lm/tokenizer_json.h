/* lm/tokenizer_json.h: the components of a tokenizer.json around its model: which ones there are, and what
 * they say. */
#ifndef TSR_TOKENIZER_JSON_H
#define TSR_TOKENIZER_JSON_H

#include "base/json.h"
#include "base/status.h"
#include "lm/ids.h"

/* Refuse a normalizer and any decoder but ByteLevel. Errors: TSR_E_UNSUPPORTED, TSR_E_FORMAT. */
TSR_CHECKED tsr_status tsr_tokenizer_json_check(const tsr_json_value *root);

/* The regular expression that cuts text into pieces; the document's string, or a constant. Understands
 * ByteLevel by itself and a Sequence of one Split and ByteLevel. Errors: TSR_E_UNSUPPORTED for anything else,
 * TSR_E_FORMAT. */
TSR_CHECKED tsr_status tsr_tokenizer_json_pattern(const char **pattern, const tsr_json_value *root);

/* The ids that the post-processor puts in front of and behind one text; ByteLevel and null add none. Errors:
 * TSR_E_UNSUPPORTED, TSR_E_FORMAT, TSR_E_LIMIT, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_tokenizer_json_affixes(tsr_ids *prefix, tsr_ids *suffix,
                                                  const tsr_json_value *root);

#endif
