/* tests/fuzz/safetensors.c: accepted tensors lie in the file, cover its data without overlap, and are as long
 * as their shape and type say.
 *
 * An input is read twice: as a file; and as a number of data bytes (two bytes) and a header, to which the
 * right length is put, so that changes of the header alone get past the first check.
 */
#include "base/safetensors.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

static uint64_t bits_of(const char *dtype)
{
    static const struct {
        const char *names; /* each between blanks */
        uint64_t bits;
    } sizes[] = {
        {" F4 ", 4},
        {" F6_E2M3 F6_E3M2 ", 6},
        {" BOOL U8 I8 F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ ", 8},
        {" I16 U16 F16 BF16 ", 16},
        {" I32 U32 F32 ", 32},
        {" I64 U64 F64 C64 ", 64},
    };
    char word[32];
    snprintf(word, sizeof word, " %s ", dtype);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strstr(sizes[i].names, word)) return sizes[i].bits;
    return 0;
}

/* The library's own types, where it has them, are as wide as the file's. */
static void check_form(const tsr_tensor *t)
{
    uint64_t bits = bits_of(t->dtype_name);
    FUZZ_CHECK(bits && (t->type == TSR_DTYPE_OTHER || tsr_dtype_bytes(t->type) * 8 == bits));
    FUZZ_CHECK(t->n_dims >= 0 && t->n_dims <= TSR_TENSOR_MAX_DIMS);
    unsigned __int128 product = 1;
    for (int i = 0; i < t->n_dims; i++) {
        FUZZ_CHECK(t->shape[i] >= 0);
        product *= (uint64_t)t->shape[i];
        FUZZ_CHECK(product <= UINT64_MAX);
    }
    FUZZ_CHECK(product == (uint64_t)t->elements && product * bits == (unsigned __int128)t->bytes * 8);
}

static void check_file(const uint8_t *data, size_t bytes)
{
    tsr_safetensors *s = NULL;
    if (tsr_safetensors_parse(&s, data, bytes, "input")) {
        FUZZ_CHECK(!s && *tsr_message());
        return;
    }
    const unsigned char *header = NULL;
    size_t header_bytes = 0, file_bytes = 0;
    FUZZ_CHECK(tsr_safetensors_shards(s) == 1);
    tsr_safetensors_header(s, 0, &header, &header_bytes, &file_bytes);
    FUZZ_CHECK(header == data + 8 && file_bytes == bytes && header_bytes <= bytes - 8);

    const unsigned char *at = header + header_bytes;
    for (int64_t i = 0; i < tsr_safetensors_count(s); i++) {
        const tsr_tensor *t = tsr_safetensors_at(s, i);
        check_form(t);
        FUZZ_CHECK((const unsigned char *)t->data == at && t->bytes <= (size_t)(data + bytes - at));
        FUZZ_CHECK(tsr_safetensors_find(s, t->name) == t);
        at += t->bytes;
    }
    FUZZ_CHECK(at == data + bytes);
    tsr_safetensors_close(s);

    s = NULL;
    FUZZ_CHECK(tsr_safetensors_parse(&s, data, bytes - 1, "cut") == TSR_E_FORMAT && !s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    check_file(data, bytes);
    if (bytes < 2) return 0;

    size_t data_bytes = data[0] + 256u * data[1], header_bytes = bytes - 2;
    uint8_t *file = calloc(1, 8 + header_bytes + data_bytes);
    FUZZ_CHECK(file);
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)header_bytes >> (8 * i));
    memcpy(file + 8, data + 2, header_bytes);
    check_file(file, 8 + header_bytes + data_bytes);
    free(file);
    return 0;
}
