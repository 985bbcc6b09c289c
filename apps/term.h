/* apps/term.h: the terminal: messages, progress, Ctrl-C, text from outside made harmless. */
#ifndef TSR_TERM_H
#define TSR_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <tessera.h>

/* Install the handlers (Ctrl-C, a mapped file that shrank) and the listener for the library's notes. */
void term_open(bool verbose, bool quiet);

/* Ctrl-C stops this session's call; NULL: nothing runs that is worth an orderly end, and Ctrl-C ends the program,
 * as a second one always does. */
void term_interrupts(tsr_session *session);
bool term_interrupted(void);

/* The same for work without a session: while on, Ctrl-C only makes term_interrupted() true. */
void term_catch_interrupts(bool on);

/* "tessera: ..." on stderr; `say` is silent with --quiet, `complain` never. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line that overwrites itself, on a terminal only; NULL clears it. */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
int show_progress(void *user, int vision, int64_t done, int64_t total);
void show_load(void *user, int64_t done_bytes, int64_t total_bytes);

/* Write text of a model or a file name with control characters shown as \xNN; newline and tab pass when
 * `lines`, and become one space otherwise. False when the stream fails. */
bool write_harmless(FILE *to, const char *text, size_t bytes, bool lines);

/* Flush stdout; EXIT_FAILED with a message when the reader is gone or the disk is full. */
int finish_output(int exit_code);

double seconds_now(void);

#endif
