/* lm/vocab.h: token ids and their bytes.
 *
 * A byte-level tokenizer writes each byte of a token as one printable character (GPT-2's alphabet). Here
 * tokens are kept as the bytes they stand for, in one block, found through one hash: a vocabulary of 131,072
 * opens in a few allocations. /
 */
#ifndef TSR_VOCAB_H
#define TSR_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "lm/added.h"

#define TSR_MAX_VOCAB (1 << 20)  /* ids, added tokens included */
#define TSR_MAX_TOKEN_BYTES 4096 /* of one token, as the file spells it */

enum {
    TSR_TOKEN_PRESENT = 1, /* the id has a token: vocabularies may have holes */
    TSR_TOKEN_ADDED = 2,   /* listed under added_tokens */
    TSR_TOKEN_SPECIAL = 4, /* ... with special: true */
    TSR_TOKEN_MODEL = 8 /* in the model's vocabulary and spelled in the byte alphabet, so the hash knows it */
};

typedef struct tsr_token {
    uint32_t at, bytes; /* in tsr_vocab.text */
    uint8_t flags;      /* TSR_TOKEN_ bits */
} tsr_token;

typedef struct tsr_vocab {
    char *text;
    tsr_token *tokens; /* [n] */
    int32_t n;         /* largest id + 1 */
    uint64_t *slots;   /* open addressing: upper half of the hash, then id + 1; 0 is empty */
    uint32_t slot_mask;
    int32_t byte_id[256]; /* the token of a single byte, -1 if there is none */
} tsr_vocab;

/* Read model.vocab (an object: token to id) and the added tokens. *out must be zeroed and is closed by the
 * caller even on failure. Errors: TSR_E_FORMAT for an id that is no id, used twice, or at odds with
 * added_tokens; TSR_E_LIMIT; TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_vocab_open(tsr_vocab *out, const tsr_json_value *tokens, const tsr_added *added);
void tsr_vocab_close(tsr_vocab *vocab);

/* The id of a token of the model's vocabulary by its bytes, -1 if there is none. */
int32_t tsr_vocab_find(const tsr_vocab *vocab, const char *bytes, size_t n);

/* Turn byte-alphabet text into the bytes it stands for. Returns their number, or -1 when a character is
 * outside of the alphabet; out needs n bytes. */
int64_t tsr_vocab_bytes(char *out, const char *text, size_t n);

#endif
