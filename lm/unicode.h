/* lm/unicode.h: the character classes that pre-tokenizers are made of.
 *
 * The table is that of the reference tokenizer's own regular expressions (tools/unicode_table.py reads it
 * out), so a letter there is a letter here. /
 */
#ifndef TSR_UNICODE_H
#define TSR_UNICODE_H

#include <stdint.h>

enum {
    TSR_UC_UPPER = 1,  /* Lu, Lt, Lm, Lo, M: what may stand in front of a word's lower case part */
    TSR_UC_LOWER = 2,  /* Ll, Lm, Lo, M: what a word may end in */
    TSR_UC_LETTER = 4, /* L */
    TSR_UC_NUMBER = 8, /* N */
    TSR_UC_SPACE = 16, /* White_Space */
    TSR_UC_WORD = 32   /* \w: Alphabetic, M, Nd, Pc, Join_Control */
};

extern const uint16_t tsr_unicode_block[0x110000 / 128];
extern const uint8_t tsr_unicode_flags[];

/* TSR_UC_ bits of a code point up to U+10FFFF. */
static inline unsigned tsr_unicode_class(uint32_t point)
{
    return tsr_unicode_flags[tsr_unicode_block[point / 128] * 128 + point % 128];
}

#endif
