/* wan_link's losses, without a network: a super-packet of TCP goes through depart(), and what comes out must
 * be its packets less the lost ones, each as the kernel itself would have cut it. */
#define main wan_link_main
#include "../../benchmarks/wan_link.c"
#undef main

enum { SEGMENTS = 11, SIZE = 1448, TCP_HEADER = 32, ODD = 100 };

static int failures;

static void expect(bool good, const char *what, long long is, long long wanted)
{
    if (!good)
        printf("%s: %lld, not %lld\n", what, is, wanted), failures++;
}
#define EQUAL(what, is, wanted) expect((is) == (wanted), what, (long long)(is), (long long)(wanted))

/* The pseudo-header's sum, as a packet with a checksum to complete carries it. */
static unsigned pseudo(const unsigned char *ip, unsigned tcp_bytes)
{
    unsigned char rest[4] = {0, IPPROTO_TCP, (unsigned char)(tcp_bytes >> 8), (unsigned char)tcp_bytes};
    const bool v4 = ip[0] >> 4 == 4;
    return sum16(rest, sizeof rest, sum16(ip + (v4 ? 12 : 8), v4 ? 8 : 32, 0));
}

static size_t make(unsigned char *frame, unsigned family)
{
    const unsigned ip_bytes = family == 4 ? IP_MIN : IPV6_HEADER;
    const size_t headers = ETH_HLEN + ip_bytes + TCP_HEADER, data = (SEGMENTS - 1) * SIZE + ODD;
    const struct virtio_net_hdr vnet = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = family == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6,
        .gso_size = SIZE,
        .hdr_len = (uint16_t)headers,
        .csum_start = (uint16_t)(ETH_HLEN + ip_bytes),
        .csum_offset = 16,
    };
    unsigned char *ip = frame + VNET + ETH_HLEN, *tcp = ip + ip_bytes;
    memset(frame, 0, VNET + headers);
    memcpy(frame, &vnet, VNET);
    for (unsigned i = 0; i < ip_bytes; i++)
        ip[i] = (unsigned char)(37 * i + 11);
    ip[0] = family == 4 ? 0x45 : 0x60;
    store16(ip + (family == 4 ? 2 : 4), (unsigned)(TCP_HEADER + data + (family == 4 ? ip_bytes : 0)));
    if (family == 4)
        store16(ip + 10, 0), store16(ip + 10, ~sum16(ip, IP_MIN, 0));
    store16(tcp + 4, 0xffff), store16(tcp + 6, 0xf000); /* the sequence number wraps on the way */
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[13] = 0x10 | TCP_FIN_PSH | TCP_CWR;
    store16(tcp + 16, pseudo(ip, (unsigned)(TCP_HEADER + data)));
    for (size_t i = 0; i < data; i++)
        frame[VNET + headers + i] = (unsigned char)(i * 31 >> 3);
    return VNET + headers + data;
}

static void check_packet(const unsigned char *whole, const unsigned char *frame, size_t bytes,
                         unsigned family)
{
    const size_t ip_bytes = family == 4 ? IP_MIN : IPV6_HEADER, headers = ETH_HLEN + ip_bytes + TCP_HEADER;
    const unsigned char *ip = frame + VNET + ETH_HLEN, *tcp = ip + ip_bytes;
    struct virtio_net_hdr vnet;
    memcpy(&vnet, frame, VNET);
    const uint32_t offset = ((uint32_t)load16(tcp + 4) << 16 | load16(tcp + 6)) - 0xfffff000u;
    const unsigned k = offset / SIZE;
    const size_t data = bytes - VNET - headers;
    EQUAL("sequence", offset % SIZE, 0);
    EQUAL("data", data, k == SEGMENTS - 1 ? ODD : SIZE);
    EQUAL("bytes that differ", memcmp(frame + VNET + headers, whole + VNET + headers + offset, data), 0);
    EQUAL("flags", tcp[13], 0x10 | (k == SEGMENTS - 1 ? TCP_FIN_PSH : 0) | (k == 0 ? TCP_CWR : 0));
    EQUAL("TCP's checksum", load16(tcp + 16) % 0xffff, pseudo(ip, (unsigned)(TCP_HEADER + data)) % 0xffff);
    EQUAL("kind", vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
    if (family == 4) {
        EQUAL("IP's length", load16(ip + 2), ip_bytes + TCP_HEADER + data);
        EQUAL("IP's number", load16(ip + 4), (load16(whole + VNET + ETH_HLEN + 4) + k) & 0xffff);
        EQUAL("IP's checksum", sum16(ip, IP_MIN, 0), 0xffff);
    } else {
        EQUAL("IP's length", load16(ip + 4), TCP_HEADER + data);
    }
}

/* Sends frames through and returns how many packets were lost. */
static unsigned lose(unsigned family, unsigned frames, double percent, uint64_t seed)
{
    static unsigned char whole[FRAME_MAX], got[FRAME_MAX], ring[1 << 20];
    int ends[2];
    struct line l = {.random = seed,
                     .loss = (uint64_t)(percent / 100 * 0x1p63),
                     .ring = ring,
                     .empty = true};
    const size_t bytes = make(whole, family);
    unsigned arrived = 0;
    if (pipe2(ends, O_DIRECT | O_NONBLOCK) < 0)
        exit(1);
    l.far = ends[1];
    for (unsigned i = 0; i < frames; i++) {
        depart(&l, whole, bytes, 5);
        EQUAL("due", l.empty || arrive(&l, 4) == 5, true);
        while (!l.empty) { /* one by one: a pipe's packets are at most a page */
            struct flight f;
            memcpy(&f, ring + l.head, sizeof f);
            memcpy(got, ring + l.head + sizeof f, f.bytes);
            l.head += (sizeof f + f.bytes + 15) & ~(size_t)15;
            l.empty = l.head == l.tail;
            if (f.bytes == bytes) {
                EQUAL("a whole frame", memcmp(got, whole, bytes), 0);
                arrived += SEGMENTS;
            } else {
                check_packet(whole, got, f.bytes, family);
                arrived++;
            }
        }
    }
    close(ends[0]), close(ends[1]);
    return frames * SEGMENTS - arrived;
}

/* Frames of all sizes through the ring, many in flight: in order, whole, none lost. */
static void check_ring(void)
{
    static unsigned char frame[4096];
    int ends[2];
    struct line l = {.empty = true, .ring = malloc(LINE_BYTES)};
    uint64_t state = 7, in = 0, out = 0;
    if (!l.ring || pipe2(ends, O_DIRECT | O_NONBLOCK) < 0)
        exit(1);
    l.far = ends[1];
    for (; in < 200000; in++) {
        const size_t bytes = 16 + draw(&state) % 4000;
        memcpy(frame, &in, sizeof in);
        memcpy(frame + 8, &bytes, sizeof bytes);
        delay(&l, frame, bytes, in + 1000);
        arrive(&l, in);
        for (ssize_t n; (n = read(ends[0], frame, sizeof frame)) > 0; out++) {
            uint64_t number;
            size_t wanted;
            memcpy(&number, frame, sizeof number);
            memcpy(&wanted, frame + 8, sizeof wanted);
            EQUAL("frame", number, out);
            EQUAL("its bytes", (size_t)n, wanted);
        }
    }
    EQUAL("delivered", out, in - 1000);
    expect(l.tail < 64u << 20, "the ring's use", (long long)l.tail, 64 << 20);
    free(l.ring);
}

int main(void)
{
    for (unsigned family = 4; family <= 6; family += 2) {
        EQUAL("lost of none", lose(family, 100, 0, 1), 0);
        EQUAL("lost of all", lose(family, 100, 100, 1), 100 * SEGMENTS);
        const unsigned lost = lose(family, 50000, 1, 3);
        expect(lost > 5200 && lost < 5800, "lost of 550000 at 1%", lost, 5500);
        EQUAL("lost with the same seed", lose(family, 50000, 1, 3), lost);
        expect(lose(family, 50000, 1, 4) != lost, "lost with another seed", lost, lost);
    }
    check_ring();
    return failures > 0;
}
