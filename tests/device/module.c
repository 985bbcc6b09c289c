/* tests/device/module.c: far memory as the program would meet a GPU: a module that stands in for tessera-cuda.so. */
#include "kernels/guest.h"
#include "tests/device/far.h"

#include <stdlib.h>

TSR_EXPORT tsr_module_open_fn tsr_module_open;

int tsr_module_open(int abi, const tsr_module_host *host, tsr_ops *ops)
{
    if (getenv("FAR_ABI")) return -atoi(getenv("FAR_ABI")); /* another version */
    if (!tsr_guest_open(abi, host)) return -tsr_module_abi();
    if (getenv("FAR_LIMIT")) far_limit((size_t)atoll(getenv("FAR_LIMIT")));
    far_fault(getenv("FAR_FAULT"));
    *ops = far_ops();
    ops->name = "cuda";
    if (getenv("FAR_WITHOUT_SCAN")) ops->scan = NULL;
    return TSR_OK;
}
