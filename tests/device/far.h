/* tests/device/far.h: a backend whose memory the host cannot touch, on a machine without a device.
 *
 * Its ops are ref's. Its memory lies in pages that are open only while one of its ops or copies runs: whatever the
 * host dereferences faults, and an op that is given host memory fails by name. Copies from pinned memory happen
 * late and copies back arrive with the sync, so that whoever is hasty reads or sends the wrong bytes; new memory is
 * full of NaN. What passes on it keeps a device's rules.
 */
#ifndef TEST_FAR_H
#define TEST_FAR_H

#include "kernels/ops.h"

tsr_ops far_ops(void);

/* Pretend that the device has so many bytes; 0: 4 GiB. */
void far_limit(size_t bytes);

/* A kernel of this op ruins the device the first time it runs, as a sync finds out; NULL: none does. */
void far_fault(const char *op);

/* Blocks that were taken and not given back. */
int64_t far_blocks(void);

#endif
