/* lm/utf8.c: UTF-8, checked by the table of well-formed sequences. */
#include "lm/utf8.h"

#include <string.h>

/* Unicode 15, table 3-7: a lead byte fixes the length and the range of the second byte; the rest are
 * 80..BF. */
static int lead(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return 2;
    if (first < 0xF0) {
        if (first == 0xE0) *low = 0xA0;
        if (first == 0xED) *high = 0x9F;
        return 3;
    }
    if (first > 0xF4) return 0;
    if (first == 0xF0) *low = 0x90;
    if (first == 0xF4) *high = 0x8F;
    return 4;
}

int tsr_utf8_check(const char *text, size_t bytes, int *skip)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low, high;
    int length = lead(s[0], &low, &high);
    for (int i = 1; i < length; i++) {
        *skip = i;
        if ((size_t)i == bytes) return TSR_UTF8_CUT;
        if (s[i] < low || s[i] > high) return TSR_UTF8_BAD;
        low = 0x80;
        high = 0xBF;
    }
    if (length == 0) *skip = 1;
    return length;
}

size_t tsr_utf8_valid(const char *text, size_t bytes)
{
    size_t at = 0;
    int skip;
    while (at < bytes) {
        while (bytes - at >= 8) { /* most text is ASCII */
            uint64_t word;
            memcpy(&word, text + at, 8);
            if (word & 0x8080808080808080u) break;
            at += 8;
        }
        if (at == bytes) break;
        int length = tsr_utf8_check(text + at, bytes - at, &skip);
        if (length <= 0) break;
        at += (size_t)length;
    }
    return at;
}

size_t tsr_utf8_repair(char *out, const char *text, size_t bytes)
{
    size_t written = 0;
    for (size_t at = 0; at < bytes;) {
        size_t valid = tsr_utf8_valid(text + at, bytes - at);
        memcpy(out + written, text + at, valid);
        written += valid;
        at += valid;
        if (at == bytes) break;
        int skip;
        tsr_utf8_check(text + at, bytes - at, &skip);
        memcpy(out + written, TSR_REPLACEMENT, 3);
        written += 3;
        at += (size_t)skip;
    }
    return written;
}
