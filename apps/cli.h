/* apps/cli.h: what the commands share: options, a loaded model, and how they end. */
#ifndef TSR_CLI_H
#define TSR_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tessera.h>

/* Exit codes. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SOME_FAILED = 3, EXIT_INTERRUPTED = 130 };

enum { MAX_STOPS = 16 };

/* Everything the command line can say. Strings point into argv. */
typedef struct options {
    tsr_model_opts model_opts;
    tsr_engine_opts engine;
    tsr_image_opts image;
    const char *model;
    const char *prompt, *system, *prompt_file;
    const char *sampling, *think;
    const char *out, *ids, *synthetic, *table;
    tsr_quantize_opts quantize;
    const char *attention;
    double max_shard_gib;
    int64_t n_predict;
    double temp, top_p, min_p, repeat_penalty;
    int64_t top_k, seed;
    double memory_gib;
    int64_t decode, prefill, tiles, context, repeats, batch;
    const char *stop[MAX_STOPS];
    int n_stop;
    bool interactive, show_thinking, json, verbose, quiet, help;
    bool hash, decode_ids, special, fused, exact, curve, ops, headline;
    const char **images; /* positional arguments and --image, in order */
    int n_images;
} options;

typedef struct command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *summary;
    const char *example;
    unsigned flags; /* groups of flags it takes */
    int (*run)(options *o);
} command;

/* Groups of flags; a flag belongs to one or more. */
enum {
    G_MODEL = 1,   /* which model, on what */
    G_ENGINE = 2,  /* memory of an engine */
    G_IMAGE = 4,   /* how pictures are read */
    G_PROMPT = 8,  /* what is asked */
    G_SAMPLE = 16, /* how tokens are chosen */
    G_OUT = 32,    /* -o */
    G_TRACE = 64,
    G_TOKENIZE = 128,
    G_PLAN = 256,
    G_BENCH = 512,
    G_INFO = 1024,
    G_JSON = 2048,
    G_DIALOGUE = 4096,
    G_QUANTIZE = 8192
};

/* Read argv[first..] into *o for a command. Returns EXIT_DONE, or EXIT_USAGE after a message with a hint. */
int flags_parse(options *o, const command *c, int argc, char **argv, int first);
void flags_help(const command *c);

/* The nearest of `names` to a mistyped word, NULL if none is near. */
const char *nearest(const char *word, const char *const *names, int n);

extern const command commands[];
extern const int n_commands;

int run_caption(options *o);
int run_ask(options *o);
int run_inspect(options *o);
int run_plan(options *o);
int run_info(options *o);
int run_trace(options *o);
int run_tokenize(options *o);
int run_bench(options *o);
int run_quantize(options *o);

/* The model directory to use: -m, or the default model beside the program or in the data folder. Returns NULL
 * after a message when there is none. Static memory. */
const char *model_path(const options *o);

/* The folder of sample pictures, found as the default model is; NULL when there is none. Static memory. */
const char *samples_path(void);

/* Open the model (and say on stderr which) and, with `engine`, an engine. EXIT_DONE or EXIT_FAILED. */
int open_model(const options *o, tsr_model **model, tsr_engine **engine);

/* "tessera: MESSAGE" for a failed status; returns EXIT_FAILED, or EXIT_INTERRUPTED when it was cancelled. */
int report(tsr_status status);

/* All of a file, or of standard input for "-", NUL behind it; free() it. NULL after a message. */
char *read_text(const char *path, size_t *bytes);

/* Open an image file, or standard input for "-". */
tsr_status open_image(tsr_image **out, const tsr_model *model, const char *path, const tsr_image_opts *opts);

#endif
