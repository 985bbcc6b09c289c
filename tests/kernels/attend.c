/* tests/kernels/attend.c: full attention in spans; a single dominant key; ragged spans. */
#include <math.h>
#include <stdlib.h>

#include "tests/kernels/kt.h"

/* Sizes of the sums of every span. */
static void fill_sizes(double *size, tsr_view qkv, tsr_heads h, const int32_t *start, int64_t n)
{
    int64_t d = h.head_dim, rows = qkv.rows, group = h.n_q / h.n_kv;
    double *keys = calloc((size_t)(2 * rows * d + d), sizeof *keys);
    if (!keys) exit(1);
    double *values = keys + rows * d, *query = values + rows * d;
    for (int64_t head = 0; head < h.n_kv; head++) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < d; c++) {
                keys[r * d + c] = kt_at(qkv, r, (h.n_q + head) * d + c);
                values[r * d + c] = kt_at(qkv, r, (h.n_q + h.n_kv + head) * d + c);
            }
        for (int64_t i = 0; i < n; i++)
            for (int64_t r = start[i]; r < start[i + 1]; r++)
                for (int64_t j = head * group; j < (head + 1) * group; j++) {
                    for (int64_t c = 0; c < d; c++) query[c] = kt_at(qkv, r, j * d + c);
                    kt_attend_size(size + r * h.n_q * d + j * d, query, keys + start[i] * d,
                                   values + start[i] * d, start[i + 1] - start[i], d, h.scale);
                }
    }
    free(keys);
}

static void run(kt *t)
{
    tsr_heads h = {.n_kv = kt_model(t, kt_pick(t, 1, 2, 3), 16),
                   .head_dim = kt_model(t, kt_pick(t, 8, 16, 64, 80), 64)};
    h.n_q = h.n_kv * kt_model(t, kt_pick(t, 1, 1, 2, 4), 1);
    h.scale = (float)(1 / sqrt((double)h.head_dim));
    int64_t n = kt_model(t, kt_pick(t, 0, 1, 2, 3), 1), most = 0;
    if (t->bench < 0 && kt_chance(t, 10)) h = (tsr_heads){1, 1, 16, 0.25f}, n = 1, most = 1025;

    int32_t *start = kt_ints(t, n + 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = kt_model(t, kt_pick(t, 1, 2, 17, 33, 64, 65), 257, 1025);
        if (most) rows = most;
        start[i + 1] = start[i] + (int32_t)rows;
    }
    tsr_dtype type = (tsr_dtype)kt_model(t, kt_flt(t), TSR_F32);
    tsr_view qkv = kt_in(t, type, start[n], (h.n_q + 2 * h.n_kv) * h.head_dim);
    double score = 1;
    if (kt_chance(t, 30) && qkv.rows) { /* one key that outweighs all others, or none */
        score = 30;
        int64_t r = kt_int(t, 0, qkv.rows - 1);
        for (int64_t c = h.n_q * h.head_dim; c < (h.n_q + h.n_kv) * h.head_dim; c++)
            kt_set(qkv, r, c, 30 * kt_at(qkv, r, c));
    }
    kt_spanwise(t, start, n);
    int64_t longest = 0, first = t->unit_start[t->first];
    int32_t mine[4] = {0};
    for (int64_t i = t->first; i < t->end; i++) {
        mine[i + 1 - t->first] = start[i + 1] - (int32_t)first;
        if (start[i + 1] - start[i] > longest) longest = start[i + 1] - start[i];
    }
    tsr_spans spans = {kt_part_ints(t, mine, t->end - t->first + 1), t->end - t->first, longest};
    tsr_view y =
        kt_out(t, kt_flt(t), start[n], h.n_q * h.head_dim, "y", kt_attend(h.head_dim, 1025, score, type));
    double *size = kt_size(t, y);
    if (size) fill_sizes(size, qkv, h, start, n);
    tsr_attend(t->q, kt_part(t, y), kt_part(t, qkv), h, spans);
}

const kt_case kt_case_attend = {.name = "attend", .run = run, .op = TSR_OP_ATTEND, .seeds = 40, .benches = 2};
