/* lm/pattern.c: from Oniguruma's regular expressions to PCRE2's. */
#include "lm/pattern.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

/* White_Space. PCRE2's \s under UCP adds U+180E, which Unicode moved to the format characters in 6.3. */
#define SPACES                                                                                               \
    "\\x{09}-\\x{0D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}"   \
    "\\x{3000}"

static tsr_status refuse(const char *what, const char *pattern)
{
    return tsr_fail(TSR_E_UNSUPPORTED, "the pattern uses %s, which is not supported: '%.200s'", what,
                    pattern);
}

/* What an escape becomes, NULL when it stays as it is. */
static tsr_status rewrite_escape(const char **out, char escaped, bool in_class, const char *pattern)
{
    *out = NULL;
    if (escaped == 's') *out = in_class ? SPACES : "[" SPACES "]";
    if (escaped == 'S') {
        if (in_class) return refuse("\\S inside a class", pattern);
        *out = "[^" SPACES "]";
    }
    if (escaped == '\0') return tsr_fail(TSR_E_FORMAT, "the pattern ends in a backslash: '%.200s'", pattern);
    if (strchr("hHvVRXKGgyYOMCNQE", escaped))
        return refuse("an escape that PCRE2 reads differently", pattern);
    return TSR_OK;
}

/* Constructs that both engines accept and read differently. */
static tsr_status check(const char *p, bool in_class, const char *pattern)
{
    if (in_class) {
        if (p[0] == '&' && p[1] == '&') return refuse("a class intersection", pattern);
        if (p[0] == '[') return refuse("a class inside a class", pattern);
        return TSR_OK;
    }
    if (p[0] == '}' && (p[1] == '+' || p[1] == '?')) return refuse("a quantifier after {n,m}", pattern);
    if (p[0] == '(' && p[1] == '*') return refuse("a control verb", pattern);
    if (p[0] == '(' && p[1] == '?' && p[2] != 'i' && !strchr(":=!<>", p[2] ? p[2] : '#'))
        return refuse("an inline option other than i", pattern);
    if (p[0] == '(' && p[1] == '?' && p[2] == 'i' && p[3] != ':')
        return refuse("an option without its group", pattern);
    return TSR_OK;
}

tsr_status tsr_pattern_rewrite(char **out, const char *pattern)
{
    size_t room = (strlen(pattern) + 1) * (sizeof SPACES + 3); /* every character may become a class */
    char *to = tsr_alloc(room);
    if (!to) return tsr_fail(TSR_E_NOMEM, "no memory for a regular expression");

    size_t n = 0;
    bool in_class = false;
    tsr_status st = TSR_OK;
    for (const char *p = pattern; *p && !st; p++) {
        if (*p == '\\') {
            const char *instead;
            st = rewrite_escape(&instead, p[1], in_class, pattern);
            if (st) break;
            size_t length = instead ? strlen(instead) : 2;
            memcpy(to + n, instead ? instead : p, length);
            n += length;
            p++;
            if (strchr("pPx", *p) && p[1] == '{') /* a name in braces is no quantifier */
                while (p[1] && *p != '}') to[n++] = *++p;
            continue;
        }
        st = check(p, in_class, pattern);
        to[n++] = *p;
        if (!in_class && *p == '[') {
            in_class = true;
            if (p[1] == '^') to[n++] = *++p;
            if (p[1] == ']') to[n++] = *++p; /* a literal one */
        } else if (in_class && *p == ']') {
            in_class = false;
        }
    }
    if (st) {
        tsr_free(to);
        return st;
    }
    to[n] = '\0';
    *out = to;
    return TSR_OK;
}
