/* tests/kernels/bench_scan.cu: the Mamba-2 layer of the 8B model on many rows, beside a copy of the same run.
 *
 *   bench_scan [bf16|calls]
 *
 * mamba_mix in both precisions (a queue of f32 keeps x, B and C in f32) and, of the former, the plain ops it is made
 * of. Bytes are what the op must read and write: p once and y once. A time is the median of 7 runs by
 * the host clock; the buffers of a call are far larger than the caches from 3,584 rows on. `bf16` leaves the rest
 * out; with a number, so many calls of mamba_mix in bf16 at 3,584 rows and nothing else, for a profiler.
 */
#include "tests/kernels/bench.cuh"

namespace
{
constexpr int kRuns = 7;
constexpr int64_t kMostRows = 65536;

/* Uniform in low .. high, as f32 or bf16. */
__global__ void fill_kernel(void *to, bool bf16, size_t n, float low, float high)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        float value = low + (high - low) * (float)ceiling_word((uint32_t)i) * 0x1p-32f;
        if (bf16)
            ((uint16_t *)to)[i] = (uint16_t)(__float_as_uint(value) >> 16);
        else
            ((float *)to)[i] = value;
    }
}

__global__ void copy_kernel(uint4 *to, const uint4 *from, size_t n)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        to[i] = from[i];
}

struct bench {
    tsr_queue *q;
    const tsr_memory *memory;
    tsr_ops ops;
    tsr_mixer m;
    tsr_mamba_state state;
    tsr_step step;
    tsr_view p, y, xbc, h;
};

void *take(bench *b, size_t bytes)
{
    void *block;
    must(b->memory->take(&block, bytes));
    return block;
}

tsr_view take_filled(bench *b, tsr_dtype type, int64_t rows, int64_t cols, float low, float high)
{
    tsr_view v = tsr_view_of(take(b, (size_t)(rows * cols) * tsr_dtype_bytes(type)), type, rows, cols);
    fill_kernel<<<1024, 256>>>(v.data, type == TSR_BF16, (size_t)(rows * cols), low, high);
    must(cudaDeviceSynchronize());
    return v;
}

void set_up(bench *b)
{
    tsr_mixer *m = &b->m;
    m->name = "mixer";
    m->n_heads = 128, m->head_dim = 64, m->n_groups = 8, m->d_state = 128, m->conv_width = 4, m->chunk = 128;
    m->dt_max = INFINITY;
    int64_t d = tsr_mixer_d(m), d_conv = tsr_mixer_d_conv(m);
    m->taps = take_filled(b, TSR_F32, 4, d_conv, -1, 1);
    m->conv_bias = take_filled(b, TSR_F32, 1, d_conv, -1, 1);
    m->a = take_filled(b, TSR_F32, 1, m->n_heads, -8, -0.1f);
    m->d = take_filled(b, TSR_F32, 1, m->n_heads, 0, 2);
    m->dt_bias = take_filled(b, TSR_F32, 1, m->n_heads, -6, 1);
    m->norm.w = take_filled(b, TSR_F32, 1, d, 0.5f, 1.5f);
    m->norm.eps = 1e-5f;
    b->p = take_filled(b, TSR_BF16, kMostRows, tsr_mixer_d_in(m), -2, 2);
    b->y = take_filled(b, TSR_BF16, kMostRows, d, 0, 0);
    b->xbc = take_filled(b, TSR_F32, kMostRows, d_conv, -2, 2);
    b->h = take_filled(b, TSR_F32, kMostRows, d, -2, 2);
    b->state.conv = {take_filled(b, TSR_BF16, 3, d_conv, -2, 2).data, 3 * d_conv * 2, TSR_BF16};
    b->state.ssm = {take_filled(b, TSR_F32, d, m->d_state, -2, 2).data, d * m->d_state * 4, TSR_F32};
    int32_t *ints = (int32_t *)take(b, 256); /* start, pos, slot */
    b->step.n_seqs = b->step.spans.n = 1;
    b->step.spans.start = ints, b->step.pos = ints + 2, b->step.slot = ints + 3;
    b->y.type = TSR_FP8, b->y.scaled = TSR_SCALE_TENSOR;
    b->y.scale = (float *)take_filled(b, TSR_F32, 1, 1, 0.02f, 0.02f).data;
}

void set_rows(bench *b, int64_t rows)
{
    const int32_t ints[4] = {0, (int32_t)rows, 0, 0};
    must(cudaMemcpy((void *)b->step.spans.start, ints, sizeof ints, cudaMemcpyHostToDevice));
    b->step.n_rows = b->step.max_new = b->step.max_ctx = b->step.spans.max_rows = rows;
}

/* Seconds of one call of f, which queues work. */
template <class F>
double measure(bench *b, int calls, F f)
{
    double times[kRuns];
    for (int i = -2; i < kRuns; i++) {
        double began = now();
        for (int k = 0; k < calls; k++) f();
        must(cudaDeviceSynchronize());
        must(tsr_queue_sync(b->q));
        if (i >= 0) times[i] = (now() - began) / calls;
    }
    return median(times, kRuns);
}

void work(bench *b, size_t bytes)
{
    static void *block;
    static size_t has;
    if (bytes > has) {
        if (block) b->memory->give(block);
        block = take(b, bytes);
        has = bytes;
    }
    b->q->work = block;
}

void mix(bench *b, tsr_dtype type, int64_t rows)
{
    b->q->type = type;
    tsr_view y = tsr_rows(b->y, 0, rows), p = tsr_rows(b->p, 0, rows);
    work(b, b->ops.mamba_mix_work(b->q, y, &b->m, &b->step));
    b->ops.mamba_mix(b->q, y, p, &b->m, b->state, &b->step);
}

void line(const char *name, int64_t rows, double seconds, double bytes)
{
    printf("%-22s %6lld %9.1f us %7.2f M tok/s", name, (long long)rows, seconds * 1e6,
           (double)rows / seconds * 1e-6);
    printf(bytes > 0 ? " %6.0f GB/s\n" : "\n", bytes / seconds * 1e-9);
    fflush(stdout);
}

void run(bench *b, int64_t rows, bool bf16)
{
    set_rows(b, rows);
    int calls = rows < 1000 ? 20 : rows < 10000 ? 5 : 1;
    int64_t d = tsr_mixer_d(&b->m), d_conv = tsr_mixer_d_conv(&b->m);
    double bytes = (double)rows * (double)(2 * tsr_mixer_d_in(&b->m) + d);
    tsr_view p = tsr_rows(b->p, 0, rows), xbc = tsr_rows(b->xbc, 0, rows), h = tsr_rows(b->h, 0, rows);
    size_t half = (size_t)rows * (size_t)d_conv * 2 / 16;
    line("copy, as large as xbc", rows,
         measure(b, calls,
                 [&] { copy_kernel<<<2048, 256>>>((uint4 *)b->xbc.data, (uint4 *)b->p.data, half); }),
         32.0 * (double)half);
    line("mamba_mix bf16", rows, measure(b, calls, [&] { mix(b, TSR_BF16, rows); }), bytes);
    if (bf16) return;
    line("mamba_mix f32", rows, measure(b, calls, [&] { mix(b, TSR_F32, rows); }), bytes);
    line("  conv", rows,
         measure(b, calls,
                 [&] { b->ops.conv(b->q, xbc, tsr_cols(p, d, d_conv), &b->m, b->state.conv, &b->step); }),
         (double)rows * (double)d_conv * 6);
    line("  scan", rows,
         measure(b, calls,
                 [&] {
                     work(b, b->ops.scan_work(b->q, &b->m, &b->step));
                     b->ops.scan(b->q, h, xbc, tsr_cols(p, d + d_conv, b->m.n_heads), &b->m, b->state.ssm,
                                 &b->step);
                 }),
         0);
    line("  gated_norm", rows,
         measure(b, calls,
                 [&] { b->ops.gated_norm(b->q, tsr_rows(b->y, 0, rows), h, tsr_cols(p, 0, d), &b->m); }),
         (double)rows * (double)d * 7);
}
} // namespace

int main(int argc, char **argv)
{
    static bench b;
    must(tsr_cuda_ops(&b.ops));
    b.memory = b.ops.memory;
    must(tsr_queue_open(&b.q, &b.ops, nullptr, TSR_BF16, 1 << 20));
    set_up(&b);
    bool bf16 = argc > 1 && !strcmp(argv[1], "bf16");
    if (argc > 1 && !bf16) {
        set_rows(&b, 3584);
        for (int i = 0; i < atoi(argv[1]); i++) mix(&b, TSR_BF16, 3584);
        must(tsr_queue_sync(b.q));
        return 0;
    }
    printf("%s\n", b.memory->about);
    for (int64_t rows : {512, 3584, 8192, 65536}) run(&b, rows, bf16);
    return 0;
}
