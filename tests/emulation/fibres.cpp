/* tests/emulation/fibres.cpp: grids, blocks, warps and threads on the host.
 *
 * Each thread of a block is a fibre with a stack of its own. It runs until it waits at a barrier, of its block
 * or of its warp, and goes back to the loop in run_block, which takes the next one that can go on. Nothing here
 * is parallel: what is proven is what every order of threads between two barriers must give.
 */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

extern "C" {
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size) __attribute__((weak));
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size)
    __attribute__((weak));
}

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace
{

constexpr int max_threads = 1024, warp = 32;
constexpr size_t stack_bytes = SANITIZED ? 512 << 10 : 128 << 10;
constexpr size_t plain_shared = 48 << 10, most_shared = 163 << 10; /* of compute capability 8.0 */

[[noreturn]] void give_up(const char *what)
{
    fprintf(stderr, "emulation: %s\n", what);
    abort();
}

/* ---------------------------------------------------------------- contexts ------------------------------ */

/* Where a fibre, or the loop, goes on. */
struct context {
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t u;
#endif
    void *fake;        /* AddressSanitizer's */
    const void *stack; /* lowest address; of the loop: as AddressSanitizer tells it */
    size_t bytes;
};

#ifdef __x86_64__
extern "C" void emulation_switch(void **save, void *to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulation_switch, .-emulation_switch
)");
#endif

void go(context *from, context *to)
{
    if (SANITIZED) __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
#ifdef __x86_64__
    emulation_switch(&from->sp, to->sp);
#else
    swapcontext(&from->u, &to->u);
#endif
    if (SANITIZED) __sanitizer_finish_switch_fiber(from->fake, nullptr, nullptr);
}

/* ---------------------------------------------------------------- fibres -------------------------------- */

struct barrier {
    int arrived;
    unsigned generation;
};

struct fibre {
    emulation_thread thread; /* first: emulation_current points here */
    context at;
    barrier *waits; /* NULL: ready */
    unsigned generation;
    bool running; /* its thread has not returned */
    int number;
    unsigned exchanges;
};

struct warp_state {
    barrier meeting;
    unsigned mask;
    uint64_t lanes[2][warp];
};

fibre fibres[max_threads];
warp_state warps[max_threads / warp];
barrier block_barrier;
context loop;
int n_threads, n_running;
bool made[max_threads], backwards;

unsigned char *shared;
size_t shared_bytes;

void (*thread_call)(void *);
void *thread_arg;

fibre *self()
{
    return (fibre *)emulation_current;
}

void wait_at(barrier *b, int expected)
{
    if (++b->arrived >= expected) {
        b->arrived = 0;
        b->generation++;
        return;
    }
    fibre *f = self();
    f->waits = b;
    f->generation = b->generation;
    go(&f->at, &loop);
}

/* A fibre's life: one thread after another. */
void live()
{
    fibre *f = self();
    if (SANITIZED) __sanitizer_finish_switch_fiber(nullptr, &loop.stack, &loop.bytes);
    for (;;) {
        thread_call(thread_arg);
        f->running = false;
        n_running--;
        if (n_running > 0 && block_barrier.arrived == n_running) { /* threads that ended count as arrived */
            block_barrier.arrived = 0;
            block_barrier.generation++;
        }
        go(&f->at, &loop);
    }
}

void make(fibre *f)
{
    void *stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) give_up("no memory for a stack");
    mprotect(stack, 4096, PROT_NONE);
    f->at.stack = stack;
    f->at.bytes = stack_bytes;
#ifdef __x86_64__
    void **top = (void **)((char *)stack + stack_bytes) - 2; /* live() begins as if called: 16 n + 8 */
    top[0] = (void *)live;
    top[1] = nullptr;
    f->at.sp = top - 6;
#else
    getcontext(&f->at.u);
    f->at.u.uc_stack.ss_sp = stack;
    f->at.u.uc_stack.ss_size = stack_bytes;
    makecontext(&f->at.u, live, 0);
#endif
}

bool can_go_on(const fibre *f)
{
    return f->running && (!f->waits || f->waits->generation != f->generation);
}

void run_block()
{
    block_barrier = {};
    for (warp_state &w : warps) w = {};
    if (shared) memset(shared, 0xff, shared_bytes);
    n_running = n_threads;
    for (int i = 0; i < n_threads; i++) {
        fibre *f = &fibres[i];
        unsigned x = emulation_block.x, y = emulation_block.y, n = (unsigned)i;
        f->thread.index = {n % x, n / x % y, n / x / y};
        f->number = i;
        f->waits = nullptr;
        f->running = true;
        f->exchanges = 0;
        if (!made[i]) make(f), made[i] = true;
    }
    while (n_running > 0) {
        bool moved = false;
        for (int k = 0; k < n_threads; k++) {
            fibre *f = &fibres[backwards ? n_threads - 1 - k : k];
            if (!can_go_on(f)) continue;
            f->waits = nullptr;
            emulation_current = &f->thread;
            go(&loop, &f->at);
            moved = true;
        }
        if (!moved) give_up("the threads of a block wait for each other");
    }
}

struct permission {
    const void *kernel;
    size_t bytes;
} permissions[256];

size_t *permitted(const void *kernel)
{
    for (permission &p : permissions) {
        if (!p.kernel) p = {kernel, plain_shared};
        if (p.kernel == kernel) return &p.bytes;
    }
    give_up("more kernels than this emulation expects");
}

} // namespace

/* ---------------------------------------------------------------- what kernels see ---------------------- */

emulation_thread *emulation_current;
dim3 emulation_block, emulation_grid;
uint3 emulation_block_index;

unsigned char *emulation_shared()
{
    return shared;
}

void __syncthreads()
{
    wait_at(&block_barrier, n_running);
}

int emulation_lane()
{
    return self()->number % warp;
}

const uint64_t *emulation_exchange(unsigned mask, uint64_t value)
{
    fibre *f = self();
    warp_state *w = &warps[f->number / warp];
    int lane = f->number % warp;
    if (!(mask >> lane & 1)) give_up("a lane takes part in a warp operation whose mask leaves it out");
    if (w->meeting.arrived && w->mask != mask) give_up("lanes of a warp disagree on a mask");
    w->mask = mask;
    /* Two sets in turn: who writes this one again has met everybody who still reads it. */
    uint64_t *lanes = w->lanes[f->exchanges++ % 2];
    lanes[lane] = value;
    wait_at(&w->meeting, __builtin_popcount(mask));
    return lanes;
}

void __syncwarp(unsigned mask)
{
    emulation_exchange(mask, 0);
}

/* ---------------------------------------------------------------- what launchers see -------------------- */

const char *cudaGetErrorString(cudaError_t error)
{
    static const char *const texts[] = {"no error", "invalid argument", "out of memory",
                                        "invalid configuration"};
    return texts[error];
}

cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    if (value < 0 || (size_t)value > most_shared) return cudaErrorInvalidValue;
    *permitted(kernel) = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t)
{
    memmove(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    memset(to, value, bytes);
    return cudaSuccess;
}

cudaError_t emulation_launch(const cudaLaunchConfig_t *config, const void *kernel, void (*call)(void *),
                             void *arg)
{
    dim3 grid = config->gridDim, block = config->blockDim;
    size_t threads = (size_t)block.x * block.y * block.z;
    if (threads == 0 || threads > max_threads || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
        grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
        return cudaErrorInvalidConfiguration;
    if (config->dynamicSmemBytes > *permitted(kernel) || config->numAttrs) return cudaErrorInvalidValue;
    emulation_grid = grid;
    emulation_block = block;
    n_threads = (int)threads;
    thread_call = call;
    thread_arg = arg;
    shared_bytes = config->dynamicSmemBytes;
    shared = shared_bytes ? (unsigned char *)aligned_alloc(16, (shared_bytes + 15) / 16 * 16) : nullptr;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                emulation_block_index = {x, y, z};
                run_block();
            }
    free(shared);
    shared = nullptr;
    backwards = !backwards;
    return cudaSuccess;
}
