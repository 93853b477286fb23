/* NUMA nodes of this machine and of described ones, and memory that is placed on them or that the system refuses to place. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/numa.h"

#define BYTES ((size_t)1 << 20)

static cpu_set_t before;

static void describe(const char *machine, bool as_this_one)
{
    setenv("HWLOC_SYNTHETIC", machine, 1);
    if (as_this_one)
        setenv("HWLOC_THISSYSTEM", "1", 1);
}

static int begin(void **state)
{
    (void)state;
    return sched_getaffinity(0, sizeof before, &before);
}

static int end(void **state)
{
    (void)state;
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
    return sched_setaffinity(0, sizeof before, &before);
}

static void needs_hwloc(void)
{
    dist_numa numa;
    if (dist_numa_find(&numa) == DIST_ERR_UNSUPPORTED) {
        print_message("%s\n", dist_last_error());
        skip();
    }
}

/* To the first processor, which is of the first node of a described machine. */
static void bind_process(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) {
        print_message("this process may not run on processor 0\n");
        skip();
    }
}

static char *map(void)
{
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

/* Places memory, and looks for a word in what the log says of it. The memory is there in any case. */
static bool place(char *memory, const char *word)
{
    char *text = NULL;
    size_t size = 0;
    dist_log log = {.level = DIST_LOG_DEBUG, .file = open_memstream(&text, &size), .rank = 3};
    const bool placed = dist_numa_place(memory, BYTES, &log);
    fclose(log.file);
    if (!strstr(text, word))
        fail_msg("the log has no \"%s\": %s", word, text);
    free(text);
    memset(memory, 1, BYTES);
    return placed;
}

static int policy_of(const char *memory)
{
    int policy = -1;
    syscall(SYS_get_mempolicy, &policy, NULL, 0, memory, MPOL_F_ADDR);
    return policy;
}

static bool kernel_permits(void)
{
    char *memory = map();
    unsigned long node = 1;
    const long code = syscall(SYS_mbind, memory, BYTES, MPOL_PREFERRED, &node, 8 * sizeof node, 0);
    munmap(memory, BYTES);
    return code == 0 && syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) == 0;
}

static void without_hwloc_nothing_is_placed(void **state)
{
    (void)state;
    dist_numa numa;
    char *memory = map();
    if (dist_numa_find(&numa) != DIST_ERR_UNSUPPORTED) {
        munmap(memory, BYTES);
        skip();
    }
    assert_int_equal(numa.nodes, 0);
    assert_int_equal(numa.node, -1);
    assert_false(place(memory, "built without hwloc"));
    munmap(memory, BYTES);
}

static void this_machine_has_nodes(void **state)
{
    (void)state;
    dist_numa numa;
    needs_hwloc();
    assert_int_equal(dist_numa_find(&numa), DIST_OK);
    assert_true(numa.real);
    assert_in_range(numa.usable, 1, numa.nodes);
    assert_int_equal(numa.node >= 0, numa.usable == 1);
    char *memory = map();
    if (numa.nodes == 1)
        assert_false(place(memory, "NUMA node"));
    dist_numa_place(memory, BYTES, NULL); /* a log is not needed */
    munmap(memory, BYTES);
}

static void a_described_machine_is_not_bound(void **state)
{
    (void)state;
    dist_numa numa;
    needs_hwloc();
    describe("numa:2 core:2 pu:1", false);
    assert_int_equal(dist_numa_find(&numa), DIST_OK);
    assert_int_equal(numa.nodes, 2);
    assert_int_equal(numa.usable, 2);
    assert_int_equal(numa.node, -1);
    assert_false(numa.real);
    char *memory = map();
    assert_false(place(memory, "describes another machine"));
    assert_int_equal(policy_of(memory), policy_of((const char *)&numa));
    munmap(memory, BYTES);
}

static void a_process_of_all_nodes_is_left_alone(void **state)
{
    (void)state;
    dist_numa numa;
    needs_hwloc();
    bind_process();
    describe("numa:2 pu:1", true); /* the second node has processor 1 */
    sched_setaffinity(0, sizeof before, &before);
    assert_int_equal(dist_numa_find(&numa), DIST_OK);
    if (numa.usable != 2)
        skip(); /* it was bound before */
    char *memory = map();
    assert_false(place(memory, "not bound to one NUMA node of several"));
    munmap(memory, BYTES);
}

static void a_bound_process_has_its_memory_near(void **state)
{
    (void)state;
    dist_numa numa;
    needs_hwloc();
    if (!kernel_permits())
        skip();
    bind_process();
    describe("numa:2 core:2 pu:1", true);
    assert_int_equal(dist_numa_find(&numa), DIST_OK);
    assert_int_equal(numa.nodes, 2);
    assert_int_equal(numa.usable, 1);
    assert_int_equal(numa.node, 0);
    char *memory = map();
    assert_int_equal(policy_of(memory), MPOL_DEFAULT);
    assert_true(place(memory, "placed on NUMA node 0"));
    assert_int_not_equal(policy_of(memory), MPOL_DEFAULT);
    munmap(memory, BYTES);
}

static void a_policy_of_the_users_stands(void **state)
{
    (void)state;
    unsigned long node = 1;
    needs_hwloc();
    bind_process();
    if (!kernel_permits() || syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node, 8 * sizeof node) != 0)
        skip();
    describe("numa:2 core:2 pu:1", true);
    char *memory = map();
    assert_false(place(memory, "memory policy, which stands"));
    munmap(memory, BYTES);
}

static void what_the_system_refuses_is_no_error(void **state)
{
    (void)state;
    needs_hwloc();
    bind_process();
    if (access("/sys/devices/system/node/node61", F_OK) == 0)
        skip();
    describe("numa:2(indexes=61,62) core:2 pu:1", true); /* no such nodes */
    char *memory = map();
    assert_false(place(memory, "refuses NUMA node 61"));
    munmap(memory, BYTES);
}

static void forbid_mbind(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mbind, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1), /* EPERM */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

/* As in a container. */
static void a_kernel_that_forbids_it_is_no_error(void **state)
{
    (void)state;
    int code = 0;
    needs_hwloc();
    bind_process();
    describe("numa:2 core:2 pu:1", true);
    char *memory = map();
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char text[512] = "";
        FILE *file = fmemopen(text, sizeof text, "w");
        const dist_log log = {.level = DIST_LOG_DEBUG, .file = file, .rank = 0};
        forbid_mbind();
        const bool placed = dist_numa_place(memory, BYTES, &log);
        memset(memory, 1, BYTES);
        _exit(placed || !strstr(text, "refuses NUMA node 0: Operation not permitted"));
    }
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    if (WEXITSTATUS(code) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(code), 0);
    munmap(memory, BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_hwloc_nothing_is_placed),     TEST(this_machine_has_nodes),
        TEST(a_described_machine_is_not_bound),    TEST(a_process_of_all_nodes_is_left_alone),
        TEST(a_bound_process_has_its_memory_near), TEST(a_policy_of_the_users_stands),
        TEST(what_the_system_refuses_is_no_error), TEST(a_kernel_that_forbids_it_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
