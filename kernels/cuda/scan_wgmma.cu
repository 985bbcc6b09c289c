/* kernels/cuda/scan_wgmma.cu: the state space recurrence over many rows on Hopper's tensor cores, in one kernel.
 *
 * Formulas are those of scan.cu, for heads of 64 columns and states of 128. A block has a head of a sequence and goes
 * along it piece by piece; the state never leaves the chip. One warpgroup asks the copy engine for the next piece and
 * finds what its steps amount to; the two others have 64 rows of y each, and half of the columns of the state:
 *
 *   G = C B'          f32, in registers; weighted, it is rounded to bf16 and stays there
 *   y = C H'          from a copy of the state in bf16
 *   y = exp(s_i - ..) y + G weighted x
 *   H = exp(s_last) H + sum over j of (w_j x_j) B_j',  w_j = exp(s_last - s_j) dt_j
 *
 * Exponents are sums of three parts, none above 0: from row j to the end of its 16 rows (u_j, with dt_j), from there to
 * the 16 rows of i, and from their beginning to i. On the diagonal the difference itself is taken, and d is added there.
 * Rounded to bf16 once: x, B, C, G weighted, w_j x_j, H, y. Sums, decays and the state are f32.
 * Source: arXiv:2405.21060, section 6.
 */
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/scan.cuh"

namespace
{

constexpr int kP = 64, kN = 128, kRows = cuda_max_piece, kBlocks = kRows / 16, kStages = 2;
constexpr int kThreads = 3 * hopper_warpgroup;
constexpr int kTile = kRows * hopper_span; /* bytes of 64 columns of a piece */

/* What a piece's steps amount to. Sums of dt a are in units of log 2. */
struct __align__(16) steps
{
    float rise[kRows];                /* sum from the first of the 16 rows, the row included */
    float dt[kRows];                  /* 0 behind the last row */
    float u[kRows];                   /* 2^(rise of the last of the 16 rows - rise) dt */
    uint16_t high[kRows], low[kRows]; /* w_j as the sum of two bf16 */
    float fall[kBlocks][kBlocks]; /* 2^(sum over the 16 rows between those of j and of i), [i][j], j < i */
    float entered[kBlocks + 1];   /* 2^(sum before these 16 rows); the last: of the piece */
};

struct piece_memory {
    unsigned char x[kTile], b[2][kTile], c[2][kTile]; /* halves of the columns */
};

struct block_memory {
    piece_memory pieces[kStages];
    unsigned char state[2][2][kP * hopper_span]; /* before this piece and the next; halves of the columns */
    unsigned char y[kBlocks][16 * hopper_span];
    steps of[kStages];
    float totals[2][kBlocks];
    uint64_t landed[kStages], full[kStages], empty[kStages];
};

constexpr size_t kShared = sizeof(block_memory) + 1024; /* aligned to 1024 */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

#define SUMS8(d, i)                                                                                          \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),              \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define SUMS32(d) SUMS8(d, 0), SUMS8(d, 8), SUMS8(d, 16), SUMS8(d, 24)
#define REGISTERS32                                                                                          \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "

/* d (+)= a b' for 64 rows of a and as many of b as d has columns, 16 values of k, along rows of shared memory. */
CUDA_INLINE void product(float (&d)[32], uint64_t a, uint64_t b, int adds)
{
    asm volatile("{\n\t.reg .pred adds;\n\tsetp.ne.b32 adds, %34, 0;\n\t"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS32
                 "%32, %33, adds, 1, 1, 0, 0;\n\t}"
                 : SUMS32(d)
                 : "l"(a), "l"(b), "r"(adds));
}

CUDA_INLINE void product(float (&d)[64], uint64_t a, uint64_t b, int adds)
{
    hopper_product<false>(d, a, b, adds);
}

/* d += a b: a from registers, as cuda_mma_bf16 has it; b 16 rows of 64 values in shared memory. */
CUDA_INLINE void add_product(float (&d)[32], const uint32_t *a, uint64_t b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS32
                 "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : SUMS32(d)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#undef SUMS8
#undef SUMS32
#undef REGISTERS32

/* Where 16 bytes of a row of a tile lie. */
CUDA_INLINE int place_of(int row, int unit)
{
    return hopper_span * row + 16 * (unit ^ row % 8);
}

/* Of the head and sequence of this block. */
struct course {
    int head, group, rank, start, count;
    walk at;
    void *kept; /* its slot, or NULL */
    bool fresh;
    int end; /* position behind its last row */
};

template <int CLUSTER>
CUDA_INLINE void prepare(const scan_args &a, const CUtensorMap *map, course c, block_memory *m)
{
    int row = threadIdx.x % hopper_warpgroup, block = row / 16;
    float rate = a.m.a[c.head] * 1.44269504f;
    uint16_t raw = 0; /* in bf16: nothing is to wait for it before it is needed */
    walk ahead = c.at;
    auto ask = [&] { /* of the piece `ahead` is at */
                     int first, n;
                     ahead.rows(a.m, first, n);
                     ahead.next(a.m);
                     if (row < n) raw = ((const uint16_t *)cuda_row(a.dt, c.start + first + row))[c.head];
    };
    ask();
    for (int k = 0; k < c.count; k++) {
        int s = k % kStages, first, n;
        c.at.rows(a.m, first, n);
        c.at.next(a.m);
        piece_memory *p = &m->pieces[s];
        hopper_wait(&m->empty[s], k / kStages % 2 ^ 1);
        if (row == 0) {
            constexpr int each = 4 / CLUSTER; /* of the tiles of B and C */
            int from = c.start + first;
            hopper_expect(&m->landed[s], sizeof(piece_memory));
            hopper_fetch(p->x, map, c.head * kP, from, &m->landed[s]);
            for (int i = c.rank * each; i < c.rank * each + each; i++) {
                int column = a.m.d + (i / 2 * a.m.n_groups + c.group) * kN + i % 2 * 64;
                if (CLUSTER > 1)
                    hopper_fetch_shared(p->b[0] + i * kTile, map, column, from, &m->landed[s],
                                        (1 << CLUSTER) - 1);
                else
                    hopper_fetch(p->b[0] + i * kTile, map, column, from, &m->landed[s]);
            }
        }
        float dt = row < n ? cuda_dt(a.m, cuda_from_bf16(raw), c.head) : 0, rise = dt;
        if (k + 1 < c.count) ask();
#pragma unroll
        for (int step = 1; step < 16; step *= 2) {
            float before = __shfl_up_sync(cuda_all_lanes, rise, step, 16);
            if (row % 16 >= step) rise += before;
        }
        rise *= rate;
        float last = __shfl_sync(cuda_all_lanes, rise, 15, 16), u = exp2f(last - rise) * dt;
        float *totals = m->totals[k % 2];
        if (row % 16 == 15) totals[block] = rise;
        hopper_meet(2, hopper_warpgroup);
        float each[kBlocks], after = 0,
                             part = 0; /* part: of the block that this thread finds a table's entry for */
#pragma unroll
        for (int j = 0; j < kBlocks; j++) each[j] = totals[j];
        int to = row < kBlocks * kBlocks ? row / kBlocks : row - kBlocks * kBlocks;
        int from = row < kBlocks * kBlocks ? row % kBlocks : -1;
#pragma unroll
        for (int j = 0; j < kBlocks; j++) {
            after += j > block ? each[j] : 0;
            part += j > from && j < to ? each[j] : 0;
        }
        steps *of = &m->of[s];
        float w = exp2f(after) * u;
        uint16_t high = cuda_to_bf16(w);
        of->rise[row] = rise, of->dt[row] = dt, of->u[row] = u;
        of->high[row] = high, of->low[row] = cuda_to_bf16(w - cuda_from_bf16(high));
        if (from >= 0)
            of->fall[to][from] = exp2f(part);
        else if (to <= kBlocks)
            of->entered[to] = exp2f(part);
        if (n < kRows) { /* what lies behind the last row is not to be multiplied, not even by 0 */
            hopper_wait(&m->landed[s], k / kStages % 2);
            for (int i = 8 * n + row; i < 8 * kRows; i += hopper_warpgroup)
                for (unsigned char *tile : {p->x, p->b[0], p->b[1]})
                    *(uint4 *)(tile + 16 * i) = make_uint4(0, 0, 0, 0);
            hopper_publish();
        }
        hopper_arrive(&m->full[s]);
    }
}

/* Rows 64 W .. 64 W + 63 of y; columns 64 W .. of the state. */
template <int CLUSTER, int W>
CUDA_INLINE void scan(const scan_args &a, course c, block_memory *m)
{
    constexpr int before = 4 * W + 3; /* blocks of 16 rows before a block of these rows, at most */
    int lane = threadIdx.x % cuda_warp, g = lane / 4, t = lane % 4, warp = threadIdx.x / cuda_warp % 4;
    int block = 4 * W + warp;
    unsigned char *out = cuda_row(a.y, c.start) + 2 * c.head * kP;
    int64_t out_stride = 2 * a.y.stride;
    float skip = a.m.skip[c.head];

    /* The state: rows 16 warp + g and + 8, columns 64 W + 8 c + 2 t and + 1. */
    float h[32];
    auto each_of_state = [&](auto f) { /* f(pair of neighbours, element of the head's state) */
#pragma unroll
                                       for (int i = 0; i < 16; i++)
                                           f(h + 2 * i, (c.head * kP + 16 * warp + g + i % 2 * 8) * kN +
                                                            64 * W + i / 2 * 8 + 2 * t);
    };
    auto show_state = [&](unsigned char *to) {
#pragma unroll
        for (int i = 0; i < 16; i++)
            *(uint32_t *)(to + place_of(16 * warp + g + i % 2 * 8, i / 2) + 4 * t) =
                quick_bf16x2(h[2 * i], h[2 * i + 1]);
        hopper_publish();
    };
    each_of_state([&](float *pair, int i) {
        pair[0] = pair[1] = 0;
        if (!c.fresh) scan_load_state2(pair, c.kept, a.ssm.type, i);
    });
    show_state(m->state[0][W]);

    /* Fragments of x (mma.cuh): 16 rows and these 16 columns as b lies; transposed, this warp's columns as a. */
    int of_b = place_of(lane % 16, lane / 16);
    int of_a = place_of(lane / 16 * 8 + lane % 8, lane / 8 % 2) ^ 32 * warp;

#pragma unroll 1
    for (int k = 0; k < c.count; k++) {
        int s = k % kStages, first, n;
        c.at.rows(a.m, first, n);
        c.at.next(a.m);
        piece_memory *p = &m->pieces[s];
        const steps *of = &m->of[s];
        hopper_wait(&m->landed[s], k / kStages % 2);
        hopper_wait(&m->full[s], k / kStages % 2);

        float of_g[W ? 64 : 32], y[32];
        hopper_begin();
#pragma unroll
        for (int kk = 0; kk < kN / 16; kk++)
            product(of_g, hopper_tile(p->c[kk / 4] + W * 64 * hopper_span) + kk % 4 * 2,
                    hopper_tile(p->b[kk / 4]) + kk % 4 * 2, kk > 0);
        hopper_commit();
        hopper_meet(1, 2 * hopper_warpgroup); /* both halves of the state before this piece are there */
#pragma unroll
        for (int kk = 0; kk < kN / 16; kk++)
            product(y, hopper_tile(p->c[kk / 4] + W * 64 * hopper_span) + kk % 4 * 2,
                    hopper_tile(m->state[k % 2][kk / 4]) + kk % 4 * 2, kk > 0);
        hopper_commit();

        hopper_finish<1>();
        hopper_settle(of_g);
        uint32_t weights[before][4];
        float diagonal[8];
#pragma unroll
        for (int j = 0; j < before; j++) {
            float fall = of->fall[block][j];
#pragma unroll
            for (int e = 0; e < 4; e += 2) {
                float2 u = *(const float2 *)(of->u + 16 * j + 4 * e + 2 * t);
                u.x *= fall, u.y *= fall;
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const float *pair = of_g + 8 * j + 2 * (e + i);
                    weights[j][e + i] = j < block ? quick_bf16x2(pair[0] * u.x, pair[1] * u.y) : 0;
                }
            }
        }
#pragma unroll
        for (int e = 0; e < 8; e++) {
            diagonal[e] = of_g[32 * W + e];
#pragma unroll
            for (int j = 1; j < 4; j++)
                if (j == warp) diagonal[e] = of_g[32 * W + 8 * j + e];
        }
        float entered = of->entered[block];
        hopper_finish<0>();
        hopper_settle(y);
#pragma unroll
        for (int i = 0; i < 32; i++) y[i] *= entered;
        hopper_settle(y);
        hopper_begin();
#pragma unroll
        for (int j = 0; j < before; j++) add_product(y, weights[j], hopper_tile(p->x + 16 * j * hopper_span));
        hopper_commit();

        float decay = of->entered[kBlocks];
#pragma unroll
        for (int i = 0; i < 32; i++) h[i] *= decay;
        uint32_t of_x[kBlocks][4];
#pragma unroll
        for (int j = 0; j < kBlocks; j++) {
            cuda_load_transposed(of_x[j], p->x + 16 * j * hopper_span + of_a);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = 16 * j + e / 2 * 8 + 2 * t;
                uint32_t high = *(const uint32_t *)(of->high + row), low = *(const uint32_t *)(of->low + row);
                of_x[j][e] = cuda_fma_bf16x2(of_x[j][e], high, cuda_fma_bf16x2(of_x[j][e], low, 0x80008000u));
            }
        }
        hopper_settle(h);
        hopper_begin();
#pragma unroll
        for (int j = 0; j < kBlocks; j++)
            add_product(h, of_x[j], hopper_tile(p->b[W] + 16 * j * hopper_span));
        hopper_commit();

        const float mine[2] = {of->rise[16 * block + g], of->rise[16 * block + g + 8]};
        const float risen[2] = {quick_exp2(mine[0]), quick_exp2(mine[1])};
        uint32_t on_diagonal[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int row = g + e % 2 * 8, column = e / 2 * 8 + 2 * t;
            float2 rise = *(const float2 *)(of->rise + 16 * block + column);
            float2 dt = *(const float2 *)(of->dt + 16 * block + column);
            float w0 = diagonal[2 * e] * quick_exp2(mine[e % 2] - rise.x) * dt.x;
            float w1 = diagonal[2 * e + 1] * quick_exp2(mine[e % 2] - rise.y) * dt.y;
            w0 = column < row ? w0 : column == row ? w0 + skip : 0;
            w1 = column + 1 < row ? w1 : column + 1 == row ? w1 + skip : 0;
            on_diagonal[e] = quick_bf16x2(w0, w1);
        }
        hopper_finish<1>();
        hopper_settle(y);
#pragma unroll
        for (int i = 0; i < 32; i++) y[i] *= risen[i / 2 % 2];
#pragma unroll
        for (int i = 0; i < kP / 16; i++) {
            uint32_t of_rows[4];
            cuda_load_transposed(of_rows, p->x + 16 * block * hopper_span + (of_b ^ 32 * i));
            cuda_mma_bf16(y + 8 * i, on_diagonal, of_rows);
            cuda_mma_bf16(y + 8 * i + 4, on_diagonal, of_rows + 2);
        }
        unsigned char *rows = m->y[block];
        __syncwarp(); /* the last piece's rows have been read */
#pragma unroll
        for (int i = 0; i < 16; i++)
            *(uint32_t *)(rows + place_of(g + i % 2 * 8, i / 2) + 4 * t) =
                quick_bf16x2(y[2 * i], y[2 * i + 1]);
        __syncwarp();
#pragma unroll
        for (int r = lane / 8; r < 16; r += 4)
            if (16 * block + r < n)
                *(uint4 *)(out + (first + 16 * block + r) * out_stride + 16 * (lane % 8)) =
                    *(const uint4 *)(rows + place_of(r, lane % 8));

        hopper_finish<0>();
        hopper_settle(h);
        __syncwarp();
        if (lane < CLUSTER) hopper_arrive(&m->empty[s], lane);
        show_state(m->state[(k + 1) % 2][W]);
    }
    if (c.kept)
        each_of_state(
            [&](const float *pair, int i) { scan_store_state2(c.kept, a.ssm.type, i, pair, c.end); });
}

#endif

/* Grid: heads, sequences behind the decode rows. The heads of a cluster share B and C. */
template <int CLUSTER>
__global__ void __launch_bounds__(kThreads, 1)
    scan_wgmma_kernel(const __grid_constant__ CUtensorMap map, const __grid_constant__ scan_args a)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    CUDA_DYNAMIC_SHARED(memory);
    block_memory *m = (block_memory *)(memory + (1024 - hopper_shared(memory) % 1024) % 1024);
    if (threadIdx.x == 0) {
        for (int s = 0; s < kStages; s++) {
            hopper_barrier_open(&m->landed[s], 1);
            hopper_barrier_open(&m->full[s], hopper_warpgroup);
            hopper_barrier_open(&m->empty[s], CLUSTER * 2 * hopper_warpgroup / cuda_warp);
        }
        hopper_barriers_opened();
    }
    cuda_cluster_sync();
    cuda_wait_before();
    int64_t i = a.step.n_decode + blockIdx.y;
    int head = blockIdx.x, start = a.step.spans.start[i], pos = a.step.pos[i],
        rows = a.step.spans.start[i + 1] - start;
    int32_t slot = a.step.slot[i];
    course c = {head,
                head / (a.m.n_heads / a.m.n_groups),
                head % CLUSTER,
                start,
                n_pieces(a, i),
                walk(a.m, pos, rows),
                slot < 0 ? nullptr : cuda_slot(a.ssm, slot),
                !cuda_continues(a.step, i),
                pos + rows};
    int part = threadIdx.x / hopper_warpgroup;
    if (part == 0) {
        hopper_give_registers<56>();
        prepare<CLUSTER>(a, &map, c, m);
    } else {
        hopper_take_registers<224>();
        if (c.count > 0 && part == 1) scan<CLUSTER, 0>(a, c, m);
        if (c.count > 0 && part == 2) scan<CLUSTER, 1>(a, c, m);
    }
    __syncwarp();
    if (CLUSTER > 1) cuda_cluster_sync(); /* the other blocks may still copy to, or arrive at, what is here */
#else
    __trap(); /* its launcher asks for 9.0 */
#endif
}

} // namespace

bool scan_wgmma(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                const tsr_step *step)
{
    CUtensorMap map;
    if (cuda_capability(q) != 90 || m->head_dim != kP || m->d_state != kN || dt.type != TSR_BF16 ||
        !hopper_encoder())
        return false;
    if (cuda_idle(q)) return true;
    if (!hopper_map(&map, xbc.data, xbc.type, xbc.rows, xbc.cols, xbc.stride, kRows)) return false;
    scan_args a = {};
    a.y = y, a.xbc = xbc, a.dt = dt, a.m = cuda_mixer_shape(m), a.ssm = ssm, a.step = *step;
    auto launch = [&](unsigned cluster, auto kernel) {
        cuda_launch_as(q, "scan", {cluster, true}, kernel,
                       cuda_grid(m->n_heads, step->n_seqs - step->n_decode), kThreads, kShared, map, a);
    };
    /* Clusters of four would not all run at once on 132 multiprocessors. */
    if (m->n_heads / m->n_groups % 2 == 0)
        launch(2, scan_wgmma_kernel<2>);
    else
        launch(1, scan_wgmma_kernel<1>);
    return true;
}
