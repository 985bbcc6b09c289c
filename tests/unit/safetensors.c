/* tests/unit/safetensors.c: which files are tensors, which are not, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/alloc.h"
#include "base/safetensors.h"
#include "tests/unit/temp.h"

enum { FILE_BYTES = 4096 };

/* A file of this header and `data_bytes` bytes 0, 1, 2 ... behind it. */
static size_t make_file(unsigned char file[FILE_BYTES], const char *header, size_t data_bytes)
{
    size_t n = strlen(header);
    assert_true(8 + n + data_bytes <= FILE_BYTES);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < data_bytes; i++) file[8 + n + i] = (unsigned char)i;
    return 8 + n + data_bytes;
}

static tsr_safetensors *accepted(const char *header, size_t data_bytes, unsigned char file[FILE_BYTES])
{
    tsr_safetensors *s = NULL;
    if (tsr_safetensors_parse(&s, file, make_file(file, header, data_bytes), "f"))
        fail_msg("%s: %s", header, tsr_message());
    return s;
}

static void odd_offsets_scalars_and_empty_tensors_are_read(void **state)
{
    (void)state;
    unsigned char file[FILE_BYTES];
    tsr_safetensors *s =
        accepted("{\"__metadata__\":{\"format\":\"pt\"},"
                 "\"last\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[29,30]},"
                 "\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},"
                 "\"b.scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[3,7]},"
                 "\"e\":{\"dtype\":\"BF16\",\"shape\":[0,9007199254740991],\"data_offsets\":[7,7]},"
                 "\"w\":{\"extra\":[1.5],\"data_offsets\":[7,19],\"shape\":[2,3],\"dtype\":\"BF16\"},"
                 "\"h\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[19,21]},"
                 "\"i\":{\"dtype\":\"I64\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[21,29]}}   ",
                 30, file);
    static const struct {
        const char *name, *dtype, *shape;
        tsr_dtype type;
        int64_t elements;
        size_t at, bytes;
    } wanted[] = {
        {"a", "F8_E4M3", "[3]", TSR_FP8, 3, 0, 3},
        {"b.scale", "F32", "[]", TSR_F32, 1, 3, 4},
        {"e", "BF16", "[0, 9007199254740991]", TSR_BF16, 0, 7, 0},
        {"w", "BF16", "[2, 3]", TSR_BF16, 6, 7, 12},
        {"h", "F16", "[1]", TSR_F16, 1, 19, 2},
        {"i", "I64", "[1, 1, 1, 1, 1, 1, 1, 1]", TSR_DTYPE_OTHER, 1, 21, 8},
        {"last", "F4", "[2]", TSR_DTYPE_OTHER, 2, 29, 1},
    };
    enum { N = sizeof wanted / sizeof *wanted };
    const unsigned char *header = NULL;
    size_t header_bytes = 0, file_bytes = 0;
    assert_int_equal(tsr_safetensors_shards(s), 1);
    tsr_safetensors_header(s, 0, &header, &header_bytes, &file_bytes);
    assert_ptr_equal(header, file + 8);
    assert_int_equal(file_bytes, 8 + header_bytes + 30);
    assert_int_equal(tsr_safetensors_count(s), N);
    for (int i = 0; i < N; i++) {
        const tsr_tensor *t = tsr_safetensors_at(s, i);
        char shape[200];
        assert_string_equal(t->name, wanted[i].name);
        assert_string_equal(t->file, "f");
        assert_string_equal(t->dtype_name, wanted[i].dtype);
        assert_int_equal(t->type, wanted[i].type);
        assert_string_equal(tsr_shape_text(shape, sizeof shape, t->shape, t->n_dims), wanted[i].shape);
        assert_int_equal(t->elements, wanted[i].elements);
        assert_int_equal(t->bytes, wanted[i].bytes);
        assert_ptr_equal(t->data, header + header_bytes + wanted[i].at);
        assert_false(t->used);
        assert_ptr_equal(tsr_safetensors_find(s, t->name), t);
    }
    assert_null(tsr_safetensors_find(s, "A"));
    assert_null(tsr_safetensors_find(s, "__metadata__"));
    assert_null(tsr_safetensors_find(s, ""));
    tsr_safetensors_close(s);
}

static void a_file_may_hold_no_tensors(void **state)
{
    (void)state;
    unsigned char file[FILE_BYTES];
    static const char *const headers[] = {"{}", "{ } \n", "{\"__metadata__\":{}}", "{\"__metadata__\":null}"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        tsr_safetensors *s = accepted(headers[i], 0, file);
        assert_int_equal(tsr_safetensors_count(s), 0);
        assert_null(tsr_safetensors_find(s, "a"));
        tsr_safetensors_close(s);
    }
}

/* "a" with these members. */
#define A(members) "{\"a\":{" members "}}"
#define F32(shape, offsets) "\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets
#define U8(name, begin, end, n)                                                                              \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end "]}"

static void wrong_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *message;
    } cases[] = {
        {"", 0, "f: the header does not begin with '{'"},
        {" {}", 0, "f: the header does not begin with '{'"},
        {"[]", 0, "f: the header does not begin with '{'"},
        {"{} x", 0, "f: header: byte 3: 0x78 begins no JSON value"},
        {"{", 0, "f: header: byte 1: ends before its value does"},
        {"{\"a\xff\":1}", 0, "f: header: byte 3: invalid UTF-8"},
        {"{\"a\":{},\"a\":{}}", 0, "f: header: the key 'a' stands twice in one object"},
        {"{\"__metadata__\":[]}", 0, "f: '__metadata__' is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "f: '__metadata__' has 'a', which is not a string"},
        {"{\"a\":1}", 0, "f: tensor 'a': is a number, not an object"},
        {"{\"\\u001b[2J\\u0007\":1}", 0, "f: tensor '\\x1b[2J\\x07': is a number, not an object"},
        {A("\"shape\":[],\"data_offsets\":[0,4]"), 4, "f: tensor 'a': 'dtype' is missing"},
        {A("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, "f: tensor 'a': 'shape' is missing"},
        {A("\"dtype\":\"F32\",\"shape\":[]"), 4, "f: tensor 'a': 'data_offsets' is missing"},
        {A("\"dtype\":1,\"shape\":[],\"data_offsets\":[0,4]"), 4,
         "f: tensor 'a': 'dtype' is a number, not a string"},
        {A("\"dtype\":\"f32\",\"shape\":[],\"data_offsets\":[0,4]"), 4, "f: tensor 'a': unknown dtype 'f32'"},
        {A("\"dtype\":\"\",\"shape\":[],\"data_offsets\":[0,4]"), 4, "f: tensor 'a': unknown dtype ''"},
        {A(F32("1", "[0,4]")), 4, "f: tensor 'a': 'shape' is a number, not an array"},
        {A(F32("[-1]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[1,1.5]", "[0,4]")), 4, "f: tensor 'a': dimension 1 of its shape is no size"},
        {A(F32("[\"1\"]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[null]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[1e400]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[Infinity]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[9007199254740992]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[18446744073709551615]", "[0,4]")), 4, "f: tensor 'a': dimension 0 of its shape is no size"},
        {A(F32("[1,1,1,1,1,1,1,1,1]", "[0,4]")), 4, "f: tensor 'a': 9 dimensions; at most 8 are read"},
        {A(F32("[4294967296,4294967296]", "[0,0]")), 0, "f: tensor 'a': the product of its shape overflows"},
        {A(F32("[4294967296,4294967296,0]", "[0,0]")), 0,
         "f: tensor 'a': the product of its shape overflows"},
        {A(F32("[4294967296,134217728]", "[0,0]")), 0, "f: tensor 'a': the product of its shape overflows"},
        {A(F32("[1073741824,1073741824]", "[0,0]")), 0, "f: tensor 'a': the product of its shape overflows"},
        {A(F32("[536870912,536870912]", "[0,0]")), 0,
         "f: tensor 'a': F32 [536870912, 536870912] takes 1152921504606846976 bytes, its offsets span 0"},
        {A("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]"), 2,
         "f: tensor 'a': its 12 bits are no whole number of bytes"},
        {A("\"dtype\":\"F6_E2M3\",\"shape\":[2],\"data_offsets\":[0,2]"), 2,
         "f: tensor 'a': its 12 bits are no whole number of bytes"},
        {A(F32("[]", "[0]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "[]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "[0,4,4]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "[4,0]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "[-4,0]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "[0,\"4\"]")), 4, "f: tensor 'a': 'data_offsets' are not two sizes in order"},
        {A(F32("[]", "{\"0\":0,\"1\":4}")), 4, "f: tensor 'a': 'data_offsets' is an object, not an array"},
        {A(F32("[]", "[0,4]")), 3, "f: tensor 'a': spans bytes 0 to 4 of 3 in the file"},
        {A(F32("[]", "[9007199254740987,9007199254740991]")), 4,
         "f: tensor 'a': spans bytes 9007199254740987 to 9007199254740991 of 4 in the file"},
        {A(F32("[]", "[0,3]")), 3, "f: tensor 'a': F32 [] takes 4 bytes, its offsets span 3"},
        {A(F32("[0]", "[0,4]")), 4, "f: tensor 'a': F32 [0] takes 0 bytes, its offsets span 4"},
        {A(F32("[]", "[1,5]")), 5, "f: tensor 'a' begins at byte 1, after byte 0 where the header ends"},
        {A(F32("[]", "[0,4]")), 5, "f: the tensors end at byte 4 of 5"},
        {"{}", 1, "f: the tensors end at byte 0 of 1"},
        {"{" U8("a", 0, 2, 2) "," U8("b", 3, 4, 1) "}", 4,
         "f: tensor 'b' begins at byte 3, after byte 2 where the one before it ends"},
        {"{" U8("a", 0, 2, 2) "," U8("b", 1, 4, 3) "}", 4,
         "f: tensor 'b' begins at byte 1, before byte 2 where the one before it ends"},
        {"{" U8("a", 0, 2, 2) "," U8("b", 0, 2, 2) "}", 2,
         "f: tensor 'b' begins at byte 0, before byte 2 where the one before it ends"},
        {"{" U8("a", 0, 4, 4) "," U8("e", 2, 2, 0) "}", 4,
         "f: tensor 'e' begins at byte 2, before byte 4 where the one before it ends"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[FILE_BYTES];
        tsr_safetensors *s = NULL;
        size_t bytes = make_file(file, cases[i].header, cases[i].data_bytes);
        tsr_status st = tsr_safetensors_parse(&s, file, bytes, "f");
        if (st != TSR_E_FORMAT) fail_msg("%s: %d", cases[i].header, st);
        assert_string_equal(tsr_message(), cases[i].message);
        assert_null(s);
    }
}

static void long_names_leave_room_for_the_reason(void **state)
{
    (void)state;
    unsigned char file[FILE_BYTES];
    char header[FILE_BYTES - 8] = "{\"";
    memset(header + 2, 'n', 3000);
    strcpy(header + 3002, "\":1}");
    tsr_safetensors *s = NULL;
    assert_int_equal(tsr_safetensors_parse(&s, file, make_file(file, header, 0), "f"), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), "nnn': is a number, not an object"));
}

static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned char length[8];
        const char *message;
    } cases[] = {
        {{0}, "f: the header does not begin with '{'"},
        {{1}, "f: header: byte 1: ends before its value does"},
        {{3}, "f: a header of 3 bytes in a file of 10"},
        {{0, 0xe1, 0xf5, 0x05}, "f: a header of 100000000 bytes in a file of 10"},
        {{1, 0xe1, 0xf5, 0x05}, "f: a header of 100000001 bytes; at most 100000000 are read"},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
         "f: a header of 18446744073709551615 bytes; at most 100000000 are read"},
        {{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
         "f: a header of 9223372036854775800 bytes; at most 100000000 are read"},
    };
    unsigned char file[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    tsr_safetensors *s = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(file, cases[i].length, 8);
        assert_int_equal(tsr_safetensors_parse(&s, file, sizeof file, "f"), TSR_E_FORMAT);
        assert_string_equal(tsr_message(), cases[i].message);
    }
    for (size_t bytes = 0; bytes < 8; bytes++) {
        char message[64];
        assert_int_equal(tsr_safetensors_parse(&s, file, bytes, "f"), TSR_E_FORMAT);
        snprintf(message, sizeof message, "f: a file of %zu bytes is no safetensors file", bytes);
        assert_string_equal(tsr_message(), message);
    }
    assert_int_equal(tsr_safetensors_parse(&s, NULL, 0, "f"), TSR_E_FORMAT);
    assert_null(s);
}

/* Cutting a good file anywhere must be noticed. */
static void truncation_is_noticed_at_every_byte(void **state)
{
    (void)state;
    unsigned char file[FILE_BYTES];
    size_t bytes = make_file(file, "{" U8("a", 0, 4, 4) "," U8("b", 4, 9, 5) "}", 9);
    tsr_safetensors *s = NULL;
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(tsr_safetensors_parse(&s, file, cut, "f"), TSR_E_FORMAT);
    assert_int_equal(tsr_safetensors_parse(&s, file, bytes, "f"), TSR_OK);
    tsr_safetensors_close(s);
}

static void write_shard(temp *t, const char *name, const char *header, size_t data_bytes)
{
    unsigned char file[FILE_BYTES];
    temp_write(t, name, file, make_file(file, header, data_bytes));
}

/* Two shards, "a" and "c" in the first, "b" and the surplus "x" in the second. */
static void write_two_shards(temp *t, const char *weight_map)
{
    char index[1000];
    write_shard(t, "model-1.safetensors", "{" U8("c", 4, 6, 2) "," U8("a", 0, 4, 4) "}", 6);
    write_shard(t, "model-2.safetensors", "{" U8("x", 3, 4, 1) "," U8("b", 0, 3, 3) "}", 4);
    snprintf(index, sizeof index, "{\"metadata\":{\"total_size\":1},\"weight_map\":%s}", weight_map);
    temp_write(t, "model.safetensors.index.json", index, strlen(index));
}

#define GOOD_MAP "{\"b\":\"model-2.safetensors\",\"a\":\"model-1.safetensors\",\"c\":\"model-1.safetensors\"}"

static void shards_are_opened_in_the_order_of_their_names(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    write_two_shards(&t, GOOD_MAP);
    tsr_safetensors *s = NULL;
    if (tsr_safetensors_open(&s, t.folder)) fail_msg("%s", tsr_message());
    static const char *const names[] = {"a", "c", "b", "x"};
    assert_int_equal(tsr_safetensors_shards(s), 2);
    assert_int_equal(tsr_safetensors_count(s), 4);
    for (int i = 0; i < 4; i++) {
        const tsr_tensor *tensor = tsr_safetensors_at(s, i);
        assert_string_equal(tensor->name, names[i]);
        assert_string_equal(tensor->file,
                            temp_path(&t, i < 2 ? "model-1.safetensors" : "model-2.safetensors"));
        assert_ptr_equal(tsr_safetensors_find(s, names[i]), tensor);
    }
    assert_memory_equal(tsr_safetensors_find(s, "c")->data, "\4\5", 2);
    assert_memory_equal(tsr_safetensors_find(s, "b")->data, "\0\1\2", 3);
    tsr_safetensors_close(s);
    temp_close(&t);
}

static void a_single_file_needs_no_index(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    write_shard(&t, "model.safetensors", "{" U8("a", 0, 4, 4) "}", 4);
    tsr_safetensors *s = NULL;
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_OK);
    assert_int_equal(tsr_safetensors_count(s), 1);
    tsr_safetensors_close(s);
    s = NULL;
    assert_int_equal(tsr_safetensors_open_file(&s, temp_path(&t, "model.safetensors")), TSR_OK);
    assert_non_null(tsr_safetensors_find(s, "a"));
    tsr_safetensors_close(s);

    s = NULL;
    write_shard(&t, "model.safetensors", "{}", 4);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), "/model.safetensors: the tensors end at byte 0 of 4"));
    temp_write(&t, "model.safetensors", "", 0);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), "/model.safetensors: a file of 0 bytes is no safetensors file"));
    unlink(t.path);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_IO);
    assert_non_null(
        strstr(tsr_message(), ": neither model.safetensors.index.json nor model.safetensors is in it"));
    assert_int_equal(symlink("nowhere", t.path), 0);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), "/model.safetensors: No such file or directory"));
    assert_int_equal(tsr_safetensors_open(&s, temp_path(&t, "missing")), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), "/missing: No such file or directory"));
    assert_int_equal(tsr_safetensors_open(&s, temp_write(&t, "file", "x", 1)), TSR_E_IO);
    assert_non_null(strstr(tsr_message(), "/file: not a directory"));
    assert_null(s);
    tsr_safetensors_close(NULL);
    temp_close(&t);
}

static void an_index_that_lies_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *weight_map;
        tsr_status status;
        const char *reason;
    } cases[] = {
        {"[]", TSR_E_FORMAT, ".index.json: 'weight_map' is an array, not an object"},
        {"{}", TSR_E_FORMAT, ".index.json: 'weight_map' is empty"},
        {"{},\"weight_map\":{}", TSR_E_FORMAT,
         ".index.json: the key 'weight_map' stands twice in one object"},
        {"{\"a\":1}", TSR_E_FORMAT, "tensor 'a' is in 'something', which is no plain file name"},
        {"{\"a\":\"../x\"}", TSR_E_FORMAT, "tensor 'a' is in '../x', which is no plain file name"},
        {"{\"a\":\"a/b\"}", TSR_E_FORMAT, "tensor 'a' is in 'a/b', which is no plain file name"},
        {"{\"a\":\"/etc/passwd\"}", TSR_E_FORMAT,
         "tensor 'a' is in '/etc/passwd', which is no plain file name"},
        {"{\"a\":\"..\"}", TSR_E_FORMAT, "tensor 'a' is in '..', which is no plain file name"},
        {"{\"a\":\".\"}", TSR_E_FORMAT, "tensor 'a' is in '.', which is no plain file name"},
        {"{\"a\":\"\"}", TSR_E_FORMAT, "tensor 'a' is in '', which is no plain file name"},
        {"{\"a\":\"model-1.safetensors\",\"b\":\"model-3.safetensors\"}", TSR_E_IO,
         "/model-3.safetensors: No such file or directory"},
        {"{\"a\":\"model-1.safetensors\",\"d\":\"model-1.safetensors\"}", TSR_E_FORMAT,
         ".index.json: tensor 'd' is not in 'model-1.safetensors'"},
        {"{\"a\":\"model-1.safetensors\",\"b\":\"model-1.safetensors\",\"x\":\"model-2.safetensors\"}",
         TSR_E_FORMAT, ".index.json: tensor 'b' is not in 'model-1.safetensors' but in "},
        {"{\"a\":\"model-1.safetensors\",\"b\":\"\\u001b.safetensors\"}", TSR_E_IO,
         "/\\x1b.safetensors: No such"},
        {"{\"a\":\"model-1.safetensors\",\"z\":\"model.safetensors.index.json\"}", TSR_E_FORMAT,
         "model.safetensors.index.json: a header of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temp t;
        temp_open(&t);
        write_two_shards(&t, cases[i].weight_map);
        tsr_safetensors *s = NULL;
        assert_int_equal(tsr_safetensors_open(&s, t.folder), cases[i].status);
        if (!strstr(tsr_message(), cases[i].reason)) fail_msg("%s", tsr_message());
        assert_non_null(strstr(tsr_message(), t.folder));
        assert_null(s);
        temp_close(&t);
    }

    temp t;
    temp_open(&t);
    tsr_safetensors *s = NULL;
    write_two_shards(&t, GOOD_MAP);
    write_shard(&t, "model-2.safetensors", "{" U8("a", 0, 1, 1) "," U8("b", 1, 4, 3) "}", 4);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_FORMAT);
    char message[1024];
    snprintf(message, sizeof message,
             "%s/model.safetensors.index.json: tensor 'a' is in %s/model-1.safetensors and in "
             "%s/model-2.safetensors",
             t.folder, t.folder, t.folder);
    assert_string_equal(tsr_message(), message);

    temp_write(&t, "model.safetensors.index.json", "[]", 2);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), ".index.json: is not an object"));
    temp_write(&t, "model.safetensors.index.json", "{}", 2);
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_FORMAT);
    assert_non_null(strstr(tsr_message(), ".index.json: 'weight_map' is missing"));
    assert_null(s);
    temp_close(&t);
}

static void shards_have_a_limit(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    static char index[TSR_SAFETENSORS_MAX_SHARDS * 32 + 100];
    size_t used = (size_t)snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"a\"");
    for (int i = 0; i < TSR_SAFETENSORS_MAX_SHARDS; i++)
        used += (size_t)snprintf(index + used, sizeof index - used, ",\"t%d\":\"s%d\"", i, i);
    used += (size_t)snprintf(index + used, sizeof index - used, "}}");
    temp_write(&t, "model.safetensors.index.json", index, used);
    tsr_safetensors *s = NULL;
    assert_int_equal(tsr_safetensors_open(&s, t.folder), TSR_E_LIMIT);
    assert_non_null(strstr(tsr_message(), ": 1025 shards; at most 1024 are read"));
    temp_close(&t);
}

static void every_failing_allocation_gives_a_message(void **state)
{
    (void)state;
    temp t;
    temp_open(&t);
    write_two_shards(&t, GOOD_MAP);
    for (int sticky = 0; sticky < 2; sticky++) {
        tsr_safetensors *s = NULL;
        int64_t n = 1;
        for (;; n++) {
            tsr_alloc_fail_at(n, sticky);
            tsr_status st = tsr_safetensors_open(&s, t.folder);
            tsr_alloc_fail_at(0, 0);
            if (!st) break;
            assert_int_equal(st, TSR_E_NOMEM);
            assert_non_null(strstr(tsr_message(), "no memory"));
            assert_non_null(strstr(tsr_message(), t.folder));
            assert_null(s);
        }
        assert_true(n > 80); /* JSON values among them */
        tsr_safetensors_close(s);
    }
    temp_close(&t);
}

static void shapes_are_cut_to_their_buffer(void **state)
{
    (void)state;
    char text[8];
    assert_string_equal(tsr_shape_text(text, sizeof text, (const int64_t[]){4096, 1024}, 2), "[4096, ");
    assert_string_equal(tsr_shape_text(text, sizeof text, (const int64_t[]){1, 2}, 2), "[1, 2]");
    assert_string_equal(tsr_shape_text(text, 1, (const int64_t[]){1}, 1), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_offsets_scalars_and_empty_tensors_are_read),
        cmocka_unit_test(a_file_may_hold_no_tensors),
        cmocka_unit_test(wrong_headers_are_refused),
        cmocka_unit_test(long_names_leave_room_for_the_reason),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(truncation_is_noticed_at_every_byte),
        cmocka_unit_test(shards_are_opened_in_the_order_of_their_names),
        cmocka_unit_test(a_single_file_needs_no_index),
        cmocka_unit_test(an_index_that_lies_is_refused),
        cmocka_unit_test(shards_have_a_limit),
        cmocka_unit_test(every_failing_allocation_gives_a_message),
        cmocka_unit_test(shapes_are_cut_to_their_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
