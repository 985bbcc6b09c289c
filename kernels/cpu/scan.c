/* kernels/cpu/scan.c: the state space recurrence: a step for decode rows, chunks for the others. Compiled per
 * level.
 *
 * A chunk of rows i = 0 .. n-1 that enters with state H, with s_i the sum of dt a up to row i included:
 *
 *   G_ij = C_i B_j, once per group            M_ij = G_ij exp(s_i - s_j) dt_j for j <= i, else 0
 *   y_i  = sum over j of M_ij x_j + exp(s_i) (C_i H') + d x_i
 *   H    = exp(s_n-1) H + sum over j of exp(s_n-1 - s_j) dt_j x_j B_j'
 *
 * Everything but the factors is matrix products. The exponents are differences, never above 0 because a < 0
 * and dt >= 0; the mask is a choice, not a product. The sums s are taken in double and kept as two floats each:
 * a difference of neighbours then has its own rounding, not that of the sums. The state is held transposed,
 * [d_state][head_dim], from the first chunk to the last. Source: arXiv:2405.21060, section 6.
 */
#include <assert.h>
#include <math.h>

#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"
#include "kernels/half_state.h"

/* Rows of a chunk at most (longer ones are cut at multiples of this from their own start), columns of a head at
 * a time, and the largest d_state that leaves room for the rest. */
enum { MAX_CHUNK = 128, MAX_COLS = 128, MAX_STATE = 1024 };

/* Rows whose sums over j end at the same column, a little past the diagonal. */
enum { STRIP = 4 * TILE_ROWS };

typedef struct scan_job {
    tsr_pool *pool;
    tsr_view y, xbc, dt;
    const tsr_mixer *m;
    tsr_slots ssm;
    const tsr_step *step;
    int64_t heads; /* of a task; they are of one group */
} scan_job;

/* Where things lie in a row of xbc, for one head. */
typedef struct columns {
    int64_t x, b, c;
} columns;

static columns columns_of(const tsr_mixer *m, int64_t head)
{
    int64_t group = head / (m->n_heads / m->n_groups), b = tsr_mixer_d(m) + group * m->d_state;
    return (columns){head * m->head_dim, b, b + m->n_groups * m->d_state};
}

/* The state of sequence `seq`, all heads; NULL for nobody's. */
static void *state_of(const scan_job *j, int64_t seq)
{
    int32_t slot = j->step->slot[seq];
    return slot < 0 ? NULL : (char *)j->ssm.data + slot * j->ssm.slot_stride;
}

/* n elements of a state from element `first` on, as f32 at `row` or where they lie. */
static float *state_row(const scan_job *j, void *state, int64_t first, int64_t n, float *row)
{
    if (j->ssm.type == TSR_F32) return (float *)state + first;
    for (int64_t i = 0; i < n; i++) row[i] = tsr_half_value(((const uint16_t *)state)[first + i]);
    return row;
}

/* They have changed; f16 is rounded for the `pos` tokens that are in the state now. */
static void keep_row(const scan_job *j, void *state, int64_t first, int64_t n, const float *row, int64_t pos)
{
    if (j->ssm.type == TSR_F32) return;
    for (int64_t i = first; i < first + n; i++)
        ((uint16_t *)state)[i] = tsr_half_state(row[i - first], (uint32_t)pos, i);
}

static bool continues(const scan_job *j, int64_t seq)
{
    return j->step->pos[seq] > 0 && j->step->slot[seq] >= 0;
}

/* clamp(softplus(dt + dt_bias)) */
static float dt_of(const scan_job *j, int64_t t, int64_t head)
{
    float v = tsr_load(tsr_row(j->dt, t), j->dt.type, head) + ((const float *)j->m->dt_bias.data)[head];
    v = v > 20 ? v : log1pf(expf(v));
    v = v < j->m->dt_min ? j->m->dt_min : v;
    return v > j->m->dt_max ? j->m->dt_max : v;
}

static float head_value(tsr_view v, int64_t head)
{
    return ((const float *)v.data)[head];
}

/* ---------------------------------------------------------------- one step ------------------------------ */

/* h = decay h + dtx b; the sum of h c. h NULL: it was zero and is not kept. */
INLINE float step_column(float *h, bool zero, float decay, float dtx, const float *b, const float *c,
                         int64_t n)
{
    vf sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf v = vf_load(b + i) * dtx;
        if (!zero) v = vf_fma(vf_load(h + i), vf_all(decay), v);
        if (h) vf_store(h + i, v);
        sum = vf_fma(v, vf_load(c + i), sum);
    }
    float rest = 0;
    for (; i < n; i++) {
        float v = b[i] * dtx + (zero ? 0 : h[i] * decay);
        if (h) h[i] = v;
        rest += v * c[i];
    }
    return vf_sum(sum) + rest;
}

static void step_task(void *arg, int64_t task, int worker)
{
    (void)worker;
    unsigned mode = flush_tiny();
    const scan_job *j = arg;
    const tsr_mixer *m = j->m;
    int64_t tasks_per_seq = m->n_heads / j->heads;
    int64_t seq = task / tasks_per_seq, first = task % tasks_per_seq * j->heads;
    const float *row = tsr_row(j->xbc, seq);
    bool zero = !continues(j, seq);
    void *state = state_of(j, seq);
    for (int64_t head = first; head < first + j->heads; head++) {
        columns at = columns_of(m, head);
        float dt = dt_of(j, seq, head), decay = expf(dt * head_value(m->a, head)), d = head_value(m->d, head);
        float *y = (float *)tsr_row(j->y, seq) + at.x, wide[MAX_STATE];
        for (int64_t p = 0; p < m->head_dim; p++) {
            float x = row[at.x + p];
            int64_t begin = (at.x + p) * m->d_state;
            float *column = state ? state_row(j, state, begin, m->d_state, wide) : NULL;
            y[p] = step_column(column, zero, decay, dt * x, row + at.b, row + at.c, m->d_state) + d * x;
            if (state) keep_row(j, state, begin, m->d_state, column, j->step->pos[seq] + 1);
        }
    }
    restore_tiny(mode);
}

/* ---------------------------------------------------------------- chunks -------------------------------- */

/* A worker's memory. Rows of x, y and the state are `ld` wide. */
typedef struct chunk_memory {
    int64_t ld;
    float *bt;         /* [d_state][MAX_CHUNK] B transposed */
    float *c;          /* [MAX_CHUNK][d_state] */
    float *g, *m;      /* [MAX_CHUNK][MAX_CHUNK] */
    float *x, *xw;     /* [MAX_CHUNK][ld] x; times exp(s_n-1 - s_j) dt_j */
    float *y;          /* [MAX_CHUNK][ld] */
    float *h;          /* [heads][d_state][ld] */
    float *s, *s_rest; /* [MAX_CHUNK] sums of dt a, and what their rounding left */
    float *dt, *rise;  /* [MAX_CHUNK] dt; exp(s_i) */
    float *decay;      /* [d_state] */
} chunk_memory;

static chunk_memory chunk_lay_out(float *at, const tsr_mixer *m)
{
    int64_t cols = m->head_dim < MAX_COLS ? m->head_dim : MAX_COLS;
    chunk_memory w = {.ld = round_lanes(cols)};
    w.bt = at;
    w.c = w.bt + m->d_state * MAX_CHUNK;
    w.g = w.c + m->d_state * MAX_CHUNK;
    w.m = w.g + MAX_CHUNK * MAX_CHUNK;
    w.x = w.m + MAX_CHUNK * MAX_CHUNK;
    w.xw = w.x + MAX_CHUNK * w.ld;
    w.y = w.xw + MAX_CHUNK * w.ld;
    w.s = w.y + MAX_CHUNK * w.ld;
    w.s_rest = w.s + MAX_CHUNK;
    w.dt = w.s_rest + MAX_CHUNK;
    w.rise = w.dt + MAX_CHUNK;
    w.decay = w.rise + MAX_CHUNK;
    w.h = w.decay + (m->d_state + 15) / 16 * 16;
    return w;
}

/* Heads whose states fit what is left of a worker's memory. */
static int64_t chunk_max_heads(const tsr_mixer *m)
{
    static float base[1];
    chunk_memory w = chunk_lay_out(base, m);
    int64_t room = (int64_t)(TSR_WORKER_BYTES / sizeof(float)) - (w.h - w.bt);
    return room / (m->d_state * w.ld);
}

/* B and C of rows t .. t + n - 1, and their products. */
static void load_group(chunk_memory *w, const scan_job *j, columns at, int64_t t, int64_t n)
{
    int64_t n_state = j->m->d_state, padded = round_lanes(n);
    for (int64_t i = 0; i < n; i++) {
        const float *row = tsr_row(j->xbc, t + i);
        memcpy(w->c + i * n_state, row + at.c, (size_t)n_state * sizeof *row);
    }
    transpose(w->bt, MAX_CHUNK, (const float *)tsr_row(j->xbc, t) + at.b, j->xbc.stride, n, n_state);
    for (int64_t k = 0; k < n_state; k++)
        for (int64_t i = n; i < padded; i++) w->bt[k * MAX_CHUNK + i] = 0;
    product(w->g, MAX_CHUNK, w->c, n_state, w->bt, MAX_CHUNK, n, padded, n_state, NULL);
}

/* One head's columns p .. p + cols - 1 over one chunk; h is its state, [d_state][ld]. */
static void chunk_head(chunk_memory *w, float *h, const scan_job *j, int64_t head, int64_t p, int64_t cols,
                       int64_t t, int64_t n)
{
    const tsr_mixer *m = j->m;
    int64_t x_col = head * m->head_dim + p, padded = round_lanes(n);
    float a = head_value(m->a, head), d = head_value(m->d, head);
    double s = 0;
    for (int64_t i = 0; i < n; i++) {
        w->dt[i] = dt_of(j, t + i, head);
        s += (double)w->dt[i] * a;
        w->s[i] = (float)s;
        w->s_rest[i] = (float)(s - w->s[i]);
    }
    for (int64_t i = n; i < padded; i++) w->s[i] = w->s_rest[i] = w->dt[i] = 0;

    for (int64_t i = 0; i < n; i++) {
        const float *x = (const float *)tsr_row(j->xbc, t + i) + x_col;
        float weight = expf((float)(s - w->s[i] - w->s_rest[i])) * w->dt[i];
        for (int64_t k = 0; k < cols; k++) {
            w->x[i * w->ld + k] = x[k];
            w->xw[i * w->ld + k] = x[k] * weight;
        }
        for (int64_t k = 0; k < cols; k += 16) __builtin_prefetch(x + cols + k); /* the next head's */
        w->rise[i] = expf(w->s[i]);
        for (int64_t q = 0; q <= i; q += LANES) {
            vf e = (w->s[i] - vf_load(w->s + q)) + (w->s_rest[i] - vf_load(w->s_rest + q));
            e = vf_min(vf_all(0), e);
            vf_store(w->m + i * MAX_CHUNK + q,
                     vf_load(w->g + i * MAX_CHUNK + q) * vf_exp_down(e) * vf_load(w->dt + q));
        }
        int64_t stop = i / STRIP * STRIP + STRIP < n ? i / STRIP * STRIP + STRIP : n;
        for (int64_t q = i + 1; q < stop; q++) w->m[i * MAX_CHUNK + q] = 0;
    }

    product(w->y, w->ld, w->c, m->d_state, h, w->ld, n, w->ld, m->d_state, NULL);
    for (int64_t i = 0; i < n; i += STRIP) {
        int64_t rows = n - i < STRIP ? n - i : STRIP;
        product(w->y + i * w->ld, w->ld, w->m + i * MAX_CHUNK, MAX_CHUNK, w->x, w->ld, rows, w->ld, i + rows,
                w->rise + i);
    }
    for (int64_t i = 0; i < n; i++) {
        float *y = (float *)tsr_row(j->y, t + i) + x_col;
        for (int64_t k = 0; k < cols; k++) y[k] = w->y[i * w->ld + k] + d * w->x[i * w->ld + k];
    }

    float decay = expf((float)s);
    for (int64_t k = 0; k < m->d_state; k++) w->decay[k] = decay;
    product(h, w->ld, w->bt, MAX_CHUNK, w->xw, w->ld, m->d_state, w->ld, n, w->decay);
}

/* A head's columns p .. p + cols - 1 into h [d_state][ld], and back out of it. */
static void enter(const scan_job *j, int64_t seq, int64_t head, int64_t p, int64_t cols, float *h, int64_t ld)
{
    int64_t n = j->m->d_state, first = (head * j->m->head_dim + p) * n;
    const void *state = state_of(j, seq);
    if (j->ssm.type == TSR_F32) {
        transpose(h, ld, (const float *)state + first, n, cols, n);
        return;
    }
    for (int64_t k = 0; k < cols; k++)
        for (int64_t i = 0; i < n; i++)
            h[i * ld + k] = tsr_half_value(((const uint16_t *)state)[first + k * n + i]);
}

static void leave(const scan_job *j, int64_t seq, int64_t head, int64_t p, int64_t cols, const float *h,
                  int64_t ld)
{
    int64_t n = j->m->d_state, first = (head * j->m->head_dim + p) * n;
    int64_t pos = j->step->pos[seq] + j->step->spans.start[seq + 1] - j->step->spans.start[seq];
    void *state = state_of(j, seq);
    if (j->ssm.type == TSR_F32) {
        transpose((float *)state + first, n, h, ld, n, cols);
        return;
    }
    for (int64_t k = 0; k < cols; k++)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)state)[first + k * n + i] =
                tsr_half_state(h[i * ld + k], (uint32_t)pos, first + k * n + i);
}

static void chunk_task(void *arg, int64_t task, int worker)
{
    const scan_job *j = arg;
    const tsr_mixer *m = j->m;
    int64_t col_tasks = (m->head_dim + MAX_COLS - 1) / MAX_COLS, head_tasks = m->n_heads / j->heads;
    int64_t p = task % col_tasks * MAX_COLS, first = task / col_tasks % head_tasks * j->heads;
    int64_t seq = j->step->n_decode + task / col_tasks / head_tasks;
    int64_t cols = m->head_dim - p < MAX_COLS ? m->head_dim - p : MAX_COLS;
    int64_t begin = j->step->spans.start[seq], end = j->step->spans.start[seq + 1];
    if (begin == end) return;

    unsigned mode = flush_tiny();
    chunk_memory w = chunk_lay_out(tsr_pool_scratch(j->pool, worker), m);
    memset(w.x, 0, (size_t)(2 * MAX_CHUNK * w.ld) * sizeof *w.x); /* padding of x and xw */
    memset(w.h, 0, (size_t)(j->heads * m->d_state * w.ld) * sizeof *w.h);
    for (int64_t i = 0; i < j->heads && continues(j, seq); i++)
        enter(j, seq, first + i, p, cols, w.h + i * m->d_state * w.ld, w.ld);

    int64_t pos = j->step->pos[seq];
    for (int64_t t = begin; t < end;) {
        int64_t in_chunk = (pos + t - begin) % m->chunk;
        int64_t n = MAX_CHUNK - in_chunk % MAX_CHUNK;
        if (n > m->chunk - in_chunk) n = m->chunk - in_chunk;
        if (n > end - t) n = end - t;
        load_group(&w, j, columns_of(m, first), t, n);
        for (int64_t i = 0; i < j->heads; i++)
            chunk_head(&w, w.h + i * m->d_state * w.ld, j, first + i, p, cols, t, n);
        t += n;
    }

    for (int64_t i = 0; i < j->heads && state_of(j, seq); i++)
        leave(j, seq, first + i, p, cols, w.h + i * m->d_state * w.ld, w.ld);
    restore_tiny(mode);
}

/* The most heads a task may have: a divisor of `n`, at most `limit`. */
static int64_t divisor(int64_t n, int64_t limit)
{
    int64_t best = 1;
    for (int64_t i = 2; i <= n && i <= limit; i++)
        if (n % i == 0) best = i;
    return best;
}

void TSR_AT(tsr_cpu_scan)(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m,
                          tsr_slots ssm, const tsr_step *step)
{
    assert(m->d_state <= MAX_STATE);
    int64_t n_chunked = step->n_seqs - step->n_decode;
    scan_job j = {q->pool, y, xbc, dt, m, ssm, step, 0};

    j.heads = divisor(m->n_heads, 8);
    tsr_pool_run(q->pool, step->n_decode * (m->n_heads / j.heads), step_task, &j);

    /* Heads of one task share G, so the more the better, as long as every thread finds work. Which heads they
     * are is no part of a result. */
    int64_t wanted = 4 * tsr_pool_threads(q->pool), per_group = m->n_heads / m->n_groups;
    int64_t even = (n_chunked * m->n_heads + wanted - 1) / wanted, room = chunk_max_heads(m);
    j.heads = divisor(per_group, even < room ? even : room);
    int64_t col_tasks = (m->head_dim + MAX_COLS - 1) / MAX_COLS;
    tsr_pool_run(q->pool, n_chunked * (m->n_heads / j.heads) * col_tasks, chunk_task, &j);
}
