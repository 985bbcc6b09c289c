/* kernels/cuda/moe_route.cu: each row's experts and their gates, one block per row.
 *
 * Scores are compared in double: near 1 the sigmoid of f32 ties where ref does not.
 */
#include "kernels/cuda/value.cuh"

namespace
{

constexpr int threads = 256;
constexpr int max_experts = 64 * cuda_warp; /* a bit for each in a lane's word */

struct choice {
    double key;
    int id; /* -1: none */
};

/* Larger keys first, then lower ids. NaN is no larger than anything, so that some expert is always left. */
__device__ bool better(choice a, choice b)
{
    if (a.id < 0 || b.id < 0) return b.id < 0 && a.id >= 0;
    return a.key > b.key || (!(b.key > a.key) && a.id < b.id);
}

__global__ void moe_route_kernel(tsr_view ids, tsr_view gates, tsr_view u, tsr_router router)
{
    CUDA_DYNAMIC_SHARED(memory);
    int64_t r = blockIdx.x, n_experts = router.w.rows;
    double *key = (double *)memory, *gate = key + n_experts;
    int lane = threadIdx.x % cuda_warp, warp = threadIdx.x / cuda_warp;
    const unsigned char *row = cuda_row(u, r);
    cuda_release_next();
    cuda_wait_before();

    for (int64_t e = warp; e < n_experts; e += threads / cuda_warp) {
        const unsigned char *w = cuda_row(router.w, e);
        float sum = 0;
        for (int64_t c = 8 * lane; c < u.cols; c += 8 * cuda_warp) {
            octet a = cuda_load8(row, u.type, c, u.cols), b = cuda_load8(w, TSR_F32, c, u.cols);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += a.v[i] * b.v[i];
        }
        sum = cuda_warp_sum(sum);
        if (lane == 0) {
            gate[e] = 1 / (1 + exp(-(double)sum));
            key[e] = gate[e] + ((const float *)router.bias.data)[e];
        }
    }
    __syncthreads();
    if (warp > 0) return;

    /* A lane's own candidates are e = lane, lane + 32 ...; bit j of `taken` is that of the j-th. */
    uint64_t taken = 0;
    double sum = 0;
    int32_t *to = (int32_t *)cuda_row(ids, r);
    float *to_gate = (float *)cuda_row(gates, r);
    for (int64_t k = 0; k < router.top_k; k++) {
        choice best = {0, -1};
        for (int64_t e = lane; e < n_experts; e += cuda_warp) {
            choice own = {key[e], (int)e};
            if (!(taken >> e / cuda_warp & 1) && better(own, best)) best = own;
        }
#pragma unroll
        for (int step = 16; step > 0; step /= 2) {
            choice other = {__shfl_xor_sync(cuda_all_lanes, best.key, step),
                            __shfl_xor_sync(cuda_all_lanes, best.id, step)};
            if (better(other, best)) best = other;
        }
        if (lane == best.id % cuda_warp) {
            taken |= (uint64_t)1 << best.id / cuda_warp;
            to[k] = best.id;
        }
        sum += gate[best.id];
    }
    __syncwarp(); /* `to` is whole */
    double factor = router.scale / (router.renormalise ? sum + 1e-20 : 1);
    for (int64_t k = lane; k < router.top_k; k += cuda_warp) to_gate[k] = (float)(gate[to[k]] * factor);
}

} // namespace

void tsr_cuda_moe_route(tsr_queue *q, tsr_view ids, tsr_view gates, tsr_view u, const tsr_router *router)
{
    if (router->w.rows > max_experts) {
        tsr_queue_fail(q, TSR_E_UNSUPPORTED, "moe_route: CUDA chooses among at most %d experts, not %lld",
                       max_experts, (long long)router->w.rows);
        return;
    }
    cuda_launch_early(q, "moe_route", moe_route_kernel, cuda_grid(u.rows), threads,
                      2 * (size_t)router->w.rows * sizeof(double), ids, gates, u, *router);
}
