#include "simt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <utility>
#include <vector>

#include "fiber.h"
#include "simt_run.h"

namespace simt
{

const thread_view *running;

static struct {
    order by = order::forward;
    uint64_t random = 0;
} chosen;

static launch_state now;
static thread threads[most_threads];
static thread *self; /* what `running` is a part of */

void set_order(order wanted, uint64_t seed)
{
    chosen.by = wanted;
    chosen.random = seed;
}

/* splitmix64 */
static uint64_t next_random()
{
    uint64_t z = chosen.random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void refuse(const char *sentence, ...)
{
    fprintf(stderr, "simt: %s: ", now.name);
    if (self) {
        const uint3 t = self->view.thread, b = self->view.block;
        fprintf(stderr, "thread (%u,%u,%u) of block (%u,%u,%u): ", t.x, t.y, t.z, b.x, b.y, b.z);
    }
    va_list values;
    va_start(values, sentence);
    vfprintf(stderr, sentence, values);
    va_end(values);
    fputc('\n', stderr);
    abort();
}

/* The threads that can run, a word of lanes for each warp. */
static uint32_t ready[most_threads / 32];

/* Random order lets one warp run ahead until it waits, or until it is another's turn: at every switch in some
 * blocks, seldom in others. With a turn for each switch all warps would keep in step, and what one of them
 * overwrites too soon all would have read long before. */
static struct {
    unsigned warp, chance; /* of another's turn: 1 in 2^chance */
} favoured;

static void wake(thread &woken)
{
    woken.state = state::runs;
    ready[woken.index / 32] |= 1u << woken.index % 32;
}

/* The warp with a thread that can run, from `first` on in steps of `step`; -1 where there is none. */
static int ready_warp(unsigned first, unsigned step)
{
    const unsigned warps = (now.threads + 31) / 32;
    for (unsigned i = 0, warp = first; i < warps; i++, warp = (warp + step) % warps) {
        if (ready[warp])
            return static_cast<int>(warp);
    }
    return -1;
}

static int choose_random()
{
    const uint64_t drawn = next_random();
    const unsigned warps = (now.threads + 31) / 32;
    if (!ready[favoured.warp] || (drawn & ((1u << favoured.chance) - 1)) == 0) {
        const int warp = ready_warp(static_cast<unsigned>((drawn >> 32) % warps), 1);
        if (warp < 0)
            return -1;
        favoured.warp = static_cast<unsigned>(warp);
    }
    uint32_t lanes = ready[favoured.warp];
    for (unsigned skip =
             static_cast<unsigned>((drawn >> 16) % 32) % static_cast<unsigned>(__builtin_popcount(lanes));
         skip > 0; skip--)
        lanes &= lanes - 1;
    return static_cast<int>(favoured.warp * 32) + __builtin_ctz(lanes);
}

static int choose()
{
    if (chosen.by == order::random)
        return choose_random();
    const unsigned warps = (now.threads + 31) / 32;
    const bool forward = chosen.by == order::forward;
    const int warp = forward ? ready_warp(0, 1) : ready_warp(warps - 1, warps - 1);
    if (warp < 0)
        return -1;
    return warp * 32 + (forward ? __builtin_ctz(ready[warp]) : 31 - __builtin_clz(ready[warp]));
}

static void run_thread(void *data)
{
    thread *const me = static_cast<thread *>(data);
    for (;;) {
        now.body(now.arguments);
        me->state = state::exited;
        fiber_leave(me->stack);
    }
}

void yield()
{
    if (chosen.by != order::random)
        return;
    wake(*self);
    fiber_leave(self->stack);
}

void barrier(place where)
{
    self->state = state::waits;
    self->at = call::barrier;
    self->where = where;
    bool all = ++now.at_barrier == now.threads;
    for (unsigned i = 0; all && i < now.threads; i++)
        all = same_place(threads[i].where, where);
    if (all) {
        now.at_barrier = 0;
        for (unsigned i = 0; i < now.threads; i++)
            wake(threads[i]);
    }
    fiber_leave(self->stack);
}

bool meets(const thread &other, const thread &caller)
{
    return other.state == state::waits && other.at == caller.at && other.mask == caller.mask &&
           same_place(other.where, caller.where);
}

uint64_t warp_call(call kind, unsigned mask, uint64_t value, int argument, int width, place where)
{
    const unsigned lane = self->index % 32, first = self->index - lane;
    self->at = kind;
    self->where = where;
    self->mask = mask;
    self->value = value;
    self->argument = argument;
    self->width = width;
    check_warp_call(*self);
    self->state = state::waits;
    for (unsigned i = 0; i < 32; i++) {
        if (mask >> i & 1u && !(first + i < now.threads && meets(threads[first + i], *self))) {
            fiber_leave(self->stack);
            return self->result;
        }
    }
    /* The last to come works out all results: a lane that goes on may overwrite its value. */
    finish_warp_call(threads + first, mask);
    for (unsigned i = 0; i < 32; i++) {
        if (mask >> i & 1u)
            wake(threads[first + i]);
    }
    fiber_leave(self->stack);
    return self->result;
}

static void run_block(uint3 block)
{
    now.at_barrier = 0;
    open_shared(now);
    favoured = {0, static_cast<unsigned>(next_random() % 9)};
    const dim3 size = now.block;
    for (unsigned i = 0; i < now.threads; i++) {
        thread &t = threads[i];
        t.view = {{i % size.x, i / size.x % size.y, i / size.x / size.y}, block, size, now.grid};
        wake(t);
    }
    int index;
    while ((index = choose()) >= 0) {
        ready[index / 32] &= ~(1u << index % 32);
        self = &threads[static_cast<unsigned>(index)];
        running = &self->view;
        fiber_enter(self->stack);
    }
    self = nullptr;
    running = nullptr;
    for (unsigned i = 0; i < now.threads; i++) {
        if (threads[i].state != state::exited)
            refuse_stuck(now, threads);
    }
    close_shared();
}

static uint64_t count(dim3 size)
{
    return static_cast<uint64_t>(size.x) * size.y * size.z;
}

static cudaError_t last_error = cudaSuccess;

void run_grid(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void (*body)(const void *),
              const void *arguments)
{
    if (self)
        refuse("launches %s", name);
    const bool fits = count(block) >= 1 && count(block) <= most_threads && block.z <= 64 && grid.x >= 1 &&
                      grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                      grid.z <= 65535;
    if (!fits || shared_bytes > most_shared) {
        last_error = fits ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration;
        return;
    }
    now = {name,         body, arguments, grid, block, static_cast<unsigned>(count(block)),
           shared_bytes, 0,    now.blocks};
    for (unsigned i = 0; i < now.threads; i++) {
        threads[i].index = i;
        if (!threads[i].stack)
            threads[i].stack = fiber_create(run_thread, &threads[i]);
    }
    std::vector<uint64_t> blocks(count(grid));
    for (size_t i = 0; i < blocks.size(); i++) {
        blocks[i] = chosen.by == order::reverse ? blocks.size() - 1 - i : i;
        if (chosen.by == order::random)
            std::swap(blocks[i], blocks[next_random() % (i + 1)]);
    }
    for (const uint64_t i : blocks) {
        now.blocks++;
        run_block({static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
                   static_cast<unsigned>(i / grid.x / grid.y)});
    }
}

} // namespace simt

cudaError_t cudaGetLastError()
{
    const cudaError_t error = simt::last_error;
    simt::last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError()
{
    return simt::last_error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess             ? "no error"
           : error == cudaErrorInvalidValue ? "invalid argument"
                                            : "invalid configuration argument";
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t)
{
    memset(to, byte, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t)
{
    memcpy(to, from, bytes);
    return cudaSuccess;
}
