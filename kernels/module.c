/* kernels/module.c: ask the driver, then open the module. */
#include "kernels/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* ---------------------------------------------------------------- the driver ---------------------------- */

/* The few functions of the driver that the probe calls; 0 is success everywhere. Source: CUDA Driver API. */
typedef struct driver {
    int (*init)(unsigned flags);
    int (*device_count)(int *n);
    int (*device_get)(int *device, int ordinal);
    int (*device_name)(char *name, int bytes, int device);
    int (*device_attribute)(int *value, int attribute, int device);
    int (*error_text)(int error, const char **text);
} driver;

enum { NO_DEVICE = 100, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76, OLDEST_MAJOR = 8 };

static bool find_symbol(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found); /* no cast turns an object's address into a function's */
    return found != NULL;
}

static tsr_status driver_failed(const driver *d, const char *what, int error)
{
    const char *text = NULL;
    if (d->error_text(error, &text) || !text) text = "an unknown error";
    return tsr_fail(TSR_E_DEVICE, "%s: the driver reports %s", what, text);
}

/* A driver, and a first device that is new enough. Another module could ask something else of another driver. */
static tsr_status probe(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return tsr_fail(TSR_E_DEVICE, "this machine has no NVIDIA driver (libcuda.so.1 was not found)");
    driver d;
    if (!find_symbol(library, "cuInit", &d.init) ||
        !find_symbol(library, "cuDeviceGetCount", &d.device_count) ||
        !find_symbol(library, "cuDeviceGet", &d.device_get) ||
        !find_symbol(library, "cuDeviceGetName", &d.device_name) ||
        !find_symbol(library, "cuDeviceGetAttribute", &d.device_attribute) ||
        !find_symbol(library, "cuGetErrorString", &d.error_text))
        return tsr_fail(TSR_E_DEVICE, "libcuda.so.1 lacks a function of the CUDA driver");

    int n = 0, device, major = 0, minor = 0;
    char name[96] = "";
    int error = d.init(0);
    if (!error) error = d.device_count(&n);
    if (error == NO_DEVICE || (!error && n == 0))
        return tsr_fail(TSR_E_DEVICE, "the NVIDIA driver finds no GPU");
    if (error) return driver_failed(&d, "looking for a GPU", error);
    error = d.device_get(&device, 0);
    if (!error) error = d.device_name(name, sizeof name, device);
    if (!error) error = d.device_attribute(&major, CAPABILITY_MAJOR, device);
    if (!error) error = d.device_attribute(&minor, CAPABILITY_MINOR, device);
    if (error) return driver_failed(&d, "asking for the first GPU", error);
    if (major < OLDEST_MAJOR)
        return tsr_fail(TSR_E_DEVICE, "%s has compute capability %d.%d; %d.0 or newer is wanted", name, major,
                        minor, OLDEST_MAJOR);
    return TSR_OK;
}

/* ---------------------------------------------------------------- the module ---------------------------- */

/* Where it may lie, seen from the program's folder. */
static const char *const places[] = {"", TSR_MODULE_FOLDER "/"};

static tsr_status find_module(char path[PATH_MAX])
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return tsr_fail(TSR_E_DEVICE, "the program does not know where it lies");
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int used = snprintf(path, PATH_MAX, "%s/%s" TSR_MODULE_FILE, program, places[i]);
        if (used < PATH_MAX && !access(path, R_OK)) return TSR_OK;
    }
    return tsr_fail(TSR_E_DEVICE,
                    "this build has no CUDA module (" TSR_MODULE_FILE " was looked for in %s and %s/%s)",
                    program, program, TSR_MODULE_FOLDER);
}

/* Slots stand in the order of the ops' numbers; the plain ones come first. */
static tsr_status check_slots(const tsr_ops *ops, const char *path)
{
    const char *slots = (const char *)&ops->norm;
    static tsr_norm_fn *const none;
    char missing[256] = "";
    size_t at = 0;
    for (int op = 0; op < TSR_OP_MAMBA_MIX; op++)
        if (!memcmp(slots + (size_t)op * sizeof none, &none, sizeof none) && at < sizeof missing)
            at += (size_t)snprintf(missing + at, sizeof missing - at, "%s%s", at ? ", " : "",
                                   tsr_op_name((tsr_op_id)op));
    if (at) return tsr_fail(TSR_E_DEVICE, "%s has no kernel for %s", path, missing);
    if (!ops->memory || !ops->linear_bytes || !ops->linear_pack)
        return tsr_fail(TSR_E_DEVICE, "%s cannot hold weights", path);
    return TSR_OK;
}

static tsr_status open_module(tsr_ops *ops)
{
    static const tsr_module_host host = {.alloc_aligned = tsr_alloc_aligned,
                                         .calloc = tsr_calloc,
                                         .free = tsr_free,
                                         .fail_v = tsr_fail_v,
                                         .wrap = tsr_wrap,
                                         .log = tsr_log,
                                         .pool_run = tsr_pool_run};
    char path[PATH_MAX];
    tsr_module_open_fn *open;
    tsr_status st = find_module(path);
    if (st) return st;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return tsr_fail(TSR_E_DEVICE, "the CUDA module does not open: %s", dlerror());
    if (!find_symbol(library, TSR_MODULE_SYMBOL, &open))
        return tsr_fail(TSR_E_DEVICE, "%s is no module of Tessera", path);
    int answer = open(tsr_module_abi(), &host, ops);
    if (answer < 0)
        return tsr_fail(TSR_E_DEVICE,
                        "%s belongs to another version of Tessera (ABI %d; this program has %d)", path,
                        -answer, tsr_module_abi());
    if (answer) return (tsr_status)answer;
    return check_slots(ops, path);
}

tsr_status tsr_cuda_ops(tsr_ops *out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool tried;
    static tsr_ops ops;
    static char why_not[512]; /* "" when there is a table */

    pthread_mutex_lock(&lock);
    if (!tried) {
        tried = true;
        tsr_status st = probe();
        if (!st) st = open_module(&ops);
        if (st) snprintf(why_not, sizeof why_not, "%s", tsr_message());
    }
    bool works = !why_not[0];
    if (works) *out = ops;
    pthread_mutex_unlock(&lock);
    return works ? TSR_OK : tsr_fail(TSR_E_DEVICE, "%s", why_not);
}
