/* tests/kernels/bench_wide.cu: products of many rows with all that follows them, and the ops between, at the sizes of
 * a page in the 8B model (3584 rows) and of 104 tiles in the encoder.
 *
 *   bench_wide [fp8|bf16|glue]
 *
 * Ceilings of the same run: the product of 8192^3 without anything behind it; copying 512 MiB. Weights rotate through
 * 1 GiB of random values. A time is the median of 9 runs, host clock, the stream waited for at the end. The error is
 * that of 4096 elements beside sums in f64, in the Euclidean norm.
 */
#include "tests/kernels/bench.cuh"

namespace
{
constexpr size_t kPool = (size_t)1 << 30;
constexpr int kRuns = 9, kSamples = 4096;
constexpr int64_t kTiles = 104, kPatches = 1024, kPage = 3584;

/* What follows the sum: letters of bias b, activation g (GELU) or r (relu^2), gain s, add a; y in FP8: 8. */
struct product {
    const char *name;
    int64_t rows, n_out, n_in;
    const char *end;
};
const product products[] = {
    {"8192^3", 8192, 8192, 8192, ""},           {"in_proj", kPage, 18560, 4096, ""},
    {"out_proj", kPage, 4096, 8192, "a"},       {"up", kPage, 21504, 4096, "r"},
    {"up, y in FP8", kPage, 21504, 4096, "r8"}, {"down", kPage, 4096, 21504, "a"},
    {"attention qkv", kPage, 6144, 4096, ""},   {"attention o", kPage, 4096, 4096, "a"},
    {"vision qkv", 106600, 3072, 1024, "b"},    {"vision o", 106600, 1024, 1024, "bsa"},
    {"vision fc1", 106600, 4096, 1024, "bg"},   {"vision fc2", 106600, 1024, 4096, "bsa"},
    {"tile fc1", 1025, 4096, 1024, "bg"},
};

__global__ void fill_f32_kernel(float *to, int n)
{
    int i = blockIdx.x * (int)blockDim.x + (int)threadIdx.x;
    if (i < n) to[i] = 0.5f + (float)(ceiling_word((uint32_t)i) >> 8) * 0x1p-24f;
}

__device__ double value_of(const void *data, tsr_dtype type, int64_t i)
{
    if (type == TSR_BF16) return __uint_as_float((uint32_t)((const uint16_t *)data)[i] << 16);
    uint8_t code = ((const uint8_t *)data)[i];
    double size =
        code & 0x78 ? ldexp(8.0 + (code & 7), ((code >> 3) & 15) - 10) : ldexp(1.0 * (code & 7), -9);
    return code & 0x80 ? -size : size;
}

/* A warp per sample: squares of the error and of the value are added up. */
__global__ void error_kernel(double *squares, tsr_view y, tsr_view x, tsr_view add, tsr_weight w, tsr_act act,
                             const float *gain)
{
    int64_t i = blockIdx.x * (int64_t)(blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    int64_t r = ceiling_word((uint32_t)(2 * i)) % y.rows, j = ceiling_word((uint32_t)(2 * i + 1)) % y.cols;
    double sum = 0;
    for (int64_t k = lane; k < x.cols; k += 32)
        sum += value_of(x.data, x.type, r * x.stride + k) * value_of(w.data, w.type, j * w.cols + k);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane) return;
    if (x.scale) sum *= (double)*x.scale * (double)*w.scale;
    if (w.bias) sum += w.bias[j];
    if (act == TSR_GELU) sum *= 0.5 * (1 + erf(sum * 0.70710678118654752));
    if (act == TSR_RELU2) sum = sum > 0 ? sum * sum : 0;
    if (gain) sum *= gain[j];
    if (add.rows) sum += value_of(add.data, add.type, r * add.stride + j);
    double got = value_of(y.data, y.type, r * y.stride + j) * (y.scale ? (double)*y.scale : 1);
    atomicAdd(squares, (got - sum) * (got - sum));
    atomicAdd(squares + 1, sum * sum);
}

struct bench {
    tsr_queue *q;
    const tsr_memory *memory;
    unsigned char *pool, *x, *y, *add, *work;
    float *scales, *floats; /* of w, x and y; of bias, gain, norms and positions */
    double *squares;
    size_t next, work_bytes;
};

/* Seconds of one of `calls` calls of f, the median of runs. */
template <class F>
double measure(bench *b, int calls, F f)
{
    double times[kRuns];
    for (int run = -1; run < kRuns; run++) { /* the first is a rehearsal: choices are timed there */
        double began = now();
        for (int i = 0; i < calls; i++) f();
        must(tsr_queue_sync(b->q));
        if (run >= 0) times[run] = (now() - began) / calls;
    }
    return median(times, kRuns);
}

tsr_view scaled(void *data, int64_t rows, int64_t cols, float *scale)
{
    tsr_view v = tsr_view_of(data, TSR_FP8, rows, cols);
    v.scaled = TSR_SCALE_TENSOR;
    v.scale = scale;
    return v;
}

/* One line; `full` is the rate of the first product, or 0 for it. */
double run_product(bench *b, const product &p, bool fp8, double full)
{
    tsr_weight w = {};
    w.name = "w";
    w.rows = p.n_out;
    w.cols = p.n_in;
    w.n_experts = 1;
    w.type = fp8 ? TSR_FP8 : TSR_BF16;
    tsr_view x = tsr_view_of(b->x, TSR_BF16, p.rows, p.n_in),
             y = tsr_view_of(b->y, TSR_BF16, p.rows, p.n_out);
    if (fp8) {
        w.scaled = TSR_SCALE_TENSOR;
        w.input = TSR_INPUT_STATIC;
        w.scale = b->scales;
        w.input_scale = b->scales + 1;
        x = scaled(b->x, p.rows, p.n_in, b->scales + 1);
    }
    tsr_linear_opts o = {};
    if (strchr(p.end, 'b')) w.bias = b->floats;
    if (strchr(p.end, 'g')) o.act = TSR_GELU;
    if (strchr(p.end, 'r')) o.act = TSR_RELU2;
    if (strchr(p.end, 's')) o.gain = tsr_view_of(b->floats, TSR_F32, 1, p.n_out);
    if (strchr(p.end, 'a')) o.add = tsr_view_of(b->add, TSR_BF16, p.rows, p.n_out);
    if (strchr(p.end, '8')) y = scaled(b->y, p.rows, p.n_out, b->scales + 2);
    size_t bytes = (size_t)(w.rows * w.cols) * tsr_dtype_bytes(w.type);
    double flops = 2.0 * (double)p.rows * (double)(p.n_out * p.n_in);
    double t = measure(b, flops > 5e11 ? 4 : 16, [&] {
        if (b->next + bytes > kPool) b->next = 0;
        w.data = b->pool + b->next;
        b->next += bytes;
        tsr_linear(b->q, y, x, &w, o);
    });
    double squares[2] = {};
    must(cudaMemcpy(b->squares, squares, sizeof squares, cudaMemcpyHostToDevice));
    error_kernel<<<kSamples / 8, 256>>>(b->squares, y, x, o.add, w, o.act, (const float *)o.gain.data);
    must(cudaMemcpy(squares, b->squares, sizeof squares, cudaMemcpyDeviceToHost));
    printf("%-5s %-15s %7lld x %5lld x %5lld %9.1f us %6.0f TF/s %5.2f   error %.1e\n", fp8 ? "fp8" : "bf16",
           p.name, (long long)p.rows, (long long)p.n_out, (long long)p.n_in, t * 1e6, flops / t * 1e-12,
           full > 0 ? flops / t / full : 1, sqrt(squares[0] / squares[1]));
    fflush(stdout);
    return flops / t;
}

void run_products(bench *b, bool fp8)
{
    fill(b->pool, kPool, fp8);
    fill(b->x, kPool, fp8);
    double full = 0;
    for (const product &p : products) {
        if (strchr(p.end, '8') && !fp8) continue;
        double rate = run_product(b, p, fp8, full);
        if (full == 0) full = rate;
    }
}

/* One line of an op that moves so many bytes. */
template <class F>
double run_op(bench *b, const char *name, double bytes, double copy, F f)
{
    double t = measure(b, 16, f);
    printf("%-40s %9.1f us %6.0f GB/s %5.2f\n", name, t * 1e6, bytes / t * 1e-9,
           copy > 0 ? bytes / t / copy : 1);
    fflush(stdout);
    return bytes / t;
}

void run_glue(bench *b)
{
    constexpr int64_t rows = kTiles * (kPatches + 1), d = 1024, side = 448, patch = 592;
    fill(b->pool, kPool, true);
    fill(b->x, kPool, false);
    tsr_norm_weight rms = {}, centred = {};
    rms.name = centred.name = "norm";
    rms.eps = centred.eps = 1e-5f;
    rms.w = tsr_view_of(b->floats, TSR_F32, 1, 4096);
    centred.w = centred.b = tsr_view_of(b->floats, TSR_F32, 1, d);
    centred.centred = true;
    tsr_view page = tsr_view_of(b->x, TSR_BF16, kPage, 4096), tiles = tsr_view_of(b->x, TSR_BF16, rows, d);
    tsr_view patches = tsr_view_of(b->x, TSR_BF16, kTiles * kPatches, d);
    tsr_view pixels = tsr_view_of(b->pool, TSR_U8, kTiles, side * side * 3);
    tsr_view table = tsr_view_of(b->floats, TSR_F32, 3, 256);
    tsr_view prefix = tsr_view_of(b->floats, TSR_F32, 1, d),
             pos = tsr_view_of(b->floats, TSR_F32, kPatches + 1, d);
    tsr_grid grid = {32, 32};
    auto like = [&](tsr_view v) { return tsr_view_of(b->y, v.type, v.rows, v.cols); };
    auto in_fp8 = [&](tsr_view v) { return scaled(b->y, v.rows, v.cols, b->scales); };
    auto moved = [](tsr_view v, double bytes) { return (double)v.rows * (double)v.cols * bytes; };

    double copy =
        run_op(b, "copy of 512 MiB", (double)kPool, 0, [&] { b->memory->copy(b->q, b->y, b->x, kPool / 2); });
    run_op(b, "RMSNorm, a page, to FP8", moved(page, 3), copy,
           [&] { tsr_norm(b->q, in_fp8(page), page, &rms); });
    run_op(b, "LayerNorm, 104 tiles", moved(tiles, 4), copy,
           [&] { tsr_norm(b->q, like(tiles), tiles, &centred); });
    run_op(b, "LayerNorm, 104 tiles, to FP8", moved(tiles, 3), copy,
           [&] { tsr_norm(b->q, in_fp8(tiles), tiles, &centred); });
    run_op(b, "convert, 104 tiles, to FP8", moved(tiles, 3), copy,
           [&] { tsr_convert(b->q, in_fp8(tiles), tiles); });
    run_op(b, "patchify, 104 tiles", moved(pixels, 1) + (double)(kTiles * kPatches * patch) * 2, copy, [&] {
        tsr_patchify(b->q, tsr_view_of(b->y, TSR_BF16, kTiles * kPatches, patch), pixels, table, grid);
    });
    run_op(b, "vit_enter, 104 tiles", moved(tiles, 4), copy,
           [&] { tsr_vit_enter(b->q, like(tiles), patches, prefix, pos); });
    run_op(b, "vit_leave, 104 tiles", moved(patches, 4), copy,
           [&] { tsr_vit_leave(b->q, like(patches), tiles, 1, kPatches); });
    run_op(b, "pixel_shuffle, 104 tiles", moved(patches, 4), copy, [&] {
        tsr_pixel_shuffle(b->q, tsr_view_of(b->y, TSR_BF16, patches.rows / 4, 4 * d), patches, grid, 2);
    });
}
} // namespace

int main(int argc, char **argv)
{
    static tsr_ops ops;
    must(tsr_cuda_ops(&ops));
    bench b = {};
    b.memory = ops.memory;
    must(tsr_queue_open(&b.q, &ops, nullptr, TSR_BF16, (size_t)3 << 30));
    must(b.memory->take((void **)&b.pool, kPool));
    must(b.memory->take((void **)&b.x, kPool));
    must(b.memory->take((void **)&b.y, kPool));
    must(b.memory->take((void **)&b.add, kPool));
    must(b.memory->take((void **)&b.scales, 256));
    must(b.memory->take((void **)&b.floats, (kPatches + 1) * 1024 * 4));
    must(b.memory->take((void **)&b.squares, 256));
    const float scales[3] = {0.01f, 0.25f, 0.5f};
    b.memory->upload(b.q, b.scales, scales, sizeof scales);
    must(tsr_queue_sync(b.q));
    fill(b.add, kPool, false);
    fill_f32_kernel<<<4100, 256>>>(b.floats, (kPatches + 1) * 1024);
    must(cudaDeviceSynchronize());
    printf("%s\n", b.memory->about);
    for (bool fp8 : {true, false})
        if (argc < 2 || !strcmp(argv[1], fp8 ? "fp8" : "bf16")) run_products(&b, fp8);
    if (argc < 2 || !strcmp(argv[1], "glue")) run_glue(&b);
    return 0;
}
