/* tests/device/wrap.h: a table of ops around another one, that sees every call and every address.
 *
 * What stands between the front doors and the kernels of a device, in tests: `place` is asked for each address
 * that a kernel could follow, and returns the one it is to follow.
 */
#ifndef TEST_WRAP_H
#define TEST_WRAP_H

#include "kernels/ops.h"

/* What `place` is told of addresses that may be the host's, if pinned. */
#define WRAP_PINNED "pinned"

typedef struct wrap_hooks {
    void (*enter)(tsr_queue *q, const char *op);
    void (*leave)(tsr_queue *q, const char *op);
    void *(*place)(tsr_queue *q, const char *op, const char *what, const void *address); /* never NULL */
    void *(*unplace)(const void *address); /* from a weight that was packed; NULL: as it is */
} wrap_hooks;

/* One wrapped table for each user of this file; `inner` and `hooks` are borrowed. Slots that inner leaves empty are
 * empty in the result. */
enum { WRAP_MARSHAL, WRAP_FAR, WRAP_TABLES };
tsr_ops wrap_ops(int which, const tsr_ops *inner, const wrap_hooks *hooks);

#endif
