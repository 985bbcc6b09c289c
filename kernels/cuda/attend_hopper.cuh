/* kernels/cuda/attend_hopper.cuh: the copies and products that attention takes besides those of hopper.cuh: boxes of
 * tensors of 3 and 4 dimensions, scores of some widths, and sums whose second operand lies with k going down its rows.
 * Accumulators must not be touched while a product runs.
 */
#ifndef TSR_CUDA_ATTEND_HOPPER_CUH
#define TSR_CUDA_ATTEND_HOPPER_CUH

#include "kernels/cuda/hopper.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

/* ---------------------------------------------------------------- copies --------------------------------- */

/* A box of a tensor of 3 or 4 dimensions, the innermost first; outside the tensor it is zeros. */
CUDA_INLINE void hopper_copy(void *to, const CUtensorMap *map, uint64_t *barrier, int c0, int c1, int c2)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5}], [%2];" ::"r"(hopper_shared(to)),
                 "l"(map), "r"(hopper_shared(barrier)), "r"(c0), "r"(c1), "r"(c2)
                 : "memory");
}
CUDA_INLINE void hopper_copy(void *to, const CUtensorMap *map, uint64_t *barrier, int c0, int c1, int c2,
                             int c3)
{
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5, %6}], [%2];" ::"r"(hopper_shared(to)),
                 "l"(map), "r"(hopper_shared(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
                 : "memory");
}

/* hopper_wait in a loop that the compiler sees, and moves work around: attention takes other schedules with each. */
CUDA_INLINE void hopper_await(uint64_t *barrier, unsigned parity)
{
    uint32_t at = hopper_shared(barrier), over;
    do
        asm volatile("{\n\t.reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(over)
                     : "r"(at), "r"(parity)
                     : "memory");
    while (!over);
}

/* ---------------------------------------------------------------- products ------------------------------- */

/* A tile with the summed dimension going down its rows (V); `next` bytes lie between its groups of 64 columns. */
CUDA_INLINE uint64_t hopper_tile_down(const void *tile, int next)
{
    return (hopper_tile(tile) & ~((uint64_t)0x3fff << 16)) | (uint64_t)(next >> 4) << 16;
}

/* The same descriptor, so many bytes further on. */
CUDA_INLINE uint64_t hopper_further(uint64_t tile, int bytes)
{
    return tile + (bytes >> 4);
}

#define D8(i)                                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),              \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define D32(i) D8(i), D8(i + 8), D8(i + 16), D8(i + 24)
#define R0                                                                                                   \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27," \
    "%28,%29,%30,%31"
#define R32                                                                                                  \
    R0 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%"  \
       "56,%57,%58,%59,%60,%61,%62,%63"
#define R64                                                                                                  \
    R32 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87"
#define R88 R64 ",%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103"

/* d[64 x 2 n] = a b' + d if `add`; a and b from shared memory, both with 64 values of k to a row. */
#define SCORES(width, n, registers, operands, a_at, b_at, p_at)                                              \
    CUDA_INLINE void hopper_scores(float(&d)[n], uint64_t a, uint64_t b, bool add)                           \
    {                                                                                                        \
        asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" p_at ", 0;\n\t"                                \
                     "wgmma.mma_async.sync.aligned.m64n" width "k16.f32.bf16.bf16 {" registers "}, %" a_at   \
                     ", %" b_at ", p, 1, 1, 0, 0;\n\t}"                                                      \
                     : operands                                                                              \
                     : "l"(a), "l"(b), "r"((int)add));                                                       \
    }
#define W(...) __VA_ARGS__
SCORES("16", 8, "%0,%1,%2,%3,%4,%5,%6,%7", W(D8(0)), "8", "9", "10")
SCORES("128", 64, R32, W(D32(0), D32(32)), "64", "65", "66")
SCORES("176", 88, R64, W(D32(0), D32(32), D8(64), D8(72), D8(80)), "88", "89", "90")
SCORES("208", 104, R88, W(D32(0), D32(32), D32(64), D8(96)), "104", "105", "106")

/* d[64 x 2 n] = a b + d if `add`; a from registers, as cuda_mma_bf16 has it; b lies with k going down its rows. */
#define SUMS(width, n, registers, operands, a_at, b_at, p_at)                                                \
    CUDA_INLINE void hopper_sums(float(&d)[n], const uint32_t *a, uint64_t b, bool add)                      \
    {                                                                                                        \
        asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" p_at ", 0;\n\t"                                \
                     "wgmma.mma_async.sync.aligned.m64n" width "k16.f32.bf16.bf16 {" registers "}, {" a_at   \
                     "}, %" b_at ", p, 1, 1, 1;\n\t}"                                                        \
                     : operands                                                                              \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));                   \
    }
SUMS("64", 32, R0, W(D32(0)), "%32,%33,%34,%35", "36", "37")
SUMS("128", 64, R32, W(D32(0), D32(32)), "%64,%65,%66,%67", "68", "69")

#undef D8
#undef D32
#undef R0
#undef R32
#undef R64
#undef R88
#undef SCORES
#undef SUMS
#undef W

#endif
#endif
