/* tests/kernels/vit_enter.c: prefix rows and positions in, prefix rows out. */
#include "tests/kernels/kt.h"

static void run_enter(kt *t)
{
    int64_t n_tiles = kt_model(t, kt_int(t, 0, 3), 4), n_prefix = kt_model(t, kt_pick(t, 0, 1, 10), 1);
    int64_t n_patches = kt_model(t, kt_pick(t, 1, 6, 35), 1024);
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 64, 130), 1024);
    tsr_view patches = kt_in(t, kt_flt(t), n_tiles * n_patches, d);
    tsr_view prefix = {0};
    if (n_prefix) prefix = kt_dense(t, TSR_F32, n_prefix, d);
    tsr_view pos = kt_dense(t, TSR_F32, n_prefix + n_patches, d);
    tsr_dtype type = kt_flt(t);
    tsr_view x = kt_out(t, type, n_tiles * pos.rows, d, "x", type == TSR_F32 ? kt_exact() : kt_ulp(1));
    tsr_vit_enter(t->q, x, patches, prefix, pos);
}

static void run_leave(kt *t)
{
    int64_t n_tiles = kt_model(t, kt_int(t, 0, 3), 4), n_prefix = kt_model(t, kt_pick(t, 0, 1, 10), 1);
    int64_t n_patches = kt_model(t, kt_pick(t, 1, 6, 35), 1024);
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 64, 130), 1024);
    tsr_dtype type = kt_flt(t);
    tsr_view x = kt_in(t, type, n_tiles * (n_prefix + n_patches), d);
    tsr_view y = kt_out(t, type, n_tiles * n_patches, d, "y", kt_exact());
    tsr_vit_leave(t->q, y, x, n_prefix, n_patches);
}

const kt_case kt_case_vit_enter = {
    .name = "vit_enter", .run = run_enter, .op = TSR_OP_VIT_ENTER, .seeds = 60, .benches = 1};
const kt_case kt_case_vit_leave = {
    .name = "vit_leave", .run = run_leave, .op = TSR_OP_VIT_LEAVE, .seeds = 60, .benches = 1};
