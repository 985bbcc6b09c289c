/* kernels/cuda/slot_copy.cu: blocks of state copied, read and written whole. */
#include "kernels/cuda/launch.cuh"

static unsigned char *block_at(tsr_blocks blocks, int64_t i)
{
    return (unsigned char *)blocks.data + (size_t)i * blocks.bytes;
}

static void copy(tsr_queue *q, const char *op, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (cuda_idle(q)) return;
    if (cuda_ok(q, op, cudaMemcpyAsync(to, from, bytes, kind, cuda_stream(q)))) cuda_after_launch(q, op);
}

void tsr_cuda_slot_copy(tsr_queue *q, tsr_blocks blocks, int64_t dst, int64_t src)
{
    if (dst != src)
        copy(q, "slot_copy", block_at(blocks, dst), block_at(blocks, src), blocks.bytes,
             cudaMemcpyDeviceToDevice);
}

/* `host` is filled when tsr_queue_sync returns. */
void tsr_cuda_slot_read(tsr_queue *q, void *host, tsr_blocks blocks, int64_t i)
{
    copy(q, "slot_read", host, block_at(blocks, i), blocks.bytes, cudaMemcpyDeviceToHost);
}

/* `host` may be changed once tsr_queue_sync returns. */
void tsr_cuda_slot_write(tsr_queue *q, tsr_blocks blocks, int64_t i, const void *host)
{
    copy(q, "slot_write", block_at(blocks, i), host, blocks.bytes, cudaMemcpyHostToDevice);
}
