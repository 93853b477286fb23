/* Threads as ranks with NCCL wires, whose control wire is the one between threads. */
#ifndef DIST_TESTS_NCCL_RANKS_H
#define DIST_TESTS_NCCL_RANKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_wire.h"
#include "nccl_rank.h"

typedef struct nccl_thread {
    nccl_rank rank; /* first: what a test is given */
    fake_net *net;
    bool fails; /* the test is about a failure */
    void (*run)(nccl_rank *);
} nccl_thread;

/* After a failure the wire leaves what another may still touch to the end of the process: no leak to complain of. */
extern void __lsan_disable(void) __attribute__((weak));

/* Waits for all ranks. */
static inline void nccl_meet(nccl_rank *s)
{
    pthread_barrier_wait(&((nccl_thread *)s)->net->all);
}

static inline void *nccl_thread_main(void *argument)
{
    nccl_thread *thread = argument;
    nccl_rank *s = &thread->rank;
    if (thread->fails && __lsan_disable)
        __lsan_disable();
    s->cuda->select(s->rank);
    s->control = &fake_wire_create(thread->net, s->rank)->base;
    EXPECT(s, s->cuda->stream_create(&s->stream, 0) == 0);
    thread->run(s);
    s->cuda->stream_destroy(s->stream);
    return NULL;
}

/* Runs `run` on `ranks` threads; the number of what was wrong. `sentence` may be NULL; else it gets what each kept. A
 * test about a failure leaves the net to the wires that it broke. */
static inline int on_nccl_ranks(int ranks, void (*run)(nccl_rank *), double timeout, bool fails,
                                char (*sentence)[DIST_ERROR_MAX])
{
    nccl_thread state[NCCL_RANKS];
    pthread_t thread[NCCL_RANKS];
    fake_net *net = fake_net_create(ranks);
    int wrong = 0;
    for (int r = 0; r < ranks; r++) {
        state[r] = (nccl_thread){.rank = {.rank = r,
                                          .ranks = ranks,
                                          .cuda = fake_cuda(),
                                          .library = FAKE_NCCL_LIBRARY,
                                          .timeout = timeout},
                                 .net = net,
                                 .fails = fails,
                                 .run = run};
        pthread_create(&thread[r], NULL, nccl_thread_main, &state[r]);
    }
    for (int r = 0; r < ranks; r++) {
        pthread_join(thread[r], NULL);
        wrong += state[r].rank.wrong;
        if (sentence)
            memcpy(sentence[r], state[r].rank.sentence, DIST_ERROR_MAX);
        if (!fails)
            free(state[r].rank.control);
    }
    if (fails)
        return wrong;
    if (net->posted) {
        fprintf(stderr, "messages of the control wire are left\n");
        wrong++;
    }
    fake_net_destroy(net);
    return wrong;
}

#endif
