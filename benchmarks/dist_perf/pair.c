#include "pair.h"

#include <stdlib.h>
#include <string.h>

#define UNDER_WAY         ((size_t)16 << 20)
#define WINDOW            64
#define WINDOW_LEAST      4
#define UNDER_WAY_SECONDS 0.5
#define BATCH_TIME                                                                                           \
    10e-6 /* seconds of a sample at least: to look at the clock costs as much as a short message */
#define PINGS_LEAST 8
#define PINGS_MOST  20000
#define ROUNDS_MOST 4
#define WORDS_MOST  200000 /* messages of one round */

/* Messages from one rank to another: calls that block, or requests that are used in turn. */
typedef struct lane {
    dist_context *context;
    perf_via via;
    int from, to, rank;
    int window; /* requests; 0: calls that block */
    size_t bytes;
    char *buffer; /* NULL where this rank is neither end */
    dist_request **request;
    MPI_Request *mpi;
} lane;

const char *perf_via_name(perf_via via)
{
    return via == PERF_VIA_MPI ? "mpi" : "libdist";
}

static void close_lane(lane *l)
{
    for (int i = 0; l->request && i < l->window; i++)
        dist_request_destroy(l->request[i]);
    if (l->via == PERF_VIA_MPI)
        free(l->buffer);
    else
        dist_free(l->context, l->buffer);
    free(l->request);
    free(l->mpi);
}

/* One message, in a call that blocks. With libdist the first one is made by all ranks, which compare what they are about to do. */
static bool move(const lane *l)
{
    const bool sends = l->rank == l->from, receives = l->rank == l->to;
    if (l->via == PERF_VIA_LIBDIST)
        return dist_send_recv(l->context, sends ? l->buffer : NULL, sends ? l->to : -1,
                              receives ? l->buffer : NULL, receives ? l->from : -1,
                              l->bytes / sizeof(int32_t), DIST_INT32, NULL) == DIST_OK;
    if (sends)
        return MPI_Send(l->buffer, (int)l->bytes, MPI_BYTE, l->to, 1, MPI_COMM_WORLD) == MPI_SUCCESS;
    return !receives || MPI_Recv(l->buffer, (int)l->bytes, MPI_BYTE, l->from, 1, MPI_COMM_WORLD,
                                 MPI_STATUS_IGNORE) == MPI_SUCCESS;
}

/* Collective; to be closed in any case. */
static bool open_lane(lane *l, dist_context *context, perf_via via, int from, int to, size_t bytes,
                      int window)
{
    *l = (lane){.context = context,
                .via = via,
                .from = from,
                .to = to,
                .rank = dist_rank(context),
                .window = window,
                .bytes = bytes,
                .request = calloc((size_t)window + 1, sizeof(dist_request *)),
                .mpi = malloc(((size_t)window + 1) * sizeof(MPI_Request))};
    const bool ends = l->rank == from || l->rank == to;
    void *memory = NULL;
    bool good = l->request && l->mpi;
    const size_t all = bytes * (size_t)(window > 0 ? window : 1);
    if (good && ends && via == PERF_VIA_MPI) /* as a program without libdist has it */
        good = (memory = calloc(1, bytes)) != NULL;
    else if (good && ends)
        good = dist_alloc(context, all, &memory) == DIST_OK;
    l->buffer = memory;
    if (!perf_all(good))
        return false;
    if (window == 0)
        good = move(l);
    for (int i = 0; i < window && good && via == PERF_VIA_LIBDIST; i++) {
        char *message = ends ? l->buffer + (size_t)i * bytes : NULL;
        good = dist_send_recv_init(context, l->rank == from ? message : NULL, l->rank == from ? to : -1,
                                   l->rank == to ? message : NULL, l->rank == to ? from : -1,
                                   bytes / sizeof(int32_t), DIST_INT32, NULL, &l->request[i]) == DIST_OK;
    }
    if (!good)
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    return good;
}

static bool post(lane *l, int i)
{
    char *message = l->buffer; /* MPI's are all in one place, as in the OSU benchmarks */
    if (l->via == PERF_VIA_LIBDIST)
        return dist_request_post(l->request[i]) == DIST_OK;
    if (l->rank == l->from)
        return MPI_Isend(message, (int)l->bytes, MPI_BYTE, l->to, 1, MPI_COMM_WORLD, &l->mpi[i]) ==
               MPI_SUCCESS;
    return MPI_Irecv(message, (int)l->bytes, MPI_BYTE, l->from, 1, MPI_COMM_WORLD, &l->mpi[i]) == MPI_SUCCESS;
}

static bool await(lane *l, int i)
{
    if (l->via == PERF_VIA_LIBDIST)
        return dist_request_wait(l->request[i], 0) == DIST_OK;
    return MPI_Wait(&l->mpi[i], MPI_STATUS_IGNORE) == MPI_SUCCESS;
}

/* What libdist says of it goes to stderr; of a call that failed elsewhere this rank knows nothing more. */
static bool agree(bool good)
{
    if (!good)
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    return perf_all(good);
}

/* ---- latency ---- */

/* `count` times `batch` round trips from a, with half of what one took in half[] there. */
static bool ping_pong(lane *forth, lane *back, int count, int batch, double *half)
{
    for (int i = 0; i < count; i++) {
        const double began = perf_seconds();
        for (int b = 0; b < batch; b++)
            if (!move(forth) || !move(back))
                return false;
        half[i] = (perf_seconds() - began) / 2 / batch;
    }
    return true;
}

/* How many fit the time: rank a's view counts. */
static int fitting(double half, double seconds, int batch)
{
    double count = seconds / (2 * half * batch + 1e-9);
    count = count < PINGS_LEAST ? PINGS_LEAST : count > PINGS_MOST ? PINGS_MOST : count;
    perf_reduce(&count, 1, MPI_MIN);
    return (int)count;
}

static bool measure_latency(lane *forth, lane *back, double seconds, double *half, perf_times *times)
{
    const bool ends = forth->buffer != NULL, first = forth->rank == forth->from;
    perf_barrier();
    if (!agree(!ends || ping_pong(forth, back, PINGS_LEAST / 2, 1, half)))
        return false;
    double found = first ? perf_median(half, PINGS_LEAST / 2) : 0;
    perf_reduce(&found, 1, MPI_MAX);
    const int batch = found < BATCH_TIME / 2 ? (int)(BATCH_TIME / 2 / (found + 1e-8)) + 1 : 1,
              count = fitting(found, seconds, batch);
    perf_barrier();
    if (!agree(!ends || ping_pong(forth, back, count, batch, half)))
        return false;
    double figures[5] = {0};
    for (int i = 0; first && i < count; i++)
        figures[0] += half[i] / count;
    if (first) {
        figures[2] = perf_median(half, count);
        figures[1] = half[0];
        figures[3] = perf_quantile(half, count, 0.95);
        figures[4] = perf_quantile(half, count, 0.99);
    }
    perf_reduce(figures, 5, MPI_MAX);
    *times = (perf_times){count * batch, figures[0], figures[1], figures[2], figures[3], figures[4]};
    return true;
}

bool perf_pair_latency(dist_context *context, perf_via via, perf_pair pair, size_t bytes, double seconds,
                       perf_times *times)
{
    lane forth = {0}, back = {0};
    double *half = malloc(PINGS_MOST * sizeof *half);
    bool good = perf_all(half != NULL);
    if (good)
        good = open_lane(&forth, context, via, pair.a, pair.b, bytes, 0) &&
               open_lane(&back, context, via, pair.b, pair.a, bytes, 0) &&
               measure_latency(&forth, &back, seconds, half, times);
    if (forth.context)
        close_lane(&forth);
    if (back.context)
        close_lane(&back);
    free(half);
    return good;
}

/* ---- bandwidth ---- */

/* What one round has shown at the rank that receives. */
typedef struct round {
    int window;            /* messages under way, of those that the lanes have */
    int messages, counted; /* all; those behind the first ones, while which windows open */
    double began, ended;
} round;

/* As soon as a message is there the next one takes its place. */
static bool stream(lane **lanes, int count, round *r)
{
    const int window = r->window;
    for (int i = 0; i < window && i < r->messages; i++)
        for (int l = 0; l < count; l++)
            if (!post(lanes[l], i))
                return false;
    for (int m = 0; m < r->messages; m++) {
        for (int l = 0; l < count; l++) {
            if (!await(lanes[l], m % window))
                return false;
            if (m == r->messages - r->counted - 1 && lanes[l]->rank == lanes[l]->to)
                r->began = perf_seconds();
            if (m == r->messages - 1 && lanes[l]->rank == lanes[l]->to)
                r->ended = perf_seconds();
        }
        for (int l = 0; l < count && m + window < r->messages; l++)
            if (!post(lanes[l], m % window))
                return false;
    }
    return true;
}

/* Seconds of what counted, on all ranks: of the slower way. */
static bool run_round(lane **lanes, int count, round *r)
{
    r->began = r->ended = 0;
    perf_barrier();
    if (!agree(lanes[0]->buffer == NULL || stream(lanes, count, r)))
        return false;
    double took = r->ended - r->began;
    perf_reduce(&took, 1, MPI_MAX);
    r->began = 0;
    r->ended = took > 1e-9 ? took : 1e-9;
    return true;
}

/* Rounds of more and more messages until one takes long enough. Without a window that was asked for, there are as many under way as go
 * through in UNDER_WAY_SECONDS: on a slow link, more would only take time. */
static bool measure_rate(lane **lanes, int count, bool fixed, double seconds, double *rate)
{
    const int most = lanes[0]->window, least = fixed || most < WINDOW_LEAST ? most : WINDOW_LEAST;
    const double bytes = (double)lanes[0]->bytes;
    round r = {.window = least, .messages = 2 * least + 2, .counted = least};
    for (int i = 0; i < ROUNDS_MOST; i++) {
        if (!run_round(lanes, count, &r))
            return false;
        *rate = (double)r.counted * bytes / r.ended;
        if ((r.ended > seconds / 2 && i > 0) || r.counted >= WORDS_MOST)
            break;
        const double through = *rate * UNDER_WAY_SECONDS / bytes, wanted = *rate * seconds / bytes;
        if (!fixed)
            r.window = through > most ? most : through < least ? least : (int)through;
        r.counted = wanted > WORDS_MOST ? WORDS_MOST : wanted < r.window ? r.window : (int)wanted + 1;
        r.messages = r.counted + (r.counted / 3 > r.window ? r.counted / 3 : r.window);
    }
    return true;
}

bool perf_pair_rate(dist_context *context, perf_via via, perf_pair pair, size_t bytes, int window, bool fixed,
                    double seconds, perf_ways ways, double *rate)
{
    lane lane_of[2] = {{0}, {0}}, *lanes[2] = {&lane_of[0], &lane_of[1]};
    const int count = ways == PERF_BOTH ? 2 : 1;
    const size_t fit = UNDER_WAY / (bytes + 1);
    bool good = true;
    if (window == 0)
        window = fit < 2 ? 2 : fit < WINDOW ? (int)fit : WINDOW;
    for (int l = 0; l < count && good; l++) {
        const bool turned = ways == PERF_BACK || l == 1;
        good = open_lane(lanes[l], context, via, turned ? pair.b : pair.a, turned ? pair.a : pair.b, bytes,
                         window);
    }
    if (good)
        good = measure_rate(lanes, count, fixed, seconds, rate);
    for (int l = 0; l < count; l++)
        if (lanes[l]->context)
            close_lane(lanes[l]);
    return good;
}
