/* base/sha256_x86.c: the compression of SHA-256 with the instructions for it; built with their flags, entered only where
 * base/sha256.c found them. A page's tiles are 8 MB, and their hash stands between a picture and its first token.
 *
 * Source: FIPS 180-4 section 6.2.2; Intel SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.
 */
#include "base/sha256_mix.h"

#include <immintrin.h>

void tsr_sha256_mix_x86(uint32_t h[8], const unsigned char *blocks, size_t n)
{
    const __m128i bytes_of_words = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
    __m128i cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
    for (; n; n--, blocks += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[16]; /* four words each */
        for (int g = 0; g < 16; g++) {
            if (g < 4) {
                w[g] = _mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * g));
                w[g] = _mm_shuffle_epi8(w[g], bytes_of_words);
            } else {
                __m128i seventh = _mm_alignr_epi8(w[g - 1], w[g - 2], 4); /* w[t - 7] */
                w[g] = _mm_add_epi32(_mm_sha256msg1_epu32(w[g - 4], w[g - 3]), seventh);
                w[g] = _mm_sha256msg2_epu32(w[g], w[g - 1]);
            }
            __m128i k = _mm_loadu_si128((const __m128i *)(const void *)(tsr_sha256_k + 4 * g));
            __m128i wk = _mm_add_epi32(w[g], k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk); /* two rounds: what was abef is now cdgh */
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    h[0] = (uint32_t)_mm_extract_epi32(abef, 3);
    h[1] = (uint32_t)_mm_extract_epi32(abef, 2);
    h[2] = (uint32_t)_mm_extract_epi32(cdgh, 3);
    h[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
    h[4] = (uint32_t)_mm_extract_epi32(abef, 1);
    h[5] = (uint32_t)_mm_extract_epi32(abef, 0);
    h[6] = (uint32_t)_mm_extract_epi32(cdgh, 1);
    h[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}
