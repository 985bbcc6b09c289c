/* lm/chat_format.h: what a prompt format is made of, and which there are. Private to lm/chat*.c. */
#ifndef TSR_CHAT_FORMAT_H
#define TSR_CHAT_FORMAT_H

#include "lm/chat.h"

enum { MAX_CONTROLS = 3 };

/* How an image stands between the texts. */
typedef enum tsr_framing {
    TSR_FRAME_NONE,     /* it cannot */
    TSR_FRAME_BARE,     /* rows */
    TSR_FRAME_INTERNVL, /* <img> rows </img> */
    TSR_FRAME_NVLM      /* <Image>, tag and rows of each tile, </Image> */
} tsr_framing;

/* How several images of one message are told apart. */
typedef enum tsr_numbering {
    TSR_NUMBER_NONE,     /* image, line end, ... */
    TSR_NUMBER_INTERNVL, /* Image-1: image, line end, ...; from the second image of the dialogue on */
    TSR_NUMBER_NANO      /* all images first: <image 1>image <image 2>image, line end */
} tsr_numbering;

typedef struct tsr_slice {
    const char *text;
    size_t bytes;
} tsr_slice;

typedef struct tsr_chat_writer tsr_chat_writer;

typedef struct tsr_chat_format {
    const char *name;
    const char *controls[MAX_CONTROLS]; /* tokens it is built of, by the names that the writer uses */
    const char *stop;                   /* the token that ends a turn, NULL for none */
    tsr_framing framing;
    tsr_numbering numbering;
    bool thinks;
    bool ends_line; /* a line end stands between an answer and what ends its turn: no part of the answer */
    bool strips;    /* user content loses the white space around it */
    tsr_think start_think; /* of a dialogue without a switch */
    bool removes_switches; /* /think and /no_think in a text are commands */
    tsr_think (*read_switch)(tsr_think before, tsr_slice text,
                             tsr_chat_role role); /* NULL: texts hold no switch */
    void (*system)(tsr_chat_writer *w, tsr_slice text, bool given);
    void (*user)(tsr_chat_writer *w, const tsr_chat_turn *message);
    void (*assistant)(tsr_chat_writer *w, tsr_slice text, bool past); /* past: a user message follows */
    void (*generate)(tsr_chat_writer *w);                             /* make the model answer */
    void (*next)(tsr_chat_writer *w, bool ends_line); /* close an answer that the state ends in */
} tsr_chat_format;

struct tsr_chat {
    const tsr_tokenizer *tokenizer;
    const tsr_chat_format *format;
    int32_t controls[MAX_CONTROLS];
    tsr_framing framing;
    int64_t rows_per_tile;
    char *image_begin, *image_end; /* spellings of <img> and </img> */
};

struct tsr_chat_writer {
    const tsr_chat *chat;
    tsr_think think; /* as asked for from outside */
    tsr_builder b;
    bool line_begun; /* the state ends in a line end already */
};

/* Write a user's content in the chat's format. */
void tsr_chat_content(tsr_chat_writer *w, const tsr_chat_turn *message);

/* The texts of a message in one block, well formed; without switches when `clean` and the format removes
 * them. Freed with tsr_free. */
TSR_CHECKED tsr_status tsr_chat_gather(const tsr_chat *chat, char **text, size_t *bytes,
                                       const tsr_chat_turn *message, bool clean);

/* Without the white space at both ends (what Python's strip removes); text is well formed. */
tsr_slice tsr_chat_strip(tsr_slice text);

/* Where needle first is in text, -1 if nowhere. */
int64_t tsr_chat_search(tsr_slice text, const char *needle);

#define TSR_N_CHAT_FORMATS 6
extern const tsr_chat_format tsr_chat_formats[TSR_N_CHAT_FORMATS];

/* The format for a checkpoint; see tsr_chat_open. */
TSR_CHECKED tsr_status tsr_chat_choose(const tsr_chat_format **out, const tsr_tokenizer *tokenizer,
                                       const tsr_json_value *config, const char *name);

#endif
