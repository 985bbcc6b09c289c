/* runtime/engine.h: an engine and its sessions, for the files of runtime/ alone. */
#ifndef TSR_RUNTIME_ENGINE_H
#define TSR_RUNTIME_ENGINE_H

#include "lm/decode.h"
#include "kernels/profile.h"
#include "lm/ids.h"
#include "lm/step.h"
#include "runtime/model.h"
#include "runtime/trace.h"

/* Tiles of one pass through the encoder, of as many pictures as wait: enough for large products, few enough that
 * scratch stays small. On a device the narrowest product (1024 columns) of 52 tiles of 1025 rows fills the 132
 * processors 12.6 times, that of 13 tiles 3.2 times, which takes as long as 4. */
static inline int64_t tsr_vision_batch(const tsr_model *m)
{
    return m->ops.memory ? 52 : 4;
}

typedef struct tsr_sizes {
    int64_t n_ctx, n_sessions, max_rows, max_images;
    tsr_dtype kv_type;
    tsr_dtype ssm_type;
    bool no_spare;
} tsr_sizes;

/* Options with defaults filled in. Errors: TSR_E_ARG. */
TSR_CHECKED tsr_status tsr_engine_sizes(tsr_sizes *out, const tsr_model *m, const tsr_engine_opts *opts);

/* What an engine of these sizes takes: the same walks that run it, dry. */
TSR_CHECKED tsr_status tsr_engine_measure(tsr_plan *out, const tsr_model *m, tsr_sizes sizes);

struct tsr_engine {
    tsr_model *model; /* borrowed */
    tsr_sizes sizes;
    tsr_plan memory;
    tsr_pool *pool;
    tsr_queue *queue;
    tsr_state *state; /* slots for all sessions and one for `spare` */
    tsr_stepper *stepper;
    tsr_decoder *decoder;
    tsr_seq spare;  /* a checkpoint within one call: the state before an answer that a stop string may cut */
    int32_t *chunk; /* [max_rows] ids of the step being filled */
    tsr_tracer *tracer; /* NULL: nobody listens */
    tsr_profile *profile;
    int64_t n_open;      /* sessions */
    tsr_counter counter; /* what tsr_engine_counter returned last */
};

/* A picture that has been said and not yet read. */
typedef struct tsr_waiting_image {
    const tsr_image *image;
    int64_t first_row; /* of the session's image rows */
} tsr_waiting_image;

/* A turn as it was said: texts copied, pictures borrowed until they have been read. */
typedef struct tsr_said {
    tsr_chat_role role;
    tsr_chat_part *parts;
    const tsr_image **images; /* [n_parts] NULL where the part is text */
    int64_t n_parts;
} tsr_said;

/* A token that was sampled and not taken, because the answer was stopped while it was computed. */
typedef struct tsr_untaken {
    int64_t
        at; /* its place in `past`; it goes on from there as long as nothing else has been said; 0: none */
    int32_t id;
    float logprob;
} tsr_untaken;

struct tsr_session {
    tsr_engine *engine;
    tsr_seq seq;
    tsr_ids
        past; /* every token said; seq.pos of them are in the state; -1 - k is image row k of the session */
    int64_t image_rows; /* rows of all images said so far */
    tsr_waiting_image *waiting;
    int64_t n_waiting, waiting_capacity;
    char (*image_hashes)[65]; /* of every image said */
    int64_t n_images, image_capacity;

    tsr_said *turns; /* said and not answered yet; all of them until the first answer */
    int64_t n_turns, turn_capacity;
    tsr_prompt prompt; /* the last rendering; carries what the format remembers from turn to turn */
    bool answered;     /* the state ends in an answer */
    bool ends_line;    /* ... whose text ends in a line end */
    int cancel;        /* written from any thread and from signal handlers: atomically */
    tsr_session_info info;
    tsr_untaken untaken;

    char *text; /* the last answer */
    int64_t text_bytes, text_capacity;
    float *logprobs;
    int64_t logprob_capacity;
};

/* Render the turns that were said into `past`, in the format that thinks or not. */
TSR_CHECKED tsr_status tsr_session_render(tsr_session *s, tsr_think think);

/* The turns have been answered, or will never be. */
void tsr_session_forget_turns(tsr_session *s);

/* Decoding, between a first token that was sampled and a last one: each push reads the token sampled last and
 * samples another, each take brings the next of them. After the end, what the state has read is in seq.pos.
 * Errors: as lm/decode.h. */
TSR_CHECKED tsr_status tsr_session_decode_begin(tsr_session *s, const tsr_sampling *how, bool stops);
TSR_CHECKED tsr_status tsr_session_decode_push(tsr_session *s);
TSR_CHECKED tsr_status tsr_session_decode_take(tsr_session *s, int32_t *id, float *logprob);
TSR_CHECKED tsr_status tsr_session_decode_end(tsr_session *s);

/* Run waiting tokens through the model until `keep` are left (0 or 1). With `sample`, choose a token after the last
 * one by `how`: *id and *logprob. */
TSR_CHECKED tsr_status tsr_session_advance(tsr_session *s, int64_t keep, const tsr_sampling *how, int32_t *id,
                                           float *logprob, tsr_progress_fn *progress, void *user);

static inline int64_t tsr_session_waiting(const tsr_session *s)
{
    return s->past.n - s->seq.pos;
}

double tsr_seconds(void);

/* Fill a sequence with random state as if n_tokens had been read. */
TSR_CHECKED tsr_status tsr_seq_make_up(const tsr_engine *e, tsr_seq *seq, int64_t n_tokens, uint64_t seed);

#endif
