/* kernels/made_up.c: counters through a mixing function, eight bytes for each draw, so that tens of gigabytes take
 * seconds.
 */
#include "kernels/made_up.h"

#include <string.h>

#define FILL_PIECE ((size_t)1 << 20)

/* One fixed exponent in `base`; signs and mantissas, which `mask` lets through, are drawn. */
typedef struct random_fill {
    unsigned char *to;
    size_t bytes;
    uint64_t key, mask, base;
} random_fill;

/* The finaliser of SplitMix64. */
static uint64_t mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t tsr_made_up_key(uint64_t seed, const char *name, int64_t layer)
{
    uint64_t key = mix(seed + (uint64_t)layer);
    for (; *name; name++) key = mix(key ^ (unsigned char)*name);
    return key;
}

float tsr_made_up_unit(uint64_t key, int64_t i)
{
    return (float)(mix(key + (uint64_t)i) >> 40) * 0x1p-24f;
}

static void fill_piece(void *arg, int64_t piece, int worker)
{
    (void)worker;
    const random_fill *f = arg;
    size_t begin = (size_t)piece * FILL_PIECE;
    size_t end = f->bytes - begin < FILL_PIECE ? f->bytes : begin + FILL_PIECE;
    for (size_t at = begin; at < end; at += 8) {
        uint64_t draw = (mix(f->key + at) & f->mask) | f->base;
        memcpy(f->to + at, &draw, end - at < 8 ? end - at : 8);
    }
}

void tsr_made_up_fill(tsr_pool *pool, void *to, size_t bytes, uint64_t key, tsr_dtype type, int exponent)
{
    random_fill f = {.to = to, .bytes = bytes, .key = key};
    uint64_t repeat16 = 0x0001000100010001u, repeat32 = 0x0000000100000001u, repeat8 = 0x0101010101010101u;
    switch (type) {
    case TSR_F32:
        f.mask = 0x807fffffu * repeat32;
        f.base = (uint64_t)((127 + exponent) << 23) * repeat32;
        break;
    case TSR_F16:
        f.mask = 0x83ffu * repeat16;
        f.base = (uint64_t)((exponent < -14 ? 1 : 15 + exponent) << 10) * repeat16;
        break;
    case TSR_FP8:
        f.mask = 0x87u * repeat8;
        f.base = (7u << 3) * repeat8; /* 1 to 1.875 */
        break;
    default: f.mask = 0x807fu * repeat16; f.base = (uint64_t)((127 + exponent) << 7) * repeat16;
    }
    int64_t pieces = (int64_t)((bytes + FILL_PIECE - 1) / FILL_PIECE);
    if (pool)
        tsr_pool_run(pool, pieces, fill_piece, &f);
    else
        for (int64_t i = 0; i < pieces; i++) fill_piece(&f, i, 0);
}
