/* tests/kernels/sample.c: masks, penalties, cuts and draws; rows in which everything is out. */
#include <math.h>

#include "tests/kernels/kt.h"

enum { MOST_LOGITS = 600 };

static tsr_sampling draw_sampling(kt *t, int64_t vocab)
{
    tsr_sampling s = {.temp = (float)kt_pick(t, 0, 0, 1, 1, 1),
                      .top_p = 1,
                      .repeat_penalty = 1,
                      .seed = (uint64_t)kt_int(t, 0, INT64_MAX - 1)};
    if (s.temp > 0 && kt_chance(t, 50)) s.temp = (float)kt_real(t, 0.2, 3);
    if (kt_chance(t, 40)) s.top_k = (int32_t)kt_pick(t, 1, 2, 5, vocab, vocab + 7);
    if (kt_chance(t, 40)) s.top_p = (float)kt_real(t, 0.05, 1);
    if (kt_chance(t, 20)) s.top_p = 0.25f * (float)kt_int(t, 1, 3); /* met exactly by rows of equal logits */
    if (kt_chance(t, 30)) s.min_p = (float)kt_real(t, 0, 0.5);
    if (kt_chance(t, 40)) s.repeat_penalty = (float)kt_real(t, 0.8, 1.6);
    return s;
}

/* What stands in a row: plain, ties for the largest, -inf or NaN among the others, one left over, all equal. */
static void draw_row(kt *t, tsr_view logits, int64_t r)
{
    int64_t vocab = logits.cols, kind = kt_int(t, 0, 5);
    for (int64_t c = 0; c < vocab; c++) {
        double v = 4 * kt_at(logits, r, c);
        if (kind == 1) v = floor(v);
        if (kind == 5) v = 1;
        if (kind == 2) v = kt_chance(t, 50) ? -INFINITY : v;
        if (kind == 3) v = kt_chance(t, 20) ? NAN : v;
        kt_set(logits, r, c, v);
    }
    if (kind == 4) { /* one is left */
        kt_fill_row(logits, r, -INFINITY);
        kt_set(logits, r, kt_int(t, 0, vocab - 1), -3);
    } else {
        kt_set(logits, r, kt_int(t, 0, vocab - 1), 1); /* at least one is a number */
    }
}

static void run(kt *t)
{
    int64_t vocab = kt_model(t, kt_pick(t, 1, 2, 4, 8, 31, 32, 33, 500), 131072),
            words = (vocab + 31) / 32 + kt_int(t, 0, 1);
    kt_step_opts o = kt_step_draw(t, 8);
    if (t->bench >= 0) o = (kt_step_opts){.n_decode = kt_model(t, 0, 1, 256), .max_pos = 4096};
    kt_steps k = kt_step(t, o);
    int64_t n_rows = k.all.n_rows, n_seqs = k.all.n_seqs;
    bool every_row = kt_chance(t, 20) && n_rows <= MOST_LOGITS;
    bool masked = kt_chance(t, 40), hopeless = kt_chance(t, 5) && n_seqs > 0 && t->bench < 0;

    /* Which rows have logits, whose they are. Those of this run follow each other. */
    int32_t seq[MOST_LOGITS], mine_row[MOST_LOGITS], mine_seq[MOST_LOGITS];
    int64_t n = 0, n_mine = 0, first_mine = 0;
    for (int64_t i = 0; i < n_seqs; i++)
        for (int64_t r = every_row ? k.all.spans.start[i] : k.all.spans.start[i + 1] - 1;
             r < k.all.spans.start[i + 1]; r++) {
            if (i >= t->first && i < t->end) {
                if (n_mine == 0) first_mine = n;
                mine_row[n_mine] = (int32_t)r - t->unit_start[t->first];
                mine_seq[n_mine++] = (int32_t)(i - t->first);
            }
            seq[n++] = (int32_t)i;
        }

    tsr_view logits = kt_in(t, TSR_F32, n, vocab);
    for (int64_t r = 0; r < n; r++) draw_row(t, logits, r);
    tsr_sampling *sampling = (tsr_sampling *)kt_ints(t, n_seqs * (int64_t)(sizeof *sampling / 4));
    for (int64_t i = 0; i < n_seqs; i++) sampling[i] = draw_sampling(t, vocab);
    for (int64_t i = 0; i < n_seqs && t->bench >= 0; i++)
        sampling[i] = (tsr_sampling){.top_p = 1, .repeat_penalty = 1};
    int32_t *ids = kt_ints(t, n_rows);
    for (int64_t r = 0; r < n_rows; r++)
        ids[r] = r < k.all.n_decode && kt_chance(t, 50) ? TSR_ID_LAST : (int32_t)kt_int(t, -3, vocab - 1);
    int32_t *allow = NULL;
    if (masked || hopeless) {
        allow = kt_ints(t, (vocab + 31) / 32);
        for (int64_t c = 0; c < vocab && !hopeless; c++)
            if (kt_chance(t, 70)) allow[c / 32] = (int32_t)((uint32_t)allow[c / 32] | (uint32_t)1 << c % 32);
        for (int64_t r = 0; r < n && !hopeless; r++) { /* something allowed in every row */
            int64_t c = kt_int(t, 0, vocab - 1);
            allow[c / 32] = (int32_t)((uint32_t)allow[c / 32] | (uint32_t)1 << c % 32);
            kt_set(logits, r, c, 2);
        }
    }

    tsr_view last = kt_inout_dense(t, TSR_I32, k.n_slots, 1, "last_id", kt_exact());
    tsr_view seen = kt_inout_dense(t, TSR_I32, k.n_slots, words, "seen", kt_exact());
    for (int64_t s = 0; s < k.n_slots; s++) {
        kt_set(last, s, 0, (double)kt_int(t, 0, vocab - 1));
        for (int64_t w = 0; w < words; w++) kt_set(seen, s, w, (double)kt_int(t, INT32_MIN, INT32_MAX));
    }
    kt_own(t, last, k.slot_owner);
    kt_own(t, seen, k.slot_owner);
    tsr_view out = kt_out_dense(t, TSR_I32, n, 1, "out_ids", kt_exact());
    tsr_view logprob = kt_out_dense(t, TSR_F32, n, 1, "out_logprobs", kt_sum(vocab));
    kt_own(t, out, seq);
    kt_own(t, logprob, seq);
    double *size = kt_size(t, logprob);
    for (int64_t r = 0; r < n && size; r++)
        size[r] = 20; /* logits are below that: absolute errors are of it */

    bool greedy = true;
    for (int64_t i = 0; i < n_seqs; i++) greedy = greedy && sampling[i].temp == 0;
    tsr_step s = k.part;
    s.greedy = greedy;
    s.n_logits = n_mine;
    s.logit_row = kt_part_ints(t, mine_row, n_mine);
    s.logit_seq = kt_part_ints(t, mine_seq, n_mine);
    s.sampling = sampling + t->first;
    s.allow = (uint32_t *)allow;
    s.ids = ids + t->unit_start[t->first];
    s.last_id = last.data;
    s.seen = seen.data;
    s.seen_words = words;
    s.out_ids = (int32_t *)out.data + first_mine;
    s.out_logprobs = (float *)logprob.data + first_mine;
    if (hopeless && n_mine) kt_fails(t, TSR_E_ARG);
    tsr_sample(t->q, &s, tsr_rows(logits, first_mine, n_mine));
}

const kt_case kt_case_sample = {
    .name = "sample", .run = run, .op = TSR_OP_SAMPLE, .seeds = 400, .benches = 2};
