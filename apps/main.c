/* apps/main.c: the commands of `tessera`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/term.h"

#define G_RUN (G_MODEL | G_ENGINE)

const command commands[] = {
    {"caption", "IMAGE...", "One sentence or two about each picture.", "tessera caption photo.jpg",
     G_RUN | G_IMAGE | G_PROMPT | G_SAMPLE | G_JSON, run_caption},
    {"ask", "IMAGE... -p QUESTION", "Answer a question about pictures or pages; -i for a dialogue.",
     "tessera ask receipt.png -p \"What is the total?\"",
     G_RUN | G_IMAGE | G_PROMPT | G_SAMPLE | G_JSON | G_DIALOGUE, run_ask},
    {"inspect", "IMAGE...", "What the model will see of a picture: grid, tiles, tokens, hashes.",
     "tessera inspect page.png -o tiles.png", G_MODEL | G_IMAGE | G_OUT | G_JSON, run_inspect},
    {"plan", "", "What a model takes in memory and how many sessions fit, before anything is loaded.",
     "tessera plan -m DIR -c 8192 --memory 24", G_RUN | G_PLAN | G_JSON, run_plan},
    {"info", "", "What a model is.", "tessera info -m DIR --hash", G_MODEL | G_INFO | G_JSON, run_info},
    {"trace", "[--image FILE] -p TEXT -o DIR", "Every named intermediate value as .npy.",
     "tessera trace --image sign.png -p \"Read it.\" -o out", G_RUN | G_IMAGE | G_TRACE | G_OUT, run_trace},
    {"tokenize", "[-p TEXT | -f FILE]", "Text to token ids, as JSON, and back with --decode.",
     "echo \"Hello\" | tessera tokenize", G_MODEL | G_TOKENIZE, run_tokenize},
    {"bench", "", "The speed of each stage beside its floor.", "tessera bench --synthetic 8b",
     G_RUN | G_BENCH | G_JSON, run_bench},
    {"quantize", "-m DIR -o DIR", "An FP8 checkpoint, as ModelOpt writes them, from one in BF16, F16 or F32.",
     "tessera quantize -m DIR -o DIR-FP8 --calib texts.txt", G_MODEL | G_IMAGE | G_OUT | G_QUANTIZE,
     run_quantize},
};
const int n_commands = sizeof commands / sizeof commands[0];

static void usage(FILE *to)
{
    fprintf(to, "tessera %s: vision-language models with a hybrid Mamba-Transformer decoder\n\n",
            tsr_version());
    for (int i = 0; i < n_commands; i++)
        fprintf(to, "  tessera %-10s %-30s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    fprintf(to, "\n  tessera COMMAND --help      flags and an example\n"
                "  tessera --list-devices      what models can run on\n"
                "  tessera --version\n");
}

static int list_devices(void)
{
    const char *line;
    for (int i = 0; (line = tsr_device(i)); i++) puts(line);
    return finish_output(EXIT_DONE);
}

static int unknown_command(const char *word)
{
    const char *names[16];
    for (int i = 0; i < n_commands; i++) names[i] = commands[i].name;
    const char *near = nearest(word, names, n_commands);
    if (near)
        complain("%s: no such command; did you mean %s?", word, near);
    else
        complain("%s: no such command; 'tessera --help' lists them", word);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    term_open(false, false);
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        usage(stdout);
        return finish_output(EXIT_DONE);
    }
    if (!strcmp(word, "--version")) {
        printf("tessera %s\n", tsr_version());
        return finish_output(EXIT_DONE);
    }
    if (!strcmp(word, "--list-devices")) return list_devices();

    for (int i = 0; i < n_commands; i++) {
        const command *c = &commands[i];
        if (strcmp(c->name, word)) continue;
        options o = {.memory_gib = 0};
        o.images = calloc((size_t)argc, sizeof *o.images);
        if (!o.images) return EXIT_FAILED;
        int code = flags_parse(&o, c, argc, argv, 2);
        if (!code && o.help) {
            flags_help(c);
            code = finish_output(EXIT_DONE);
        } else if (!code) {
            term_open(o.verbose, o.quiet);
            code = c->run(&o);
            progress(NULL);
        }
        free(o.images);
        return code;
    }
    return unknown_command(word);
}
