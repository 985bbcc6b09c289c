/* runtime/trace.h: collecting tapped values until they are whole.
 *
 * A prompt may be read in several steps and its tiles in several batches; a listener wants each value once, with
 * all rows. Rows are gathered by name as f32 and handed over when the reading is done, in the order in which the
 * names first appeared.
 */
#ifndef TSR_RUNTIME_TRACE_H
#define TSR_RUNTIME_TRACE_H

#include "base/status.h"
#include "base/view.h"

#include "include/tessera.h"

typedef struct tsr_tracer tsr_tracer;

TSR_CHECKED tsr_status tsr_tracer_open(tsr_tracer **out, tsr_trace_fn *listener, void *user);
void tsr_tracer_close(tsr_tracer *t);

/* A tsr_tap_fn; `tracer` is a tsr_tracer. Running out of memory is kept until tsr_tracer_flush. */
void tsr_tracer_take(void *tracer, const char *name, tsr_view value);

/* Hand a whole array over now. */
void tsr_tracer_give(tsr_tracer *t, const char *name, const char *type, const int64_t *shape, int n_dims,
                     const void *data);

/* Hand everything gathered over and forget it. Errors: TSR_E_NOMEM, if anything was lost. */
TSR_CHECKED tsr_status tsr_tracer_flush(tsr_tracer *t);

#endif
