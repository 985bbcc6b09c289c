/* tests/default-model/mini.c: a small evaluation of the default model, with a floor under each group of answers.
 *
 * A numerical error that every tolerance lets pass still makes the model read worse. 60 generated pictures, half of
 * them with fonts, layouts and words that training never saw; each is described, then asked about, every question on a
 * copy of the state after the description. A floor lies eight points under what tools/train/golden.py measured.
 *
 * With an argument it prints every answer that is not perfect.
 */
#include "fixture.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_GROUPS = 16, MAX_TEXT = 1024 };

/* How near an answer is to an accepted one, from 0 to 1. */
typedef double rule_fn(const char *got, const char *accepted);

typedef struct group {
    const char *name;
    rule_fn *rule;
    double points, floor;
    int n;
} group;

static group groups[MAX_GROUPS];
static int n_groups;
static bool verbose;

static double exact(const char *got, const char *accepted)
{
    return strcasecmp(got, accepted) == 0;
}

static bool as_number(const char *text, double *to)
{
    char *end;
    *to = strtod(text, &end);
    if (*end == '%') end++;
    return end != text && !*end && isfinite(*to);
}

/* Numbers that are read off axes: within 5%. */
static double number(const char *got, const char *accepted)
{
    double a, b;
    if (as_number(got, &a) && as_number(accepted, &b)) return fabs(a - b) <= 0.05 * fabs(b);
    return exact(got, accepted);
}

/* The share of bytes that need no correction: one minus the edit distance over the length. */
static double letters(const char *got, const char *accepted)
{
    size_t n = strlen(accepted), row[MAX_TEXT];
    assert_true(n > 0 && n < MAX_TEXT);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; got[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = diagonal + (got[i] != accepted[j]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[n] < n ? 1 - (double)row[n] / (double)n : 0;
}

static rule_fn *rule_of(const char *name)
{
    if (!strcmp(name, "number")) return number;
    if (!strcmp(name, "letters")) return letters;
    assert_string_equal(name, "exact");
    return exact;
}

static group *find_group(const char *name)
{
    for (int i = 0; i < n_groups; i++)
        if (!strcmp(groups[i].name, name)) return &groups[i];
    fail_msg("there is no group %s", name);
    return NULL;
}

/* Without white space around it. */
static void trim(char *to, size_t room, const char *text)
{
    while (isspace((unsigned char)*text)) text++;
    snprintf(to, room, "%s", text);
    size_t n = strlen(to);
    while (n && isspace((unsigned char)to[n - 1])) to[--n] = 0;
}

static void judge(const tsr_json_value *question, const char *answer)
{
    group *g = find_group(text_of(question, "group"));
    char got[MAX_TEXT];
    double best = 0;
    trim(got, sizeof got, answer);
    const tsr_json_value *accepted = tsr_json_first(get(question, "accepted"));
    for (const tsr_json_value *v = accepted; v; v = tsr_json_next(v))
        best = fmax(best, g->rule(got, tsr_json_string(v)));
    g->points += best;
    g->n++;
    if (verbose && best < 1)
        printf("[%s] %s\n  wanted %s\n  got    %s\n", g->name, text_of(question, "question"),
               tsr_json_string(accepted), got);
}

static void ask_everything(const fixture *f, const tsr_json_value *picture)
{
    tsr_image *image = open_picture(f, picture);
    tsr_session *described = NULL, *copy;
    must(tsr_session_open(&described, f->engine));
    const tsr_json_value *q = tsr_json_first(get(picture, "ask"));
    judge(q, ask(described, image, text_of(q, "question")).text);
    while ((q = tsr_json_next(q))) {
        must(tsr_session_fork(&copy, described));
        judge(q, ask(copy, NULL, text_of(q, "question")).text);
        tsr_session_close(copy);
    }
    tsr_session_close(described);
    tsr_image_close(image);
}

static void no_group_is_below_its_floor(void **state)
{
    fixture f;
    (void)state;
    fixture_open(&f, "mini.json");
    for (const tsr_json_value *v = tsr_json_first(get(f.root, "groups")); v; v = tsr_json_next(v)) {
        assert_true(n_groups < MAX_GROUPS);
        groups[n_groups++] = (group){.name = tsr_json_key(v),
                                     .rule = rule_of(text_of(v, "rule")),
                                     .floor = tsr_json_number(get(v, "floor"))};
    }
    int n_pictures = 0, below = 0;
    for (const tsr_json_value *v = tsr_json_first(get(f.root, "pictures")); v;
         v = tsr_json_next(v), n_pictures++)
        ask_everything(&f, v);
    for (int i = 0; i < n_groups; i++) {
        const group *g = &groups[i];
        assert_true(g->n >= 10);
        double score = 100 * g->points / g->n;
        bool fell = score < g->floor;
        printf("%-10s %5.1f of %3d, floor %4.1f%s\n", g->name, score, g->n, g->floor, fell ? "  BELOW" : "");
        below += fell;
    }
    assert_int_equal(n_pictures, 60);
    fixture_close(&f);
    assert_int_equal(below, 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    verbose = argc > 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_group_is_below_its_floor)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
