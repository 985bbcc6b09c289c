/* tests/runtime/think.c: thinking and answer told apart, however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "runtime/think.h"

typedef struct heard {
    char thinking[64], answer[64];
} heard;

static bool listen(void *user, bool thinking, const char *bytes, size_t n)
{
    heard *h = user;
    strncat(thinking ? h->thinking : h->answer, bytes, n);
    return true;
}

static void expect(bool inside, const char *text, const char *thinking, const char *answer)
{
    size_t n = strlen(text);
    for (size_t each = 1; each <= n; each++) {
        heard h = {"", ""};
        tsr_think_split t = tsr_think_begin(inside);
        for (size_t i = 0; i < n; i += each)
            assert_true(tsr_think_push(&t, text + i, n - i < each ? n - i : each, listen, &h));
        assert_true(tsr_think_end(&t, listen, &h));
        assert_string_equal(h.thinking, thinking);
        assert_string_equal(h.answer, answer);
    }
}

static void tags_divide(void **state)
{
    (void)state;
    expect(false, "plain", "", "plain");
    expect(false, "<think>why</think>\n\nbecause", "why", "because");
    expect(false, "<think></think>yes", "", "yes");
    expect(true, "still </thin</think> done", "still </thin", "done");
    expect(true, "never ends </think", "never ends </think", "");
    expect(false, "<thin", "", "<thin");
    expect(false, "a <think>b</think>", "", "a <think>b</think>"); /* a tag later in the answer is text */
    expect(true, "<</</think>x</think>", "<</", "x</think>");
}

static bool refuse(void *user, bool thinking, const char *bytes, size_t n)
{
    (void)thinking, (void)bytes;
    *(size_t *)user += n;
    return false;
}

static void the_receiver_can_stop(void **state)
{
    (void)state;
    size_t taken = 0;
    tsr_think_split t = tsr_think_begin(false);
    assert_false(tsr_think_push(&t, "abc", 3, refuse, &taken));
    assert_true(taken < 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tags_divide),
                                       cmocka_unit_test(the_receiver_can_stop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
