/* kernels/ref/moe_route.c: each row's experts and their gates. */
#include <math.h>

#include "kernels/ref/ref.h"

static double gate_of(tsr_view u, int64_t r, tsr_view w, int64_t e)
{
    double logit = 0;
    for (int64_t c = 0; c < u.cols; c++) logit += tsr_ref_at(u, r, c) * tsr_ref_at(w, e, c);
    return 1 / (1 + exp(-logit));
}

void tsr_ref_moe_route(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    (void)q;
    for (int64_t r = 0; r < u.rows; r++) {
        int32_t best[TSR_MAX_TOP_K];
        double gate[TSR_MAX_TOP_K], key[TSR_MAX_TOP_K], sum = 0;
        int64_t n = 0;
        for (int64_t e = 0; e < router->w.rows; e++) { /* ascending, so ties stay with the lower id */
            double g = gate_of(u, r, router->w, e), with_bias = g + tsr_ref_at(router->bias, 0, e);
            int64_t at = n;
            while (at > 0 && with_bias > key[at - 1]) at--;
            if (at == router->top_k) continue;
            if (n < router->top_k) n++;
            for (int64_t i = n - 1; i > at; i--)
                best[i] = best[i - 1], gate[i] = gate[i - 1], key[i] = key[i - 1];
            best[at] = (int32_t)e, gate[at] = g, key[at] = with_bias;
        }
        for (int64_t i = 0; i < n; i++) sum += gate[i];
        double factor = router->scale / (router->renormalise ? sum + 1e-20 : 1);
        for (int64_t i = 0; i < n; i++) {
            ((int32_t *)tsr_row(ids, r))[i] = best[i];
            ((float *)tsr_row(gates, r))[i] = (float)(gate[i] * factor);
        }
    }
}
