/* tests/runtime/measure.c: what bench stands on: made-up models and sequences, and the profile of a queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "runtime/engine.h"

static void must(tsr_status st)
{
    if (st) fail_msg("%s", tsr_message());
}

static const tsr_counter *find(const tsr_counter *(*at)(const tsr_engine *, int), const tsr_engine *e,
                               const char *name)
{
    const tsr_counter *c;
    for (int i = 0; (c = at(e, i)); i++)
        if (!strcmp(c->name, name)) return c;
    fail_msg("no %s", name);
    return NULL;
}

/* "small" has five Mamba layers, two of attention and five MLPs. */
static void parts_of_a_step(void **state)
{
    (void)state;
    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    tsr_drill *drill = NULL;
    double seconds;
    must(tsr_model_synthetic(&model, "small", &(tsr_model_opts){.backend = "cpu"}));
    must(tsr_engine_open(&engine, model, &(tsr_engine_opts){.n_sessions = 3, .n_ctx = 256}));
    must(tsr_drill_open(&drill, engine, 3, 200));
    assert_int_equal(tsr_drill_decode(drill, 201, 1, &seconds), TSR_E_ARG);
    assert_null(tsr_engine_part(engine, 0));
    must(tsr_engine_profile(engine, 1));
    must(tsr_drill_decode(drill, 200, 2, &seconds));
    assert_true(seconds > 0);

    tsr_counter linear = *find(tsr_engine_counter, engine, "linear");
    tsr_counter sum = {0}, head = *find(tsr_engine_part, engine, "linear lm.head");
    const tsr_counter *c;
    double all = 0;
    for (int i = 0; (c = tsr_engine_part(engine, i)); i++) {
        all += c->seconds;
        if (strncmp(c->name, "linear ", 7) != 0) continue;
        sum.calls += c->calls;
        sum.flops += c->flops;
    }
    assert_int_equal(sum.calls, linear.calls);
    assert_true(sum.flops == linear.flops);
    assert_true(all > 0 && all <= seconds);
    assert_int_equal(head.calls, 2);
    assert_true(head.flops == 2 * 2.0 * 3 * 131072 * 512);
    assert_int_equal(find(tsr_engine_part, engine, "linear lm.in_proj")->calls, 2 * 5);
    assert_int_equal(find(tsr_engine_part, engine, "linear lm.o")->calls, 2 * 2);
    must(tsr_engine_profile(engine, 0));
    assert_null(tsr_engine_part(engine, 0));
    tsr_drill_close(drill);

    double times[2] = {0, 0};
    must(tsr_engine_mixer(engine, 70, 2, times));
    assert_true(times[0] > 0 && times[1] > 0);
    tsr_engine_close(engine);
    tsr_model_close(model);
}

/* A sequence of 200 tokens out of one of 64: the same slot, and the keys of token t are those of t mod 64. */
static void spread(void **state)
{
    (void)state;
    enum { SHORT = TSR_PAGE_TOKENS, LONG = 200 };
    tsr_model *model = NULL;
    tsr_engine *engine = NULL;
    tsr_seq from = {0}, to = {0};
    must(tsr_model_synthetic(&model, "small", &(tsr_model_opts){.backend = "cpu"}));
    must(tsr_engine_open(&engine, model, &(tsr_engine_opts){.n_sessions = 2, .n_ctx = 256}));
    must(tsr_seq_open(&from, engine->state, 256));
    must(tsr_seq_open(&to, engine->state, 256));
    must(tsr_seq_make_up(engine, &from, SHORT, 3));
    must(tsr_seq_spread(&to, &from, LONG));
    for (int i = 0; i < 4; i++) /* 200 tokens are four pages */
        for (int64_t j = 0; j < from.n_pages; j++) assert_int_not_equal(to.pages[i], from.pages[j]);

    const tsr_lm_config *c = &model->lm_config;
    size_t kv = (size_t)c->head_dim * tsr_dtype_bytes(engine->sizes.kv_type);
    size_t all = tsr_seq_saved_bytes(engine->state, LONG), few = tsr_seq_saved_bytes(engine->state, SHORT);
    size_t n_runs = (size_t)(2 * c->n_attention * c->n_kv_heads), fixed = few - n_runs * SHORT * kv;
    char *a = malloc(few), *b = malloc(all);
    must(tsr_seq_save(&from, a));
    must(tsr_seq_save(&to, b));
    assert_memory_equal(a, b, fixed);
    for (size_t run = 0; run < n_runs; run++)
        for (size_t t = 0; t < LONG; t++)
            assert_memory_equal(a + fixed + (run * SHORT + t % SHORT) * kv, b + fixed + (run * LONG + t) * kv,
                                kv);
    must(tsr_seq_spread(&from, &from, LONG)); /* out of itself */
    must(tsr_seq_save(&from, b));
    assert_memory_equal(a, b, fixed);
    assert_memory_equal(a + fixed, b + fixed + SHORT * kv, SHORT * kv); /* the first head's second page */
    free(a);
    free(b);
    tsr_seq_close(&to);
    tsr_seq_close(&from);
    tsr_engine_close(engine);
    tsr_model_close(model);
}

/* As exporters write FP8: a hybrid's attention stays bf16, a Transformer has little else. */
static void fp8_parts(void **state)
{
    (void)state;
    tsr_model *model = NULL;
    tsr_model_opts opts = {.backend = "cpu", .synthetic_dtype = 2};
    must(tsr_model_sketch(&model, "8b", &opts));
    assert_int_equal(tsr_lm_weight_type(model->lm, TSR_LAYER_MAMBA), TSR_FP8);
    assert_int_equal(tsr_lm_weight_type(model->lm, TSR_LAYER_MLP), TSR_FP8);
    assert_int_equal(tsr_lm_weight_type(model->lm, TSR_LAYER_ATTENTION), TSR_BF16);
    double bytes = (double)tsr_lm_step_bytes(model->lm);
    assert_true(bytes > 8.26e9 && bytes < 8.29e9); /* Mamba and MLP 6.86, attention 0.34, head 1.07 GB */
    tsr_model_close(model);
    must(tsr_model_sketch(&model, "t8b", &opts));
    assert_int_equal(tsr_lm_weight_type(model->lm, TSR_LAYER_ATTENTION), TSR_FP8);
    tsr_model_close(model);
    opts.synthetic_dtype = 0;
    must(tsr_model_sketch(&model, "8b", &opts));
    bytes = (double)tsr_lm_step_bytes(model->lm);
    assert_true(bytes > 15.1e9 && bytes < 15.15e9);
    tsr_model_close(model);
    opts.synthetic_dtype = 3;
    assert_int_equal(tsr_model_sketch(&model, "8b", &opts), TSR_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_step),
        cmocka_unit_test(spread),
        cmocka_unit_test(fp8_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
