/* base/status.c: the message of the last failure, one per thread. */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

void tsr_escape(char *to, size_t to_bytes, const char *from)
{
    size_t used = 0;
    for (; *from && used + 5 < to_bytes; from++) {
        unsigned char c = (unsigned char)*from;
        if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(to + used, to_bytes - used, "\\x%02x", c);
        else
            to[used++] = (char)c;
    }
    to[used] = '\0';
}

tsr_status tsr_fail_v(tsr_status code, const char *format, va_list args)
{
    char raw[MESSAGE_BYTES];
    vsnprintf(raw, sizeof raw, format, args);
    tsr_escape(message, sizeof message, raw);
    return code;
}

tsr_status tsr_fail(tsr_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tsr_fail_v(code, format, args);
    va_end(args);
    return code;
}

tsr_status tsr_wrap(tsr_status code, const char *format, ...)
{
    char context[MESSAGE_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);

    char inner[MESSAGE_BYTES];
    memcpy(inner, message, sizeof inner);
    return tsr_fail(code, "%s: %s", context, inner);
}

const char *tsr_message(void)
{
    return message;
}
