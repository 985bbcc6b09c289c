/* lm/chat.h: prompt formats: from messages to a prompt (spec/nemotron-h.md 8, spec/vision.md 6).
 *
 *   base         no format: text as it is, with <s> if the post-processor says so
 *   h-reasoning  Nemotron-H Reasoning and Instruct
 *   nano-v2      Nemotron Nano v2, and its vision model
 *   nemotron-3   ChatML with think tags
 *   internvl     ChatML with <img> and </img>
 *   nvlm         h-reasoning's layout with <Image>, tile tags and </Image>: the Nemotron-H paper's vision model,
 *                and our own
 */
#ifndef TSR_CHAT_H
#define TSR_CHAT_H

#include "base/json.h"
#include "base/status.h"
#include "lm/prompt.h"
#include "lm/tokenizer.h"

#define TSR_MAX_IMAGE_TILES 99 /* two digits in a tile tag */

typedef enum tsr_chat_role { TSR_CHAT_SYSTEM, TSR_CHAT_USER, TSR_CHAT_ASSISTANT } tsr_chat_role;

/* A text, or an image where n_tiles is not 0. */
typedef struct tsr_chat_part {
    const char *text;
    size_t bytes;
    int64_t n_tiles; /* thumbnail included; only in messages of the user */
} tsr_chat_part;

typedef struct tsr_chat_turn {
    tsr_chat_role role;
    const tsr_chat_part *parts;
    int64_t n_parts;
} tsr_chat_turn;

typedef struct tsr_chat_opts {
    const char *format;    /* a name of the list above, NULL to choose by the checkpoint */
    int64_t rows_per_tile; /* 0: a model without eyes, images are refused */
} tsr_chat_opts;

typedef struct tsr_chat tsr_chat;

/* Choose the format and resolve its tokens. `config` is the checkpoint's config.json or NULL; the choice is
 * made by its `template` and `image_tag_type`, then by what the chat template says, then by the tokens there
 * are, and is logged. The tokenizer must outlive the chat. Errors: TSR_E_ARG for an unknown name;
 * TSR_E_UNSUPPORTED for a chat template that is none of the list, or a token that the format needs and the
 * tokenizer lacks; TSR_E_FORMAT; TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_chat_open(tsr_chat **out, const tsr_tokenizer *tokenizer,
                                     const tsr_json_value *config, tsr_chat_opts opts);
void tsr_chat_close(tsr_chat *chat);

const char *tsr_chat_name(const tsr_chat *chat);

/* Models of this format put a line end behind an answer, before the token that ends the turn. */
bool tsr_chat_ends_line(const tsr_chat *chat);

/* Names of the formats in the order of the list above; NULL past the end. */
const char *tsr_chat_format_name(int i);

/* A whole dialogue. A system message can only be the first. When the last message is the user's, what makes
 * the model answer is appended. think: auto is as the format and the messages' own switches say. Errors:
 * TSR_E_ARG for messages that no dialogue has, or thinking switched on in a format without it;
 * TSR_E_UNSUPPORTED for images in a format without a place for them, TSR_E_LIMIT, TSR_E_NOMEM; the prompt is
 * then of no use. */
TSR_CHECKED tsr_status tsr_chat_render(const tsr_chat *chat, tsr_prompt *prompt,
                                       const tsr_chat_turn *messages, int64_t n, tsr_think think);

/* What to append for the user's next message, when the model's state holds `prompt` and the answer to it
 * without the stop token; `ends_line` says that the answer's text ends in a line end. `prompt` is replaced.
 * Where the format keeps an answer as it was given (no thoughts dropped, no white space stripped) this equals
 * what tsr_chat_render appends, id by id. Errors: as there. */
TSR_CHECKED tsr_status tsr_chat_continue(const tsr_chat *chat, tsr_prompt *prompt,
                                         const tsr_chat_turn *message, bool ends_line, tsr_think think);

/* Add the ids that end an answer: eos_token_id of both configs (either may be NULL) and of the language
 * model's part, tokenizer_config's eos_token, </s>, and the format's own turn token. Each once. Errors:
 * TSR_E_FORMAT for an eos_token_id that is none, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_chat_stop_ids(const tsr_chat *chat, tsr_ids *ids, const tsr_json_value *config,
                                         const tsr_json_value *generation_config);

#endif
