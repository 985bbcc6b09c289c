/* base/map.c: files, mapped or read whole. */
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/* Open maps, for tsr_map_at. A signal handler walks this table while other threads open and close maps, so it
 * is a fixed array of atomics: nothing it reads is ever freed but the path of a map that is being closed, in
 * which no thread can be reading. `begin` is 0 in a free slot; `end` is 0 unless the slot is complete. */
static struct {
    atomic_uintptr_t begin, end;
    _Atomic(const char *) path;
} open_maps[TSR_MAX_MAPS];

static int enter(const tsr_map *map, const char *shown)
{
    for (int i = 0; i < TSR_MAX_MAPS; i++) {
        uintptr_t vacant = 0;
        uintptr_t begin = (uintptr_t)map->data;
        if (!atomic_compare_exchange_strong(&open_maps[i].begin, &vacant, begin)) continue;
        atomic_store(&open_maps[i].path, shown);
        atomic_store(&open_maps[i].end, begin + map->bytes);
        return 1;
    }
    return 0;
}

static void leave(const tsr_map *map)
{
    for (int i = 0; i < TSR_MAX_MAPS; i++) {
        if (atomic_load(&open_maps[i].begin) != (uintptr_t)map->data) continue;
        atomic_store(&open_maps[i].end, 0);
        atomic_store(&open_maps[i].begin, 0);
        return;
    }
}

const char *tsr_map_at(const void *address)
{
    uintptr_t at = (uintptr_t)address;
    for (int i = 0; i < TSR_MAX_MAPS; i++)
        if (at >= atomic_load(&open_maps[i].begin) && at < atomic_load(&open_maps[i].end))
            return atomic_load(&open_maps[i].path);
    return NULL;
}

/* A regular file for reading, and its size. O_NONBLOCK: opening a pipe must not wait for its writer. */
static tsr_status open_regular(int *fd, size_t *bytes, const char *path)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (opened < 0) return tsr_fail(TSR_E_IO, "%s: %s", path, strerror(errno));
    struct stat info;
    tsr_status st = TSR_OK;
    if (fstat(opened, &info))
        st = tsr_fail(TSR_E_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = tsr_fail(TSR_E_IO, "%s: %s, not a regular file", path,
                      S_ISDIR(info.st_mode) ? "a directory" : "a device or pipe");
    if (st) {
        close(opened);
        return st;
    }
    *fd = opened;
    *bytes = (size_t)info.st_size;
    return TSR_OK;
}

/* The path, and behind its NUL the path once more as it may be shown on a terminal. */
static char *copy_path(const char *path)
{
    size_t bytes = strlen(path) + 1;
    size_t shown_bytes = 4 * bytes + 2; /* \xNN for each; tsr_escape stops 5 bytes before the end */
    char *copy = tsr_alloc(bytes + shown_bytes);
    if (!copy) return NULL;
    memcpy(copy, path, bytes);
    tsr_escape(copy + bytes, shown_bytes, path);
    return copy;
}

tsr_status tsr_map_open(tsr_map *out, const char *path)
{
    tsr_map map = {0};
    int fd = -1;
    tsr_status st = open_regular(&fd, &map.bytes, path);
    if (st) return st;

    map.path = copy_path(path);
    if (!map.path) {
        st = tsr_fail(TSR_E_NOMEM, "%s: no memory for its path", path);
    } else if (map.bytes) {
        void *data = mmap(NULL, map.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            st = tsr_fail(TSR_E_IO, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            map.data = data;
        if (!st && !enter(&map, map.path + strlen(path) + 1)) {
            munmap(data, map.bytes);
            st = tsr_fail(TSR_E_LIMIT, "%s: %d files are mapped already", path, TSR_MAX_MAPS);
        }
    }
    close(fd);
    if (st) {
        tsr_free(map.path);
        return st;
    }
    *out = map;
    return TSR_OK;
}

void tsr_map_close(tsr_map *map)
{
    if (map->data) {
        leave(map);
        munmap((void *)(uintptr_t)map->data, map->bytes);
    }
    tsr_free(map->path);
    *map = (tsr_map){0};
}

tsr_status tsr_file_read(unsigned char **out, size_t *bytes, const char *path, size_t max_bytes)
{
    int fd = -1;
    size_t size = 0;
    tsr_status st = open_regular(&fd, &size, path);
    if (st) return st;

    unsigned char *data = NULL;
    if (size > max_bytes || size == SIZE_MAX)
        st = tsr_fail(TSR_E_LIMIT, "%s: %zu bytes; at most %zu are read", path, size, max_bytes);
    else if (!(data = tsr_alloc(size + 1)))
        st = tsr_fail(TSR_E_NOMEM, "%s: no memory for %zu bytes", path, size);
    for (size_t used = 0; !st && used < size;) {
        ssize_t n = read(fd, data + used, size - used);
        if (n > 0)
            used += (size_t)n;
        else if (n == 0)
            st = tsr_fail(TSR_E_IO, "%s: ended at byte %zu of %zu while it was read", path, used, size);
        else if (errno != EINTR)
            st = tsr_fail(TSR_E_IO, "%s: %s", path, strerror(errno));
    }
    close(fd);
    if (st) {
        tsr_free(data);
        return st;
    }
    data[size] = '\0';
    *out = data;
    *bytes = size;
    return TSR_OK;
}

char *tsr_path_join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = tsr_alloc(bytes);
    if (path) snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

/* A file that was not there, beside `path`. Its name is made from the process and a counter, so that neither
 * threads nor processes meet; a stale one of an earlier life is passed over. */
static int open_beside(char *beside, size_t bytes, const char *path)
{
    static atomic_uint counter;
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(beside, bytes, "%s.tmp-%ld-%u", path, (long)getpid(), atomic_fetch_add(&counter, 1));
        int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static int write_all(int fd, const unsigned char *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return 0;
        data += n;
        bytes -= (size_t)n;
    }
    return 1;
}

tsr_status tsr_file_write(const char *path, const tsr_file_piece *pieces, int n_pieces)
{
    size_t bytes = strlen(path) + 48; /* ".tmp-", two numbers */
    char *beside = tsr_alloc(bytes);
    if (!beside) return tsr_fail(TSR_E_NOMEM, "%s: no memory for its path", path);
    int fd = open_beside(beside, bytes, path);
    if (fd < 0) {
        tsr_status st = tsr_fail(TSR_E_IO, "%s: %s", path, strerror(errno));
        tsr_free(beside);
        return st;
    }

    int ok = 1;
    for (int i = 0; ok && i < n_pieces; i++) ok = write_all(fd, pieces[i].data, pieces[i].bytes);
    int reason = errno;
    if (close(fd) && ok) {
        ok = 0; /* a full disk over the network shows only here */
        reason = errno;
    }
    if (ok && rename(beside, path)) {
        ok = 0;
        reason = errno;
    }
    tsr_status st = TSR_OK;
    if (!ok) {
        unlink(beside);
        st = tsr_fail(TSR_E_IO, "%s: %s", path, strerror(reason));
    }
    tsr_free(beside);
    return st;
}
