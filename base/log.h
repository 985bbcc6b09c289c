/* base/log.h: notes for the person at the terminal.
 *
 * The library never prints. It hands each line to one listener, which the program installs; without one,
 * notes are dropped.
 */
#ifndef TSR_LOG_H
#define TSR_LOG_H

#include "base/status.h"

typedef enum tsr_log_level { TSR_LOG_WARN, TSR_LOG_INFO, TSR_LOG_DEBUG } tsr_log_level;

typedef void tsr_log_fn(void *user, tsr_log_level level, const char *line);

/* Install the listener, NULL for none. Not to be called while other threads log. The listener may be called
 * from any thread. */
void tsr_log_listen(tsr_log_fn *listener, void *user);

/* One line, without its newline; control characters are shown as \xNN. Lines are cut at 1023 bytes. */
void tsr_log(tsr_log_level level, const char *format, ...) TSR_PRINTF(2, 3);

#endif
