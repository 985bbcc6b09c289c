/* apps/flags.c: the table of flags, parsing, help. llama.cpp's names; vLLM's long names as aliases. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/term.h"

typedef enum kind { STRING, INT32, INT64, REAL, SWITCH, SWITCH_INT, APPEND_STOP, APPEND_IMAGE } kind;

typedef struct flag {
    const char *names; /* all spellings, separated by spaces; the first long one stands in messages */
    kind kind;
    size_t at;        /* in options */
    double low, high; /* of numbers */
    unsigned groups;
    const char *help;
} flag;

#define AT(field) offsetof(options, field)
#define ANY UINT_MAX

static const flag flags[] = {
    {"-m --model", STRING, AT(model), 0, 0, G_MODEL,
     "DIR or ORG/NAME: the checkpoint; without it the default model"},
    {"--backend", STRING, AT(model_opts.backend), 0, 0, G_MODEL, "auto, ref, cpu or cuda"},
    {"--dtype", STRING, AT(model_opts.dtype), 0, 0, G_MODEL,
     "of activations: auto, f32 or bf16; fp8: as auto, the decoder's weights in FP8"},
    {"--fp8-parts", STRING, AT(model_opts.fp8_parts), 0, 0, G_MODEL,
     "attention,lm_head,vision,projector: what --dtype fp8 or --fp8 has in FP8 besides (attention); all; "
     "none"},
    {"--fp8-activations", STRING, AT(model_opts.fp8_activations), 0, 0, G_MODEL,
     "on, off or auto: round the inputs of FP8 linears"},
    {"--chat-template", STRING, AT(model_opts.chat_template), 0, 0, G_MODEL,
     "NAME: the prompt format, when the checkpoint's own is not wanted"},
    {"-t --threads", INT32, AT(model_opts.threads), 1, 256, G_MODEL, "N: threads; one per core without it"},
    {"-c --ctx-size --max-model-len", INT64, AT(engine.n_ctx), 1, 1 << 24, G_ENGINE, "N: tokens of context"},
    {"--kv --kv-cache-dtype", STRING, AT(engine.kv), 0, 0, G_ENGINE | G_QUANTIZE,
     "of keys and values: auto, f32, bf16 or fp8, which wants scales; quantize --kv fp8 writes them"},
    {"--state --mamba-ssm-cache-dtype", STRING, AT(engine.state), 0, 0, G_ENGINE,
     "f32 or f16: what Mamba layers remember (f32)"},
    {"-ub --ubatch-size --max-num-batched-tokens", INT64, AT(engine.max_rows), 1, 65536, G_ENGINE,
     "N: rows read in one step"},
    {"--image", APPEND_IMAGE, 0, 0, 0, G_IMAGE | G_BENCH, "FILE: a picture; may be repeated"},
    {"--max-tiles", INT32, AT(image.max_tiles), 1, 256, G_IMAGE, "N: at most so many tiles per picture"},
    {"--min-tiles", INT32, AT(image.min_tiles), 1, 256, G_IMAGE, "N: at least so many"},
    {"--no-thumbnail", SWITCH_INT, AT(image.no_thumbnail), 0, 0, G_IMAGE, "leave the overview tile out"},
    {"--max-pixels", INT64, AT(image.max_pixels), 1, 1e12, G_IMAGE, "N: refuse larger pictures"},
    {"--max-side", INT64, AT(image.max_side), 1, 1e9, G_IMAGE, "N: refuse longer sides"},
    {"--max-file-bytes", INT64, AT(image.max_file_bytes), 1, 1e12, G_IMAGE, "N: refuse larger files"},
    {"--max-images", INT64, AT(engine.max_images), 1, 4096, G_IMAGE, "N: pictures per request"},
    {"--allow-truncated", SWITCH_INT, AT(image.allow_truncated), 0, 0, G_IMAGE, "take files that end early"},
    {"--vision-parity", STRING, AT(model_opts.vision_parity), 0, 0, G_IMAGE,
     "hf: no rotation, transparency dropped, 16 bits clipped"},
    {"--resize-rule", STRING, AT(image.resize_rule), 0, 0, G_IMAGE,
     "12.2 or old: tall pictures as Pillow 12.2 or before resized them"},
    {"-p --prompt", STRING, AT(prompt), 0, 0, G_PROMPT | G_TOKENIZE | G_TRACE, "TEXT: what to ask"},
    {"-f --file", STRING, AT(prompt_file), 0, 0, G_PROMPT | G_TOKENIZE,
     "FILE: what to ask, from a file; - is standard input"},
    {"-sys --system-prompt", STRING, AT(system), 0, 0, G_PROMPT, "TEXT: the system message"},
    {"-i --interactive", SWITCH, AT(interactive), 0, 0, G_DIALOGUE,
     "go on with further questions, one a line"},
    {"-n --n-predict --max-tokens", INT64, AT(n_predict), -1, 1 << 24, G_SAMPLE,
     "N: at most so many tokens; -1: until the context is full"},
    {"--temp --temperature", REAL, AT(temp), 0, 100, G_SAMPLE,
     "X: 0 takes the likeliest token (the default)"},
    {"--top-k", INT64, AT(top_k), 0, 1 << 24, G_SAMPLE, "N: draw from the N likeliest; 0: all"},
    {"--top-p", REAL, AT(top_p), 0, 1, G_SAMPLE, "X: draw from the likeliest that sum to X"},
    {"--min-p", REAL, AT(min_p), 0, 1, G_SAMPLE, "X: drop what is less likely than X times the likeliest"},
    {"--repeat-penalty --repetition-penalty", REAL, AT(repeat_penalty), 0.01, 100, G_SAMPLE,
     "X: above 1 avoids tokens already seen"},
    {"-s --seed", INT64, AT(seed), 0, 9e15, G_SAMPLE, "N: same seed, same text"},
    {"--sampling", STRING, AT(sampling), 0, 0, G_SAMPLE, "checkpoint: as its generation_config says"},
    {"--stop", APPEND_STOP, 0, 0, 0, G_SAMPLE, "TEXT: end the answer before it; may be repeated"},
    {"--think", STRING, AT(think), 0, 0, G_SAMPLE, "on, off or auto: let the model think first (off)"},
    {"--show-thinking", SWITCH, AT(show_thinking), 0, 0, G_SAMPLE, "write its thinking to stderr"},
    {"-o --output", STRING, AT(out), 0, 0, G_OUT, "PATH: where to write"},
    {"--ids", STRING, AT(ids), 0, 0, G_TRACE,
     "1,2,3: token ids instead of a prompt; -1 is the first image row"},
    {"--fused", SWITCH, AT(fused), 0, 0, G_TRACE, "run fused kernels; only boundaries are traced"},
    {"--decode", SWITCH, AT(decode_ids), 0, 0, G_TOKENIZE, "JSON ids to text"},
    {"--special", SWITCH, AT(special), 0, 0, G_TOKENIZE, "read and write control tokens"},
    {"--memory", REAL, AT(memory_gib), 0.001, 1e6, G_PLAN, "GIB: of memory, instead of what the machine has"},
    {"-np --parallel --max-num-seqs", INT64, AT(engine.n_sessions), 1, 1 << 20, G_PLAN,
     "N: sessions at once"},
    {"--synthetic", STRING, AT(synthetic), 0, 0, G_BENCH | G_PLAN, "NAME: random weights of a known shape"},
    {"--fp8", SWITCH_INT, AT(model_opts.synthetic_dtype), 0, 2, G_BENCH,
     "synthetic weights in FP8 instead of BF16"},
    {"--f32", SWITCH_INT, AT(model_opts.synthetic_dtype), 0, 1, G_BENCH, "synthetic weights in F32"},
    {"--table", STRING, AT(table), 0, 0, G_BENCH,
     "all, or numbers like 1,3,6: rows of the target table of a GPU, each beside its floor"},
    {"--headline", SWITCH, AT(headline), 0, 0, G_BENCH,
     "65,536 tokens in and 1,024 out, beside a Transformer of the same size"},
    {"--batch", INT64, AT(batch), 1, 1 << 20, G_BENCH, "N: sequences that decode together (1)"},
    {"--ops", SWITCH, AT(ops), 0, 0, G_BENCH, "where the time of each row goes, op by op"},
    {"--tokens", INT64, AT(decode), 1, 1 << 20, G_BENCH, "N: tokens of the decode row (64)"},
    {"--rows", INT64, AT(prefill), 1, 1 << 20, G_BENCH, "N: rows of the prefill row (512)"},
    {"--tiles", INT64, AT(tiles), 1, 4096, G_BENCH, "N: tiles of the vision row (4)"},
    {"--context", INT64, AT(context), 1, 1 << 24, G_BENCH,
     "N: tokens already in the state when decoding (512)"},
    {"--repeats", INT64, AT(repeats), 1, 1000, G_BENCH, "N: pairs of measurement and ceiling (9)"},
    {"--curve", SWITCH, AT(curve), 0, 0, G_BENCH, "decode cost from 512 to 32,768 tokens of context"},
    {"--exact", SWITCH, AT(exact), 0, 0, G_BENCH, "refuse what does not fit instead of extrapolating"},
    {"--calib", STRING, AT(quantize.calibration), 0, 0, G_QUANTIZE,
     "FILE or DIR: .txt (a sequence a line), .ids (token ids), pictures; without it built-in texts and "
     "samples"},
    {"--attention", STRING, AT(attention), 0, 0, G_QUANTIZE, "on or off: q, k, v and o in FP8 (on)"},
    {"--lm-head", SWITCH_INT, AT(quantize.lm_head), 0, 0, G_QUANTIZE, "the head in FP8 too"},
    {"--vision", SWITCH_INT, AT(quantize.vision), 0, 0, G_QUANTIZE,
     "the vision encoder too (vLLM wants it as it is)"},
    {"--projector", SWITCH_INT, AT(quantize.projector), 0, 0, G_QUANTIZE, "the projector too"},
    {"--max-shard", REAL, AT(max_shard_gib), 1e-6, 1e6, G_QUANTIZE, "GIB: of one weight file at most (4)"},
    {"--hash", SWITCH, AT(hash), 0, 0, G_INFO, "the SHA-256 of every byte, not only the quick id"},
    {"--json", SWITCH, AT(json), 0, 0, G_JSON, "print JSON"},
    {"-v --verbose", SWITCH, AT(verbose), 0, 0, ANY, "say what was chosen and why"},
    {"-q --quiet", SWITCH, AT(quiet), 0, 0, ANY, "nothing on stderr but errors"},
    {"-h --help", SWITCH, AT(help), 0, 0, ANY, "this text"},
};

enum { N_FLAGS = sizeof flags / sizeof flags[0] };

/* Is `word` one of the spellings in `names`? */
static bool is_named(const char *names, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = names; *at;) {
        size_t here = strcspn(at, " ");
        if (here == length && !memcmp(at, word, length)) return true;
        at += here + (at[here] == ' ');
    }
    return false;
}

/* Edit distance with swaps of neighbours counted as one, words of at most 31 characters. */
static int distance(const char *a, const char *b)
{
    int n = (int)strnlen(a, 31), m = (int)strnlen(b, 31);
    int d[32][32];
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++) {
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *nearest(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int best_distance = 3;
    for (int i = 0; i < n; i++) {
        int now = distance(word, names[i]);
        if (now < best_distance) best = names[i], best_distance = now;
    }
    return best;
}

/* The nearest spelling of any flag the command takes, into `to`. */
static bool nearest_flag(char to[64], const command *c, const char *word)
{
    int best = 3;
    for (int i = 0; i < N_FLAGS; i++) {
        if (!(flags[i].groups & c->flags)) continue;
        for (const char *at = flags[i].names; *at;) {
            char name[64];
            int length = (int)strcspn(at, " ");
            snprintf(name, sizeof name, "%.*s", length, at);
            int now = distance(word, name);
            if (now < best && strlen(name) > 2) best = now, snprintf(to, 64, "%s", name);
            at += length + (at[length] == ' ');
        }
    }
    return best < 3;
}

static int bad_value(const char *name, const char *value, const flag *f)
{
    complain("%s: '%s' was found; a%s number from %g to %g is wanted", name, value,
             f->kind == REAL ? "" : " whole", f->low, f->high);
    return EXIT_USAGE;
}

static int set_number(options *o, const flag *f, const char *name, const char *value)
{
    char *end;
    errno = 0;
    if (f->kind == REAL) {
        double x = strtod(value, &end);
        if (end == value || *end || errno || !(x >= f->low && x <= f->high)) return bad_value(name, value, f);
        *(double *)((char *)o + f->at) = x;
        return EXIT_DONE;
    }
    long long x = strtoll(value, &end, 10);
    if (end == value || *end || errno || !((double)x >= f->low && (double)x <= f->high))
        return bad_value(name, value, f);
    if (f->kind == INT32)
        *(int *)((char *)o + f->at) = (int)x;
    else
        *(int64_t *)((char *)o + f->at) = x;
    return EXIT_DONE;
}

static int set(options *o, const flag *f, const char *name, const char *value)
{
    void *at = (char *)o + f->at;
    switch (f->kind) {
    case STRING: *(const char **)at = value; return EXIT_DONE;
    case SWITCH: *(bool *)at = true; return EXIT_DONE;
    case SWITCH_INT: *(int *)at = f->high > 0 ? (int)f->high : 1; return EXIT_DONE;
    case APPEND_IMAGE: o->images[o->n_images++] = value; return EXIT_DONE;
    case APPEND_STOP:
        if (o->n_stop == MAX_STOPS) {
            complain("%s: at most %d of these", name, MAX_STOPS);
            return EXIT_USAGE;
        }
        o->stop[o->n_stop++] = value;
        return EXIT_DONE;
    default: return set_number(o, f, name, value);
    }
}

static const flag *find(const command *c, const char *name)
{
    for (int i = 0; i < N_FLAGS; i++)
        if ((flags[i].groups & c->flags) && is_named(flags[i].names, name)) return &flags[i];
    return NULL;
}

static int unknown(const command *c, const char *name)
{
    char hint[64];
    if (nearest_flag(hint, c, name))
        complain("%s: no such flag for '%s'; did you mean %s?", name, c->name, hint);
    else
        complain("%s: no such flag; 'tessera %s --help' lists them", name, c->name);
    return EXIT_USAGE;
}

int flags_parse(options *o, const command *c, int argc, char **argv, int first)
{
    bool only_names = false; /* after "--" */
    for (int i = first; i < argc; i++) {
        const char *word = argv[i];
        if (only_names || word[0] != '-' || !word[1]) {
            o->images[o->n_images++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            only_names = true;
            continue;
        }
        char name[64];
        const char *value = word[1] == '-' ? strchr(word, '=') : NULL;
        snprintf(name, sizeof name, "%.*s", value ? (int)(value - word) : 63, word);
        value = value ? value + 1 : NULL;

        const flag *f = find(c, name);
        if (!f) return unknown(c, name);
        bool takes_value = f->kind != SWITCH && f->kind != SWITCH_INT;
        if (!takes_value && value) {
            complain("%s takes no value; '%s' was found", name, value);
            return EXIT_USAGE;
        }
        if (takes_value && !value) {
            if (i + 1 == argc) {
                complain("%s wants a value: %s", name, f->help);
                return EXIT_USAGE;
            }
            value = argv[++i];
        }
        int bad = set(o, f, name, value);
        if (bad) return bad;
    }
    return EXIT_DONE;
}

void flags_help(const command *c)
{
    printf("tessera %s %s\n\n    %s\n\nFor example:\n\n    %s\n\nFlags:\n\n", c->name, c->arguments,
           c->summary, c->example);
    for (int i = 0; i < N_FLAGS; i++) {
        if (!(flags[i].groups & c->flags)) continue;
        char names[96];
        int used = 0;
        for (const char *at = flags[i].names; *at && used < 90; at++)
            used += snprintf(names + used, sizeof names - (size_t)used, *at == ' ' ? ", " : "%c", *at);
        printf("  %-46s %s\n", names, flags[i].help);
    }
}
