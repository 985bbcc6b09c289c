/* apps/bench.h: what the files of `tessera bench` share. */
#ifndef TSR_BENCH_H
#define TSR_BENCH_H

#include <cjson/cJSON.h>

#include "apps/cli.h"

enum { MAX_REPEATS = 1000 };

/* One line of the table. */
typedef struct row {
    const char *stage;
    char what[64];
    double seconds;  /* median of one run */
    double per_unit; /* units of `unit` in one run */
    const char *unit;
    double work;     /* bytes or FLOPs of one run */
    double ceiling;  /* of the same, per second; median */
    double fraction; /* median over pairs of work / (seconds * ceiling) */
    const char *ceiling_name;
} row;

typedef struct bench {
    const options *o;
    tsr_model *model;
    tsr_engine *engine;
    double scale; /* of a whole model to the layers that run; 1 when all do */
    int64_t ran_layers, all_layers;
    cJSON *json;
} bench;

/* Of n values, which are put in order. */
double median(double *values, int64_t n);

/* Token ids for prompts; free() them. NULL without memory. */
int32_t *made_up_ids(const bench *b, int64_t n);

/* One prompt of so many ids, without the head; counters hold it alone. */
tsr_status prefill_once(bench *b, const int32_t *ids, int64_t n_rows, double *seconds);

/* A ceiling around one row: the median of what was measured. */
enum { MAX_LOOKS = 16 };
typedef struct roof {
    double seen[MAX_LOOKS];
    int64_t n;
} roof;

/* Measure them three times more, those that are not NULL: bytes a second read from the device's memory, FLOP a second
 * of a product of 8192^3. */
tsr_status look(bench *b, roof *read, roof *fp8, roof *bf16);
double height(roof *r);

/* FLOPs counted since the counters were cleared: products, attention, scan. */
double useful_flops(const bench *b);

/* One step of the drill by itself, for its counters; watched, as a step that is replayed counts nothing. */
tsr_status count_step(bench *b, tsr_drill *drill, int64_t context);

/* Seconds that the step or prompt which the counters hold cannot beat: weights once (or their products, when these
 * take longer), state and cache for every sequence, at so many bytes and FLOP a second. */
double decode_floor(const bench *b, int64_t batch, double context, double read, double product);

/* The rows of the target table that --table names. Returns an exit code. */
int run_table(bench *b);

/* 65,536 tokens in, 1,024 out, beside a Transformer of the same size. Returns an exit code. */
int run_headline(bench *b);

/* Where the time went of `runs` runs since the profile was turned on, under the row that was measured unwatched. On
 * stdout, or with --json in the array. */
void show_parts(bench *b, const row *r, int64_t runs);

#endif
