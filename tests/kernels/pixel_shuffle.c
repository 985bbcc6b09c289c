/* tests/kernels/pixel_shuffle.c: four neighbours become one row. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t n_tiles = kt_model(t, kt_int(t, 0, 3), 4), d = kt_model(t, kt_pick(t, 1, 7, 64, 130), 1024);
    tsr_grid grid = {2 * kt_model(t, kt_int(t, 1, 4), 16), 2 * kt_model(t, kt_int(t, 1, 4), 16)};
    int version = (int)kt_model(t, kt_int(t, 1, 2), 2);
    tsr_dtype type = kt_flt(t);
    tsr_view x = kt_in(t, type, n_tiles * grid.rows * grid.cols, d);
    tsr_view y = kt_out(t, type, x.rows / 4, 4 * d, "y", kt_exact());
    tsr_pixel_shuffle(t->q, y, x, grid, version);
}

const kt_case kt_case_pixel_shuffle = {
    .name = "pixel_shuffle", .run = run, .op = TSR_OP_PIXEL_SHUFFLE, .seeds = 60, .benches = 1};
