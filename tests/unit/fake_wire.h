/* A wire between threads of one process, for tests of the engine without MPI: each thread is a rank. Messages meet in shared
 * memory; a rank can be made to lose them. */
#ifndef DIST_TESTS_FAKE_WIRE_H
#define DIST_TESTS_FAKE_WIRE_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "plan/plan.h"
#include "wire/wire.h"

enum { FAKE_RANKS = 4, FAKE_ROUNDS = 4, FAKE_NOTES = 16, FAKE_EXCHANGE = 65536 };

typedef struct fake_request {
    dist_wire_request base;
    dist_wire_message message;
    int from, to;
    bool late; /* on its way until fake_deliver */
    enum { FAKE_IDLE, FAKE_POSTED, FAKE_DONE } state;
    struct fake_request *next; /* posted ones of the net */
} fake_request;

typedef struct fake_net {
    pthread_mutex_t lock;
    int ranks;
    fake_request *posted;
    struct {
        char data[FAKE_RANKS][FAKE_EXCHANGE];
        int arrived, left;
    } round[FAKE_ROUNDS];
    char note[FAKE_RANKS][FAKE_NOTES][DIST_NOTE_MAX];
    int note_from[FAKE_RANKS][FAKE_NOTES], notes[FAKE_RANKS];
    int lossy;             /* what this rank sends never arrives; -1: none */
    int late;              /* what this rank sends arrives when fake_deliver is called; -1: none */
    uint32_t tags;         /* that its wires have */
    int spoils;            /* one bit of what this rank sends between sites changes on the way; -1: none */
    int breaks;            /* starting a message fails on this rank; -1: none */
    pthread_barrier_t all; /* for tests: all ranks */
    void *(*place)(const void *buffer); /* where the bytes of device memory are; NULL: there is none */
} fake_net;

typedef struct fake_wire {
    dist_wire base;
    fake_net *net;
    int exchanges;
    fake_request *active[4096];
    dist_wire_request *done[4096];
    int actives, heard;
} fake_wire;

static inline bool fake_meet(const fake_request *a, const fake_request *b)
{
    return !a->late && !b->late && a->from == b->from && a->to == b->to &&
           a->message.send != b->message.send && a->message.channel == b->message.channel &&
           a->message.tag == b->message.tag;
}

static inline void *fake_place(const fake_net *net, void *buffer)
{
    return net->place ? net->place(buffer) : buffer;
}

static inline void fake_post(fake_net *net, fake_request *request)
{
    pthread_mutex_lock(&net->lock);
    request->state = FAKE_POSTED;
    request->late = request->message.send && request->from == net->late;
    if (request->message.send && request->from == net->lossy) {
        pthread_mutex_unlock(&net->lock);
        return;
    }
    for (fake_request **link = &net->posted; *link; link = &(*link)->next)
        if (fake_meet(*link, request)) {
            fake_request *other = *link, *send = request->message.send ? request : other;
            fake_request *receive = request->message.send ? other : request;
            uint64_t bytes = send->message.bytes;
            if (send->message.variable)
                bytes = sizeof(dist_parcel) + ((const dist_parcel *)send->message.buffer)->bytes;
            char *const to = fake_place(net, receive->message.buffer);
            memcpy(to, fake_place(net, send->message.buffer), bytes);
            if (send->from == net->spoils && send->message.channel == DIST_CHANNEL_ACROSS)
                to[send->message.bytes / 2] ^= 4;
            *link = other->next;
            request->state = other->state = FAKE_DONE;
            pthread_mutex_unlock(&net->lock);
            return;
        }
    request->next = net->posted;
    net->posted = request;
    pthread_mutex_unlock(&net->lock);
}

/* What `rank` sends from now on is late. */
static inline void fake_hold(fake_net *net, int rank)
{
    pthread_mutex_lock(&net->lock);
    net->late = rank;
    pthread_mutex_unlock(&net->lock);
}

/* What was late arrives. */
static inline void fake_deliver(fake_net *net)
{
    fake_request *late = NULL;
    pthread_mutex_lock(&net->lock);
    net->late = -1;
    for (fake_request **link = &net->posted; *link;) {
        fake_request *request = *link;
        if (!request->late) {
            link = &request->next;
            continue;
        }
        *link = request->next;
        request->next = late;
        late = request;
    }
    pthread_mutex_unlock(&net->lock);
    while (late) {
        fake_request *request = late;
        late = request->next;
        fake_post(net, request);
    }
}

static inline dist_status fake_message(dist_wire *base, const dist_wire_message *message,
                                       dist_wire_request **out)
{
    fake_request *request = calloc(1, sizeof *request);
    request->base.wire = base;
    request->message = *message;
    request->from = message->send ? base->rank : message->peer;
    request->to = message->send ? message->peer : base->rank;
    *out = &request->base;
    return DIST_OK;
}

static inline dist_status fake_start(dist_wire_request *base)
{
    fake_wire *wire = (fake_wire *)base->wire;
    if (base->wire->rank == wire->net->breaks)
        return dist_fail(DIST_ERR_MPI, "the fake is broken");
    wire->active[wire->actives++] = (fake_request *)base;
    fake_post(wire->net, (fake_request *)base);
    return DIST_OK;
}

static inline dist_status fake_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                                    dist_wire_request **failed)
{
    fake_wire *wire = (fake_wire *)base;
    int kept = 0;
    *count = 0;
    *failed = NULL;
    *done = wire->done;
    pthread_mutex_lock(&wire->net->lock);
    for (int i = 0; i < wire->actives; i++)
        if (wire->active[i]->state == FAKE_DONE)
            wire->done[(*count)++] = &wire->active[i]->base;
        else
            wire->active[kept++] = wire->active[i];
    pthread_mutex_unlock(&wire->net->lock);
    wire->actives = kept;
    return DIST_OK;
}

static inline void fake_withdraw(fake_net *net, fake_request *request)
{
    pthread_mutex_lock(&net->lock);
    for (fake_request **link = &net->posted; *link; link = &(*link)->next)
        if (*link == request) {
            *link = request->next;
            break;
        }
    pthread_mutex_unlock(&net->lock);
}

static inline void fake_release(dist_wire_request *base)
{
    if (base)
        fake_withdraw(((fake_wire *)base->wire)->net, (fake_request *)base);
    free(base);
}

static inline dist_status fake_quick_post(dist_wire *base, const dist_wire_message *message,
                                          dist_wire_token *token)
{
    dist_wire_request *request;
    DIST_TRY(fake_message(base, message, &request));
    token->opaque[0] = request;
    fake_post(((fake_wire *)base)->net, (fake_request *)request);
    return DIST_OK;
}

static inline dist_status fake_quick_finish(dist_wire *base, dist_wire_token *token, bool *done)
{
    fake_wire *wire = (fake_wire *)base;
    fake_request *request = token->opaque[0];
    pthread_mutex_lock(&wire->net->lock);
    *done = request->state == FAKE_DONE;
    pthread_mutex_unlock(&wire->net->lock);
    if (*done)
        free(request);
    return DIST_OK;
}

static inline dist_status fake_open_channels(dist_wire *wire, int channels, const dist_patience *patience)
{
    (void)wire;
    (void)channels;
    (void)patience;
    return DIST_OK;
}

static inline dist_status fake_exchange(dist_wire *base, const void *mine, void *all, size_t bytes,
                                        const dist_patience *patience)
{
    fake_wire *wire = (fake_wire *)base;
    fake_net *net = wire->net;
    int at = wire->exchanges++ % FAKE_ROUNDS, arrived = 0;
    if (bytes > FAKE_EXCHANGE)
        return dist_fail(DIST_ERR_UNSUPPORTED, "%zu bytes are too many for the fake", bytes);
    pthread_mutex_lock(&net->lock);
    memcpy(net->round[at].data[base->rank], mine, bytes);
    net->round[at].arrived++;
    pthread_mutex_unlock(&net->lock);
    while (arrived < net->ranks) {
        if (dist_now() > patience->deadline)
            return dist_fail(DIST_ERR_TIMEOUT, "another rank did not take part in time");
        if (patience->idle && !patience->idle(patience->argument))
            return dist_fail(DIST_ERR_STATE, "given up");
        sched_yield();
        pthread_mutex_lock(&net->lock);
        arrived = net->round[at].arrived;
        pthread_mutex_unlock(&net->lock);
    }
    pthread_mutex_lock(&net->lock);
    for (int r = 0; r < net->ranks; r++)
        memcpy((char *)all + (size_t)r * bytes, net->round[at].data[r], bytes);
    if (++net->round[at].left == net->ranks)
        net->round[at].arrived = net->round[at].left = 0;
    pthread_mutex_unlock(&net->lock);
    return DIST_OK;
}

static inline void fake_tell(dist_wire *base, const char note[DIST_NOTE_MAX])
{
    fake_net *net = ((fake_wire *)base)->net;
    pthread_mutex_lock(&net->lock);
    for (int r = 0; r < net->ranks; r++)
        if (r != base->rank && net->notes[r] < FAKE_NOTES) {
            memcpy(net->note[r][net->notes[r]], note, DIST_NOTE_MAX);
            net->note_from[r][net->notes[r]++] = base->rank;
        }
    pthread_mutex_unlock(&net->lock);
}

static inline bool fake_hear(dist_wire *base, char note[DIST_NOTE_MAX], int *from)
{
    fake_wire *wire = (fake_wire *)base;
    pthread_mutex_lock(&wire->net->lock);
    bool any = wire->heard < wire->net->notes[base->rank];
    if (any) {
        memcpy(note, wire->net->note[base->rank][wire->heard], DIST_NOTE_MAX);
        *from = wire->net->note_from[base->rank][wire->heard++];
    }
    pthread_mutex_unlock(&wire->net->lock);
    return any;
}

static const dist_wire_ops fake_ops = {.name = "fake",
                                       .message = fake_message,
                                       .start = fake_start,
                                       .poll = fake_poll,
                                       .release = fake_release,
                                       .post = fake_quick_post,
                                       .finish = fake_quick_finish,
                                       .exchange = fake_exchange,
                                       .open_channels = fake_open_channels,
                                       .tell = fake_tell,
                                       .hear = fake_hear};

static inline fake_net *fake_net_create(int ranks)
{
    fake_net *net = calloc(1, sizeof *net);
    pthread_mutex_init(&net->lock, NULL);
    net->ranks = ranks;
    net->lossy = net->late = net->breaks = net->spoils = -1;
    net->tags = 1000000;
    pthread_barrier_init(&net->all, NULL, (unsigned)ranks);
    return net;
}

static inline void fake_net_destroy(fake_net *net)
{
    pthread_barrier_destroy(&net->all);
    pthread_mutex_destroy(&net->lock);
    free(net);
}

static inline fake_wire *fake_wire_create(fake_net *net, int rank)
{
    fake_wire *wire = calloc(1, sizeof *wire);
    wire->base =
        (dist_wire){.ops = &fake_ops, .rank = rank, .ranks = net->ranks, .tags = net->tags, .threaded = true};
    wire->net = net;
    return wire;
}

#endif
