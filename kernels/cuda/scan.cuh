/* kernels/cuda/scan.cuh: what the plain scan and the one on tensor cores share. */
#ifndef TSR_CUDA_SCAN_CUH
#define TSR_CUDA_SCAN_CUH

#include "kernels/cuda/mamba.cuh"

struct scan_args {
    tsr_view y, xbc, dt;
    mixer_shape m;
    tsr_slots ssm;
    tsr_step step;
};

/* ---------------------------------------------------------------- pieces -------------------------------- */

struct piece {
    int row;   /* its first, of the step */
    int n;     /* 0: the sequence has no such piece */
    int place; /* in the workspace */
};

/* Number of the piece that holds a position, counted from position 0. */
CUDA_INLINE int piece_at(const mixer_shape &m, int pos)
{
    return pos / m.chunk * m.pieces + pos % m.chunk / m.piece;
}

/* Pieces of sequence i in this step. */
CUDA_INLINE int n_pieces(const scan_args &a, int64_t i)
{
    int pos = a.step.pos[i], rows = a.step.spans.start[i + 1] - a.step.spans.start[i];
    return rows == 0 ? 0 : piece_at(a.m, pos + rows - 1) - piece_at(a.m, pos) + 1;
}

/* Where the first piece of sequence i lies: rows touch at most rows / chunk + 2 chunks. */
CUDA_INLINE int first_place(const scan_args &a, int64_t i)
{
    int before = a.step.spans.start[i] - a.step.spans.start[a.step.n_decode];
    return (before / a.m.chunk + 2 * (int)(i - a.step.n_decode)) * a.m.pieces;
}

CUDA_INLINE piece piece_of(const scan_args &a, int64_t i, int k)
{
    int pos = a.step.pos[i], start = a.step.spans.start[i], rows = a.step.spans.start[i + 1] - start;
    if (k >= n_pieces(a, i)) return piece{0, 0, 0};
    int number = piece_at(a.m, pos) + k, chunk = number / a.m.pieces * a.m.chunk;
    int begin = chunk + number % a.m.pieces * a.m.piece, end = begin + a.m.piece;
    if (end > chunk + a.m.chunk) end = chunk + a.m.chunk;
    if (begin < pos) begin = pos;
    if (end > pos + rows) end = pos + rows;
    return piece{start + begin - pos, end - begin, first_place(a, i) + k};
}

/* One piece after another; divisions happen once. */
struct walk {
    int pos, end, chunk; /* of the sequence: its first row, behind its last, where the chunk begins */
    int part;            /* piece of the chunk */

    __device__ __forceinline__ walk(const mixer_shape &m, int pos_, int rows)
        : pos(pos_), end(pos_ + rows), chunk(pos_ / m.chunk * m.chunk), part(pos_ % m.chunk / m.piece)
    {
    }

    __device__ __forceinline__ void next(const mixer_shape &m)
    {
        if (++part < m.pieces) return;
        part = 0;
        chunk += m.chunk;
    }

    /* First row, counted from that of the sequence in this step, and number of rows. */
    __device__ __forceinline__ void rows(const mixer_shape &m, int &first, int &n) const
    {
        int begin = chunk + part * m.piece, stop = begin + m.piece;
        if (stop > chunk + m.chunk) stop = chunk + m.chunk;
        if (begin < pos) begin = pos;
        if (stop > end) stop = end;
        first = begin - pos;
        n = stop - begin;
    }
};

/* Pieces that the rows behind the decode rows may need, over all sequences; those of the longest one. */
static inline size_t scan_places(const tsr_mixer *m, const tsr_step *step)
{
    int64_t chunks = cuda_prefill_rows(step) / m->chunk + 2 * (step->n_seqs - step->n_decode);
    return tsr_mul((size_t)chunks, (size_t)cuda_mixer_shape(m).pieces);
}

static inline int64_t scan_longest(const tsr_mixer *m, const tsr_step *step)
{
    return (step->max_new / m->chunk + 2) * cuda_mixer_shape(m).pieces;
}

/* ---------------------------------------------------------------- the state ----------------------------- */

/* Elements i and i + 1 of one layer's state in a slot; i is even. Written, `pos` tokens are in the state. */
CUDA_INLINE void scan_load_state2(float *to, const void *state, tsr_dtype type, int i)
{
    to[0] = cuda_load(state, type, i), to[1] = cuda_load(state, type, i + 1);
}

CUDA_INLINE void scan_store_state2(void *state, tsr_dtype type, int i, const float *v, int pos)
{
    if (type == TSR_F32) {
        float *at = (float *)state + i;
        at[0] = v[0], at[1] = v[1];
    } else {
        uint16_t *at = (uint16_t *)state + i;
        uint32_t random = tsr_half_random((uint32_t)pos, (uint32_t)i / 8);
        uint32_t both = cuda_to_half2(v[0], v[1], random, i % 8);
        at[0] = (uint16_t)both, at[1] = (uint16_t)(both >> 16);
    }
}

/* ---------------------------------------------------------------- quick arithmetic ---------------------- */

/* For values that are about to be rounded to bf16. */

CUDA_INLINE float quick_exp2(float x)
{
#ifdef __CUDA_ARCH__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2f(x);
#endif
}

CUDA_INLINE float quick_silu(float u)
{
    return __fdividef(u, 1 + quick_exp2(-1.44269504f * u));
}

CUDA_INLINE uint32_t quick_bf16x2(float low, float high)
{
#ifdef __CUDA_ARCH__
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return cuda_to_bf16x2(low, high);
#endif
}

CUDA_INLINE float quick_low(uint32_t pair)
{
    return __uint_as_float(pair << 16);
}

CUDA_INLINE float quick_high(uint32_t pair)
{
    return __uint_as_float(pair & 0xffff0000u);
}

/* Eight values in E4M3, saturated, as elements c .. c + 7; one or eight stores. */
CUDA_INLINE void quick_store_fp8(unsigned char *to, int c, const float *v)
{
    uint32_t words[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
        uint16_t pair;
        asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(v[i + 1]), "f"(v[i]));
#else
        uint32_t pair = cuda_to_fp8(v[i]) | cuda_to_fp8(v[i + 1]) << 8;
#endif
        words[i / 4] |= (uint32_t)pair << 8 * (i % 4);
    }
    if (cuda_aligned(to + c, 8))
        *(uint2 *)(to + c) = make_uint2(words[0], words[1]);
    else
        for (int i = 0; i < 8; i++) to[c + i] = (unsigned char)(words[i / 4] >> 8 * (i % 4));
}

/* ---------------------------------------------------------------- on tensor cores ----------------------- */

/* In scan_tensor.cu: the rows behind the decode rows, from xbc in bf16 to y in bf16. Whether it has such a layer,
 * the bytes of `work`, and the launch. */
bool scan_tensor_takes(const tsr_queue *q, const tsr_mixer *m);
size_t scan_tensor_work(const tsr_mixer *m, const tsr_step *step);
void scan_tensor(tsr_queue *q, void *work, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                 tsr_slots ssm, const tsr_step *step);

/* In scan_wgmma.cu: the same on Hopper alone, dt being bf16 too. False where it does not fit; nothing was done then. */
bool scan_wgmma(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                const tsr_step *step);

#endif
