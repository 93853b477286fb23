/* Grids of figures: from finer to coarser ones, and which figures are bad. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "matrix.h"

#define FEWEST 3 /* pairs that make a kind of their own, of which one can be the odd one out */

bool perf_grid_create(perf_grid *grid, const char *level, int count)
{
    const size_t cells = (size_t)count * (size_t)count;
    *grid = (perf_grid){.level = level,
                        .count = count,
                        .name = calloc((size_t)count, sizeof *grid->name),
                        .latency = malloc(cells * sizeof(double)),
                        .bandwidth = malloc(cells * sizeof(double)),
                        .near = calloc(cells, sizeof *grid->near),
                        .bad = calloc(cells, sizeof *grid->bad)};
    const bool good = grid->name && grid->latency && grid->bandwidth && grid->near && grid->bad;
    for (size_t i = 0; good && i < cells; i++)
        grid->latency[i] = grid->bandwidth[i] = NAN;
    return good;
}

void perf_grid_free(perf_grid *grid)
{
    free(grid->name);
    free(grid->latency);
    free(grid->bandwidth);
    free(grid->near);
    free(grid->bad);
    *grid = (perf_grid){0};
}

/* The median of value[] of all cells of the fine grid that lie in cell (a, b). */
static double median_between(const perf_grid *fine, const int *group, const double *value, int a, int b,
                             double *room)
{
    int found = 0;
    for (int i = 0; i < fine->count; i++)
        for (int j = 0; j < fine->count; j++)
            if (i != j && group[i] == a && group[j] == b && isfinite(value[i * fine->count + j]))
                room[found++] = value[i * fine->count + j];
    return found > 0 ? perf_median(room, found) : NAN;
}

bool perf_grid_gather(perf_grid *grid, const perf_grid *fine, const int *group)
{
    double *room = malloc((size_t)fine->count * (size_t)fine->count * sizeof *room);
    for (int a = 0; room && a < grid->count; a++)
        for (int b = 0; b < grid->count; b++) {
            const int cell = a * grid->count + b;
            grid->latency[cell] = median_between(fine, group, fine->latency, a, b, room);
            grid->bandwidth[cell] = median_between(fine, group, fine->bandwidth, a, b, room);
            for (int i = 0; i < fine->count; i++)
                for (int j = 0; j < fine->count; j++)
                    if (i != j && group[i] == a && group[j] == b)
                        grid->near[cell] = fine->near[i * fine->count + j];
        }
    free(room);
    return room != NULL;
}

double perf_grid_median(const perf_grid *grid, const double *value, perf_near near)
{
    const int cells = grid->count * grid->count;
    double *room = malloc((size_t)cells * sizeof *room), median = NAN;
    int found = 0;
    for (int i = 0; room && i < cells; i++)
        if (grid->near[i] == near && i / grid->count != i % grid->count && isfinite(value[i]))
            room[found++] = value[i];
    if (found >= FEWEST)
        median = perf_median(room, found);
    free(room);
    return median;
}

int perf_grid_judge(perf_grid *grid, double slow, double skew)
{
    int bad = 0;
    double latency[PERF_NEARS], bandwidth[PERF_NEARS];
    for (int n = 0; n < PERF_NEARS; n++) {
        latency[n] = perf_grid_median(grid, grid->latency, (perf_near)n);
        bandwidth[n] = perf_grid_median(grid, grid->bandwidth, (perf_near)n);
    }
    for (int a = 0; a < grid->count; a++)
        for (int b = 0; b < grid->count; b++) {
            const int cell = a * grid->count + b, turned = b * grid->count + a;
            const perf_near near = grid->near[cell];
            grid->bad[cell] = 0;
            if (a == b)
                continue;
            /* comparisons with NAN are false */
            grid->bad[cell] |= grid->bandwidth[cell] * slow < bandwidth[near] ? PERF_SLOW : 0;
            grid->bad[cell] |= grid->latency[cell] > latency[near] * slow ? PERF_SLUGGISH : 0;
            if (near != PERF_SAME_NODE) /* one memory serves both ways there */
                grid->bad[cell] |= grid->bandwidth[cell] * skew < grid->bandwidth[turned] ? PERF_SKEWED : 0;
            bad += grid->bad[cell] != 0;
        }
    return bad;
}
