/* The table and the JSON of dist_perf all-reduce. */
#include <stdlib.h>
#include <string.h>

#include "perf.h"

void perf_header(const dist_context *context, const perf_options *options, const perf_link *link)
{
    printf("# libdist %s, %s\n", dist_version(), dist_build_info());
    printf("# all-reduce, %d ranks on %d nodes in %d sites, %d iterations after %d", dist_ranks(context),
           dist_nodes(context), dist_sites(context), options->iterations, options->warmup);
    if (options->calls > 1)
        printf(", each of %d calls", options->calls);
    printf(", memory of %s\n# %s\n", options->any_memory ? "malloc" : "dist_alloc", link->sentence);
    if (getenv("DIST_WAN_EMULATED"))
        printf("# emulated\n");
    printf("#%58s %39s\n", "out of place", "in place");
    printf("#%11s %12s %9s %8s %5s %10s %7s %7s %7s %10s %7s %7s %7s %14s %14s %10s %10s %12s %11s %10s %8s "
           "%5s\n",
           "size(B)", "count", "type", "redop", "root", "time(us)", "algbw", "busbw", "#wrong", "time(us)",
           "algbw", "busbw", "#wrong", "algo", "codec", "p50(us)", "p95(us)", "wan(B)", "bound(us)",
           "time/bound", "#diverge", "cpu");
}

/* GB/s: of what a rank gives, and of what a ring would move. */
static double algorithm_bandwidth(const perf_row *row, double time)
{
    return time > 0 ? (double)row->bytes / time / 1e9 : 0;
}

static double bus_bandwidth(const perf_row *row, double time, int ranks)
{
    return algorithm_bandwidth(row, time) * 2 * (ranks - 1) / ranks;
}

/* The figures that the last columns are of. */
static const perf_figures *chosen(const perf_row *row)
{
    return row->at[0].measured ? &row->at[0] : &row->at[1];
}

static void print_or_dash(int width, int digits, double value, bool known)
{
    if (known)
        printf(" %*.*f", width, digits, value);
    else
        printf(" %*s", width, "-");
}

static void print_figures(const perf_row *row, const perf_figures *f, int ranks)
{
    print_or_dash(10, 2, f->mean * 1e6, f->measured);
    print_or_dash(7, 3, algorithm_bandwidth(row, f->mean), f->measured);
    print_or_dash(7, 3, bus_bandwidth(row, f->mean, ranks), f->measured);
    print_or_dash(7, 0, (double)f->wrong, f->measured && f->wrong >= 0);
}

void perf_print(const perf_options *options, const perf_row *row, int ranks)
{
    const perf_figures *f = chosen(row);
    printf("%12zu %12zu %9s %8s %5d", row->bytes, row->count, dist_type_name(options->type),
           dist_reduction_name(options->op), -1);
    print_figures(row, &row->at[0], ranks);
    print_figures(row, &row->at[1], ranks);
    printf(" %14s %14s %10.2f %10.2f", row->variant.algo, row->variant.codec, f->p50 * 1e6, f->p95 * 1e6);
    print_or_dash(12, 0, f->wan, f->wan >= 0);
    print_or_dash(11, 1, row->bound * 1e6, row->bound > 0);
    print_or_dash(10, 3, row->bound > 0 ? f->p50 / row->bound : 0, row->bound > 0);
    printf(" %8d %5.2f\n", row->at[0].diverge + row->at[1].diverge, f->cpu);
    fflush(stdout);
}

static void write_or_null(FILE *file, const char *name, const char *format, double value, bool known)
{
    fprintf(file, ",\"%s\":", name);
    if (known)
        fprintf(file, format, value);
    else
        fprintf(file, "null");
}

/* A text in quotes. */
static void write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++)
        fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", (unsigned char)*text < 32 ? ' ' : *text);
    fputc('"', file);
}

static void write_figures(FILE *file, const perf_row *row, const perf_figures *f, int ranks)
{
    fprintf(
        file,
        ",\"time_us\":%.3f,\"algbw\":%.6f,\"busbw\":%.6f,\"mean_us\":%.3f,\"p50_us\":%.3f,\"p95_us\":%.3f",
        f->p50 * 1e6, algorithm_bandwidth(row, f->p50), bus_bandwidth(row, f->p50, ranks), f->mean * 1e6,
        f->p50 * 1e6, f->p95 * 1e6);
    write_or_null(file, "wan_bytes", "%.0f", f->wan, f->wan >= 0);
    write_or_null(file, "bound_us", "%.3f", row->bound * 1e6, row->bound > 0);
    write_or_null(file, "time_over_bound", "%.4f", row->bound > 0 ? f->p50 / row->bound : 0, row->bound > 0);
    write_or_null(file, "wrong", "%.0f", (double)f->wrong, f->wrong >= 0);
    fprintf(file, ",\"diverge\":%d,\"cpu\":%.3f", f->diverge, f->cpu);
}

static void write_row(FILE *file, const dist_context *context, const perf_options *options,
                      const perf_row *row, int place)
{
    fprintf(file,
            "\n{\"size\":%zu,\"algo\":\"%s\",\"codec\":\"%s\",\"type\":\"%s\",\"op\":\"%s\",\"ranks\":%d,"
            "\"sites\":%d",
            row->bytes, row->variant.algo, row->variant.codec, dist_type_name(options->type),
            dist_reduction_name(options->op), dist_ranks(context), dist_sites(context));
    fprintf(file, ",\"in_place\":%s", place ? "true" : "false");
    write_figures(file, row, &row->at[place], dist_ranks(context));
    fputc('}', file);
}

int perf_write_json(const dist_context *context, const perf_options *options, const perf_link *link,
                    const perf_row *row, size_t rows)
{
    FILE *file = fopen(options->json, "w");
    bool first = true;
    if (!file) {
        fprintf(stderr, "dist_perf: '%s' cannot be written\n", options->json);
        return 1;
    }
    fprintf(file, "{\"version\":\"%s\",\"collective\":\"all-reduce\",\"nodes\":%d,\"emulated\":%s",
            dist_version(), dist_nodes(context), getenv("DIST_WAN_EMULATED") ? "true" : "false");
    fprintf(file, ",\"bound\":");
    write_text(file, link->sentence);
    write_or_null(file, "goodput", "%.0f", link->rate, link->rate > 0);
    write_or_null(file, "goodput_streams", "%.0f", link->streams, link->streams > 0);
    fprintf(file, ",\"results\":[");
    for (size_t i = 0; i < rows; i++)
        for (int place = 0; place < 2; place++)
            if (row[i].at[place].measured) {
                fprintf(file, first ? "" : ",");
                write_row(file, context, options, &row[i], place);
                first = false;
            }
    fprintf(file, "\n]}\n");
    const bool bad = ferror(file) != 0;
    if (fclose(file) != 0 || bad) {
        fprintf(stderr, "dist_perf: '%s' cannot be written\n", options->json);
        return 1;
    }
    return 0;
}
