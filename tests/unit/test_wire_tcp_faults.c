/* What goes wrong on streams, and who is told what. */
#define _DEFAULT_SOURCE /* barriers, usleep */

#include "tcp_pair.h"

#include <arpa/inet.h>
#include <unistd.h>

static dist_tcp_wire *tcp(const tcp_pair *pair, int side)
{
    return (dist_tcp_wire *)pair->wire[side];
}

static dist_tcp_stream *stream_of(const tcp_pair *pair, int side, int stream)
{
    return tcp(pair, side)->peer[1 - side]->stream[stream];
}

static void expect_sentence(const tcp_pair *pair, int side, dist_status status, const char *words)
{
    assert_int_equal(pair->status[side], status);
    if (!strstr(pair->sentence[side], words))
        fail_msg("'%s' should say '%s'", pair->sentence[side], words);
}

/* ---- guests ---- */

static int call_at(const tcp_pair *pair, int side)
{
    struct sockaddr_storage where;
    const dist_tcp_card *card = &tcp(pair, 1 - side)->card[side];
    const socklen_t length = dist_tcp_socket_address(&card->address[0], card->port, &where);
    const int fd = socket(where.ss_family, SOCK_STREAM, 0);
    const struct timeval patience = {.tv_sec = (long)PATIENCE};
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (void *)&where, length), 0);
    return fd;
}

/* Whether rank 1 shuts the door on one who says so. */
static bool is_refused(tcp_pair *pair, dist_tcp_greeting greeting, bool checked)
{
    char answer[64];
    const int64_t deadline = dist_deadline(PATIENCE);
    const int fd = call_at(pair, 1);
    ssize_t n = -1;
    if (checked)
        greeting.check = dist_tcp_check_of(&greeting, offsetof(dist_tcp_greeting, check));
    assert_int_equal(write(fd, &greeting, sizeof greeting), sizeof greeting);
    while (n < 0 && dist_now() < deadline) {
        tcp_poll_side(pair, 1);
        n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    }
    close(fd);
    return n == 0;
}

static void test_strangers_are_refused(void **state)
{
    tcp_pair pair;
    unsigned char out[100] = {7}, in[100];
    bool done[2];
    (void)state;
    tcp_pair_open(&pair, 2);
    tcp_meet(&pair, 2);
    const dist_tcp_greeting good = {.magic = DIST_TCP_MAGIC,
                                    .version = DIST_TCP_VERSION,
                                    .job = tcp(&pair, 1)->job,
                                    .from = 0,
                                    .to = 1,
                                    .stream = 5};
    dist_tcp_greeting other = good;
    assert_true(is_refused(&pair, good, false)); /* without its check */
    other.magic++;
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.version++;
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.job++; /* of an earlier run on the same port */
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.to = 0;
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.from = 7;
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.stream = DIST_TCP_STREAMS_MOST;
    assert_true(is_refused(&pair, other, true));
    other = good;
    other.stream = 1; /* is there */
    assert_true(is_refused(&pair, other, true));

    dist_wire_request *send = tcp_make(&pair, 0, true, 1, out, sizeof out, &done[0]);
    dist_wire_request *receive = tcp_make(&pair, 1, false, 1, in, sizeof in, &done[1]);
    tcp_start(&pair, 0, send);
    tcp_start(&pair, 1, receive);
    assert_true(tcp_drive(&pair, done, 2)); /* the others go on */
    assert_int_equal(pair.status[1], DIST_OK);
    assert_memory_equal(in, out, sizeof out);
    assert_false(is_refused(&pair, good, true)); /* the test can tell */
    send->wire->ops->release(send);
    receive->wire->ops->release(receive);
    pair.status[0] = pair.status[1] =
        DIST_ERR_STATE; /* with a stream that nobody serves, there is no end in order */
    tcp_pair_close(&pair);
}

/* The port of a job that has gone on without its guests: who says nothing does not hold up the others. */
static void test_silent_guests(void **state)
{
    enum { CALLS = 300 };
    static int fd[CALLS];
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 4);
    for (int i = 0; i < CALLS; i++) {
        fd[i] = call_at(&pair, 1);
        tcp_poll_side(&pair, 1);
        usleep(100);
    }
    for (int i = 0; i < CALLS; i++)
        close(fd[i]);
    tcp_meet(&pair, 4);
    tcp_pair_close(&pair);
}

/* ---- frames ---- */

static dist_tcp_head head_of(uint32_t tag, uint32_t number, uint64_t total, uint64_t offset, uint32_t length)
{
    return (dist_tcp_head){.magic = DIST_TCP_MAGIC,
                           .kind = DIST_TCP_DATA,
                           .channel = DIST_CHANNEL_ACROSS,
                           .tag = tag,
                           .number = number,
                           .total = total,
                           .offset = offset,
                           .length = length,
                           .flags = DIST_TCP_AHEAD};
}

/* Rank 0's stream says `head` while rank 1 awaits 1000 bytes of tag 3, after one run of them. */
static void expect_refusal(dist_tcp_head head, bool checked, const char *words)
{
    tcp_pair pair;
    unsigned char out[1000] = {1}, in[1000];
    bool done[2];
    tcp_pair_open(&pair, 2);
    tcp_meet(&pair, 2);
    dist_wire_request *send = tcp_make(&pair, 0, true, 3, out, sizeof out, &done[0]);
    dist_wire_request *receive = tcp_make(&pair, 1, false, 3, in, sizeof in, &done[1]);
    tcp_start(&pair, 0, send);
    tcp_start(&pair, 1, receive);
    assert_true(tcp_drive(&pair, done, 2));
    assert_int_equal(pair.status[1], DIST_OK);
    tcp_start(&pair, 1, receive); /* number 1 */
    if (checked)
        head.check = dist_tcp_check_of(&head, offsetof(dist_tcp_head, check));
    assert_int_equal(write(stream_of(&pair, 0, 1)->fd, &head, sizeof head), sizeof head);
    assert_true(tcp_drive(&pair, &(bool){false}, 1));
    expect_sentence(&pair, 1, DIST_ERR_FRAME, words);
    assert_non_null(strstr(pair.sentence[1], "rank 0"));
    send->wire->ops->release(send);
    receive->wire->ops->release(receive);
    pair.status[0] = DIST_ERR_FRAME; /* a job that failed */
    tcp_pair_close(&pair);
}

static void test_wrong_frames_are_refused(void **state)
{
    dist_tcp_head head = head_of(3, 1, 1000, 0, 1000);
    (void)state;
    expect_refusal(head, false, "is no frame of libdist"); /* without its check */
    head.magic++;
    expect_refusal(head, true, "is no frame of libdist");
    head = head_of(3, 1, 1000, 0, 1000);
    head.kind = 9;
    expect_refusal(head, true, "kind 9");
    expect_refusal(head_of(3, 1, 1000, 0, 1001), true, "longer than its message");
    expect_refusal(head_of(3, 1, 1000, 1000, 1), true, "longer than its message");
    expect_refusal(head_of(3, 1, UINT64_MAX, UINT64_MAX - 5, 10), true, "longer than its message");
    expect_refusal(head_of(3, 1, 999, 0, 999), true, "999 bytes where 1000 are expected");
    expect_refusal(head_of(3, 0, 1000, 0, 1000), true, "of an earlier run");
    expect_refusal(head_of(3, UINT32_MAX, 1000, 0, 1000), true, "of an earlier run");
    expect_refusal(head_of(4, 0, 1 << 20, 0, 1000), true, "nobody has asked for");
    head = head_of(4, 0, 1000, 0, 1000);
    head.flags = 0;
    expect_refusal(head, true, "nobody has asked for");
}

static void test_sizes_that_differ(void **state)
{
    tcp_pair pair;
    static unsigned char out[90000], in[90000];
    bool done[2];
    (void)state;
    for (int early = 0; early < 2; early++) { /* the message comes before its receive has started, or after */
        const uint64_t bytes = early ? 2000 : 80000;
        tcp_pair_open(&pair, 2);
        tcp_meet(&pair, 2);
        dist_wire_request *send = tcp_make(&pair, 0, true, 1, out, bytes, &done[0]);
        dist_wire_request *receive = tcp_make(&pair, 1, false, 1, in, bytes + 1, &done[1]);
        tcp_start(&pair, early ? 0 : 1, early ? send : receive);
        for (int i = 0; i < 200; i++) {
            tcp_poll_side(&pair, i % 2);
            usleep(100);
        }
        tcp_start(&pair, early ? 1 : 0, early ? receive : send);
        assert_true(tcp_drive(&pair, &(bool){false}, 1));
        expect_sentence(&pair, 1, DIST_ERR_FRAME,
                        early ? "2000 bytes where 2001" : "80000 bytes where 80001");
        pair.status[0] = DIST_ERR_FRAME;
        send->wire->ops->release(send);
        receive->wire->ops->release(receive);
        tcp_pair_close(&pair);
    }
}

/* ---- streams ---- */

static void test_a_closed_stream_is_named(void **state)
{
    enum { BYTES = 32 << 20 };
    unsigned char *out = calloc(1, BYTES), *in = malloc(BYTES);
    bool done[2];
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 4);
    tcp_meet(&pair, 4);
    dist_wire_request *send = tcp_make(&pair, 0, true, 1, out, BYTES, &done[0]);
    dist_wire_request *receive = tcp_make(&pair, 1, false, 1, in, BYTES, &done[1]);
    tcp_start(&pair, 1, receive);
    tcp_start(&pair, 0, send);
    for (int i = 0; i < 8; i++)
        tcp_poll_side(&pair, i % 2);
    shutdown(stream_of(&pair, 0, 2)->fd, SHUT_RDWR);
    const int64_t deadline = dist_deadline(PATIENCE);
    while ((pair.status[0] >= 0 || pair.status[1] >= 0) && dist_now() < deadline) {
        tcp_poll_side(&pair, 0);
        tcp_poll_side(&pair, 1);
    }
    expect_sentence(&pair, 0, DIST_ERR_SYSTEM, "rank 1");
    expect_sentence(&pair, 1, DIST_ERR_SYSTEM, "rank 0");
    assert_non_null(strstr(pair.sentence[1], "stream"));
    assert_ptr_equal(pair.blamed[1], receive);
    tcp_start(&pair, 1, receive); /* later ones say it again */
    expect_sentence(&pair, 1, DIST_ERR_SYSTEM, "rank 0");
    send->wire->ops->release(send);
    receive->wire->ops->release(receive);
    free(out);
    free(in);
    tcp_pair_close(&pair);
}

static void test_who_does_not_take_is_described(void **state)
{
    enum { BYTES = 32 << 20 };
    unsigned char *out = calloc(1, BYTES), *in = malloc(BYTES);
    char text[256];
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 2);
    tcp_meet(&pair, 2);
    pair.wire[0]->ops->describe(pair.wire[0], text, sizeof text);
    assert_string_equal(text, "");
    dist_wire_request *send = tcp_make(&pair, 0, true, 1, out, BYTES, NULL);
    dist_wire_request *receive = tcp_make(&pair, 1, false, 1, in, BYTES, NULL);
    tcp_start(&pair, 1, receive);
    for (int i = 0; i < 300; i++) { /* rank 1 has announced, and looks no more */
        tcp_poll_side(&pair, 0);
        usleep(100);
    }
    tcp_start(&pair, 0, send);
    for (int i = 0; i < 300; i++) {
        tcp_poll_side(&pair, 0);
        usleep(100);
    }
    pair.wire[0]->ops->describe(pair.wire[0], text, sizeof text);
    if (!strstr(text, "rank 1 at ") || !strstr(text, "has not taken what 2 of 2 streams hold"))
        fail_msg("%s", text);
    pair.status[0] = pair.status[1] = DIST_ERR_TIMEOUT;
    send->wire->ops->release(send);
    receive->wire->ops->release(receive);
    tcp_pair_close(&pair);
    free(out);
    free(in);
}

static void test_an_address_without_answer(void **state)
{
    unsigned char byte = 0;
    tcp_pair pair;
    (void)state;
    tcp_pair_init(&pair, 2);
    pair.setup[0].timeout = pair.setup[1].timeout = 0.5;
    tcp_both(&pair, tcp_open_side);
    assert_int_equal(pair.status[0], DIST_OK);
    for (int i = 0; i < 2; i++) /* as if a firewall stood there */
        tcp(&pair, i)->card[1].port = 1;
    dist_wire_request *request[2];
    for (int i = 0; i < 2; i++) {
        request[i] = tcp_make(&pair, i, i == 0, 1, &byte, 1, NULL);
        tcp_start(&pair, i, request[i]);
    }
    const int64_t deadline = dist_deadline(PATIENCE);
    while ((pair.status[0] >= 0 || pair.status[1] >= 0) && dist_now() < deadline) {
        tcp_poll_side(&pair, 0);
        tcp_poll_side(&pair, 1);
        usleep(1000);
    }
    expect_sentence(&pair, 0, DIST_ERR_TIMEOUT, "rank 1 could not be reached at ");
    expect_sentence(&pair, 1, DIST_ERR_TIMEOUT, "rank 0 did not connect to this rank at ");
    for (int i = 0; i < 2; i++)
        request[i]->wire->ops->release(request[i]);
    tcp_pair_close(&pair);
}

/* ---- where ranks listen ---- */

static int take_port(int *port)
{
    struct sockaddr_in6 where = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    socklen_t length = sizeof where;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd >= 0 && bind(fd, (void *)&where, sizeof where) == 0) {
        getsockname(fd, (void *)&where, &length);
        *port = ntohs(where.sin6_port);
    } else {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        length = sizeof four;
        assert_int_equal(bind(fd, (void *)&four, sizeof four), 0);
        getsockname(fd, (void *)&four, &length);
        *port = ntohs(four.sin_port);
    }
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_ports_that_are_taken(void **state)
{
    tcp_pair pair;
    int port, fd = take_port(&port);
    (void)state;
    tcp_pair_init(&pair, 1);
    pair.setup[0].first_port = pair.setup[0].last_port = port;
    tcp_both(&pair, tcp_open_side);
    for (int i = 0; i < 2; i++) {
        expect_sentence(&pair, i, DIST_ERR_SYSTEM, "cannot listen at ");
        expect_sentence(&pair, i, DIST_ERR_SYSTEM, "rank 0");
        expect_sentence(&pair, i, DIST_ERR_SYSTEM, "in use");
    }
    tcp_pair_close(&pair);

    tcp_pair_init(&pair, 2); /* both ranks find one of those that follow */
    for (int i = 0; i < 2; i++) {
        pair.setup[i].first_port = port;
        pair.setup[i].last_port = port + 20;
    }
    tcp_both(&pair, tcp_open_side);
    if (pair.status[0] < 0)
        fail_msg("%s", pair.sentence[0]);
    for (int i = 0; i < 2; i++)
        assert_in_range(tcp(&pair, 0)->card[i].port, port + 1, port + 20);
    tcp_meet(&pair, 2);
    tcp_pair_close(&pair);
    close(fd);
}

static void test_interfaces(void **state)
{
    tcp_pair pair;
    (void)state;
    tcp_pair_init(&pair, 1);
    pair.setup[1].interface = "ether9";
    tcp_both(&pair, tcp_open_side);
    for (int i = 0; i < 2; i++) {
        expect_sentence(&pair, i, DIST_ERR_CONFIG, "rank 1");
        expect_sentence(&pair, i, DIST_ERR_CONFIG, "DIST_IFACE is 'ether9', but this host has: ");
        expect_sentence(&pair, i, DIST_ERR_CONFIG, "lo 127.0.0.1");
    }
    tcp_pair_close(&pair);
    static const char *const names[] = {"lo", "127.0.0.1"};
    for (int n = 0; n < 2; n++) {
        tcp_pair_init(&pair, 2);
        pair.setup[0].interface = pair.setup[1].interface = names[n];
        tcp_both(&pair, tcp_open_side);
        if (pair.status[0] < 0)
            fail_msg("%s", pair.sentence[0]);
        assert_non_null(strstr(dist_wire_tcp_place(pair.wire[0]), "127.0.0.1:"));
        tcp_meet(&pair, 2);
        tcp_pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_are_refused),
        cmocka_unit_test(test_silent_guests),
        cmocka_unit_test(test_wrong_frames_are_refused),
        cmocka_unit_test(test_sizes_that_differ),
        cmocka_unit_test(test_a_closed_stream_is_named),
        cmocka_unit_test(test_who_does_not_take_is_described),
        cmocka_unit_test(test_an_address_without_answer),
        cmocka_unit_test(test_ports_that_are_taken),
        cmocka_unit_test(test_interfaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
