/* wan_link: the delay and the losses of a long link, for kernels without netem.
 *
 *     wan_link [--delay MICROSECONDS] [--loss PERCENT] [--seed N] [--threads] NEAR:FAR...
 *
 * Makes two TAP devices for each pair and carries frames between them until it is killed or its parent ends.
 * From NEAR to FAR each frame is delayed, and each packet lost with the given probability; from FAR to NEAR
 * it goes at once. With the NEARs in the sites of a star and the FARs on its bridge, a packet from site to
 * site is delayed and drawn once. Prints one line when the devices are there.
 *
 * Frames keep their virtio header, so that TCP's super-packets cross in one piece. Losses are drawn for each packet that such a frame stands for; if one is lost, the rest goes on as
 * packets of their own. It runs with real-time priority if permitted: ranks that poll would starve it and the
 * delay would be theirs. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_LINKS = 64,
    FRAME_MAX = 1 << 17, /* bytes of a super-packet with its headers */
    PACKETS_MAX = 2048,  /* in a super-packet */
    VNET = sizeof(struct virtio_net_hdr),
    BATCH = 64, /* frames from one device before the others get their turn */
    IP_MIN = 20,
    IPV6_HEADER = 40,
    TCP_MIN = 20,
    TCP_FIN_PSH = 0x09,
    TCP_CWR = 0x80,
};
#define LINE_BYTES ((size_t)256 << 20) /* the most that one link holds in flight */
#define LINE_SLACK ((size_t)1 << 20)

/* A frame in flight lies in the ring as a header and its bytes; 0 bytes mark the end of the ring. */
struct flight {
    uint64_t due;
    size_t bytes;
};

struct line {
    int near, far;
    uint64_t random;         /* state of the draws */
    uint64_t delay_ns, loss; /* loss: of 2^63 packets */
    unsigned char *ring;
    size_t head, tail; /* read from head, written at tail */
    bool empty;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* splitmix64: one draw; the same seed makes the same losses for the same packets. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint16_t load16(const unsigned char *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void store16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
}

/* The Internet checksum's sum, not yet inverted. */
static unsigned sum16(const unsigned char *p, size_t n, unsigned sum)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += load16(p + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Delivers a frame; a full device drops it, as any queue does. */
static void deliver(int device, const unsigned char *frame, size_t bytes)
{
    while (write(device, frame, bytes) < 0 && errno == EINTR)
        ;
}

/* Puts a frame on its way; beyond LINE_BYTES in flight it is lost. It goes back to the ring's start as soon
 * as there is ample room, so that memory is touched only as far as the traffic needs. */
static void delay(struct line *l, const unsigned char *frame, size_t bytes, uint64_t due)
{
    const size_t need = (sizeof(struct flight) + bytes + 15) & ~(size_t)15;
    const struct flight end = {0, 0}, f = {due, bytes};
    size_t at = l->tail;
    if (l->empty)
        at = l->head = l->tail = 0;
    if (l->empty || at > l->head) {
        if (LINE_BYTES - at < need + sizeof end || l->head > 2 * (at - l->head) + LINE_SLACK) {
            if (need >= l->head)
                return;
            memcpy(l->ring + at, &end, sizeof end);
            at = 0;
        }
    } else if (l->head - at <= need) {
        return;
    }
    memcpy(l->ring + at, &f, sizeof f);
    memcpy(l->ring + at + sizeof f, frame, bytes);
    l->tail = at + need;
    l->empty = false;
}

/* Delivers what is due and returns when the next frame is, or UINT64_MAX. */
static uint64_t arrive(struct line *l, uint64_t now)
{
    while (!l->empty) {
        struct flight f;
        memcpy(&f, l->ring + l->head, sizeof f);
        if (f.bytes == 0) {
            l->head = 0;
            continue;
        }
        if (f.due > now)
            return f.due;
        deliver(l->far, l->ring + l->head + sizeof f, f.bytes);
        l->head += (sizeof f + f.bytes + 15) & ~(size_t)15;
        l->empty = l->head == l->tail;
    }
    return UINT64_MAX;
}

/* Sends segment k of a TCP super-packet as a packet of its own: the kernel's own cut, by hand. The checksum
 * of TCP stays for the receiving kernel to complete; only the length in its pseudo-header changes. */
static void send_segment(struct line *l, const unsigned char *frame, size_t bytes, size_t headers, unsigned k,
                         uint64_t due)
{
    unsigned char packet[ETH_FRAME_LEN * 8];
    struct virtio_net_hdr vnet;
    memcpy(&vnet, frame, VNET);
    const size_t size = vnet.gso_size, from = VNET + headers + k * size;
    const size_t data = bytes - from < size ? bytes - from : size;
    const bool last = from + data == bytes;
    unsigned char *ip = packet + VNET + ETH_HLEN, *tcp = packet + VNET + vnet.csum_start;
    if (VNET + headers + data > sizeof packet)
        return;
    memcpy(packet, frame, VNET + headers);
    memcpy(packet + VNET + headers, frame + from, data);

    const unsigned was = (unsigned)(bytes - VNET - vnet.csum_start);
    const unsigned is = (unsigned)(headers - vnet.csum_start + data);
    if (ip[0] >> 4 == 4) {
        store16(ip + 2, (unsigned)(headers - ETH_HLEN + data));
        store16(ip + 4, load16(ip + 4) + k);
        store16(ip + 10, 0);
        store16(ip + 10, ~sum16(ip, (size_t)(ip[0] & 15) * 4, 0));
    } else {
        store16(ip + 4, (unsigned)(headers - ETH_HLEN - IPV6_HEADER + data));
    }
    const uint32_t sequence = ((uint32_t)load16(tcp + 4) << 16 | load16(tcp + 6)) + k * (uint32_t)size;
    store16(tcp + 4, sequence >> 16);
    store16(tcp + 6, sequence & 0xffff);
    if (!last)
        tcp[13] &= (unsigned char)~TCP_FIN_PSH;
    if (k > 0)
        tcp[13] &= (unsigned char)~TCP_CWR;
    unsigned char change[4];
    store16(change, ~was);
    store16(change + 2, is);
    store16(tcp + 16, sum16(change, sizeof change, load16(tcp + 16)));

    vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    vnet.gso_size = vnet.hdr_len = 0;
    memcpy(packet, &vnet, VNET);
    delay(l, packet, VNET + headers + data, due);
}

/* The bytes of a TCP super-packet's headers, or 0 if it is none (then it counts as one packet). */
static size_t super_headers(const unsigned char *frame, size_t bytes)
{
    struct virtio_net_hdr vnet;
    memcpy(&vnet, frame, VNET);
    if (vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE || vnet.gso_size == 0 ||
        !(vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || vnet.csum_start < ETH_HLEN + IP_MIN ||
        (size_t)VNET + vnet.csum_start + TCP_MIN > bytes)
        return 0;
    const size_t headers = vnet.csum_start + (size_t)(frame[VNET + vnet.csum_start + 12] >> 4) * 4;
    return bytes > VNET + headers && bytes < (size_t)PACKETS_MAX * vnet.gso_size ? headers : 0;
}

/* Draws for each packet of the frame; sends what is left of it on its way. */
static void depart(struct line *l, const unsigned char *frame, size_t bytes, uint64_t due)
{
    const uint64_t loss = l->loss;
    const size_t headers = super_headers(frame, bytes);
    struct virtio_net_hdr vnet;
    uint64_t lost[PACKETS_MAX / 64] = {0};
    unsigned packets = 1, gone = 0;
    memcpy(&vnet, frame, VNET);
    if (headers > 0)
        packets = (unsigned)((bytes - VNET - headers + vnet.gso_size - 1) / vnet.gso_size);
    for (unsigned k = 0; loss > 0 && k < packets; k++) {
        const bool hit = draw(&l->random) >> 1 < loss;
        lost[k / 64] |= (uint64_t)hit << k % 64;
        gone += hit;
    }
    if (gone == 0)
        delay(l, frame, bytes, due);
    for (unsigned k = 0; gone > 0 && gone < packets && k < packets; k++)
        if (!(lost[k / 64] >> k % 64 & 1))
            send_segment(l, frame, bytes, headers, k, due);
}

static int open_tap(const char *name, size_t length)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    const int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    memcpy(request.ifr_name, name, length);
    if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0 ||
        ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0) {
        fprintf(stderr, "wan_link: cannot make the TAP device %.*s: %s\n", (int)length, name,
                strerror(errno));
        exit(1);
    }
    return device;
}

static void open_line(struct line *l, const char *pair, uint64_t seed)
{
    const char *colon = strchr(pair, ':');
    l->near = open_tap(pair, (size_t)(colon - pair));
    l->far = open_tap(colon + 1, strlen(colon + 1));
    l->random = seed;
    l->empty = true;
    l->ring =
        mmap(NULL, LINE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (l->ring == MAP_FAILED) {
        fprintf(stderr, "wan_link: cannot map memory for a link: %s\n", strerror(errno));
        exit(1);
    }
}

struct group {
    struct line *line;
    nfds_t count;
};

/* Carries the links of a group, for ever. What a write sets going, up to the receiver's TCP, is the writer's time, and short packets of many
 * streams can be too much for one core: with --threads each link is a group of its own. Going from thread to thread takes some 0.05 ms. */
static void *carry(void *argument)
{
    static _Thread_local unsigned char frame[FRAME_MAX];
    const struct group *g = argument;
    struct pollfd ready[2 * MAX_LINKS];
    for (nfds_t i = 0; i < g->count; i++) {
        ready[2 * i] = (struct pollfd){.fd = g->line[i].near, .events = POLLIN};
        ready[2 * i + 1] = (struct pollfd){.fd = g->line[i].far, .events = POLLIN};
    }
    for (;;) {
        uint64_t next = UINT64_MAX;
        const uint64_t now = now_ns();
        for (nfds_t i = 0; i < g->count; i++) {
            const uint64_t due = arrive(&g->line[i], now);
            next = due < next ? due : next;
        }
        const uint64_t rest = next > now ? next - now : 0;
        const struct timespec wait = {(time_t)(rest / 1000000000u), (long)(rest % 1000000000u)};
        if (ppoll(ready, 2 * g->count, next == UINT64_MAX ? NULL : &wait, NULL) <= 0)
            continue;
        for (nfds_t i = 0; i < g->count; i++) {
            struct line *l = &g->line[i];
            ssize_t n;
            for (int k = 0; k < BATCH && (n = read(l->near, frame, sizeof frame)) > VNET; k++)
                depart(l, frame, (size_t)n, now_ns() + l->delay_ns);
            for (int k = 0; k < BATCH && (n = read(l->far, frame, sizeof frame)) > VNET; k++)
                deliver(l->near, frame, (size_t)n);
        }
    }
    return NULL;
}

static void usage(const char *why, const char *what)
{
    fprintf(stderr,
            "wan_link: %s '%s'\nusage: wan_link [--delay MICROSECONDS] [--loss PERCENT] [--seed N] "
            "[--threads] NEAR:FAR...\n",
            why, what);
    exit(2);
}

static double number(const char *text, double highest, const char *why)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= highest))
        usage(why, text);
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"delay", required_argument, NULL, 'd'},
        {"loss", required_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},
        {"threads", no_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    static struct line lines[MAX_LINKS];
    double delay_us = 0, loss = 0, seed = 1;
    bool threads = false;
    const pid_t parent = getppid();
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'd')
            delay_us = number(optarg, 1e7, "--delay must be from 0 to 10000000, not");
        else if (o == 'l')
            loss = number(optarg, 100, "--loss must be a percentage, not");
        else if (o == 't')
            threads = true;
        else if (o == 's')
            seed = number(optarg, 1e15, "--seed must be a number, not");
        else
            usage("cannot read the command", argv[optind - 1]);
    }
    const int count = argc - optind;
    if (count < 1 || count > MAX_LINKS)
        usage("wants 1 to 64 pairs of names, not", count ? argv[argc - 1] : "");
    for (int i = 0; i < count; i++) {
        const char *pair = argv[optind + i], *colon = strchr(pair, ':');
        if (!colon || colon == pair || colon - pair >= IFNAMSIZ || !colon[1] || strlen(colon + 1) >= IFNAMSIZ)
            usage("wants two names of devices, like near0:far0, not", pair);
    }

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        return 1;
    for (int i = 0; i < count; i++)
        open_line(&lines[i], argv[optind + i], (uint64_t)seed * 1000003u + (uint64_t)i);
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 50}) < 0)
        fprintf(stderr, "wan_link: no real-time priority (%s): busy ranks will lengthen the delay\n",
                strerror(errno));
    mlockall(MCL_CURRENT | MCL_ONFAULT | MCL_FUTURE);
    static struct group groups[MAX_LINKS];
    const int many = threads ? count : 1;
    for (int i = 0; i < count; i++) {
        lines[i].delay_ns = (uint64_t)(delay_us * 1e3);
        lines[i].loss = (uint64_t)(loss / 100 * 0x1p63);
    }
    for (int i = 0; i < many; i++)
        groups[i] = (struct group){&lines[i], (nfds_t)(threads ? 1 : count)};
    for (int i = 1; i < many; i++) {
        pthread_t thread;
        const int error = pthread_create(&thread, NULL, carry, &groups[i]);
        if (error != 0) {
            fprintf(stderr, "wan_link: no thread for a link: %s\n", strerror(error));
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    carry(&groups[0]);
    return 1;
}
