/* tests/device/driver.c: a libcuda.so.1 with a device of the tests' choice: FAR_DEVICES of them (1), with compute
 * capability FAR_CAPABILITY times 10 (90), or FAR_DRIVER_ERROR when asked to begin. */
#include <stdio.h>
#include <stdlib.h>

#define API __attribute__((visibility("default")))

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

API int cuInit(unsigned flags);
API int cuDeviceGetCount(int *n);
API int cuDeviceGet(int *device, int ordinal);
API int cuDeviceGetName(char *name, int bytes, int device);
API int cuDeviceGetAttribute(int *value, int attribute, int device);
API int cuGetErrorString(int error, const char **text);

int cuInit(unsigned flags)
{
    (void)flags;
    return setting("FAR_DRIVER_ERROR", 0);
}

int cuDeviceGetCount(int *n)
{
    *n = setting("FAR_DEVICES", 1);
    return 0;
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return 0;
}

int cuDeviceGetName(char *name, int bytes, int device)
{
    (void)device;
    snprintf(name, (size_t)bytes, "Far GPU");
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)device;
    int capability = setting("FAR_CAPABILITY", 90);
    *value = attribute == 75 ? capability / 10 : capability % 10;
    return 0;
}

int cuGetErrorString(int error, const char **text)
{
    (void)error;
    *text = "an error of the tests' choice";
    return 0;
}
