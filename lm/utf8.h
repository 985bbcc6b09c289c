/* lm/utf8.h: reading UTF-8, and repairing what is not.
 *
 * Text from outside may be anything. It is repaired once, on the way in; everything behind that may trust it.
 * Every ill-formed sequence becomes one U+FFFD per maximal subpart (Unicode 15, section 3.9), as Python and
 * Rust do. /
 */
#ifndef TSR_UTF8_H
#define TSR_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define TSR_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum { TSR_UTF8_BAD = 0, TSR_UTF8_CUT = -1 };

/* Length of the sequence at text, 1 to 4; TSR_UTF8_BAD when it is ill-formed, and *skip is then the length of
 * its maximal subpart; TSR_UTF8_CUT when the text ends inside a sequence that is well formed so far, *skip
 * its length. bytes is at least 1. */
int tsr_utf8_check(const char *text, size_t bytes, int *skip);

/* Bytes at the start of text that are complete well-formed sequences. */
size_t tsr_utf8_valid(const char *text, size_t bytes);

/* Write text to out with U+FFFD in place of ill-formed sequences; at most 3 * bytes. Returns the bytes
 * written. */
size_t tsr_utf8_repair(char *out, const char *text, size_t bytes);

/* The code point at *at of well-formed text; *at moves behind it. */
static inline uint32_t tsr_utf8_next(const char *text, size_t *at)
{
    const unsigned char *s = (const unsigned char *)text + *at;
    if (s[0] < 0x80) {
        *at += 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *at += 2;
        return (uint32_t)(s[0] & 0x1F) << 6 | (s[1] & 0x3F);
    }
    if (s[0] < 0xF0) {
        *at += 3;
        return (uint32_t)(s[0] & 0x0F) << 12 | (uint32_t)(s[1] & 0x3F) << 6 | (s[2] & 0x3F);
    }
    *at += 4;
    return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 | (uint32_t)(s[2] & 0x3F) << 6 |
           (s[3] & 0x3F);
}

/* Where the code point that ends at `end` begins; text is well formed, end > 0. */
static inline size_t tsr_utf8_before(const char *text, size_t end)
{
    do end--;
    while (((unsigned char)text[end] & 0xC0) == 0x80);
    return end;
}

#endif
