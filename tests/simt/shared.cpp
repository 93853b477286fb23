/* Shared memory: one arena, filled anew for each block, with gaps that the address sanitizer watches. */
#include <stdlib.h>

#include "simt_run.h"

#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)   (void)0
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (void)0
#endif

namespace simt
{

static const size_t gap = 64, most_variables = 64;

alignas(64) static unsigned char arena[most_shared + (most_variables + 1) * 2 * gap];
static struct {
    uint64_t block; /* its number, see launch_state */
    size_t end;     /* of what is placed */
    size_t placed;  /* bytes, without gaps */
    void *dynamic;
} shared;

static void *place_bytes(size_t bytes)
{
    shared.placed += bytes;
    if (shared.placed > most_shared)
        refuse("%zu bytes of shared memory, a block has %zu", shared.placed, most_shared);
    unsigned char *const at = arena + shared.end;
    shared.end += (bytes + gap - 1) / gap * gap + gap;
    if (shared.end > sizeof arena)
        refuse("more than %zu variables in shared memory", most_variables);
    ASAN_UNPOISON_MEMORY_REGION(at, bytes);
    return at;
}

void open_shared(const launch_state &now)
{
    /* As float32, bfloat16 or float16 the one is NaN, the other large; as an integer the one is -1 or the largest,
     * the other a large positive one. A wrong result that one pattern hides the other shows. */
    ASAN_UNPOISON_MEMORY_REGION(arena, sizeof arena);
    memset(arena, now.blocks % 2 ? 0xff : 0x7b, sizeof arena);
    ASAN_POISON_MEMORY_REGION(arena, sizeof arena);
    shared = {now.blocks, gap, 0, nullptr};
    shared.dynamic = place_bytes(now.shared_bytes);
}

void close_shared()
{
    ASAN_UNPOISON_MEMORY_REGION(arena, sizeof arena);
}

void *shared_variable::of_block(size_t bytes)
{
    if (block != shared.block) {
        block = shared.block;
        memory = place_bytes(bytes);
    }
    return memory;
}

void *shared_dynamic()
{
    return shared.dynamic;
}

} // namespace simt
