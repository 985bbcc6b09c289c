/* preprocess/resize_kernels.h: the inner loops of the resize, one table per CPU level.
 *
 * A weight is an integer of 22 fraction bits. Each level cuts it into parts that its multiplier takes and adds
 * the parts up again modulo 2^32, so that all levels give the reference's 32-bit sum exactly.
 */
#ifndef TSR_RESIZE_KERNELS_H
#define TSR_RESIZE_KERNELS_H

#include <stdint.h>

#define TSR_TAP_GROUP 4     /* taps packed together; the last group is filled with zero weights */
#define TSR_TAP_MAX_WORDS 4 /* 32-bit words of one packed group, at most */
#define TSR_WEIGHT_BITS 22

/* Weights of one direction: output o is the sum of n[o] source pixels from lo[o] on. */
typedef struct tsr_taps {
    int64_t n_out;  /* a multiple of 4: outputs past the real ones have no taps */
    int64_t stride; /* words of packed weights per output */
    int32_t *lo, *n;
    int32_t *packed;
} tsr_taps;

typedef struct tsr_resize_kernels {
    const char *name;
    int words; /* per group */

    /* Cut TSR_TAP_GROUP weights, each of magnitude below 2^23, into `words` words. */
    void (*pack)(int32_t *to, const int32_t *weights);

    /* Resize rows: n_rows of `in` to n_rows of `out`, RGB interleaved. Reads up to 16 bytes past a row's last
     * pixel; writes 3 * t->n_out bytes and up to 4 more per row. */
    void (*across)(uint8_t *out, int64_t out_stride, const uint8_t *in, int64_t in_stride, int64_t n_rows,
                   const tsr_taps *t);

    /* One run of an output row: out[i] = clamp(round(sum over k < n_taps of weight[k] * in[k * in_stride + i]))
     * for i < n_bytes. */
    void (*down)(uint8_t *out, const uint8_t *in, int64_t in_stride, int64_t n_bytes, const int32_t *packed,
                 int64_t n_taps);
} tsr_resize_kernels;

extern const tsr_resize_kernels tsr_resize_scalar;
#if defined(__x86_64__)
extern const tsr_resize_kernels tsr_resize_avx2; /* TSR_CPU_AVX2 */
extern const tsr_resize_kernels tsr_resize_vnni; /* TSR_CPU_AVX512_VNNI */
#endif

/* The best for tsr_cpu_features(). */
const tsr_resize_kernels *tsr_resize_kernels_pick(unsigned features);

#endif
