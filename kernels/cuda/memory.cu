/* kernels/cuda/memory.cu: the device's memory, its streams, and how weights get there.
 *
 * Uploads pass through two pinned buffers of a queue: while one travels, the pool's threads fill the other, so that
 * a checkpoint arrives at the rate of the bus or of the disk. What is pinned already travels as it is.
 */
#include <stdio.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/module.cuh"

extern "C" {
#include "base/alloc.h"
}

namespace
{
constexpr size_t kBufferBytes = (size_t)32 << 20;
constexpr size_t kPieceBytes = (size_t)4
                               << 20; /* of one copy: small beside a buffer, so that copies begin early */
constexpr size_t kSliceBytes = (size_t)256 << 10; /* of one thread */

struct device_facts {
    int capability, processors;
    int code; /* what this module's code for the device was written for: less than capability where it is PTX */
    size_t memory;
    char about[192];
};

device_facts facts;

/* What a queue keeps: the stream ops are queued on, and its way up. */
struct queue_state {
    cudaStream_t stream;
    unsigned char *buffer[2]; /* pinned; taken when it is first filled */
    cudaEvent_t left[2];      /* everything in the buffer has travelled */
    int now;                  /* the buffer that is being filled */
    size_t used;              /* of it */
    int32_t *fault;           /* pinned; written by kernels */
};

queue_state *state_of(const tsr_queue *q)
{
    return (queue_state *)q->stream;
}

tsr_status failed(const char *what, cudaError_t error)
{
    cudaGetLastError(); /* forget it, unless it is one that stays */
    return tsr_fail(error == cudaErrorMemoryAllocation ? TSR_E_NOMEM : TSR_E_DEVICE, "%s: %s", what,
                    cudaGetErrorString(error));
}

/* ---------------------------------------------------------------- memory -------------------------------- */

tsr_status room(size_t *free_bytes, size_t *all_bytes)
{
    cudaError_t error = cudaMemGetInfo(free_bytes, all_bytes);
    return error ? failed("asking for free memory", error) : TSR_OK;
}

tsr_status take(void **out, size_t bytes)
{
    void *block = NULL;
    cudaError_t error = cudaMalloc(&block, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        size_t free_bytes = 0, all_bytes = 0;
        cudaGetLastError();
        tsr_status st = room(&free_bytes, &all_bytes);
        return st ? st
                  : tsr_fail(TSR_E_NOMEM, "no memory for %zu bytes: %zu of %zu are free on %s", bytes,
                             free_bytes, all_bytes, facts.about);
    }
    if (error) return failed("taking memory", error);
    *out = block;
    return TSR_OK;
}

void give(void *block)
{
    if (block) cudaFree(block); /* waits for the device; what failed there is known to the queue */
}

tsr_status take_pinned(void **out, size_t bytes)
{
    void *block = NULL;
    cudaError_t error = cudaHostAlloc(&block, bytes ? bytes : 1, cudaHostAllocDefault);
    if (error) return failed("taking pinned memory", error);
    *out = block;
    return TSR_OK;
}

void give_pinned(void *block)
{
    if (block) cudaFreeHost(block);
}

/* ---------------------------------------------------------------- queues -------------------------------- */

void close_state(queue_state *s)
{
    for (int i = 0; i < 2; i++) {
        give_pinned(s->buffer[i]);
        if (s->left[i]) cudaEventDestroy(s->left[i]);
    }
    give_pinned(s->fault);
    if (s->stream) cudaStreamDestroy(s->stream);
    tsr_free(s);
}

tsr_status open(tsr_queue *q)
{
    queue_state *s = (queue_state *)tsr_calloc(1, sizeof *s);
    if (!s) return tsr_fail(TSR_E_NOMEM, "no memory for a queue");
    void *fault = NULL;
    cudaError_t error = cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking);
    for (int i = 0; i < 2 && !error; i++)
        error = cudaEventCreateWithFlags(&s->left[i], cudaEventDisableTiming);
    if (!error) error = cudaHostAlloc(&fault, sizeof *s->fault, cudaHostAllocMapped);
    if (error) {
        close_state(s);
        return failed("opening a queue", error);
    }
    s->fault = (int32_t *)fault;
    *s->fault = 0;
    q->stream = s;
    return TSR_OK;
}

/* What kernels have to say that a result cannot tell. */
void fail_by_fault(tsr_queue *q, queue_state *s)
{
    int32_t fault = __atomic_exchange_n(s->fault, 0, __ATOMIC_ACQ_REL);
    if (fault >= CUDA_FAULT_NO_TOKEN)
        tsr_queue_fail(q, TSR_E_ARG, "sample: no token is left to choose for sequence %d",
                       (int)(fault - CUDA_FAULT_NO_TOKEN));
}

void sync(tsr_queue *q)
{
    queue_state *s = state_of(q);
    cudaError_t error = cudaStreamSynchronize(s->stream);
    if (error) {
        cudaGetLastError();
        tsr_queue_fail(q, TSR_E_DEVICE, "%s failed: %s", facts.about, cudaGetErrorString(error));
        return;
    }
    s->used = 0;
    fail_by_fault(q, s);
}

void close(tsr_queue *q)
{
    queue_state *s = state_of(q);
    cudaStreamSynchronize(s->stream);
    close_state(s);
    q->stream = NULL;
}

/* ---------------------------------------------------------------- copies -------------------------------- */

struct host_copy {
    unsigned char *to;
    const unsigned char *from;
    size_t bytes;
};

void copy_slice(void *arg, int64_t slice, int worker)
{
    (void)worker;
    const host_copy *c = (const host_copy *)arg;
    size_t at = (size_t)slice * kSliceBytes;
    memcpy(c->to + at, c->from + at, c->bytes - at < kSliceBytes ? c->bytes - at : kSliceBytes);
}

void copy_on_host(tsr_queue *q, unsigned char *to, const unsigned char *from, size_t bytes)
{
    host_copy c = {to, from, bytes};
    int64_t slices = (int64_t)((bytes + kSliceBytes - 1) / kSliceBytes);
    if (q->pool && slices > 1)
        tsr_pool_run(q->pool, slices, copy_slice, &c);
    else
        memcpy(to, from, bytes);
}

/* The buffer that is filled now; few queues ever send enough for the second one. */
bool open_buffer(tsr_queue *q, queue_state *s)
{
    void *buffer = NULL;
    if (s->buffer[s->now]) return true;
    if (!cuda_ok(q, "upload", cudaHostAlloc(&buffer, kBufferBytes, cudaHostAllocDefault))) return false;
    s->buffer[s->now] = (unsigned char *)buffer;
    return true;
}

/* Fill the other buffer next, once what it held has travelled. */
bool turn(tsr_queue *q, queue_state *s)
{
    if (!cuda_ok(q, "upload", cudaEventRecord(s->left[s->now], s->stream))) return false;
    s->now = 1 - s->now;
    s->used = 0;
    return open_buffer(q, s) &&
           cuda_ok(q, "upload", cudaEventSynchronize(s->left[s->now])); /* at once if it was never recorded */
}

void upload(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    queue_state *s = state_of(q);
    unsigned char *at = (unsigned char *)to;
    const unsigned char *source = (const unsigned char *)from;
    if (!open_buffer(q, s)) return;
    while (bytes) {
        if (s->used == kBufferBytes && !turn(q, s)) return;
        size_t n = kBufferBytes - s->used;
        if (n > kPieceBytes) n = kPieceBytes;
        if (n > bytes) n = bytes;
        unsigned char *piece = s->buffer[s->now] + s->used;
        copy_on_host(q, piece, source, n);
        if (!cuda_ok(q, "upload", cudaMemcpyAsync(at, piece, n, cudaMemcpyHostToDevice, s->stream))) return;
        s->used += n;
        at += n;
        source += n;
        bytes -= n;
    }
}

void send(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    cuda_ok(q, "send", cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda_stream(q)));
}

void download(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    cuda_ok(q, "download", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda_stream(q)));
}

void copy(tsr_queue *q, void *to, const void *from, size_t bytes)
{
    cuda_ok(q, "copy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_stream(q)));
}

void fill(tsr_queue *q, void *to, int byte, size_t bytes)
{
    cuda_ok(q, "fill", cudaMemsetAsync(to, byte, bytes, cuda_stream(q)));
}

/* ---------------------------------------------------------------- recordings ---------------------------- */

/* Early launches are kept as such: their edges in the graph are programmatic ones. */
void record(tsr_queue *q)
{
    if (cuda_idle(q)) return;
    cuda_ok(q, "record", cudaStreamBeginCapture(cuda_stream(q), cudaStreamCaptureModeRelaxed));
}

void *recorded(tsr_queue *q, int64_t *n_launches)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    size_t n = 0;
    if (cudaStreamIsCapturing(cuda_stream(q), &status) || status == cudaStreamCaptureStatusNone) return NULL;
    cudaError_t error = cudaStreamEndCapture(cuda_stream(q), &graph); /* also of one that has failed */
    bool ok = cuda_ok(q, "record", error) && !q->failed &&
              cuda_ok(q, "record", cudaGraphGetNodes(graph, NULL, &n)) &&
              cuda_ok(q, "record", cudaGraphInstantiate(&exec, graph, 0)) &&
              cuda_ok(q, "record", cudaGraphUpload(exec, cuda_stream(q)));
    if (graph) cudaGraphDestroy(graph);
    if (!ok && exec) cudaGraphExecDestroy(exec);
    *n_launches = (int64_t)n;
    return ok ? exec : NULL;
}

void replay(tsr_queue *q, void *recording)
{
    if (!cuda_idle(q)) cuda_ok(q, "replay", cudaGraphLaunch((cudaGraphExec_t)recording, cuda_stream(q)));
}

void forget(void *recording)
{
    if (recording) cudaGraphExecDestroy((cudaGraphExec_t)recording); /* one that runs is kept until it has */
}

/* The word is looked at first: it is there long before the stream is known to be idle. */
void await(tsr_queue *q, const int64_t *word, int64_t value)
{
    constexpr int kLooks = 2000; /* between two questions to the driver, which would find a fault */
    queue_state *s = state_of(q);
    cudaError_t error = cudaErrorNotReady;
    for (int i = 1; __atomic_load_n(word, __ATOMIC_ACQUIRE) < value; i++) {
        if (error != cudaErrorNotReady) {
            cudaGetLastError();
            tsr_queue_fail(q, TSR_E_DEVICE, "%s failed: %s", facts.about,
                           error ? cudaGetErrorString(error) : "a step did not say that it was done");
            return;
        }
        if (i % kLooks == 0) error = cudaStreamQuery(s->stream);
    }
    fail_by_fault(q, s);
}

/* ---------------------------------------------------------------- marks --------------------------------- */

tsr_status take_mark(void **out)
{
    cudaEvent_t event;
    cudaError_t error = cudaEventCreate(&event);
    if (error) return failed("taking a mark", error);
    *out = event;
    return TSR_OK;
}

void give_mark(void *mark)
{
    if (mark) cudaEventDestroy((cudaEvent_t)mark);
}

void set_mark(tsr_queue *q, void *mark)
{
    cuda_ok(q, "mark", cudaEventRecord((cudaEvent_t)mark, cuda_stream(q)));
}

double between_marks(void *begin, void *end)
{
    float ms = 0;
    cudaEventElapsedTime(&ms, (cudaEvent_t)begin, (cudaEvent_t)end);
    return 1e-3 * (double)ms;
}

/* ---------------------------------------------------------------- the device ---------------------------- */

/* Asked for its attributes: whether this module has code that the device runs. */
__global__ void probe_kernel() {}

tsr_status check_code()
{
    cudaFuncAttributes attributes;
    cudaError_t error = cudaFuncGetAttributes(&attributes, probe_kernel);
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
        cudaGetLastError();
        return tsr_fail(TSR_E_DEVICE, "this build's CUDA module has code for %s; %s is none of them",
                        TSR_CUDA_ARCHITECTURES, facts.about);
    }
    if (error) return failed("asking for the module's code", error);
    facts.code = attributes.ptxVersion;
    return TSR_OK;
}
} // namespace

const tsr_memory cuda_memory = {facts.about, take,      give,      take_pinned, give_pinned,  room,
                                open,        close,     upload,    send,        download,     copy,
                                fill,        sync,      record,    recorded,    replay,       forget,
                                await,       take_mark, give_mark, set_mark,    between_marks};

tsr_status cuda_find_device(void)
{
    cudaDeviceProp p;
    cudaError_t error = cudaGetDeviceProperties(&p, 0);
    if (error) return failed("the first GPU", error);
    facts.capability = p.major * 10 + p.minor;
    facts.processors = p.multiProcessorCount;
    facts.memory = p.totalGlobalMem;
    snprintf(facts.about, sizeof facts.about, "%.120s, sm_%d, %.1f GiB", p.name, facts.capability,
             (double)facts.memory * 0x1p-30);
    return check_code();
}

cudaStream_t cuda_stream(tsr_queue *q)
{
    return state_of(q)->stream;
}

int cuda_capability(const tsr_queue *q)
{
    (void)q;
    return facts.code;
}

int cuda_processors(const tsr_queue *q)
{
    (void)q;
    return facts.processors;
}

int32_t *cuda_fault(tsr_queue *q)
{
    return state_of(q)->fault;
}

void cuda_after_launch(tsr_queue *q, const char *op)
{
    if (!q->sync_each) return;
    cudaError_t error = cudaStreamSynchronize(cuda_stream(q));
    if (!error) return;
    cudaGetLastError();
    tsr_queue_fail(q, TSR_E_DEVICE, "%s: %s", op, cudaGetErrorString(error));
}
