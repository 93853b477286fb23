/* Two ranks of the TCP wire in one process, driven in turn by one thread; only opening and closing, which wait for each other, have
 * a thread each. */
#ifndef DIST_TESTS_TCP_PAIR_H
#define DIST_TESTS_TCP_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "fake_wire.h"
#include "wire/tcp.h"
#include "wire/tcp_internal.h"

#define PATIENCE 20.0 /* seconds for what should take milliseconds */

typedef struct tcp_pair {
    fake_net *net;
    fake_wire *control[2];
    dist_topology *topology;
    dist_tcp_setup setup[2];
    dist_wire *wire[2];
    dist_status status[2]; /* of opening, or of the poll that failed */
    dist_wire_request *blamed[2];
    char sentence[2][DIST_ERROR_MAX];
} tcp_pair;

typedef struct tcp_side {
    tcp_pair *pair;
    int side;
} tcp_side;

static void *tcp_open_side(void *argument)
{
    const tcp_side *s = argument;
    tcp_pair *pair = s->pair;
    pair->status[s->side] = dist_wire_tcp_open(&pair->wire[s->side], &pair->setup[s->side]);
    snprintf(pair->sentence[s->side], DIST_ERROR_MAX, "%s", dist_last_error());
    return NULL;
}

static void *tcp_close_side(void *argument)
{
    const tcp_side *s = argument;
    dist_wire *wire = s->pair->wire[s->side];
    if (wire)
        wire->ops->close(wire, s->pair->status[s->side] < 0);
    return NULL;
}

static void tcp_both(tcp_pair *pair, void *(*function)(void *))
{
    tcp_side side[2] = {{pair, 0}, {pair, 1}};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, function, &side[1]), 0);
    function(&side[0]);
    pthread_join(other, NULL);
}

static void tcp_pair_init(tcp_pair *pair, int streams)
{
    memset(pair, 0, sizeof *pair);
    pair->net = fake_net_create(2);
    assert_int_equal(dist_topology_describe(&pair->topology, "1,1"), DIST_OK);
    for (int i = 0; i < 2; i++) {
        pair->control[i] = fake_wire_create(pair->net, i);
        pair->setup[i] = (dist_tcp_setup){.control = &pair->control[i]->base,
                                          .topology = pair->topology,
                                          .streams = streams,
                                          .interface = "",
                                          .congestion = "",
                                          .timeout = PATIENCE};
    }
}

static void tcp_pair_open(tcp_pair *pair, int streams)
{
    tcp_pair_init(pair, streams);
    tcp_both(pair, tcp_open_side);
    for (int i = 0; i < 2; i++)
        if (pair->status[i] != DIST_OK)
            fail_msg("rank %d: %s", i, pair->sentence[i]);
}

static void tcp_pair_close(tcp_pair *pair)
{
    tcp_both(pair, tcp_close_side);
    for (int i = 0; i < 2; i++)
        free(pair->control[i]);
    dist_topology_destroy(pair->topology);
    fake_net_destroy(pair->net);
}

/* A request of rank `side`; *done, if any, is set when it has ended. */
static dist_wire_request *tcp_make(tcp_pair *pair, int side, bool send, uint32_t tag, void *buffer,
                                   uint64_t bytes, bool *done)
{
    dist_wire *wire = pair->wire[side];
    dist_wire_request *request;
    const dist_wire_message message = {.send = send,
                                       .peer = 1 - side,
                                       .channel = DIST_CHANNEL_ACROSS,
                                       .tag = tag,
                                       .buffer = buffer,
                                       .bytes = bytes};
    assert_int_equal(wire->ops->message(wire, &message, &request), DIST_OK);
    request->owner = done;
    return request;
}

static void tcp_start(tcp_pair *pair, int side, dist_wire_request *request)
{
    if (request->owner)
        *(bool *)request->owner = false;
    const dist_status status = request->wire->ops->start(request);
    if (status < 0) {
        pair->status[side] = status;
        snprintf(pair->sentence[side], DIST_ERROR_MAX, "%s", dist_last_error());
    }
}

/* One look of rank `side`. */
static void tcp_poll_side(tcp_pair *pair, int side)
{
    dist_wire_request *const *done;
    int count;
    dist_wire *wire = pair->wire[side];
    if (pair->status[side] < 0)
        return;
    pair->status[side] = wire->ops->poll(wire, &done, &count, &pair->blamed[side]);
    if (pair->status[side] < 0)
        snprintf(pair->sentence[side], DIST_ERROR_MAX, "%s", dist_last_error());
    for (int i = 0; i < count && pair->status[side] >= 0; i++)
        if (done[i]->owner)
            *(bool *)done[i]->owner = true;
}

/* Drives both until all of `done` is true, or a rank has failed; false when time is over. */
static bool tcp_drive(tcp_pair *pair, const bool *done, size_t count)
{
    const int64_t deadline = dist_deadline(PATIENCE);
    for (size_t first = 0; first < count;) {
        tcp_poll_side(pair, 0);
        tcp_poll_side(pair, 1);
        if (pair->status[0] < 0 || pair->status[1] < 0)
            return true;
        while (first < count && done[first])
            first++;
        if (dist_now() > deadline)
            return false;
    }
    return true;
}

/* Both sides have met with all streams. */
static void tcp_meet(tcp_pair *pair, int streams)
{
    const int64_t deadline = dist_deadline(PATIENCE);
    dist_wire_request *request[2];
    char byte = 0;
    for (int i = 0; i < 2; i++)
        request[i] = tcp_make(pair, i, i == 0, 9999, &byte, 1, NULL);
    for (;;) {
        const dist_tcp_peer *a = ((dist_tcp_wire *)pair->wire[0])->peer[1],
                            *b = ((dist_tcp_wire *)pair->wire[1])->peer[0];
        if (a->open == streams && b->open == streams)
            break;
        assert_true(dist_now() < deadline);
        tcp_poll_side(pair, 0);
        tcp_poll_side(pair, 1);
    }
    for (int i = 0; i < 2; i++)
        request[i]->wire->ops->release(request[i]);
}

static inline void tcp_fill(unsigned char *data, size_t bytes, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (unsigned char)(state >> 24);
    }
}

#endif
