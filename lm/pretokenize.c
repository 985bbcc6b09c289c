/* lm/pretokenize.c: the pre-tokenizer, by hand and by PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "lm/pretokenize.h"

#include <assert.h>
#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "lm/pattern.h"
#include "lm/unicode.h"
#include "lm/utf8.h"

/* Bounds on one match, so that no pattern can hold the program: steps of the matcher, depth and KiB of its
 * heap. */
enum { MATCH_STEPS = 10000000, MATCH_DEPTH = 1000000, MATCH_HEAP_KIB = 256 * 1024 };

const char tsr_pattern_family[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "|\\p{N}"
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
    "|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)"
    "|\\s+";

const char tsr_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct tsr_splitter {
    pcre2_general_context *memory; /* NULL for the hand scanner, with all the rest */
    pcre2_match_context *limits;
    pcre2_code *code;
};

/* ---- by hand: spec/nemotron-h.md 7.3 ---- */

typedef struct character {
    unsigned class;
    size_t end;
} character;

static character at(const char *text, size_t i)
{
    uint32_t point = tsr_utf8_next(text, &i);
    return (character){tsr_unicode_class(point), i};
}

/* End of the run of characters of these classes (or, inverted, of none of them) that begins at i. */
static size_t run(const char *text, size_t i, size_t n, unsigned classes, bool inverted)
{
    while (i < n) {
        character c = at(text, i);
        if (!(c.class & classes) != inverted) break;
        i = c.end;
    }
    return i;
}

/* [Uc]*[Wc]+ from i: its end, or i when it does not match. The first part takes all it can and gives back
 * only as much as the second needs, so the match ends behind the last character that both know. *caps is
 * where the first part ends. */
static size_t word_end(const char *text, size_t i, size_t n, size_t *caps)
{
    size_t k = i, both = i;
    while (k < n) {
        character c = at(text, k);
        if (!(c.class & TSR_UC_UPPER)) break;
        k = c.end;
        if (c.class & TSR_UC_LOWER) both = k;
    }
    *caps = k;
    size_t end = run(text, k, n, TSR_UC_LOWER, false);
    return end > k ? end : both;
}

static size_t next_piece(const char *text, size_t i, size_t n)
{
    bool newline = text[i] == '\r' || text[i] == '\n';
    character first = at(text, i);

    /* One character that is neither letter, number nor line end may precede a word. */
    size_t caps_behind = 0, caps = 0;
    bool optional = !newline && !(first.class & (TSR_UC_LETTER | TSR_UC_NUMBER));
    if (optional) {
        size_t end = word_end(text, first.end, n, &caps_behind);
        if (end > first.end) return end;
    }
    size_t end = word_end(text, i, n, &caps);
    if (end > i) return end;
    if (optional && caps_behind > first.end) return caps_behind;
    if (caps > i) return caps;

    if (first.class & TSR_UC_NUMBER) return first.end;

    size_t from = text[i] == ' ' ? i + 1 : i;
    end = run(text, from, n, TSR_UC_SPACE | TSR_UC_LETTER | TSR_UC_NUMBER, true);
    if (end > from) {
        while (end < n && (text[end] == '\r' || text[end] == '\n' || text[end] == '/')) end++;
        return end;
    }

    size_t before_last = i, behind_newline = i;
    for (end = i; end < n;) {
        character c = at(text, end);
        if (!(c.class & TSR_UC_SPACE)) break;
        before_last = end;
        if (text[end] == '\r' || text[end] == '\n') behind_newline = c.end;
        end = c.end;
    }
    if (behind_newline > i) return behind_newline;
    if (end == n || before_last == i) return end;
    return before_last; /* the last one belongs to what follows */
}

static tsr_status split_by_hand(const char *text, size_t bytes, tsr_split_fn *take, void *user)
{
    for (size_t i = 0; i < bytes;) {
        size_t end = next_piece(text, i, bytes);
        assert(end > i && end <= bytes);
        tsr_status st = take(user, text + i, end - i);
        if (st) return st;
        i = end;
    }
    return TSR_OK;
}

/* ---- by PCRE2 ---- */

static void *pcre_alloc(size_t bytes, void *user)
{
    (void)user;
    return tsr_alloc(bytes);
}

static void pcre_free(void *block, void *user)
{
    (void)user;
    tsr_free(block);
}

static tsr_status compile(tsr_splitter *s, const char *pattern, size_t bytes)
{
    s->memory = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    s->limits = s->memory ? pcre2_match_context_create(s->memory) : NULL;
    pcre2_compile_context *how = s->memory ? pcre2_compile_context_create(s->memory) : NULL;
    if (!s->limits || !how) {
        pcre2_compile_context_free(how);
        return tsr_fail(TSR_E_NOMEM, "no memory for a regular expression");
    }
    pcre2_set_match_limit(s->limits, MATCH_STEPS);
    pcre2_set_depth_limit(s->limits, MATCH_DEPTH);
    pcre2_set_heap_limit(s->limits, MATCH_HEAP_KIB);

    /* Oniguruma's ^ and $ work at every line, and a line ends at LF. */
    int error = 0;
    PCRE2_SIZE where = 0;
    pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    s->code = pcre2_compile((PCRE2_SPTR)pattern, bytes, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error,
                            &where, how);
    pcre2_compile_context_free(how);
    if (!s->code) {
        if (error == PCRE2_ERROR_HEAP_FAILED)
            return tsr_fail(TSR_E_NOMEM, "no memory for a regular expression");
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(error, why, sizeof why);
        return tsr_fail(TSR_E_FORMAT, "the pattern does not compile: %s at byte %zu of '%.200s'",
                        (const char *)why, (size_t)where, pattern);
    }
    /* Where no executable memory is to be had, PCRE2 interprets. */
    (void)pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE);
    return TSR_OK;
}

tsr_status tsr_splitter_open(tsr_splitter **out, const char *pattern, bool by_hand)
{
    size_t bytes = strlen(pattern);
    if (bytes > TSR_MAX_PATTERN_BYTES)
        return tsr_fail(TSR_E_LIMIT, "the pre-tokenizer's pattern has %zu bytes, the limit is %d", bytes,
                        TSR_MAX_PATTERN_BYTES);
    tsr_splitter *s = tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "no memory for a pre-tokenizer");
    if (!by_hand || strcmp(pattern, tsr_pattern_family) != 0) {
        char *rewritten = NULL;
        tsr_status st = tsr_pattern_rewrite(&rewritten, pattern);
        if (!st) st = compile(s, rewritten, strlen(rewritten));
        tsr_free(rewritten);
        if (st) {
            tsr_splitter_close(s);
            return tsr_wrap(st, "pre_tokenizer");
        }
    }
    *out = s;
    return TSR_OK;
}

void tsr_splitter_close(tsr_splitter *s)
{
    if (!s) return;
    pcre2_code_free(s->code);
    pcre2_match_context_free(s->limits);
    pcre2_general_context_free(s->memory);
    tsr_free(s);
}

/* One search. The compiled form has a small stack; where that is too small, the interpreter, with its heap,
 * is asked. */
static int search(const tsr_splitter *s, pcre2_match_data *match, const char *text, size_t bytes, size_t from)
{
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int rc = pcre2_match(s->code, (PCRE2_SPTR)text, bytes, from, options, match, s->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(s->code, (PCRE2_SPTR)text, bytes, from, options | PCRE2_NO_JIT, match, s->limits);
    return rc;
}

static tsr_status search_failed(int rc, size_t where)
{
    if (rc == PCRE2_ERROR_NOMEMORY)
        return tsr_fail(TSR_E_NOMEM, "no memory to match the pre-tokenizer's pattern");
    PCRE2_UCHAR why[128];
    pcre2_get_error_message(rc, why, sizeof why);
    return tsr_fail(TSR_E_LIMIT, "the pre-tokenizer's pattern gave up at byte %zu of the text: %s", where,
                    (const char *)why);
}

static tsr_status split_by_pcre(const tsr_splitter *s, pcre2_match_data *match, const char *text,
                                size_t bytes, tsr_split_fn *take, void *user)
{
    size_t taken = 0; /* everything before it was given to `take` */
    for (size_t from = 0; from < bytes;) {
        int rc = search(s, match, text, bytes, from);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return search_failed(rc, from);
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(match);
        size_t begin = ends[0], end = ends[1];
        assert(begin >= from &&
               end >= begin); /* only \K could break this, and tsr_pattern_rewrite refuses it */
        if (begin > taken) {
            tsr_status st = take(user, text + taken, begin - taken);
            if (st) return st;
            taken = begin;
        }
        if (end > begin) {
            tsr_status st = take(user, text + begin, end - begin);
            if (st) return st;
            taken = from = end;
        } else if (end < bytes) {
            from = end;
            tsr_utf8_next(text, &from); /* an empty match cuts and is passed by */
        } else {
            break;
        }
    }
    return taken < bytes ? take(user, text + taken, bytes - taken) : TSR_OK;
}

tsr_status tsr_split(const tsr_splitter *s, const char *text, size_t bytes, tsr_split_fn *take, void *user)
{
    if (!s->code) return split_by_hand(text, bytes, take, user);
    pcre2_match_data *match = pcre2_match_data_create(1, s->memory);
    if (!match) return tsr_fail(TSR_E_NOMEM, "no memory to match the pre-tokenizer's pattern");
    tsr_status st = split_by_pcre(s, match, text, bytes, take, user);
    pcre2_match_data_free(match);
    return st;
}
