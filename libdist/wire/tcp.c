#define _GNU_SOURCE

#include "wire/tcp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "wire/tcp_internal.h"

#define OPEN_TIMEOUT  60.0    /* seconds for all ranks to come */
#define CLOSE_TIMEOUT 10.0    /* seconds for all ranks to be done, before sockets are closed under them */
#define MIND_EVERY    5000000 /* ns between looks at deadlines */
#define IDLE_LOOKS    50000   /* ns between looks at the sockets while nothing of this rank's is under way */
#define EVENTS        64

/* ---- requests ---- */

void dist_tcp_finished(dist_tcp_message *message)
{
    dist_tcp_wire *wire = message->peer->wire;
    message->running = false;
    message->peer->running--;
    wire->running--;
    if (message->orphan)
        free(message);
    else if (!message->posted)
        wire->finished[wire->finished_count++] = &message->base;
}

static dist_status make_message(dist_tcp_wire *wire, const dist_wire_message *what, dist_tcp_message *message)
{
    dist_tcp_peer *peer = dist_tcp_meet(wire, what->peer);
    message->base.wire = &wire->base;
    message->what = *what;
    message->peer = peer;
    message->match = peer ? dist_tcp_find(peer, (uint16_t)what->channel, what->tag) : NULL;
    if (!message->match)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a message %s rank %d", what->send ? "to" : "from",
                         what->peer);
    return DIST_OK;
}

static dist_status tcp_message(dist_wire *base, const dist_wire_message *what, dist_wire_request **out)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    const size_t needed = wire->existing + 1;
    dist_tcp_message *message = calloc(1, sizeof *message);
    if (!message || !dist_grow(&wire->finished, &wire->finished_room, needed, sizeof *wire->finished) ||
        !dist_grow(&wire->done, &wire->done_room, needed, sizeof *wire->done)) {
        free(message);
        return dist_fail(DIST_ERR_MEMORY, "no memory for message number %zu", needed);
    }
    const dist_status status = make_message(wire, what, message);
    if (status < 0) {
        free(message);
        return status;
    }
    wire->existing = needed;
    *out = &message->base;
    return DIST_OK;
}

static dist_status total_of(const dist_wire_message *what, uint64_t *total)
{
    dist_parcel parcel;
    *total = what->bytes;
    if (!what->variable || !what->send)
        return DIST_OK;
    memcpy(&parcel, what->buffer, sizeof parcel);
    if (parcel.bytes > what->bytes - sizeof parcel)
        return dist_fail(DIST_ERR_ARGUMENT, "%llu bytes are to be sent, but at most %llu were declared",
                         (unsigned long long)parcel.bytes, (unsigned long long)(what->bytes - sizeof parcel));
    *total = sizeof parcel + parcel.bytes;
    return DIST_OK;
}

static dist_status start(dist_tcp_message *message)
{
    dist_tcp_peer *peer = message->peer;
    if (peer->gone)
        return dist_fail(DIST_ERR_SYSTEM, "%s", peer->why);
    DIST_TRY(total_of(&message->what, &message->total));
    if (peer->open == 0 && peer->running == 0)
        peer->meet_by = dist_deadline(DIST_TCP_MEET * peer->wire->timeout);
    message->running = true;
    peer->running++;
    peer->wire->running++;
    return message->what.send ? dist_tcp_send(message) : dist_tcp_receive(message);
}

static dist_status tcp_start(dist_wire_request *request)
{
    return start((dist_tcp_message *)request);
}

static void tcp_release(dist_wire_request *request)
{
    dist_tcp_message *message = (dist_tcp_message *)request;
    if (!message)
        return;
    dist_tcp_wire *wire = message->peer->wire;
    wire->existing--;
    for (size_t i = 0; i < wire->finished_count; i++)
        if (wire->finished[i] == request)
            wire->finished[i--] = wire->finished[--wire->finished_count];
    if (message->running) {
        if (message->what.send)
            dist_tcp_forget_send(message);
        else
            dist_tcp_forget_receive(message);
        if (message->what.send && message->under_way > 0) { /* a stream is in the middle of it */
            message->orphan = true;
            message->assigned = message->total;
            return;
        }
        message->peer->running--;
        wire->running--;
    }
    free(message);
}

/* ---- progress ---- */

/* *more: there may be others. */
static dist_status heed_events(dist_tcp_wire *wire, bool *more)
{
    struct epoll_event event[EVENTS];
    const int count = epoll_wait(wire->poller, event, EVENTS, 0);
    *more = count == EVENTS;
    for (int i = 0; i < count; i++) {
        const uint64_t what = event[i].data.u64;
        if (what == 1) {
            DIST_TRY(dist_tcp_accept(wire));
            continue;
        }
        if ((what & 3) == 2) {
            dist_tcp_guest_speaks(wire, (int)(what >> 2));
            continue;
        }
        dist_tcp_stream *stream = (dist_tcp_stream *)(uintptr_t)what;
        if (stream->state == DIST_TCP_APART)
            continue;
        if (event[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            stream->readable = true;
        if (event[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            stream->blocked = false;
        dist_tcp_due(stream);
    }
    return DIST_OK;
}

static dist_status progress(dist_tcp_wire *wire)
{
    const int64_t now = dist_now();
    if (wire->running == 0 && !wire->due && now - wire->looked < IDLE_LOOKS)
        return DIST_OK;
    wire->looked = now;
    bool more;
    DIST_TRY(heed_events(wire, &more));
    dist_tcp_stream *stream = wire->due;
    wire->due = wire->due_last = NULL;
    for (dist_tcp_stream *next; stream; stream = next) {
        next = stream->next_due;
        stream->due = false;
        if (stream->state != DIST_TCP_APART)
            DIST_TRY(dist_tcp_serve(stream));
    }
    if (!more && now - wire->minded > MIND_EVERY) {
        wire->minded = now;
        DIST_TRY(dist_tcp_mind(wire, now));
    }
    return DIST_OK;
}

/* One of the messages that cannot end any more. */
static dist_wire_request *stuck(const dist_tcp_peer *peer)
{
    const dist_tcp_list *const list[] = {&peer->held, &peer->waiting, &peer->small, &peer->large};
    for (size_t i = 0; i < peer->match_room; i++)
        if (peer->match[i] && peer->match[i]->receives.first)
            return &peer->match[i]->receives.first->base;
    for (int l = 0; l < 4; l++)
        if (list[l]->first)
            return &list[l]->first->base;
    return NULL;
}

static dist_status tcp_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                            dist_wire_request **failed)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    *failed = NULL;
    *count = 0;
    const dist_status status = progress(wire);
    if (status < 0) {
        dist_wire_request *request = wire->failed ? stuck(wire->failed) : NULL;
        if (request && !((dist_tcp_message *)request)->posted)
            *failed = request;
        return status;
    }
    dist_wire_request **finished = wire->finished;
    const size_t room = wire->finished_room;
    *count = (int)wire->finished_count;
    *done = finished;
    wire->finished = wire->done;
    wire->finished_room = wire->done_room;
    wire->finished_count = 0;
    wire->done = finished;
    wire->done_room = room;
    return DIST_OK;
}

static dist_status tcp_post(dist_wire *base, const dist_wire_message *what, dist_wire_token *token)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    dist_tcp_message *message = wire->spare;
    if (message)
        wire->spare = message->next;
    else if (!(message = malloc(sizeof *message)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for a short message");
    memset(message, 0, sizeof *message);
    message->posted = true;
    token->opaque[0] = message;
    DIST_TRY(make_message(wire, what, message));
    return start(message);
}

static dist_status tcp_finish(dist_wire *base, dist_wire_token *token, bool *done)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    dist_tcp_message *message = token->opaque[0];
    *done = !message->running;
    if (!*done) {
        DIST_TRY(progress(wire));
        *done = !message->running;
    }
    if (*done) {
        message->next = wire->spare;
        wire->spare = message;
    }
    return DIST_OK;
}

/* Looking at the poller leaves its events to be taken. */
static bool tcp_rest(dist_wire *base, int64_t nanoseconds)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    struct pollfd poller = {.fd = wire->poller, .events = POLLIN};
    const struct timespec most = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    (void)ppoll(&poller, 1, &most, NULL);
    return true;
}

/* ---- life ---- */

static void free_stream(dist_tcp_stream *stream)
{
    if (!stream)
        return;
    if (stream->state != DIST_TCP_APART)
        close(stream->fd);
    if (stream->sending && stream->sending->orphan && --stream->sending->under_way == 0)
        free(stream->sending);
    free(stream);
}

static void free_peer(dist_tcp_peer *peer)
{
    for (int s = 0; peer && s < DIST_TCP_STREAMS_MOST; s++)
        free_stream(peer->stream[s]);
    if (peer)
        dist_tcp_free_matches(peer);
    free(peer);
}

static bool keep_going(void *argument)
{
    dist_tcp_wire *wire = argument;
    (void)progress(wire); /* a peer that is gone needs nothing more */
    return true;
}

static void tcp_close(dist_wire *base, bool failed)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    char *all = failed ? NULL : malloc((size_t)base->ranks);
    const dist_patience patience = {
        .deadline = dist_deadline(CLOSE_TIMEOUT), .idle = keep_going, .argument = wire};
    if (all)
        (void)wire->control->ops->exchange(wire->control, &(char){0}, all, 1, &patience);
    free(all);
    for (int rank = 0; rank < base->ranks; rank++)
        free_peer(wire->peer[rank]);
    for (int g = 0; g < DIST_TCP_GUESTS; g++)
        if (wire->guest[g].fd >= 0)
            close(wire->guest[g].fd);
    if (wire->listener >= 0)
        close(wire->listener);
    if (wire->poller >= 0)
        close(wire->poller);
    for (dist_tcp_message *next; wire->spare; wire->spare = next) {
        next = wire->spare->next;
        free(wire->spare);
    }
    free(wire->peer);
    free(wire->card);
    free(wire->same_node);
    free(wire->finished);
    free(wire->done);
    free(wire);
}

static const dist_wire_ops tcp_ops = {
    .name = "tcp",
    .message = tcp_message,
    .start = tcp_start,
    .poll = tcp_poll,
    .release = tcp_release,
    .post = tcp_post,
    .finish = tcp_finish,
    .rest = tcp_rest,
    .describe = dist_tcp_describe,
    .close = tcp_close,
};

static dist_tcp_wire *allocate(const dist_tcp_setup *setup)
{
    const size_t ranks = (size_t)setup->control->ranks;
    dist_tcp_wire *wire = calloc(1, sizeof *wire);
    if (!wire)
        return NULL;
    wire->base = (dist_wire){.ops = &tcp_ops,
                             .rank = setup->control->rank,
                             .ranks = setup->control->ranks,
                             .tags = UINT32_MAX,
                             .one_way = UINT64_MAX,
                             .threaded = true};
    wire->control = setup->control;
    wire->log = setup->log;
    wire->streams = setup->streams;
    wire->timeout = setup->timeout;
    wire->poller = wire->listener = -1;
    for (int g = 0; g < DIST_TCP_GUESTS; g++)
        wire->guest[g].fd = -1;
    wire->peer = calloc(ranks, sizeof(dist_tcp_peer *));
    wire->card = calloc(ranks, sizeof *wire->card);
    wire->same_node = calloc(ranks, sizeof *wire->same_node);
    if (!wire->peer || !wire->card || !wire->same_node) {
        free(wire->peer);
        free(wire->card);
        free(wire->same_node);
        free(wire);
        return NULL;
    }
    return wire;
}

static dist_status listen_here(dist_tcp_wire *wire, const dist_tcp_setup *setup, dist_tcp_card *card)
{
    char name[32], address[80];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1};
    if (strlen(setup->congestion) >= sizeof wire->congestion)
        return dist_fail(DIST_ERR_CONFIG, "DIST_CONGESTION is '%.40s...', which is too long",
                         setup->congestion);
    strcpy(wire->congestion, setup->congestion);
    if (getrandom(&card->number, sizeof card->number, 0) != (ssize_t)sizeof card->number)
        return dist_fail(DIST_ERR_SYSTEM, "getrandom: %s", strerror(errno));
    DIST_TRY(dist_tcp_addresses(setup->interface, card, name, sizeof name));
    DIST_TRY(dist_tcp_listen(setup, card, &wire->listener, &card->port));
    if (setup->interface[0])
        wire->bound = card->address[0];
    dist_tcp_format_address(&card->address[0], card->port, address, sizeof address);
    snprintf(wire->place, sizeof wire->place, "%s (%s)", address, name);
    wire->poller = epoll_create1(EPOLL_CLOEXEC);
    if (wire->poller < 0 || epoll_ctl(wire->poller, EPOLL_CTL_ADD, wire->listener, &event) != 0)
        return dist_fail(DIST_ERR_SYSTEM, "epoll: %s", strerror(errno));
    return DIST_OK;
}

/* All ranks' cards; the first that says what went wrong speaks for all. */
static dist_status exchange_cards(dist_tcp_wire *wire, const dist_topology *topology,
                                  const dist_tcp_card *mine)
{
    const int ranks = wire->base.ranks, me = wire->base.rank;
    const dist_patience patience = {.deadline = dist_deadline(OPEN_TIMEOUT)};
    DIST_TRY(wire->control->ops->exchange(wire->control, mine, wire->card, sizeof *mine, &patience));
    for (int r = 0; r < ranks; r++)
        if (wire->card[r].status < 0)
            return dist_fail((dist_status)wire->card[r].status, "rank %d on %s: %s", r,
                             topology->place[r].host, wire->card[r].sentence);
    wire->job = wire->card[0].number;
    for (int r = 0; r < ranks; r++) {
        wire->same_node[r] = topology->place[r].node == topology->place[me].node;
        if (r != me)
            dist_tcp_sort_addresses(mine, &wire->card[r], wire->same_node[r]);
    }
    return DIST_OK;
}

dist_status dist_wire_tcp_open(dist_wire **out, const dist_tcp_setup *setup)
{
    dist_tcp_card mine;
    dist_tcp_wire *wire = allocate(setup);
    *out = NULL;
    memset(&mine, 0, sizeof mine); /* it travels */
    dist_status status = wire ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for the TCP wire");
    if (status < 0)
        return status;
    status = listen_here(wire, setup, &mine);
    mine.status = status;
    if (status < 0)
        snprintf(mine.sentence, sizeof mine.sentence, "%s", dist_last_error());
    status = exchange_cards(wire, setup->topology, &mine);
    if (status < 0) {
        tcp_close(&wire->base, true);
        return status;
    }
    *out = &wire->base;
    return DIST_OK;
}

void dist_wire_tcp_use_streams(dist_wire *base, int streams)
{
    dist_tcp_wire *wire = (dist_tcp_wire *)base;
    wire->streams = streams;
    for (int rank = 0; rank < base->ranks; rank++)
        if (wire->peer[rank])
            (void)dist_tcp_more_streams(wire->peer[rank]); /* fewer streams also do */
}

int dist_wire_tcp_streams(const dist_wire *base)
{
    return ((const dist_tcp_wire *)base)->streams;
}

void dist_wire_tcp_counts(const dist_wire *base, dist_tcp_counts *counts)
{
    *counts = ((const dist_tcp_wire *)base)->counts;
}

const char *dist_wire_tcp_place(const dist_wire *base)
{
    return ((const dist_tcp_wire *)base)->place;
}
