/* kernels/cuda/advance.cu: positions, ended sequences and the ring, after a decode step. */
#include "kernels/cuda/value.cuh"

namespace
{

constexpr int advance_threads = 256;

/* One block. */
__global__ void __launch_bounds__(advance_threads) advance_kernel(tsr_step step, tsr_ring r)
{
    cuda_wait_before();
    int64_t count = *r.count, at = count % r.depth;
    for (int64_t i = threadIdx.x; i < step.n_seqs; i += advance_threads) {
        bool there = r.slot[i] >= 0;
        int32_t id = there ? step.out_ids[i] : -1;
        r.ids[i * r.depth + at] = id;
        r.logprobs[i * r.depth + at] = there ? step.out_logprobs[i] : 0;
        if (!there) continue;
        r.pos[i]++;
        for (int64_t k = 0; k < r.n_stop; k++)
            if (id == r.stop[k]) r.slot[i] = -1;
    }
    __threadfence_system(); /* the host reads the columns once it has seen `done` */
    __syncthreads();
    if (threadIdx.x > 0) return;
    *r.count = count + 1;
    *(volatile int64_t *)r.done = count + 1;
}

} // namespace

void tsr_cuda_advance(tsr_queue *q, const tsr_step *step, const tsr_ring *ring)
{
    cuda_launch_early(q, "advance", advance_kernel, cuda_grid(1), advance_threads, 0, *step, *ring);
}
