/* kernels/cpu/conv.c: the causal depthwise convolution of a Mamba-2 layer. Compiled per level. */
#include <assert.h>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/simple.h"

/* A task is a sequence and so many channels: their history is read before and written after by one thread. */
enum { CHANNELS = 512 };

typedef struct conv_job {
    tsr_pool *pool;
    tsr_view y, x;
    const tsr_mixer *m;
    tsr_slots conv;
    const tsr_step *step;
} conv_job;

/* y[c] = silu(bias[c] + sum over k of taps[k][c] * window[k][c]) for the `some` channels from c on, at most LANES. */
INLINE void convolve_some(float *y, float *const *window, int64_t width, const float *taps, int64_t stride,
                          const float *bias, int64_t c, int64_t some)
{
    vf a = vf_load_n(bias + c, some);
    for (int64_t k = 0; k < width; k++)
        a = vf_fma(vf_load_n(taps + k * stride + c, some), vf_load(window[k] + c), a);
    vf_store_n(y + c, vf_silu(a), some);
}

static void convolve(float *y, float *const *window, const tsr_mixer *m, int64_t first, int64_t n)
{
    const float *taps = (const float *)m->taps.data + first, *bias = (const float *)m->conv_bias.data + first;
    int64_t c = 0;
    for (; c + LANES <= n; c += LANES)
        convolve_some(y, window, m->conv_width, taps, m->taps.stride, bias, c, LANES);
    if (c < n) convolve_some(y, window, m->conv_width, taps, m->taps.stride, bias, c, n - c);
}

static void conv_task(void *arg, int64_t task, int worker)
{
    const conv_job *j = arg;
    const tsr_step *step = j->step;
    int64_t n_blocks = (j->x.cols + CHANNELS - 1) / CHANNELS, width = j->m->conv_width;
    int64_t seq = task / n_blocks, first = task % n_blocks * CHANNELS;
    int64_t n = j->x.cols - first < CHANNELS ? j->x.cols - first : CHANNELS;
    int64_t begin = step->spans.start[seq], end = step->spans.start[seq + 1];
    if (begin == end) return;
    size_t each = tsr_dtype_bytes(j->conv.type);
    char *slot = step->slot[seq] < 0
                     ? NULL
                     : (char *)j->conv.data + step->slot[seq] * j->conv.slot_stride + (size_t)first * each;
    size_t slot_row = (size_t)j->x.cols * each;

    /* The last `width` rows as f32, newest last; the oldest makes room for the next. */
    float *memory = tsr_pool_scratch(j->pool, worker);
    float *window[TSR_CPU_MAX_TAPS];
    memset(memory, 0, (size_t)(width * CHANNELS) * sizeof *memory);
    for (int64_t k = 0; k < width; k++) window[k] = memory + k * CHANNELS;
    if (slot && step->pos[seq] > 0)
        for (int64_t k = 0; k + 1 < width; k++)
            widen(window[k + 1], slot + (size_t)k * slot_row, j->conv.type, n);

    for (int64_t t = begin; t < end; t++) {
        float *newest = window[0];
        for (int64_t k = 0; k + 1 < width; k++) window[k] = window[k + 1];
        window[width - 1] = newest;
        widen(newest, (const char *)tsr_row(j->x, t) + (size_t)first * tsr_dtype_bytes(j->x.type), j->x.type,
              n);
        convolve((float *)tsr_row(j->y, t) + first, window, j->m, first, n);
    }
    if (!slot) return;
    for (int64_t k = 0; k + 1 < width; k++)
        narrow(slot + (size_t)k * slot_row, j->conv.type, window[k + 1], n);
}

void TSR_AT(tsr_cpu_conv)(tsr_queue *q, tsr_view y, tsr_view x, const tsr_mixer *m, tsr_slots conv,
                          const tsr_step *step)
{
    assert(m->conv_width <= TSR_CPU_MAX_TAPS);
    int64_t n_blocks = (x.cols + CHANNELS - 1) / CHANNELS;
    tsr_pool_run(q->pool, step->n_seqs * n_blocks, conv_task, &(conv_job){q->pool, y, x, m, conv, step});
}
