/* tests/kernels/gather.c: chosen rows. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t from = kt_model(t, kt_int(t, 1, 40), 512),
            n = kt_model(t, kt_pick(t, 0, 1, kt_int(t, 1, 50)), 64);
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 64, 130, 1000), 4096);
    tsr_dtype type = kt_flt(t);
    tsr_view x = kt_in(t, type, from, d);
    int32_t *row = kt_ints(t, n);
    for (int64_t i = 0; i < n; i++) row[i] = (int32_t)kt_pick(t, 0, from - 1, kt_int(t, 0, from - 1));
    kt_rowwise(t, n);
    tsr_view y = kt_out(t, type, n, d, "y", kt_exact());
    tsr_gather(t->q, kt_part(t, y), x, row + t->first);
}

const kt_case kt_case_gather = {.name = "gather", .run = run, .op = TSR_OP_GATHER, .seeds = 60, .benches = 1};
