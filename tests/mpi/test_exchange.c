/* All-to-all and send-recv on real ranks: every byte where it belongs, on one site and on several; partners that change from call to
 * call; requests; and what must be refused. */
/* ranks: 1 2 3 4 */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

static int rank, ranks;

static dist_context *context_of(int sites, const char *progress)
{
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    options.progress = progress;
    dist_context *context = harness_context(sites < ranks ? sites : ranks, 0, options);
    assert_non_null(context);
    return context;
}

static dist_collective_options algorithm(const char *name)
{
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    options.algo = name;
    return options;
}

/* Byte i of what rank `from` has for rank `to` in a round. */
static unsigned char byte_of(int from, int to, size_t i, int round)
{
    return (unsigned char)((i * 131 + (size_t)from * 17 + (size_t)to * 71 + (size_t)round * 29 + i / 251) &
                           0xff);
}

static void fill(unsigned char *data, size_t bytes, int from, int to, int round)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = byte_of(from, to, i, round);
}

static void check(const unsigned char *data, size_t bytes, int from, int to, int round)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != byte_of(from, to, i, round)) {
            print_error("byte %zu of %zu from rank %d to rank %d is %d, not %d\n", i, bytes, from, to,
                        data[i], byte_of(from, to, i, round));
            fail();
        }
}

static unsigned char *memory(size_t bytes)
{
    unsigned char *data = malloc(bytes + 64);
    assert_non_null(data);
    memset(data, 0xa5, bytes + 64);
    return data;
}

static void check_end(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(data[bytes + i], 0xa5);
}

/* ---- all-to-all ---- */

static const char *const algorithms[] = {"auto", "mpi", "ring", "hier", "halving"};

static void all_to_all(dist_context *context, const char *algo, dist_type type, size_t count, bool in_place,
                       int round)
{
    const size_t block = count * dist_type_bytes(type), all = block * (size_t)ranks;
    dist_collective_options options = algorithm(algo);
    unsigned char *send = memory(all), *receive = memory(all);
    for (int q = 0; q < ranks; q++)
        fill((in_place ? receive : send) + (size_t)q * block, block, rank, q, round);
    assert_dist(dist_all_to_all(context, in_place ? DIST_IN_PLACE : send, receive, count, type, &options));
    for (int q = 0; q < ranks; q++) {
        check(receive + (size_t)q * block, block, q, rank, round);
        if (!in_place)
            check(send + (size_t)q * block, block, rank, q, round);
    }
    check_end(receive, all);
    free(send);
    free(receive);
}

static void every_all_to_all(int sites, const char *progress)
{
    static const size_t counts[] = {0, 1, 1009, 30011};
    dist_context *context = context_of(sites, progress);
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            all_to_all(context, algorithms[a], (dist_type)((a + c) % DIST_TYPES), counts[c], false, (int)c);
            all_to_all(context, algorithms[a], (dist_type)((a + c + 3) % DIST_TYPES), counts[c], true,
                       (int)c);
        }
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms;
         a++) /* in place or not is a rank's own affair */
        all_to_all(context, algorithms[a], DIST_INT32, 20021 + a, rank % 2, (int)a);
    for (int type = 0; type < DIST_TYPES; type++)
        all_to_all(context, "auto", (dist_type)type, 333, type % 2, type);
    assert_dist(dist_finalize(context));
}

static void test_all_to_all(void **state)
{
    (void)state;
    every_all_to_all(1, "inline");
    every_all_to_all(2, "thread");
    every_all_to_all(4, "inline");
}

/* Several MiB, in windows that wait. */
static void test_large(void **state)
{
    (void)state;
    dist_context_options options = DIST_CONTEXT_OPTIONS_INIT;
    setenv("DIST_WINDOW", "100000", 1);
    setenv("DIST_CHUNK", "10000", 1);
    dist_context *context = harness_context(ranks > 1 ? 2 : 1, 0, options);
    unsetenv("DIST_WINDOW");
    unsetenv("DIST_CHUNK");
    assert_non_null(context);
    for (int in_place = 0; in_place < 2; in_place++) {
        all_to_all(context, "ring", DIST_FLOAT32, 200003, in_place, 1);
        all_to_all(context, "hier", DIST_FLOAT32, 200003, in_place, 2);
    }
    assert_dist(dist_finalize(context));
}

/* ---- send-recv ---- */

static void send_recv(dist_context *context, int to, int from, dist_type type, size_t count, int round)
{
    const size_t bytes = count * dist_type_bytes(type);
    unsigned char *send = to < 0 ? NULL : memory(bytes), *receive = from < 0 ? NULL : memory(bytes);
    if (send)
        fill(send, bytes, rank, to, round);
    assert_dist(dist_send_recv(context, send, to, receive, from, count, type, NULL));
    if (receive) {
        check(receive, bytes, from, rank, round);
        check_end(receive, bytes);
    }
    if (send)
        check(send, bytes, rank, to, round);
    free(send);
    free(receive);
}

static void shift(dist_context *context, int distance, dist_type type, size_t count, int round)
{
    send_recv(context, (rank + distance) % ranks, (rank + ranks - distance % ranks) % ranks, type, count,
              round);
}

/* One message alone; all others have nobody. */
static void message(dist_context *context, int a, int b, size_t count, int round)
{
    send_recv(context, rank == a ? b : -1, rank == b ? a : -1, DIST_INT32, count, round);
}

static void every_send_recv(int sites, const char *progress)
{
    static const size_t counts[] = {0, 1, 200, 150001};
    dist_context *context = context_of(sites, progress);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (int round = 0; round < 2; round++)
            for (int distance = 0; distance < ranks; distance++)
                shift(context, distance, (dist_type)((c + (size_t)distance) % DIST_TYPES), counts[c], round);
        for (int a = 0; a < ranks; a++)
            for (int b = 0; b < ranks; b++)
                message(context, a, b, counts[c], a + b);
        for (int a = ranks; a-- > 0;) /* back and forth: the same calls in another order */
            for (int b = 0; b < a; b++) {
                message(context, a, b, counts[c], 5);
                message(context, b, a, counts[c], 6);
            }
        send_recv(context, rank + 1 < ranks ? rank + 1 : -1, rank - 1, DIST_FLOAT64, counts[c],
                  7); /* a chain */
        send_recv(context, -1, -1, DIST_FLOAT64, counts[c], 8);
        const int mirror = ranks - 1 - rank;
        send_recv(context, mirror, mirror, DIST_BFLOAT16, counts[c], 9);
    }
    assert_dist(dist_barrier(context));
    assert_dist(dist_finalize(context));
}

static void test_send_recv(void **state)
{
    (void)state;
    every_send_recv(1, "inline");
    every_send_recv(2, "thread");
    every_send_recv(4, "inline");
}

/* More partners and sizes than the cache holds, twice. */
static void test_cache(void **state)
{
    (void)state;
    dist_context *context = context_of(2, "thread");
    for (int round = 0; round < 2; round++) {
        for (size_t count = 1; count < 90; count++)
            shift(context, (int)count % ranks, DIST_INT32, count, round);
        float *words = calloc(100 * (size_t)ranks, sizeof *words);
        for (int i = 0; i < 90; i++) /* other memory each time, and partners in turn */
            assert_dist(dist_send_recv(context, words + i, (rank + i) % ranks, words + 100 + i,
                                       (rank + ranks - i % ranks) % ranks, 0, DIST_FLOAT32, NULL));
        free(words);
    }
    assert_dist(dist_finalize(context));
}

/* ---- requests ---- */

static void test_requests(void **state)
{
    (void)state;
    enum { REQUESTS = 12, COUNT = 60000 };
    dist_context *context = context_of(2, "thread");
    dist_request *request[REQUESTS];
    unsigned char *send[REQUESTS], *receive[REQUESTS];
    const size_t bytes = COUNT * 4;
    for (int q = 0; q < REQUESTS; q++) {
        dist_collective_options options = algorithm(algorithms[q % 5]);
        send[q] = memory(bytes * (size_t)ranks);
        receive[q] = memory(bytes * (size_t)ranks);
        if (q % 2)
            assert_dist(
                dist_all_to_all_init(context, send[q], receive[q], COUNT, DIST_INT32, &options, &request[q]));
        else
            assert_dist(dist_send_recv_init(context, send[q], (rank + q) % ranks, receive[q],
                                            (rank + ranks - q % ranks) % ranks, COUNT, DIST_INT32, &options,
                                            &request[q]));
    }
    for (int round = 0; round < 3; round++) {
        for (int q = 0; q < REQUESTS; q++)
            for (int p = 0; p < (q % 2 ? ranks : 1); p++)
                fill(send[q] + (size_t)p * bytes, bytes, rank, q % 2 ? p : (rank + q) % ranks, q + round);
        for (int q = 0; q < REQUESTS; q++)
            assert_dist(dist_request_post(request[rank % 2 ? REQUESTS - 1 - q : q]));
        for (int q = REQUESTS; q-- > 0;)
            assert_dist(dist_request_wait(request[q], 0));
        for (int q = 0; q < REQUESTS; q++)
            for (int p = 0; p < (q % 2 ? ranks : 1); p++)
                check(receive[q] + (size_t)p * bytes, bytes, q % 2 ? p : (rank + ranks - q % ranks) % ranks,
                      rank, q + round);
    }
    for (int q = 0; q < REQUESTS; q++) {
        assert_dist(dist_request_destroy(request[q]));
        free(send[q]);
        free(receive[q]);
    }
    assert_dist(dist_finalize(context));
}

/* A stream of messages in both directions, each waited for in turn, beside blocking calls. */
static void test_stream(void **state)
{
    (void)state;
    enum { REQUESTS = 16, BYTES = 64 << 10 };
    dist_context *context = context_of(2, "thread");
    dist_request *request[REQUESTS];
    const int to = (rank + 1) % ranks, from = (rank + ranks - 1) % ranks;
    unsigned char *send = memory(REQUESTS * BYTES), *receive = memory(REQUESTS * BYTES);
    for (int q = 0; q < REQUESTS; q++)
        assert_dist(dist_send_recv_init(context, send + q * BYTES, to, receive + q * BYTES, from, BYTES / 4,
                                        DIST_INT32, NULL, &request[q]));
    for (int round = 0; round < 5; round++) {
        fill(send, REQUESTS * BYTES, rank, to, round);
        for (int q = 0; q < REQUESTS; q++)
            assert_dist(dist_request_post(request[q]));
        shift(context, 1, DIST_INT32, 3, round);
        for (int q = 0; q < REQUESTS; q++)
            assert_dist(dist_request_wait(request[q], 0));
        check(receive, REQUESTS * BYTES, from, rank, round);
    }
    for (int q = 0; q < REQUESTS; q++)
        assert_dist(dist_request_destroy(request[q]));
    free(send);
    free(receive);
    assert_dist(dist_finalize(context));
}

/* ---- bad input ---- */

static void refused(dist_status status, dist_status wanted, const char *word)
{
    if (status != wanted || !strstr(dist_last_error(), word))
        print_error("%s '%s' instead of %s with '%s'\n", dist_status_name(status), dist_last_error(),
                    dist_status_name(wanted), word);
    assert_int_equal(status, wanted);
    assert_non_null(strstr(dist_last_error(), word));
}

static void test_bad_input(void **state)
{
    (void)state;
    const dist_status A = DIST_ERR_ARGUMENT;
    dist_context *c = context_of(2, "thread");
    float data[64] = {0};
    dist_request *request = (dist_request *)1;
    dist_collective_options coded = algorithm("auto"), unknown = algorithm("butterfly");
    coded.codec = "int8";
    const int self = rank;
    refused(dist_send_recv(NULL, data, 0, data, 0, 1, DIST_FLOAT32, NULL), A, "context is NULL");
    refused(dist_send_recv(c, data, ranks, data + 8, -1, 1, DIST_FLOAT32, NULL), A, "ranks go from 0 to");
    refused(dist_send_recv(c, data, -1, data + 8, -2, 1, DIST_FLOAT32, NULL), A, "from rank -2");
    refused(dist_send_recv(c, data, -1, data, -1, 1, (dist_type)99, NULL), A, "dist_type");
    refused(dist_send_recv(c, data, self, data + 8, -1, 1, DIST_FLOAT32, NULL), A, "to itself");
    refused(dist_send_recv(c, data, -1, data + 8, self, 1, DIST_FLOAT32, NULL), A, "to itself");
    refused(dist_send_recv(c, NULL, self, data, self, 1, DIST_FLOAT32, NULL), A, "is NULL");
    refused(dist_send_recv(c, data, self, NULL, self, 1, DIST_FLOAT32, NULL), A, "is NULL");
    refused(dist_send_recv(c, data, self, data + 7, self, 8, DIST_FLOAT32, NULL), A, "overlap");
    refused(dist_send_recv(c, DIST_IN_PLACE, self, data, self, 8, DIST_FLOAT32, NULL), A, "DIST_IN_PLACE");
    refused(dist_send_recv(c, data, self, data + 32, self, SIZE_MAX, DIST_FLOAT32, NULL), A, "memory holds");
    refused(dist_send_recv(c, data, self, data + 32, self, 8, DIST_FLOAT32, &unknown), A, "butterfly");
    refused(dist_send_recv(c, data, self, data + 32, self, 8, DIST_FLOAT32, &coded), DIST_ERR_UNSUPPORTED,
            "codec");
    refused(dist_send_recv_init(c, data, self, data + 32, self, 8, DIST_FLOAT32, NULL, NULL), A,
            "request is NULL");
    refused(dist_send_recv_init(c, data, ranks, data, -1, 8, DIST_FLOAT32, NULL, &request), A,
            "ranks go from");
    assert_null(request);
    refused(dist_all_to_all(NULL, data, data + 32, 1, DIST_FLOAT32, NULL), A, "context is NULL");
    refused(dist_all_to_all(c, NULL, data, 1, DIST_FLOAT32, NULL), A, "is NULL");
    refused(dist_all_to_all(c, data, NULL, 1, DIST_FLOAT32, NULL), A, "is NULL");
    refused(dist_all_to_all(c, data, data + ranks - 1, 1, DIST_FLOAT32, NULL), A, "overlap");
    refused(dist_all_to_all(c, data, data + 32, SIZE_MAX / 16, DIST_FLOAT32, NULL), A, "memory holds");
    refused(dist_all_to_all(c, data, data + 32, 1, DIST_TYPES, NULL), A, "dist_type");
    refused(dist_all_to_all(c, data, data + 32, 1, DIST_FLOAT32, &unknown), A, "butterfly");
    refused(dist_all_to_all(c, data, data + 32, 1, DIST_FLOAT32, &coded), DIST_ERR_UNSUPPORTED, "codec");
    refused(dist_all_to_all_init(c, NULL, data, 1, DIST_FLOAT32, NULL, &request), A, "is NULL");
    assert_dist(dist_send_recv(c, NULL, -1, NULL, -1, 8, DIST_FLOAT32, NULL)); /* and all goes on */
    assert_dist(dist_barrier(c));
    assert_dist(dist_finalize(c));
}

/* Pairs that do not match are found out before anything is sent, on all ranks, also on those whose own pair does; all goes on. */
static void test_mismatch(void **state)
{
    (void)state;
    float a[16] = {0}, b[16];
    dist_request *request;
    if (ranks < 2)
        return;
    dist_context *context = context_of(2, "thread");
    for (int round = 0; round < 2; round++) {
        /* rank 0 sends to rank 1, which receives nothing */
        refused(dist_send_recv(context, a, rank == 0 ? 1 : -1, b, -1, 4, DIST_FLOAT32, NULL),
                DIST_ERR_MISMATCH, "SEND of 16 bytes on rank 0 meets nothing on rank 1");
        /* rank 1 waits for rank 0, which sends nothing */
        refused(dist_send_recv(context, a, -1, b, rank == 1 ? 0 : -1, 4, DIST_FLOAT32, NULL),
                DIST_ERR_MISMATCH, "RECV of 16 bytes on rank 1 meets nothing on rank 0");
        refused(dist_send_recv_init(context, a, rank == 0 ? 1 : -1, b, -1, 4, DIST_FLOAT32, NULL, &request),
                DIST_ERR_MISMATCH, "meets nothing");
        /* as many as the others, or not */
        refused(dist_send_recv(context, a, rank == 0 ? 1 : -1, b, rank == 1 ? 0 : -1, rank == 1 ? 5 : 6,
                               DIST_FLOAT32, NULL),
                DIST_ERR_MISMATCH, "send-recv of 5 float32");
        refused(dist_all_to_all(context, DIST_IN_PLACE, a, rank == 1 ? 2 : 1, DIST_FLOAT32, NULL),
                DIST_ERR_MISMATCH, "all-to-all of 2 float32");
        refused(rank == 0 ? dist_send_recv(context, a, 1, b, -1, 2, DIST_FLOAT32, NULL)
                          : dist_barrier(context),
                DIST_ERR_MISMATCH, "send-recv of 2 float32");
        message(context, 0, 1, 4, round);
        message(context, 1, 0, 4, round);
    }
    assert_dist(dist_finalize(context));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_to_all), cmocka_unit_test(test_large),    cmocka_unit_test(test_send_recv),
        cmocka_unit_test(test_cache),      cmocka_unit_test(test_requests), cmocka_unit_test(test_stream),
        cmocka_unit_test(test_bad_input),  cmocka_unit_test(test_mismatch),
    };
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
