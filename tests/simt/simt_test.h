/* What each test of the shim, or of kernels in it, begins with. */
#ifndef SIMT_TEST_H
#define SIMT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

extern "C" {
#include <cmocka.h>
}

#include "simt.h"

namespace simt
{

struct named_order {
    order by;
    uint64_t seed;
    const char *name;
};

/* The orders that a kernel is tested in. */
static const named_order orders[] = {{order::forward, 0, "forward"},
                                     {order::reverse, 0, "reverse"},
                                     {order::random, 1, "random(1)"},
                                     {order::random, 2, "random(2)"}};

} // namespace simt

#endif
