/* tests/model/mistakes.h: the reference backend with one op done wrong, as implementations have done it. */
#ifndef TEST_MISTAKES_H
#define TEST_MISTAKES_H

#include "kernels/ops.h"

/* The table for a mistake by its name in golden.json; false when it is not known. `*dt_min` is set where the
 * mistake is one of configuration. */
bool mistaken_ops(tsr_ops *out, float *dt_min, const char *name);

#endif
