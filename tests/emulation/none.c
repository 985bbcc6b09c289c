/* tests/emulation/none.c: a build without a C++ compiler has no emulation. */
#include "tests/emulation/emulation.h"

bool tsr_emulated_ops(tsr_ops *ops)
{
    (void)ops;
    return false;
}
