/* kernels/cpu/moe_route.c: each row's experts and their gates, a row a task.
 *
 * The scores are summed in double, as ref's are: which of two nearly equal experts a row takes must not depend
 * on the backend.
 */
#include <math.h>

#include "kernels/cpu/cpu.h"

enum { SUMS = 8 };

typedef struct job {
    tsr_view ids, gates, u;
    const tsr_router *router;
} job;

static double dot(const float *w, tsr_view u, int64_t r)
{
    double sum[SUMS] = {0}, all = 0;
    const void *row = tsr_row(u, r);
    for (int64_t c = 0; c < u.cols; c += SUMS) {
        int64_t n = u.cols - c < SUMS ? u.cols - c : SUMS;
        if (u.type == TSR_F32)
            for (int64_t i = 0; i < n; i++) sum[i] += (double)w[c + i] * ((const float *)row)[c + i];
        else
            for (int64_t i = 0; i < n; i++)
                sum[i] += (double)w[c + i] * tsr_from_bf16(((const uint16_t *)row)[c + i]);
    }
    for (int i = 0; i < SUMS; i++) all += sum[i];
    return all;
}

typedef struct choice {
    int32_t id;
    double gate, key; /* key: gate with its bias */
} choice;

/* Put c among the n best, of top_k at most; equal keys stay in the order they came in. The new n. */
static int64_t insert(choice *best, int64_t n, int64_t top_k, choice c)
{
    int64_t at = n;
    while (at > 0 && c.key > best[at - 1].key) at--;
    if (at == top_k) return n;
    if (n < top_k) n++;
    for (int64_t i = n - 1; i > at; i--) best[i] = best[i - 1];
    best[at] = c;
    return n;
}

static void route_row(void *arg, int64_t r, int worker)
{
    (void)worker;
    const job *j = arg;
    const tsr_router *router = j->router;
    const float *bias = router->bias.data;
    choice best[TSR_MAX_TOP_K];
    int64_t n = 0;
    for (int64_t e = 0; e < router->w.rows; e++) {
        double gate = 1 / (1 + exp(-dot(tsr_row(router->w, e), j->u, r)));
        n = insert(best, n, router->top_k, (choice){(int32_t)e, gate, gate + bias[e]});
    }
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += best[i].gate;
    double factor = router->scale / (router->renormalise ? sum + 1e-20 : 1);
    for (int64_t i = 0; i < n; i++) {
        ((int32_t *)tsr_row(j->ids, r))[i] = best[i].id;
        ((float *)tsr_row(j->gates, r))[i] = (float)(best[i].gate * factor);
    }
}

void tsr_cpu_moe_route(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    job j = {ids, gates, u, router};
    tsr_pool_run(q->pool, u.rows, route_row, &j);
}
