/* kernels/profile.h: where the time of a queue goes: every op, by the weights it works with.
 *
 * On a backend with memory of its own an op stands between two marks on the device's clock, which are read when the
 * profile is: nothing waits in between, so that a step runs as it does unwatched but for the marks, about a microsecond
 * an op. In the host's memory ops are timed as they return. A profile serves one queue, on its thread.
 */
#ifndef TSR_PROFILE_H
#define TSR_PROFILE_H

#include "kernels/queue.h"

enum { TSR_PROFILE_NAME = 32 };

typedef struct tsr_profile_line {
    char name[TSR_PROFILE_NAME]; /* "linear lm.in_proj": layers of one kind are one line */
    tsr_op_count count;
} tsr_profile_line;

typedef struct tsr_profile tsr_profile;

/* Begin to listen on q, which must be without a profile. Errors: TSR_E_NOMEM, TSR_E_DEVICE. */
TSR_CHECKED tsr_status tsr_profile_open(tsr_profile **out, tsr_queue *q);
void tsr_profile_close(tsr_profile *p);

void tsr_profile_clear(tsr_profile *p);

/* Line i in the order of first use, after waiting for q; NULL past the end. Valid until the next op. */
const tsr_profile_line *tsr_profile_at(tsr_profile *p, int i);

/* Called by the front doors around each op; `part` is the name of its weights, NULL for none. */
void tsr_profile_begin(tsr_profile *p, tsr_op_id op, const char *part, double flops, double bytes);
void tsr_profile_end(tsr_profile *p);

#endif
