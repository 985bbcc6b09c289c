/* tests/kernels/moe_route.c: choices with and without exact ties. */
#include <math.h>

#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t rows = kt_model(t, kt_pick(t, 0, 1, 2, 17), 1, 64),
            d = kt_model(t, kt_pick(t, 1, 16, 100, 500), 2688);
    int64_t n_experts = kt_model(t, kt_pick(t, 1, 2, 8, 64, 130), 128);
    int64_t top_k = kt_model(t, kt_pick(t, 1, 2, 6, 22, n_experts), 6);
    if (top_k > n_experts) top_k = n_experts;
    if (top_k > TSR_MAX_TOP_K) top_k = TSR_MAX_TOP_K;
    kt_rowwise(t, rows);
    tsr_router router = {.w = kt_dense(t, TSR_F32, n_experts, d),
                         .bias = kt_dense(t, TSR_F32, 1, n_experts),
                         .top_k = top_k,
                         .renormalise = kt_chance(t, 70),
                         .scale = (float)kt_real(t, 0.5, 3)};
    for (int64_t e = 0; e < n_experts; e++)
        for (int64_t c = 0; c < d; c++) kt_set(router.w, e, c, kt_at(router.w, e, c) / sqrt((double)d));
    if (kt_chance(t, 40)) /* rows of zeros give exactly 1/2, so equal biases tie whatever the order of sums */
        for (int64_t e = 0; e < n_experts; e++)
            if (kt_chance(t, 40)) {
                kt_fill_row(router.w, e, 0);
                kt_set(router.bias, 0, e, 2);
            }
    tsr_view u = kt_in(t, kt_flt(t), rows, d);
    tsr_view ids = kt_out(t, TSR_I32, rows, top_k, "ids", kt_exact());
    kt_tol tol = kt_sum(d);
    tol.relative += 0x1p-20; /* the exponential */
    tsr_view gates = kt_out(t, TSR_F32, rows, top_k, "gates", tol);
    tsr_moe_route(t->q, kt_part(t, ids), kt_part(t, gates), kt_part(t, u), &router);
}

const kt_case kt_case_moe_route = {
    .name = "moe_route", .run = run, .op = TSR_OP_MOE_ROUTE, .seeds = 80, .benches = 2};
