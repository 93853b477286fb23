/* The table of a collective, its rows of the sheet, and its picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "collective.h"

void perf_print_header(const dist_context *context, const perf_operation *operation,
                       const perf_options *options, const perf_link *link)
{
    perf_print_job(context, operation->name);
    printf("# %d iterations after %d", options->iterations, options->warmup);
    if (options->calls > 1)
        printf(", each of %d calls", options->calls);
    printf(", memory of %s\n# %s\n", perf_buffers_names[options->buffers], link->sentence);
    printf("#%58s %39s\n", "out of place", "in place");
    printf("#%11s %12s %9s %8s %5s %10s %7s %7s %7s %10s %7s %7s %7s", "size(B)", "count", "type", "redop",
           "root", "time(us)", "algbw", "busbw", "#wrong", "time(us)", "algbw", "busbw", "#wrong");
    printf(" %14s %14s %10s %10s %10s %10s %12s %8s %7s %11s %10s %8s %5s %8s\n", "algo", "codec", "p50(us)",
           "p95(us)", "p99(us)", "min(us)", "wan(B)", "wanbw", "ratio", "bound(us)", "time/bound", "#diverge",
           "cpu", "link");
}

/* GB/s: of the larger side of a rank. */
static double algorithm_bandwidth(const perf_row *row, double time)
{
    return time > 0 ? (double)row->bytes / time / 1e9 : 0;
}

static void print_or_dash(int width, int digits, double value, bool known)
{
    if (known)
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

static void print_figures(const perf_operation *operation, const perf_row *row, const perf_figures *f,
                          int ranks)
{
    const double algbw = algorithm_bandwidth(row, f->mean);
    print_or_dash(10, 2, f->mean * 1e6, f->measured);
    print_or_dash(7, 3, algbw, f->measured);
    print_or_dash(7, 3, algbw * operation->bus(ranks), f->measured);
    print_or_dash(7, 0, (double)f->wrong, f->measured && f->wrong >= 0);
}

/* Ranks that differ, in both places. */
static int diverging(const perf_row *row)
{
    int sum = -1;
    for (int place = 0; place < PERF_PLACES; place++)
        if (row->at[place].measured && row->at[place].diverge >= 0)
            sum = (sum < 0 ? 0 : sum) + row->at[place].diverge;
    return sum;
}

static const char *reduction_of(const perf_operation *operation, const perf_options *options)
{
    return operation->reduces ? dist_reduction_name(options->op) : "none";
}

void perf_print_row(const perf_operation *operation, const perf_options *options, const perf_row *row,
                    int ranks)
{
    const perf_figures *f = perf_chosen(row);
    printf("%12zu %12zu %9s %8s %5d", row->bytes, row->count, dist_type_name(options->type),
           reduction_of(operation, options), row->root);
    for (int place = 0; place < PERF_PLACES; place++)
        print_figures(operation, row, &row->at[place], ranks);
    printf(" %14s %14s %10.2f %10.2f %10.2f %10.2f", row->variant.algo, row->variant.codec, f->p50 * 1e6,
           f->p95 * 1e6, f->p99 * 1e6, f->least * 1e6);
    print_or_dash(12, 0, f->wan, f->wan >= 0);
    print_or_dash(8, 4, f->wan / f->p50 / 1e9, f->wan >= 0);
    print_or_dash(7, 4, f->wan / row->across, f->wan >= 0 && row->across > 0);
    print_or_dash(11, 1, row->bound * 1e6, row->bound > 0);
    print_or_dash(10, 3, row->bound > 0 ? f->p50 / row->bound : 0, row->bound > 0);
    print_or_dash(8, 0, diverging(row), diverging(row) >= 0);
    printf(" %5.2f %8s\n", f->cpu, perf_emulated() ? "emulated" : "real");
    fflush(stdout);
}

double perf_mean_bus(const perf_operation *operation, const perf_result *result, int ranks)
{
    double sum = 0;
    int figures = 0;
    for (size_t i = 0; i < result->rows; i++)
        for (int place = 0; place < PERF_PLACES; place++)
            if (result->row[i].at[place].measured) {
                sum += algorithm_bandwidth(&result->row[i], result->row[i].at[place].mean) *
                       operation->bus(ranks);
                figures++;
            }
    return figures > 0 ? sum / figures : 0;
}

void perf_print_footer(const perf_result *result, double bus)
{
    long long wrong = 0;
    for (size_t i = 0; i < result->rows; i++)
        for (int place = 0; place < PERF_PLACES; place++)
            wrong += result->row[i].at[place].wrong > 0 ? result->row[i].at[place].wrong : 0;
    printf("# Out of bounds values : %lld %s\n# Avg bus bandwidth    : %g\n", wrong, wrong ? "FAILED" : "OK",
           bus);
}

/* ---- the sheet ---- */

static void note_figures(perf_sheet *sheet, const perf_operation *operation, const perf_row *row,
                         const perf_figures *f, int ranks)
{
    const double algbw = algorithm_bandwidth(row, f->p50);
    perf_sheet_number(sheet, "time_us", "%.3f", f->p50 * 1e6, true);
    perf_sheet_number(sheet, "algbw", "%.6f", algbw, true);
    perf_sheet_number(sheet, "busbw", "%.6f", algbw * operation->bus(ranks), true);
    perf_sheet_number(sheet, "mean_us", "%.3f", f->mean * 1e6, true);
    perf_sheet_number(sheet, "p50_us", "%.3f", f->p50 * 1e6, true);
    perf_sheet_number(sheet, "p95_us", "%.3f", f->p95 * 1e6, true);
    perf_sheet_number(sheet, "p99_us", "%.3f", f->p99 * 1e6, true);
    perf_sheet_number(sheet, "min_us", "%.3f", f->least * 1e6, true);
    perf_sheet_number(sheet, "wan_bytes", "%.0f", f->wan, f->wan >= 0);
    perf_sheet_number(sheet, "wanbw", "%.6f", f->wan / f->p50 / 1e9, f->wan >= 0);
    perf_sheet_number(sheet, "ratio", "%.6f", f->wan / row->across, f->wan >= 0 && row->across > 0);
    perf_sheet_number(sheet, "bound_us", "%.3f", row->bound * 1e6, row->bound > 0);
    perf_sheet_number(sheet, "time_over_bound", "%.4f", row->bound > 0 ? f->p50 / row->bound : 0,
                      row->bound > 0);
    perf_sheet_number(sheet, "wrong", "%.0f", (double)f->wrong, f->wrong >= 0);
    perf_sheet_number(sheet, "diverge", "%.0f", f->diverge, f->diverge >= 0);
    perf_sheet_number(sheet, "cpu", "%.3f", f->cpu, true);
    perf_sheet_flag(sheet, "emulated", perf_emulated());
}

void perf_note_row(perf_sheet *sheet, const dist_context *context, const perf_operation *operation,
                   const perf_options *options, const perf_row *row)
{
    for (int place = 0; place < PERF_PLACES; place++) {
        if (!row->at[place].measured)
            continue;
        perf_sheet_row(sheet);
        perf_sheet_text(sheet, "collective", operation->name);
        perf_sheet_number(sheet, "size", "%.0f", (double)row->bytes, true);
        perf_sheet_number(sheet, "count", "%.0f", (double)row->count, true);
        perf_sheet_text(sheet, "algo", row->variant.algo);
        perf_sheet_text(sheet, "codec", row->variant.codec);
        perf_sheet_text(sheet, "type", dist_type_name(options->type));
        perf_sheet_text(sheet, "op", reduction_of(operation, options));
        perf_sheet_text(sheet, "memory", perf_buffers_names[options->buffers]);
        perf_sheet_number(sheet, "root", "%.0f", row->root, true);
        perf_sheet_number(sheet, "ranks", "%.0f", dist_ranks(context), true);
        perf_sheet_number(sheet, "sites", "%.0f", dist_sites(context), true);
        perf_sheet_flag(sheet, "in_place", place == PERF_IN_PLACE);
        note_figures(sheet, operation, row, &row->at[place], dist_ranks(context));
    }
}

/* ---- the picture ---- */

/* Bus bandwidth over size, a line for each variant, and what the bound would be. */
int perf_draw_curves(const char *path, const dist_context *context, const perf_operation *operation,
                     const perf_options *options, const perf_result *result)
{
    const int variants = result->variants, ranks = dist_ranks(context);
    const size_t sizes = result->rows / (size_t)variants;
    chart_line *line = calloc((size_t)variants + 1, sizeof *line);
    chart_point *point = calloc(((size_t)variants + 1) * sizes, sizeof *point);
    char(*name)[64] = calloc((size_t)variants + 1, sizeof *name), title[128], subtitle[256];
    int written = -1, lines = 0;
    for (int v = 0; line && point && name && v <= variants; v++) {
        const bool bound = v == variants;
        chart_point *p = point + (size_t)v * sizes;
        bool any = false;
        for (size_t s = 0; s < sizes; s++) {
            const perf_row *row = &result->row[s * (size_t)variants + (bound ? 0 : (size_t)v)];
            const double time = bound ? row->bound : perf_chosen(row)->p50;
            p[s] = (chart_point){(double)row->bytes,
                                 time > 0 ? algorithm_bandwidth(row, time) * operation->bus(ranks) : NAN};
            any |= time > 0;
        }
        const perf_variant *variant = &result->row[bound ? 0 : v].variant;
        if (bound)
            snprintf(name[v], sizeof name[v], "bound%s%s", strcmp(variant->codec, "none") ? ", " : "",
                     strcmp(variant->codec, "none") ? variant->codec : "");
        else if (strcmp(variant->codec, "none") == 0)
            snprintf(name[v], sizeof name[v], "%s", variant->algo);
        else
            snprintf(name[v], sizeof name[v], "%s, %s", variant->algo, variant->codec);
        if (any)
            line[lines++] = (chart_line){.name = name[v], .point = p, .points = (int)sizes, .dashed = bound};
    }
    snprintf(title, sizeof title, "%s, %s", operation->name, dist_type_name(options->type));
    snprintf(subtitle, sizeof subtitle, "ranks: %d, nodes: %d, sites: %d%s; medians of %d", ranks,
             dist_nodes(context), dist_sites(context), perf_emulated() ? " (emulated)" : "",
             options->iterations);
    if (lines > 0)
        written = chart_write_curves(path, &(chart_curves){.title = title,
                                                           .subtitle = subtitle,
                                                           .x_label = "bytes",
                                                           .y_label = "bus bandwidth, GB/s",
                                                           .x_bytes = true,
                                                           .x_log = true,
                                                           .y_log = true,
                                                           .line = line,
                                                           .lines = lines});
    free(line);
    free(point);
    free(name);
    return written;
}
