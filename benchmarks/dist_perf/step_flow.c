/* A step of a pipeline on paper: calls in the order in which the library made them, messages over links that carry one at a time,
 * and averages that share them. */
#include <math.h>
#include <stdlib.h>

#include "step.h"

typedef struct state {
    const step_flow *flow;
    int *next;        /* [positions] */
    double *clock;    /* [positions]: end of its last call */
    double *link;     /* [positions^2]: until when it is taken */
    double *arrival;  /* [2][stages][microbatches]: of activations and of gradients; < 0: not yet */
    double *finished; /* [stages]: end of the last call of all */
} state;

static double *arrival_at(const state *s, int kind, int stage, int microbatch)
{
    const step_flow *f = s->flow;
    return &s->arrival[((kind == STEP_FORWARD ? 0 : f->stages) + stage) * f->microbatches + microbatch];
}

/* When what a call needs is there; < 0: that is not known yet. */
static double needed_at(const state *s, const step_call *call)
{
    const bool backward = call->kind == STEP_BACKWARD || call->kind == STEP_WHOLE;
    const bool waits =
        (call->kind == STEP_FORWARD && call->stage > 0) || (backward && call->stage + 1 < s->flow->stages);
    return waits ? *arrival_at(s, call->kind, call->stage, call->microbatch) : 0;
}

static double seconds_of(const step_flow *flow, const step_call *call)
{
    return call->kind == STEP_WHOLE ? 2 * flow->seconds : flow->seconds;
}

/* What call made goes to the stage behind or before. */
static void send(state *s, const step_call *call, int from, double end)
{
    const step_flow *f = s->flow;
    const int stage = call->stage + (call->kind == STEP_FORWARD ? 1 : -1);
    if (call->kind == STEP_WEIGHT || stage < 0 || stage >= f->stages)
        return;
    const int edge = from * f->positions + f->position_of[stage];
    double arrives = end;
    if (f->position_of[stage] != from) {
        double *const taken = &s->link[f->link[edge]];
        *taken = fmax(*taken, end) + f->edge[edge].slope * f->bytes;
        arrives = *taken + f->edge[edge].start;
    }
    *arrival_at(s, call->kind, stage, call->microbatch) = arrives;
}

/* The position whose next call ends first: so messages are sent in the order of time. -1: none can go on. */
static int choose(const state *s, double *end)
{
    const step_flow *f = s->flow;
    int chosen = -1;
    for (int p = 0; p < f->positions; p++) {
        if (s->next[p] == f->calls[p])
            continue;
        const double needed = needed_at(s, &f->call[p][s->next[p]]);
        const double ends = fmax(s->clock[p], needed) + seconds_of(f, &f->call[p][s->next[p]]);
        if (needed >= 0 && (chosen < 0 || ends < *end)) {
            chosen = p;
            *end = ends;
        }
    }
    return chosen;
}

static bool run_calls(state *s)
{
    const step_flow *f = s->flow;
    double end = 0;
    for (int p = choose(s, &end); p >= 0; p = choose(s, &end)) {
        const step_call *call = &f->call[p][s->next[p]++];
        s->clock[p] = end;
        if (p == f->watched)
            step_span(f->timeline, STEP_PREDICTED, end - seconds_of(f, call), end, STEP_COMPUTES, "%c%d",
                      "FBWB"[call->kind], call -> microbatch);
        s->finished[call->stage] = end;
        send(s, call, p, end);
    }
    for (int p = 0; p < f->positions; p++)
        if (s->next[p] < f->calls[p])
            return false;
    return true;
}

/* The stage whose averages position p is at, at time t: those that ended first come first. -1: none. */
static int averaging(const state *s, const double *left, int p, double t)
{
    const step_flow *f = s->flow;
    int first = -1;
    for (int stage = 0; stage < f->stages; stage++)
        if (f->position_of[stage] == p && left[stage] > 0 && s->finished[stage] <= t &&
            (first < 0 || s->finished[stage] < s->finished[first]))
            first = stage;
    return first;
}

/* Positions share what carries their averages: k of them are each (1 + (k - 1) (sharing - 1) / (positions - 1)) times slower.
 * Returns when the last ends. */
static double run_averages(const state *s, double *left)
{
    const step_flow *f = s->flow;
    double t = INFINITY, last = 0;
    for (int stage = 0; stage < f->stages; stage++)
        t = left[stage] > 0 ? fmin(t, s->finished[stage]) : t;
    while (isfinite(t)) {
        double until = INFINITY;
        int busy = 0;
        for (int p = 0; p < f->positions; p++)
            busy += averaging(s, left, p, t) >= 0;
        const double slower = 1 + (busy - 1) * (f->sharing - 1) / (f->positions > 1 ? f->positions - 1 : 1);
        for (int stage = 0; stage < f->stages; stage++)
            if (left[stage] > 0 && s->finished[stage] > t)
                until = fmin(until, s->finished[stage]);
        for (int p = 0; p < f->positions; p++) {
            const int stage = averaging(s, left, p, t);
            until = stage >= 0 ? fmin(until, t + left[stage] * slower) : until;
        }
        for (int p = 0; p < f->positions && isfinite(until); p++) {
            const int stage = averaging(s, left, p, t);
            if (stage < 0)
                continue;
            left[stage] -= (until - t) / slower;
            if (left[stage] < 1e-12) {
                left[stage] = 0;
                last = until + f->start;
                if (p == f->watched)
                    step_span(f->timeline, STEP_PREDICTED_AVERAGES, s->finished[stage], last,
                              STEP_COMMUNICATES, "stage %d", stage);
            }
        }
        t = until;
    }
    return last;
}

static double run(state *s, double *left)
{
    const step_flow *f = s->flow;
    double end = 0;
    for (int i = 0; i < 2 * f->stages * f->microbatches; i++)
        s->arrival[i] = -1;
    for (int stage = 0; stage < f->stages; stage++)
        left[stage] = f->work[stage];
    if (!run_calls(s))
        return -1;
    for (int p = 0; p < f->positions; p++)
        end = fmax(end, s->clock[p]);
    return fmax(end, run_averages(s, left));
}

double step_flow_run(const step_flow *flow)
{
    const size_t positions = (size_t)flow->positions, stages = (size_t)flow->stages;
    state s = {.flow = flow,
               .next = calloc(positions, sizeof(int)),
               .clock = calloc(positions, sizeof(double)),
               .link = calloc(positions * positions, sizeof(double)),
               .arrival = calloc(2 * stages * (size_t)flow->microbatches, sizeof(double)),
               .finished = calloc(stages, sizeof(double))};
    double *left = calloc(stages, sizeof *left);
    const bool whole = s.next && s.clock && s.link && s.arrival && s.finished && left;
    const double seconds = whole ? run(&s, left) : -1;
    free(s.next);
    free(s.clock);
    free(s.link);
    free(s.arrival);
    free(s.finished);
    free(left);
    return seconds;
}
