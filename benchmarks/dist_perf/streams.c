/* dist_perf streams: how many TCP connections side by side the links between sites are worth. */
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "perf.h"

#define ENOUGH 0.95 /* of the best sum */

/* The smallest number that reaches ENOUGH of the best. */
static int smallest_enough(const perf_goodput *result, int count, double *best)
{
    *best = 0;
    for (int i = 0; i < count; i++)
        *best = result[i].sum > *best ? result[i].sum : *best;
    for (int i = 0; i < count; i++)
        if (result[i].sum >= ENOUGH * *best)
            return i;
    return 0;
}

static void report(const dist_context *context, const perf_goodput *result, int count, int chosen,
                   double best, perf_sheet *sheet)
{
    printf("#%7s %12s %14s %20s %14s %8s %8s\n", "streams", "sum(MB/s)", "slowest(MB/s)", "slowest x N(MB/s)",
           "fastest(MB/s)", "of best", "link");
    for (int i = 0; i < count; i++) {
        const perf_goodput *r = &result[i];
        printf("%8d %12.2f %14.3f %20.2f %14.3f %8.3f %8s%s\n", r->streams, r->sum / 1e6, r->slowest / 1e6,
               r->slowest * r->streams / 1e6, r->fastest / 1e6, r->sum / best,
               perf_emulated() ? "emulated" : "real", i == chosen ? " <- enough" : "");
        perf_sheet_row(sheet);
        perf_sheet_number(sheet, "streams", "%.0f", r->streams, true);
        perf_sheet_number(sheet, "sum_mbs", "%.3f", r->sum / 1e6, true);
        perf_sheet_number(sheet, "slowest_mbs", "%.3f", r->slowest / 1e6, true);
        perf_sheet_number(sheet, "slowest_times_streams_mbs", "%.3f", r->slowest * r->streams / 1e6, true);
        perf_sheet_number(sheet, "fastest_mbs", "%.3f", r->fastest / 1e6, true);
        perf_sheet_flag(sheet, "enough", i == chosen);
        perf_sheet_number(sheet, "ranks", "%.0f", dist_ranks(context), true);
        perf_sheet_number(sheet, "sites", "%.0f", dist_sites(context), true);
        perf_sheet_flag(sheet, "emulated", perf_emulated());
    }
}

static int draw(const char *path, const perf_goodput *result, int count)
{
    chart_point sum[PERF_GOODPUTS], slowest[PERF_GOODPUTS];
    for (int i = 0; i < count; i++) {
        sum[i] = (chart_point){result[i].streams, result[i].sum / 1e6};
        slowest[i] = (chart_point){result[i].streams, result[i].slowest * result[i].streams / 1e6};
    }
    const chart_line line[] = {
        {.name = "sum", .point = sum, .points = count},
        {.name = "slowest x streams", .point = slowest, .points = count, .dashed = true}};
    return chart_write_curves(path,
                              &(chart_curves){.title = "plain TCP between sites, all links both ways at once",
                                              .subtitle = perf_emulated() ? "emulated links" : NULL,
                                              .x_label = "streams",
                                              .y_label = "MB/s a direction",
                                              .x_log = true,
                                              .line = line,
                                              .lines = 2});
}

static int write_tuning(const dist_context *context, const char *path, int streams)
{
    dist_tuning *tuning;
    dist_status status = dist_tuning_create(context, &tuning);
    if (status >= 0)
        status = dist_tuning_set_streams(tuning, streams);
    if (status >= 0)
        status = dist_tuning_write(tuning, path, "written by dist_perf streams");
    if (status < 0)
        fprintf(stderr, "dist_perf streams: %s\n", dist_last_error());
    else
        printf("# written: %s; DIST_TUNING=%s makes `auto` use it\n", path, path);
    dist_tuning_destroy(tuning);
    return status < 0 ? PERF_FAILED : PERF_FINE;
}

int perf_streams(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    perf_goodput result[PERF_GOODPUTS];
    char trouble[256];
    double best;
    int *agent = calloc((size_t)dist_ranks(context), sizeof *agent);
    const int agents = agent ? perf_agents(context, dist_sites(context) > 1, agent) : 0;
    const bool speaks = dist_rank(context) == 0;
    if (agents < 2) {
        if (speaks)
            fprintf(
                stderr,
                "dist_perf streams: all ranks are on one node; it is about links between sites, or nodes\n");
        free(agent);
        return PERF_USAGE;
    }
    if (speaks)
        perf_print_job(context, "plain TCP, each site to the next and all at once");
    perf_progress(context, "some seconds");
    const int count = perf_goodput_measure(agent, agents, 2, options->streams, false, result, trouble);
    perf_progress(context, NULL);
    free(agent);
    if (count == 0) {
        if (speaks)
            fprintf(stderr, "dist_perf streams: %s\n", trouble);
        return PERF_FAILED;
    }
    if (!speaks)
        return PERF_FINE;
    const int chosen = smallest_enough(result, count, &best);
    report(context, result, count, chosen, best, sheet);
    perf_sheet_head_number(sheet, "enough_streams", result[chosen].streams, true);
    printf("# %d stream%s reach%s %.0f %% of the best; DIST_STREAMS=%d\n", result[chosen].streams,
           result[chosen].streams > 1 ? "s" : "", result[chosen].streams > 1 ? "" : "es", 100 * ENOUGH,
           result[chosen].streams);
    int status = options->tuning ? write_tuning(context, options->tuning, result[chosen].streams) : PERF_FINE;
    if (options->svg && draw(options->svg, result, count) != 0) {
        perror(options->svg);
        status = PERF_USAGE;
    }
    return status == PERF_FINE && best / 1e9 < options->least ? PERF_BELOW : status;
}
