/* tests/device/loading.c: how fast a checkpoint reaches a device, beside reading its files and beside the bus.
 *
 *   loading BACKEND MODEL [DTYPE]
 *
 * MODEL is a folder. Its files are read once before anything is timed, so that they lie in the system's memory as far
 * as that holds them, and then by all threads at once, before and after; the model is loaded twice, as the first time
 * also wakes the device. Fails when loading tells no progress or ends short of what it said it would load.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/tessera.h"

enum { MAX_FILES = 256, MAX_THREADS = 64, PIECE = 4 << 20 };

typedef struct files {
    int fd[MAX_FILES], n;
    off_t bytes[MAX_FILES];
    double all;
    atomic_llong next; /* piece, counted through all files */
} files;

static void give_up(const char *why)
{
    fprintf(stderr, "loading: %s\n", why);
    exit(1);
}

static void must(tsr_status status)
{
    if (status) give_up(tsr_message());
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---------------------------------------------------------------- the files ----------------------------- */

static void open_files(files *f, const char *path)
{
    char name[4096];
    DIR *folder = opendir(path);
    if (!folder) give_up("the folder cannot be read");
    for (const struct dirent *e; (e = readdir(folder)) && f->n < MAX_FILES;) {
        const char *end = strrchr(e->d_name, '.');
        if (!end || strcmp(end, ".safetensors") != 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        f->fd[f->n] = open(name, O_RDONLY);
        f->bytes[f->n] = f->fd[f->n] < 0 ? -1 : lseek(f->fd[f->n], 0, SEEK_END);
        if (f->bytes[f->n] < 0) give_up("a file cannot be opened");
        f->all += (double)f->bytes[f->n++];
    }
    closedir(folder);
    if (!f->n) give_up("there are no *.safetensors in the folder");
}

static void *read_pieces(void *arg)
{
    files *f = arg;
    char *to = malloc(PIECE);
    if (!to) give_up("no memory");
    for (;;) {
        off_t at = (off_t)atomic_fetch_add(&f->next, 1) * PIECE;
        int i = 0;
        for (; i < f->n; i++) { /* every file begins with a piece of its own */
            off_t room = (f->bytes[i] + PIECE - 1) / PIECE * PIECE;
            if (at < room) break;
            at -= room;
        }
        if (i == f->n) break;
        for (off_t end = at + PIECE < f->bytes[i] ? at + PIECE : f->bytes[i]; at < end;) {
            ssize_t n = pread(f->fd[i], to, (size_t)(end - at), at);
            if (n <= 0) give_up("a file cannot be read");
            at += n;
        }
    }
    free(to);
    return NULL;
}

/* Bytes per second, all threads at once. */
static double read_files(files *f, int n_threads)
{
    pthread_t threads[MAX_THREADS];
    double began = now();
    f->next = 0;
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, read_pieces, f)) give_up("no thread");
    for (int i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    return f->all / (now() - began);
}

/* ---------------------------------------------------------------- loading ------------------------------- */

typedef struct told {
    int64_t times, done, total;
    bool backwards;
} told;

static void listen(void *user, int64_t done, int64_t total)
{
    told *t = user;
    t->backwards = t->backwards || done < t->done || (t->times && total != t->total);
    *t = (told){t->times + 1, done, total, t->backwards};
}

static tsr_model *load(char **args, told *t, double *seconds)
{
    tsr_model *model;
    *t = (told){0};
    double began = now();
    tsr_model_opts opts = {.backend = args[0], .dtype = args[2], .on_load = listen, .on_load_user = t};
    must(tsr_model_open(&model, args[1], &opts));
    *seconds = now() - began;
    if (t->times < 2 || t->backwards || t->done != t->total) give_up("progress was not told as it was made");
    return model;
}

int main(int argc, char **argv)
{
    static files f;
    told t;
    tsr_engine *engine;
    double first, seconds, bus = 0;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: loading BACKEND MODEL [DTYPE]\n");
        return 2;
    }
    int n_threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    open_files(&f, argv[2]);
    read_files(&f, n_threads);
    tsr_model_close(load(argv + 1, &t, &first));
    double before = read_files(&f, n_threads);
    tsr_model *model = load(argv + 1, &t, &seconds);
    double after = read_files(&f, n_threads), disk = before > after ? before : after;
    must(tsr_engine_open(&engine, model, &(tsr_engine_opts){.n_ctx = 64, .max_rows = 16}));
    tsr_status status = tsr_engine_ceiling(engine, TSR_SEND_RATE, &bus);
    if (status != TSR_E_UNSUPPORTED) must(status);
    tsr_engine_close(engine);
    tsr_model_close(model);

    double rate = (double)t.total / seconds;
    printf("%.3g GB in %.2f s, the first time %.2f s; %lld reports of progress\n", 1e-9 * (double)t.total,
           seconds, first, (long long)t.times);
    printf("%.2f GB/s", 1e-9 * rate);
    if (bus > 0) printf(", %.2f of the bus (%.1f GB/s)", rate / bus, 1e-9 * bus);
    printf(", %.2f of reading the files by %d threads (%.1f GB/s)\n", rate / disk, n_threads, 1e-9 * disk);
    for (int i = 0; i < f.n; i++) close(f.fd[i]);
    return 0;
}
