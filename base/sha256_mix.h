/* base/sha256_mix.h: the compression of SHA-256, for the files of base/ that implement it. */
#ifndef TSR_SHA256_MIX_H
#define TSR_SHA256_MIX_H

#include <stddef.h>
#include <stdint.h>

extern const uint32_t tsr_sha256_k[64];

/* Mix n blocks of 64 bytes into h. */
void tsr_sha256_mix_x86(uint32_t h[8], const unsigned char *blocks, size_t n);

#endif
