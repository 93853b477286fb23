/* CUDA on a CPU: compiles a kernel source as C++17 and runs it, to test what it computes in any order of threads.
 *
 * Each CUDA thread is a fiber. Blocks run one after the other, the threads of a block one at a time, in the
 * order that set_order() says, until each waits: at a barrier, for the lanes of a mask, or (in random order) at
 * an atomic or a fence. Shared memory is filled with a pattern before each block, so what a missing barrier
 * lets a thread read early differs from what it should be.
 *
 * A misuse ends the process with a sentence on stderr: a lane of a mask that has exited, does not exist or waits
 * elsewhere, __syncthreads reached at different places or not by all, a shuffle from outside its width or its
 * mask, more shared memory than a block has. This is stricter than today's devices.
 *
 * What it cannot show: races of plain accesses between two scheduling points, blocks that need each other
 * while they run, and arithmetic (the compiler's, hence -ffp-contract=off).
 *
 * A test is a test_*.cpp here that includes "kernels/NAME.cu" and calls its launchers with host pointers.
 */
#ifndef SIMT_H
#define SIMT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>

#include "simt_types.h"

namespace simt
{

enum class order { forward, reverse, random };

/* The order of blocks and threads from the next launch on. Equal seeds give equal orders. */
void set_order(order wanted, uint64_t seed = 0);

/* Where in the source: told from others by the counter where one line has several. */
struct place {
    const char *file;
    int line, counter;
};

enum class call { barrier, syncwarp, shfl, shfl_xor, shfl_down, shfl_up, ballot, any, all };

struct thread_view {
    uint3 thread, block;
    dim3 block_size, grid_size;
};
extern const thread_view *running; /* the thread that runs */

[[noreturn]] void refuse(const char *sentence, ...) __attribute__((format(printf, 1, 2)));

void barrier(place where);
/* One lane's part in a call of a warp: its value goes in, its result comes out. */
uint64_t warp_call(call kind, unsigned mask, uint64_t value, int argument, int width, place where);
void yield();

void run_grid(const char *name, dim3 grid, dim3 block, size_t shared_bytes, void (*body)(const void *),
              const void *arguments);

template <typename... parameter, typename... given>
void launch(const char *name, void (*kernel)(parameter...), dim3 grid, dim3 block, size_t shared_bytes,
            cudaStream_t, given &&...arguments)
{
    struct work {
        void (*kernel)(parameter...);
        std::tuple<std::decay_t<parameter>...> arguments;
    };
    const work made = {kernel, {static_cast<given &&>(arguments)...}};
    run_grid(
        name, grid, block, shared_bytes,
        [](const void *data) {
            const work *const to = static_cast<const work *>(data);
            std::apply(to->kernel, to->arguments);
        },
        &made);
}

/* A variable in shared memory: the first thread of a block that comes to it places it. */
struct shared_variable {
    uint64_t block = 0;
    void *memory = nullptr;
    void *of_block(size_t bytes);
};
void *shared_dynamic();

template <typename type> uint64_t to_bits(type value)
{
    static_assert(std::is_arithmetic_v<type> && (sizeof value == 4 || sizeof value == 8),
                  "CUDA shuffles 4 or 8 bytes of an arithmetic type");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

template <typename type> type from_bits(uint64_t bits)
{
    type value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The argument of an intrinsic that only the first one decides the type of. */
template <typename type> struct same {
    typedef type as;
};
template <typename type> using same_as = typename same<type>::as;
template <typename type> using promoted = decltype(+type());

template <typename type, typename operation> type atomic(type *address, operation next)
{
    yield();
    const type before = *address;
    *address = next(before);
    return before;
}

template <typename type, typename... others>
inline constexpr bool one_of = (std::is_same_v<type, others> || ...);
template <typename type> inline constexpr bool is_integer = one_of<type, int, unsigned, unsigned long long>;

} // namespace simt

#define DIST_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                          \
    simt::launch(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

#define DIST_SHARED(type, name, ...)                                                                         \
    using name##_in_shared = type __VA_ARGS__;                                                               \
    static simt::shared_variable name##_of_block;                                                            \
    name##_in_shared &name =                                                                                 \
        *static_cast<name##_in_shared *>(name##_of_block.of_block(sizeof(name##_in_shared)))

#define DIST_SHARED_DYNAMIC(type, name) type *const name = static_cast<type *>(simt::shared_dynamic())

#define __shared__      write_DIST_SHARED_instead_so_that_it_is_filled_before_each_block
#define __syncthreads() simt::barrier({__FILE__, __LINE__, __COUNTER__})
#define __activemask()                                                                                       \
    (simt::refuse("%s:%d: __activemask says which lanes happen to run together: pass a mask", __FILE__,      \
                  __LINE__),                                                                                 \
     0u)

#define threadIdx (simt::running->thread)
#define blockIdx  (simt::running->block)
#define blockDim  (simt::running->block_size)
#define gridDim   (simt::running->grid_size)
#define warpSize  32

#define SIMT_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIMT_FULL 0xffffffffu

inline void __syncwarp(unsigned mask = SIMT_FULL, SIMT_HERE)
{
    simt::warp_call(simt::call::syncwarp, mask, 0, 0, 32, {file, line, 0});
}

#define SIMT_SHUFFLE(kind, type_of_argument)                                                                 \
    template <typename type>                                                                                 \
    simt::promoted<type> __##kind##_sync(unsigned mask, type value, type_of_argument argument,               \
                                         int width = 32, SIMT_HERE)                                          \
    {                                                                                                        \
        using wide = simt::promoted<type>;                                                                   \
        return simt::from_bits<wide>(simt::warp_call(simt::call::kind, mask, simt::to_bits<wide>(value),     \
                                                     static_cast<int>(argument), width, {file, line, 0}));   \
    }
SIMT_SHUFFLE(shfl, int)
SIMT_SHUFFLE(shfl_xor, int)
SIMT_SHUFFLE(shfl_down, unsigned)
SIMT_SHUFFLE(shfl_up, unsigned)

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_HERE)
{
    return static_cast<unsigned>(
        simt::warp_call(simt::call::ballot, mask, predicate != 0, 0, 32, {file, line, 0}));
}
inline int __any_sync(unsigned mask, int predicate, SIMT_HERE)
{
    return static_cast<int>(simt::warp_call(simt::call::any, mask, predicate != 0, 0, 32, {file, line, 0}));
}
inline int __all_sync(unsigned mask, int predicate, SIMT_HERE)
{
    return static_cast<int>(simt::warp_call(simt::call::all, mask, predicate != 0, 0, 32, {file, line, 0}));
}

template <typename type> type atomicAdd(type *address, simt::same_as<type> value)
{
    static_assert(simt::one_of<type, int, unsigned, unsigned long long, float, double>,
                  "CUDA has no atomicAdd of this type (uint64_t: cast to unsigned long long *)");
    return simt::atomic(address, [&](type before) { return static_cast<type>(before + value); });
}
#define SIMT_ATOMIC(name, result)                                                                            \
    template <typename type> type name(type *address, simt::same_as<type> value)                             \
    {                                                                                                        \
        static_assert(simt::is_integer<type>, "CUDA has no " #name " of this type");                         \
        return simt::atomic(address,                                                                         \
                            [&]([[maybe_unused]] type before) { return static_cast<type>(result); });        \
    }
SIMT_ATOMIC(atomicMax, before > value ? before : value)
SIMT_ATOMIC(atomicMin, before < value ? before : value)
SIMT_ATOMIC(atomicOr, before | value)
SIMT_ATOMIC(atomicAnd, before &value)
SIMT_ATOMIC(atomicXor, before ^ value)
SIMT_ATOMIC(atomicExch, value)

template <typename type>
type atomicCAS(type *address, simt::same_as<type> expected, simt::same_as<type> value)
{
    static_assert(simt::is_integer<type>, "CUDA has no atomicCAS of this type");
    return simt::atomic(address, [&](type before) { return before == expected ? value : before; });
}

inline void __threadfence()
{
    simt::yield();
}
inline void __threadfence_block()
{
    simt::yield();
}
template <typename type> type __ldg(const type *address)
{
    return *address;
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __clzll(long long x)
{
    return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++)
        reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}

#endif
