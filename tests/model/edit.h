/* tests/model/edit.h: files of tests/vectors with a piece replaced. */
#ifndef TEST_EDIT_H
#define TEST_EDIT_H

#include <stddef.h>

/* Read tests/vectors/models/PATH and replace the first `from` by `to`; fails the test when it is not there.
 * NULL `from`: as it is. NUL behind the end; to be freed. */
unsigned char *edited(size_t *bytes, const char *path, const char *from, const char *to);

#endif
