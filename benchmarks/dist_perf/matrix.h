/* Latency and bandwidth between all ranks, nodes and sites. */
#ifndef DIST_PERF_MATRIX_H
#define DIST_PERF_MATRIX_H

#include "perf.h"

/* How near two ranks are. */
typedef enum perf_near { PERF_SAME_NODE, PERF_SAME_SITE, PERF_OTHER_SITE, PERF_NEARS } perf_near;

/* What is wrong with a directed pair; bits. */
enum { PERF_SLOW = 1, PERF_SLUGGISH = 2, PERF_SKEWED = 4 };

typedef struct perf_grid {
    const char *level; /* "rank", "node", "site" */
    int count;
    char (*name)[64];  /* [count] */
    double *latency;   /* [count * count], seconds one way; NAN: not measured */
    double *bandwidth; /* bytes a second from row to column; NAN: not measured */
    perf_near *near;   /* [count * count] */
    unsigned *bad;     /* [count * count] */
} perf_grid;

bool perf_grid_create(perf_grid *grid, const char *level, int count);
void perf_grid_free(perf_grid *grid);

/* The medians of a finer grid: member i of it belongs to row group[i]. near[] too. */
bool perf_grid_gather(perf_grid *grid, const perf_grid *fine, const int *group);

/* Marks pairs that are `slow` times worse than the median of those as near, or whose bandwidth is `skew` times that of their way
 * back. Returns how many are bad. */
int perf_grid_judge(perf_grid *grid, double slow, double skew);
/* The median of those as near as pair i; NAN: fewer than three. */
double perf_grid_median(const perf_grid *grid, const double *value, perf_near near);

/* ---- matrix_report.c: rank 0 ---- */
void perf_grid_print(const perf_grid *grid);
/* Each bad pair as a sentence, the worst first, and the worst of those that are not bad. */
void perf_grid_name_bad(const perf_grid *grid, double slow, double skew);
void perf_grid_note(const perf_grid *grid, perf_sheet *sheet, const dist_context *context);
int perf_grid_draw(const char *path, const perf_grid *grid, int grids);

#endif
