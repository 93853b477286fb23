/* Messages over streams: all sizes, whoever starts first, more than a peer has room for. */
#define _POSIX_C_SOURCE 200809L /* barriers */

#include "tcp_pair.h"

enum { MESSAGES = 24 };

static const uint64_t sizes[] = {0,     1,     47,    48,     4096,    4097,
                                 65535, 65536, 65537, 200000, 1 << 20, (5 << 20) + 3};
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef struct traffic {
    unsigned char *out[MESSAGES], *in[MESSAGES];
    uint64_t bytes[MESSAGES];
    dist_wire_request *send[MESSAGES], *receive[MESSAGES];
    bool done[2 * MESSAGES];
} traffic;

/* Every second message goes from rank 1 to rank 0. */
static void make_traffic(tcp_pair *pair, traffic *t)
{
    memset(t, 0, sizeof *t);
    for (int m = 0; m < MESSAGES; m++) {
        t->bytes[m] = sizes[m / 2 % SIZES];
        t->out[m] = malloc(t->bytes[m] + 1);
        t->in[m] = malloc(t->bytes[m] + 1);
        t->send[m] = tcp_make(pair, m % 2, true, (uint32_t)m, t->out[m], t->bytes[m], &t->done[m]);
        t->receive[m] =
            tcp_make(pair, 1 - m % 2, false, (uint32_t)m, t->in[m], t->bytes[m], &t->done[MESSAGES + m]);
    }
}

static void free_traffic(traffic *t)
{
    for (int m = 0; m < MESSAGES; m++) {
        t->send[m]->wire->ops->release(t->send[m]);
        t->receive[m]->wire->ops->release(t->receive[m]);
        free(t->out[m]);
        free(t->in[m]);
    }
}

/* Starts all in an order that `seed` gives, with looks at the wires in between. */
static void start_all(tcp_pair *pair, traffic *t, unsigned seed)
{
    int order[2 * MESSAGES];
    for (int i = 0; i < 2 * MESSAGES; i++)
        order[i] = i;
    srand(seed);
    for (int i = 2 * MESSAGES - 1; i > 0; i--) {
        const int j = rand() % (i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    for (int i = 0; i < 2 * MESSAGES; i++) {
        const int m = order[i] % MESSAGES;
        const bool send = order[i] < MESSAGES;
        tcp_start(pair, send ? m % 2 : 1 - m % 2, send ? t->send[m] : t->receive[m]);
        for (int look = rand() % 4; look > 0; look--)
            tcp_poll_side(pair, look % 2);
    }
}

static void run_rounds(int streams, int rounds)
{
    tcp_pair pair;
    traffic t;
    tcp_pair_open(&pair, streams);
    make_traffic(&pair, &t);
    for (int round = 0; round < rounds; round++) {
        for (int m = 0; m < MESSAGES; m++) {
            tcp_fill(t.out[m], t.bytes[m], (unsigned)(round * MESSAGES + m));
            memset(t.in[m], 0, t.bytes[m]);
        }
        start_all(&pair, &t, (unsigned)round);
        assert_true(tcp_drive(&pair, t.done, 2 * MESSAGES));
        for (int i = 0; i < 2; i++)
            if (pair.status[i] < 0)
                fail_msg("rank %d: %s", i, pair.sentence[i]);
        for (int m = 0; m < MESSAGES; m++)
            assert_memory_equal(t.in[m], t.out[m], t.bytes[m]);
    }
    dist_tcp_counts counts;
    dist_wire_tcp_counts(pair.wire[0], &counts);
    assert_true(counts.unexpected > 0); /* or only half of it was tried */
    free_traffic(&t);
    tcp_pair_close(&pair);
}

static void test_messages_of_all_sizes_in_any_order(void **state)
{
    (void)state;
    run_rounds(1, 6);
    run_rounds(4, 12);
    run_rounds(16, 6);
}

/* More than the receiver keeps is sent before anything is awaited; then the last is awaited first. */
static void test_room_is_bounded_and_nothing_waits_for_ever(void **state)
{
    enum { COUNT = 160, BYTES = 60000 };
    static bool done[2 * COUNT];
    dist_wire_request *send[COUNT], *receive[COUNT];
    unsigned char *out = malloc(COUNT * BYTES), *in = calloc(COUNT, BYTES);
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 2);
    tcp_fill(out, COUNT * BYTES, 1);
    for (uint32_t m = 0; m < COUNT; m++) {
        send[m] = tcp_make(&pair, 0, true, m, out + m * BYTES, BYTES, &done[m]);
        receive[m] = tcp_make(&pair, 1, false, m, in + m * BYTES, BYTES, &done[COUNT + m]);
        tcp_start(&pair, 0, send[m]);
    }
    const int64_t until = dist_deadline(0.3);
    while (dist_now() < until) {
        tcp_poll_side(&pair, 0);
        tcp_poll_side(&pair, 1);
    }
    dist_tcp_counts counts;
    dist_wire_tcp_counts(pair.wire[1], &counts);
    assert_int_equal(counts.unexpected, DIST_TCP_ROOM / BYTES);
    for (int m = COUNT - 1; m >= 0; m--) {
        tcp_start(&pair, 1, receive[m]);
        tcp_poll_side(&pair, 1);
    }
    assert_true(tcp_drive(&pair, done, 2 * COUNT));
    assert_int_equal(pair.status[0], DIST_OK);
    assert_int_equal(pair.status[1], DIST_OK);
    assert_memory_equal(in, out, COUNT * BYTES);
    for (int m = 0; m < COUNT; m++) {
        send[m]->wire->ops->release(send[m]);
        receive[m]->wire->ops->release(receive[m]);
    }
    /* the room was given back */
    assert_true(((dist_tcp_wire *)pair.wire[0])->peer[1]->credit +
                    (int64_t)((dist_tcp_wire *)pair.wire[1])->peer[0]->owed ==
                DIST_TCP_ROOM);
    free(out);
    free(in);
    tcp_pair_close(&pair);
}

/* Receives of short messages are announced only when the sender has asked. */
static void test_short_messages_beyond_the_room(void **state)
{
    enum { COUNT = 20000 };
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 2);
    dist_wire_token *send = calloc(COUNT, sizeof *send);
    uint32_t *word = calloc(2 * COUNT, sizeof *word);
    for (uint32_t m = 0; m < COUNT; m++) {
        word[m] = m * 3;
        const dist_wire_message out = {
            .send = true, .peer = 1, .channel = 1, .tag = 5, .buffer = &word[m], .bytes = 4};
        assert_int_equal(pair.wire[0]->ops->post(pair.wire[0], &out, &send[m]), DIST_OK);
    }
    for (uint32_t m = 0; m < COUNT; m++) {
        const dist_wire_message in = {
            .send = false, .peer = 0, .channel = 1, .tag = 5, .buffer = &word[COUNT + m], .bytes = 4};
        const int64_t deadline = dist_deadline(PATIENCE);
        dist_wire_token token;
        bool done = false;
        assert_int_equal(pair.wire[1]->ops->post(pair.wire[1], &in, &token), DIST_OK);
        while (!done) {
            assert_int_equal(pair.wire[1]->ops->finish(pair.wire[1], &token, &done), DIST_OK);
            tcp_poll_side(&pair, 0);
            assert_true(dist_now() < deadline);
        }
    }
    for (uint32_t m = 0; m < COUNT; m++) {
        bool done = false;
        assert_int_equal(pair.wire[0]->ops->finish(pair.wire[0], &send[m], &done), DIST_OK);
        assert_true(done);
        assert_int_equal(word[COUNT + m], m * 3);
    }
    dist_tcp_counts counts;
    dist_wire_tcp_counts(pair.wire[0], &counts);
    assert_true(counts.held > 0);
    free(send);
    free(word);
    tcp_pair_close(&pair);
}

/* Of a parcel only what its head says travels. */
static void test_parcels(void **state)
{
    static struct {
        dist_parcel head;
        unsigned char data[300000];
    } out, in;
    bool done[2];
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 4);
    dist_wire_request *request[2];
    for (int i = 0; i < 2; i++) {
        const dist_wire_message message = {.send = i == 0,
                                           .peer = 1 - i,
                                           .channel = 1,
                                           .tag = 7,
                                           .buffer = i == 0 ? (void *)&out : (void *)&in,
                                           .bytes = sizeof out,
                                           .variable = true};
        assert_int_equal(pair.wire[i]->ops->message(pair.wire[i], &message, &request[i]), DIST_OK);
        request[i]->owner = &done[i];
    }
    static const uint64_t bytes[] = {300000, 0, 5, 70000, 300000, 1};
    for (unsigned round = 0; round < sizeof bytes / sizeof *bytes; round++) {
        out.head.bytes = bytes[round];
        tcp_fill(out.data, sizeof out.data, round);
        memset(&in, 0, sizeof in);
        tcp_start(&pair, round % 2 ? 1 : 0, request[round % 2 ? 1 : 0]);
        tcp_start(&pair, round % 2 ? 0 : 1, request[round % 2 ? 0 : 1]);
        assert_true(tcp_drive(&pair, done, 2));
        assert_int_equal(pair.status[0], DIST_OK);
        assert_int_equal(in.head.bytes, bytes[round]);
        assert_memory_equal(in.data, out.data, bytes[round]);
        assert_int_equal(in.data[bytes[round] < sizeof in.data ? bytes[round] : 0],
                         bytes[round] < sizeof in.data ? 0 : out.data[0]);
    }
    out.head.bytes = 300001;
    tcp_start(&pair, 0, request[0]);
    assert_int_equal(pair.status[0], DIST_ERR_ARGUMENT);
    pair.status[0] = DIST_OK;
    for (int i = 0; i < 2; i++)
        request[i]->wire->ops->release(request[i]);
    tcp_pair_close(&pair);
}

/* More streams than at first, and messages while they come. */
static void test_streams_are_added(void **state)
{
    enum { BYTES = 3 << 20 };
    unsigned char *out = malloc(BYTES), *in = malloc(BYTES);
    bool done[2];
    tcp_pair pair;
    (void)state;
    tcp_pair_open(&pair, 2);
    tcp_meet(&pair, 2);
    dist_wire_request *send = tcp_make(&pair, 0, true, 1, out, BYTES, &done[0]);
    dist_wire_request *receive = tcp_make(&pair, 1, false, 1, in, BYTES, &done[1]);
    for (int streams = 2; streams <= 64; streams *= 2) {
        for (int i = 0; i < 2; i++)
            dist_wire_tcp_use_streams(pair.wire[i], streams);
        tcp_fill(out, BYTES, (unsigned)streams);
        tcp_start(&pair, 0, send);
        tcp_start(&pair, 1, receive);
        assert_true(tcp_drive(&pair, done, 2));
        assert_int_equal(pair.status[0], DIST_OK);
        assert_memory_equal(in, out, BYTES);
        tcp_meet(&pair, streams);
    }
    send->wire->ops->release(send);
    receive->wire->ops->release(receive);
    free(out);
    free(in);
    tcp_pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_all_sizes_in_any_order),
        cmocka_unit_test(test_room_is_bounded_and_nothing_waits_for_ever),
        cmocka_unit_test(test_short_messages_beyond_the_room),
        cmocka_unit_test(test_parcels),
        cmocka_unit_test(test_streams_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
