/* kernels/cuda/sample.cu: the next token of each row of logits.
 *
 * A first kernel finds the largest logit and the sum of shares of each slice of a row, a second, one block per row,
 * puts those together; it goes over the row again only where tokens are drawn. Where sequences read several rows,
 * another one marks them as seen before; where all decode, their one token is taken for seen, and marked at the
 * end. Shares are whole numbers there, in units of a power of two: their sums are exact, so they
 * depend on no order, and a histogram can be filled by all threads at once. top_k and top_p are found in such
 * histograms, eight bits of a logit at a time, without sorting.
 */
#include <math.h>

#include "kernels/cuda/value.cuh"
#define TSR_PHILOX_FN CUDA_INLINE
#include "kernels/philox.h"

namespace
{

constexpr int slice = 512;                           /* ids of a warp */
constexpr int slice_threads = 128, slice_blocks = 8; /* of the first kernel, on one multiprocessor */
constexpr int row_threads = 512, row_warps = row_threads / cuda_warp;
constexpr int bins = 256;

/* What the first kernel leaves of a slice. */
struct summary {
    float max, sum; /* -inf and 0 when everything is out; the sum is of exp(logit - max) */
    int32_t id;     /* the lowest of the largest */
};

struct sample_args {
    tsr_view logits;
    tsr_step step;
    summary *slices; /* [n_logits][n_slices] */
    int32_t *fault;
    int n_slices, share_bits; /* the largest share is 1 << share_bits */
    bool decodes;             /* row l is sequence l's only one, and not yet marked as seen */
};

/* ---------------------------------------------------------------- seen ---------------------------------- */

/* One block per sequence. */
__global__ void see_kernel(tsr_step step)
{
    cuda_release_next();
    cuda_wait_before();
    int64_t i = blockIdx.x;
    int32_t slot = step.slot[i];
    if (slot < 0) return;
    uint32_t *seen = step.seen + slot * step.seen_words;
    if (step.pos[i] == 0)
        for (int64_t w = threadIdx.x; w < step.seen_words; w += blockDim.x) seen[w] = 0;
    __syncthreads();
    for (int64_t t = step.spans.start[i] + threadIdx.x; t < step.spans.start[i + 1]; t += blockDim.x) {
        int32_t id = step.ids[t] == TSR_ID_LAST ? step.last_id[slot] : step.ids[t];
        if (id >= 0) atomicOr(&seen[id / 32], (uint32_t)1 << id % 32);
    }
}

/* ---------------------------------------------------------------- a row's logits ------------------------ */

struct logit_row {
    const float *logits;
    const uint32_t *allow, *seen; /* or NULL */
    float penalty;
    int32_t reads; /* an id that counts as seen, or -1 */
    int64_t n;
};

/* The token that sequence i of a decode step reads, if it has a slot. */
CUDA_INLINE int32_t read_by(const tsr_step &step, int64_t i)
{
    return step.ids[i] == TSR_ID_LAST ? step.last_id[step.slot[i]] : step.ids[i];
}

CUDA_INLINE logit_row row_of(const sample_args &a, int64_t l)
{
    int64_t seq = a.decodes ? l : a.step.logit_seq[l];
    logit_row r = {(const float *)cuda_row(a.logits, l), a.step.allow, nullptr,
                   a.step.sampling[seq].repeat_penalty,  -1,           a.logits.cols};
    int32_t slot = r.penalty == 1 ? -1 : a.step.slot[seq];
    if (slot < 0) return r;
    r.seen = a.step.seen + slot * a.step.seen_words;
    if (a.decodes) r.reads = read_by(a.step, seq);
    return r;
}

/* A logit after mask and penalty; -inf for those that are out, NaN among them. */
CUDA_INLINE float adjusted(const logit_row &r, int64_t id, float value)
{
    if (isnan(value) || (r.allow && !(r.allow[id / 32] >> id % 32 & 1))) return -INFINITY;
    if (r.seen && (id == r.reads || r.seen[id / 32] >> id % 32 & 1))
        value = value > 0 ? value / r.penalty : value * r.penalty;
    return value;
}

CUDA_INLINE float logit_at(const logit_row &r, int64_t id)
{
    return adjusted(r, id, r.logits[id]);
}

/* Larger logits first, then lower ids. */
struct candidate {
    float value;
    int32_t id;
};

CUDA_INLINE candidate better(candidate a, candidate b)
{
    return a.value > b.value || (a.value == b.value && a.id < b.id) ? a : b;
}

CUDA_INLINE candidate warp_best(candidate c)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        candidate other = {__shfl_xor_sync(cuda_all_lanes, c.value, step),
                           __shfl_xor_sync(cuda_all_lanes, c.id, step)};
        c = better(c, other);
    }
    return c;
}

/* exp(value - max), 1 for the largest even when it is infinite. */
CUDA_INLINE float share(float value, float max, float temp)
{
    return value == max ? 1 : expf((value - max) / temp);
}

/* Logits first .. first + 3 of a row as it lies; NaN behind its end, which is out. */
CUDA_INLINE void raw4(float *to, const float *row, int64_t first, int64_t n)
{
    if (first + 4 <= n && cuda_aligned(row, 16)) {
        float4 four = *(const float4 *)(row + first);
        to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++) to[k] = first + k < n ? row[first + k] : NAN;
}

constexpr int slice_loads = slice / (4 * cuda_warp), slice_each = 4 * slice_loads; /* of a thread */

/* A thread's logits of slice s, as they lie. */
CUDA_INLINE void load_slice(float *values, const sample_args &a, int64_t s)
{
    int64_t l = s / a.n_slices, first = s % a.n_slices * slice + 4 * (threadIdx.x % cuda_warp);
#pragma unroll
    for (int k = 0; k < slice_loads; k++)
        raw4(values + 4 * k, (const float *)cuda_row(a.logits, l), first + k * 4 * cuda_warp, a.logits.cols);
}

/* What the warp's slice s comes to, in every lane. Few instructions for each logit: a full batch feels them. */
CUDA_INLINE summary sum_up(float *values, const sample_args &a, int64_t s)
{
    int64_t first = s % a.n_slices * slice + 4 * (threadIdx.x % cuda_warp);
    logit_row r = row_of(a, s / a.n_slices);
    if (r.allow || r.seen) {
#pragma unroll
        for (int k = 0; k < slice_each; k++)
            if (!isnan(values[k]))
                values[k] = adjusted(r, first + k / 4 * (4 * cuda_warp) + k % 4, values[k]);
    }
    float mine = -INFINITY;
#pragma unroll
    for (int k = 0; k < slice_each; k++) {
        values[k] = fmaxf(values[k], -INFINITY); /* NaN is out */
        mine = fmaxf(mine, values[k]);
    }
    float max = cuda_warp_max(mine), sum = 0;
    int32_t id = INT32_MAX;
#pragma unroll
    for (int k = slice_each - 1; k >= 0; k--) {
        bool largest = values[k] == max;
        if (largest) id = (int32_t)first + k / 4 * (4 * cuda_warp) + k % 4;
        sum += largest ? 1 : __expf(values[k] - max);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        int32_t other = __shfl_xor_sync(cuda_all_lanes, id, step);
        id = other < id ? other : id;
    }
    sum = cuda_warp_sum(sum);
    return summary{max, max > -INFINITY ? sum : 0, id};
}

/* A warp per slice, until there are none. */
__global__ void __launch_bounds__(slice_threads, slice_blocks) slice_kernel(sample_args a)
{
    int64_t n = a.step.n_logits * a.n_slices, all_warps = (int64_t)gridDim.x * (slice_threads / cuda_warp);
    cuda_release_next();
    cuda_wait_before();
    for (int64_t s = ((int64_t)blockIdx.x * slice_threads + threadIdx.x) / cuda_warp; s < n; s += all_warps) {
        float values[slice_each];
        load_slice(values, a, s);
        summary all = sum_up(values, a, s);
        if (threadIdx.x % cuda_warp == 0) a.slices[s] = all;
    }
}

/* ---------------------------------------------------------------- whole numbers ------------------------- */

/* Order of keys is order of logits. */
CUDA_INLINE uint32_t key_of(float value)
{
    uint32_t bits = __float_as_uint(value == 0 ? 0 : value); /* -0 is 0 */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* What every thread of a row's block knows while tokens are cut. */
struct cut {
    float max, temp, min_share;
    int share_bits;
    uint32_t key;     /* smaller keys are out */
    int64_t of_equal; /* of those with this key, the lowest ids, so many, stay */
};

/* A logit's share in whole units. */
CUDA_INLINE unsigned long long units(const cut &c, float value)
{
    if (value == -INFINITY) return 0;
    float part = share(value, c.max, c.temp);
    if (part < c.min_share) return 0;
    return (unsigned long long)ldexpf(part, c.share_bits);
}

CUDA_INLINE unsigned long long warp_total(unsigned long long value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(cuda_all_lanes, value, step);
    return value;
}

/* Sums of the lanes before this one. */
CUDA_INLINE unsigned long long warp_before(unsigned long long value)
{
    unsigned long long sum = value;
#pragma unroll
    for (int step = 1; step < cuda_warp; step *= 2) {
        unsigned long long other = __shfl_up_sync(cuda_all_lanes, sum, step);
        if ((int)(threadIdx.x % cuda_warp) >= step) sum += other;
    }
    return sum - value;
}

/* ---------------------------------------------------------------- a row's block ------------------------- */

struct row_memory {
    unsigned long long copies[bins][cuda_warp]; /* one per lane, so that lanes do not wait for each other */
    unsigned long long histogram[bins];
    unsigned long long parts[row_warps];
    unsigned long long goal, before;
    uint32_t key;
    int32_t id;
};

CUDA_INLINE double warp_sum(double value)
{
#pragma unroll
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(cuda_all_lanes, value, step);
    return value;
}

/* The whole row's sum of what each warp has; every thread gets it. `w->parts` keeps the warps' own. */
CUDA_INLINE unsigned long long block_total(row_memory *w, unsigned long long value)
{
    value = warp_total(value);
    __syncthreads();
    if (threadIdx.x % cuda_warp == 0) w->parts[threadIdx.x / cuda_warp] = value;
    __syncthreads();
    unsigned long long total = 0;
    for (int k = 0; k < row_warps; k++) total += w->parts[k];
    return total;
}

/* Find the key at which sums over descending keys reach a goal: the largest one whose own sum, added to those of
 * all larger keys, is at least `goal`; failing that, the smallest that is there. Keys below `lowest` are passed
 * over. weight(value) is what a logit adds. *before becomes the sum of all larger keys. */
template <typename Weight>
CUDA_INLINE uint32_t find_key(row_memory *w, const logit_row &r, uint32_t lowest, unsigned long long goal,
                              unsigned long long *before, Weight weight)
{
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp;
    uint32_t found = 0;
    unsigned long long sum = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int k = threadIdx.x; k < bins * cuda_warp; k += row_threads) (&w->copies[0][0])[k] = 0;
        __syncthreads();
        for (int64_t id = threadIdx.x; id < r.n; id += row_threads) {
            float value = logit_at(r, id);
            uint32_t key = key_of(value);
            bool here = shift == 24 || key >> (shift + 8) == found >> (shift + 8);
            if (here && key >= lowest && value > -INFINITY)
                atomicAdd(&w->copies[key >> shift & (bins - 1)][lane], weight(value));
        }
        __syncthreads();
        for (int k = warp; k < bins; k += row_warps) {
            unsigned long long total = warp_total(w->copies[k][lane]);
            if (lane == 0) w->histogram[k] = total;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int last = -1;
            unsigned long long at = sum, at_last = sum;
            for (int k = bins - 1; k >= 0; k--) {
                if (w->histogram[k] == 0) continue;
                last = k, at_last = at;
                at += w->histogram[k];
                if (at >= goal) break;
            }
            w->key = found | (uint32_t)(last < 0 ? 0 : last) << shift;
            w->before = at_last;
        }
        __syncthreads();
        found = w->key;
        sum = w->before;
    }
    *before = sum;
    return found;
}

/* How many logits have this key. */
CUDA_INLINE int64_t count_equal(row_memory *w, const logit_row &r, uint32_t key)
{
    unsigned long long n = 0;
    for (int64_t id = threadIdx.x; id < r.n; id += row_threads) n += key_of(logit_at(r, id)) == key;
    return (int64_t)block_total(w, n);
}

/* top_k, then top_p over what it left. */
CUDA_INLINE void find_cut(row_memory *w, const logit_row &r, const tsr_sampling &s, cut *c)
{
    c->key = 0;
    c->of_equal = r.n;
    if (s.top_k > 0 && s.top_k < r.n) {
        unsigned long long before;
        c->key = find_key(w, r, 0, (unsigned long long)s.top_k, &before, [](float) { return 1ull; });
        c->of_equal = s.top_k - (int64_t)before;
    }
    if (s.top_p >= 1) return;

    /* Of equal logits beyond of_equal nothing counts: take the surplus off the whole. In the search they stand
     * last, where too large a sum changes nothing. */
    unsigned long long own = 0;
    for (int64_t id = threadIdx.x; id < r.n; id += row_threads) {
        float value = logit_at(r, id);
        if (key_of(value) >= c->key) own += units(*c, value);
    }
    unsigned long long total = block_total(w, own);
    int64_t n_equal = c->key ? count_equal(w, r, c->key) : 0;
    if (c->key && n_equal > c->of_equal) {
        unsigned long long each = 0;
        for (int64_t id = threadIdx.x; id < r.n && each == 0; id += row_threads) {
            float value = logit_at(r, id);
            if (key_of(value) == c->key) each = units(*c, value);
        }
        unsigned long long holders = block_total(w, each > 0);
        each = block_total(w, each) / (holders ? holders : 1);
        total -= each * (unsigned long long)(n_equal - c->of_equal);
    }

    /* Those are kept before whom the sum of shares is still short of the goal. */
    double goal = (double)s.top_p * (double)total;
    unsigned long long whole_goal = (unsigned long long)ceil(goal), before;
    uint32_t key = find_key(w, r, c->key, whole_goal, &before, [&](float value) { return units(*c, value); });
    int64_t most = key == c->key ? c->of_equal : r.n, kept = 0;
    unsigned long long each = 0;
    for (int64_t id = threadIdx.x; id < r.n && each == 0; id += row_threads) {
        float value = logit_at(r, id);
        if (key_of(value) == key) each = units(*c, value);
    }
    unsigned long long holders = block_total(w, each > 0);
    each = block_total(w, each) / (holders ? holders : 1);
    int64_t equal = count_equal(w, r, key);
    if (equal < most) most = equal;
    /* the k-th of them is kept while before + k each < goal */
    if (each == 0) {
        kept = most;
    } else if (before < whole_goal) {
        unsigned long long wanted = (whole_goal - before + each - 1) / each;
        kept = wanted < (unsigned long long)most ? (int64_t)wanted : most;
    }
    c->key = key;
    c->of_equal = kept;
}

/* The first id, ascending, at which the sum of shares passes u of the whole. Each warp has neighbouring ids. */
CUDA_INLINE int32_t draw(row_memory *w, const logit_row &r, const cut &c, double u)
{
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp;
    int64_t each = (r.n + row_threads - 1) / row_threads * cuda_warp;
    int64_t begin = warp * each, end = begin + each < r.n ? begin + each : r.n;

    /* How many with the key of the cut stand before each warp's ids. */
    unsigned long long n_equal = 0;
    for (int64_t id = begin + lane; id < end; id += cuda_warp) n_equal += key_of(logit_at(r, id)) == c.key;
    block_total(w, n_equal);
    int64_t equal_before = 0;
    for (int k = 0; k < warp; k++) equal_before += (int64_t)w->parts[k];

    /* Sums of the warps; then the one in which the goal lies goes through its ids again. */
    unsigned long long goal = 0, before = 0, total = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t equal = equal_before;
        unsigned long long sum = before, own = 0;
        bool found = false;
        for (int64_t base = begin; base < end && !found; base += cuda_warp) {
            int64_t id = base + lane;
            float value = id < end ? logit_at(r, id) : -INFINITY;
            uint32_t key = key_of(value);
            unsigned same = __ballot_sync(cuda_all_lanes, id < end && key == c.key);
            int64_t rank = equal + __popc(same & ((1u << lane) - 1));
            bool kept = id < end && (key > c.key || (key == c.key && rank < c.of_equal));
            unsigned long long part = kept ? units(c, value) : 0;
            equal += __popc(same);
            if (pass == 0) {
                own += part;
                continue;
            }
            unsigned long long at = sum + warp_before(part) + part;
            unsigned passed = __ballot_sync(cuda_all_lanes, part > 0 && at > goal);
            found = passed != 0;
            if (lane == 0 && found) w->id = (int32_t)(base + __ffs((int)passed) - 1);
            sum += warp_total(part);
        }
        if (pass == 1) break;
        total = block_total(w, own);
        goal = (unsigned long long)floor(u *
                                         (double)total); /* whole numbers pass it where they pass its floor */
        for (int k = 0; k < warp; k++) before += w->parts[k];
        if (before > goal || before + w->parts[warp] <= goal) break; /* not here */
    }
    __syncthreads();
    return w->id;
}

/* One block per row; a warp where no row draws. */
template <bool draws>
__global__ void __launch_bounds__(draws ? row_threads : cuda_warp, 1) row_kernel(sample_args a)
{
    cuda_release_next();
    cuda_wait_before();
    int64_t l = blockIdx.x, seq = a.decodes ? l : a.step.logit_seq[l];
    const summary *slices = a.slices + l * a.n_slices;
    const tsr_sampling s = a.step.sampling[seq];
    logit_row r = row_of(a, l);

    candidate best = {-INFINITY, INT32_MAX}; /* every warp for itself, over all slices */
    for (int k = threadIdx.x % cuda_warp; k < a.n_slices; k += cuda_warp)
        best = better(best, candidate{slices[k].max, slices[k].id});
    best = warp_best(best);
    if (best.value == -INFINITY) {
        if (threadIdx.x == 0) *a.fault = CUDA_FAULT_NO_TOKEN + (int32_t)seq;
        return;
    }
    double total = 0;
    for (int k = threadIdx.x % cuda_warp; k < a.n_slices; k += cuda_warp)
        if (slices[k].max > -INFINITY)
            total += (double)slices[k].sum * (double)share(slices[k].max, best.value, 1);
    total = warp_sum(total);

    int32_t id = best.id;
    if (draws && s.temp > 0) {
        CUDA_DYNAMIC_SHARED(memory);
        row_memory *w = (row_memory *)memory;
        int64_t pos = a.step.pos[seq] + a.step.logit_row[l] - a.step.spans.start[seq];
        cut c = {best.value, s.temp, 0, a.share_bits, 0, 0};
        find_cut(w, r, s, &c);
        c.min_share = s.min_p;
        id = draw(w, r, c, tsr_philox_uniform(s.seed, (uint64_t)pos));
    }
    if (threadIdx.x > 0) return;
    float chosen = logit_at(r, id);
    a.step.out_ids[l] = id;
    a.step.out_logprobs[l] = (float)((chosen == best.value ? 0 : (double)chosen - best.value) - log(total));
    int32_t slot = a.step.slot[seq];
    bool last = a.decodes || l + 1 == a.step.n_logits || a.step.logit_seq[l + 1] != seq; /* of its sequence */
    if (!last || slot < 0) return;
    int32_t reads = a.decodes ? read_by(a.step, seq) : -1;
    if (reads >= 0) a.step.seen[slot * a.step.seen_words + reads / 32] |= (uint32_t)1 << reads % 32;
    a.step.last_id[slot] = id;
}

int64_t slices_of(tsr_view logits)
{
    return cuda_blocks(logits.cols, slice);
}

} // namespace

size_t tsr_cuda_sample_work(const tsr_queue *q, tsr_view logits)
{
    (void)q;
    return tsr_mul(tsr_mul((size_t)logits.rows, (size_t)slices_of(logits)), sizeof(summary));
}

void tsr_cuda_sample(tsr_queue *q, const tsr_step *step, tsr_view logits)
{
    sample_args a = {logits, *step, (summary *)q->work, cuda_fault(q), (int)slices_of(logits), 62};
    for (int64_t n = 1; n < logits.cols; n *= 2) a.share_bits--; /* so that no sum of shares overflows */
    a.decodes = step->n_decode == step->n_seqs && step->n_logits == step->n_seqs;
    if (!a.decodes) cuda_launch_early(q, "sample", see_kernel, cuda_grid(step->n_seqs), 256, 0, *step);
    int64_t blocks = cuda_blocks(step->n_logits * a.n_slices, slice_threads / cuda_warp);
    int64_t most = (int64_t)cuda_processors(q) * slice_blocks;
    cuda_launch_early(q, "sample", slice_kernel, cuda_grid(blocks < most ? blocks : most), slice_threads, 0,
                      a);
    if (step->greedy)
        cuda_launch_early(q, "sample", row_kernel<false>, cuda_grid(step->n_logits), cuda_warp, 0, a);
    else
        cuda_launch_early(q, "sample", row_kernel<true>, cuda_grid(step->n_logits), row_threads,
                          sizeof(row_memory), a);
}
