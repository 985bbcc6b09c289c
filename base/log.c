/* base/log.c: one listener, lines without control characters. */
#include "base/log.h"

#include <stdio.h>

static tsr_log_fn *listener;
static void *listener_user;

void tsr_log_listen(tsr_log_fn *fn, void *user)
{
    listener = fn;
    listener_user = user;
}

void tsr_log(tsr_log_level level, const char *format, ...)
{
    if (!listener) return;
    char raw[1024], line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    tsr_escape(line, sizeof line, raw);
    listener(listener_user, level, line);
}
