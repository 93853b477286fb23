/* The ranks of a communicator of the fake NCCL, all played by one thread: nothing that it calls blocks. */
#ifndef DIST_TESTS_NCCL_SCENE_H
#define DIST_TESTS_NCCL_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/fake/fake_nccl.h"
#include "wire/nccl_internal.h"

enum { RANKS = 4, BYTES = 1 << 18, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6 };
enum {
    INT8 = 0,
    INT32 = 2,
    INT64 = 4,
    HALF = 6,
    FLOAT = 7,
    DOUBLE = 8,
    BFLOAT = 9,
    SUM = 0,
    MAX = 2,
    MIN = 3
};

static dist_nccl_library nccl;
static const dist_cuda *cuda;

typedef struct scene {
    int ranks;
    void *comm[RANKS], *stream[RANKS], *other[RANKS], *event[RANKS];
    char *send[RANKS], *receive[RANKS]; /* device; BYTES each */
    char *host;                         /* pinned */
} scene;

/* ---- communicators ---- */

static inline void load(void)
{
    void *const symbol = fake_nccl_symbol(FAKE_CUDA_PLUGIN, "dist_cuda_table");
    const dist_cuda *(*table)(uint32_t version);
    memcpy(&table, &symbol, sizeof table);
    cuda = table(DIST_CUDA_VERSION);
    if (dist_nccl_library_open(&nccl, FAKE_NCCL_LIBRARY) < 0)
        abort();
}

static inline int state_of(void *comm)
{
    int state = -1;
    return nccl.async_error(comm, &state) == 0 ? state : -1;
}

/* Until the state is known, or `seconds` are over. */
static inline int settle(void *comm, double seconds)
{
    const int64_t deadline = dist_deadline(seconds);
    int state;
    while ((state = state_of(comm)) == DIST_NCCL_IN_PROGRESS && dist_now() < deadline)
        usleep(20);
    return state;
}

static inline int begin(void **comm, int ranks, dist_nccl_id id, int rank)
{
    dist_nccl_config config = {.size = sizeof config, .magic = 0xcafebeef, .version = 21800};
    cuda->select(rank);
    return nccl.init_rank(comm, ranks, id, rank, &config);
}

static inline void connect_ranks(scene *s, void *comm[])
{
    dist_nccl_id id;
    assert_int_equal(nccl.get_unique_id(&id), 0);
    for (int r = 0; r < s->ranks; r++)
        assert_int_equal(begin(&comm[r], s->ranks, id, r), DIST_NCCL_IN_PROGRESS);
    for (int r = 0; r < s->ranks; r++)
        assert_int_equal(settle(comm[r], 10), 0);
}

static inline void end_ranks(scene *s, void *comm[])
{
    const int64_t deadline = dist_deadline(10);
    for (int r = 0; r < s->ranks; r++)
        assert_int_equal(nccl.finalize(comm[r]), DIST_NCCL_IN_PROGRESS);
    for (int left = s->ranks; left > 0;) {
        left = 0;
        for (int r = 0; r < s->ranks; r++) /* each waits for the others */
            left += settle(comm[r], 0) == DIST_NCCL_IN_PROGRESS;
        assert_true(dist_now() < deadline);
    }
    for (int r = 0; r < s->ranks; r++)
        assert_int_equal(nccl.destroy(comm[r]), 0);
}

static inline void abort_ranks(scene *s, void *comm[])
{
    nccl.group_start();
    for (int r = 0; r < s->ranks; r++)
        assert_int_equal(nccl.abort(comm[r]), 0);
    assert_int_equal(nccl.group_end(), 0);
}

static inline scene *create(int ranks)
{
    scene *s = calloc(1, sizeof *s);
    void *host = NULL;
    s->ranks = ranks;
    assert_int_equal(cuda->pin(&host, BYTES), 0);
    s->host = host;
    for (int r = 0; r < ranks; r++) {
        assert_int_equal(cuda->stream_create(&s->stream[r], 0), 0);
        assert_int_equal(cuda->stream_create(&s->other[r], 0), 0);
        assert_int_equal(cuda->event_create(&s->event[r]), 0);
        assert_int_equal(cuda->allocate((void **)&s->send[r], BYTES), 0);
        assert_int_equal(cuda->allocate((void **)&s->receive[r], BYTES), 0);
    }
    connect_ranks(s, s->comm);
    return s;
}

/* After `comm` has been ended. */
static inline void release(scene *s)
{
    for (int r = 0; r < s->ranks; r++) {
        cuda->stream_destroy(s->stream[r]);
        cuda->stream_destroy(s->other[r]);
        cuda->event_destroy(s->event[r]);
        cuda->release(s->send[r]);
        cuda->release(s->receive[r]);
    }
    cuda->unpin(s->host);
    free(s);
}

static inline void destroy(scene *s)
{
    end_ranks(s, s->comm);
    release(s);
}

/* ---- operations ---- */

/* The operation is on the stream when this returns. */
static inline void launched(void *comm, int result)
{
    assert_true(result == 0 || result == DIST_NCCL_IN_PROGRESS);
    if (result)
        assert_int_equal(settle(comm, 10), 0);
}

/* A small one; `at` keeps those apart that no stream orders. */
static inline void add_one(scene *s, int rank, void *comm, void *stream, size_t at)
{
    launched(comm, nccl.all_reduce(s->send[rank] + at, s->receive[rank] + at, 16, FLOAT, SUM, comm, stream));
}

/* Whether the work on a stream ends. */
static inline bool ends(scene *s, int rank, void *stream, double seconds)
{
    const int64_t deadline = dist_deadline(seconds);
    int error;
    cuda->event_record(s->event[rank], stream);
    while ((error = cuda->event_query(s->event[rank])) == DIST_CUDA_NOT_READY && dist_now() < deadline)
        usleep(50);
    return error == 0;
}

static inline void all_end(scene *s)
{
    for (int r = 0; r < s->ranks; r++)
        assert_true(ends(s, r, s->stream[r], 10));
}

static inline void give(scene *s, int rank, char *to, const void *data, size_t bytes)
{
    memcpy(s->host, data, bytes);
    cuda->copy(to, s->host, bytes, s->stream[rank]);
    cuda->synchronize(s->stream[rank]);
}

static inline const char *take(scene *s, int rank, const char *from, size_t bytes)
{
    cuda->copy(s->host, from, bytes, s->stream[rank]);
    cuda->synchronize(s->stream[rank]);
    return s->host;
}

#endif
