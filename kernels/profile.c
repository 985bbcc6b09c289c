/* kernels/profile.c: lines by name, and pairs of marks that wait to be read. */
#include "kernels/profile.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "kernels/ops.h"

enum { MAX_LINES = 96, MAX_PAIRS = 1024 };

typedef struct pair {
    void *begin, *end; /* marks of the backend */
    tsr_profile_line *line;
} pair;

struct tsr_profile {
    tsr_queue *q;
    tsr_profile_line lines[MAX_LINES];
    int n_lines;
    tsr_profile_line *now; /* of the op that runs */
    double began;          /* in the host's memory */
    pair pairs[MAX_PAIRS]; /* marks are made once and used again */
    int n_pairs;           /* that wait to be read */
};

static bool on_device(const tsr_profile *p)
{
    return p->q->ops->memory && p->q->ops->memory->mark;
}

tsr_status tsr_profile_open(tsr_profile **out, tsr_queue *q)
{
    assert(!q->profile);
    tsr_profile *p = tsr_calloc(1, sizeof *p);
    if (!p) return tsr_fail(TSR_E_NOMEM, "no memory for a profile");
    p->q = q;
    tsr_status st = TSR_OK;
    for (int i = 0; i < MAX_PAIRS && on_device(p) && !st; i++) {
        st = q->ops->memory->take_mark(&p->pairs[i].begin);
        if (!st) st = q->ops->memory->take_mark(&p->pairs[i].end);
    }
    if (st) {
        tsr_profile_close(p);
        return st;
    }
    q->profile = p;
    *out = p;
    return TSR_OK;
}

void tsr_profile_close(tsr_profile *p)
{
    if (!p) return;
    for (int i = 0; i < MAX_PAIRS && on_device(p); i++) {
        p->q->ops->memory->give_mark(p->pairs[i].begin);
        p->q->ops->memory->give_mark(p->pairs[i].end);
    }
    p->q->profile = NULL;
    tsr_free(p);
}

/* Wait for the queue and add up what its marks say. A failure stays with the queue. */
static void settle(tsr_profile *p)
{
    if (p->n_pairs) p->q->ops->memory->sync(p->q);
    for (int i = 0; i < p->n_pairs && !p->q->failed; i++)
        p->pairs[i].line->count.seconds +=
            p->q->ops->memory->between_marks(p->pairs[i].begin, p->pairs[i].end);
    p->n_pairs = 0;
}

void tsr_profile_clear(tsr_profile *p)
{
    settle(p);
    p->n_lines = 0;
}

const tsr_profile_line *tsr_profile_at(tsr_profile *p, int i)
{
    settle(p);
    return i >= 0 && i < p->n_lines ? &p->lines[i] : NULL;
}

/* "linear lm.in_proj" from "lm.layer.07.in_proj": the part and the last word, whatever the layer. */
static void name_line(char name[TSR_PROFILE_NAME], tsr_op_id op, const char *part)
{
    if (!part) {
        snprintf(name, TSR_PROFILE_NAME, "%s", tsr_op_name(op));
        return;
    }
    const char *last = strrchr(part, '.');
    int first = (int)strcspn(part, ".");
    if (last && last[1] >= '0' && last[1] <= '9') last = NULL; /* a whole layer */
    snprintf(name, TSR_PROFILE_NAME, "%s %.*s%s", tsr_op_name(op), first, part, last ? last : "");
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tsr_profile_begin(tsr_profile *p, tsr_op_id op, const char *part, double flops, double bytes)
{
    char name[TSR_PROFILE_NAME];
    name_line(name, op, part);
    int i = 0;
    while (i < p->n_lines && strcmp(p->lines[i].name, name) != 0) i++;
    if (i == MAX_LINES) i--; /* the last line takes what has no place */
    tsr_profile_line *line = &p->lines[i];
    if (i == p->n_lines) {
        *line = (tsr_profile_line){0};
        memcpy(line->name, name, sizeof name);
        p->n_lines++;
    }
    line->count.calls++;
    line->count.flops += flops;
    line->count.bytes += bytes;
    p->now = line;
    if (!on_device(p)) {
        p->began = seconds_now();
        return;
    }
    if (p->n_pairs == MAX_PAIRS) settle(p);
    p->pairs[p->n_pairs].line = line;
    p->q->ops->memory->mark(p->q, p->pairs[p->n_pairs].begin);
}

void tsr_profile_end(tsr_profile *p)
{
    if (on_device(p))
        p->q->ops->memory->mark(p->q, p->pairs[p->n_pairs++].end);
    else
        p->now->count.seconds += seconds_now() - p->began;
}
