/* tests/unit/temp.h: files that a test makes and takes away again. Include after cmocka.h. */
#ifndef TSR_TEMP_H
#define TSR_TEMP_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct temp {
    char folder[64];
    char path[512]; /* of the last file asked for */
} temp;

static inline void temp_open(temp *t)
{
    snprintf(t->folder, sizeof t->folder, "/tmp/tsr-test-XXXXXX");
    assert_non_null(mkdtemp(t->folder));
}

static inline int temp_remove(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info, (void)flag, (void)where;
    return remove(path);
}

static inline void temp_close(temp *t)
{
    assert_int_equal(nftw(t->folder, temp_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline const char *temp_path(temp *t, const char *name)
{
    snprintf(t->path, sizeof t->path, "%s/%s", t->folder, name);
    return t->path;
}

/* Make a file, and the folders on its way. */
static inline const char *temp_write(temp *t, const char *name, const void *data, size_t bytes)
{
    temp_path(t, name);
    for (char *slash = t->path + strlen(t->folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(t->path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(t->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    return t->path;
}

#endif
