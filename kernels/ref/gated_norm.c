/* kernels/ref/gated_norm.c: gate, then RMS over groups of columns. */
#include <math.h>

#include "kernels/ref/ref.h"

typedef struct gated_row {
    tsr_view x, z;
    int64_t r;
    const tsr_mixer *m;
    int64_t group; /* whose 1 / rms is kept in `inverse`; -1 at first */
    double inverse;
} gated_row;

static double gated(const gated_row *g, int64_t c)
{
    return tsr_ref_at(g->x, g->r, c) * tsr_ref_silu(tsr_ref_at(g->z, g->r, c));
}

/* Columns are asked for in ascending order, so a group's rms is found before y, which may be x, replaces its
 * first element. */
static double value(void *ctx, int64_t c)
{
    gated_row *g = ctx;
    int64_t width = g->x.cols / g->m->n_groups;
    if (c / width != g->group) {
        g->group = c / width;
        double squares = 0;
        for (int64_t i = g->group * width; i < (g->group + 1) * width; i++)
            squares += gated(g, i) * gated(g, i);
        g->inverse = 1 / sqrt(squares / (double)width + g->m->norm.eps);
    }
    return gated(g, c) * g->inverse * tsr_ref_at(g->m->norm.w, 0, c);
}

void tsr_ref_gated_norm(tsr_queue *q, tsr_view y, tsr_view x, tsr_view z, const tsr_mixer *m)
{
    (void)q;
    for (int64_t r = 0; r < x.rows; r++)
        tsr_ref_put_row(y, r, value, &(gated_row){.x = x, .z = z, .r = r, .m = m, .group = -1});
}
