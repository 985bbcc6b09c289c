/* lm/prompt.h: a prompt under construction: text, control tokens and places for images become one row of ids.
 *
 * Text and control tokens come in by different doors: text is tokenised with special tokens off, so nothing
 * that a user writes can become a control token. Neighbouring texts are joined before they are tokenised, as
 * a template would have joined them. /
 */
#ifndef TSR_PROMPT_H
#define TSR_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "lm/ids.h"
#include "lm/tokenizer.h"

typedef enum tsr_segment_kind {
    TSR_SEGMENT_TEXT,  /* text and the control tokens around it */
    TSR_SEGMENT_IMAGE, /* the rows of one tile */
    TSR_SEGMENT_MARKER /* <img>, </img>, a tile tag: belongs to an image, looked up in the table as text is */
} tsr_segment_kind;

typedef struct tsr_segment {
    tsr_segment_kind kind;
    int64_t first, n;    /* positions [first, first + n) of the prompt */
    int64_t image, tile; /* image and marker: which image of this prompt; image: which of its tiles; from 0 */
} tsr_segment;

typedef enum tsr_think { TSR_THINK_AUTO, TSR_THINK_ON, TSR_THINK_OFF } tsr_think;

/* One prompt, or what one more turn appends. Starts zeroed. */
typedef struct tsr_prompt {
    tsr_ids
        ids; /* every position: a token id, or -1 - k for row k of this prompt's image rows, tile by tile */
    tsr_segment *segments;
    int64_t n_segments, segments_capacity;
    int64_t n_rows;   /* image rows in ids */
    int64_t n_images; /* in this prompt */
    bool thinking;    /* it ends inside an open think tag: what is generated first is a thought */

    /* Carried from turn to turn of a dialogue. */
    int64_t n_images_before; /* in the turns before this prompt */
    tsr_think think;         /* what the dialogue has switched to */
} tsr_prompt;

void tsr_prompt_close(tsr_prompt *prompt);

/* A builder keeps its first failure, and does nothing more after it; tsr_build_end reports. */
typedef struct tsr_builder {
    const tsr_tokenizer *tokenizer;
    tsr_prompt *prompt;
    tsr_status status;
    char *text; /* not yet tokenised */
    int64_t n_text, text_capacity;
    size_t total_bytes; /* of all text so far */
} tsr_builder;

/* Forget the prompt's ids and segments and begin anew; what is carried stays. */
void tsr_build_begin(tsr_builder *b, const tsr_tokenizer *tokenizer, tsr_prompt *prompt);

/* Text, from anywhere; ill-formed UTF-8 becomes U+FFFD. Errors: TSR_E_LIMIT above TSR_MAX_TEXT_BYTES in
 * all. */
void tsr_build_text(tsr_builder *b, const char *text, size_t bytes);

/* One token of the vocabulary. */
void tsr_build_control(tsr_builder *b, int32_t id);

/* A tag of the format's own: one id if it is an added token, else text like the text around it. */
void tsr_build_tag(tsr_builder *b, const char *tag);

/* A tag that belongs to an image: one id if it is an added token, else tokenised alone, never merged with its
 * neighbours. */
void tsr_build_marker(tsr_builder *b, const char *tag);

/* The rows of one tile of the image that is being built. */
void tsr_build_rows(tsr_builder *b, int64_t n_rows, int64_t tile);

/* The image's last tile has been built. */
void tsr_build_image_end(tsr_builder *b);

/* Tokenise what is left, free the working memory, return the first failure. */
TSR_CHECKED tsr_status tsr_build_end(tsr_builder *b);

#endif
