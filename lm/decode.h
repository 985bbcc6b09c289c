/* lm/decode.h: one token after another for a few sequences, without the host in between.
 *
 * A decoder keeps the arrays of a decode step where kernels read them: tokens, positions, pages, sampling. A step
 * ends with `advance`, which moves the positions and ends sequences there, so the next one can be queued before the
 * host knows what this one chose. A backend that records runs a step once, records it, and replays it from then on;
 * the arrays are uploaded when the sequences begin and when their pages are used up, about every thousand tokens.
 * On a backend in the host's memory a step runs when it is taken, so that nothing is computed ahead in vain.
 *
 *     begin; push
 *     until enough: push; take        (the step that was pushed runs while the host uses what it took)
 *     end
 *
 * A decoder belongs to the thread of its state's queue.
 */
#ifndef TSR_LM_DECODE_H
#define TSR_LM_DECODE_H

#include "lm/nemotron_h.h"

typedef struct tsr_decoder tsr_decoder;

typedef struct tsr_decoder_limits {
    int64_t max_seqs, max_context, max_stops; /* sequences at once; tokens of one; ids that end one */
} tsr_decoder_limits;

/* Steps that may be pushed and not taken. */
#define TSR_DECODE_AHEAD 8

/* Open a decoder for sequences of `state`, on its queue. lm and state are borrowed. Errors: TSR_E_NOMEM,
 * TSR_E_DEVICE. */
TSR_CHECKED tsr_status tsr_decoder_open(tsr_decoder **out, const tsr_lm *lm, tsr_state *state,
                                        tsr_decoder_limits limits);
void tsr_decoder_close(tsr_decoder *d);

/* Measure: every step that such a decoder may run, on a dry queue. */
void tsr_decoder_walk(const tsr_lm *lm, tsr_queue *q, tsr_decoder_limits limits);

/* What to decode. The arrays are copied; the sequences are the decoder's until its end. */
typedef struct tsr_decoding {
    tsr_seq *const *seqs; /* [n_seqs] each with tokens in its state, the last of which was sampled there */
    const tsr_sampling *sampling; /* [n_seqs] */
    int64_t n_seqs;
    const int32_t *stops; /* [n_stops] a sequence ends when it samples one of them; it does not read it */
    int64_t n_stops;
    const uint32_t *allow; /* as in tsr_step, or NULL */
} tsr_decoding;

/* Errors: TSR_E_ARG past the limits. */
TSR_CHECKED tsr_status tsr_decoder_begin(tsr_decoder *d, const tsr_decoding *what);

/* Queue one step: every sequence that has not ended reads its last token and samples the next. Errors:
 * TSR_E_CONTEXT when one is full, TSR_E_LIMIT when the pages are used up, TSR_E_CANCELLED (q->cancel): the steps
 * before are not lost. TSR_E_DEVICE. */
TSR_CHECKED tsr_status tsr_decoder_push(tsr_decoder *d);

/* Wait for the oldest step that was not taken. ids [n_seqs]: what it sampled, -1 for sequences that had ended;
 * logprobs [n_seqs]. Errors: those of the step; the sequences are then of no use. */
TSR_CHECKED tsr_status tsr_decoder_take(tsr_decoder *d, int32_t *ids, float *logprobs);

/* The end, after each begin, whatever failed since: waits for the steps that were pushed; in the host's memory those
 * not taken have not run, and never will. seq->pos is then what the state has read. ids and logprobs [n_seqs], or
 * NULL: what the last step sampled, if it was not taken; otherwise, and for sequences that had ended, -1 and 0. */
TSR_CHECKED tsr_status tsr_decoder_end(tsr_decoder *d, int32_t *ids, float *logprobs);

/* How the steps were done. */
typedef struct tsr_decoder_info {
    int64_t n_plain, n_recorded, n_replayed; /* steps run op by op; recordings made; replays */
    int64_t n_launches;                      /* kernels of the latest recording */
    double host_seconds;                     /* spent in push */
} tsr_decoder_info;
tsr_decoder_info tsr_decoder_about(const tsr_decoder *d);

#endif
