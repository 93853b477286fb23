#include "plan/trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

/* Fixed size and without pointers: events travel to rank 0. */
typedef struct event {
    int64_t began, ended;
    char name[72];
    uint8_t lane;
} event;

/* Lanes of a rank in the picture. What the device and the wires do overlaps, so it is drawn as asynchronous events. */
enum { LANE_PROGRAM, LANE_ARITHMETIC, LANE_DEVICE, LANE_STAGING, LANE_INSIDE, LANE_ACROSS, LANES };
static const char *const lane_names[LANES] = {"program",         "encode, decode, reduce",
                                              "on the device",   "between device and host",
                                              "inside the site", "between sites"};

struct dist_trace {
    pthread_mutex_t lock;
    event *event;
    size_t events, capacity;
    size_t lost; /* events for which there was no memory */
};

/* What one rank has to write, and what it has not. */
typedef struct tally {
    uint64_t events, lost;
} tally;

dist_trace *dist_trace_create(void)
{
    dist_trace *trace = calloc(1, sizeof *trace);
    if (trace)
        pthread_mutex_init(&trace->lock, NULL);
    return trace;
}

void dist_trace_destroy(dist_trace *trace)
{
    if (!trace)
        return;
    pthread_mutex_destroy(&trace->lock);
    free(trace->event);
    free(trace);
}

static void add(dist_trace *trace, const event *one)
{
    pthread_mutex_lock(&trace->lock);
    if (dist_grow(&trace->event, &trace->capacity, trace->events + 1, sizeof(event)))
        trace->event[trace->events++] = *one;
    else
        trace->lost++;
    pthread_mutex_unlock(&trace->lock);
}

static uint8_t lane_of(const dist_plan *plan, const dist_op *op)
{
    switch ((dist_op_kind)op->kind) {
    case DIST_OP_CALL:
        return LANE_PROGRAM;
    case DIST_OP_SEND:
    case DIST_OP_RECV:
        return op->channel == DIST_CHANNEL_INSIDE || op->device ? LANE_INSIDE : LANE_ACROSS;
    case DIST_OP_NATIVE:
        return op->device ? LANE_INSIDE : LANE_ACROSS;
    case DIST_OP_COPY:
        if (dist_slice_on_device(plan, op->dst) != dist_slice_on_device(plan, op->src))
            return LANE_STAGING;
        break;
    default:
        break;
    }
    return dist_op_on_device(plan, op) ? LANE_DEVICE : LANE_ARITHMETIC;
}

void dist_trace_op(dist_trace *trace, const dist_plan *plan, uint32_t number, int64_t began, int64_t ended)
{
    const dist_op *op = &plan->op[number];
    event one = {.began = began, .ended = ended, .lane = lane_of(plan, op)};
    const bool message = op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV;
    if (message)
        snprintf(one.name, sizeof one.name, "%s %s %d, %" PRIu64 " B", dist_op_name((dist_op_kind)op->kind),
                 op->kind == DIST_OP_SEND ? "to" : "from", op->peer,
                 op->kind == DIST_OP_SEND ? op->src.bytes : op->dst.bytes);
    else if (op->kind == DIST_OP_CALL)
        dist_call_format(op, one.name, sizeof one.name);
    else
        snprintf(one.name, sizeof one.name, "%s %" PRIu64 " B", dist_op_name((dist_op_kind)op->kind),
                 op->dst.bytes);
    add(trace, &one);
}

void dist_trace_span(dist_trace *trace, const char *name, int64_t began, int64_t ended)
{
    event one = {.began = began, .ended = ended, .lane = LANE_PROGRAM};
    snprintf(one.name, sizeof one.name, "%s", name);
    size_t end = strlen(one.name);
    while (end > 0 && ((unsigned char)name[end] & 0xc0) == 0x80)
        end--; /* no half of a UTF-8 character: the file would not be JSON */
    one.name[end] = '\0';
    add(trace, &one);
}

/* Names come from the program too: nothing in them may end the string early. */
static void write_text(FILE *file, const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, file);
}

/* Microseconds, with a point in every locale. */
static void write_time(FILE *file, const char *key, int64_t ns)
{
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    fprintf(file, ",\"%s\":%s%" PRIu64 ".%03u", key, ns < 0 ? "-" : "", size / 1000, (unsigned)(size % 1000));
}

static void write_event(FILE *file, const event *one, int rank, int64_t origin, size_t id)
{
    bool asynchronous = one->lane >= LANE_DEVICE;
    for (int half = 0; half < (asynchronous ? 2 : 1); half++) {
        fprintf(file, ",\n{\"name\":\"");
        write_text(file, one->name);
        fprintf(file, "\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d", lane_names[one->lane], rank, one->lane);
        write_time(file, "ts", (half ? one->ended : one->began) - origin);
        if (!asynchronous)
            write_time(file, "dur", one->ended - one->began);
        if (asynchronous)
            fprintf(file, ",\"ph\":\"%s\",\"id\":\"%d.%zu\"}", half ? "e" : "b", rank, id);
        else
            fprintf(file, ",\"ph\":\"X\"}");
    }
}

static void write_names(FILE *file, const dist_topology *topology, int rank)
{
    fprintf(file, "%s\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"rank %d, ",
            rank ? "," : "", rank, rank);
    write_text(file, topology->site[topology->place[rank].site].name);
    fprintf(file, "\"}}");
    for (int lane = 0; lane < LANES; lane++)
        fprintf(file,
                ",\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"%s\"}}",
                rank, lane, lane_names[lane]);
}

/* How far this rank's clock is ahead of rank 0's, at most half an exchange wrong: all answer at about the
 * same moment. */
static dist_status clock_offset(dist_wire *wire, const dist_patience *patience, int64_t *offset)
{
    int64_t best = INT64_MAX;
    int64_t *all = malloc(sizeof *all * (size_t)wire->ranks);
    if (!all)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the clocks of %d ranks", wire->ranks);
    dist_status status = DIST_OK;
    for (int i = 0; i < 8 && status >= 0; i++) {
        int64_t before = dist_now();
        status = wire->ops->exchange(wire, &before, all, sizeof before, patience);
        int64_t after = dist_now();
        if (status >= 0 && after - before < best) {
            best = after - before;
            *offset = before + (after - before) / 2 - all[0];
        }
    }
    free(all);
    return status;
}

static dist_status write_file(const event *all, const tally *count, uint64_t most,
                              const dist_topology *topology, const char *path)
{
    int64_t origin = INT64_MAX;
    uint64_t lost = 0;
    FILE *file = fopen(path, "w");
    if (!file)
        return dist_fail(DIST_ERR_IO, "the trace file '%s' cannot be written", path);
    fprintf(file, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    for (int r = 0; r < topology->ranks; r++) {
        write_names(file, topology, r);
        lost += count[r].lost;
        for (uint64_t i = 0; i < count[r].events; i++)
            origin = all[(uint64_t)r * most + i].began < origin ? all[(uint64_t)r * most + i].began : origin;
    }
    for (int r = 0; r < topology->ranks; r++)
        for (uint64_t i = 0; i < count[r].events; i++)
            write_event(file, &all[(uint64_t)r * most + i], r, origin, i);
    fprintf(file, "\n],\"otherData\":{\"lost_events\":%" PRIu64 "}}\n", lost);
    bool bad = ferror(file);
    if (fclose(file) != 0 || bad)
        return dist_fail(DIST_ERR_IO, "the trace file '%s' could not be written to its end", path);
    return DIST_OK;
}

/* Every rank sends as many events as the busiest has; rank 0 writes what is real. */
dist_status dist_trace_write(dist_trace *trace, dist_wire *wire, const dist_topology *topology,
                             const char *path, int64_t deadline)
{
    const uint64_t limit = (uint64_t)1 << 30; /* bytes gathered */
    dist_patience patience = {.deadline = deadline};
    int64_t offset = 0;
    uint64_t most = 0;
    tally mine = {trace->events, trace->lost}, *count = calloc((size_t)wire->ranks, sizeof *count);
    if (!count)
        return dist_fail(DIST_ERR_MEMORY, "no memory to gather the trace");
    dist_status status = clock_offset(wire, &patience, &offset);
    if (status >= 0)
        status = wire->ops->exchange(wire, &mine, count, sizeof mine, &patience);
    uint64_t room = limit / sizeof(event) / (uint64_t)wire->ranks;
    for (int r = 0; r < wire->ranks; r++) {
        if (count[r].events > room) {
            count[r].lost += count[r].events - room;
            count[r].events = room;
        }
        most = count[r].events > most ? count[r].events : most;
    }
    event *own = calloc(most + 1, sizeof *own), *all = calloc((most + 1) * (size_t)wire->ranks, sizeof *all);
    if (status >= 0 && (!own || !all))
        status = dist_fail(DIST_ERR_MEMORY, "no memory to gather %" PRIu64 " trace events", most);
    if (status >= 0 && most > 0) {
        for (uint64_t i = 0; i < count[wire->rank].events; i++) {
            own[i] = trace->event[i];
            own[i].began -= offset;
            own[i].ended -= offset;
        }
        status = wire->ops->exchange(wire, own, all, most * sizeof *own, &patience);
    }
    if (status >= 0 && wire->rank == 0)
        status = write_file(all, count, most, topology, path);
    free(own);
    free(all);
    free(count);
    return status;
}
