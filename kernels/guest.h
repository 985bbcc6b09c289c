/* kernels/guest.h: the module's side of kernels/module.h. */
#ifndef TSR_GUEST_H
#define TSR_GUEST_H

#include "kernels/module.h"

/* Called first by the module's one function. False: the host has another ABI, and nothing may be called. */
bool tsr_guest_open(int abi, const tsr_module_host *host);

#endif
