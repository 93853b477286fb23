/* What the lanes of a warp exchange, and the sentence on why threads wait for ever. */
#include <stdio.h>

#include "simt_run.h"

namespace simt
{

static const char *name_of(call kind)
{
    static const char *const names[] = {"__syncthreads",   "__syncwarp",       "__shfl_sync",
                                        "__shfl_xor_sync", "__shfl_down_sync", "__shfl_up_sync",
                                        "__ballot_sync",   "__any_sync",       "__all_sync"};
    return names[static_cast<int>(kind)];
}

/* The lane that a shuffle reads; a lane from beyond its end gets its own value back. */
static unsigned source_of(const thread &caller)
{
    const int lane = static_cast<int>(caller.index % 32);
    const int first = lane & ~(caller.width - 1), beyond = first + caller.width;
    int source = first + caller.argument;
    if (caller.at == call::shfl_xor)
        source = lane ^ caller.argument;
    else if (caller.at == call::shfl_down)
        source = lane + caller.argument < beyond ? lane + caller.argument : lane;
    else if (caller.at == call::shfl_up)
        source = lane - caller.argument >= first ? lane - caller.argument : lane;
    return static_cast<unsigned>(source);
}

static bool is_shuffle(call kind)
{
    return kind == call::shfl || kind == call::shfl_xor || kind == call::shfl_down || kind == call::shfl_up;
}

void check_warp_call(const thread &caller)
{
    const char *const name = name_of(caller.at);
    const unsigned lane = caller.index % 32;
    if (!(caller.mask >> lane & 1u))
        refuse("%s at %s:%d with mask 0x%08x, which does not name the calling lane %u", name,
               caller.where.file, caller.where.line, caller.mask, lane);
    if (!is_shuffle(caller.at))
        return;
    const int width = caller.width;
    if (width < 1 || width > 32 || (width & (width - 1)) != 0)
        refuse("%s at %s:%d has width %d, not a power of two up to 32", name, caller.where.file,
               caller.where.line, width);
    if (caller.argument < 0 || caller.argument >= width)
        refuse("%s at %s:%d is out of bounds: %d is not in 0 to %d", name, caller.where.file,
               caller.where.line, caller.argument, width - 1);
    const unsigned source = source_of(caller);
    if (!(caller.mask >> source & 1u))
        refuse("%s at %s:%d is out of bounds: it reads lane %u, which mask 0x%08x does not name", name,
               caller.where.file, caller.where.line, source, caller.mask);
}

/* Sets the result of each lane of the mask, all of which wait in the same call. */
void finish_warp_call(thread *warp, unsigned mask)
{
    unsigned votes = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (mask >> i & 1u && warp[i].value != 0)
            votes |= 1u << i;
    }
    for (unsigned i = 0; i < 32; i++) {
        if (!(mask >> i & 1u))
            continue;
        thread &lane = warp[i];
        if (lane.at == call::ballot)
            lane.result = votes;
        else if (lane.at == call::any)
            lane.result = votes != 0;
        else if (lane.at == call::all)
            lane.result = votes == mask;
        else if (is_shuffle(lane.at))
            lane.result = warp[source_of(lane)].value;
    }
}

struct sentence {
    char text[400];
};

static sentence describe(const thread *missing)
{
    sentence made;
    if (!missing)
        snprintf(made.text, sizeof made.text, "which the block does not have");
    else if (missing->state == state::exited)
        snprintf(made.text, sizeof made.text, "which has exited");
    else if (missing->at == call::barrier)
        snprintf(made.text, sizeof made.text, "which waits at __syncthreads (%s:%d)", missing->where.file,
                 missing->where.line);
    else
        snprintf(made.text, sizeof made.text, "which waits at %s (%s:%d, mask 0x%08x)", name_of(missing->at),
                 missing->where.file, missing->where.line, missing->mask);
    return made;
}

static void refuse_warp(const launch_state &now, const thread *threads, const thread &waits)
{
    const unsigned first = waits.index - waits.index % 32;
    const thread *missing = nullptr;
    unsigned lane = 32;
    for (unsigned i = 0; i < 32; i++) {
        if (!(waits.mask >> i & 1u))
            continue;
        const thread *const named = first + i < now.threads ? &threads[first + i] : nullptr;
        if (named && meets(*named, waits))
            continue;
        const bool never = !named || named->state == state::exited;
        if (never || lane == 32) {
            lane = i;
            missing = named;
        }
        if (never)
            break; /* any other may wait for this one too */
    }
    const uint3 block = waits.view.block;
    refuse("block (%u,%u,%u), warp %u: lane %u waits at %s (%s:%d) with mask 0x%08x for lane %u, %s", block.x,
           block.y, block.z, first / 32, waits.index % 32, name_of(waits.at), waits.where.file,
           waits.where.line, waits.mask, lane, describe(missing).text);
}

/* No thread can run and not all have exited: the first that waits for something says for what. */
void refuse_stuck(const launch_state &now, const thread *threads)
{
    const thread *at_barrier = nullptr;
    for (unsigned i = 0; i < now.threads; i++) {
        const thread &t = threads[i];
        if (t.state == state::waits && t.at != call::barrier)
            refuse_warp(now, threads, t);
        if (t.state == state::waits && !at_barrier)
            at_barrier = &t;
    }
    for (unsigned i = 0; i < now.threads; i++) {
        const thread &t = threads[i];
        if (t.state == state::exited || !same_place(t.where, at_barrier->where))
            refuse("block (%u,%u,%u): __syncthreads diverges: thread %u waits at %s:%d for thread %u, %s",
                   t.view.block.x, t.view.block.y, t.view.block.z, at_barrier->index, at_barrier->where.file,
                   at_barrier->where.line, i, describe(&t).text);
    }
    refuse("deadlock");
}

} // namespace simt
