/* dist_perf matrix: every pair alone, one after the other, so that none is slowed by another. */
#include "matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

#define RANKS_MOST 16 /* with more, ranks are not measured one by one unless asked for */
#define MESSAGE    ((size_t)256 << 10)
#define WINDOW     16 /* messages under way, at most: each has to be agreed on first */
#define AGAIN      2  /* further looks at what looks bad: something else may have been in the way */

typedef struct matrix {
    dist_context *context;
    const perf_options *options;
    int *member; /* the ranks that are measured */
    int members;
    perf_grid fine;
    perf_grid grid[3];
    int grids;
} matrix;

/* Sites that share a node, as in a rehearsal, have no link between them. */
static perf_near near_of(const dist_context *context, int a, int b)
{
    if (dist_node_of(context, a) == dist_node_of(context, b))
        return PERF_SAME_NODE;
    return dist_site_of(context, a) == dist_site_of(context, b) ? PERF_SAME_SITE : PERF_OTHER_SITE;
}

static bool wants(const matrix *m, const char *level)
{
    const perf_list *list = &m->options->level;
    return list->words > 0 ? perf_list_has(list, level)
                           : strcmp(level, "rank") != 0 || dist_ranks(m->context) <= RANKS_MOST;
}

/* All ranks, or the first of each node, or of each site, and a second one of each node: what is inside it. */
static void find_members(matrix *m)
{
    const int ranks = dist_ranks(m->context);
    const bool all = wants(m, "rank"), nodes = wants(m, "node");
    for (int r = 0; r < ranks; r++) {
        int before = 0;
        for (int q = 0; q < r; q++)
            before += nodes ? dist_node_of(m->context, q) == dist_node_of(m->context, r)
                            : dist_site_of(m->context, q) == dist_site_of(m->context, r);
        if (all || before < 2)
            m->member[m->members++] = r;
    }
}

/* ---- measuring ---- */

static bool measure_rate(matrix *m, perf_pair pair, perf_ways ways, double *cell)
{
    double rate;
    if (!perf_pair_rate(m->context, PERF_VIA_LIBDIST, pair, MESSAGE, WINDOW, false, m->options->seconds, ways,
                        &rate))
        return false;
    *cell = isfinite(*cell) && *cell > rate ? *cell : rate;
    return true;
}

/* Both ways; keeps the better one of what was there and what comes. */
static bool measure_pair(matrix *m, int i, int j)
{
    const perf_pair pair = {m->member[i], m->member[j]};
    const int forth = i * m->members + j, back = j * m->members + i;
    perf_times times;
    perf_progress(m->context, "ranks %d and %d of %d", pair.a, pair.b, dist_ranks(m->context));
    if (!perf_pair_latency(m->context, PERF_VIA_LIBDIST, pair, sizeof(int32_t), m->options->seconds / 2,
                           &times) ||
        !measure_rate(m, pair, PERF_FORTH, &m->fine.bandwidth[forth]) ||
        !measure_rate(m, pair, PERF_BACK, &m->fine.bandwidth[back]))
        return false;
    const double known = m->fine.latency[forth];
    m->fine.latency[forth] = m->fine.latency[back] =
        isfinite(known) && known < times.least ? known : times.least;
    return true;
}

static bool measure_all(matrix *m)
{
    for (int i = 0; i < m->members; i++)
        for (int j = 0; j < m->members; j++)
            m->fine.near[i * m->members + j] = near_of(m->context, m->member[i], m->member[j]);
    for (int i = 0; i < m->members; i++)
        for (int j = i + 1; j < m->members; j++)
            if (!measure_pair(m, i, j))
                return false;
    for (int again = 0; again < AGAIN; again++) {
        if (perf_grid_judge(&m->fine, m->options->slow, m->options->skew) == 0)
            break;
        for (int i = 0; i < m->members; i++)
            for (int j = i + 1; j < m->members; j++)
                if ((m->fine.bad[i * m->members + j] | m->fine.bad[j * m->members + i]) &&
                    !measure_pair(m, i, j))
                    return false;
    }
    perf_grid_judge(&m->fine, m->options->slow, m->options->skew);
    perf_progress(m->context, NULL);
    return true;
}

/* ---- from ranks to nodes and sites ---- */

static bool gather(matrix *m, bool sites)
{
    perf_grid *grid = &m->grid[m->grids];
    const int count = sites ? dist_sites(m->context) : dist_nodes(m->context);
    int *group = malloc((size_t)m->members * sizeof *group);
    bool good = group && perf_grid_create(grid, sites ? "site" : "node", count);
    m->grids++;
    for (int i = 0; good && i < m->members; i++)
        group[i] = sites ? dist_site_of(m->context, m->member[i]) : dist_node_of(m->context, m->member[i]);
    good = good && perf_grid_gather(grid, &m->fine, group);
    for (int s = 0; good && sites && s < count; s++)
        snprintf(grid->name[s], sizeof grid->name[s], "%s", dist_site_name(m->context, s));
    if (good && !sites)
        perf_node_names(m->context, grid->name);
    if (good)
        perf_grid_judge(grid, m->options->slow, m->options->skew);
    free(group);
    return good;
}

static void name_ranks(matrix *m)
{
    for (int i = 0; i < m->members; i++)
        snprintf(m->fine.name[i], sizeof m->fine.name[i], "%d %.40s", m->member[i],
                 dist_site_name(m->context, dist_site_of(m->context, m->member[i])));
}

static bool gather_all(matrix *m)
{
    name_ranks(m);
    if (wants(m, "rank"))
        m->grid[m->grids++] = m->fine;
    if (wants(m, "node") && dist_nodes(m->context) > 1 && !gather(m, false))
        return false;
    return !wants(m, "site") || dist_sites(m->context) < 2 || gather(m, true);
}

/* ---- the command ---- */

static double least_bandwidth(const perf_grid *grid)
{
    double least = INFINITY;
    for (int i = 0; i < grid->count * grid->count; i++)
        least = fmin(least, grid->bandwidth[i]); /* fmin passes over NAN */
    return least;
}

static int report(const matrix *m, perf_sheet *sheet)
{
    const perf_options *o = m->options;
    for (int g = 0; g < m->grids; g++) {
        perf_grid_print(&m->grid[g]);
        perf_grid_note(&m->grid[g], sheet, m->context);
    }
    for (int g = 0; g < m->grids; g++)
        perf_grid_name_bad(&m->grid[g], o->slow, o->skew);
    printf("# next: dist_perf compare --tuning FILE, which finds what suits these links\n");
    if (o->svg && perf_grid_draw(o->svg, m->grid, m->grids) != 0) {
        perror(o->svg);
        return PERF_USAGE;
    }
    return least_bandwidth(&m->fine) / 1e9 < o->least ? PERF_BELOW : PERF_FINE;
}

static void end(matrix *m)
{
    for (int g = 0; g < m->grids; g++)
        if (m->grid[g].bandwidth != m->fine.bandwidth)
            perf_grid_free(&m->grid[g]);
    perf_grid_free(&m->fine);
    free(m->member);
}

int perf_matrix(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    const int ranks = dist_ranks(context);
    matrix m = {.context = context, .options = options, .member = malloc((size_t)ranks * sizeof(int))};
    if (ranks < 2) {
        fprintf(stderr, "dist_perf matrix: two ranks are wanted; start it with mpirun\n");
        free(m.member);
        return PERF_USAGE;
    }
    if (m.member)
        find_members(&m);
    bool good = perf_all(m.member && perf_grid_create(&m.fine, "rank", m.members));
    if (good && dist_rank(context) == 0)
        perf_print_job(context,
                       "every pair alone; latency: least of half a round trip; bandwidth: messages of "
                       "256K, from row to column");
    good = good && measure_all(&m) && gather_all(&m);
    const int status = !good ? PERF_FAILED : dist_rank(context) == 0 ? report(&m, sheet) : PERF_FINE;
    end(&m);
    return status;
}
