/* tests/unit/pretokenize.c: the hand scanner against PCRE2, and what PCRE2 is not given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lm/pattern.h"
#include "lm/pretokenize.h"
#include "lm/unicode.h"
#include "tests/unit/text.h"

/* The pieces of one text, with a bar in front of each. */
typedef struct pieces {
    char text[4096];
    size_t bytes;
} pieces;

static tsr_status take(void *user, const char *piece, size_t bytes)
{
    pieces *p = user;
    assert_true(bytes > 0 && p->bytes + bytes + 1 < sizeof p->text);
    p->text[p->bytes++] = '|';
    memcpy(p->text + p->bytes, piece, bytes);
    p->bytes += bytes;
    p->text[p->bytes] = '\0';
    return TSR_OK;
}

static tsr_splitter *open_splitter(const char *pattern, bool by_hand)
{
    tsr_splitter *s = NULL;
    if (tsr_splitter_open(&s, pattern, by_hand)) fail_msg("%s", tsr_message());
    return s;
}

static void split(pieces *out, const tsr_splitter *s, const char *text, size_t bytes)
{
    out->bytes = 0;
    out->text[0] = '\0';
    if (tsr_split(s, text, bytes, take, out)) fail_msg("%s", tsr_message());
}

static void expect(const char *pattern, bool by_hand, const char *text, const char *wanted)
{
    tsr_splitter *s = open_splitter(pattern, by_hand);
    pieces p;
    split(&p, s, text, strlen(text));
    assert_string_equal(p.text, wanted);
    tsr_splitter_close(s);
}

static void the_family_pattern_cuts_as_its_alternatives_say(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"Hello world", "|Hello| world"},
        {"CamelCase HTTPServer", "|Camel|Case| HTTPServer"},
        {"x=12.5", "|x|=|1|2|.|5"},
        {"don't", "|don|'t"},
        {"a  b", "|a| | b"},
        {"a \n b", "|a| \n| b"},
        {"end.\n\nNext", "|end|.\n\n|Next"},
        {"a//b/\n", "|a|//|b|/\n"},
        {"  \n\n  x", "|  \n\n| | x"},
        {"tail  ", "|tail|  "},
        {"\xC7\x85x", "|\xC7\x85x"}, /* title case, then lower */
        {"!\xCC\x81"
         "1",
         "|!\xCC\x81|1"}, /* a mark is a word of its own */
        {"A\xE4\xB8\xAD"
         "B",
         "|A\xE4\xB8\xAD|B"}, /* a letter without case may end the first part or begin the second */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(tsr_pattern_family, true, cases[i][0], cases[i][1]);
        expect(tsr_pattern_family, false, cases[i][0], cases[i][1]);
    }
}

/* Leave the characters that this PCRE2 knows as our table does: newer tables have newer characters. */
static void keep_agreed(text_pool *pool)
{
    static const struct {
        const char *pattern;
        unsigned flag;
    } classes[] = {{"[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", TSR_UC_UPPER},
                   {"[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]", TSR_UC_LOWER},
                   {"\\p{L}", TSR_UC_LETTER},
                   {"\\p{N}", TSR_UC_NUMBER},
                   {"\\s", TSR_UC_SPACE}};
    for (int k = 0; k < 5; k++) {
        tsr_splitter *s = open_splitter(classes[k].pattern, false);
        int64_t kept = 0;
        for (int64_t i = 0; i < pool->n_assigned; i++) {
            char text[8];
            size_t bytes = text_put(text, pool->assigned[i]);
            bytes += text_put(text + bytes, 0x378); /* unassigned, so a match of the other sets it apart */
            pieces p;
            split(&p, s, text, bytes);
            bool matched = p.bytes == bytes + 2;
            if (matched == !!(tsr_unicode_class(pool->assigned[i]) & classes[k].flag))
                pool->assigned[kept++] = pool->assigned[i];
        }
        pool->n_assigned = kept;
        tsr_splitter_close(s);
    }
}

static void hand_and_pcre_agree_on_random_strings(void **state)
{
    (void)state;
    tsr_json *json = text_json("random.json");
    text_pool pool;
    text_pool_open(&pool, tsr_json_root(json));
    int64_t all = pool.n_assigned;
    keep_agreed(&pool);
    assert_true(all - pool.n_assigned < all / 1000);
    tsr_splitter *hand = open_splitter(tsr_pattern_family, true);
    tsr_splitter *pcre = open_splitter(tsr_pattern_family, false);
    uint64_t mix = 1;
    for (int i = 0; i < 100000; i++) {
        char text[TEXT_RANDOM_BYTES];
        size_t bytes = text_random(text, &pool, &mix);
        pieces a, b;
        split(&a, hand, text, bytes);
        split(&b, pcre, text, bytes);
        if (a.bytes != b.bytes || memcmp(a.text, b.text, a.bytes) != 0)
            fail_msg("string %d:\nhand %s\npcre %s", i, a.text, b.text);
    }
    tsr_splitter_close(hand);
    tsr_splitter_close(pcre);
    text_pool_close(&pool);
    tsr_json_close(json);
}

static void unmatched_text_is_a_piece_too(void **state)
{
    (void)state;
    expect("b+", false, "aabbab", "|aa|bb|a|b");
    expect("x", false, "abc", "|abc");
    expect("b*", false, "aabba", "|a|a|bb|a"); /* an empty match cuts */
    expect("(?=b)", false, "abab", "|a|ba|b");
    expect("", false, "\xC3\xA9z", "|\xC3\xA9|z");
    expect("x", false, "", "");
}

static void white_space_is_unicodes(void **state)
{
    (void)state;
    expect("\\s+", false,
           "a\xE1\xA0\x8E"
           "b\xC2\x85\xE2\x80\xA8"
           "c",
           "|a\xE1\xA0\x8E"
           "b|\xC2\x85\xE2\x80\xA8|c");
    expect("\\S+", false,
           "a\xE1\xA0\x8E \xC2\xA0"
           "b",
           "|a\xE1\xA0\x8E| \xC2\xA0|b");
    expect("[^\\s\\p{L}]+", false, "ab12 3", "|ab|12| |3");
}

static void patterns_with_two_meanings_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        tsr_status status;
    } cases[] = {
        {"\\h+", TSR_E_UNSUPPORTED},
        {"\\R", TSR_E_UNSUPPORTED},
        {"a\\Kb", TSR_E_UNSUPPORTED},
        {"[\\S]", TSR_E_UNSUPPORTED},
        {"[a&&b]", TSR_E_UNSUPPORTED},
        {"[a[b]]", TSR_E_UNSUPPORTED},
        {"a{1,2}+", TSR_E_UNSUPPORTED},
        {"(?m)a", TSR_E_UNSUPPORTED},
        {"(?m:a)", TSR_E_UNSUPPORTED},
        {"(*FAIL)", TSR_E_UNSUPPORTED},
        {"(?i)a", TSR_E_UNSUPPORTED},
        {"a\\", TSR_E_FORMAT},
        {"(", TSR_E_FORMAT},
        {"[a", TSR_E_FORMAT},
        {"\\p{Nonsense}", TSR_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tsr_splitter *s = NULL;
        if (tsr_splitter_open(&s, cases[i].pattern, true) != cases[i].status)
            fail_msg("'%s': %s", cases[i].pattern, tsr_message());
        assert_null(s);
    }
    expect("(?i:'s)|\\p{L}+|\\p{N}{1,3}|[]a]", false, "it'S]1234", "|it|'S|]|123|4");
}

static void a_pattern_that_is_too_long_is_refused(void **state)
{
    (void)state;
    char *pattern = malloc(TSR_MAX_PATTERN_BYTES + 2);
    assert_non_null(pattern);
    memset(pattern, 'a', TSR_MAX_PATTERN_BYTES + 1);
    pattern[TSR_MAX_PATTERN_BYTES + 1] = '\0';
    tsr_splitter *s = NULL;
    assert_int_equal(tsr_splitter_open(&s, pattern, true), TSR_E_LIMIT);
    free(pattern);
}

static void a_pattern_that_explodes_gives_up(void **state)
{
    (void)state;
    tsr_splitter *s = open_splitter("(?:a|aa)+[bc]", false);
    char text[64];
    memset(text, 'a', sizeof text);
    pieces p = {0};
    assert_int_equal(tsr_split(s, text, sizeof text, take, &p), TSR_E_LIMIT);
    tsr_splitter_close(s);
}

static tsr_status refuse_second(void *user, const char *piece, size_t bytes)
{
    (void)piece;
    (void)bytes;
    return ++*(int *)user == 2 ? tsr_fail(TSR_E_CANCELLED, "enough") : TSR_OK;
}

static void a_taker_can_end_the_split(void **state)
{
    (void)state;
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        tsr_splitter *s = open_splitter(tsr_pattern_family, by_hand);
        int taken = 0;
        assert_int_equal(tsr_split(s, "a b c d", 7, refuse_second, &taken), TSR_E_CANCELLED);
        assert_int_equal(taken, 2);
        tsr_splitter_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_family_pattern_cuts_as_its_alternatives_say),
        cmocka_unit_test(hand_and_pcre_agree_on_random_strings),
        cmocka_unit_test(unmatched_text_is_a_piece_too),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(patterns_with_two_meanings_are_refused),
        cmocka_unit_test(a_pattern_that_is_too_long_is_refused),
        cmocka_unit_test(a_pattern_that_explodes_gives_up),
        cmocka_unit_test(a_taker_can_end_the_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
