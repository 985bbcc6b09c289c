/* tests/kernels/bench_attend.cu: attention on the device at the sizes of the model, beside ceilings of the same run.
 *
 *   bench_attend [vision|prefill|decode|prefill-fp8|decode-fp8]    fp8: of the pages
 *
 * Ceilings: reading 2 GiB for decoding, the bf16 product of 8192^3 for the others. A time is the median of 9 replays
 * of a graph of several calls, by events; keys and values rotate through a pool of pages that no cache holds. Some
 * rows of each result are compared with plain sums in double: `off` is the largest difference, of the largest value.
 */
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "tests/kernels/bench.cuh"

namespace
{
constexpr int kRuns = 9, kPageTokens = 64;
constexpr float kScale = 0.7f; /* of FP8 pages */
constexpr size_t kRead = (size_t)2 << 30;

template <typename T>
T *take(size_t n)
{
    void *block;
    must(cudaMalloc(&block, n * sizeof(T)));
    return (T *)block;
}

/* About normal, of that size. */
__global__ void fill_kernel(__nv_bfloat16 *to, size_t n, float size)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
         i += (size_t)gridDim.x * blockDim.x) {
        uint32_t a = ceiling_word((uint32_t)i), b = ceiling_word((uint32_t)i + 77777u);
        float sum = (float)(a & 0xffff) + (float)(a >> 16) + (float)(b & 0xffff) + (float)(b >> 16);
        to[i] = __float2bfloat16((sum / 65536 - 2) * 1.7f * size);
    }
}

/* What one row and head attends to: key p is at page[p / tokens] * page_stride + p % tokens * token_stride elements. */
struct sample {
    const __nv_bfloat16 *query;
    const void *k, *v;
    bool fp8;
    const int32_t *pages; /* NULL: one page */
    int64_t page_stride, token_stride;
    int tokens, n, d;
    const __nv_bfloat16 *got;
};

/* Blocks: samples. off[2 i]: largest difference, off[2 i + 1]: largest value. */
__global__ void check_kernel(const sample *samples, double *weights, int most, float scale, float *off)
{
    const sample &s = samples[blockIdx.x];
    double *w = weights + (size_t)blockIdx.x * most;
    __shared__ double max[256], sum[256];
    double mine = -1e300;
    auto at = [&](const void *base, int p, int e) -> double {
        int64_t i = e + (s.pages ? s.pages[p / s.tokens] * s.page_stride + p % s.tokens * s.token_stride
                                 : p * s.token_stride);
        if (!s.fp8) return __bfloat162float(((const __nv_bfloat16 *)base)[i]);
        return kScale * (float)((const __nv_fp8_e4m3 *)base)[i];
    };
    for (int p = threadIdx.x; p < s.n; p += blockDim.x) {
        double dot = 0;
        for (int e = 0; e < s.d; e++) dot += (double)__bfloat162float(s.query[e]) * at(s.k, p, e);
        mine = fmax(mine, w[p] = dot * scale);
    }
    max[threadIdx.x] = mine;
    __syncthreads();
    for (int i = 0; i < 256; i++) mine = fmax(mine, max[i]);
    double total = 0;
    for (int p = threadIdx.x; p < s.n; p += blockDim.x) total += w[p] = exp(w[p] - mine);
    sum[threadIdx.x] = total;
    __syncthreads();
    total = 0;
    for (int i = 0; i < 256; i++) total += sum[i];
    __syncthreads();
    double worst = 0, largest = 0;
    for (int e = threadIdx.x; e < s.d; e += blockDim.x) {
        double want = 0;
        for (int p = 0; p < s.n; p++) want += w[p] * at(s.v, p, e);
        want /= total;
        double difference = fabs(want - __bfloat162float(s.got[e]));
        worst = fmax(worst, difference == difference ? difference : 1e30),
        largest = fmax(largest, fabs(want));
    }
    max[threadIdx.x] = worst, sum[threadIdx.x] = largest;
    __syncthreads();
    if (threadIdx.x) return;
    for (int i = 0; i < 256; i++) worst = fmax(worst, max[i]), largest = fmax(largest, sum[i]);
    off[2 * blockIdx.x] = (float)worst, off[2 * blockIdx.x + 1] = (float)largest;
}

struct bench {
    tsr_queue *q;
    cudaStream_t stream;
    uint4 *read;
    uint32_t *sink;
    double read_rate, product_rate; /* bytes and FLOPs a second */
};

/* Seconds of one of `calls` calls, call(i) being the i-th. */
template <typename Call>
double measure(bench *b, int calls, Call call)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    call(0); /* what is chosen or asked for once */
    must(tsr_queue_sync(b->q));
    must(cudaStreamBeginCapture(b->stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < calls; i++) call(i);
    must(cudaStreamEndCapture(b->stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    cudaEvent_t from, to;
    must(cudaEventCreate(&from));
    must(cudaEventCreate(&to));
    double times[kRuns];
    for (int i = -2; i < kRuns; i++) {
        float ms;
        must(cudaEventRecord(from, b->stream));
        must(cudaGraphLaunch(exec, b->stream));
        must(cudaEventRecord(to, b->stream));
        must(cudaEventSynchronize(to));
        must(cudaEventElapsedTime(&ms, from, to));
        if (i >= 0) times[i] = ms * 1e-3 / calls;
    }
    must(tsr_queue_sync(b->q));
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    return median(times, kRuns);
}

__nv_bfloat16 *normal(size_t n, float size)
{
    __nv_bfloat16 *block = take<__nv_bfloat16>(n);
    fill_kernel<<<1024, 256>>>(block, n, size);
    must(cudaDeviceSynchronize());
    return block;
}

template <typename T>
T *sent(const T *from, size_t n)
{
    T *block = take<T>(n);
    must(cudaMemcpy(block, from, n * sizeof(T), cudaMemcpyHostToDevice));
    return block;
}

double off_by(const sample *samples, int n, float scale)
{
    int most = 0;
    for (int i = 0; i < n; i++) most = samples[i].n > most ? samples[i].n : most;
    sample *there = sent(samples, n);
    double *weights = take<double>((size_t)n * most);
    float *off = take<float>(2 * n), *back = (float *)malloc(2 * n * sizeof(float));
    check_kernel<<<n, 256>>>(there, weights, most, scale, off);
    must(cudaMemcpy(back, off, 2 * n * sizeof(float), cudaMemcpyDeviceToHost));
    double worst = 0;
    for (int i = 0; i < n; i++) worst = fmax(worst, back[2 * i] / back[2 * i + 1]);
    cudaFree(there), cudaFree(weights), cudaFree(off), free(back);
    return worst;
}

void vision(bench *b)
{
    const int64_t tiles = 104, rows = 1025;
    tsr_heads h = {16, 16, 64, 0.125f};
    int64_t wide = 3 * h.n_q * h.head_dim, d = h.n_q * h.head_dim;
    __nv_bfloat16 *x = normal((size_t)(tiles * rows * wide), 1), *y = normal((size_t)(tiles * rows * d), 1);
    int32_t start[105];
    for (int i = 0; i <= tiles; i++) start[i] = (int32_t)(i * rows);
    for (int64_t n : {(int64_t)13, tiles}) {
        tsr_spans spans = {sent(start, (size_t)n + 1), n, rows};
        tsr_view qkv = tsr_view_of(x, TSR_BF16, n * rows, wide), out = tsr_view_of(y, TSR_BF16, n * rows, d);
        must(cudaMemset(y, 0xff, (size_t)(n * rows * d) * 2));
        double t = measure(b, 3, [&](int) { b->q->ops->attend(b->q, out, qkv, h, spans); });
        sample samples[64];
        for (int i = 0; i < 64; i++) {
            int64_t span = i * 37 % n, row = i < 4 ? 1024 : i * 331 % rows, head = i * 7 % 16;
            const __nv_bfloat16 *from = x + span * rows * wide, *own = from + row * wide + head * 64;
            samples[i] = {own,
                          from + d + head * 64,
                          from + 2 * d + head * 64,
                          false,
                          nullptr,
                          0,
                          wide,
                          1 << 30,
                          (int)rows,
                          64,
                          y + (span * rows + row) * d + head * 64};
        }
        double flops = 4.0 * (double)(n * h.n_q) * 64 * (double)(rows * rows);
        printf("vision  %4d tiles            %9.1f us %6.0f TFLOP/s %5.2f of bf16   off %.4f\n", (int)n,
               t * 1e6, flops / t * 1e-12, flops / t / b->product_rate, off_by(samples, 64, h.scale));
        fflush(stdout);
    }
    cudaFree(x), cudaFree(y);
}

/* Sequences of the same context over pages in disorder; the last `rows` positions of each are new. */
struct contexts {
    tsr_step step;
    tsr_pages pages;
    int64_t turn, turns; /* pages that one call reads; how many calls read different ones */
};

contexts contexts_of(unsigned char *kv, tsr_dtype type, const float *scale, int64_t n_pages,
                     const tsr_heads &h, int64_t n, int64_t rows, int64_t ctx)
{
    contexts c = {};
    int64_t each = h.n_kv * kPageTokens * h.head_dim, per = (ctx + kPageTokens - 1) / kPageTokens;
    if (n * per > n_pages) give_up("more pages than the pool has");
    int32_t *start = (int32_t *)malloc((size_t)(n + 1) * 4), *pos = (int32_t *)malloc((size_t)n * 4);
    int32_t *table = (int32_t *)malloc((size_t)n_pages * 4);
    int64_t stride = 7919; /* prime: every page is met once */
    while (n_pages % stride == 0) stride += 2;
    for (int64_t i = 0; i < n_pages; i++) table[i] = (int32_t)(i * stride % n_pages);
    for (int64_t i = 0; i <= n; i++) start[i] = (int32_t)(i * rows);
    for (int64_t i = 0; i < n; i++) pos[i] = (int32_t)(ctx - rows);
    tsr_step s = {};
    s.n_rows = n * rows, s.n_seqs = n, s.n_decode = rows == 1 ? n : 0, s.max_new = rows, s.max_ctx = ctx;
    s.max_pages = per;
    s.spans = {sent(start, (size_t)n + 1), n, rows};
    s.pos = sent(pos, (size_t)n);
    s.slot = s.pos;
    s.pages = sent(table, (size_t)n_pages);
    c.step = s;
    c.turn = n * per, c.turns = n_pages / c.turn;
    each *= (int64_t)tsr_dtype_bytes(type);
    c.pages.k = kv, c.pages.v = kv + each, c.pages.page_stride = 2 * each;
    c.pages.page_tokens = kPageTokens, c.pages.type = type;
    c.pages.k_scale = c.pages.v_scale = scale;
    free(start), free(pos), free(table);
    return c;
}

sample sample_of(const contexts &c, const tsr_heads &h, const __nv_bfloat16 *x, int64_t x_stride,
                 const __nv_bfloat16 *y, int64_t seq, int64_t row, int64_t head)
{
    int64_t r = seq * c.step.max_new + row, kv_head = head / (h.n_q / h.n_kv), d = h.head_dim;
    int64_t each = (int64_t)tsr_dtype_bytes(c.pages.type), at = kv_head * kPageTokens * d * each;
    return {x + r * x_stride + head * d,
            (const char *)c.pages.k + at,
            (const char *)c.pages.v + at,
            c.pages.type == TSR_FP8,
            c.step.pages + seq * c.step.max_pages,
            c.pages.page_stride / each,
            d,
            kPageTokens,
            (int)(c.step.max_ctx - c.step.max_new + row + 1),
            (int)d,
            y + r * h.n_q * d + head * d};
}

void give_back(contexts *c)
{
    cudaFree((void *)c->step.spans.start), cudaFree((void *)c->step.pos), cudaFree((void *)c->step.pages);
}

void paged(bench *b, bool decode, tsr_dtype type)
{
    struct shape {
        int64_t n, rows, ctx;
    };
    const shape prefill_shapes[] = {{1, 512, 512},    {1, 3584, 3584},  {1, 8192, 8192},  {1, 512, 65536},
                                    {1, 2048, 32768}, {1, 8192, 32768}, {1, 8192, 65536}, {4, 1000, 5000}};
    const shape decode_shapes[] = {{1, 1, 1024},   {1, 1, 8192},  {1, 1, 65536}, {8, 1, 1024},
                                   {8, 1, 8192},   {64, 1, 1024}, {64, 1, 8192}, {16, 1, 65536},
                                   {256, 1, 1024}, {256, 1, 4096}};
    tsr_heads h = {32, 8, 128, 0.08838834764f};
    int64_t d = h.n_q * h.head_dim, wide = d + 2 * h.n_kv * h.head_dim, n_pages = 17001;
    size_t n_kv = (size_t)(n_pages * h.n_kv * kPageTokens * h.head_dim * 2);
    __nv_bfloat16 *kv = normal(type == TSR_FP8 ? n_kv / 2 : n_kv, 1);
    if (type == TSR_FP8) ceiling_fill_kernel<<<1024, 256>>>((uint32_t *)kv, n_kv / 4, 0xbfbfbfbfu, 0);
    const float *scale = sent(&kScale, 1);
    __nv_bfloat16 *x = normal((size_t)(8192 * wide), 1), *y = normal((size_t)(8192 * d), 1);
    const shape *shapes = decode ? decode_shapes : prefill_shapes;
    int n_shapes = decode ? 10 : 8;
    for (int i = 0; i < n_shapes; i++) {
        const shape &s = shapes[i];
        contexts c = contexts_of((unsigned char *)kv, type, scale, n_pages, h, s.n, s.rows, s.ctx);
        tsr_view qkv = tsr_view_of(x, TSR_BF16, s.n * s.rows, wide),
                 out = tsr_view_of(y, TSR_BF16, s.n * s.rows, d);
        tsr_view queries = tsr_cols(qkv, 0, d);
        size_t work = b->q->ops->kv_attend_work ? b->q->ops->kv_attend_work(b->q, h, &c.step) : 0;
        unsigned char *scratch = work ? take<unsigned char>(work) : nullptr;
        b->q->work = scratch;
        must(cudaMemset(y, 0xff, (size_t)(s.n * s.rows * d) * 2));
        double t = measure(b, decode ? 20 : 2, [&](int call) {
            tsr_step step = c.step;
            step.pages += call % c.turns * c.turn;
            b->q->ops->kv_attend(b->q, out, queries, c.pages, h, &step);
        });
        b->q->ops->kv_attend(b->q, out, queries, c.pages, h, &c.step);
        must(tsr_queue_sync(b->q));
        sample samples[64];
        for (int k = 0; k < 64; k++)
            samples[k] = sample_of(c, h, x, wide, y, k * 13 % s.n, (k < 4 ? s.rows - 1 : k * 331 % s.rows),
                                   k * 7 % 32);
        double off = off_by(samples, 64, h.scale);
        if (decode) {
            double bytes =
                (double)(s.n * s.ctx) * (double)(h.n_kv * h.head_dim) * 2 * (double)tsr_dtype_bytes(type);
            printf("decode  %4d x %6d %s keys     %9.1f us %6.0f GB/s    %5.2f of read   off %.4f\n",
                   (int)s.n, (int)s.ctx, tsr_dtype_name(type), t * 1e6, bytes / t * 1e-9,
                   bytes / t / b->read_rate, off);
        } else {
            double pairs = (double)(s.n * s.rows) * ((double)s.ctx - 0.5 * (double)(s.rows - 1));
            double flops = 4 * pairs * (double)d;
            printf("prefill %d x %5d rows to %6d %s %9.1f us %6.0f TFLOP/s %5.2f of bf16   off %.4f\n",
                   (int)s.n, (int)s.rows, (int)s.ctx, tsr_dtype_name(type), t * 1e6, flops / t * 1e-12,
                   flops / t / b->product_rate, off);
        }
        fflush(stdout);
        cudaFree(scratch);
        give_back(&c);
    }
    cudaFree(kv), cudaFree(x), cudaFree(y);
}

void ceilings(bench *b)
{
    int processors;
    must(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
    double t = measure(b, 2, [&](int) {
        ceiling_read_kernel<<<processors * 8, 512, 0, b->stream>>>(b->read, kRead / 16, b->sink);
    });
    b->read_rate = (double)kRead / t;
    const int64_t n = 8192;
    __nv_bfloat16 *x = normal((size_t)(3 * n * n), 1);
    tsr_weight w = {};
    w.name = "w", w.rows = w.cols = n, w.n_experts = 1, w.type = TSR_BF16, w.data = x;
    tsr_view in = tsr_view_of(x + n * n, TSR_BF16, n, n), out = tsr_view_of(x + 2 * n * n, TSR_BF16, n, n);
    b->q->work = take<unsigned char>(b->q->ops->linear_work(b->q, out, in, &w) + 1);
    b->product_rate = 2.0 * n * n * n /
                      measure(b, 2, [&](int) { b->q->ops->linear(b->q, out, in, &w, tsr_linear_opts{}); });
    cudaFree(b->q->work), cudaFree(x);
    printf("%s: reading %.0f GB/s, bf16 8192^3 %.0f TFLOP/s\n", b->q->ops->memory->about, b->read_rate * 1e-9,
           b->product_rate * 1e-12);
}
} // namespace

int main(int argc, char **argv)
{
    static tsr_ops ops;
    must(tsr_cuda_ops(&ops));
    bench b = {};
    must(tsr_queue_open(&b.q, &ops, nullptr, TSR_BF16, 1 << 20));
    b.stream = *(cudaStream_t *)b.q->stream; /* what the module keeps begins with it */
    b.read = take<uint4>(kRead / 16);
    b.sink = take<uint32_t>(1);
    ceilings(&b);
    const char *what = argc > 1 ? argv[1] : "";
    if (!*what || !strcmp(what, "vision")) vision(&b);
    if (!*what || !strcmp(what, "prefill")) paged(&b, false, TSR_BF16);
    if (!*what || !strcmp(what, "decode")) paged(&b, true, TSR_BF16);
    if (!*what || !strcmp(what, "prefill-fp8")) paged(&b, false, TSR_FP8);
    if (!*what || !strcmp(what, "decode-fp8")) paged(&b, true, TSR_FP8);
    return 0;
}
