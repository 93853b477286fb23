/* What the shim keeps of a launch and its threads; simt.h is what tests and kernels see. */
#ifndef SIMT_RUN_H
#define SIMT_RUN_H

#include "fiber.h"
#include "simt.h"

namespace simt
{

constexpr unsigned most_threads = 1024;
constexpr size_t most_shared = 48 << 10; /* of a block, without asking for more */

enum class state { runs, waits, exited };

struct thread {
    thread_view view;
    unsigned index; /* in the block */
    fiber *stack;
    enum state state;
    /* What it waits for, or waited for last: */
    call at;
    place where;
    unsigned mask;
    uint64_t value, result;
    int argument, width;
};

struct launch_state {
    const char *name;
    void (*body)(const void *);
    const void *arguments;
    dim3 grid, block;
    unsigned threads; /* of a block */
    size_t shared_bytes;
    unsigned at_barrier;
    uint64_t blocks; /* since the process began, so that each has a number of its own */
};

inline bool same_place(const place &a, const place &b)
{
    return a.line == b.line && a.counter == b.counter && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

/* Whether a thread waits in the same call as the caller. */
bool meets(const thread &other, const thread &caller);

/* warp.cpp */
void check_warp_call(const thread &caller);
void finish_warp_call(thread *warp, unsigned mask);
[[noreturn]] void refuse_stuck(const launch_state &now, const thread *threads);

/* shared.cpp */
void open_shared(const launch_state &now);
void close_shared();

} // namespace simt

#endif
