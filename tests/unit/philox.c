/* tests/unit/philox.c: Philox against its published answers, and the sampler's draws against their shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "kernels/backend.h"
#include "kernels/philox.h"

/* From the known answers that the authors publish with their library (kat_vectors, philox4x32 10). */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } answers[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint32_t words[4];
        memcpy(words, answers[i].counter, sizeof words);
        tsr_philox(words, answers[i].key[0], answers[i].key[1]);
        assert_memory_equal(words, answers[i].want, sizeof words);
    }
}

static void a_draw_is_a_function_of_seed_and_position(void **state)
{
    (void)state;
    uint32_t words[4] = {7, 1, 0, 0};
    tsr_philox(words, 5, 2);
    assert_true(tsr_philox_uniform(2 * 0x100000000u + 5, 0x100000007u) == words[0] * 0x1p-32);
}

enum { VOCAB = 5, DRAWS = 4096 };

/* Draw the token after position pos for every pos below DRAWS, each as a step of its own, and count. */
static void count_draws(int64_t counts[VOCAB], const float *logits, tsr_sampling sampling)
{
    tsr_queue *q;
    assert_int_equal(tsr_queue_open(&q, &tsr_ref_ops, NULL, TSR_F32, 4096), TSR_OK);
    float row[VOCAB];
    memcpy(row, logits, sizeof row);
    memset(counts, 0, VOCAB * sizeof *counts);
    for (int32_t pos = 0; pos < DRAWS; pos++) {
        int32_t start[] = {0, 1}, slot = -1, ids = 0, zero = 0, id = -1;
        float logprob;
        tsr_step step = {.n_rows = 1,
                         .n_seqs = 1,
                         .n_logits = 1,
                         .max_new = 1,
                         .spans = {start, 1, 1},
                         .pos = &pos,
                         .slot = &slot,
                         .ids = &ids,
                         .logit_row = &zero,
                         .logit_seq = &zero,
                         .sampling = &sampling,
                         .seen_words = 1,
                         .out_ids = &id,
                         .out_logprobs = &logprob};
        tsr_sample(q, &step, tsr_view_of(row, TSR_F32, 1, VOCAB));
        assert_int_equal(tsr_queue_sync(q), TSR_OK);
        assert_in_range(id, 0, VOCAB - 1);
        counts[id]++;
        double total = 0;
        for (int i = 0; i < VOCAB; i++) total += exp(logits[i]);
        assert_true(fabs(logprob - (logits[id] - log(total))) < 1e-6);
    }
    tsr_queue_close(q);
}

/* Five standard deviations around the expected count, and none where none may be. */
static void assert_shares(const int64_t counts[VOCAB], const double share[VOCAB])
{
    for (int i = 0; i < VOCAB; i++) {
        double want = DRAWS * share[i];
        assert_true(fabs((double)counts[i] - want) <= 5 * sqrt(want * (1 - share[i])));
    }
}

static void draws_follow_the_shares(void **state)
{
    (void)state;
    float logits[VOCAB];
    double share[VOCAB] = {0.4, 0.1, 0.05, 0.25, 0.2};
    for (int i = 0; i < VOCAB; i++) logits[i] = (float)log(share[i]);
    int64_t counts[VOCAB];

    tsr_sampling plain = {.temp = 1, .top_p = 1, .repeat_penalty = 1, .seed = 11};
    count_draws(counts, logits, plain);
    assert_shares(counts, share);

    tsr_sampling top_k = plain;
    top_k.top_k = 2;
    count_draws(counts, logits, top_k);
    assert_shares(counts, (double[]){0.4 / 0.65, 0, 0, 0.25 / 0.65, 0});

    tsr_sampling top_p = plain; /* 0.4 + 0.25 is not enough, so 0.2 stays too */
    top_p.top_p = 0.7f;
    count_draws(counts, logits, top_p);
    assert_shares(counts, (double[]){0.4 / 0.85, 0, 0, 0.25 / 0.85, 0.2 / 0.85});

    tsr_sampling min_p = plain; /* at least 0.24 of the largest */
    min_p.min_p = 0.24f;
    count_draws(counts, logits, min_p);
    assert_shares(counts, (double[]){0.4 / 0.95, 0.1 / 0.95, 0, 0.25 / 0.95, 0.2 / 0.95});

    /* Half of four equal ones: reached exactly by the first two. */
    tsr_sampling half = plain;
    half.top_p = 0.5f;
    count_draws(counts, (float[]){0, 0, 0, 0, -INFINITY}, half);
    assert_shares(counts, (double[]){0.5, 0.5, 0, 0, 0});

    tsr_sampling cold = plain; /* shares squared */
    cold.temp = 0.5f;
    double squares = 0.16 + 0.01 + 0.0025 + 0.0625 + 0.04;
    count_draws(counts, logits, cold);
    assert_shares(counts, (double[]){0.16 / squares, 0.01 / squares, 0.0025 / squares, 0.0625 / squares,
                                     0.04 / squares});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(a_draw_is_a_function_of_seed_and_position),
        cmocka_unit_test(draws_follow_the_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
