/* Threads as ranks, each with a wire and an engine of its own, for tests of what runs on the engine. */
#ifndef DIST_TESTS_ENGINE_RANKS_H
#define DIST_TESTS_ENGINE_RANKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "fake_wire.h"
#include "plan/engine.h"

/* cmocka fails by jumping, which a thread may not: ranks count what is wrong, the test asserts on the sum. */
typedef struct rank_state {
    int rank;
    bool threaded;
    double timeout;
    fake_net *net;
    fake_wire *wire;
    dist_topology *topology;
    dist_engine *engine;
    int wrong;
    bool fails; /* the test is about a failure */
    char sentence[DIST_ERROR_MAX];
    void (*run)(struct rank_state *);
} rank_state;

#define EXPECT(state, condition)                                                                             \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (state)->wrong++;                                                                                \
            fprintf(stderr, "rank %d line %d: %s: %s\n", (state)->rank, __LINE__, #condition,                \
                    dist_last_error());                                                                      \
        }                                                                                                    \
    } while (0)

/* After a failure the library leaves what a wire may still touch to the end of the process: no leak to complain of. */
extern void __lsan_disable(void) __attribute__((weak));

static inline void *rank_main(void *argument)
{
    static const char *const shape[FAKE_RANKS + 1] = {"", "1", "1,1", "2,1", "2x2"};
    rank_state *s = argument;
    if (s->fails && __lsan_disable)
        __lsan_disable();
    s->wire = fake_wire_create(s->net, s->rank);
    EXPECT(s, dist_topology_describe(&s->topology, shape[s->net->ranks]) == DIST_OK);
    dist_engine_options options = {
        .wire = &s->wire->base, .topology = s->topology, .threaded = s->threaded, .timeout = s->timeout};
    EXPECT(s, dist_engine_create(&s->engine, &options) == DIST_OK);
    s->run(s);
    dist_engine_destroy(s->engine);
    return NULL;
}

/* Runs `run` on all ranks of a net that the caller has made, and frees it. */
static inline void on_net(fake_net *net, void (*run)(rank_state *), bool threaded, double timeout,
                          rank_state *state)
{
    pthread_t thread[FAKE_RANKS];
    int ranks = net->ranks;
    for (int r = 0; r < ranks; r++) {
        state[r] = (rank_state){.rank = r,
                                .net = net,
                                .run = run,
                                .threaded = threaded,
                                .timeout = timeout,
                                .fails = timeout < 1 || net->breaks >= 0 || net->spoils >= 0};
        pthread_create(&thread[r], NULL, rank_main, &state[r]);
    }
    for (int r = 0; r < ranks; r++)
        pthread_join(thread[r], NULL);
    int wrong = 0;
    for (int r = 0; r < ranks; r++) {
        wrong += state[r].wrong;
        dist_topology_destroy(state[r].topology);
        free(state[r].wire);
    }
    fake_net_destroy(net);
    assert_int_equal(wrong, 0);
}

static inline void on_ranks(void (*run)(rank_state *), bool threaded, double timeout, int lossy,
                            rank_state *state)
{
    fake_net *net = fake_net_create(FAKE_RANKS);
    net->lossy = lossy;
    on_net(net, run, threaded, timeout, state);
}

#endif
