/* Misuse ends the process with a sentence that says what, where and which lane. Each case runs in a child. */
#include "simt_test.h"

#include <stdlib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "kernels/launch.h"

static const unsigned full = 0xffffffffu;

/* One kernel for each misuse; `out` keeps what it does from being optimized away. */
static __global__ void lane_exits(unsigned *out)
{
    if (threadIdx.x == 39)
        return;
    out[threadIdx.x] = __shfl_xor_sync(full, threadIdx.x, 1);
}

static __global__ void full_mask(unsigned *out)
{
    out[threadIdx.x] = __shfl_xor_sync(full, threadIdx.x, 1);
}

static __global__ void lane_votes_instead(unsigned *out)
{
    if (threadIdx.x == 7)
        out[7] = __ballot_sync(full, 1);
    else
        out[threadIdx.x] = __shfl_xor_sync(full, threadIdx.x, 1);
}

static __global__ void lane_is_at_the_barrier(unsigned *out)
{
    if (threadIdx.x != 5)
        out[threadIdx.x] = __shfl_down_sync(full, threadIdx.x, 1);
    __syncthreads();
}

static __global__ void masks_differ(unsigned *out)
{
    out[threadIdx.x] = __ballot_sync(threadIdx.x / 2 == 4 ? full : full ^ 1u << 8, 1);
}

static __global__ void places_differ(unsigned *)
{
    if (threadIdx.x % 2 == 0)
        __syncwarp();
    else
        __syncwarp();
}

static __global__ void mask_lacks_the_caller(unsigned *out)
{
    out[threadIdx.x] = static_cast<unsigned>(__any_sync(0xffffu, 1));
}

static __global__ void barriers_on_one_line(unsigned *)
{
    /* clang-format off */
    if (threadIdx.x == 3) { __syncthreads(); } else { __syncthreads(); }
    /* clang-format on */
}

static __global__ void thread_misses_the_barrier(unsigned *)
{
    if (threadIdx.x >= 40)
        return;
    __syncthreads();
}

static __global__ void shuffle_beyond_the_width(unsigned *out)
{
    out[threadIdx.x] = __shfl_sync(full, threadIdx.x, static_cast<int>(threadIdx.x % 32) + 1);
}

static __global__ void xor_beyond_the_width(unsigned *out)
{
    out[threadIdx.x] = __shfl_xor_sync(full, threadIdx.x, 8, 8);
}

static __global__ void shuffle_from_outside_the_mask(unsigned *out)
{
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_down_sync(0xffffu, threadIdx.x, 1);
}

static __global__ void width_of_three(unsigned *out)
{
    out[threadIdx.x] = __shfl_up_sync(full, threadIdx.x, 1, 3);
}

static __global__ void asks_which_lanes_are_active(unsigned *out)
{
    out[threadIdx.x] = __activemask();
}

static __global__ void too_much_shared(unsigned *out)
{
    DIST_SHARED(unsigned, many, [12000]);
    DIST_SHARED(unsigned, more, [300]);
    out[threadIdx.x] = many[0] + more[0];
}

static __global__ void launches(unsigned *out)
{
    DIST_LAUNCH(too_much_shared, 1, 1, 0, nullptr, out);
}

#ifdef __SANITIZE_ADDRESS__
static __global__ void beyond_shared(unsigned *out)
{
    DIST_SHARED(unsigned, numbers, [64]);
    numbers[threadIdx.x] = 1;
    __syncthreads();
    const unsigned *const next = numbers + 1;
    out[threadIdx.x] = next[threadIdx.x];
}

static __global__ void beyond_dynamic_shared(unsigned *out)
{
    DIST_SHARED_DYNAMIC(unsigned, numbers);
    out[threadIdx.x] = numbers[threadIdx.x];
}
#endif

struct misuse {
    void (*kernel)(unsigned *);
    unsigned threads;
    const char *said[2]; /* both are in the sentence */
};

static const misuse misuses[] = {
    {lane_exits, 64, {"waits at __shfl_xor_sync (", "for lane 7, which has exited"}},
    {full_mask, 48, {"warp 1: lane", "which the block does not have"}},
    {lane_votes_instead, 32, {"waits at __shfl_xor_sync (", "lane 7, which waits at __ballot_sync ("}},
    {lane_is_at_the_barrier, 64, {"for lane 5, which waits at __syncthreads (", "test_refusals.cpp:"}},
    {masks_differ, 32, {"mask 0xfffffeff for lane 9, which waits at __ballot_sync (", "mask 0xffffffff)"}},
    {places_differ, 32, {"waits at __syncwarp (", "for lane 1, which waits at __syncwarp ("}},
    {mask_lacks_the_caller, 32, {"mask 0x0000ffff", "does not name the calling lane"}},
    {barriers_on_one_line, 64, {"__syncthreads diverges", "thread 3, which waits at __syncthreads ("}},
    {thread_misses_the_barrier, 64, {"__syncthreads diverges", "which has exited"}},
    {shuffle_beyond_the_width, 32, {"out of bounds", "32 is not in 0 to 31"}},
    {xor_beyond_the_width, 32, {"out of bounds", "8 is not in 0 to 7"}},
    {shuffle_from_outside_the_mask, 32, {"out of bounds", "lane 16, which mask 0x0000ffff does not name"}},
    {width_of_three, 32, {"width 3", "power of two"}},
    {asks_which_lanes_are_active, 32, {"__activemask", "pass a mask"}},
    {too_much_shared, 32, {"49264 bytes of shared memory", "49152"}},
    {launches, 32, {"launches", "too_much_shared"}},
#ifdef __SANITIZE_ADDRESS__
    {beyond_shared, 64, {"AddressSanitizer", "beyond_shared"}},
    {beyond_dynamic_shared, 64, {"AddressSanitizer", "beyond_dynamic_shared"}},
#endif
};

/* What the kernel's process says on stderr; its status goes to *status. */
static std::string run(const misuse &tried, const simt::named_order &order, int *status)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        alarm(60);
        signal(SIGABRT, SIG_DFL); /* cmocka's handler */
        unsigned out[64];
        simt::set_order(order.by, order.seed);
        DIST_LAUNCH(tried.kernel, 1, tried.threads, 64, nullptr, out);
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[4096];
    for (ssize_t bytes; (bytes = read(ends[0], part, sizeof part)) > 0;)
        said.append(part, static_cast<size_t>(bytes));
    close(ends[0]);
    assert_int_equal(waitpid(child, status, 0), child);
    return said;
}

static void misuse_is_refused_with_a_sentence(void **)
{
    for (const misuse &tried : misuses) {
        for (const simt::named_order &order : simt::orders) {
            int status;
            const std::string said = run(tried, order, &status);
            const bool ended = said.find("AddressSanitizer") != std::string::npos
                                   ? !(WIFEXITED(status) && WEXITSTATUS(status) == 0)
                                   : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
            for (const char *wanted : tried.said) {
                if (!ended || said.find(wanted) == std::string::npos)
                    fail_msg("%s: status %d, wanted \"%s\" in: %s", order.name, status, wanted, said.c_str());
            }
        }
    }
}

int main()
{
    const CMUnitTest tests[] = {cmocka_unit_test(misuse_is_refused_with_a_sentence)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
