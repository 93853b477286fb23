/* What plain TCP brings between hosts: each agent sends to the next one and receives from the one before, so that every link is full
 * in both directions at once, with more and more streams. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf.h"

#define STREAMS_MOST PERF_STREAMS_MOST
#define ADDRESSES    8
#define BLOCK        ((size_t)256 << 10)
#define CONNECT      5.0  /* seconds for an address to answer */
#define WARMUP       0.7  /* seconds in which windows open */
#define MEASURED     1.2  /* seconds that count */
#define GAIN         1.03 /* less is no reason for more streams */

/* Where an agent listens, and what it expects to be greeted with. */
typedef struct place {
    uint64_t cookie;
    uint32_t address[ADDRESSES]; /* network order; 0: none */
    uint16_t port;               /* network order; 0: it cannot listen */
} place;

typedef struct traffic {
    struct pollfd socket[2 * STREAMS_MOST]; /* those that send, then those that receive */
    int streams;
    uint32_t reached; /* the address of the next agent that has answered; 0: none yet */
    char *block;
    double received[STREAMS_MOST]; /* by each stream that receives */
    char trouble[160];
} traffic;

/* Those of interfaces that are up, the loopback last: it reaches agents on the same host alone. */
static void find_addresses(place *mine)
{
    struct ifaddrs *all;
    int found = 0;
    if (getifaddrs(&all) != 0)
        return;
    for (int loopback = 0; loopback < 2; loopback++)
        for (struct ifaddrs *i = all; i && found < ADDRESSES; i = i->ifa_next)
            if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
                !(i->ifa_flags & IFF_LOOPBACK) == !loopback)
                mine->address[found++] = ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr;
    freeifaddrs(all);
}

static int start_listening(place *mine, traffic *t)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&any, sizeof any) != 0 ||
        listen(listener, STREAMS_MOST) != 0 || getsockname(listener, (struct sockaddr *)&any, &length) != 0) {
        snprintf(t->trouble, sizeof t->trouble, "cannot listen: %s", strerror(errno));
        if (listener >= 0)
            close(listener);
        return -1;
    }
    if (getrandom(&mine->cookie, sizeof mine->cookie, 0) != (ssize_t)sizeof mine->cookie)
        mine->cookie = (uint64_t)(perf_seconds() * 1e9);
    find_addresses(mine);
    mine->port = any.sin_port;
    return listener;
}

static bool await(int file, short events, double until)
{
    struct pollfd one = {.fd = file, .events = events};
    const double left = until - perf_seconds();
    return left > 0 && poll(&one, 1, (int)(left * 1e3) + 1) == 1;
}

/* -1 with errno. */
static int connect_to(uint32_t address, uint16_t port, double until)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = port, .sin_addr = {.s_addr = address}};
    int error = 0;
    socklen_t length = sizeof error;
    const int file = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (file < 0)
        return -1;
    if (connect(file, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        error = errno;
    else if (!await(file, POLLOUT, until))
        error = ETIMEDOUT;
    else
        getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0)
        return file;
    close(file);
    errno = error;
    return -1;
}

/* A connection that begins with the other's cookie. */
static int greet(const place *other, uint32_t address, double until)
{
    const int file = connect_to(address, other->port, until);
    if (file >= 0 && write(file, &other->cookie, sizeof other->cookie) != (ssize_t)sizeof other->cookie) {
        close(file);
        return -1;
    }
    return file;
}

static int accept_greeted(int listener, uint64_t cookie, double until)
{
    while (await(listener, POLLIN, until)) {
        uint64_t greeting = 0;
        const int file = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (file < 0)
            continue;
        if (await(file, POLLIN, until) &&
            read(file, &greeting, sizeof greeting) == (ssize_t)sizeof greeting && greeting == cookie)
            return file;
        close(file); /* a stranger's */
    }
    return -1;
}

/* Streams to the next agent and from the one before. The first one finds the address that answers. */
static bool connect_streams(traffic *t, int listener, const place *mine, const place *next)
{
    const double until = perf_seconds() + CONNECT;
    for (int s = 0; s < t->streams; s++) {
        int file = t->reached ? greet(next, t->reached, until) : -1;
        for (int i = 0; !t->reached && file < 0 && i < ADDRESSES && next->address[i]; i++) {
            file = greet(next, next->address[i], perf_seconds() + (until - perf_seconds()) / 4);
            t->reached = file >= 0 ? next->address[i] : 0;
        }
        if (file < 0) {
            snprintf(t->trouble, sizeof t->trouble, "cannot connect: %s", strerror(errno));
            return false;
        }
        t->socket[s] = (struct pollfd){.fd = file, .events = POLLOUT};
    }
    for (int s = 0; s < t->streams; s++) {
        const int file = accept_greeted(listener, mine->cookie, until + CONNECT);
        if (file < 0) {
            snprintf(t->trouble, sizeof t->trouble, "nobody connected");
            return false;
        }
        t->socket[t->streams + s] = (struct pollfd){.fd = file, .events = POLLIN};
    }
    return true;
}

static void close_streams(traffic *t)
{
    for (int s = 0; s < 2 * t->streams; s++)
        if (t->socket[s].fd != -1)
            close(t->socket[s].fd < 0 ? -1 - t->socket[s].fd : t->socket[s].fd);
}

/* Sends and receives until `until`; what has come in counts from `from` on. */
static void run(traffic *t, double from, double until)
{
    memset(t->received, 0, sizeof t->received);
    for (double at = perf_seconds(); at < until; at = perf_seconds()) {
        poll(t->socket, (nfds_t)(2 * t->streams), 10);
        for (int s = 0; s < 2 * t->streams; s++) {
            if (!t->socket[s].revents)
                continue;
            const bool sends = s < t->streams;
            const ssize_t n = sends ? send(t->socket[s].fd, t->block, BLOCK, MSG_NOSIGNAL)
                                    : recv(t->socket[s].fd, t->block, BLOCK, 0);
            if (!sends && n > 0 && at >= from)
                t->received[s - t->streams] += (double)n;
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                t->socket[s].fd = -1 - t->socket[s].fd; /* poll leaves it out */
        }
    }
}

/* With so many streams; false: an agent cannot. Ranks that are no agents wait meanwhile. */
static bool measure(const place *all, const int *agent, int agents, int mine, int listener, traffic *t,
                    perf_goodput *result)
{
    double least[3] = {HUGE_VAL, HUGE_VAL, HUGE_VAL}; /* the sum, the slowest stream, minus the fastest */
    bool good = true;
    for (int s = 0; s < 2 * STREAMS_MOST; s++)
        t->socket[s].fd = -1;
    t->streams = result->streams;
    if (mine >= 0)
        good = connect_streams(t, listener, &all[agent[mine]], &all[agent[(mine + 1) % agents]]);
    good = perf_all(good);
    if (good && mine >= 0) {
        const double began = perf_seconds();
        run(t, began + WARMUP, began + WARMUP + MEASURED);
        least[0] = 0;
        for (int s = 0; s < t->streams; s++) {
            const double rate = t->received[s] / MEASURED;
            least[0] += rate;
            least[1] = fmin(least[1], rate);
            least[2] = fmin(least[2], -rate);
        }
    }
    perf_reduce(least, 3, MPI_MIN);
    close_streams(t);
    result->sum = least[0];
    result->slowest = least[1];
    result->fastest = -least[2];
    return good;
}

/* The first rank that has one says what is wrong. */
static void tell_trouble(const traffic *t, char text[256])
{
    int rank, ranks, first;
    char trouble[sizeof t->trouble];
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    first = t->trouble[0] ? rank : ranks - 1;
    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    memcpy(trouble, t->trouble, sizeof trouble);
    MPI_Bcast(trouble, (int)sizeof trouble, MPI_CHAR, first, MPI_COMM_WORLD);
    snprintf(text, 256, "rank %d, over plain TCP: %s", first, trouble);
}

int perf_goodput_measure(const int *agent, int agents, int factor, int most, bool stops, perf_goodput *result,
                         char trouble[256])
{
    int rank, ranks, mine = -1, listener = -1, done = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    place *all = calloc((size_t)ranks, sizeof *all), here;
    traffic *t = calloc(1, sizeof *t);
    memset(&here, 0, sizeof here); /* it travels */
    if (!all || !t || !(t->block = calloc(1, BLOCK))) {
        fprintf(stderr, "dist_perf: no memory to measure plain TCP\n");
        exit(PERF_FAILED);
    }
    for (int a = 0; a < agents; a++)
        mine = agent[a] == rank ? a : mine;
    if (mine >= 0)
        listener = start_listening(&here, t);
    MPI_Allgather(&here, (int)sizeof here, MPI_BYTE, all, (int)sizeof here, MPI_BYTE, MPI_COMM_WORLD);
    double best = 0;
    for (int streams = 1; streams <= most && done < PERF_GOODPUTS; streams *= factor) {
        result[done].streams = streams;
        if (!measure(all, agent, agents, mine, listener, t, &result[done])) {
            tell_trouble(t, trouble);
            done = 0;
            break;
        }
        const bool gains = result[done].sum > best * GAIN;
        best = fmax(best, result[done++].sum);
        if (stops && !gains)
            break;
    }
    if (listener >= 0)
        close(listener);
    free(t->block);
    free(t);
    free(all);
    return done;
}
