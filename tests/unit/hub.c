/* tests/unit/hub.c: directories and hub ids, found and not found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/alloc.h"
#include "base/hub.h"
#include "tests/unit/temp.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static const char *const variables[] = {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
}

/* A cache entry below `hub` of the folder; `ref` NULL leaves refs/main out. */
static void make_entry(temp *t, const char *hub, const char *ref, const char *commit)
{
    char name[300];
    snprintf(name, sizeof name, "%s/models--Org.1--Na_me-2/snapshots/%s/config.json", hub, commit);
    temp_write(t, name, "{}", 2);
    snprintf(name, sizeof name, "%s/models--Org.1--Na_me-2/refs/main", hub);
    if (ref) temp_write(t, name, ref, strlen(ref));
}

static void the_first_variable_that_is_set_decides(void **state)
{
    (void)state;
    static const char *const below[] = {"", "hub", "huggingface/hub", ".cache/huggingface/hub"};
    for (size_t i = 0; i < 4; i++) {
        temp t;
        temp_open(&t);
        make_entry(&t, below[i], i % 2 ? COMMIT "\n" : COMMIT, COMMIT);
        clear_environment();
        for (size_t later = i; later < 4; later++)
            setenv(variables[later], later == i ? t.folder : "/nowhere", 1);
        if (i > 0) setenv(variables[i - 1], "", 1); /* empty is as good as unset */

        char *directory = NULL, wanted[600];
        if (tsr_hub_resolve(&directory, "Org.1/Na_me-2")) fail_msg("%s", tsr_message());
        snprintf(wanted, sizeof wanted, "%s/%s%smodels--Org.1--Na_me-2/snapshots/" COMMIT, t.folder, below[i],
                 *below[i] ? "/" : "");
        assert_string_equal(directory, wanted);
        tsr_free(directory);
        temp_close(&t);
    }
    clear_environment();
}

static void an_existing_directory_wins(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    make_entry(&t, "cache", COMMIT, COMMIT);
    clear_environment();
    setenv("HF_HUB_CACHE", temp_path(&t, "cache"), 1);
    temp_write(&t, "Org.1/Na_me-2/config.json", "{}", 2);
    char *old = getcwd(NULL, 0), *directory = NULL;
    assert_int_equal(chdir(t.folder), 0);
    assert_int_equal(tsr_hub_resolve(&directory, "Org.1/Na_me-2"), TSR_OK);
    assert_string_equal(directory, "Org.1/Na_me-2");
    tsr_free(directory);
    assert_int_equal(tsr_hub_resolve(&directory, "Org.1/Na_me-2/config.json"), TSR_E_ARG);
    assert_string_equal(tsr_message(), "Org.1/Na_me-2/config.json: a file, not a model's directory");
    assert_int_equal(chdir(old), 0);
    free(old);
    clear_environment();
    temp_close(&t);
}

static void what_is_neither_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"",      "name", "a/",    "/b",       "a/b/c",  "a b/c", "a/b c",
                                        "../b",  "a/..", "a../b", "a/b..c",   "a\\b/c", "a/b\n", "a/\xc3\xa4",
                                        "./a/b", "/a/b", "a/b/",  "a/b@main", "a:/b"};
    clear_environment();
    setenv("HF_HUB_CACHE", "/nowhere", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *directory = NULL;
        if (tsr_hub_resolve(&directory, cases[i]) != TSR_E_ARG) fail_msg("'%s': %s", cases[i], tsr_message());
        assert_non_null(strstr(tsr_message(), ": no such directory, and not a hub id (ORG/NAME)"));
    }
    clear_environment();
}

static void failures_name_what_was_looked_for_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *ref; /* of refs/main; NULL: there is none */
        const char *snapshot;
        tsr_status status;
        const char *message; /* %s: the cache */
    } cases[] = {
        {NULL, COMMIT, TSR_E_IO,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/refs/main: No such file or directory"},
        {COMMIT, "other", TSR_E_IO,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/snapshots/" COMMIT
         ": no such directory, though refs/main names it"},
        {"", COMMIT, TSR_E_FORMAT,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/refs/main: '' is no commit of 40 hex digits"},
        {"../../../x", COMMIT, TSR_E_FORMAT,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/refs/main: '../../../x' is no commit of 40 hex digits"},
        {COMMIT "0", COMMIT, TSR_E_FORMAT,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/refs/main: '" COMMIT "0' is no commit of 40 hex digits"},
        {COMMIT "\n\n", COMMIT, TSR_E_FORMAT,
         "Org.1/Na_me-2: %s/models--Org.1--Na_me-2/refs/main: '" COMMIT
         "\\x0a\\x0a' is no commit of 40 hex digits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp t;
        temp_open(&t);
        make_entry(&t, "", cases[i].ref, cases[i].snapshot);
        clear_environment();
        setenv("HF_HUB_CACHE", t.folder, 1);
        char *directory = NULL, message[1024];
        assert_int_equal(tsr_hub_resolve(&directory, "Org.1/Na_me-2"), cases[i].status);
        char *mark = strstr(strcpy(message, cases[i].message), "%s");
        snprintf(message, sizeof message, "%.*s%s%s", (int)(mark - message), cases[i].message, t.folder,
                 strstr(cases[i].message, "%s") + 2);
        assert_string_equal(tsr_message(), message);
        assert_null(directory);
        temp_close(&t);
    }

    char *directory = NULL;
    setenv("HF_HUB_CACHE", "/nowhere", 1);
    assert_int_equal(tsr_hub_resolve(&directory, "a/b"), TSR_E_IO);
    assert_string_equal(tsr_message(), "a/b: no such directory, and not in the Hugging Face cache: "
                                       "/nowhere/models--a--b is missing (cache from HF_HUB_CACHE)");
    clear_environment();
    assert_int_equal(tsr_hub_resolve(&directory, "a/b"), TSR_E_IO);
    assert_string_equal(tsr_message(),
                        "a/b: no such directory, and no Hugging Face cache: none of HF_HUB_CACHE, "
                        "HF_HOME, XDG_CACHE_HOME and HOME is set");
}

static void every_failing_allocation_gives_a_message(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    make_entry(&t, "", COMMIT, COMMIT);
    setenv("HF_HUB_CACHE", t.folder, 1);
    char *directory = NULL;
    int64_t n = 1;
    for (;; n++) {
        tsr_alloc_fail_at(n, 0);
        tsr_status st = tsr_hub_resolve(&directory, "Org.1/Na_me-2");
        tsr_alloc_fail_at(0, 0);
        if (!st) break;
        assert_int_equal(st, TSR_E_NOMEM);
        assert_non_null(strstr(tsr_message(), "Org.1/Na_me-2: "));
        assert_null(directory);
    }
    assert_int_equal(n, 6); /* cache, entry, ref's path, ref, snapshot */
    tsr_free(directory);
    clear_environment();
    temp_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_variable_that_is_set_decides),
        cmocka_unit_test(an_existing_directory_wins),
        cmocka_unit_test(what_is_neither_is_refused),
        cmocka_unit_test(failures_name_what_was_looked_for_and_where),
        cmocka_unit_test(every_failing_allocation_gives_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
