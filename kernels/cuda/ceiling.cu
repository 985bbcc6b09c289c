/* kernels/cuda/ceiling.cu: what this device reaches at best, measured when asked: the roofs of bench. */
#include "kernels/cuda/ceiling.cuh"
#include "kernels/cuda/launch.cuh"

namespace
{
constexpr size_t kRead = (size_t)32 << 30; /* read in one measurement, so that its ends do not show */
constexpr size_t kCopy = (size_t)1 << 30;
constexpr int kRuns = 9;
/* bf16 values between 2^-7 and 2 in size with random signs; as E4M3 they are numbers below 32. */
constexpr uint32_t kKeep = 0x83bf83bfu, kSet = 0x3c003c00u;

struct block {
    void *data = nullptr;
    ~block() { cudaFree(data); }
    bool take(tsr_queue *q, size_t bytes) { return cuda_ok(q, "ceiling", cudaMalloc(&data, bytes)); }
};

/* Seconds of what `call` queues, by the device's clock. */
template <typename Call>
double seconds_of(tsr_queue *q, Call call)
{
    cudaEvent_t begin = nullptr, end = nullptr;
    float ms = 0;
    bool ok = cuda_ok(q, "ceiling", cudaEventCreate(&begin)) &&
              cuda_ok(q, "ceiling", cudaEventCreate(&end)) &&
              cuda_ok(q, "ceiling", cudaEventRecord(begin, cuda_stream(q)));
    if (ok) call();
    ok = ok && cuda_ok(q, "ceiling", cudaEventRecord(end, cuda_stream(q))) &&
         cuda_ok(q, "ceiling", cudaEventSynchronize(end)) &&
         cuda_ok(q, "ceiling", cudaEventElapsedTime(&ms, begin, end));
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    return ok ? 1e-3 * (double)ms : 0;
}

double read_rate(tsr_queue *q, const void *data, size_t bytes)
{
    block sink;
    if (!sink.take(q, sizeof(uint32_t))) return 0;
    size_t n = bytes / 16, passes = kRead / (16 * n) + 1;
    double seconds = seconds_of(q, [&] {
        for (size_t i = 0; i < passes; i++)
            cuda_launch(q, "ceiling", ceiling_read_kernel, cuda_grid(8 * cuda_processors(q)), cuda_grid(512),
                        0, (const uint4 *)data, n, (uint32_t *)sink.data);
    });
    return (double)(passes * n * 16) / seconds;
}

/* Bytes read and bytes written. */
double copy_rate(tsr_queue *q)
{
    block from, to;
    if (!from.take(q, kCopy) || !to.take(q, kCopy)) return 0;
    double seconds = seconds_of(q, [&] {
        for (int i = 0; i < kRuns; i++)
            cuda_ok(q, "ceiling",
                    cudaMemcpyAsync(to.data, from.data, kCopy, cudaMemcpyDeviceToDevice, cuda_stream(q)));
    });
    return 2.0 * kRuns * (double)kCopy / seconds;
}

double send_rate(tsr_queue *q)
{
    block to;
    void *from = nullptr;
    if (!to.take(q, kCopy) || !cuda_ok(q, "ceiling", cudaHostAlloc(&from, kCopy, cudaHostAllocDefault)))
        return 0;
    double seconds = seconds_of(q, [&] {
        for (int i = 0; i < 2; i++)
            cuda_ok(q, "ceiling",
                    cudaMemcpyAsync(to.data, from, kCopy, cudaMemcpyHostToDevice, cuda_stream(q)));
    });
    cudaFreeHost(from);
    return 2.0 * (double)kCopy / seconds;
}

/* y [rows, n] = x w' as linear would multiply it, bf16 out. */
double product_rate(tsr_queue *q, const tsr_ceiling *c)
{
    size_t each = tsr_dtype_bytes(c->type), scale_bytes = 256;
    block weights, input, output, scratch;
    size_t w_bytes = (size_t)(c->n_out * c->n_in) * each, x_bytes = (size_t)(c->rows * c->n_in) * each;
    if (!weights.take(q, w_bytes + scale_bytes) || !input.take(q, x_bytes) ||
        !output.take(q, (size_t)(c->rows * c->n_out) * 2))
        return 0;
    cuda_launch(q, "ceiling", ceiling_fill_kernel, cuda_grid(1024), cuda_grid(256), 0,
                (uint32_t *)weights.data, w_bytes / 4, kKeep, kSet);
    cuda_launch(q, "ceiling", ceiling_fill_kernel, cuda_grid(1024), cuda_grid(256), 0, (uint32_t *)input.data,
                x_bytes / 4, kKeep, kSet);
    float *scale = (float *)((unsigned char *)weights.data + w_bytes);
    const float small = 0.01f;
    tsr_memory_upload(q, scale, &small, sizeof small);

    tsr_weight w = {};
    w.name = "ceiling";
    w.data = weights.data;
    w.rows = c->n_out;
    w.cols = c->n_in;
    w.n_experts = 1;
    w.type = c->type;
    tsr_view x = tsr_view_of(input.data, c->type, c->rows, c->n_in);
    tsr_view y = tsr_view_of(output.data, TSR_BF16, c->rows, c->n_out);
    if (c->type == TSR_FP8) {
        w.scaled = x.scaled = TSR_SCALE_TENSOR;
        w.input = TSR_INPUT_STATIC;
        w.scale = w.input_scale = x.scale = scale;
    }
    if (!scratch.take(q, tsr_cuda_linear_work(q, y, x, &w))) return 0;
    q->work = scratch.data;
    for (int i = 0; i < 3; i++) tsr_cuda_linear(q, y, x, &w, tsr_linear_opts{}); /* choices are timed */
    double seconds = seconds_of(q, [&] {
        for (int i = 0; i < kRuns; i++) tsr_cuda_linear(q, y, x, &w, tsr_linear_opts{});
    });
    return 2.0 * kRuns * (double)c->rows * (double)c->n_out * (double)c->n_in / seconds;
}
} // namespace

double tsr_cuda_ceiling(tsr_queue *q, const tsr_ceiling *c)
{
    if (cuda_idle(q)) return 0;
    switch (c->what) {
    case TSR_CEILING_READ: return read_rate(q, c->data, c->bytes);
    case TSR_CEILING_COPY: return copy_rate(q);
    case TSR_CEILING_SEND: return send_rate(q);
    case TSR_CEILING_PRODUCT: return product_rate(q, c);
    }
    return 0;
}
