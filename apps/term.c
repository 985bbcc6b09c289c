/* apps/term.c: messages, progress and signals. */
#include "apps/term.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/cli.h"

static bool is_quiet, is_verbose;
static bool on_terminal; /* stderr is one */
static bool line_open;   /* a progress line stands there */

static _Atomic(tsr_session *) running;
static volatile sig_atomic_t interrupts;
static volatile sig_atomic_t caught; /* what runs asks term_interrupted() */

static void on_interrupt(int number)
{
    (void)number;
    tsr_session *session = atomic_load(&running);
    if ((!session && !caught) || interrupts++) _exit(EXIT_INTERRUPTED);
    if (session) tsr_session_cancel(session);
}

/* A weight file that shrinks while it is mapped ends in SIGBUS: say which, and leave without a core. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    const char *path = tsr_mapped_file(info->si_addr);
    if (!path) {
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    static const char before[] = "tessera: ", after[] = ": the file shrank while it was in use\n";
    ssize_t ignored = write(2, before, sizeof before - 1);
    ignored = write(2, path, strlen(path));
    ignored = write(2, after, sizeof after - 1);
    (void)ignored;
    _exit(EXIT_FAILED);
}

static void clear_line(void)
{
    if (line_open) fputs("\r\033[K", stderr);
    line_open = false;
}

static void on_note(void *user, int level, const char *line)
{
    (void)user;
    if (is_quiet || (level > 0 && !is_verbose)) return;
    clear_line();
    fprintf(stderr, "tessera: %s%s\n", level == 0 ? "warning: " : "", line);
}

void term_open(bool verbose, bool quiet)
{
    is_verbose = verbose;
    is_quiet = quiet;
    on_terminal = isatty(2);
    tsr_notes(on_note, NULL);

    struct sigaction interrupt = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &interrupt, NULL);
    struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &bus, NULL);
    signal(SIGXFSZ, SIG_IGN); /* so is one past a limit on file sizes */
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a failed write, reported as one */
}

void term_interrupts(tsr_session *session)
{
    atomic_store(&running, session);
}

void term_catch_interrupts(bool on)
{
    caught = on;
}

bool term_interrupted(void)
{
    return interrupts != 0;
}

static void say_v(const char *format, va_list args)
{
    clear_line();
    fputs("tessera: ", stderr);
    char line[2048];
    vsnprintf(line, sizeof line, format, args);
    write_harmless(stderr, line, strlen(line), false);
    fputc('\n', stderr);
}

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_v(format, args);
    va_end(args);
}

void say(const char *format, ...)
{
    if (is_quiet) return;
    va_list args;
    va_start(args, format);
    say_v(format, args);
    va_end(args);
}

void progress(const char *format, ...)
{
    if (is_quiet || !on_terminal) return;
    clear_line();
    if (!format) return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
    line_open = true;
}

void show_load(void *user, int64_t done_bytes, int64_t total_bytes)
{
    (void)user;
    if (done_bytes >= total_bytes)
        progress(NULL);
    else
        progress("loading: %.1f of %.1f GB", 1e-9 * (double)done_bytes, 1e-9 * (double)total_bytes);
}

int show_progress(void *user, int vision, int64_t done, int64_t total)
{
    (void)user;
    if (done >= total)
        progress(NULL);
    else if (vision)
        progress("looking: tile %lld of %lld", (long long)done, (long long)total);
    else
        progress("reading: %lld of %lld rows", (long long)done, (long long)total);
    return 1;
}

bool write_harmless(FILE *to, const char *text, size_t bytes, bool lines)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        bool c1 = c == 0xc2 && i + 1 < bytes && (unsigned char)text[i + 1] < 0xa0; /* U+0080 to U+009F */
        if ((c == '\n' || c == '\t') && lines)
            fputc(c, to);
        else if (c == '\n' || c == '\t')
            fputc(' ', to);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else if (c1)
            fprintf(to, "\\x%02x", (unsigned char)text[++i]);
        else
            fputc(c, to);
    }
    return !ferror(to);
}

int finish_output(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return exit_code;
    if (errno != EPIPE) complain("standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
