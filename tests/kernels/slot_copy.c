/* tests/kernels/slot_copy.c: blocks copied, read and written; all others keep their bits. */
#include <string.h>

#include "tests/kernels/kt.h"

typedef struct setup {
    tsr_blocks blocks;
    tsr_view view;
    int64_t dst, src;
} setup;

/* Blocks of which only `dst` may change; none when `read`. */
static setup draw(kt *t, bool read)
{
    int64_t n = kt_int(t, 1, 6), floats = kt_model(t, kt_pick(t, 1, 7, 1000), 8 << 20);
    int32_t owner[6];
    kt_rowwise(t, 1);
    setup s = {.view = kt_inout_dense(t, TSR_F32, n, floats, "blocks", kt_exact())};
    s.blocks = (tsr_blocks){s.view.data, (size_t)floats * sizeof(float), n};
    s.dst = kt_int(t, 0, n - 1);
    s.src = kt_int(t, 0, n - 1);
    for (int64_t i = 0; i < n; i++) owner[i] = i == s.dst && !read ? 0 : -1;
    kt_own(t, s.view, owner);
    return s;
}

static void run_copy(kt *t)
{
    setup s = draw(t, false);
    tsr_slot_copy(t->q, s.blocks, s.dst, s.src);
}

static void run_read(kt *t)
{
    setup s = draw(t, true);
    tsr_view host = kt_out_dense(t, TSR_F32, 1, s.view.cols, "host", kt_exact());
    tsr_slot_read(t->q, host.data, s.blocks, s.src);
}

static void run_write(kt *t)
{
    setup s = draw(t, false);
    tsr_view host = kt_dense(t, TSR_F32, 1, s.view.cols);
    tsr_slot_write(t->q, s.blocks, s.dst, host.data);
}

const kt_case kt_case_slot_copy = {
    .name = "slot_copy", .run = run_copy, .op = TSR_OP_SLOT_COPY, .seeds = 30, .benches = 1};
const kt_case kt_case_slot_read = {
    .name = "slot_read", .run = run_read, .op = TSR_OP_SLOT_READ, .seeds = 30, .benches = 1};
const kt_case kt_case_slot_write = {
    .name = "slot_write", .run = run_write, .op = TSR_OP_SLOT_WRITE, .seeds = 30, .benches = 1};
