/* apps/quantize.c: `tessera quantize`: an FP8 checkpoint from a BF16 one. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "apps/term.h"

static int show_work(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user;
    if (!strcmp(what, "writing"))
        progress("writing: %.2f of %.2f GB", 1e-9 * (double)done, 1e-9 * (double)total);
    else
        progress("%s: %lld of %lld", what, (long long)done, (long long)total);
    return !term_interrupted();
}

/* 1 for `yes`, 0 for `no`, -1 after a message. */
static int one_of(const char *flag, const char *word, const char *yes, const char *no)
{
    if (!strcmp(word, yes)) return 1;
    if (!strcmp(word, no)) return 0;
    complain("%s: '%s' was found; %s or %s is wanted", flag, word, yes, no);
    return -1;
}

int run_quantize(options *o)
{
    int attention = one_of("--attention", o->attention ? o->attention : "on", "on", "off");
    int kv = one_of("--kv", o->engine.kv ? o->engine.kv : "bf16", "fp8", "bf16");
    if (attention < 0 || kv < 0) return EXIT_USAGE;
    if (!o->out) {
        complain("quantize: -o DIR is wanted");
        return EXIT_USAGE;
    }
    if (o->n_images) {
        complain("quantize: '%s' was found; what to calibrate with is named by --calib", o->images[0]);
        return EXIT_USAGE;
    }
    const char *path = model_path(o);
    if (!path) return EXIT_FAILED;

    tsr_quantize_opts q = o->quantize;
    tsr_quantize_info info;
    q.keep_attention = !attention;
    q.kv = kv;
    q.image = o->image;
    q.max_shard_bytes = (int64_t)(o->max_shard_gib * 0x1p30);
    q.samples = samples_path();
    q.on_progress = show_work;
    if (!q.calibration && !q.samples)
        say("no sample pictures stand beside the program; texts alone calibrate");
    double began = seconds_now();
    term_catch_interrupts(true);
    tsr_status status = tsr_quantize(o->out, path, &o->model_opts, &q, &info);
    term_catch_interrupts(false);
    progress(NULL);
    if (status) return report(status);
    say("%lld linears in FP8 after %lld sequences of %lld tokens: %.3g GB, from %.3g, in %lld file%s, %.0f s",
        (long long)info.n_linears, (long long)info.n_sequences, (long long)info.n_tokens,
        1e-9 * (double)info.bytes_after, 1e-9 * (double)info.bytes_before, (long long)info.n_shards,
        info.n_shards == 1 ? "" : "s", seconds_now() - began);
    say("%s", o->out);
    return finish_output(EXIT_DONE);
}
