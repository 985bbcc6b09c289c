/* tests/kernels/patchify.c: 8-bit tiles to normalised patches. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t n_tiles = kt_model(t, kt_int(t, 0, 3), 4), p = kt_model(t, kt_pick(t, 1, 2, 3, 7, 14), 14);
    tsr_grid grid = {kt_model(t, kt_int(t, 1, 5), 32), kt_model(t, kt_int(t, 1, 5), 32)};
    int64_t n = grid.rows * grid.cols, surplus = kt_pick(t, 0, 1, 4, 20);
    tsr_view tiles = kt_in(t, TSR_U8, n_tiles, 3 * n * p * p);
    tsr_view table = kt_dense(t, TSR_F32, 3, 256);
    tsr_view y = kt_out(t, kt_flt(t), n_tiles * n, 3 * p * p + surplus, "y", kt_exact());
    tsr_patchify(t->q, y, tiles, table, grid);
}

const kt_case kt_case_patchify = {
    .name = "patchify", .run = run, .op = TSR_OP_PATCHIFY, .seeds = 60, .benches = 1};
