/* tests/emulation/cuda_runtime.h: as much of CUDA as our plain kernels use, on the host.
 *
 * The .cu files of kernels/cuda compile as C++ against this header instead of the toolkit's. Blocks of a grid
 * run one after another; the threads of a block are fibres that switch at barriers and warp operations, from
 * the first to the last in one launch and from the last to the first in the next. The device reports compute
 * capability 8.0, so that launchers choose the variants without Hopper's own instructions.
 *
 * Shared memory that a launch asks for is an allocation of exactly that size, refilled with NaN for each block;
 * __shared__ variables are static ones. Under AddressSanitizer both have guards.
 */
#ifndef EMULATION_CUDA_RUNTIME_H
#define EMULATION_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---------------------------------------------------------------- the language -------------------------- */

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

#define CUDA_DYNAMIC_SHARED(name) unsigned char *const name = emulation_shared()

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define EMULATION_VECTOR(type, name, alignment)                                                              \
    struct alignas(alignment) name##2                                                                        \
    {                                                                                                        \
        type x, y;                                                                                           \
    };                                                                                                       \
    struct alignas(2 * alignment > 16 ? 16 : 2 * alignment) name##4                                          \
    {                                                                                                        \
        type x, y, z, w;                                                                                     \
    };                                                                                                       \
    static inline name##2 make_##name##2(type x, type y)                                                     \
    {                                                                                                        \
        return {x, y};                                                                                       \
    }                                                                                                        \
    static inline name##4 make_##name##4(type x, type y, type z, type w)                                     \
    {                                                                                                        \
        return {x, y, z, w};                                                                                 \
    }
EMULATION_VECTOR(float, float, 8)
EMULATION_VECTOR(unsigned, uint, 8)
EMULATION_VECTOR(int, int, 8)
EMULATION_VECTOR(unsigned short, ushort, 4)
EMULATION_VECTOR(unsigned char, uchar, 2)

/* ---------------------------------------------------------------- threads ------------------------------- */

struct emulation_thread {
    uint3 index;
};
extern emulation_thread *emulation_current;
extern dim3 emulation_block, emulation_grid;
extern uint3 emulation_block_index;

#define threadIdx (emulation_current->index)
#define blockIdx emulation_block_index
#define blockDim emulation_block
#define gridDim emulation_grid
#define warpSize 32

unsigned char *emulation_shared();
void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);

/* Hand `value` to the warp; afterwards lanes[i] is what lane i of `mask` gave. */
const uint64_t *emulation_exchange(unsigned mask, uint64_t value);
int emulation_lane();

template <typename T>
static inline uint64_t emulation_bits(T value)
{
    static_assert(sizeof(T) <= 8, "what a warp exchanges has at most eight bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}
template <typename T>
static inline T emulation_value(uint64_t bits)
{
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T>
static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32)
{
    const uint64_t *lanes = emulation_exchange(mask, emulation_bits(value));
    return emulation_value<T>(lanes[emulation_lane() / width * width + lane % width]);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32)
{
    int from = emulation_lane() ^ other;
    const uint64_t *lanes = emulation_exchange(mask, emulation_bits(value));
    return from / width > emulation_lane() / width ? value : emulation_value<T>(lanes[from]);
}
template <typename T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    int from = emulation_lane() % width - (int)by;
    const uint64_t *lanes = emulation_exchange(mask, emulation_bits(value));
    return from < 0 ? value : emulation_value<T>(lanes[emulation_lane() - (int)by]);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32)
{
    int from = emulation_lane() % width + (int)by;
    const uint64_t *lanes = emulation_exchange(mask, emulation_bits(value));
    return from >= width ? value : emulation_value<T>(lanes[emulation_lane() + (int)by]);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    const uint64_t *lanes = emulation_exchange(mask, predicate != 0);
    unsigned ballot = 0;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1 && lanes[i]) ballot |= 1u << i;
    return ballot;
}
static inline int __any_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate)
{
    return __ballot_sync(mask, predicate) == mask;
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

/* ---------------------------------------------------------------- arithmetic ---------------------------- */

static inline float __uint_as_float(unsigned bits)
{
    return emulation_value<float>(bits);
}
static inline unsigned __float_as_uint(float value)
{
    return (unsigned)emulation_bits(value);
}
static inline float __int_as_float(int bits)
{
    return emulation_value<float>((unsigned)bits);
}
static inline int __float_as_int(float value)
{
    return (int)__float_as_uint(value);
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fdividef(float a, float b)
{
    return a / b;
}
#define __expf expf /* the C library has a function of that name */
static inline float rsqrtf(float value)
{
    return 1 / sqrtf(value);
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned choice)
{
    uint64_t bytes = (uint64_t)b << 32 | a;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(bytes >> 8 * (choice >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}
static inline int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}
static inline int __ffs(int bits)
{
    return __builtin_ffs(bits);
}
static inline int __clz(int bits)
{
    return bits ? __builtin_clz((unsigned)bits) : 32;
}
template <typename T>
static inline T __ldg(const T *at)
{
    return *at;
}

template <typename T>
static inline T __ldcs(const T *at)
{
    return *at;
}

/* One thread runs at a time, so these are atomic. All return what was there before. */
template <typename T, typename V>
static inline T atomicAdd(T *at, V value)
{
    static_assert((T)0.5 == 0, "no sum of floats depends on an order here");
    T old = *at;
    *at = old + (T)value;
    return old;
}
template <typename T, typename V>
static inline T atomicOr(T *at, V value)
{
    T old = *at;
    *at = old | (T)value;
    return old;
}
template <typename T, typename V>
static inline T atomicMax(T *at, V value)
{
    T old = *at;
    if ((T)value > old) *at = (T)value;
    return old;
}
template <typename T, typename V>
static inline T atomicMin(T *at, V value)
{
    T old = *at;
    if ((T)value < old) *at = (T)value;
    return old;
}

/* ---------------------------------------------------------------- the host's side ----------------------- */

enum cudaError_t {
    cudaSuccess,
    cudaErrorInvalidValue,
    cudaErrorMemoryAllocation,
    cudaErrorInvalidConfiguration
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
typedef struct emulation_stream *cudaStream_t;

enum cudaLaunchAttributeID {
    cudaLaunchAttributeClusterDimension,
    cudaLaunchAttributeProgrammaticStreamSerialization
};
struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    struct {
        uint3 clusterDim;
        int programmaticStreamSerializationAllowed;
    } val;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);

/* Run call(arg) once per thread of the grid. */
cudaError_t emulation_launch(const cudaLaunchConfig_t *config, const void *kernel, void (*call)(void *),
                             void *arg);

template <typename Call>
static inline void emulation_call(void *arg)
{
    (*(Call *)arg)();
}

template <typename... Params, typename... Args>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Params...),
                                             Args... args)
{
    auto call = [&] { kernel(args...); }; /* each thread has copies of its own, as parameters are */
    return emulation_launch(config, (const void *)kernel, emulation_call<decltype(call)>, &call);
}

#endif
