/* The best split of a row of layers into stages, by dynamic programming over how many layers the first stages
 * take.
 *
 * Let worst[s][j] be the largest stage when s stages share the first j layers as well as can be. It grows with
 * j, while what is left for the next stage shrinks, so that each step finds the crossing by bisection. Memory
 * only bounds where a stage may begin, and these bounds grow too. A second pass looks among the splits that
 * reach the optimum for the most even one; squares of sums have the property that the best beginnings of
 * stages grow with their ends, so that it divides and conquers. */
#include "parallel/partition.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"

typedef struct partition {
    int layers, stages;
    double *time, *memory; /* [layers + 1] of the layers before; memory NULL: no limit */
    double limit;          /* most memory of a stage */
    double longest;        /* most time of a stage */
    int *begin;            /* [stages + 1][layers + 1] where stage s - 1 begins when it ends before layer j */
} partition;

/* Of one way to share the first layers. */
typedef struct unevenness {
    double time, layers; /* sums of squares over the stages */
} unevenness;

static void partition_end(partition *p)
{
    free(p->time);
    free(p->memory);
    free(p->begin);
}

/* Sums of the layers before each. */
static dist_status add_up(const partition *p, const double *value, const char *what, double **before)
{
    *before = malloc(((size_t)p->layers + 1) * sizeof **before);
    if (!*before)
        return dist_fail(DIST_ERR_MEMORY, "no memory to split %d layers", p->layers);
    (*before)[0] = 0;
    for (int l = 0; l < p->layers; l++) {
        if (!(value[l] >= 0) || isinf(value[l]))
            return dist_fail(DIST_ERR_ARGUMENT,
                             "dist_partition: the %s of layer %d is %g, which is not finite and at least 0",
                             what, l, value[l]);
        (*before)[l + 1] = (*before)[l] + value[l];
    }
    if (isinf((*before)[p->layers]))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_partition: the sum of each layer's %s is too large", what);
    return DIST_OK;
}

static dist_status partition_begin(partition *p, const double *time, const double *memory)
{
    if (p->stages < 1 || p->layers < p->stages)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "dist_partition: %d layers over %d stages; there has to be a stage, and a layer for each",
            p->layers, p->stages);
    if (!(p->limit >= 0))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_partition: the memory limit is %g; 0 is none", p->limit);
    DIST_TRY(add_up(p, time, "time", &p->time));
    if (memory)
        DIST_TRY(add_up(p, memory, "memory", &p->memory));
    return DIST_OK;
}

/* Whether layers [from, to) may be one stage. */
static bool fits(const partition *p, int from, int to)
{
    return !p->memory || p->limit <= 0 || p->memory[to] - p->memory[from] <= p->limit;
}

/* The smallest possible maximum, over the stages, of the sum of what `before` adds up; INFINITY when no split
 * fits the limit. `room` has two rows. */
static double least_largest(const partition *p, const double *before, double *room)
{
    double *last = room, *next = room + p->layers + 1;
    for (int j = 0; j <= p->layers; j++)
        last[j] = j ? INFINITY : 0;
    for (int s = 1; s <= p->stages; s++) {
        int first = s - 1; /* where the stage that ends at j may begin */
        for (int j = 0; j < s; j++)
            next[j] = INFINITY;
        for (int j = s; j <= p->layers; j++) {
            while (first < j && !fits(p, first, j))
                first++;
            int low = first, high = j; /* the first beginning whose stage is no larger than those before it */
            while (low < high) {
                const int middle = low + (high - low) / 2;
                if (last[middle] >= before[j] - before[middle])
                    high = middle;
                else
                    low = middle + 1;
            }
            next[j] = low < j ? last[low] : INFINITY;
            if (low > first)
                next[j] = fmin(next[j], before[j] - before[low - 1]);
        }
        double *swap = last;
        last = next;
        next = swap;
    }
    return last[p->layers];
}

/* One row of the second pass: for each end that the first s stages can reach, where the last begins. */
typedef struct row {
    const partition *p;
    const unevenness *last; /* without the last stage */
    unevenness *next;
    const int *first; /* [layers + 1] the earliest beginning that fits memory and time */
    int *begin;
} row;

static bool less(unevenness a, unevenness b)
{
    return a.time < b.time || (a.time <= b.time && a.layers < b.layers);
}

/* Ends from `from` to `to` - 1, whose stages begin in [low, high]. */
static void fill(const row *r, int from, int to, int low, int high)
{
    if (from >= to)
        return;
    const int j = from + (to - from) / 2;
    unevenness best = {INFINITY, INFINITY};
    int at = r->first[j] > low ? r->first[j] : low;
    for (int i = at; i <= high && i < j; i++) {
        const double time = r->p->time[j] - r->p->time[i], count = j - i;
        const unevenness all = {r->last[i].time + time * time, r->last[i].layers + count * count};
        if (less(all, best)) {
            best = all;
            at = i;
        }
    }
    r->next[j] = best;
    r->begin[j] = at;
    fill(r, from, j, low, at);
    fill(r, j + 1, to, at, high);
}

/* The earliest beginning for each end. */
static void find_first(const partition *p, int *first)
{
    for (int j = 0, i = 0; j <= p->layers; j++) {
        while (i < j && !(fits(p, i, j) && p->time[j] - p->time[i] <= p->longest))
            i++;
        first[j] = i;
    }
}

/* The ends that a stage can reach that begins in [lowest, highest] are in a row: the last of them. */
static int reach(const partition *p, const int *first, int highest)
{
    int j = highest;
    while (j < p->layers && first[j + 1] <= highest)
        j++;
    return j;
}

static void even_out(const partition *p, unevenness *room, int *first)
{
    const size_t width = (size_t)p->layers + 1;
    unevenness *last = room, *next = room + width;
    find_first(p, first);
    last[0] = (unevenness){0, 0};
    for (int s = 1, highest = 0; s <= p->stages; s++) {
        const row r = {
            .p = p, .last = last, .next = next, .first = first, .begin = p->begin + (size_t)s * width};
        const int end = reach(p, first, highest);
        fill(&r, s, end + 1, s - 1, highest);
        highest = end;
        next = last;
        last = r.next;
    }
}

static dist_status no_split(partition *p, double *room)
{
    const double limit = p->limit;
    p->limit = 0;
    return dist_fail(
        DIST_ERR_UNSUPPORTED,
        "dist_partition: %d layers over %d stages do not fit a memory of %.17g a stage; the least that "
        "would do is %.17g",
        p->layers, p->stages, limit, least_largest(p, p->memory, room));
}

dist_status dist_partition_layers(const double *time, const double *memory, int layers, int stages,
                                  double limit, int *first)
{
    partition p = {.layers = layers, .stages = stages, .limit = limit};
    dist_status status = partition_begin(&p, time, memory);
    if (status < 0) {
        partition_end(&p);
        return status;
    }
    const size_t width = (size_t)layers + 1;
    unevenness *room = malloc(2 * width * sizeof *room);
    int *earliest = malloc(width * sizeof *earliest);
    p.begin = calloc(((size_t)stages + 1) * width, sizeof *p.begin);
    if (!room || !earliest || !p.begin) {
        status = dist_fail(DIST_ERR_MEMORY, "no memory to split %d layers over %d stages", layers, stages);
    } else if (isinf(p.longest = least_largest(&p, p.time, (double *)room))) {
        status = no_split(&p, (double *)room);
    } else {
        p.longest *= 1 + 1e-12; /* sums of equal layers differ by their rounding */
        even_out(&p, room, earliest);
        first[stages] = layers;
        for (int s = stages; s > 0; s--)
            first[s - 1] = p.begin[(size_t)s * width + (size_t)first[s]];
    }
    free(room);
    free(earliest);
    partition_end(&p);
    return status;
}
