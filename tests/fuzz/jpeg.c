/* tests/fuzz/jpeg.c: an options byte, then a file that is taken for a JPEG. */
#include "tests/fuzz/pixels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 4 || memcmp(data + 1, "\377\330\377", 3)) return 0; /* other formats: tests/fuzz/png.c */
    return fuzz_picture(data, bytes);
}
