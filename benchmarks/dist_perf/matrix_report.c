/* Grids for people, as rows, and as heat maps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "matrix.h"

#define NAMED_MOST 12

static void print_cells(const perf_grid *grid, const double *value, double scale, const char *what)
{
    printf("\n# %s x %s, %s\n#%15s", grid->level, grid->level, what, "from \\ to");
    for (int b = 0; b < grid->count; b++)
        printf(" %10.10s", grid->name[b]);
    putchar('\n');
    for (int a = 0; a < grid->count; a++) {
        printf("%16.16s", grid->name[a]);
        for (int b = 0; b < grid->count; b++) {
            const double v = value[a * grid->count + b] * scale;
            if (isfinite(v))
                printf(" %10.*f", v < 10 ? 2 : 1, v);
            else
                printf(" %10s", "-");
        }
        putchar('\n');
    }
}

void perf_grid_print(const perf_grid *grid)
{
    print_cells(grid, grid->latency, 1e6, "latency one way, us");
    print_cells(grid, grid->bandwidth, 1e-6, "bandwidth, MB/s");
}

static const char *kind_of(perf_near near)
{
    static const char *const kinds[] = {"inside a node", "inside a site", "between sites"};
    return kinds[near];
}

/* How bad a pair is: its figure against what it should be. */
static double badness(const perf_grid *grid, int cell)
{
    const int turned = cell % grid->count * grid->count + cell / grid->count;
    const perf_near near = grid->near[cell];
    double worst = 0;
    if (grid->bad[cell] & PERF_SLOW)
        worst = fmax(worst, perf_grid_median(grid, grid->bandwidth, near) / grid->bandwidth[cell]);
    if (grid->bad[cell] & PERF_SLUGGISH)
        worst = fmax(worst, grid->latency[cell] / perf_grid_median(grid, grid->latency, near));
    if (grid->bad[cell] & PERF_SKEWED)
        worst = fmax(worst, grid->bandwidth[turned] / grid->bandwidth[cell]);
    return worst;
}

static void name_pair(const perf_grid *grid, int cell)
{
    const int a = cell / grid->count, b = cell % grid->count, turned = b * grid->count + a;
    const perf_near near = grid->near[cell];
    printf("# BAD %s %s -> %s (%s):", grid->level, grid->name[a], grid->name[b], kind_of(near));
    if (grid->bad[cell] & PERF_SLOW)
        printf(" slow, %.1f MB/s where the median of such pairs is %.1f;", grid->bandwidth[cell] / 1e6,
               perf_grid_median(grid, grid->bandwidth, near) / 1e6);
    if (grid->bad[cell] & PERF_SLUGGISH)
        printf(" latency %.1f us where the median of such pairs is %.1f;", grid->latency[cell] * 1e6,
               perf_grid_median(grid, grid->latency, near) * 1e6);
    if (grid->bad[cell] & PERF_SKEWED)
        printf(" asymmetric, %.1f MB/s where the way back has %.1f;", grid->bandwidth[cell] / 1e6,
               grid->bandwidth[turned] / 1e6);
    printf("\n");
}

void perf_grid_name_bad(const perf_grid *grid, double slow, double skew)
{
    const int cells = grid->count * grid->count;
    bool *named = calloc((size_t)cells, sizeof *named);
    int bad = 0, worst = -1;
    for (int i = 0; i < cells; i++) {
        bad += grid->bad[i] != 0;
        if (isfinite(grid->bandwidth[i]) && (worst < 0 || grid->bandwidth[i] < grid->bandwidth[worst]))
            worst = i;
    }
    for (int n = 0; named && n < bad && n < NAMED_MOST; n++) {
        int next = -1;
        for (int i = 0; i < cells; i++)
            if (grid->bad[i] && !named[i] && (next < 0 || badness(grid, i) > badness(grid, next)))
                next = i;
        named[next] = true;
        name_pair(grid, next);
    }
    if (bad > NAMED_MOST)
        printf("# and %d more\n", bad - NAMED_MOST);
    if (bad == 0 && worst >= 0)
        printf("# %ss: none is %g times worse than others of its kind, or %g times its way back; least "
               "bandwidth: "
               "%s -> %s, %.1f MB/s\n",
               grid->level, slow, skew, grid->name[worst / grid->count], grid->name[worst % grid->count],
               grid->bandwidth[worst] / 1e6);
    free(named);
}

void perf_grid_note(const perf_grid *grid, perf_sheet *sheet, const dist_context *context)
{
    for (int a = 0; a < grid->count; a++)
        for (int b = 0; b < grid->count; b++) {
            const int cell = a * grid->count + b;
            if (!isfinite(grid->bandwidth[cell]))
                continue;
            perf_sheet_row(sheet);
            perf_sheet_text(sheet, "level", grid->level);
            perf_sheet_text(sheet, "from", grid->name[a]);
            perf_sheet_text(sheet, "to", grid->name[b]);
            perf_sheet_text(sheet, "kind", kind_of(grid->near[cell]));
            perf_sheet_number(sheet, "latency_us", "%.3f", grid->latency[cell] * 1e6,
                              isfinite(grid->latency[cell]));
            perf_sheet_number(sheet, "bandwidth_mbs", "%.3f", grid->bandwidth[cell] / 1e6, true);
            perf_sheet_flag(sheet, "slow", (grid->bad[cell] & (PERF_SLOW | PERF_SLUGGISH)) != 0);
            perf_sheet_flag(sheet, "asymmetric", (grid->bad[cell] & PERF_SKEWED) != 0);
            perf_sheet_number(sheet, "ranks", "%.0f", dist_ranks(context), true);
            perf_sheet_number(sheet, "sites", "%.0f", dist_sites(context), true);
            perf_sheet_flag(sheet, "emulated", perf_emulated());
        }
}

int perf_grid_draw(const char *path, const perf_grid *grid, int grids)
{
    chart_matrix chart[6];
    char title[6][64];
    int charts = 0, written = -1;
    double *scaled[6] = {NULL};
    bool *marked[6] = {NULL};
    const char **names[3] = {NULL};
    bool good = true;
    for (int g = 0; g < grids && good; g++) {
        const int cells = grid[g].count * grid[g].count;
        good = (names[g] = malloc((size_t)grid[g].count * sizeof(char *))) != NULL;
        for (int i = 0; good && i < grid[g].count; i++)
            names[g][i] = grid[g].name[i];
        for (int kind = 0; kind < 2 && good; kind++, charts++) {
            const bool latency = kind == 0;
            scaled[charts] = malloc((size_t)cells * sizeof(double));
            marked[charts] = calloc((size_t)cells, sizeof(bool));
            good = scaled[charts] && marked[charts];
            for (int i = 0; good && i < cells; i++) {
                scaled[charts][i] = latency ? grid[g].latency[i] * 1e6 : grid[g].bandwidth[i] / 1e6;
                marked[charts][i] =
                    (grid[g].bad[i] & (latency ? PERF_SLUGGISH : PERF_SLOW | PERF_SKEWED)) != 0;
            }
            snprintf(title[charts], sizeof title[charts], "%s x %s: %s", grid[g].level, grid[g].level,
                     latency ? "latency one way" : "bandwidth, from row to column");
            chart[charts] = (chart_matrix){.title = title[charts],
                                           .unit = latency ? "us" : "MB/s",
                                           .subtitle = perf_emulated() ? "emulated links" : NULL,
                                           .row = names[g],
                                           .column = names[g],
                                           .rows = grid[g].count,
                                           .columns = grid[g].count,
                                           .value = scaled[charts],
                                           .low_is_bad = !latency,
                                           .marked = marked[charts]};
        }
    }
    if (good)
        written = chart_write_matrices(path, chart, charts);
    for (int i = 0; i < 6; i++) {
        free(scaled[i]);
        free(marked[i]);
    }
    for (int g = 0; g < 3; g++)
        free(names[g]);
    return written;
}
