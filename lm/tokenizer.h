/* lm/tokenizer.h: text to token ids and back, from a Hugging Face tokenizer.json.
 *
 * Byte-level BPE as spec/nemotron-h.md section 7 describes it; every component it does not name is refused by
 * name. A tokenizer is read-only after opening and may be used by many threads at once. /
 */
#ifndef TSR_TOKENIZER_H
#define TSR_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"
#include "lm/ids.h"

#define TSR_MAX_TOKENIZER_BYTES ((size_t)128 << 20) /* of tokenizer.json */
#define TSR_MAX_TEMPLATE_BYTES ((size_t)1 << 20)    /* of a chat template */
#define TSR_MAX_TEXT_BYTES                                                                                   \
    ((size_t)8 << 20) /* of one text to encode; working memory is up to 50 times that */

typedef struct tsr_tokenizer tsr_tokenizer;

/* Open a checkpoint's folder, or a tokenizer.json by its own path. tokenizer_config.json and
 * chat_template.jinja beside it are read when they are there. Errors: TSR_E_IO, TSR_E_FORMAT, TSR_E_LIMIT,
 * TSR_E_NOMEM; TSR_E_UNSUPPORTED names the component found. */
TSR_CHECKED tsr_status tsr_tokenizer_open(tsr_tokenizer **out, const char *path);

/* The same from parsed documents, which may go afterwards; config and template may be NULL. A template inside
 * the config gives way to `template`. */
TSR_CHECKED tsr_status tsr_tokenizer_parse(tsr_tokenizer **out, const tsr_json_value *tokenizer,
                                           const tsr_json_value *config, const char *template);
void tsr_tokenizer_close(tsr_tokenizer *tokenizer);

typedef struct tsr_encode_opts {
    bool add_special; /* what the post-processor adds: <s> in front, for the first two generations */
    bool
        parse_special; /* added tokens spelled out in the text become their ids; never for text from a user */
} tsr_encode_opts;

/* Append the ids of a text. Ill-formed UTF-8 is U+FFFD, one for each maximal subpart. On failure ids is as it
 * was. Errors: TSR_E_LIMIT for a text above TSR_MAX_TEXT_BYTES, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_tokenizer_encode(const tsr_tokenizer *t, tsr_ids *ids, const char *text,
                                            size_t bytes, tsr_encode_opts opts);

/* The bytes that a token stands for: not NUL-terminated, perhaps part of a character, the tokenizer's. An id
 * without a token, or outside of the vocabulary, is *bytes = 0. Allocates nothing. */
const char *tsr_tokenizer_piece(const tsr_tokenizer *t, int32_t id, size_t *bytes);

/* The text of n ids: well-formed UTF-8 with a NUL behind it, freed with tsr_free. Errors: TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_tokenizer_decode(const tsr_tokenizer *t, char **text, size_t *bytes,
                                            const int32_t *ids, int64_t n, bool skip_special);

/* The id of an added token by its content, else of a token by its bytes; -1 if there is none. */
int32_t tsr_tokenizer_find(const tsr_tokenizer *t, const char *text);

/* As tsr_tokenizer_find, for added tokens alone: those that a prompt format may use as one id. */
int32_t tsr_tokenizer_find_added(const tsr_tokenizer *t, const char *text);

int32_t tsr_tokenizer_vocab(const tsr_tokenizer *t);            /* largest id + 1 */
bool tsr_tokenizer_special(const tsr_tokenizer *t, int32_t id); /* dropped by skip_special */
int32_t tsr_tokenizer_bos(const tsr_tokenizer *t); /* of tokenizer_config.json; -1 if it names none */
int32_t tsr_tokenizer_eos(const tsr_tokenizer *t);
const tsr_ids *tsr_tokenizer_prefix(const tsr_tokenizer *t);     /* what add_special puts in front */
const char *tsr_tokenizer_chat_template(const tsr_tokenizer *t); /* Jinja text, NULL if there is none */

#endif
