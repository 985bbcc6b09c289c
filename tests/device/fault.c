/* tests/device/fault.c: a real device that fails, seen from the host: one message, and no call that hangs.
 *
 *   fault kernel     a kernel writes where nothing is; TSR_SYNC=1 tells which op it was
 *   fault memory     more is wanted than there is, and then something that fits
 */
#include <stdio.h>
#include <string.h>

#include "kernels/module.h"

static int stop(const char *what)
{
    fprintf(stderr, "fault: %s: %s\n", what, tsr_message());
    return 1;
}

static int fault_kernel(const tsr_ops *ops)
{
    enum { ROWS = 4, COLS = 64 };
    tsr_queue *q = NULL;
    void *block = NULL, *late = NULL;
    if (tsr_queue_open(&q, ops, NULL, TSR_BF16, 1 << 20)) return stop("opening a queue");
    bool told = q->sync_each;
    if (tsr_memory_take(&block, ops->memory, (ROWS + 1) * COLS * sizeof(float))) return stop("taking memory");
    tsr_memory_fill(q, block, 0, (ROWS + 1) * COLS * sizeof(float));
    if (tsr_queue_sync(q)) return stop("before the fault");
    tsr_norm_weight w = {.name = "planted",
                         .w = tsr_view_of((float *)block + (ptrdiff_t)ROWS * COLS, TSR_F32, 1, COLS)};
    tsr_norm(q, tsr_view_of((void *)(uintptr_t)0x100, TSR_F32, ROWS, COLS),
             tsr_view_of(block, TSR_F32, ROWS, COLS), &w);
    if (tsr_queue_sync(q) != TSR_E_DEVICE) {
        fprintf(stderr, "fault: a write to nowhere went unnoticed\n");
        return 1;
    }
    printf("%s\n", tsr_message());
    if (told && strncmp(tsr_message(), "norm: ", 6) != 0) {
        fprintf(stderr, "fault: the op is not named\n");
        return 1;
    }
    if (!tsr_memory_take(&late, ops->memory, 1 << 20)) { /* a ruined context gives nothing any more */
        fprintf(stderr, "fault: the device goes on as if nothing had been\n");
        return 1;
    }
    tsr_queue_close(q);
    return 0;
}

static int fault_memory(const tsr_ops *ops)
{
    void *block = NULL;
    size_t free_bytes, all_bytes;
    if (ops->memory->room(&free_bytes, &all_bytes)) return stop("asking for room");
    if (tsr_memory_take(&block, ops->memory, all_bytes + (1 << 20)) != TSR_E_NOMEM) {
        fprintf(stderr, "fault: more memory was given than there is\n");
        return 1;
    }
    printf("%s\n", tsr_message());
    if (tsr_memory_take(&block, ops->memory, 1 << 20)) return stop("after the refusal");
    tsr_memory_give(ops->memory, block);
    return 0;
}

int main(int argc, char **argv)
{
    tsr_ops ops;
    if (argc != 2 || (strcmp(argv[1], "kernel") != 0 && strcmp(argv[1], "memory") != 0)) {
        fprintf(stderr, "usage: fault kernel|memory\n");
        return 2;
    }
    if (tsr_cuda_ops(&ops)) return stop("opening CUDA");
    return strcmp(argv[1], "kernel") == 0 ? fault_kernel(&ops) : fault_memory(&ops);
}
