/* apps/answer.h: asking a session and streaming its answer; what caption and ask share. */
#ifndef TSR_ANSWER_H
#define TSR_ANSWER_H

#include <cjson/cJSON.h>

#include "apps/cli.h"

/* Check what generation needs of the flags: TSR_OK, or EXIT_USAGE after a message. */
int answer_check(const options *o);

/* Let the session answer what was said. With `stream` the text goes to stdout as it comes (newlines and tabs
 * kept); otherwise only to *result. Timings and "stopped at -n" go to stderr. */
tsr_status answer(tsr_session *session, const options *o, bool stream, tsr_result *result);

/* {"text", "ids", "logprobs", "stopped", timings} of an answer, for --json. */
cJSON *answer_json(const tsr_session *session, const tsr_result *result);

#endif
