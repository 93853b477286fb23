/* The dry run of a schedule: every rank goes through its slots as early as what they wait for allows. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

#define NOTHING SIZE_MAX

typedef struct dry_run {
    const dist_schedule *schedule;
    const dist_stage_times *times;
    double *far;    /* [ranks] latency from rank 0 */
    double *end;    /* [2][stages][microbatches] of forwards and of backwards; < 0: not yet */
    double *clock;  /* [ranks] when the rank is free */
    double *first;  /* [ranks] when its first slot starts */
    size_t *cursor; /* [ranks] its next slot */
    size_t *awaits; /* [ranks] the place in `end` for which it waits */
    int *ready;     /* stack of ranks that can go on */
    int readies;
} dry_run;

static void dry_run_end(dry_run *run)
{
    free(run->far);
    free(run->end);
    free(run->clock);
    free(run->first);
    free(run->cursor);
    free(run->awaits);
    free(run->ready);
}

static dist_status dry_run_begin(dry_run *run, const dist_schedule *schedule, const dist_stage_times *times,
                                 const double *latency)
{
    const size_t ranks = (size_t)schedule->ranks;
    const size_t cells = 2 * (size_t)schedule->stages * (size_t)schedule->microbatches;
    *run = (dry_run){.schedule = schedule,
                     .times = times,
                     .far = malloc(ranks * sizeof(double)),
                     .end = malloc(cells * sizeof(double)),
                     .clock = calloc(ranks, sizeof(double)),
                     .first = calloc(ranks, sizeof(double)),
                     .cursor = calloc(ranks, sizeof(size_t)),
                     .awaits = malloc(ranks * sizeof(size_t)),
                     .ready = malloc(ranks * sizeof(int))};
    if (!run->far || !run->end || !run->clock || !run->first || !run->cursor || !run->awaits || !run->ready) {
        dry_run_end(run);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a dry run of %s", schedule->name);
    }
    for (size_t i = 0; i < cells; i++)
        run->end[i] = -1;
    run->far[0] = 0;
    for (int r = 0; r < schedule->ranks; r++) {
        if (r > 0)
            run->far[r] = run->far[r - 1] + dist_schedule_latency_of(latency, r - 1);
        run->awaits[r] = NOTHING;
        run->ready[run->readies++] = schedule->ranks - 1 - r;
    }
    return DIST_OK;
}

static size_t place_of(const dry_run *run, bool backward, int stage, uint32_t microbatch)
{
    const size_t m = (size_t)run->schedule->microbatches, stages = (size_t)run->schedule->stages;
    return ((backward ? stages : 0) + (size_t)stage) * m + microbatch;
}

/* What a slot needs that may come from another rank: NOTHING, or a place in `end`, and the stage that it is of. */
static size_t need_of(const dry_run *run, dist_slot slot, int *stage)
{
    *stage = slot.kind == DIST_SLOT_FORWARD ? slot.stage - 1 : slot.stage + 1;
    if (slot.kind == DIST_SLOT_WEIGHT || *stage < 0 || *stage >= run->schedule->stages)
        return NOTHING;
    return place_of(run, slot.kind != DIST_SLOT_FORWARD, *stage, slot.microbatch);
}

static double time_of(const dry_run *run, dist_slot slot, int rank)
{
    const dist_stage_times t = dist_schedule_times_of(run->times, rank);
    const double chunks = run->schedule->chunks;
    switch ((dist_slot_kind)slot.kind) {
    case DIST_SLOT_FORWARD:
        return t.forward / chunks;
    case DIST_SLOT_BACKWARD:
        return (run->schedule->split ? t.backward : t.backward + t.weight) / chunks;
    case DIST_SLOT_WEIGHT:
        return t.weight / chunks;
    default:
        return (t.backward + t.weight) / chunks;
    }
}

/* Wakes the rank that waits for what `slot` made. */
static void finish(dry_run *run, dist_slot slot, int rank)
{
    const bool forward = slot.kind == DIST_SLOT_FORWARD;
    if (slot.kind == DIST_SLOT_WEIGHT)
        return;
    const size_t place = place_of(run, !forward, slot.stage, slot.microbatch);
    run->end[place] = run->clock[rank];
    const int next = forward ? slot.stage + 1 : slot.stage - 1;
    if (next < 0 || next >= run->schedule->stages)
        return;
    const int waiting = run->schedule->rank_of[next];
    if (run->awaits[waiting] == place) {
        run->awaits[waiting] = NOTHING;
        run->ready[run->readies++] = waiting;
    }
}

/* Runs `rank` until it has ended or has to wait; returns the time that it was at work. */
static double advance(dry_run *run, int rank, double *start)
{
    const dist_schedule *schedule = run->schedule;
    double busy = 0;
    for (size_t *k = &run->cursor[rank]; *k < schedule->slots[rank]; ++*k) {
        const dist_slot slot = schedule->slot[rank][*k];
        int stage;
        const size_t need = need_of(run, slot, &stage);
        double begin = run->clock[rank];
        if (need != NOTHING) {
            if (run->end[need] < 0) {
                run->awaits[rank] = need;
                return busy;
            }
            const double arrival = run->end[need] + fabs(run->far[rank] - run->far[schedule->rank_of[stage]]);
            begin = arrival > begin ? arrival : begin;
        }
        if (*k == 0)
            run->first[rank] = begin;
        if (start)
            start[*k] = begin;
        const double time = time_of(run, slot, rank);
        run->clock[rank] = begin + time;
        busy += time;
        finish(run, slot, rank);
    }
    return busy;
}

static bool makes(dist_slot slot, int stage, dist_slot needs)
{
    return slot.stage == stage && slot.microbatch == needs.microbatch && slot.kind != DIST_SLOT_WEIGHT &&
           (slot.kind == DIST_SLOT_FORWARD) == (needs.kind == DIST_SLOT_FORWARD);
}

/* Says where `rank` waits, and where the rank waits that should come first. */
static dist_status deadlock(const dry_run *run, int rank)
{
    const dist_schedule *schedule = run->schedule;
    const size_t k = run->cursor[rank];
    const dist_slot slot = schedule->slot[rank][k];
    int stage;
    need_of(run, slot, &stage);
    const int other = schedule->rank_of[stage];
    size_t at = run->cursor[other];
    while (!makes(schedule->slot[other][at], stage, slot))
        at++;
    return dist_fail(DIST_ERR_PLAN,
                     "rank %d slot %zu %s: deadlock: it waits for %s, slot %zu of rank %d, which waits at "
                     "slot %zu %s",
                     rank, k, dist_schedule_slot_text(slot).text,
                     dist_schedule_slot_text(schedule->slot[other][at]).text, at, other, run->cursor[other],
                     dist_schedule_slot_text(schedule->slot[other][run->cursor[other]]).text);
}

/* Until every rank has ended. */
static dist_status go(dry_run *run, double *busy, double **start)
{
    while (run->readies > 0) {
        const int rank = run->ready[--run->readies];
        const double worked = advance(run, rank, start ? start[rank] : NULL);
        if (busy)
            busy[rank] += worked;
    }
    for (int r = 0; r < run->schedule->ranks; r++)
        if (run->cursor[r] < run->schedule->slots[r])
            return deadlock(run, r);
    return DIST_OK;
}

dist_status dist_schedule_makespan(const dist_schedule *schedule, const dist_stage_times *times,
                                   const double *latency, double *makespan)
{
    dry_run run;
    DIST_TRY(dry_run_begin(&run, schedule, times, latency));
    const dist_status status = go(&run, NULL, NULL);
    *makespan = 0; /* some rank starts at once, at 0 */
    for (int r = 0; r < schedule->ranks; r++)
        *makespan = run.clock[r] > *makespan ? run.clock[r] : *makespan;
    dry_run_end(&run);
    return status;
}

static dist_status time_begin(dist_schedule_time *time, const dist_schedule *schedule)
{
    const size_t ranks = (size_t)schedule->ranks;
    *time = (dist_schedule_time){.busy = calloc(ranks, sizeof(double)),
                                 .peak = calloc(ranks, sizeof(double)),
                                 .start = calloc(ranks, sizeof(double *))};
    bool whole = time->busy && time->peak && time->start;
    for (int r = 0; whole && r < schedule->ranks; r++)
        whole = (time->start[r] = malloc((schedule->slots[r] + 1) * sizeof(double))) != NULL;
    return whole ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory for the times of %s", schedule->name);
}

dist_status dist_schedule_run(const dist_schedule *schedule, const dist_stage_times *times,
                              const double *latency, dist_schedule_time *time)
{
    *time = (dist_schedule_time){0};
    DIST_TRY(dist_schedule_check_slots(schedule));
    dry_run run = {0};
    dist_status status = time_begin(time, schedule);
    if (status == DIST_OK)
        status = dry_run_begin(&run, schedule, times, latency);
    if (status == DIST_OK) {
        status = go(&run, time->busy, time->start);
        for (int r = 0; r < schedule->ranks; r++) {
            time->makespan = fmax(time->makespan, run.clock[r]);
            time->span = fmax(time->span, run.clock[r] - run.first[r]);
            time->peak[r] = dist_schedule_peak(schedule, r);
        }
        time->bound = dist_schedule_bound(schedule, times, latency);
        dry_run_end(&run);
    }
    if (status < 0)
        dist_schedule_time_end(time, schedule->ranks);
    return status;
}

void dist_schedule_time_end(dist_schedule_time *time, int ranks)
{
    for (int r = 0; time->start && r < ranks; r++)
        free(time->start[r]);
    free(time->start);
    free(time->busy);
    free(time->peak);
    *time = (dist_schedule_time){0};
}
