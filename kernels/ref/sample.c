/* kernels/ref/sample.c: the next token of each row of logits. */
#include <math.h>
#include <string.h>

#include "kernels/philox.h"
#include "kernels/ref/ref.h"

static void see(const tsr_step *step, int32_t slot, int32_t id)
{
    if (id >= 0) step->seen[slot * step->seen_words + id / 32] |= (uint32_t)1 << id % 32;
}

static bool seen(const tsr_step *step, int32_t slot, int64_t id)
{
    return step->seen[slot * step->seen_words + id / 32] >> id % 32 & 1;
}

/* Mark what this step's rows have read. A sequence at position 0 has seen nothing yet. */
static void see_rows(const tsr_step *step)
{
    for (int64_t i = 0; i < step->n_seqs; i++) {
        int32_t slot = step->slot[i];
        if (slot < 0) continue;
        if (step->pos[i] == 0)
            memset(step->seen + slot * step->seen_words, 0, (size_t)step->seen_words * sizeof *step->seen);
        for (int64_t t = step->spans.start[i]; t < step->spans.start[i + 1]; t++)
            see(step, slot, step->ids[t] == TSR_ID_LAST ? step->last_id[slot] : step->ids[t]);
    }
}

/* Logits after mask and penalty; -inf for those that are out. */
static void adjust(float *value, const float *logits, int64_t n, const tsr_step *step, int64_t seq)
{
    float penalty = step->sampling[seq].repeat_penalty;
    for (int64_t id = 0; id < n; id++) {
        bool allowed = !step->allow || step->allow[id / 32] >> id % 32 & 1;
        value[id] = allowed && !isnan(logits[id]) ? logits[id] : -INFINITY;
        if (step->slot[seq] >= 0 && seen(step, step->slot[seq], id))
            value[id] = value[id] > 0 ? value[id] / penalty : value[id] * penalty;
    }
}

/* Share of a logit relative to the largest, which is 1 even when it is infinite. */
static double weight(float value, float max, float temp)
{
    return value == max ? 1 : exp(((double)value - max) / temp);
}

static double total_weight(const float *value, int64_t n, float max, float temp)
{
    double total = 0;
    for (int64_t id = 0; id < n; id++) total += weight(value[id], max, temp);
    return total;
}

static bool better(const float *value, int32_t a, int32_t b)
{
    return value[a] != value[b] ? value[a] > value[b] : a < b;
}

/* Let order[i] sink into the heap order[0..n), whose root is the worst. */
static void sink(int32_t *order, int64_t n, int64_t i, const float *value)
{
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(value, order[child], order[child + 1])) child++;
        if (!better(value, order[i], order[child])) return;
        int32_t held = order[i];
        order[i] = order[child];
        order[child] = held;
    }
}

/* All ids, best first: a heap sort, because it needs no memory. */
static void sort_best_first(int32_t *order, int64_t n, const float *value)
{
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)i;
    for (int64_t i = n / 2 - 1; i >= 0; i--) sink(order, n, i, value);
    for (int64_t end = n - 1; end > 0; end--) {
        int32_t worst = order[0];
        order[0] = order[end];
        order[end] = worst;
        sink(order, end, 0, value);
    }
}

/* Put out all but the ids that top_k, top_p and min_p leave. */
static void cut(float *value, int32_t *order, int64_t n, float max, const tsr_sampling *s)
{
    if (s->top_k > 0 || s->top_p < 1) {
        sort_best_first(order, n, value);
        int64_t kept = s->top_k > 0 && s->top_k < n ? s->top_k : n;
        double total = 0, before = 0;
        for (int64_t i = 0; i < kept; i++) total += weight(value[order[i]], max, s->temp);
        for (int64_t i = 0; i < kept && s->top_p < 1; i++) {
            if (before >= s->top_p * total) kept = i;
            before += weight(value[order[i]], max, s->temp);
        }
        for (int64_t i = kept; i < n; i++) value[order[i]] = -INFINITY;
    }
    for (int64_t id = 0; id < n; id++)
        if (weight(value[id], max, s->temp) < s->min_p) value[id] = -INFINITY;
}

/* The first id at which the sum of shares, in order of ids, passes u of the whole. */
static int64_t draw(const float *value, int64_t n, float max, float temp, double u)
{
    double goal = u * total_weight(value, n, max, temp), sum = 0;
    int64_t last = 0;
    for (int64_t id = 0; id < n; id++) {
        if (value[id] == -INFINITY) continue;
        last = id;
        sum += weight(value[id], max, temp);
        if (sum > goal) break;
    }
    return last;
}

size_t tsr_ref_sample_work(const tsr_queue *q, tsr_view logits)
{
    (void)q;
    return tsr_mul((size_t)logits.cols, sizeof(float) + sizeof(int32_t));
}

void tsr_ref_sample(tsr_queue *q, const tsr_step *step, tsr_view logits)
{
    int64_t n = logits.cols;
    float *value = q->work;
    int32_t *order = (int32_t *)(value + n);
    see_rows(step);
    for (int64_t l = 0; l < step->n_logits; l++) {
        int64_t seq = step->logit_seq[l], pos = step->pos[seq] + step->logit_row[l] - step->spans.start[seq];
        const tsr_sampling *s = &step->sampling[seq];
        adjust(value, tsr_row(logits, l), n, step, seq);

        int64_t id = 0;
        for (int64_t i = 1; i < n; i++)
            if (value[i] > value[id]) id = i;
        float max = value[id];
        if (max == -INFINITY) {
            tsr_queue_fail(q, TSR_E_ARG, "sample: no token is left to choose for sequence %lld",
                           (long long)seq);
            return;
        }
        double log_total = log(total_weight(value, n, max, 1));
        float chosen = max;
        if (s->temp > 0) {
            cut(value, order, n, max, s);
            id = draw(value, n, max, s->temp, tsr_philox_uniform(s->seed, (uint64_t)pos));
            chosen = value[id];
        }
        step->out_ids[l] = (int32_t)id;
        step->out_logprobs[l] = (float)((chosen == max ? 0 : (double)chosen - max) - log_total);
        if (step->slot[seq] >= 0) step->last_id[step->slot[seq]] = (int32_t)id;
    }
}
