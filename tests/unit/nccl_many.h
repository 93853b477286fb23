/* Many operations of an NCCL wire at once, started in an order of each rank's own: collectives and messages. */
#ifndef DIST_TESTS_NCCL_MANY_H
#define DIST_TESTS_NCCL_MANY_H

#include "nccl_rank.h"

enum {
    MANY_COLLECTIVES = 60,
    MANY_MESSAGES = 10,
    MANY_MOST = MANY_COLLECTIVES + 2 * MANY_MESSAGES * NCCL_RANKS
};

typedef struct many {
    dist_wire_request *request[MANY_MOST];
    int32_t *data[MANY_MOST];
    int finished[MANY_MOST], expect[MANY_MOST], count[MANY_MOST], own[MANY_MOST];
    int requests;
} many;

static inline void add(nccl_rank *s, many *m, dist_wire_request *request, int32_t *data, int count, int own,
                       int expect)
{
    const int i = m->requests++;
    m->request[i] = request;
    m->data[i] = data;
    m->count[i] = count;
    m->own[i] = own;
    m->expect[i] = expect;
    if (request)
        request->owner = &m->finished[i];
    EXPECT(s, request != NULL);
}

static inline void make_many(nccl_rank *s, many *m)
{
    const int ranks = s->ranks;
    int sum = 0;
    for (int r = 0; r < ranks; r++)
        sum += r + 1;
    for (int i = 0; i < MANY_COLLECTIVES; i++) {
        const int count = 1 + i * 13 % 200;
        int32_t *data = nccl_memory(s, (size_t)count * 4);
        dist_wire_request *request = NULL;
        dist_wire_collective call = {.kind = i % 9 == 8 ? DIST_NATIVE_BARRIER : DIST_NATIVE_ALL_REDUCE,
                                     .type = DIST_INT32,
                                     .space = 5 + i % 2,
                                     .ticket = (uint32_t)i,
                                     .count = (uint64_t)count,
                                     .send = DIST_IN_PLACE,
                                     .receive = data};
        EXPECT(s, s->wire->ops->collective(s->wire, &call, &request) == DIST_OK);
        const bool barrier = call.kind == DIST_NATIVE_BARRIER;
        add(s, m, request, data, count, (s->rank + 1) * (i + 1), (barrier ? s->rank + 1 : sum) * (i + 1));
    }
    for (int peer = 0; peer < ranks; peer++)
        for (int i = 0; i < 2 * MANY_MESSAGES && peer != s->rank; i++) {
            const int pair = i / 2, count = 1 + pair * 7 % 50, from = i % 2 ? s->rank : peer;
            int32_t *data = nccl_memory(s, (size_t)count * 4);
            dist_wire_request *request = NULL;
            const dist_wire_message message = {.send = i % 2,
                                               .peer = peer,
                                               .channel = pair % 3,
                                               .tag = (uint32_t)pair,
                                               .buffer = data,
                                               .bytes = (uint64_t)count * 4};
            EXPECT(s, s->wire->ops->message(s->wire, &message, &request) == DIST_OK);
            add(s, m, request, data, count, s->rank * 1000 + pair, from * 1000 + pair);
        }
}

static inline uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* All are started in an order of this rank's own, some while others run. */
static inline void run_round(nccl_rank *s, many *m, int round)
{
    uint64_t seed = (uint64_t)(s->rank * 1000 + round);
    int order[MANY_MOST], finished = 0;
    int32_t host[200];
    for (int i = 0; i < m->requests; i++) {
        order[i] = i;
        m->finished[i] = 0;
        for (int k = 0; k < m->count[i]; k++)
            host[k] = m->own[i] + round;
        nccl_copy(s, m->data[i], host, (size_t)m->count[i] * 4);
    }
    for (int i = m->requests - 1; i > 0; i--) {
        const int j = (int)(draw(&seed) % (uint32_t)(i + 1)), was = order[i];
        order[i] = order[j];
        order[j] = was;
    }
    for (int i = 0; i < m->requests; i++) {
        EXPECT(s, s->wire->ops->start(m->request[order[i]]) == DIST_OK);
        if (draw(&seed) % 4 == 0)
            finished += nccl_finish(s, 1, 0);
        if (round % 2 && draw(&seed) % 8 == 0)
            finished += nccl_finish(s, 1, 1e-5);
    }
    finished += nccl_finish(s, m->requests - finished, 20);
    EXPECT(s, finished == m->requests);
    for (int i = 0; i < m->requests; i++) {
        const int rounds = m->expect[i] != m->own[i] && i < MANY_COLLECTIVES ? s->ranks : 1;
        bool right = m->finished[i] == 1;
        nccl_copy(s, host, m->data[i], (size_t)m->count[i] * 4);
        for (int k = 0; k < m->count[i]; k++)
            right &= host[k] == m->expect[i] + round * rounds;
        if (!right)
            fprintf(stderr, "request %d: %d, not %d\n", i, host[0], m->expect[i] + round * rounds);
        EXPECT(s, right);
    }
}

/* Opens a wire with edges between all, runs `rounds` rounds and closes it. */
static inline void run_many(nccl_rank *s, int rounds)
{
    many *m = calloc(1, sizeof *m);
    EXPECT(s, m && nccl_open_all(s) == DIST_OK);
    EXPECT(s, s->wire && nccl_all_edges(s) == DIST_OK);
    if (!s->wrong)
        make_many(s, m);
    const dist_nccl_wire *wire = (const dist_nccl_wire *)s->wire;
    const size_t places = s->wrong ? 0 : wire->places;
    const size_t capacity = s->wrong ? 0 : wire->link->capacity;
    for (int round = 0; round < rounds && !s->wrong; round++)
        run_round(s, m, round);
    /* nothing has grown since the requests were made */
    EXPECT(s, s->wrong || (wire->places == places && wire->link->capacity == capacity));
    for (int i = 0; m && i < m->requests; i++) {
        s->wire->ops->release(m->request[i]);
        s->cuda->release(m->data[i]);
    }
    free(m);
    if (s->wire)
        s->wire->ops->close(s->wire, s->wrong > 0);
}

#endif
