/* base/map.h: files, mapped or read whole.
 *
 * A mapped file that shrinks while it is read would end the program with SIGBUS. Maps register themselves, so
 * that a handler installed once can say which file it was: "NAME shrank while mapped", exit 1. Any thread may
 * open, close, read and write at any time.
 */
#ifndef TSR_MAP_H
#define TSR_MAP_H

#include <stddef.h>

#include "base/status.h"

#define TSR_MAX_MAPS 4096 /* open at the same time */

typedef struct tsr_map {
    const unsigned char *data; /* read only; page aligned; NULL for an empty file */
    size_t bytes;
    char *path;
} tsr_map;

/* Map a regular file read-only. A directory, device or pipe is refused. Errors: TSR_E_IO with path and
 * reason, TSR_E_LIMIT past TSR_MAX_MAPS, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_map_open(tsr_map *out, const char *path);
void tsr_map_close(tsr_map *map); /* a zeroed map is a no-op */

/* The path of the open map that `address` lies in, control characters escaped, so that it can be written to a
 * terminal as it is; NULL if there is none. For the program's SIGBUS handler, with si_addr.
 * Async-signal-safe; the text lives as long as the map. */
const char *tsr_map_at(const void *address);

/* Read a regular file of at most max_bytes into memory with a NUL behind it; free with tsr_free. Larger is
 * TSR_E_LIMIT, naming the size found and the limit. */
TSR_CHECKED tsr_status tsr_file_read(unsigned char **out, size_t *bytes, const char *path, size_t max_bytes);

/* "folder/name", to be freed with tsr_free; NULL when there is no memory. */
char *tsr_path_join(const char *folder, const char *name);

typedef struct tsr_file_piece {
    const void *data;
    size_t bytes;
} tsr_file_piece;

/* Write a file that consists of these pieces, whole or not at all: they go to a new file beside `path`, which
 * then takes its place. On failure `path` is as it was. Errors: TSR_E_IO, TSR_E_NOMEM. */
TSR_CHECKED tsr_status tsr_file_write(const char *path, const tsr_file_piece *pieces, int n_pieces);

#endif
