/* kernels/ref/scan.c: the state space recurrence, row by row as it is defined. */
#include <math.h>

#include "kernels/half_state.h"
#include "kernels/ref/ref.h"

size_t tsr_ref_scan_work(const tsr_queue *q, const tsr_mixer *m, const tsr_step *step)
{
    (void)q, (void)step;
    return tsr_mul((size_t)m->d_state, sizeof(double));
}

static double softplus(double v)
{
    return v > 20 ? v : log1p(exp(v));
}

/* One column of one head of sequence i: h is that column's state [d_state]. */
static void scan_column(tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                        const tsr_step *step, int64_t i, int64_t head, int64_t column, double *h)
{
    int64_t group = head / (m->n_heads / m->n_groups);
    int64_t x_col = head * m->head_dim + column;
    int64_t b_col = tsr_mixer_d(m) + group * m->d_state;
    int64_t c_col = b_col + m->n_groups * m->d_state;
    void *state = step->slot[i] < 0 ? NULL : tsr_ref_slot(ssm, step->slot[i]);
    int64_t first = x_col * m->d_state;

    for (int64_t n = 0; n < m->d_state; n++)
        h[n] = tsr_ref_continues(step, i) ? tsr_load(state, ssm.type, first + n) : 0;
    for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++) {
        double dt_t = softplus(tsr_ref_at(dt, t, head) + tsr_ref_at(m->dt_bias, 0, head));
        dt_t = fmin(fmax(dt_t, m->dt_min), m->dt_max);
        double decay = exp(dt_t * tsr_ref_at(m->a, 0, head));
        double x = tsr_ref_at(xbc, t, x_col);
        double out = tsr_ref_at(m->d, 0, head) * x;
        for (int64_t n = 0; n < m->d_state; n++) {
            h[n] = decay * h[n] + dt_t * x * tsr_ref_at(xbc, t, b_col + n);
            out += h[n] * tsr_ref_at(xbc, t, c_col + n);
        }
        tsr_ref_put(tsr_row(y, t), y.type, x_col, out);
    }
    int64_t n_rows = step->spans.start[i + 1] - step->spans.start[i];
    for (int64_t n = first; state && n_rows && n < first + m->d_state; n++)
        if (ssm.type == TSR_F16)
            ((uint16_t *)state)[n] =
                tsr_half_state((float)h[n - first], (uint32_t)(step->pos[i] + n_rows), n);
        else
            ((float *)state)[n] = (float)h[n - first];
}

void tsr_ref_scan(tsr_queue *q, tsr_view y, tsr_view xbc, tsr_view dt, const tsr_mixer *m, tsr_slots ssm,
                  const tsr_step *step)
{
    for (int64_t i = 0; i < step->n_seqs; i++)
        for (int64_t head = 0; head < m->n_heads; head++)
            for (int64_t column = 0; column < m->head_dim; column++)
                scan_column(y, xbc, dt, m, ssm, step, i, head, column, q->work);
}
