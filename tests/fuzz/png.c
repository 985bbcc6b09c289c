/* tests/fuzz/png.c: an options byte, then a file, a PNG or anything else that is no JPEG.
 *
 * Checksums would keep a fuzzer out of libpng, so those of all chunks are set right first.
 */
#include "tests/fuzz/pixels.h"

static uint32_t crc32_of(const uint8_t *data, size_t bytes)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void mend_checksums(uint8_t *file, size_t bytes)
{
    size_t at = 8;
    while (at <= bytes && bytes - at >= 12) {
        uint8_t *chunk = file + at;
        size_t length = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 | chunk[3];
        if (length > bytes - at - 12) return;
        uint32_t crc = crc32_of(chunk + 4, length + 4);
        for (int i = 0; i < 4; i++) chunk[8 + length + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2 || (bytes >= 4 && !memcmp(data + 1, "\377\330\377", 3))) return 0;
    uint8_t *mended = malloc(bytes);
    memcpy(mended, data, bytes);
    mend_checksums(mended + 1, bytes - 1);
    fuzz_picture(mended, bytes);
    free(mended);
    return 0;
}
