/* tests/kernels/embed.c: text and image rows interleaved, ids at both ends, last tokens of slots. */
#include "tests/kernels/kt.h"

static void run(kt *t)
{
    int64_t d = kt_model(t, kt_pick(t, 1, 7, 64, 130, 600), 4096),
            vocab = kt_model(t, kt_int(t, 1, 50), 8192);
    int64_t n_image = kt_model(t, kt_pick(t, 0, 1, 9), 0);
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_pick(t, TSR_F32, TSR_BF16, TSR_F16, TSR_FP8), TSR_BF16);
    kt_weight_opts o = {.type = type, .rows = vocab, .cols = d};
    if (type == TSR_FP8) o.scaled = (tsr_scale_kind)kt_pick(t, TSR_SCALE_TENSOR, TSR_SCALE_ROW);
    tsr_weight table = kt_weight(t, o);
    tsr_view image = {0};
    if (n_image) image = kt_in(t, kt_flt(t), n_image, d);

    kt_steps k = kt_step(t, kt_step_draw(t, 8));
    int32_t *ids = kt_ints(t, k.all.n_rows), *last = kt_ints(t, k.n_slots);
    for (int64_t i = 0; i < k.n_slots; i++) last[i] = (int32_t)kt_int(t, 0, vocab - 1);
    for (int64_t i = 0; i < k.all.n_rows; i++) {
        ids[i] = (int32_t)kt_pick(t, 0, vocab - 1, kt_int(t, 0, vocab - 1), kt_int(t, 0, vocab - 1));
        if (n_image && kt_chance(t, 30))
            ids[i] = (int32_t)(-1 - kt_pick(t, 0, n_image - 1, kt_int(t, 0, n_image - 1)));
        if (i < k.all.n_decode && kt_chance(t, 70)) ids[i] = TSR_ID_LAST;
    }
    k.part.ids = ids + t->unit_start[t->first];
    k.part.last_id = last;

    tsr_dtype x_type = kt_flt(t);
    bool twice = type == TSR_FP8 && x_type == TSR_BF16; /* f32 between the product and bf16 is allowed */
    tsr_view x = kt_out(t, x_type, k.all.n_rows, d, "x", twice ? kt_ulp(1) : kt_exact());
    tsr_embed(t->q, kt_part(t, x), &table, image, &k.part);
}

const kt_case kt_case_embed = {
    .name = "embed", .run = run, .op = TSR_OP_EMBED, .loads = true, .seeds = 80, .benches = 2};
