/* dist_perf pipeline: schedules with functions that wait a known time, measured beside what was predicted. */
#include <stdlib.h>
#include <string.h>

#include "perf.h"
#include "wait.h"

#define MOST_SCHEDULES 16

static const char help[] =
    "usage: mpirun ... dist_perf pipeline [flags]\n"
    "  --schedule LIST    gpipe, 1f1b, interleaved:v=2, zb-h1, wan-1f1b, auto, ...; several take turns, so "
    "that drift hits\n"
    "                     all alike (1f1b,wan-1f1b)\n"
    "  --microbatches M   of a step (16)\n"
    "  --times F,B,W      milliseconds that a rank waits for a microbatch: forward, backward of the input, "
    "of the weights\n"
    "                     (2,2,2); 0,0,0 shows what the library itself costs\n"
    "  --boundary BYTES   that a stage hands to the next for a microbatch (1K)\n"
    "  --mesh TEXT        as dist_pipeline_options.mesh (one pipeline over all ranks)\n"
    "  --codec NAME       of activations between sites (none)\n"
    "  -n N -w N          steps of each schedule, and warm-up steps (5, 1)      -J FILE   write JSON too\n"
    "  -T SECONDS         deadline of every wait (60)\n"
    "Columns: predicted from the times and the measured links; time is the median over steps from the first\n"
    "call of any rank to the end of the last; bound: no order of these calls is faster; us/op: time over the "
    "ops "
    "of the\n"
    "busiest rank's plan.\n";

typedef struct pipe_options {
    const char *schedule[MOST_SCHEDULES], *mesh, *codec, *json;
    char list[512];
    int schedules, microbatches, steps, warmup;
    size_t boundary;
    double seconds[3], timeout;
} pipe_options;

typedef struct row {
    dist_pipeline *pipeline;
    dist_pipeline_shape shape;
    struct bench *bench;
    double *time; /* [steps] */
    double ops;
    dist_pipeline_stats stats;
} row;

typedef struct bench {
    int64_t began, ended; /* this rank's first call and the end of its last one, in this step */
    int64_t ahead;        /* how far this rank's clock is before rank 0's */
    const pipe_options *o;
    dist_stage_times *times;
    int64_t debt; /* nanoseconds that earlier waits took too long */
} bench;

static void wait_for(bench *b, double seconds)
{
    b->began = b->began ? b->began : perf_now();
    b->ended = perf_wait(&b->debt, seconds);
}

/* How far this rank's clock is before rank 0's, by the quickest of some round trips. */
static int64_t clock_ahead(int rank, int ranks)
{
    enum { TRIPS = 12 };
    int64_t ahead = 0, quickest = INT64_MAX;
    for (int r = 1; r < ranks; r++)
        for (int i = 0; i < TRIPS && (rank == 0 || rank == r); i++) {
            int64_t theirs = 0, sent = perf_now();
            if (rank == 0) {
                MPI_Recv(&theirs, 1, MPI_INT64_T, r, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
                theirs = perf_now();
                MPI_Send(&theirs, 1, MPI_INT64_T, r, 0, MPI_COMM_WORLD);
                continue;
            }
            MPI_Send(&sent, 1, MPI_INT64_T, 0, 0, MPI_COMM_WORLD);
            MPI_Recv(&theirs, 1, MPI_INT64_T, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            const int64_t back = perf_now();
            if (back - sent < quickest) {
                quickest = back - sent;
                ahead = sent + quickest / 2 - theirs;
            }
        }
    return ahead;
}

static dist_status forward(void *user, dist_pipeline_call *call)
{
    row *r = user;
    (void)call;
    wait_for(r->bench, r->bench->o->seconds[0] / r->shape.local);
    return DIST_OK;
}

static dist_status backward_input(void *user, dist_pipeline_call *call)
{
    row *r = user;
    (void)call;
    wait_for(r->bench, r->bench->o->seconds[1] / r->shape.local);
    return DIST_OK;
}

static dist_status backward_weight(void *user, dist_pipeline_call *call)
{
    row *r = user;
    (void)call;
    wait_for(r->bench, r->bench->o->seconds[2] / r->shape.local);
    return DIST_OK;
}

static bool read_times(const char *text, double *seconds)
{
    char word[64];
    int i = 0;
    for (const char *t = text; i < 3; i++) {
        const size_t length = strcspn(t, ",");
        if (length == 0 || length >= sizeof word)
            return false;
        memcpy(word, t, length);
        word[length] = '\0';
        if (!perf_read_number(word, 1000, &seconds[i]))
            return false;
        seconds[i] *= 1e-3;
        t += length;
        if (*t == '\0')
            return i == 2;
        t++;
    }
    return false;
}

static bool read_schedules(const char *text, pipe_options *o)
{
    if (strlen(text) >= sizeof o->list)
        return false;
    strcpy(o->list, text);
    o->schedules = 0;
    for (char *word = strtok(o->list, ","); word; word = strtok(NULL, ",")) {
        if (o->schedules == MOST_SCHEDULES)
            return false;
        o->schedule[o->schedules++] = word;
    }
    return o->schedules > 0;
}

static bool read_flag(pipe_options *o, const char *flag, const char *value)
{
    if (strcmp(flag, "--schedule") == 0)
        return read_schedules(value, o);
    if (strcmp(flag, "--microbatches") == 0)
        return perf_read_count(value, 1, &o->microbatches);
    if (strcmp(flag, "--times") == 0)
        return read_times(value, o->seconds);
    if (strcmp(flag, "--boundary") == 0)
        return perf_read_bytes(value, &o->boundary) && o->boundary >= 4;
    if (strcmp(flag, "--mesh") == 0)
        return (o->mesh = value) != NULL;
    if (strcmp(flag, "--codec") == 0)
        return (o->codec = value) != NULL;
    if (strcmp(flag, "-J") == 0)
        return (o->json = value) != NULL;
    if (strcmp(flag, "-n") == 0)
        return perf_read_count(value, 1, &o->steps);
    if (strcmp(flag, "-w") == 0)
        return perf_read_count(value, 0, &o->warmup);
    return strcmp(flag, "-T") == 0 && perf_read_number(value, 1000, &o->timeout) && o->timeout > 0;
}

static int read_options(pipe_options *o, int argc, char **argv, bool speak)
{
    *o = (pipe_options){.microbatches = 16,
                        .steps = 5,
                        .warmup = 1,
                        .boundary = 1024,
                        .seconds = {2e-3, 2e-3, 2e-3},
                        .timeout = 60};
    read_schedules("1f1b,wan-1f1b", o);
    for (int i = 0; i < argc; i += 2) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            if (speak)
                fputs(help, stdout);
            return PERF_FINE;
        }
        if (i + 1 < argc && read_flag(o, argv[i], argv[i + 1]))
            continue;
        if (speak)
            fprintf(stderr, "dist_perf: pipeline: %s%s%s: unknown or wrong; see dist_perf pipeline --help\n",
                    argv[i], i + 1 < argc ? " " : "", i + 1 < argc ? argv[i + 1] : "");
        return PERF_USAGE;
    }
    return -1;
}

static dist_status open_row(dist_context *context, bench *b, const char *schedule, row *r)
{
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    *r = (row){.bench = b};
    options.mesh = b->o->mesh;
    options.schedule = schedule;
    options.microbatches = b->o->microbatches;
    options.boundary_count = b->o->boundary / sizeof(float);
    options.codec = b->o->codec;
    options.times = b->times;
    options.forward = forward;
    options.backward_input = backward_input;
    options.backward_weight = backward_weight;
    options.user = r;
    const dist_status status = dist_pipeline_create(context, &options, &r->pipeline);
    return status < 0 ? status : dist_pipeline_shape_get(r->pipeline, &r->shape);
}

/* A step; its time is that from the first call of any rank to the end of the last. */
static dist_status step(dist_context *context, row *r, int number)
{
    dist_counters before, after;
    r->bench->began = r->bench->debt = 0;
    dist_status status = dist_counters_get(context, &before);
    if (status == DIST_OK)
        status = dist_pipeline_step(r->pipeline);
    if (status == DIST_OK)
        status = dist_pipeline_stats_get(r->pipeline, &r->stats);
    if (status == DIST_OK)
        status = dist_counters_get(context, &after);
    if (status < 0)
        return status;
    double figures[3] = {(double)(r->bench->ended - r->bench->ahead),
                         -(double)(r->bench->began - r->bench->ahead), (double)(after.ops - before.ops)};
    status = dist_reduce_scalars(context, figures, 3, DIST_MAX);
    if (number >= 0)
        r->time[number] = (figures[0] + figures[1]) * 1e-9;
    r->ops = figures[2];
    return status;
}

static dist_status measure(dist_context *context, const pipe_options *o, row *rows)
{
    for (int s = -o->warmup; s < o->steps; s++)
        for (int i = 0; i < o->schedules; i++) {
            const dist_status status = step(context, &rows[i], s);
            if (status < 0)
                return status;
        }
    return DIST_OK;
}

static void print_rows(const pipe_options *o, row *rows, int ranks)
{
    printf("# dist_perf pipeline: %d ranks, %d microbatches of %zu bytes; forward %g ms, backward %g ms, "
           "weights %g ms\n",
           ranks, o->microbatches, o->boundary, o->seconds[0] * 1e3, o->seconds[1] * 1e3,
           o->seconds[2] * 1e3);
    printf("# %-16s %6s %12s %12s %8s %12s %8s %8s %8s\n", "schedule", "stages", "predicted", "time", "time/",
           "bound", "time/", "ops", "us/op");
    printf("# %-16s %6s %12s %12s %8s %12s %8s %8s %8s\n", "", "", "(ms)", "(ms)", "pred.", "(ms)", "bound",
           "", "");
    for (int i = 0; i < o->schedules; i++) {
        const row *r = &rows[i];
        const double time = perf_median(rows[i].time, o->steps);
        printf("  %-16s %6d %12.3f %12.3f %8.3f %12.3f %8.3f %8.0f %8.2f\n", o->schedule[i], r->shape.stages,
               r->stats.predicted * 1e3, time * 1e3, r->stats.predicted > 0 ? time / r->stats.predicted : 0,
               r->stats.bound * 1e3, r->stats.bound > 0 ? time / r->stats.bound : 0, r->ops,
               r->ops > 0 ? time * 1e6 / r->ops : 0);
    }
}

static int write_json(const pipe_options *o, row *rows, int ranks, FILE *file)
{
    fprintf(file, "{\"command\":\"pipeline\",\"ranks\":%d,\"microbatches\":%d,\"boundary\":%zu,\"results\":[",
            ranks, o->microbatches, o->boundary);
    for (int i = 0; i < o->schedules; i++)
        fprintf(file,
                "%s\n{\"schedule\":\"%s\",\"stages\":%d,\"predicted_us\":%.3f,\"time_us\":%.3f,\"bound_us\":%"
                ".3f,\"ops\":%.0f}",
                i ? "," : "", o->schedule[i], rows[i].shape.stages, rows[i].stats.predicted * 1e6,
                perf_median(rows[i].time, o->steps) * 1e6, rows[i].stats.bound * 1e6, rows[i].ops);
    fputs("]}\n", file);
    return fclose(file) == 0 ? PERF_FINE : PERF_FAILED;
}

static int run(dist_context *context, const pipe_options *o, row *rows, FILE *json)
{
    const int ranks = dist_ranks(context);
    bench b = {.o = o,
               .ahead = clock_ahead(dist_rank(context), ranks),
               .times = malloc((size_t)ranks * sizeof(dist_stage_times))};
    dist_status status = b.times ? dist_links_measure(context) : DIST_ERR_MEMORY;
    for (int i = 0; b.times && i < ranks; i++)
        b.times[i] = (dist_stage_times){o->seconds[0], o->seconds[1], o->seconds[2]};
    for (int i = 0; status == DIST_OK && i < o->schedules; i++) {
        status = open_row(context, &b, o->schedule[i], &rows[i]);
        if (status == DIST_OK && !(rows[i].time = malloc((size_t)o->steps * sizeof(double))))
            status = DIST_ERR_MEMORY;
    }
    if (status == DIST_OK)
        status = measure(context, o, rows);
    if (status < 0)
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
    else if (dist_rank(context) == 0)
        print_rows(o, rows, ranks);
    int exit_status = status < 0 ? PERF_FAILED : PERF_FINE;
    if (json && status >= 0)
        exit_status = write_json(o, rows, ranks, json);
    for (int i = 0; i < o->schedules; i++) {
        dist_pipeline_destroy(rows[i].pipeline);
        free(rows[i].time);
    }
    free(b.times);
    return exit_status;
}

int perf_pipeline(int argc, char **argv)
{
    dist_context_options start = DIST_CONTEXT_OPTIONS_INIT;
    dist_context *context;
    pipe_options o;
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    int status = read_options(&o, argc, argv, rank == 0);
    if (status >= 0)
        return status;
    FILE *json = o.json && rank == 0 ? fopen(o.json, "w") : NULL;
    if (o.json && rank == 0 && !json) {
        fprintf(stderr, "dist_perf: -J %s cannot be written\n", o.json);
        return PERF_FAILED;
    }
    start.timeout = o.timeout;
    if (dist_init_mpi(&context, MPI_COMM_WORLD, &start) < 0) {
        fprintf(stderr, "dist_perf: %s\n", dist_last_error());
        return PERF_FAILED;
    }
    row rows[MOST_SCHEDULES] = {0};
    status = run(context, &o, rows, json);
    if (dist_finalize(context) < 0 && status == PERF_FINE)
        status = PERF_FAILED;
    return status;
}
