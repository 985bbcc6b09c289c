/* tests/kernels/bench_cuda.cu: linear on the device at the shapes of the 8B model, beside ceilings of the same run.
 *
 *   bench_cuda [fp8|bf16]
 *
 * Ceilings: reading 2 GiB, measured in turns with every line of few rows; the product of 8192^3, for many. Weights
 * rotate through 2 GiB of random values, so that none is met again in a cache. A time is the median of 9 replays of
 * one recording of 20 calls (3 of many rows), host clock, the stream waited for at the end. Figures are GB/s of weights up to 64 rows, else TFLOP/s.
 */
#include "tests/kernels/bench.cuh"

namespace
{
constexpr size_t kPool = (size_t)2 << 30;
constexpr int kRuns = 9, kCalls = 20;

struct shape {
    const char *name;
    int64_t n_out, n_in;
};
const shape shapes[] = {{"in_proj", 18560, 4096}, {"out_proj", 4096, 8192}, {"up", 21504, 4096},
                        {"down", 4096, 21504},    {"qkv", 6144, 4096},      {"o", 4096, 4096},
                        {"lm_head", 131072, 4096}};
const int64_t row_counts[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 3584, 8192};
constexpr int64_t kOutputs = 8192 * (int64_t)21504; /* of a call */

struct bench {
    tsr_queue *q;
    const tsr_memory *memory;
    unsigned char *pool, *x, *y, *work;
    float *scales;
    uint32_t *sink;
    size_t next, work_bytes;
    int processors;
};

double read_once(bench *b)
{
    double began = now();
    ceiling_read_kernel<<<b->processors * 8, 512>>>((const uint4 *)b->pool, kPool / 16, b->sink);
    must(cudaDeviceSynchronize());
    return (double)kPool / (now() - began);
}

/* Queue products of which each meets the next weights of the pool. */
void queue_calls(bench *b, tsr_weight w, int64_t rows, int calls)
{
    size_t bytes = (size_t)(w.rows * w.cols) * tsr_dtype_bytes(w.type);
    tsr_form form = b->q->ops->input_form(b->q, &w, rows);
    tsr_view x = tsr_view_of(b->x, form.type, rows, w.cols), y = tsr_view_of(b->y, TSR_BF16, rows, w.rows);
    if (form.type == TSR_FP8) {
        x.scaled = form.scaled;
        x.scale = b->scales;
    }
    size_t work = b->q->ops->linear_work(b->q, y, x, &w);
    if (work > b->work_bytes) give_up("more scratch than expected");
    b->q->work = b->work;
    for (int i = 0; i < calls; i++) {
        if (b->next + bytes > kPool) b->next = 0;
        w.data = b->pool + b->next;
        b->next += bytes;
        b->q->ops->linear(b->q, y, x, &w, tsr_linear_opts{});
    }
}

void settle(bench *b)
{
    b->memory->sync(b->q);
    must(tsr_queue_sync(b->q));
}

/* Seconds of one call. */
double measure(bench *b, const tsr_weight &w, int64_t rows, double *ceiling)
{
    double times[kRuns], reads[kRuns];
    int calls = rows > 512 ? 3 : kCalls;
    int64_t launches;
    queue_calls(b, w, rows, 2); /* choices are timed */
    settle(b);
    b->memory->record(b->q);
    queue_calls(b, w, rows, calls);
    void *recording = b->memory->recorded(b->q, &launches);
    must(tsr_queue_sync(b->q));
    if (!recording) give_up("nothing was recorded");
    b->memory->replay(b->q, recording);
    settle(b);
    for (int i = 0; i < kRuns; i++) {
        reads[i] = ceiling ? read_once(b) : 0;
        double began = now();
        b->memory->replay(b->q, recording);
        settle(b);
        times[i] = (now() - began) / calls;
    }
    b->memory->forget(recording);
    if (ceiling) *ceiling = median(reads, kRuns);
    return median(times, kRuns);
}

tsr_weight weight_of(bench *b, bool fp8, int64_t n_out, int64_t n_in)
{
    tsr_weight w = {};
    w.name = "w";
    w.rows = n_out;
    w.cols = n_in;
    w.n_experts = 1;
    w.type = fp8 ? TSR_FP8 : TSR_BF16;
    if (fp8) {
        w.scaled = TSR_SCALE_TENSOR;
        w.input = TSR_INPUT_STATIC;
        w.scale = w.input_scale = b->scales;
    }
    return w;
}

void run(bench *b, bool fp8)
{
    const char *type = fp8 ? "fp8" : "bf16";
    fill(b->pool, kPool, fp8);
    fill(b->x, (size_t)8192 * 21504 * 2, false); /* as E4M3 too these bytes are numbers below 2 in size */
    tsr_weight square = weight_of(b, fp8, 8192, 8192);
    double full = 2.0 * 8192 * 8192 * 8192 / measure(b, square, 8192, nullptr);
    printf("%s 8192^3: %.0f TFLOP/s\n%-5s %-9s %6s %9s %10s %8s\n", type, full * 1e-12, "type", "shape",
           "rows", "us", "rate", "of roof");
    for (const shape &s : shapes)
        for (int64_t rows : row_counts) {
            if (rows * s.n_out > kOutputs) continue;
            tsr_weight w = weight_of(b, fp8, s.n_out, s.n_in);
            bool few = rows <= 64;
            double roof = full, t = measure(b, w, rows, few ? &roof : nullptr);
            double rate = few ? (double)(w.rows * w.cols) * (double)tsr_dtype_bytes(w.type) / t
                              : 2.0 * (double)rows * (double)(w.rows * w.cols) / t;
            printf("%-5s %-9s %6lld %9.1f %5.0f %-4s %7.2f\n", type, s.name, (long long)rows, t * 1e6,
                   rate * (few ? 1e-9 : 1e-12), few ? "GB/s" : "TF/s", rate / roof);
            fflush(stdout);
        }
}
} // namespace

int main(int argc, char **argv)
{
    static tsr_ops ops;
    must(tsr_cuda_ops(&ops));
    bench b = {};
    b.memory = ops.memory;
    must(tsr_queue_open(&b.q, &ops, nullptr, TSR_BF16, 1 << 20));
    b.work_bytes = (size_t)1 << 30;
    must(b.memory->take((void **)&b.pool, kPool));
    must(b.memory->take((void **)&b.x, (size_t)8192 * 21504 * 2));
    must(b.memory->take((void **)&b.y, (size_t)kOutputs * 2));
    must(b.memory->take((void **)&b.work, b.work_bytes));
    must(b.memory->take((void **)&b.scales, 256));
    must(b.memory->take((void **)&b.sink, 256));
    const float scale = 0.01f;
    b.memory->upload(b.q, b.scales, &scale, sizeof scale);
    b.memory->sync(b.q);
    must(cudaDeviceGetAttribute(&b.processors, cudaDevAttrMultiProcessorCount, 0));
    double best = 0;
    for (int i = 0; i < kRuns; i++) best = fmax(best, read_once(&b));
    printf("%s\nreading 2 GiB: %.0f GB/s\n", b.memory->about, best * 1e-9);
    for (bool fp8 : {true, false})
        if (argc < 2 || !strcmp(argv[1], fp8 ? "fp8" : "bf16")) run(&b, fp8);
    return 0;
}
