/* Sockets: frames out, frames in, never blocking. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire/tcp_internal.h"

#define PIECES_AT_ONCE 64 /* written to a peer before others have their turn */

void dist_tcp_due(dist_tcp_stream *stream)
{
    dist_tcp_wire *wire = stream->peer->wire;
    if (stream->due)
        return;
    stream->due = true;
    stream->next_due = NULL;
    *(wire->due ? &wire->due_last->next_due : &wire->due) = stream;
    wire->due_last = stream;
}

dist_status dist_tcp_lose(dist_tcp_peer *peer, dist_status status, const char *format, ...)
{
    va_list arguments;
    if (peer->gone)
        return DIST_OK;
    va_start(arguments, format);
    vsnprintf(peer->why, sizeof peer->why, format, arguments);
    va_end(arguments);
    peer->gone = true;
    peer->open = 0;
    peer->connect_by = 0;
    for (int s = 0; s < DIST_TCP_STREAMS_MOST; s++)
        if (peer->stream[s] && peer->stream[s]->state != DIST_TCP_APART) {
            close(peer->stream[s]->fd);
            peer->stream[s]->state = DIST_TCP_APART;
        }
    if (peer->running == 0)
        return DIST_OK;
    peer->wire->failed = peer;
    return dist_fail(status, "%s", peer->why);
}

static dist_status lost(dist_tcp_stream *stream, const char *doing, int error)
{
    const dist_tcp_peer *peer = stream->peer;
    char address[80];
    dist_tcp_format_address(&peer->wire->card[peer->rank].address[peer->address],
                            peer->wire->card[peer->rank].port, address, sizeof address);
    if (error == 0)
        return dist_tcp_lose(stream->peer, DIST_ERR_SYSTEM,
                             "rank %d at %s closed stream %d of %d: its process has ended, or given up",
                             peer->rank, address, stream->number, peer->open);
    return dist_tcp_lose(stream->peer, error == ETIMEDOUT ? DIST_ERR_TIMEOUT : DIST_ERR_SYSTEM,
                         "%s stream %d of %d to rank %d at %s: %s", doing, stream->number, peer->open,
                         peer->rank, address,
                         error == ETIMEDOUT ? "nothing is taken any more" : strerror(error));
}

/* ---- out ---- */

static dist_status write_some(dist_tcp_stream *stream, const struct iovec *piece, int pieces, size_t *written)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)piece, .msg_iovlen = (size_t)pieces};
    ssize_t n;
    *written = 0;
    do
        n = sendmsg(stream->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        stream->blocked = true;
        return DIST_OK;
    }
    if (n < 0)
        return lost(stream, "writing", errno);
    *written = (size_t)n;
    stream->peer->wire->counts.bytes_sent += (uint64_t)n;
    return DIST_OK;
}

static dist_status write_batch(dist_tcp_stream *stream)
{
    size_t written;
    const struct iovec rest = {(char *)stream->batch + stream->batch_begin,
                               stream->batch_end - stream->batch_begin};
    DIST_TRY(write_some(stream, &rest, 1, &written));
    stream->batch_begin += written;
    return DIST_OK;
}

static dist_status write_piece(dist_tcp_stream *stream)
{
    size_t written, head = sizeof stream->out - stream->out_head;
    const struct iovec both[2] = {{(char *)&stream->out + stream->out_head, head},
                                  {(void *)(uintptr_t)stream->out_data, stream->out_left}};
    DIST_TRY(write_some(stream, head ? both : both + 1, head ? 2 : 1, &written));
    if (written < head) {
        stream->out_head += written;
        return DIST_OK;
    }
    stream->out_head += head;
    stream->out_data += written - head;
    stream->out_left -= written - head;
    if (stream->out_left == 0 && stream->out_head == sizeof stream->out)
        dist_tcp_piece_written(stream);
    return DIST_OK;
}

/* What the stream writes next, one thing of it; *wrote: there was something and the socket took some. */
static dist_status write_next(dist_tcp_stream *stream, bool *wrote)
{
    *wrote = false;
    if (!stream->sending) {
        if (stream->number == 0 && stream->batch_begin == stream->batch_end)
            dist_tcp_fill_batch(stream);
        if (stream->batch_begin < stream->batch_end) {
            DIST_TRY(write_batch(stream));
            *wrote = !stream->blocked;
            return DIST_OK;
        }
        const bool used = stream->number < stream->peer->wire->streams;
        if (!used || !dist_tcp_next_piece(stream))
            return DIST_OK;
    }
    DIST_TRY(write_piece(stream));
    *wrote = !stream->blocked;
    return DIST_OK;
}

dist_status dist_tcp_pump(dist_tcp_peer *peer)
{
    int idle = 0, units = 0;
    if (peer->open == 0)
        return DIST_OK;
    for (; idle < DIST_TCP_STREAMS_MOST && units < PIECES_AT_ONCE;) {
        dist_tcp_stream *stream = peer->stream[peer->next];
        bool wrote = false;
        if (stream && stream->state == DIST_TCP_OPEN && !stream->blocked)
            DIST_TRY(write_next(stream, &wrote));
        if (peer->gone)
            return DIST_OK;
        idle = wrote ? 0 : idle + 1;
        units += wrote;
        peer->next = (peer->next + 1) % DIST_TCP_STREAMS_MOST;
    }
    if (units == PIECES_AT_ONCE)
        dist_tcp_due(peer->stream[0]);
    return DIST_OK;
}

/* ---- in ---- */

static dist_status heed_head(dist_tcp_stream *stream)
{
    dist_tcp_peer *peer = stream->peer;
    const dist_tcp_head *in = &stream->in;
    if (in->magic != DIST_TCP_MAGIC || in->check != dist_tcp_check_of(in, offsetof(dist_tcp_head, check)))
        return dist_fail(DIST_ERR_FRAME, "what rank %d sent on stream %d is no frame of libdist", peer->rank,
                         stream->number);
    if (in->credit > 0)
        dist_tcp_hear_credit(peer, in->credit);
    if (in->kind == DIST_TCP_CREDIT)
        return DIST_OK;
    stream->in_match = dist_tcp_find(peer, in->channel, in->tag);
    if (!stream->in_match)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the messages of rank %d", peer->rank);
    switch (in->kind) {
    case DIST_TCP_READY:
        dist_tcp_hear_ready(peer, stream->in_match, in->number);
        return DIST_OK;
    case DIST_TCP_NEED:
        return dist_tcp_hear_need(stream->in_match, in->number);
    case DIST_TCP_DATA:
        DIST_TRY(dist_tcp_place_piece(stream));
        stream->in_piece = true;
        stream->in_left = in->length;
        return DIST_OK;
    default:
        return dist_fail(DIST_ERR_FRAME, "rank %d sent a frame of kind %u, which does not exist", peer->rank,
                         in->kind);
    }
}

/* Takes from the stage what is there of the piece. */
static void unstage(dist_tcp_stream *stream)
{
    const size_t staged = stream->stage_end - stream->stage_begin;
    const size_t some = staged < stream->in_left ? staged : (size_t)stream->in_left;
    if (stream->in_data) {
        memcpy(stream->in_data, stream->stage + stream->stage_begin, some);
        stream->in_data += some;
    }
    stream->stage_begin += some;
    stream->in_left -= some;
}

/* Whole frames that are staged; what is left of the last is at the stage's beginning afterwards. */
static dist_status heed_stage(dist_tcp_stream *stream)
{
    for (;;) {
        if (stream->in_piece) {
            unstage(stream);
            if (stream->in_left > 0)
                break;
            stream->in_piece = false;
            DIST_TRY(dist_tcp_piece_read(stream));
        }
        if (stream->stage_end - stream->stage_begin < sizeof stream->in)
            break;
        memcpy(&stream->in, stream->stage + stream->stage_begin, sizeof stream->in);
        stream->stage_begin += sizeof stream->in;
        DIST_TRY(heed_head(stream));
    }
    memmove(stream->stage, stream->stage + stream->stage_begin, stream->stage_end - stream->stage_begin);
    stream->stage_end -= stream->stage_begin;
    stream->stage_begin = 0;
    return DIST_OK;
}

/* The rest of a long piece is read to its place, and what follows it to the stage. */
static dist_status read_some(dist_tcp_stream *stream, size_t *got)
{
    char waste[4096];
    struct iovec part[2];
    int parts = 0;
    const bool wanted = stream->in_piece && stream->in_data;
    if (stream->in_piece)
        part[parts++] =
            (struct iovec){wanted ? stream->in_data : waste,
                           wanted || stream->in_left < sizeof waste ? (size_t)stream->in_left : sizeof waste};
    if (!stream->in_piece || part[0].iov_len == stream->in_left)
        part[parts++] =
            (struct iovec){stream->stage + stream->stage_end, sizeof stream->stage - stream->stage_end};
    ssize_t n;
    *got = 0;
    do
        n = readv(stream->fd, part, parts);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        stream->readable = false;
        return DIST_OK;
    }
    if (n <= 0)
        return lost(stream, "reading", n < 0 ? errno : 0);
    *got = (size_t)n;
    stream->peer->wire->counts.bytes_received += (uint64_t)n;
    size_t placed = 0;
    if (stream->in_piece) {
        placed = *got < stream->in_left ? *got : (size_t)stream->in_left;
        stream->in_left -= placed;
        if (wanted)
            stream->in_data += placed;
    }
    stream->stage_end += *got - placed;
    return heed_stage(stream);
}

dist_status dist_tcp_serve(dist_tcp_stream *stream)
{
    uint64_t budget = DIST_TCP_READ_AT_ONCE;
    if (stream->state == DIST_TCP_CONNECTING && !stream->blocked)
        DIST_TRY(dist_tcp_connected(stream));
    if (stream->state == DIST_TCP_GREETING && stream->readable)
        DIST_TRY(dist_tcp_greeted(stream));
    while (stream->state == DIST_TCP_OPEN && stream->readable && budget > 0) {
        size_t got;
        DIST_TRY(read_some(stream, &got));
        budget -= got < budget ? got : budget;
    }
    if (stream->state == DIST_TCP_OPEN && stream->readable)
        dist_tcp_due(stream);
    return stream->peer->gone ? DIST_OK : dist_tcp_pump(stream->peer);
}
