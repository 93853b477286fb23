/* dist_perf latency and dist_perf bandwidth: pairs of ranks, size by size, through libdist and through MPI in turn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "pair.h"

#define PAIRS_MOST PERF_WORDS
#define WORD       sizeof(int32_t)

typedef struct pair_list {
    perf_pair pair[PAIRS_MOST];
    int pairs;
} pair_list;

/* The first ranks of every two sites, or of every two nodes, or the first two ranks. */
static void find_pairs(const dist_context *context, const int *agent, int agents, pair_list *list)
{
    for (int a = 0; a < agents; a++)
        for (int b = a + 1; b < agents && list->pairs < PAIRS_MOST; b++)
            list->pair[list->pairs++] = (perf_pair){agent[a], agent[b]};
    if (list->pairs == 0 && dist_ranks(context) > 1)
        list->pair[list->pairs++] = (perf_pair){0, 1};
}

static bool read_pairs(const dist_context *context, const perf_options *o, pair_list *list)
{
    const int ranks = dist_ranks(context);
    int *agent = calloc((size_t)ranks, sizeof *agent);
    if (!agent)
        return false;
    for (int i = 0; i < o->pair.words; i++) {
        const char *second = strchr(o->pair.word[i], '-') + 1;
        const perf_pair pair = {atoi(o->pair.word[i]), atoi(second)};
        if (pair.a < ranks && pair.b < ranks)
            list->pair[list->pairs++] = pair;
    }
    if (o->pair.words == 0)
        find_pairs(context, agent, perf_agents(context, dist_sites(context) > 1, agent), list);
    free(agent);
    const bool all = o->pair.words == 0 ? list->pairs > 0 : list->pairs == o->pair.words;
    if (!all && dist_rank(context) == 0)
        fprintf(stderr, "dist_perf %s: %s; ranks go from 0 to %d\n", o->command,
                ranks < 2 ? "two ranks are wanted" : "--pair names a rank that is not there", ranks - 1);
    return all;
}

static perf_via via_of(const perf_options *o, int i)
{
    return strcmp(o->via.word[i], "mpi") == 0 ? PERF_VIA_MPI : PERF_VIA_LIBDIST;
}

/* ---- what both commands share: pairs, ways to send, sizes ---- */

/* One row: measures, prints, notes. *bandwidth: bytes a second. */
typedef bool measure_row(dist_context *context, const perf_options *o, perf_sheet *sheet, perf_pair pair,
                         perf_via via, size_t bytes, double *bandwidth);

static void begin_row(perf_sheet *sheet, const dist_context *context, perf_pair pair, perf_via via,
                      size_t bytes)
{
    perf_sheet_row(sheet);
    perf_sheet_number(sheet, "size", "%.0f", (double)bytes, true);
    perf_sheet_text(sheet, "algo", perf_via_name(via));
    perf_sheet_text(sheet, "codec", "none");
    perf_sheet_number(sheet, "ranks", "%.0f", dist_ranks(context), true);
    perf_sheet_number(sheet, "sites", "%.0f", dist_sites(context), true);
    perf_sheet_number(sheet, "from", "%.0f", pair.a, true);
    perf_sheet_number(sheet, "to", "%.0f", pair.b, true);
    perf_sheet_flag(sheet, "emulated", perf_emulated());
}

static const char *mark(void)
{
    return perf_emulated() ? "emulated" : "real";
}

/* Lines of the chart: one for each pair and way to send. */
typedef struct curves {
    chart_line line[PAIRS_MOST * PERF_VIAS];
    chart_point *point; /* [lines * sizes] */
    char name[PAIRS_MOST * PERF_VIAS][64];
    int lines;
} curves;

static int draw(const perf_options *o, const dist_context *context, const curves *c, bool latency)
{
    char subtitle[128];
    snprintf(subtitle, sizeof subtitle, "ranks: %d, nodes: %d, sites: %d%s", dist_ranks(context),
             dist_nodes(context), dist_sites(context), perf_emulated() ? " (emulated)" : "");
    return chart_write_curves(o->svg, &(chart_curves){.title = latency ? "latency" : "bandwidth",
                                                      .subtitle = subtitle,
                                                      .x_label = "bytes of a message",
                                                      .y_label = latency ? "one way, us" : "MB/s",
                                                      .x_bytes = true,
                                                      .x_log = true,
                                                      .y_log = true,
                                                      .line = c->line,
                                                      .lines = c->lines});
}

static int finish(const dist_context *context, const perf_options *o, const curves *c, bool latency,
                  double best)
{
    if (dist_rank(context) == 0 && o->svg && draw(o, context, c, latency) != 0) {
        perror(o->svg);
        return PERF_USAGE;
    }
    return best / 1e9 < o->least ? PERF_BELOW : PERF_FINE;
}

static int run(dist_context *context, const perf_options *o, perf_sheet *sheet, bool latency,
               measure_row *measure)
{
    pair_list list = {.pairs = 0};
    const size_t sizes = perf_count_sizes(o);
    curves *c = calloc(1, sizeof *c);
    double best = 0;
    if (!read_pairs(context, o, &list)) {
        free(c);
        return PERF_USAGE;
    }
    bool good = c && (c->point = calloc(sizes * PAIRS_MOST * PERF_VIAS, sizeof *c->point)) != NULL;
    for (int p = 0; p < list.pairs && good; p++) {
        size_t s = 0;
        for (size_t size = o->begin; size <= o->end && good;
             size = perf_next_size(size, o->step, o->factor), s++)
            for (int i = 0; i < o->via.words && good; i++) {
                const size_t bytes = size < WORD ? WORD : size / WORD * WORD;
                const int l = p * o->via.words + i;
                double bandwidth = 0;
                perf_progress(context, "ranks %d and %d: %zu bytes", list.pair[p].a, list.pair[p].b, bytes);
                good = measure(context, o, sheet, list.pair[p], via_of(o, i), bytes, &bandwidth);
                best = fmax(best, bandwidth);
                chart_point *point = c->point + (size_t)l * sizes;
                point[s] =
                    (chart_point){(double)bytes, latency ? 1e6 * (double)bytes / bandwidth : bandwidth / 1e6};
                snprintf(c->name[l], sizeof c->name[l], "%d-%d, %s", list.pair[p].a, list.pair[p].b,
                         o->via.word[i]);
                c->line[l] = (chart_line){.name = c->name[l], .point = point, .points = (int)s + 1};
                c->lines = l + 1;
            }
    }
    perf_progress(context, NULL);
    const int status = good ? finish(context, o, c, latency, best) : PERF_FAILED;
    if (c)
        free(c->point);
    free(c);
    return status;
}

/* ---- latency ---- */

static bool latency_row(dist_context *context, const perf_options *o, perf_sheet *sheet, perf_pair pair,
                        perf_via via, size_t bytes, double *bandwidth)
{
    perf_times t;
    if (!perf_pair_latency(context, via, pair, bytes, o->seconds, &t))
        return false;
    *bandwidth = (double)bytes / t.p50;
    if (dist_rank(context) != 0)
        return true;
    perf_progress(context, NULL);
    printf("%12zu %6d %6d %8s %10.2f %10.2f %10.2f %10.2f %10.2f %8d %8s\n", bytes, pair.a, pair.b,
           perf_via_name(via), t.mean * 1e6, t.p50 * 1e6, t.p95 * 1e6, t.p99 * 1e6, t.least * 1e6, t.count,
           mark());
    fflush(stdout);
    begin_row(sheet, context, pair, via, bytes);
    perf_sheet_number(sheet, "time_us", "%.3f", t.p50 * 1e6, true);
    perf_sheet_number(sheet, "mean_us", "%.3f", t.mean * 1e6, true);
    perf_sheet_number(sheet, "p95_us", "%.3f", t.p95 * 1e6, true);
    perf_sheet_number(sheet, "p99_us", "%.3f", t.p99 * 1e6, true);
    perf_sheet_number(sheet, "min_us", "%.3f", t.least * 1e6, true);
    perf_sheet_number(sheet, "round_trips", "%.0f", t.count, true);
    return true;
}

int perf_latency(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    if (dist_rank(context) == 0) {
        perf_print_job(context, "latency one way: half a round trip");
        printf("#%11s %6s %6s %8s %10s %10s %10s %10s %10s %8s %8s\n", "size(B)", "from", "to", "via",
               "time(us)", "p50(us)", "p95(us)", "p99(us)", "min(us)", "trips", "link");
    }
    return run(context, options, sheet, true, latency_row);
}

/* ---- bandwidth ---- */

static bool bandwidth_row(dist_context *context, const perf_options *o, perf_sheet *sheet, perf_pair pair,
                          perf_via via, size_t bytes, double *bandwidth)
{
    double rate[3];
    for (int ways = PERF_FORTH; ways <= PERF_BOTH; ways++)
        if (!perf_pair_rate(context, via, pair, bytes, o->window, o->window > 0, o->seconds, (perf_ways)ways,
                            &rate[ways]))
            return false;
    *bandwidth = fmin(rate[PERF_FORTH], rate[PERF_BACK]);
    if (dist_rank(context) != 0)
        return true;
    perf_progress(context, NULL);
    printf("%12zu %6d %6d %8s %12.2f %12.2f %12.2f %12.0f %8s\n", bytes, pair.a, pair.b, perf_via_name(via),
           rate[PERF_FORTH] / 1e6, rate[PERF_BACK] / 1e6, rate[PERF_BOTH] / 1e6,
           rate[PERF_FORTH] / (double)bytes, mark());
    fflush(stdout);
    begin_row(sheet, context, pair, via, bytes);
    perf_sheet_number(sheet, "forth_mbs", "%.3f", rate[PERF_FORTH] / 1e6, true);
    perf_sheet_number(sheet, "back_mbs", "%.3f", rate[PERF_BACK] / 1e6, true);
    perf_sheet_number(sheet, "both_mbs", "%.3f", rate[PERF_BOTH] / 1e6, true);
    perf_sheet_number(sheet, "algbw", "%.6f", rate[PERF_FORTH] / 1e9, true);
    return true;
}

int perf_bandwidth(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    if (dist_rank(context) == 0) {
        perf_print_job(context, "bandwidth, messages under way all the time");
        printf("#%11s %6s %6s %8s %12s %12s %12s %12s %8s\n", "size(B)", "from", "to", "via", "forth(MB/s)",
               "back(MB/s)", "both(MB/s)", "messages/s", "link");
    }
    return run(context, options, sheet, false, bandwidth_row);
}
