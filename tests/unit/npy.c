/* tests/unit/npy.c: .npy files as NumPy writes them, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/npy.h"
#include "tests/unit/temp.h"

/* numpy.save of numpy.arange(6, dtype='<i4').reshape(2, 3) */
static const unsigned char from_numpy[] =
    "\x93NUMPY\x01\x00\x76\x00"
    "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), } "
    "                                                         \n"
    "\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05\x00"
    "\x00"; /* the last byte is the NUL of the literal */

static void files_equal_numpys(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_path(&t, "a.npy");
    const int32_t values[6] = {0, 1, 2, 3, 4, 5};
    assert_int_equal(tsr_npy_write(path, TSR_I32, (const int64_t[]){2, 3}, 2, values), TSR_OK);
    unsigned char *file = NULL;
    size_t bytes = 0;
    assert_int_equal(tsr_file_read(&file, &bytes, path, 4096), TSR_OK);
    assert_int_equal(bytes, sizeof from_numpy);
    assert_memory_equal(file, from_numpy, bytes);
    tsr_free(file);
    temp_close(&t);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    static const struct {
        tsr_dtype type;
        int n_dims;
        int64_t shape[TSR_NPY_MAX_DIMS];
        int64_t elements;
    } cases[] = {
        {TSR_F32, 0, {0}, 1},
        {TSR_U8, 1, {7}, 7},
        {TSR_F32, 1, {1}, 1},
        {TSR_I32, 2, {3, 5}, 15},
        {TSR_F32, 3, {2, 0, 5}, 0},
        {TSR_U8, 4, {1, 2, 3, 4}, 24},
        {TSR_U8, 8, {1, 1, 1, 1, 1, 1, 1, 2}, 2},
    };
    temp t;
    temp_open(&t);
    unsigned char data[100];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = temp_path(&t, "a.npy");
        tsr_npy npy = {0};
        assert_int_equal(tsr_npy_write(path, cases[i].type, cases[i].shape, cases[i].n_dims, data), TSR_OK);
        assert_int_equal(tsr_npy_read(&npy, path, 4096), TSR_OK);
        assert_int_equal(npy.type, cases[i].type);
        assert_int_equal(npy.n_dims, cases[i].n_dims);
        assert_memory_equal(npy.shape, cases[i].shape, sizeof npy.shape);
        assert_int_equal(npy.elements, cases[i].elements);
        assert_memory_equal(npy.data, data, (size_t)npy.elements * tsr_dtype_bytes(npy.type));
        tsr_npy_close(&npy);
    }
    temp_close(&t);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to; /* an edit of the header, same length */
        tsr_status status;
        const char *reason;
    } cases[] = {
        {"\x93NUMPY", "\x93NUMPX", TSR_E_FORMAT, "not a .npy file"},
        {"NUMPY\x01", "NUMPY\x02", TSR_E_UNSUPPORTED, "version 2.0"},
        {"<i4", "<f8", TSR_E_UNSUPPORTED, "neither f32, u8 nor i32"},
        {"<i4", ">i4", TSR_E_UNSUPPORTED, "neither f32, u8 nor i32"},
        {"False", "True ", TSR_E_UNSUPPORTED, "not in C order"},
        {"(2, 3)", "(2, 4)", TSR_E_FORMAT, "24 bytes of data, its shape wants 32"},
        {"(2, 3)", "(2, -)", TSR_E_FORMAT, "no shape"},
        {"(2, 3), }  ", "(2, 3],    ", TSR_E_FORMAT, "no shape"},
        {"(2, 3), }                    ", "(9223372036854775807, 9), }  ", TSR_E_FORMAT, "overflows"},
        {"(2, 3), }                    ", "(99999999999999999999,), }   ", TSR_E_FORMAT, "no shape"},
        {"(2, 3), }                    ", "(1,1,1,1,1,1,1,1,6), }       ", TSR_E_FORMAT, "no shape"},
        {"descr", "descx", TSR_E_FORMAT, "without 'descr'"},
    };
    temp t;
    temp_open(&t);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[sizeof from_numpy];
        memcpy(file, from_numpy, sizeof file);
        size_t n = strlen(cases[i].from);
        assert_int_equal(strlen(cases[i].to), n);
        unsigned char *at = memmem(file, sizeof file, cases[i].from, n);
        assert_non_null(at);
        memcpy(at, cases[i].to, n);
        const char *path = temp_write(&t, "a.npy", file, sizeof file);
        tsr_npy npy = {0};
        assert_int_equal(tsr_npy_read(&npy, path, 4096), cases[i].status);
        if (!strstr(tsr_message(), cases[i].reason)) fail_msg("%s", tsr_message());
        assert_non_null(strstr(tsr_message(), path));
    }
    for (size_t bytes = 0; bytes < sizeof from_numpy; bytes++) { /* cut anywhere */
        tsr_npy npy = {0};
        const char *path = temp_write(&t, "a.npy", from_numpy, bytes);
        assert_int_equal(tsr_npy_read(&npy, path, 4096), TSR_E_FORMAT);
        assert_null(npy.data);
    }
    tsr_npy npy = {0};
    assert_int_equal(tsr_npy_read(&npy, t.path, 16), TSR_E_LIMIT);
    temp_close(&t);
}

static void a_failed_write_leaves_what_was_there(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    const char *path = temp_path(&t, "no/such/folder.npy");
    assert_int_equal(tsr_npy_write(path, TSR_U8, NULL, 0, "x"), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), path));

    path = temp_write(&t, "a.npy/inside", "old", 3); /* a.npy is a folder: the rename fails */
    assert_int_equal(tsr_npy_write(temp_path(&t, "a.npy"), TSR_U8, NULL, 0, "x"), TSR_E_IO);
    assert_int_equal(access(temp_path(&t, "a.npy/inside"), F_OK), 0);
    assert_int_equal(unlink(t.path), 0);
    assert_int_equal(rmdir(temp_path(&t, "a.npy")), 0);
    assert_int_equal(rmdir(t.folder), 0); /* empty: the temporary file is gone too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_equal_numpys),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_failed_write_leaves_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
