/* tests/fuzz/fuzz.h: what a fuzz target defines, and how it states a property. */
#ifndef TSR_FUZZ_H
#define TSR_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Called with each input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A property that holds for every input. Unlike assert it stays in every build type. */
#define FUZZ_CHECK(property)                                                                                 \
    do {                                                                                                     \
        if (!(property)) {                                                                                   \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #property);                           \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
