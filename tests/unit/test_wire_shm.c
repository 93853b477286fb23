/* The shared-memory wire among ranks of one process: all collectives, types, memories and ways, in any order, and what the system may
 * refuse. */
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
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/type.h"
#include "device/numa.h"
#include "fake_wire.h"
#include "wire/shm.h"
#include "wire/shm_internal.h"

#define MOST     4       /* ranks */
#define PATIENCE 4000000 /* looks in which anything ends */

typedef struct team {
    int ranks;
    fake_net *net;
    fake_wire *control[MOST];
    dist_topology *topology;
    dist_shm_wish wish[MOST];
    dist_wire *wire[MOST];
    dist_status status[MOST];
} team;

typedef struct side {
    team *team;
    int rank;
} side;

static void *open_side(void *argument)
{
    const side *s = argument;
    team *t = s->team;
    t->status[s->rank] = dist_wire_shm_open(&t->wire[s->rank], t->wish[s->rank], &t->control[s->rank]->base,
                                            t->topology, NULL);
    return NULL;
}

/* All ranks of one site that say `sites`, such as "3" or "2,2". */
static void open_all(team *t, int ranks, const char *sites)
{
    pthread_t thread[MOST];
    side s[MOST];
    t->ranks = ranks;
    t->net = fake_net_create(ranks);
    assert_int_equal(dist_topology_describe(&t->topology, sites), DIST_OK);
    for (int r = 0; r < ranks; r++) {
        t->control[r] = fake_wire_create(t->net, r);
        s[r] = (side){t, r};
        assert_int_equal(pthread_create(&thread[r], NULL, open_side, &s[r]), 0);
    }
    for (int r = 0; r < ranks; r++)
        pthread_join(thread[r], NULL);
    for (int r = 0; r < ranks; r++)
        assert_int_equal(t->status[r], DIST_OK);
}

static team *open_team(int ranks, dist_shm_wish wish)
{
    static team t;
    char sites[16];
    memset(&t, 0, sizeof t);
    for (int r = 0; r < ranks; r++)
        t.wish[r] = wish;
    snprintf(sites, sizeof sites, "%d", ranks);
    open_all(&t, ranks, sites);
    for (int r = 0; r < ranks; r++)
        assert_non_null(t.wire[r]);
    return &t;
}

static void close_team(team *t)
{
    for (int r = 0; r < t->ranks; r++) {
        if (t->wire[r])
            t->wire[r]->ops->close(t->wire[r], false);
        free(t->control[r]);
    }
    dist_topology_destroy(t->topology);
    fake_net_destroy(t->net);
}

/* ---- one collective on all ranks ---- */

typedef enum placement { ANYWHERE, MAPPED, MIXED } placement;

typedef struct work {
    dist_native kind;
    dist_type type;
    size_t count;
    bool in_place;
    placement placement;
    char *send[MOST], *receive[MOST];
    bool mapped[MOST];
    dist_wire_request *request[MOST];
    bool done[MOST];
} work;

static size_t send_count(const work *w, int ranks)
{
    return w->kind == DIST_NATIVE_REDUCE_SCATTER ? w->count * (size_t)ranks : w->count;
}

static size_t receive_count(const work *w, int ranks)
{
    return w->kind == DIST_NATIVE_ALL_GATHER ? w->count * (size_t)ranks : w->count;
}

/* Small whole numbers, of which all sums are exact in all types. */
static int value_at(int rank, size_t i, int salt)
{
    return (int)((i * 7 + (size_t)rank * 3 + (size_t)salt) % 15) - 7;
}

static void set(dist_type type, char *at, size_t i, int value)
{
    const float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    switch (type) {
    case DIST_FLOAT32:
        ((float *)(void *)at)[i] = single;
        break;
    case DIST_FLOAT64:
        ((double *)(void *)at)[i] = value;
        break;
    case DIST_INT32:
        ((int32_t *)(void *)at)[i] = value;
        break;
    case DIST_INT64:
        ((int64_t *)(void *)at)[i] = value;
        break;
    case DIST_BFLOAT16:
        ((uint16_t *)(void *)at)[i] = (uint16_t)(bits >> 16);
        break;
    default: /* float16 */
        ((uint16_t *)(void *)at)[i] =
            (uint16_t)(value == 0 ? 0
                                  : (bits >> 16 & 0x8000) | ((bits >> 23 & 0xff) - 112) << 10 |
                                        (bits >> 13 & 0x3ff));
    }
}

static char *place(team *t, work *w, int rank, size_t bytes)
{
    w->mapped[rank] = w->placement == MAPPED || (w->placement == MIXED && rank % 2);
    char *memory =
        w->mapped[rank] ? t->wire[rank]->ops->allocate(t->wire[rank], bytes) : calloc(1, bytes + 1);
    assert_non_null(memory);
    return memory;
}

static void fill(team *t, work *w, int rank, int salt)
{
    const bool inside = w->in_place && w->kind == DIST_NATIVE_ALL_GATHER;
    char *const to =
        inside ? w->receive[rank] + (size_t)rank * w->count * dist_type_bytes(w->type) : w->send[rank];
    for (size_t i = 0; i < send_count(w, t->ranks); i++)
        set(w->type, to, i, value_at(rank, i, salt));
}

static void prepare(team *t, work *w, int space, uint32_t ticket)
{
    const size_t size = dist_type_bytes(w->type);
    for (int r = 0; r < t->ranks; r++) {
        w->receive[r] = place(t, w, r, receive_count(w, t->ranks) * size);
        const bool separate = w->kind != DIST_NATIVE_BROADCAST && !w->in_place;
        w->send[r] = separate ? place(t, w, r, send_count(w, t->ranks) * size) : w->receive[r];
        if (w->kind == DIST_NATIVE_REDUCE_SCATTER && w->in_place) { /* its part of the input is the output */
            w->send[r] = place(t, w, r, send_count(w, t->ranks) * size);
        }
        const bool scatter = w->kind == DIST_NATIVE_REDUCE_SCATTER && w->in_place;
        const dist_wire_collective call = {.kind = w->kind,
                                           .type = w->type,
                                           .reduction = DIST_SUM,
                                           .root = t->ranks - 1,
                                           .space = space,
                                           .ticket = ticket,
                                           .count = w->count,
                                           .send = separate || scatter ? w->send[r] : DIST_IN_PLACE,
                                           .receive = scatter ? w->send[r] + (size_t)r * w->count * size
                                                              : w->receive[r]};
        assert_int_equal(t->wire[r]->ops->collective(t->wire[r], &call, &w->request[r]), DIST_OK);
        w->request[r]->owner = &w->done[r];
    }
}

static void start(work *w, int rank)
{
    w->done[rank] = false;
    assert_int_equal(w->request[rank]->wire->ops->start(w->request[rank]), DIST_OK);
}

static void look(team *t, int rank)
{
    dist_wire_request *const *done;
    dist_wire_request *failed;
    int count;
    assert_int_equal(t->wire[rank]->ops->poll(t->wire[rank], &done, &count, &failed), DIST_OK);
    for (int i = 0; i < count; i++)
        *(bool *)done[i]->owner = true;
}

static void finish(team *t, work *w)
{
    long looks = 0;
    for (int r = 0; r < t->ranks; r++)
        while (!w->done[r]) {
            for (int q = 0; q < t->ranks; q++)
                look(t, q);
            assert_true(looks++ < PATIENCE);
        }
}

static int wanted_at(const team *t, const work *w, int rank, size_t i, int salt)
{
    int sum = 0;
    if (w->kind == DIST_NATIVE_BROADCAST)
        return value_at(t->ranks - 1, i, salt);
    if (w->kind == DIST_NATIVE_ALL_GATHER)
        return value_at((int)(i / w->count), i % w->count, salt);
    const size_t at = w->kind == DIST_NATIVE_REDUCE_SCATTER ? (size_t)rank * w->count + i : i;
    for (int r = 0; r < t->ranks; r++)
        sum += value_at(r, at, salt);
    return sum;
}

static void check(team *t, const work *w, int salt)
{
    const size_t size = dist_type_bytes(w->type);
    const bool scatter = w->kind == DIST_NATIVE_REDUCE_SCATTER && w->in_place;
    for (int r = 0; r < t->ranks; r++) {
        const char *got = scatter ? w->send[r] + (size_t)r * w->count * size : w->receive[r];
        for (size_t i = 0; i < receive_count(w, t->ranks); i++) {
            char right[8];
            set(w->type, right, 0, wanted_at(t, w, r, i, salt));
            if (memcmp(got + i * size, right, size) != 0)
                fail_msg("kind %d type %d count %zu in place %d placement %d: rank %d element %zu is wrong",
                         (int)w->kind, (int)w->type, w->count, w->in_place, (int)w->placement, r, i);
        }
    }
}

static void give(team *t, work *w)
{
    for (int r = 0; r < t->ranks; r++) {
        w->request[r]->wire->ops->release(w->request[r]);
        if (w->send[r] != w->receive[r])
            w->mapped[r] ? (void)t->wire[r]->ops->free(t->wire[r], w->send[r]) : free(w->send[r]);
        w->mapped[r] ? (void)t->wire[r]->ops->free(t->wire[r], w->receive[r]) : free(w->receive[r]);
    }
}

static void run_work(team *t, work *w, int space)
{
    prepare(t, w, space, 0);
    for (int salt = 0; salt < 2; salt++) {
        for (int r = 0; r < t->ranks; r++)
            fill(t, w, r, salt);
        for (int r = t->ranks - 1; r >= 0; r--)
            start(w, r);
        finish(t, w);
        check(t, w, salt);
    }
    give(t, w);
}

/* ---- tests ---- */

static const dist_native kinds[] = {DIST_NATIVE_ALL_REDUCE, DIST_NATIVE_REDUCE_SCATTER,
                                    DIST_NATIVE_ALL_GATHER, DIST_NATIVE_BROADCAST};

static void run_all(dist_shm_wish wish)
{
    static const size_t counts[] = {1, 1000, 40001, 140007};
    for (int ranks = 2; ranks <= MOST; ranks++) {
        team *t = open_team(ranks, wish);
        int space = 0;
        assert_true(((dist_shm_wire *)t->wire[0])->reads == (wish == DIST_SHM_REACHED));
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
                for (int p = 0; p < 6; p++) {
                    const dist_type type = (dist_type)((k + c + (size_t)p) % DIST_TYPES);
                    work w = {.kind = kinds[k],
                              .type = type,
                              .count = counts[c],
                              .in_place = p % 2,
                              .placement = (placement)(p / 2)};
                    run_work(t, &w, space++);
                }
        close_team(t);
    }
}

static void test_reached(void **state)
{
    (void)state;
    run_all(DIST_SHM_REACHED);
}

static void test_staged(void **state)
{
    (void)state;
    run_all(DIST_SHM_STAGED);
}

static void test_types(void **state)
{
    (void)state;
    team *t = open_team(2, DIST_SHM_REACHED);
    for (int type = 0; type < DIST_TYPES; type++) {
        work w = {
            .kind = DIST_NATIVE_ALL_REDUCE, .type = (dist_type)type, .count = 70001, .placement = MAPPED};
        run_work(t, &w, type);
    }
    close_team(t);
}

/* More at once than there are lanes, begun in another order on each rank. */
static void test_any_order(void **state)
{
    enum { WORKS = 12 };
    static work w[WORKS];
    (void)state;
    for (int wish = DIST_SHM_STAGED; wish <= DIST_SHM_REACHED; wish++) {
        team *t = open_team(3, (dist_shm_wish)wish);
        for (int i = 0; i < WORKS; i++) {
            w[i] = (work){.kind = kinds[i % 4], .type = DIST_FLOAT32, .count = 50000 + (size_t)i};
            prepare(t, &w[i], i / 3, (uint32_t)i % 3);
            for (int r = 0; r < 3; r++)
                fill(t, &w[i], r, i);
        }
        for (int i = 0; i < WORKS; i++)
            for (int r = 0; r < 3; r++) {
                start(&w[r == 0 ? i : r == 1 ? WORKS - 1 - i : (i * 5) % WORKS], r);
                look(t, r);
            }
        for (int i = 0; i < WORKS; i++) {
            finish(t, &w[i]);
            check(t, &w[i], i);
        }
        for (int i = 0; i < WORKS; i++)
            give(t, &w[i]);
        close_team(t);
    }
}

static void test_barrier(void **state)
{
    work w = {.kind = DIST_NATIVE_BARRIER, .type = DIST_INT32};
    (void)state;
    team *t = open_team(3, DIST_SHM_REACHED);
    prepare(t, &w, 0, 0);
    for (int round = 0; round < 5; round++) {
        start(&w, 0);
        start(&w, 1);
        for (int i = 0; i < 100; i++) {
            look(t, 0);
            look(t, 1);
        }
        assert_false(w.done[0] || w.done[1]);
        char text[200];
        t->wire[0]->ops->describe(t->wire[0], text, sizeof text);
        assert_string_equal(text, "in shared memory rank 2 has not come");
        start(&w, 2);
        finish(t, &w);
    }
    give(t, &w);
    close_team(t);
}

/* Refused with a sentence, and nothing is left behind. */
static void test_no_all_to_all(void **state)
{
    const dist_wire_collective call = {.kind = DIST_NATIVE_ALL_TO_ALL, .type = DIST_INT32, .count = 1};
    dist_wire_request *request = NULL;
    (void)state;
    team *t = open_team(2, DIST_SHM_REACHED);
    assert_int_equal(t->wire[0]->ops->collective(t->wire[0], &call, &request), DIST_ERR_UNSUPPORTED);
    assert_non_null(strstr(dist_last_error(), "no all-to-all"));
    assert_null(request);
    close_team(t);
}

static void test_memory(void **state)
{
    char *block[64];
    int other;
    (void)state;
    team *t = open_team(2, DIST_SHM_REACHED);
    dist_wire *wire = t->wire[0];
    for (int i = 0; i < 64; i++) {
        block[i] = wire->ops->allocate(wire, (size_t)(i * 5000 + 1));
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % 64, 0);
        for (int b = 0; b < i * 5000 + 1; b++)
            assert_int_equal(block[i][b], 0);
        memset(block[i], i, (size_t)(i * 5000 + 1));
    }
    for (int i = 0; i < 64; i += 2)
        assert_true(wire->ops->free(wire, block[i]));
    for (int i = 1; i < 64; i += 2)
        for (int b = 0; b < i * 5000 + 1; b++)
            assert_int_equal(block[i][b], i);
    for (int i = 63; i > 0; i -= 2)
        assert_true(wire->ops->free(wire, block[i]));
    assert_false(wire->ops->free(wire, block[0])); /* given back already */
    assert_false(wire->ops->free(wire, &other));
    assert_null(wire->ops->allocate(wire, SIZE_MAX));
    assert_null(wire->ops->allocate(wire, (size_t)1 << 46)); /* no machine has it */
    char *const whole = wire->ops->allocate(wire, 1 << 20);  /* all has joined again, and is zero again */
    assert_ptr_equal(whole, block[0]);
    for (int b = 0; b < 1 << 20; b++)
        assert_int_equal(whole[b], 0);
    close_team(t);
}

/* One that does not want it, or a site on two nodes, leaves all without. */
static void test_refused(void **state)
{
    team t = {.wish = {DIST_SHM_REACHED, DIST_SHM_NONE, DIST_SHM_REACHED}};
    (void)state;
    open_all(&t, 3, "3");
    for (int r = 0; r < 3; r++)
        assert_null(t.wire[r]);
    close_team(&t);
    t = (team){.wish = {DIST_SHM_REACHED, DIST_SHM_STAGED, DIST_SHM_REACHED}};
    open_all(&t, 3, "3");
    for (int r = 0; r < 3; r++)
        assert_false(((dist_shm_wire *)t.wire[r])->reads);
    close_team(&t);
    t = (team){.wish = {DIST_SHM_REACHED, DIST_SHM_REACHED}};
    open_all(&t, 2, "1,1"); /* nobody has a mate */
    assert_null(t.wire[0]);
    close_team(&t);
}

/* As with a /dev/shm that is full. */
static void test_no_room(void **state)
{
    struct rlimit before;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    team t = {.wish = {DIST_SHM_REACHED, DIST_SHM_REACHED}};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, before.rlim_max}), 0);
    open_all(&t, 2, "2");
    assert_null(t.wire[0]);
    assert_null(t.wire[1]);
    close_team(&t);
    setrlimit(RLIMIT_FSIZE, &before);
    team *opened = open_team(2, DIST_SHM_REACHED); /* and later, for memory and for collectives */
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, before.rlim_max});
    assert_null(opened->wire[0]->ops->allocate(opened->wire[0], 1 << 24));
    char *const any = dist_wire_alloc(opened->wire[0], 1 << 24);
    assert_non_null(any);
    dist_wire_free(opened->wire[0], any);
    dist_wire_request *request;
    dist_wire_collective call = {
        .kind = DIST_NATIVE_ALL_REDUCE, .type = DIST_FLOAT32, .count = 12000, .send = DIST_IN_PLACE};
    dist_status status = DIST_OK;
    for (; status >= 0 && call.ticket < 100; call.ticket++)
        if ((status = opened->wire[0]->ops->collective(opened->wire[0], &call, &request)) >= 0)
            opened->wire[0]->ops->release(request);
    assert_int_equal(status, DIST_ERR_MEMORY);
    assert_non_null(strstr(dist_last_error(), "/dev/shm has no room"));
    setrlimit(RLIMIT_FSIZE, &before);
    close_team(opened);
}

/* For good: the calls fail as they do where the system forbids them. */
static void forbid_reaching(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1), /* EPERM */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void test_no_permission(void **state)
{
    (void)state;
    forbid_reaching();
    team *t = open_team(3, DIST_SHM_REACHED);
    for (int r = 0; r < 3; r++)
        assert_false(((dist_shm_wire *)t->wire[r])->reads);
    work w = {.kind = DIST_NATIVE_ALL_REDUCE, .type = DIST_FLOAT32, .count = 300000};
    run_work(t, &w, 0);
    close_team(t);
}

static int policy_of(const char *memory)
{
    int policy = -1;
    syscall(SYS_get_mempolicy, &policy, NULL, 0, memory, MPOL_F_ADDR);
    return policy;
}

/* All pages of a rank's segment, as every rank sees it, are to be on the node that the rank is bound to. */
static void test_placed(void **state)
{
    (void)state;
    dist_numa numa;
    cpu_set_t before, one;
    unsigned long node = 1;
    char *trial = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_getaffinity(0, sizeof before, &before);
    if (dist_numa_find(&numa) < 0 || sched_setaffinity(0, sizeof one, &one) != 0 ||
        syscall(SYS_mbind, trial, 4096, MPOL_PREFERRED, &node, 8 * sizeof node, 0) != 0)
        skip();
    setenv("HWLOC_SYNTHETIC", "numa:2 core:2 pu:1", 1);
    setenv("HWLOC_THISSYSTEM", "1", 1);
    team *t = open_team(2, DIST_SHM_REACHED);
    unsetenv("HWLOC_SYNTHETIC");
    unsetenv("HWLOC_THISSYSTEM");
    sched_setaffinity(0, sizeof before, &before);
    for (int r = 0; r < 2; r++) {
        const dist_shm_wire *wire = (const dist_shm_wire *)t->wire[r];
        char *memory = t->wire[r]->ops->allocate(t->wire[r], 1 << 20);
        const size_t at = (size_t)(memory - wire->mate[r].segment);
        assert_non_null(memory);
        for (int m = 0; m < 2; m++) {
            const char *segment = ((const dist_shm_wire *)t->wire[m])->mate[r].segment;
            assert_int_not_equal(policy_of(segment), MPOL_DEFAULT);
            assert_int_not_equal(policy_of(segment + at), MPOL_DEFAULT);
        }
        assert_true(t->wire[r]->ops->free(t->wire[r], memory));
    }
    close_team(t);
    munmap(trial, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reached),       cmocka_unit_test(test_staged),
        cmocka_unit_test(test_types),         cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_no_all_to_all), cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_room),       cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_placed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
