/* One rank with an NCCL wire over the fake CUDA and the fake NCCL, for tests of that wire: in a thread or in a process.
 */
#ifndef DIST_TESTS_NCCL_RANK_H
#define DIST_TESTS_NCCL_RANK_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/fake/fake_nccl.h"
#include "wire/nccl_internal.h"

enum { NCCL_RANKS = 4 };

typedef struct nccl_rank {
    int rank, ranks;
    dist_wire *control, *wire;
    const dist_cuda *cuda;
    const char *library;
    void *stream; /* for copies of the test */
    double timeout;
    int wrong;
    char sentence[DIST_ERROR_MAX];
} nccl_rank;

/* cmocka fails by jumping, which a thread may not: ranks count what is wrong, the test asserts on the sum. */
#define EXPECT(state, condition)                                                                             \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (state)->wrong++;                                                                                \
            fprintf(stderr, "rank %d line %d: %s: %s\n", (state)->rank, __LINE__, #condition,                \
                    dist_last_error());                                                                      \
        }                                                                                                    \
    } while (0)

static inline const dist_cuda *fake_cuda(void)
{
    void *const symbol = fake_nccl_symbol(FAKE_CUDA_PLUGIN, "dist_cuda_table");
    const dist_cuda *(*table)(uint32_t version);
    memcpy(&table, &symbol, sizeof table);
    return table(DIST_CUDA_VERSION);
}

static inline dist_status nccl_open(nccl_rank *s, const int *member, int members)
{
    const dist_nccl_setup setup = {.control = s->control,
                                   .channel = 1,
                                   .member = member,
                                   .members = members,
                                   .cuda = s->cuda,
                                   .device = s->rank,
                                   .library = s->library};
    const dist_patience patience = {.deadline = dist_deadline(s->timeout)};
    return dist_wire_nccl_open(&s->wire, &setup, &patience);
}

/* All ranks of the net as members. */
static inline dist_status nccl_open_all(nccl_rank *s)
{
    static const int all[NCCL_RANKS] = {0, 1, 2, 3};
    return nccl_open(s, all, s->ranks);
}

/* An edge each way between all pairs of ranks. */
static inline dist_status nccl_all_edges(nccl_rank *s)
{
    dist_nccl_edge edge[NCCL_RANKS * NCCL_RANKS];
    int edges = 0;
    const dist_patience patience = {.deadline = dist_deadline(s->timeout)};
    for (int from = 0; from < s->ranks; from++)
        for (int to = 0; to < s->ranks; to++)
            if (from != to)
                edge[edges++] = (dist_nccl_edge){from, to};
    return dist_wire_nccl_edges(s->wire, edge, edges, &patience);
}

/* Polls until `count` more requests are done, or `seconds` have passed. The number that is done. */
static inline int nccl_finish(nccl_rank *s, int count, double seconds)
{
    const int64_t deadline = dist_deadline(seconds);
    int finished = 0;
    while (finished < count && dist_now() < deadline) {
        dist_wire_request *const *done, *failed;
        int now = 0;
        const dist_status status = s->wire->ops->poll(s->wire, &done, &now, &failed);
        if (status < 0) {
            snprintf(s->sentence, sizeof s->sentence, "%s", dist_last_error());
            break;
        }
        for (int i = 0; i < now; i++)
            ++*(int *)done[i]->owner;
        finished += now;
        if (now == 0)
            sched_yield();
    }
    return finished;
}

/* Device memory, and copies that wait. */
static inline void *nccl_memory(nccl_rank *s, size_t bytes)
{
    void *memory = NULL;
    EXPECT(s, s->cuda->allocate(&memory, bytes ? bytes : 1) == 0);
    return memory;
}

static inline void nccl_copy(nccl_rank *s, void *dst, const void *src, size_t bytes)
{
    EXPECT(s, s->cuda->copy(dst, src, bytes, s->stream) == 0);
    EXPECT(s, s->cuda->synchronize(s->stream) == 0);
}

#endif
