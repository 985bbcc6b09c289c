/* preprocess/exif.c: one tag out of a directory that may lie about everything. */
#include "preprocess/exif.h"

#include <stdbool.h>
#include <string.h>

enum { ORIENTATION = 0x0112, ENTRY_BYTES = 12 };

typedef struct tiff {
    const uint8_t *data;
    size_t bytes;
    bool big_endian;
} tiff;

static uint32_t number(const tiff *t, size_t at, int n)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++) value = value << 8 | t->data[at + (size_t)(t->big_endian ? i : n - 1 - i)];
    return value;
}

static bool inside(const tiff *t, size_t at, size_t bytes)
{
    return at <= t->bytes && bytes <= t->bytes - at;
}

/* Bytes of one value of a TIFF type; 0 for a type that does not exist. */
static size_t type_bytes(uint32_t type)
{
    static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
    return type < sizeof sizes ? sizes[type] : 0;
}

static int in_range(uint32_t value)
{
    return value >= 1 && value <= 8 ? (int)value : 1;
}

/* The value of the orientation entry at `at`, 0 when the reference would skip the entry. */
static int entry_value(const tiff *t, size_t at)
{
    enum { SHORT = 3, LONG = 4, SSHORT = 8, SLONG = 9 };
    uint32_t type = number(t, at + 2, 2), count = number(t, at + 4, 4);
    uint64_t bytes = (uint64_t)count * type_bytes(type);
    if (!bytes) return 0;
    size_t value = bytes > 4 ? number(t, at + 8, 4) : at + 8;
    if (bytes > SIZE_MAX || !inside(t, value, (size_t)bytes)) return 0;
    if (type == SHORT || type == SSHORT) return in_range(number(t, value, 2));
    if (type == LONG || type == SLONG) return in_range(number(t, value, 4));
    return 1; /* there, but no integer */
}

int tsr_exif_orientation(const uint8_t *exif, size_t bytes)
{
    for (int i = 0; i < 2 && bytes >= 6 && !memcmp(exif, "Exif\0\0", 6); i++) {
        exif += 6;
        bytes -= 6;
    }
    tiff t = {exif, bytes, false};
    if (bytes < 8) return 0;
    if (!memcmp(exif, "MM\0*", 4))
        t.big_endian = true;
    else if (memcmp(exif, "II*\0", 4))
        return 0;

    size_t at = number(&t, 4, 4);
    if (!inside(&t, at, 2)) return 0;
    uint32_t n_entries = number(&t, at, 2);
    int orientation = 0; /* the last entry counts, as in the reference */
    at += 2;
    for (uint32_t i = 0; i < n_entries && inside(&t, at, ENTRY_BYTES); i++, at += ENTRY_BYTES) {
        if (number(&t, at, 2) != ORIENTATION) continue;
        int value = entry_value(&t, at);
        if (value) orientation = value;
    }
    return orientation;
}

int tsr_xmp_orientation(const char *text, size_t bytes)
{
    static const char name[] = "tiff:Orientation";
    const char *end = text + bytes;
    while ((size_t)(end - text) > sizeof name) {
        const char *found = memmem(text, (size_t)(end - text), name, sizeof name - 1);
        if (!found) return 0;
        text = found + sizeof name - 1;
        const char *digit = text;
        if (end - text >= 3 && text[0] == '=' && text[1] == '"')
            digit = text + 2;
        else if (end - text >= 2 && text[0] == '>')
            digit = text + 1;
        if (digit != text && *digit >= '0' && *digit <= '9') return in_range((uint32_t)(*digit - '0'));
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int tsr_raw_profile_orientation(char *text, size_t bytes)
{
    char *end = text + bytes;
    for (int line = 0; line < 3; line++) { /* an empty line, "exif", the length */
        text = memchr(text, '\n', (size_t)(end - text));
        if (!text) return 0;
        text++;
    }
    uint8_t *exif = (uint8_t *)text; /* two digits make a byte: writing stays behind reading */
    size_t n = 0;
    int high = -1;
    for (; text < end; text++) {
        int digit = hex_digit(*text);
        if (digit < 0) continue;
        if (high >= 0) exif[n++] = (uint8_t)(high << 4 | digit);
        high = high < 0 ? digit : -1;
    }
    return tsr_exif_orientation(exif, n);
}
