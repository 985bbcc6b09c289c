/* tests/device/record.h: a table of ops that can be kept instead of run, and run later, as a device's graphs are. */
#ifndef TEST_RECORD_H
#define TEST_RECORD_H

#include "kernels/ops.h"

typedef struct recording recording;

/* The ops of a decode step around those of `inner`, which is borrowed. */
tsr_ops record_ops(const tsr_ops *inner);

/* Between the two, one queue's ops are kept. recorded returns NULL when the queue has failed. */
void record_begin(tsr_queue *q);
recording *record_end(tsr_queue *q, int64_t *n_ops);
bool record_on(const tsr_queue *q);

void record_run(tsr_queue *q, const recording *r);
void record_close(recording *r);

#endif
