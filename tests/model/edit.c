/* tests/model/edit.c: read, find, replace. */
#include "edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"
#include "model.h"

unsigned char *edited(size_t *bytes, const char *path, const char *from, const char *to)
{
    char full[512];
    unsigned char *read;
    snprintf(full, sizeof full, "%s/tests/vectors/models/%s", TSR_SOURCE_DIR, path);
    must(tsr_file_read(&read, bytes, full, (size_t)1 << 24));

    size_t n_from = from ? strlen(from) : 0, n_to = from ? strlen(to) : 0;
    unsigned char *out = malloc(*bytes + n_to + 1), *at = read;
    assert_non_null(out);
    if (from) at = memmem(read, *bytes, from, n_from);
    if (!at) fail_msg("%s does not hold '%s'", path, from);
    size_t before = (size_t)(at - read), after = *bytes - before - n_from;
    memcpy(out, read, before);
    if (from) memcpy(out + before, to, n_to);
    memcpy(out + before + n_to, at + n_from, after);
    *bytes = before + n_to + after;
    out[*bytes] = '\0';
    tsr_free(read);
    return out;
}
