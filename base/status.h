/* base/status.h: how calls fail.
 *
 * The world's mistakes (files, images, requests, memory, devices) come back as a code, with a sentence kept
 * per thread. Our own mistakes are asserts. `include/tessera.h` repeats this enum for programs that see
 * nothing else; tests/unit/status.c holds the two together.
 */
#ifndef TSR_STATUS_H
#define TSR_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#if defined(__GNUC__)
#define TSR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TSR_CHECKED __attribute__((warn_unused_result))
#define TSR_EXPORT __attribute__((visibility("default"))) /* for what include/tessera.h declares too */
#else
#define TSR_PRINTF(fmt, args)
#define TSR_CHECKED
#define TSR_EXPORT
#endif

typedef enum tsr_status {
    TSR_OK = 0,
    TSR_E_ARG,         /* an argument or option out of its range */
    TSR_E_NOMEM,       /* no memory, or more than a limit allows */
    TSR_E_IO,          /* a file cannot be opened, read or written */
    TSR_E_FORMAT,      /* bytes that are not what their format says */
    TSR_E_SHAPE,       /* a tensor or view of the wrong shape or type */
    TSR_E_UNSUPPORTED, /* well formed, but Tessera does not do this */
    TSR_E_LIMIT,       /* a named limit was passed */
    TSR_E_CONTEXT,     /* the prompt and answer do not fit the context */
    TSR_E_CANCELLED,   /* stopped by the caller */
    TSR_E_DEVICE       /* a device is missing, lost or failing */
} tsr_status;

/* Store a message for this thread and return the code. Control characters in it are shown as \xNN, so that
 * names from foreign files reach no terminal unescaped. Never allocates; long messages are cut. */
tsr_status tsr_fail(tsr_status code, const char *format, ...) TSR_PRINTF(2, 3);
tsr_status tsr_fail_v(tsr_status code, const char *format, va_list args);

/* Put the caller's context in front of the stored message: "context: message". Returns the code. */
tsr_status tsr_wrap(tsr_status code, const char *format, ...) TSR_PRINTF(2, 3);

/* The last message of this thread; "" before any failure. Valid until the thread's next failure. */
TSR_EXPORT const char *tsr_message(void);

/* Copy `from` with control characters and DEL written as \xNN, cut to `to_bytes` with its NUL. For names from
 * foreign files on their way to a terminal. */
void tsr_escape(char *to, size_t to_bytes, const char *from);

#endif
