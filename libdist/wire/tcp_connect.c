/* How two ranks meet: the lower one connects and greets, the other greets back. The first stream finds an address that
 * leads there; the others follow it. */
#define _GNU_SOURCE

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/tcp_internal.h"

#define ATTEMPT 3.0  /* seconds for an address to answer, before the next is tried */
#define AGAIN   0.02 /* seconds until an attempt that was refused is repeated: the peer may not be there yet */
#define GREET   30.0 /* seconds for a guest to say who it is */

static dist_tcp_greeting greeting_to(const dist_tcp_wire *wire, int rank, int stream)
{
    dist_tcp_greeting greeting = {.magic = DIST_TCP_MAGIC,
                                  .version = DIST_TCP_VERSION,
                                  .job = wire->job,
                                  .from = wire->base.rank,
                                  .to = rank,
                                  .stream = stream};
    greeting.check = dist_tcp_check_of(&greeting, offsetof(dist_tcp_greeting, check));
    return greeting;
}

/* Why it cannot be: NULL when it can. */
static const char *refusal(const dist_tcp_wire *wire, const dist_tcp_greeting *greeting)
{
    if (greeting->magic != DIST_TCP_MAGIC ||
        greeting->check != dist_tcp_check_of(greeting, offsetof(dist_tcp_greeting, check)))
        return "it does not speak as libdist does";
    if (greeting->version != DIST_TCP_VERSION)
        return "it is of another version of libdist";
    if (greeting->job != wire->job)
        return "it is of another job";
    if (greeting->to != wire->base.rank || greeting->from < 0 || greeting->from >= wire->base.ranks ||
        greeting->stream < 0 || greeting->stream >= DIST_TCP_STREAMS_MOST)
        return "it looks for another rank";
    return NULL;
}

/* ---- sockets ---- */

/* Unsent bytes that a socket takes: enough to keep it busy until it is looked at again, and few enough that what is
 * urgent does not wait behind them. */
static int unsent_most(const dist_tcp_wire *wire)
{
    const int share = (256 << 10) / wire->streams;
    return share < (32 << 10) ? 32 << 10 : share;
}

static void set_options(const dist_tcp_wire *wire, int fd)
{
    const int on = 1, unsent = unsent_most(wire);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (wire->congestion[0] && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, wire->congestion,
                                          (socklen_t)strlen(wire->congestion)) != 0)
        dist_log_write(wire->log, DIST_LOG_WARN, "DIST_CONGESTION=%s: %s", wire->congestion, strerror(errno));
}

static dist_status watch(dist_tcp_wire *wire, int operation, int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = what};
    if (epoll_ctl(wire->poller, operation, fd, &event) != 0)
        return dist_fail(DIST_ERR_SYSTEM, "epoll_ctl: %s", strerror(errno));
    return DIST_OK;
}

static dist_tcp_stream *make_stream(dist_tcp_peer *peer, int number)
{
    dist_tcp_stream *stream = peer->stream[number];
    if (!stream && (stream = calloc(1, sizeof *stream)) != NULL) {
        stream->peer = peer;
        stream->number = number;
        stream->fd = -1;
        peer->stream[number] = stream;
    }
    return stream;
}

/* ---- connecting ---- */

/* dist_tcp_mind goes on from here. */
static dist_status attempt_failed(dist_tcp_stream *stream)
{
    close(stream->fd);
    stream->state = DIST_TCP_APART;
    stream->peer->connect_by = dist_deadline(AGAIN);
    return DIST_OK;
}

static dist_status begin(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    dist_tcp_wire *wire = peer->wire;
    const dist_tcp_card *card = &wire->card[peer->rank];
    struct sockaddr_storage where;
    const socklen_t length = dist_tcp_socket_address(&card->address[peer->address], card->port, &where);
    stream->fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0)
        return dist_fail(DIST_ERR_SYSTEM, "no socket for stream %d to rank %d: %s", stream->number,
                         peer->rank, strerror(errno));
    set_options(wire, stream->fd);
    if (wire->bound.family == card->address[peer->address].family) {
        struct sockaddr_storage own;
        const socklen_t bytes = dist_tcp_socket_address(&wire->bound, 0, &own);
        (void)bind(stream->fd, (void *)&own, bytes); /* the route then says which interface */
    }
    stream->state = DIST_TCP_CONNECTING;
    stream->blocked = true;
    stream->readable = false;
    stream->stage_begin = stream->stage_end = 0;
    if (stream->number == 0)
        peer->connect_by = dist_deadline(ATTEMPT);
    const int code = connect(stream->fd, (void *)&where, length);
    if (code != 0 && errno != EINPROGRESS)
        return attempt_failed(stream);
    return watch(wire, EPOLL_CTL_ADD, stream->fd, (uintptr_t)stream);
}

/* The first stream starts at the next address; after the last one, at the first again. */
static dist_status try_next(dist_tcp_peer *peer)
{
    dist_tcp_stream *stream = make_stream(peer, 0);
    if (!stream)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a stream to rank %d", peer->rank);
    if (stream->state != DIST_TCP_APART)
        close(stream->fd);
    stream->state = DIST_TCP_APART;
    peer->address = (peer->address + 1) % peer->wire->card[peer->rank].addresses;
    return begin(stream);
}

dist_status dist_tcp_connected(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        return attempt_failed(stream);
    const dist_tcp_greeting greeting = greeting_to(peer->wire, peer->rank, stream->number);
    if (send(stream->fd, &greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t)sizeof greeting)
        return attempt_failed(stream);
    stream->state = DIST_TCP_GREETING;
    return DIST_OK;
}

static void opened(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    stream->state = DIST_TCP_OPEN;
    stream->blocked = false;
    stream->readable = true;
    peer->open++;
    if (stream->number == 0)
        peer->connect_by = 0;
    dist_tcp_due(stream);
}

dist_status dist_tcp_more_streams(dist_tcp_peer *peer)
{
    if (peer->gone || peer->wire->base.rank > peer->rank || peer->open == 0)
        return DIST_OK;
    for (int s = 1; s < peer->wire->streams; s++) {
        if (peer->stream[s] && peer->stream[s]->state != DIST_TCP_APART)
            continue;
        if (!make_stream(peer, s))
            return dist_fail(DIST_ERR_MEMORY, "no memory for stream %d to rank %d", s, peer->rank);
        DIST_TRY(begin(peer->stream[s]));
    }
    return DIST_OK;
}

dist_status dist_tcp_greeted(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    const size_t wanted = sizeof(dist_tcp_greeting);
    const ssize_t n = recv(stream->fd, stream->stage + stream->stage_end, wanted - stream->stage_end, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        stream->readable = errno == EINTR;
        return DIST_OK;
    }
    if (n <= 0)
        return attempt_failed(stream);
    stream->stage_end += (size_t)n;
    if (stream->stage_end < wanted)
        return DIST_OK;
    dist_tcp_greeting greeting;
    memcpy(&greeting, stream->stage, wanted);
    stream->stage_end = 0;
    if (refusal(peer->wire, &greeting) || greeting.from != peer->rank || greeting.stream != stream->number)
        return attempt_failed(stream);
    opened(stream);
    return stream->number == 0 ? dist_tcp_more_streams(peer) : DIST_OK;
}

dist_tcp_peer *dist_tcp_meet(dist_tcp_wire *wire, int rank)
{
    dist_tcp_peer *peer = wire->peer[rank];
    if (peer)
        return peer;
    if (!(peer = calloc(1, sizeof *peer)))
        return NULL;
    peer->wire = wire;
    peer->rank = rank;
    peer->credit = DIST_TCP_ROOM;
    wire->peer[rank] = peer;
    if (wire->base.rank > rank)
        return peer; /* it connects to this rank */
    peer->address = wire->card[rank].addresses - 1;
    if (try_next(peer) < 0)
        peer->connect_by = dist_deadline(AGAIN); /* dist_tcp_mind goes on */
    return peer;
}

/* ---- being connected to ---- */

static void dismiss(dist_tcp_wire *wire, dist_tcp_guest *guest, const char *why)
{
    struct sockaddr_storage from;
    socklen_t length = sizeof from;
    char text[80] = "somebody";
    if (getpeername(guest->fd, (void *)&from, &length) == 0) {
        dist_tcp_address address = {.family = from.ss_family == AF_INET6 ? 6 : 4};
        memcpy(address.bytes,
               address.family == 6 ? (void *)&((struct sockaddr_in6 *)(void *)&from)->sin6_addr
                                   : (void *)&((struct sockaddr_in *)(void *)&from)->sin_addr,
               address.family == 6 ? 16 : 4);
        dist_tcp_format_address(&address, 0, text, sizeof text);
    }
    dist_log_write(wire->log, DIST_LOG_WARN, "a connection from %s is refused: %s", text, why);
    close(guest->fd);
    guest->fd = -1;
    wire->guests--;
}

dist_status dist_tcp_accept(dist_tcp_wire *wire)
{
    for (;;) {
        int free_place = 0;
        const int fd = accept4(wire->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return DIST_OK; /* nobody more; what is wrong with one is its own */
        while (free_place < DIST_TCP_GUESTS && wire->guest[free_place].fd >= 0)
            free_place++;
        if (free_place == DIST_TCP_GUESTS) {
            close(fd); /* it tries again */
            continue;
        }
        dist_tcp_guest *guest = &wire->guest[free_place];
        *guest = (dist_tcp_guest){.fd = fd, .deadline = dist_deadline(GREET)};
        wire->guests++;
        set_options(wire, fd);
        DIST_TRY(watch(wire, EPOLL_CTL_ADD, fd, (uint64_t)free_place << 2 | 2));
    }
}

static void seat(dist_tcp_wire *wire, dist_tcp_guest *guest)
{
    const dist_tcp_greeting *greeting = &guest->greeting;
    const char *why = refusal(wire, greeting);
    if (!why && greeting->from >= wire->base.rank)
        why = "it should wait to be connected to";
    dist_tcp_peer *peer = why ? NULL : dist_tcp_meet(wire, greeting->from);
    dist_tcp_stream *stream = peer && !peer->gone ? make_stream(peer, greeting->stream) : NULL;
    if (!why && (!stream || stream->state != DIST_TCP_APART))
        why = stream ? "this stream is connected already" : "no memory, or its rank is given up";
    const dist_tcp_greeting answer = greeting_to(wire, greeting->from, greeting->stream);
    if (!why && send(guest->fd, &answer, sizeof answer, MSG_NOSIGNAL) != (ssize_t)sizeof answer)
        why = "it does not listen";
    if (!why && watch(wire, EPOLL_CTL_MOD, guest->fd, (uintptr_t)stream) < 0)
        why = "the system does not watch it";
    if (why) {
        dismiss(wire, guest, why);
        return;
    }
    stream->fd = guest->fd;
    stream->stage_begin = stream->stage_end = 0;
    guest->fd = -1;
    wire->guests--;
    opened(stream);
}

void dist_tcp_guest_speaks(dist_tcp_wire *wire, int number)
{
    dist_tcp_guest *guest = &wire->guest[number];
    while (guest->fd >= 0 && guest->got < sizeof guest->greeting) {
        const ssize_t n =
            recv(guest->fd, (char *)&guest->greeting + guest->got, sizeof guest->greeting - guest->got, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            dismiss(wire, guest, "it went away");
            return;
        }
        guest->got += (size_t)n;
    }
    if (guest->fd >= 0)
        seat(wire, guest);
}

/* ---- deadlines ---- */

static dist_status not_met(dist_tcp_peer *peer)
{
    const dist_tcp_wire *wire = peer->wire;
    const dist_tcp_card *card = &wire->card[peer->rank];
    char text[160] = "";
    size_t used = 0;
    if (wire->base.rank > peer->rank)
        return dist_tcp_lose(
            peer, DIST_ERR_TIMEOUT,
            "rank %d did not connect to this rank at %s within %g s; is there a firewall? DIST_IFACE chooses "
            "the interface, DIST_PORTS the ports, DIST_WIRE=mpi does without",
            peer->rank, wire->place, DIST_TCP_MEET * wire->timeout);
    for (int a = 0; a < card->addresses && used + 64 < sizeof text; a++) {
        dist_tcp_format_address(&card->address[a], card->port, text + used, sizeof text - used);
        used = strlen(text);
        if (a + 1 < card->addresses)
            used += (size_t)snprintf(text + used, sizeof text - used, " or ");
    }
    return dist_tcp_lose(
        peer, DIST_ERR_TIMEOUT,
        "rank %d could not be reached at %s within %g s; is there a firewall? DIST_IFACE chooses the "
        "interface, DIST_PORTS the ports, DIST_WIRE=mpi does without",
        peer->rank, text, DIST_TCP_MEET * wire->timeout);
}

/* An attempt of the first stream that takes too long is given up; others are the first one's word that the peer is there. */
static dist_status go_on(dist_tcp_peer *peer)
{
    peer->connect_by = 0;
    return peer->open > 0 ? dist_tcp_more_streams(peer) : try_next(peer);
}

dist_status dist_tcp_mind(dist_tcp_wire *wire, int64_t now)
{
    for (int g = 0; g < DIST_TCP_GUESTS && wire->guests > 0; g++)
        if (wire->guest[g].fd >= 0 && now > wire->guest[g].deadline)
            dismiss(wire, &wire->guest[g], "it says nothing");
    for (int rank = 0; rank < wire->base.ranks; rank++) {
        dist_tcp_peer *peer = wire->peer[rank];
        if (!peer || peer->gone)
            continue;
        if (peer->open == 0 && peer->running > 0 && now > peer->meet_by)
            DIST_TRY(not_met(peer));
        else if (peer->connect_by && now > peer->connect_by)
            DIST_TRY(go_on(peer));
    }
    return DIST_OK;
}
