/* runtime/trace.c: gather rows by name. */
#include "runtime/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

typedef struct gathered {
    char name[96];
    float *rows;
    int64_t n_rows, cols, capacity; /* capacity in floats */
} gathered;

struct tsr_tracer {
    tsr_trace_fn *listener;
    void *user;
    gathered *values;
    int64_t n, capacity;
    bool lost;
};

tsr_status tsr_tracer_open(tsr_tracer **out, tsr_trace_fn *listener, void *user)
{
    tsr_tracer *t = tsr_calloc(1, sizeof *t);
    if (!t) return tsr_fail(TSR_E_NOMEM, "no memory for a trace");
    t->listener = listener;
    t->user = user;
    *out = t;
    return TSR_OK;
}

static void forget(tsr_tracer *t)
{
    for (int64_t i = 0; i < t->n; i++) tsr_free(t->values[i].rows);
    t->n = 0;
    t->lost = false;
}

void tsr_tracer_close(tsr_tracer *t)
{
    if (!t) return;
    forget(t);
    tsr_free(t->values);
    tsr_free(t);
}

static gathered *find(tsr_tracer *t, const char *name, int64_t cols)
{
    for (int64_t i = 0; i < t->n; i++)
        if (!strcmp(t->values[i].name, name)) return &t->values[i];
    void *values = t->values;
    if (!tsr_grow(&values, &t->capacity, t->n + 1, sizeof *t->values)) return NULL;
    t->values = values;
    gathered *g = &t->values[t->n++];
    *g = (gathered){.cols = cols};
    snprintf(g->name, sizeof g->name, "%s", name);
    return g;
}

static float element(tsr_view v, int64_t row, int64_t col)
{
    if (v.type == TSR_I32) return (float)((const int32_t *)tsr_row(v, row))[col]; /* expert ids: exact */
    float x = tsr_load(tsr_row(v, row), v.type, col);
    if (v.scaled == TSR_SCALE_NONE) return x;
    int64_t at = v.scaled == TSR_SCALE_BLOCK ? col / TSR_SCALE_BLOCK_COLS : 0;
    return x * v.scale[row * v.scale_stride + at];
}

void tsr_tracer_take(void *tracer, const char *name, tsr_view value)
{
    tsr_tracer *t = tracer;
    gathered *g = find(t, name, value.cols);
    void *rows = g ? g->rows : NULL;
    if (!g || g->cols != value.cols ||
        !tsr_grow(&rows, &g->capacity, (g->n_rows + value.rows) * value.cols, sizeof(float))) {
        t->lost = true;
        return;
    }
    g->rows = rows;
    float *to = g->rows + g->n_rows * g->cols;
    for (int64_t r = 0; r < value.rows; r++)
        for (int64_t c = 0; c < value.cols; c++) *to++ = element(value, r, c);
    g->n_rows += value.rows;
}

void tsr_tracer_give(tsr_tracer *t, const char *name, const char *type, const int64_t *shape, int n_dims,
                     const void *data)
{
    t->listener(t->user, name, type, shape, n_dims, data);
}

tsr_status tsr_tracer_flush(tsr_tracer *t)
{
    bool lost = t->lost;
    for (int64_t i = 0; i < t->n && !lost; i++) {
        const gathered *g = &t->values[i];
        tsr_tracer_give(t, g->name, "f32", (int64_t[]){g->n_rows, g->cols}, 2, g->rows);
    }
    forget(t);
    return lost ? tsr_fail(TSR_E_NOMEM, "no memory for the values of a trace") : TSR_OK;
}
