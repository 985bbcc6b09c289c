/* tests/fuzz/json.c: what parses is well formed all through, and written out and parsed again it is the
 * same. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "tests/fuzz/fuzz.h"

/* By decoding, where the parser goes by ranges of bytes. */
static void check_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        int n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
        FUZZ_CHECK(n);
        uint32_t point = n == 1 ? *p : *p & (0x7fu >> n);
        for (int i = 1; i < n; i++) {
            FUZZ_CHECK(p[i] >> 6 == 2);
            point = point << 6 | (p[i] & 0x3fu);
        }
        FUZZ_CHECK(point >= least[n] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff));
        p += n;
    }
}

static void write_string(FILE *to, const char *text)
{
    check_utf8(text);
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            fprintf(to, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, to);
    }
    fputc('"', to);
}

static void write_number(FILE *to, const tsr_json_value *value)
{
    double number = tsr_json_number(value);
    int64_t whole = 0;
    FUZZ_CHECK(!isnan(number));
    if (tsr_json_int(value, &whole)) {
        FUZZ_CHECK((double)whole == number);
        fprintf(to, signbit(number) && !whole ? "-0" : "%" PRId64, whole);
    } else if (isinf(number))
        fputs(number > 0 ? "Infinity" : "-Infinity", to);
    else
        fprintf(to, "%.17g", number);
}

static void write_value(FILE *to, const tsr_json_value *value, int depth)
{
    tsr_json_kind kind = tsr_json_kind_of(value);
    int64_t n = 0;
    FUZZ_CHECK(depth <= TSR_JSON_MAX_DEPTH);
    switch (kind) {
    case TSR_JSON_NULL: fputs("null", to); break;
    case TSR_JSON_BOOL: fputs(tsr_json_bool(value) ? "true" : "false", to); break;
    case TSR_JSON_NUMBER: write_number(to, value); break;
    case TSR_JSON_STRING: write_string(to, tsr_json_string(value)); break;
    case TSR_JSON_ARRAY:
    case TSR_JSON_OBJECT:
        fputc(kind == TSR_JSON_ARRAY ? '[' : '{', to);
        for (const tsr_json_value *m = tsr_json_first(value); m; m = tsr_json_next(m), n++) {
            if (n) fputc(',', to);
            if (kind == TSR_JSON_OBJECT) {
                FUZZ_CHECK(tsr_json_find(value, tsr_json_key(m)) == m); /* so no key stands twice */
                write_string(to, tsr_json_key(m));
                fputc(':', to);
            }
            write_value(to, m, depth + 1);
        }
        FUZZ_CHECK(tsr_json_count(value) == n);
        fputc(kind == TSR_JSON_ARRAY ? ']' : '}', to);
    }
}

/* The document as text; closes it. */
static char *written(tsr_json *json)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    FUZZ_CHECK(to);
    write_value(to, tsr_json_root(json), 0);
    FUZZ_CHECK(!fclose(to));
    tsr_json_close(json);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tsr_json *json = NULL;
    if (tsr_json_parse(&json, (const char *)data, bytes, "input")) {
        FUZZ_CHECK(!json && *tsr_message());
        return 0;
    }
    char *first = written(json);
    FUZZ_CHECK(!tsr_json_parse(&json, first, strlen(first), "output"));
    char *second = written(json);
    FUZZ_CHECK(!strcmp(first, second));
    free(first);
    free(second);
    return 0;
}
