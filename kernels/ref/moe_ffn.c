/* kernels/ref/moe_ffn.c: each row through its experts. */
#include <string.h>

#include "kernels/ref/ref.h"

/* A row of t, the hidden row of one expert, and the sum of their outputs. */
size_t tsr_ref_moe_ffn_work(const tsr_queue *q, const tsr_weight *up, const tsr_weight *down, tsr_view ids)
{
    (void)q, (void)ids;
    size_t n = tsr_add(tsr_add((size_t)up->cols, (size_t)up->rows), (size_t)down->rows);
    return tsr_mul(n, sizeof(double));
}

/* The position in a row of ids of the smallest one above `after`; -1 when there is none. */
static int64_t next_expert(const int32_t *ids, int64_t n, int64_t after)
{
    int64_t found = -1;
    for (int64_t i = 0; i < n; i++)
        if (ids[i] > after && (found < 0 || ids[i] < ids[found])) found = i;
    return found;
}

void tsr_ref_moe_ffn(tsr_queue *q, tsr_view y, tsr_view t, const tsr_weight *up, const tsr_weight *down,
                     tsr_view ids, tsr_view gates, tsr_view add)
{
    double *row = q->work, *hidden = row + up->cols, *sum = hidden + up->rows;
    for (int64_t r = 0; r < y.rows; r++) {
        const int32_t *experts = tsr_row(ids, r);
        for (int64_t k = 0; k < t.cols; k++) row[k] = tsr_ref_at(t, r, k);
        tsr_ref_round_input(row, up);
        memset(sum, 0, (size_t)y.cols * sizeof *sum);
        int64_t i = -1;
        while ((i = next_expert(experts, ids.cols, i < 0 ? -1 : experts[i])) >= 0) {
            int64_t e = experts[i];
            for (int64_t j = 0; j < up->rows; j++)
                hidden[j] = tsr_ref_act(TSR_RELU2, tsr_ref_dot(up, e, j, row));
            tsr_ref_round_input(hidden, down);
            for (int64_t j = 0; j < down->rows; j++)
                sum[j] += tsr_ref_at(gates, r, i) * tsr_ref_dot(down, e, j, hidden);
        }
        for (int64_t j = 0; j < y.cols; j++)
            tsr_ref_put(tsr_row(y, r), y.type, j, tsr_ref_at(add, r, j) + sum[j]);
    }
}
