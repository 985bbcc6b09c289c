/* base/sha256.h: SHA-256 (FIPS 180-4), for model ids, image keys and state files. */
#ifndef TSR_SHA256_H
#define TSR_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct tsr_sha256 {
    uint32_t h[8];
    uint64_t bytes;
    unsigned char block[64];
} tsr_sha256;

void tsr_sha256_begin(tsr_sha256 *s);
void tsr_sha256_add(tsr_sha256 *s, const void *data, size_t bytes);
void tsr_sha256_end(tsr_sha256 *s, unsigned char digest[32]);

/* 64 lower-case hex digits and NUL. */
void tsr_sha256_hex(char to[65], const unsigned char digest[32]);

#endif
