/* runtime/think.c: one byte at a time through four stages. */
#include "runtime/think.h"

#include <string.h>

static const char open_tag[] = "<think>", close_tag[] = "</think>";

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Give away what is held, as what the stage makes of it. */
static bool release(tsr_think_split *t, tsr_think_fn *give, void *user)
{
    size_t n = t->n_held;
    t->n_held = 0;
    return !n || give(user, t->stage == TSR_STAGE_THINKING, t->held, n);
}

/* Hold `c`, then give away held bytes from the front until the rest begins `tag`. */
static bool hold(tsr_think_split *t, char c, const char *tag, tsr_think_fn *give, void *user)
{
    t->held[t->n_held++] = c;
    size_t from = 0;
    while (from < t->n_held && strncmp(t->held + from, tag, t->n_held - from)) from++;
    bool on = !from || give(user, t->stage == TSR_STAGE_THINKING, t->held, from);
    memmove(t->held, t->held + from, t->n_held - from);
    t->n_held -= from;
    return on;
}

static bool push_one(tsr_think_split *t, char c, tsr_think_fn *give, void *user)
{
    switch (t->stage) {
    case TSR_STAGE_START: /* does the answer begin with <think>? */
        t->held[t->n_held++] = c;
        if (t->n_held == strlen(open_tag) && !memcmp(t->held, open_tag, t->n_held)) {
            t->n_held = 0;
            t->stage = TSR_STAGE_THINKING;
            return true;
        }
        if (!strncmp(t->held, open_tag, t->n_held)) return true;
        t->stage = TSR_STAGE_ANSWER;
        return release(t, give, user);
    case TSR_STAGE_THINKING:
        if (!hold(t, c, close_tag, give, user)) return false;
        if (t->n_held == strlen(close_tag)) {
            t->n_held = 0;
            t->stage = TSR_STAGE_GAP;
        }
        return true;
    case TSR_STAGE_GAP:
        if (is_space(c)) return true;
        t->stage = TSR_STAGE_ANSWER;
        return give(user, false, &c, 1);
    case TSR_STAGE_ANSWER: break;
    }
    return give(user, false, &c, 1);
}

bool tsr_think_push(tsr_think_split *t, const char *bytes, size_t n, tsr_think_fn *give, void *user)
{
    size_t i = 0;
    while (i < n && t->stage != TSR_STAGE_ANSWER)
        if (!push_one(t, bytes[i++], give, user)) return false;
    return i == n || give(user, false, bytes + i, n - i);
}

bool tsr_think_end(tsr_think_split *t, tsr_think_fn *give, void *user)
{
    if (t->stage == TSR_STAGE_START) t->stage = TSR_STAGE_ANSWER;
    return release(t, give, user);
}
