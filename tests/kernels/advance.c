/* tests/kernels/advance.c: positions move, sequences end, and the ring turns. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t n = kt_model(t, kt_pick(t, 0, 1, 2, 7, 300), 1, 256), depth = kt_pick(t, 1, 3, 8);
    int64_t n_stop = kt_pick(t, 0, 1, 3), count = kt_int(t, 0, 20);
    kt_rowwise(t, n);

    int32_t *out_ids = kt_ints(t, n), *stop = kt_ints(t, n_stop);
    for (int64_t i = 0; i < n; i++) out_ids[i] = (int32_t)kt_int(t, 0, 9);
    for (int64_t k = 0; k < n_stop; k++) stop[k] = (int32_t)kt_int(t, -1, 9);
    tsr_view logprobs = kt_dense(t, TSR_F32, n, 1);
    tsr_view pos = kt_inout_dense(t, TSR_I32, n, 1, "pos", kt_exact());
    tsr_view slot = kt_inout_dense(t, TSR_I32, n, 1, "slot", kt_exact());
    tsr_view ids = kt_inout_dense(t, TSR_I32, n, depth, "ids", kt_exact());
    tsr_view probs = kt_inout_dense(t, TSR_F32, n, depth, "logprobs", kt_exact());
    for (int64_t i = 0; i < n; i++) {
        kt_set(pos, i, 0, (double)kt_int(t, 1, 5000));
        kt_set(slot, i, 0, kt_chance(t, 20) ? -1 : (double)i);
    }
    tsr_view words = kt_inout_dense(t, TSR_I32, 1, 4, "count and done", kt_exact()); /* two of 64 bits */
    for (int64_t c = 0; c < 4; c++) kt_set(words, 0, c, c == 0 ? (double)count : c == 2 ? -1 : 0);

    int64_t first = t->first, mine = t->end - t->first;
    tsr_step s = {.n_rows = mine,
                  .n_seqs = mine,
                  .n_decode = mine,
                  .n_logits = mine,
                  .pos = (int32_t *)pos.data + first,
                  .slot = (int32_t *)slot.data + first,
                  .out_ids = out_ids + first,
                  .out_logprobs = (float *)logprobs.data + first};
    tsr_ring r = {.pos = (int32_t *)pos.data + first,
                  .slot = (int32_t *)slot.data + first,
                  .stop = stop,
                  .n_stop = n_stop,
                  .count = words.data,
                  .ids = (int32_t *)ids.data + first * depth,
                  .logprobs = (float *)probs.data + first * depth,
                  .depth = depth,
                  .done = (int64_t *)words.data + 1};
    tsr_advance(t->q, &s, &r);
}

const kt_case kt_case_advance = {
    .name = "advance", .run = run, .op = TSR_OP_ADVANCE, .seeds = 60, .benches = 2};
