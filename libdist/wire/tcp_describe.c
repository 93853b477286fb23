/* What the wire waits for, in words, when a deadline has passed. */
#define _GNU_SOURCE

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "wire/tcp_internal.h"

/* Milliseconds since the peer's system last said anything on the stream, and bytes that it has not taken. */
static void ask(const dist_tcp_stream *stream, unsigned *silent, int *unsent)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    *silent = 0;
    *unsent = 0;
    if (getsockopt(stream->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0)
        *silent = info.tcpi_last_ack_recv < info.tcpi_last_data_recv ? info.tcpi_last_ack_recv
                                                                     : info.tcpi_last_data_recv;
    (void)ioctl(stream->fd, SIOCOUTQ, unsent);
}

static void describe_open(const dist_tcp_peer *peer, const char *address, char *text, size_t size)
{
    const dist_tcp_stream *worst = NULL;
    unsigned longest = 0;
    int most = 0, waiting = 0;
    for (int s = 0; s < DIST_TCP_STREAMS_MOST; s++) {
        const dist_tcp_stream *stream = peer->stream[s];
        unsigned silent;
        int unsent;
        if (!stream || stream->state != DIST_TCP_OPEN)
            continue;
        ask(stream, &silent, &unsent);
        waiting += unsent > 0;
        if (!worst || unsent > most || (unsent == most && silent > longest)) {
            worst = stream;
            longest = silent;
            most = unsent;
        }
    }
    if (most > 0)
        snprintf(text, size,
                 "rank %d at %s has not taken what %d of %d streams hold, stream %d %d bytes, and said "
                 "nothing for %.1f s",
                 peer->rank, address, waiting, peer->open, worst->number, most, longest * 1e-3);
    else
        snprintf(text, size, "rank %d at %s has taken all that was sent, and %d messages with it are open",
                 peer->rank, address, peer->running);
}

/* Of the peer with the most messages under way. */
void dist_tcp_describe(dist_wire *base, char *text, size_t size)
{
    const dist_tcp_wire *wire = (const dist_tcp_wire *)base;
    const dist_tcp_peer *busiest = NULL;
    char address[80];
    text[0] = '\0';
    for (int rank = 0; rank < base->ranks; rank++)
        if (wire->peer[rank] && wire->peer[rank]->running > (busiest ? busiest->running : 0))
            busiest = wire->peer[rank];
    if (!busiest)
        return;
    dist_tcp_format_address(&wire->card[busiest->rank].address[busiest->address],
                            wire->card[busiest->rank].port, address, sizeof address);
    if (busiest->gone)
        snprintf(text, size, "%s", busiest->why);
    else if (busiest->open == 0)
        snprintf(text, size, "rank %d has not been met at %s", busiest->rank, address);
    else
        describe_open(busiest, address, text, size);
}
