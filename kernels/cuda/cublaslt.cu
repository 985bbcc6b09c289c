/* kernels/cuda/cublaslt.cu: finding cuBLASLt, and the choices of algorithms that were timed.
 *
 * Choices are lines of text, one shape each: six numbers and eight words of the library's own. They are worth
 * nothing to another library version or GPU, so the file's name has both.
 */
#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/cuda/cuda.h"

extern "C" {
#include "base/alloc.h"
#include "base/log.h"
}

namespace
{
constexpr int kOldest = 120900, kMostChoices = 512;

struct choice {
    blas_shape shape;
    blas_algo algo;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
blas_library library;
bool tried, usable, read_file;
choice choices[kMostChoices];
int n_choices;

bool find_all(void *so)
{
    const struct {
        const char *name;
        void *to;
    } symbols[] = {
        {"cublasLtGetVersion", &library.get_version},
        {"cublasLtCreate", &library.create},
        {"cublasLtMatmul", &library.matmul},
        {"cublasLtMatmulAlgoGetHeuristic", &library.heuristic},
        {"cublasLtMatmulAlgoCheck", &library.check},
        {"cublasLtMatmulDescCreate", &library.desc_create},
        {"cublasLtMatmulDescSetAttribute", &library.desc_set},
        {"cublasLtMatmulDescDestroy", &library.desc_destroy},
        {"cublasLtMatrixLayoutCreate", &library.layout_create},
        {"cublasLtMatrixLayoutDestroy", &library.layout_destroy},
        {"cublasLtMatmulPreferenceCreate", &library.pref_create},
        {"cublasLtMatmulPreferenceSetAttribute", &library.pref_set},
        {"cublasLtMatmulPreferenceDestroy", &library.pref_destroy},
    };
    for (const auto &symbol : symbols) {
        void *at = dlsym(so, symbol.name);
        if (!at) {
            tsr_log(TSR_LOG_WARN, "cuBLASLt has no %s: our own kernels multiply everything", symbol.name);
            return false;
        }
        memcpy(symbol.to, &at, sizeof at);
    }
    return true;
}

void open_library()
{
    void *so = nullptr;
    for (const char *name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"})
        if (!so) so = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!so) {
        tsr_log(TSR_LOG_WARN, "no cuBLASLt here: our own kernels multiply everything");
        return;
    }
    if (!find_all(so)) return;
    library.version = (int)library.get_version();
    if (library.version < kOldest)
        tsr_log(TSR_LOG_WARN, "cuBLASLt is %d, wanted %d or newer: our own kernels multiply everything",
                library.version, kOldest);
    else if (int status = library.create(&library.handle))
        tsr_log(TSR_LOG_WARN, "cuBLASLt does not start (status %d): our own kernels multiply everything",
                status);
    else
        usable = true;
}

/* The folder, made if it is missing, then the file; false where no home is known. */
bool choice_path(char *to, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[512];
    int n = cache && *cache == '/' ? snprintf(folder, sizeof folder, "%s", cache)
                                   : snprintf(folder, sizeof folder, "%s/.cache", home ? home : "");
    if (n <= 0 || n >= (int)sizeof folder - 16 || folder[0] != '/' || (!home && !cache)) return false;
    mkdir(folder, 0700);
    strcat(folder, "/tessera");
    mkdir(folder, 0700);

    cudaDeviceProp about;
    int device;
    if (cudaGetDevice(&device) || cudaGetDeviceProperties(&about, device)) return false;
    for (char *c = about.name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9'))) *c = '-';
    n = snprintf(to, size, "%s/cublaslt-%d-%s.txt", folder, library.version, about.name);
    return n > 0 && n < (int)size;
}

bool same(const blas_shape &a, const blas_shape &b)
{
    return a.rows == b.rows && a.n_out == b.n_out && a.n_in == b.n_in && a.x_type == b.x_type &&
           a.y_type == b.y_type && a.vector_scales == b.vector_scales;
}

choice *find(const blas_shape &shape)
{
    for (int i = 0; i < n_choices; i++)
        if (same(choices[i].shape, shape)) return &choices[i];
    return nullptr;
}

/* A line that is not as ours are ends the reading: what follows is then timed again. */
void read_choices()
{
    char path[1024], line[512];
    FILE *file = choice_path(path, sizeof path) ? fopen(path, "r") : nullptr;
    if (!file) return;
    while (n_choices < kMostChoices && fgets(line, sizeof line, file)) {
        choice c;
        uint64_t *w = c.algo.data;
        int n = sscanf(line,
                       "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd32 " %" SCNd32 " %" SCNd32 " %" SCNx64
                       " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64,
                       &c.shape.rows, &c.shape.n_out, &c.shape.n_in, &c.shape.x_type, &c.shape.y_type,
                       &c.shape.vector_scales, &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6], &w[7]);
        if (n != 14) break;
        if (!find(c.shape)) choices[n_choices++] = c;
    }
    fclose(file);
}

void append_choice(const choice &c)
{
    char path[1024], line[512];
    if (!choice_path(path, sizeof path)) return;
    const uint64_t *w = c.algo.data;
    int n = snprintf(line, sizeof line,
                     "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId32 " %" PRId32 " %" PRId32 " %" PRIx64
                     " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n",
                     c.shape.rows, c.shape.n_out, c.shape.n_in, c.shape.x_type, c.shape.y_type,
                     c.shape.vector_scales, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
    FILE *file = fopen(path, "a"); /* one write of one line: two programs at once do not tear it */
    bool written = file && fwrite(line, 1, (size_t)n, file) == (size_t)n;
    if (file && fclose(file)) written = false;
    if (!written)
        tsr_log(TSR_LOG_WARN, "%s: %s; matrix products are timed again next time", path, strerror(errno));
}
} // namespace

const blas_library *blas_open(void)
{
    pthread_mutex_lock(&lock);
    if (!tried) open_library();
    tried = true;
    pthread_mutex_unlock(&lock);
    return usable ? &library : nullptr;
}

int64_t blas_rows_class(int64_t rows)
{
    int64_t step = 1;
    while (rows > 8 * step) step *= 2;
    return (rows + step - 1) / step * step;
}

bool blas_choice_find(blas_algo *out, const blas_shape *shape)
{
    pthread_mutex_lock(&lock);
    if (!read_file) read_choices();
    read_file = true;
    choice *c = find(*shape);
    if (c) *out = c->algo;
    pthread_mutex_unlock(&lock);
    return c;
}

void blas_choice_keep(const blas_shape *shape, const blas_algo *algo)
{
    choice c = {*shape, *algo};
    pthread_mutex_lock(&lock);
    if (!find(*shape) && n_choices < kMostChoices) choices[n_choices++] = c;
    append_choice(c);
    pthread_mutex_unlock(&lock);
}
