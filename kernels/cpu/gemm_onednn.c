/* kernels/cpu/gemm_onednn.c: oneDNN's matmul through its C API, of version 2 (bookworm) or 3 (trixie). */
#include "kernels/cpu/gemm_onednn.h"

#include "base/alloc.h"
#include "base/cpu.h"

#if defined(TSR_ONEDNN)

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>

/* Debian's oneDNN runs on GNU OpenMP. Its header belongs to a compiler, the function to every OpenMP. */
extern void omp_set_num_threads(int n);

struct tsr_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t chosen;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, y;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void cap(void)
{
    unsigned features = tsr_cpu_features();
    dnnl_cpu_isa_t isa = dnnl_cpu_isa_sse41;
    if (features & TSR_CPU_AVX2) isa = dnnl_cpu_isa_avx2;
    if (features & TSR_CPU_AVX512) isa = dnnl_cpu_isa_avx512_core;
    if (features & TSR_CPU_AVX512_BF16) isa = dnnl_cpu_isa_avx512_core_bf16;
    if (features & TSR_CPU_AMX_BF16) isa = dnnl_cpu_isa_avx512_core_amx;
    dnnl_set_max_cpu_isa(isa); /* fails when the process has used oneDNN before, which keeps what it had */
}

typedef struct matrix {
    dnnl_dims_t dims, strides;
    dnnl_data_type_t type;
} matrix;

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t choose(tsr_onednn *g, const matrix m[3])
{
    dnnl_memory_desc_t d[3] = {0};
    dnnl_memory_t *memory[3] = {&g->x, &g->w, &g->y};
    dnnl_status_t st = dnnl_success;
    for (int i = 0; i < 3 && !st; i++)
        st = dnnl_memory_desc_create_with_strides(&d[i], 2, m[i].dims, m[i].type, m[i].strides);
    if (!st) st = dnnl_matmul_primitive_desc_create(&g->chosen, g->engine, d[0], d[1], NULL, d[2], NULL);
    for (int i = 0; i < 3 && !st; i++) st = dnnl_memory_create(memory[i], d[i], g->engine, DNNL_MEMORY_NONE);
    for (int i = 0; i < 3; i++)
        if (d[i]) dnnl_memory_desc_destroy(d[i]);
    return st;
}

#else

static dnnl_status_t choose(tsr_onednn *g, const matrix m[3])
{
    dnnl_memory_desc_t d[3];
    dnnl_matmul_desc_t product;
    dnnl_memory_t *memory[3] = {&g->x, &g->w, &g->y};
    dnnl_status_t st = dnnl_success;
    for (int i = 0; i < 3 && !st; i++)
        st = dnnl_memory_desc_init_by_strides(&d[i], 2, m[i].dims, m[i].type, m[i].strides);
    if (!st) st = dnnl_matmul_desc_init(&product, &d[0], &d[1], NULL, &d[2]);
    if (!st) st = dnnl_primitive_desc_create(&g->chosen, &product, NULL, g->engine, NULL);
    for (int i = 0; i < 3 && !st; i++) st = dnnl_memory_create(memory[i], &d[i], g->engine, DNNL_MEMORY_NONE);
    return st;
}

#endif

tsr_status tsr_onednn_open(tsr_onednn **out, tsr_dtype type, int64_t m, int64_t n, int64_t k)
{
    pthread_once(&once, cap);
    omp_set_num_threads(1);
    tsr_onednn *g = tsr_calloc(1, sizeof *g);
    if (!g) return tsr_fail(TSR_E_NOMEM, "no memory for a product of oneDNN");

    dnnl_data_type_t t = type == TSR_BF16 ? dnnl_bf16 : dnnl_f32;
    const matrix of[3] = {{{m, k}, {k, 1}, t}, {{k, n}, {1, k}, t}, {{m, n}, {n, 1}, dnnl_f32}};
    dnnl_status_t st = dnnl_engine_create(&g->engine, dnnl_cpu, 0);
    if (!st) st = dnnl_stream_create(&g->stream, g->engine, dnnl_stream_default_flags);
    if (!st) st = choose(g, of);
    if (!st) st = dnnl_primitive_create(&g->primitive, g->chosen);
    if (st) {
        tsr_onednn_close(g);
        return tsr_fail(TSR_E_UNSUPPORTED, "oneDNN: no product of %s [%lld, %lld] and [%lld, %lld]: error %d",
                        tsr_dtype_name(type), (long long)m, (long long)k, (long long)n, (long long)k,
                        (int)st);
    }
    *out = g;
    return TSR_OK;
}

void tsr_onednn_close(tsr_onednn *g)
{
    if (!g) return;
    if (g->x) dnnl_memory_destroy(g->x);
    if (g->w) dnnl_memory_destroy(g->w);
    if (g->y) dnnl_memory_destroy(g->y);
    if (g->primitive) dnnl_primitive_destroy(g->primitive);
    if (g->chosen) dnnl_primitive_desc_destroy(g->chosen);
    if (g->stream) dnnl_stream_destroy(g->stream);
    if (g->engine) dnnl_engine_destroy(g->engine);
    tsr_free(g);
}

tsr_status tsr_onednn_run(tsr_onednn *g, float *y, const void *x, const void *w)
{
    omp_set_num_threads(1); /* a setting of each thread */
    dnnl_status_t st = dnnl_memory_set_data_handle(g->x, (void *)(uintptr_t)x);
    if (!st) st = dnnl_memory_set_data_handle(g->w, (void *)(uintptr_t)w);
    if (!st) st = dnnl_memory_set_data_handle(g->y, y);
    dnnl_exec_arg_t args[3] = {{DNNL_ARG_SRC, g->x}, {DNNL_ARG_WEIGHTS, g->w}, {DNNL_ARG_DST, g->y}};
    if (!st) st = dnnl_primitive_execute(g->primitive, g->stream, 3, args);
    if (!st) st = dnnl_stream_wait(g->stream);
    return st ? tsr_fail(TSR_E_UNSUPPORTED, "oneDNN: a product failed with error %d", (int)st) : TSR_OK;
}

const char *tsr_onednn_kernel(const tsr_onednn *g)
{
    const char *name = "unknown";
    dnnl_primitive_desc_query(g->chosen, dnnl_query_impl_info_str, 0, (void *)&name);
    return name;
}

#else

tsr_status tsr_onednn_open(tsr_onednn **out, tsr_dtype type, int64_t m, int64_t n, int64_t k)
{
    (void)out, (void)type, (void)m, (void)n, (void)k;
    return tsr_fail(TSR_E_UNSUPPORTED, "this build has no oneDNN");
}

void tsr_onednn_close(tsr_onednn *g)
{
    (void)g;
}

tsr_status tsr_onednn_run(tsr_onednn *g, float *y, const void *x, const void *w)
{
    (void)g, (void)y, (void)x, (void)w;
    return tsr_fail(TSR_E_UNSUPPORTED, "this build has no oneDNN");
}

const char *tsr_onednn_kernel(const tsr_onednn *g)
{
    (void)g;
    return "none";
}

#endif
