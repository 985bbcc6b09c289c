/* tests/model/model.h: a checkpoint of tests/vectors opened on one backend, and what its networks let us see. */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/npy.h"
#include "kernels/backend.h"
#include "lm/decode.h"
#include "lm/nemotron_h.h"
#include "lm/step.h"
#include "projector/projector.h"
#include "vision/internvit.h"

typedef struct backend {
    char name[24];
    tsr_ops ops;
    bool rounds; /* linears with bf16 or FP8 weights round their input to bf16 */
} backend;

/* ref, then the CPU table of every level this machine has. */
#define MAX_BACKENDS 8
int find_backends(backend *to);

/* Named values as f32, in the order in which they were tapped. */
typedef struct recorded {
    char name[48];
    int64_t rows, cols;
    float *data;
} recorded;

typedef struct recorder {
    recorded *values;
    int64_t n, capacity;
} recorder;

const recorded *recorder_find(const recorder *r, const char *name);
void recorder_clear(recorder *r);

typedef struct model {
    const backend *backend;
    char folder[256];
    tsr_json *json;
    tsr_safetensors *files;
    tsr_pool *pool;
    tsr_queue *q;
    tsr_lm_config config;
    tsr_lm *lm;
    tsr_internvit *vit; /* NULL without vision_config */
    tsr_projector *projector;
    tsr_state *state;
    tsr_stepper *stepper;
    recorder taps;
} model;

typedef struct model_opts {
    tsr_input_mode fp8_input;
    bool text_only;     /* leave the encoder and projector out */
    const tsr_ops *ops; /* instead of the backend's */
    float dt_min;       /* instead of the checkpoint's, when positive */
} model_opts;

/* Room of a model's pools: enough for every test here. */
enum { MODEL_SLOTS = 6, MODEL_PAGES = 40, MODEL_ROWS = 192, MODEL_TILES = 8 };
extern const tsr_decoder_limits model_decoder;

/* Open tests/vectors/models/NAME; a failure fails the test with its message. The scratch is what dry walks
 * measured, no byte more. */
void model_open(model *m, const backend *b, const char *name, model_opts o);
void model_close(model *m);

/* Fail the test with tsr_message() unless st is TSR_OK. */
void must(tsr_status st);

/* Rows of the language model for tiles u8 [n, S, S, 3]: f32 [n * grid / 4, d_model], to be freed. */
float *model_rows(model *m, const tsr_npy *tiles, int64_t *n_rows);

/* Run the items as one step; logits f32 [n_logits, vocab] of the step, to be freed. */
float *model_step(model *m, const tsr_step_item *items, int64_t n_items, const float *rows, int64_t n_rows);

/* The same for one sequence. */
float *model_feed(model *m, tsr_seq *seq, const int32_t *ids, int64_t n, tsr_logits_wanted wanted,
                  const float *rows, int64_t n_rows);

tsr_seq model_seq(model *m);

/* Read NAME.npy of a case's folder. */
tsr_npy case_array(const model *m, const char *test_case, const char *name);
bool case_has(const model *m, const char *test_case, const char *name);

/* max |got - want| / max |want|. */
double drift(const float *got, const float *want, int64_t n);
/* |got - want| / |want| in L2. */
double drift_l2(const float *got, const float *want, int64_t n);

int64_t argmax(const float *x, int64_t n);

#endif
