/* An NCCL that is none, for tests: libfake_nccl.so has the functions that libdist looks for, with the fake CUDA below it.
 *
 * A kernel runs on the fake CUDA's stream, late and in pieces as all work there, and is resident on its device until all
 * members of its communicator have come and are done; a device has room for one. So what a program does not order goes
 * wrong here: a missing event gives wrong bytes, and kernels that two ranks launch in different orders wait for ever.
 * A device is known by what fake_cuda_identity says where its communicator is made: threads stand for ranks if each selects
 * a device of its own. Members are threads, or processes of one user on one machine.
 *
 * As NCCL: making a communicator without blocking takes until all members have come, and an operation may be in progress
 * when its call returns: then it is not on the stream before ncclCommGetAsyncError says so, and until then another
 * operation of this communicator is refused. In a group sends and receives of one communicator go on together;
 * collectives are launched one after another. Aborting ends the kernels of this member; its peers' wait on.
 *
 * Sums are in the order of ranks, those of float16 and bfloat16 in float32, rounded once; minimum and maximum pass over a NaN.
 *
 * Ends the process: members that do not launch the same operation with the same count, type, reduction and root in the same
 * order; memory that is not the device's (or pinned), or not aligned; input and output that overlap otherwise than in
 * place; a communicator that is used after its end. While a stream is captured nothing is launched.
 *
 * libfake_nccl_old.so is another one of the same sources without what libdist can do without: ncclCommFinalize, ncclBroadcast,
 * ncclSend, ncclRecv and words for errors.
 *
 * Settings, which are read from the environment when first used; a test in the same process may also set them:
 *   FAKE_NCCL_VERSION    what ncclGetVersion gives (22809)
 *   FAKE_NCCL_RESIDENT   how many kernels have room on a device (1)
 *   FAKE_NCCL_REFUSE=R   making any communicator as its rank R is refused with ncclInvalidUsage (-1: none)
 *   FAKE_NCCL_STICK=R    as rank R it stays in progress for ever, though the other members get ready (-1)
 *   FAKE_NCCL_LOSE=R     kernels of rank R of any communicator do nothing until it is aborted, and say nothing (-1)
 *   FAKE_NCCL_BREAK=N    after N more operations of this process each communicator is in error, ncclRemoteError with
 *                        FAKE_NCCL_SENTENCE, and kernels that are launched do as those of FAKE_NCCL_LOSE (-1: never)
 *   NCCL_MULTI_RANK_GPU_ENABLE=1   with version 2.30 and later lets two ranks share a device
 */
#ifndef DIST_TESTS_FAKE_NCCL_H
#define DIST_TESTS_FAKE_NCCL_H

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef enum fake_nccl_setting {
    FAKE_NCCL_VERSION,
    FAKE_NCCL_RESIDENT,
    FAKE_NCCL_REFUSE,
    FAKE_NCCL_STICK,
    FAKE_NCCL_LOSE,
    FAKE_NCCL_BREAK,
    FAKE_NCCL_RUNNING, /* to be read: kernels that are on devices of this process now */
    FAKE_NCCL_SETTINGS
} fake_nccl_setting;

#define FAKE_NCCL_SENTENCE "fake NCCL: connection closed by remote peer"

/* Of the library that the program under test opens, too: the same path is the same library. */
static inline void *fake_nccl_symbol(const char *library, const char *name)
{
    void *const opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    void *const symbol = opened ? dlsym(opened, name) : NULL;
    if (!symbol)
        abort();
    return symbol;
}

#ifdef FAKE_NCCL_LIBRARY
/* Returns what it was. */
static inline long fake_nccl_set(fake_nccl_setting setting, long value)
{
    void *const symbol = fake_nccl_symbol(FAKE_NCCL_LIBRARY, "fake_nccl_exchange");
    long (*exchange)(fake_nccl_setting setting, long value);
    memcpy(&exchange, &symbol, sizeof exchange);
    return exchange(setting, value);
}

static inline long fake_nccl_get(fake_nccl_setting setting)
{
    void *const symbol = fake_nccl_symbol(FAKE_NCCL_LIBRARY, "fake_nccl_value");
    long (*value)(fake_nccl_setting setting);
    memcpy(&value, &symbol, sizeof value);
    return value(setting);
}
#endif

#endif
