/* tests/unit/map.c: mapped and read files, what is refused, and a file that shrinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "tests/unit/temp.h"

static void a_file_is_mapped_and_found_by_address(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_write(&t, "a\033[2J", "hello", 5);
    tsr_map map = {0}, again = {0};
    assert_int_equal(tsr_map_open(&map, path), TSR_OK);
    assert_int_equal(map.bytes, 5);
    assert_memory_equal(map.data, "hello", 5);
    assert_string_equal(map.path, path);

    char shown[600];
    snprintf(shown, sizeof shown, "%s/a\\x1b[2J", t.folder);
    assert_string_equal(tsr_map_at(map.data), shown);
    assert_string_equal(tsr_map_at(map.data + 4), shown);
    assert_null(tsr_map_at(map.data - 1));
    assert_null(tsr_map_at(&map));
    assert_null(tsr_map_at(NULL));

    assert_int_equal(tsr_map_open(&again, path), TSR_OK);
    const unsigned char *data = map.data;
    tsr_map_close(&map);
    assert_null(tsr_map_at(data));
    assert_string_equal(tsr_map_at(again.data), shown);
    tsr_map_close(&again);
    tsr_map_close(&again); /* zeroed: a no-op */
    temp_close(&t);
}

static void an_empty_file_has_no_data(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_write(&t, "empty", "", 0);
    tsr_map map = {0};
    assert_int_equal(tsr_map_open(&map, path), TSR_OK);
    assert_null(map.data);
    assert_int_equal(map.bytes, 0);
    tsr_map_close(&map);

    unsigned char *text = NULL;
    size_t bytes = 1;
    assert_int_equal(tsr_file_read(&text, &bytes, path, 0), TSR_OK);
    assert_int_equal(bytes, 0);
    assert_string_equal((char *)text, "");
    tsr_free(text);
    temp_close(&t);
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    assert_int_equal(mkfifo(temp_path(&t, "pipe"), 0600), 0);
    static const struct {
        const char *name, *reason;
    } cases[] = {
        {"", ": a directory, not a regular file"},
        {"pipe", ": a device or pipe, not a regular file"},
        {"missing", ": No such file or directory"},
        {"missing/x", ": No such file or directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = temp_path(&t, cases[i].name);
        char message[600];
        snprintf(message, sizeof message, "%s%s", path, cases[i].reason);
        tsr_map map = {0};
        unsigned char *text = NULL;
        size_t bytes = 0;
        assert_int_equal(tsr_map_open(&map, path), TSR_E_IO);
        assert_string_equal(tsr_message(), message);
        assert_int_equal(tsr_file_read(&text, &bytes, path, 100), TSR_E_IO);
        assert_string_equal(tsr_message(), message);
        assert_null(map.path);
        assert_null(text);
    }
    temp_close(&t);
}

static void reading_whole_has_a_limit_and_ends_in_nul(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_write(&t, "a", "hello", 5);
    unsigned char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(tsr_file_read(&text, &bytes, path, 4), TSR_E_LIMIT);
    assert_non_null(strstr(tsr_message(), ": 5 bytes; at most 4 are read"));
    assert_null(text);
    assert_int_equal(tsr_file_read(&text, &bytes, path, 5), TSR_OK);
    assert_int_equal(bytes, 5);
    assert_string_equal((char *)text, "hello");
    tsr_free(text);
    temp_close(&t);
}

static void pieces_are_written_in_order(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_write(&t, "a", "old and longer", 14);
    const tsr_file_piece pieces[] = {{"one", 3}, {NULL, 0}, {"two", 3}};
    assert_int_equal(tsr_file_write(path, pieces, 3), TSR_OK);
    unsigned char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(tsr_file_read(&text, &bytes, path, 100), TSR_OK);
    assert_string_equal((char *)text, "onetwo");
    tsr_free(text);
    temp_close(&t);
}

static void every_failing_allocation_gives_a_message(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_write(&t, "a", "hello", 5);
    tsr_map map = {0};
    unsigned char *text = NULL;
    size_t bytes = 0;
    const tsr_file_piece piece = {"x", 1};
    tsr_alloc_fail_at(1, 1);
    tsr_status mapped = tsr_map_open(&map, path), read = tsr_file_read(&text, &bytes, path, 100);
    tsr_status written = tsr_file_write(path, &piece, 1);
    tsr_alloc_fail_at(0, 0);
    assert_int_equal(mapped, TSR_E_NOMEM);
    assert_int_equal(read, TSR_E_NOMEM);
    assert_int_equal(written, TSR_E_NOMEM);
    assert_null(map.data);
    temp_close(&t);
}

/* The handler that a program installs: see tsr_map_at. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    const char *path = tsr_map_at(info->si_addr);
    if (!path) _exit(2);
    _exit(write(STDERR_FILENO, path, strlen(path)) < 0 ? 3 : 1);
}

static void a_shrinking_file_can_be_named(void **state)
{
    (void)state;
    enum { BYTES = 1 << 16 };
    temp t;
    temp_open(&t);
    static char zeros[BYTES];
    const char *path = temp_write(&t, "shrinks", zeros, BYTES);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
        tsr_map map = {0};
        dup2(ends[1], STDERR_FILENO);
        if (sigaction(SIGBUS, &action, NULL) || tsr_map_open(&map, path) || truncate(path, 4096)) _exit(4);
        const volatile unsigned char *data = map.data;
        _exit(data[BYTES - 1] ? 5 : 6);
    }
    close(ends[1]);
    char said[600] = {0};
    assert_true(read(ends[0], said, sizeof said - 1) > 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_string_equal(said, path);
    temp_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_mapped_and_found_by_address),
        cmocka_unit_test(an_empty_file_has_no_data),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(reading_whole_has_a_limit_and_ends_in_nul),
        cmocka_unit_test(pieces_are_written_in_order),
        cmocka_unit_test(every_failing_allocation_gives_a_message),
        cmocka_unit_test(a_shrinking_file_can_be_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
