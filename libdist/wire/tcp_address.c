/* Where ranks listen: the addresses of this host's interfaces, and a port. */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/tcp_internal.h"

#define BACKLOG 1024 /* all streams of many peers may come at once */

static int prefix_of(const uint8_t *mask, int bytes)
{
    int bits = 0;
    for (int i = 0; i < bytes; i++)
        for (int b = 7; b >= 0 && mask[i] >> b & 1; b--)
            bits++;
    return bits;
}

/* False for what is no address that others could use. */
static bool read_address(const struct ifaddrs *entry, dist_tcp_address *address)
{
    *address = (dist_tcp_address){.loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0};
    if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP))
        return false;
    if (entry->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)entry->ifa_addr,
                                 *mask = (const void *)entry->ifa_netmask;
        address->family = 4;
        memcpy(address->bytes, &in->sin_addr, 4);
        address->prefix = mask ? (uint8_t)prefix_of((const uint8_t *)&mask->sin_addr, 4) : 32;
        return true;
    }
    if (entry->ifa_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)entry->ifa_addr,
                                  *mask = (const void *)entry->ifa_netmask;
        address->family = 6;
        memcpy(address->bytes, &in->sin6_addr, 16);
        address->prefix = mask ? (uint8_t)prefix_of((const uint8_t *)&mask->sin6_addr, 16) : 128;
        return !IN6_IS_ADDR_LINKLOCAL(&in->sin6_addr);
    }
    return false;
}

socklen_t dist_tcp_socket_address(const dist_tcp_address *address, uint16_t port,
                                  struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (address->family == 4) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, address->bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (void *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    memcpy(&in->sin6_addr, address->bytes, 16);
    return sizeof *in;
}

void dist_tcp_format_address(const dist_tcp_address *address, uint16_t port, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    inet_ntop(address->family == 6 ? AF_INET6 : AF_INET, address->bytes, host, sizeof host);
    snprintf(text, size, address->family == 6 ? "[%s]:%u" : "%s:%u", host, port);
}

static bool is_named(const struct ifaddrs *entry, const dist_tcp_address *address, const char *interface)
{
    char text[80];
    if (interface[0] == '\0' || strcmp(entry->ifa_name, interface) == 0)
        return true;
    dist_tcp_format_address(address, 0, text, sizeof text);
    text[strlen(text) - 2] = '\0'; /* ":0" */
    return strcmp(text, interface) == 0;
}

/* "eth0 10.0.0.1, ..." of all interfaces that are up. */
static void list_interfaces(const struct ifaddrs *all, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
        dist_tcp_address address;
        char one[80];
        if (!read_address(entry, &address) || used + 1 >= size)
            continue;
        dist_tcp_format_address(&address, 0, one, sizeof one);
        one[strlen(one) - 2] = '\0';
        const int n = snprintf(text + used, size - used, "%s%s %s", used ? ", " : "", entry->ifa_name, one);
        used += n > 0 ? (size_t)n : 0;
    }
}

dist_status dist_tcp_addresses(const char *interface, dist_tcp_card *card, char *name, size_t size)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0)
        return dist_fail(DIST_ERR_SYSTEM, "the interfaces of this host cannot be listed: %s",
                         strerror(errno));
    name[0] = '\0';
    for (int loopback = 0; loopback < 2; loopback++) /* real ones first */
        for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
            dist_tcp_address address;
            if (!read_address(entry, &address) || address.loopback != loopback ||
                !is_named(entry, &address, interface) || card->addresses == DIST_TCP_ADDRESSES)
                continue;
            if (card->addresses == 0)
                snprintf(name, size, "%s", entry->ifa_name);
            card->address[card->addresses++] = address;
        }
    char there_are[200];
    list_interfaces(all, there_are, sizeof there_are);
    freeifaddrs(all);
    if (card->addresses == 0)
        return dist_fail(DIST_ERR_CONFIG, "DIST_IFACE is '%s', but this host has: %s", interface, there_are);
    return DIST_OK;
}

static int try_port(const dist_tcp_card *card, bool only, int port, uint16_t *got)
{
    struct sockaddr_storage where;
    const int family = only && card->address[0].family == 4 ? AF_INET : AF_INET6, off = 0, on = 1;
    socklen_t length;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool four = family == AF_INET;
    if (fd < 0 && !only) { /* a kernel without IPv6 */
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        four = true;
    }
    if (fd < 0)
        return -1;
    const dist_tcp_address any = {.family = four ? 4 : 6};
    length = dist_tcp_socket_address(only ? &card->address[0] : &any, (uint16_t)port, &where);
    if (!four)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (port > 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* of an earlier run, in TIME_WAIT */
    if (bind(fd, (void *)&where, length) != 0 || listen(fd, BACKLOG) != 0) {
        const int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    length = sizeof where;
    getsockname(fd, (void *)&where, &length);
    *got = ntohs(four ? ((struct sockaddr_in *)(void *)&where)->sin_port
                      : ((struct sockaddr_in6 *)(void *)&where)->sin6_port);
    return fd;
}

/* Every rank of a host tries the same ports, so the next one is free for the next rank. */
dist_status dist_tcp_listen(const dist_tcp_setup *setup, const dist_tcp_card *card, int *fd, uint16_t *port)
{
    const bool only = setup->interface[0] != '\0';
    for (int p = setup->first_port; p <= setup->last_port; p++) {
        *fd = try_port(card, only, p, port);
        if (*fd >= 0)
            return DIST_OK;
        if (errno != EADDRINUSE && errno != EACCES)
            break;
    }
    const int error = errno;
    char address[80];
    dist_tcp_format_address(&card->address[0], (uint16_t)setup->first_port, address, sizeof address);
    if (setup->first_port == setup->last_port)
        return dist_fail(DIST_ERR_SYSTEM, "cannot listen at %s: %s", address, strerror(error));
    return dist_fail(
        DIST_ERR_SYSTEM,
        "cannot listen at %s nor at the ports to %d: %s; DIST_PORTS needs a port for each rank of a host",
        address, setup->last_port, strerror(error));
}

static bool same_network(const dist_tcp_address *a, const dist_tcp_address *b)
{
    int bits = a->prefix;
    if (a->family != b->family || a->prefix != b->prefix)
        return false;
    for (int i = 0; i < 16 && bits > 0; i++, bits -= 8) {
        const uint8_t mask = (uint8_t)(bits >= 8 ? 0xff : 0xff << (8 - bits));
        if ((a->bytes[i] ^ b->bytes[i]) & mask)
            return false;
    }
    return true;
}

#define ELSEWHERE 4 /* loopback of another host: only where it has nothing else, as in a namespace */

/* On a network of this host, then others; loopback for this host alone. */
static int unlikeliness(const dist_tcp_card *mine, const dist_tcp_address *address, bool same_node)
{
    if (address->loopback)
        return same_node ? 0 : ELSEWHERE;
    for (int i = 0; i < mine->addresses; i++)
        if (!mine->address[i].loopback && same_network(&mine->address[i], address))
            return 1;
    return address->family == 4 ? 2 : 3;
}

void dist_tcp_sort_addresses(const dist_tcp_card *mine, dist_tcp_card *peer, bool same_node)
{
    dist_tcp_address sorted[DIST_TCP_ADDRESSES];
    int count = 0;
    for (int rank = 0; rank <= ELSEWHERE; rank++)
        for (int i = 0; i < peer->addresses; i++)
            if (unlikeliness(mine, &peer->address[i], same_node) == rank)
                sorted[count++] = peer->address[i];
    memcpy(peer->address, sorted, sizeof *sorted * (size_t)count);
    peer->addresses = (uint16_t)count;
}
