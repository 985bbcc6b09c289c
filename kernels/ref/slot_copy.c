/* kernels/ref/slot_copy.c: blocks of state copied, read and written whole. */
#include <string.h>

#include "kernels/ref/ref.h"

static char *block_at(tsr_blocks blocks, int64_t i)
{
    return (char *)blocks.data + (size_t)i * blocks.bytes;
}

void tsr_ref_slot_copy(tsr_queue *q, tsr_blocks blocks, int64_t dst, int64_t src)
{
    (void)q;
    memmove(block_at(blocks, dst), block_at(blocks, src), blocks.bytes); /* dst may be src */
}

void tsr_ref_slot_read(tsr_queue *q, void *host, tsr_blocks blocks, int64_t i)
{
    (void)q;
    memcpy(host, block_at(blocks, i), blocks.bytes);
}

void tsr_ref_slot_write(tsr_queue *q, tsr_blocks blocks, int64_t i, const void *host)
{
    (void)q;
    memcpy(block_at(blocks, i), host, blocks.bytes);
}
