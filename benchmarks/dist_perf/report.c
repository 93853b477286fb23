/* The table and the JSON of dist_perf. */
#include <stdlib.h>

#include "perf.h"

void perf_header(const dist_context *context, const perf_options *options)
{
    printf("# libdist %s, %s\n", dist_version(), dist_build_info());
    printf("# all-reduce, %d ranks on %d nodes in %d sites, codec %s, %d iterations after %d\n",
           dist_ranks(context), dist_nodes(context), dist_sites(context), options->codec, options->iterations,
           options->warmup);
    if (options->link_rate > 0)
        printf("# goodput of the link between sites: %.2f MB/s a direction\n", options->link_rate / 1e6);
    if (getenv("DIST_WAN_EMULATED"))
        printf("# emulated\n");
    printf("#%11s %12s %9s %8s %14s %12s %9s %9s %12s %12s %12s %11s %7s %8s\n", "size(B)", "count", "type",
           "redop", "algo", "time(us)", "algbw", "busbw", "p95(us)", "wan(B)", "bound(us)", "time/bound",
           "#wrong", "#diverge");
}

static double busbw(const perf_row *row, int ranks)
{
    return (double)row->bytes / row->time * 2 * (ranks - 1) / ranks;
}

static void print_or_dash(const char *format, int width, double value, bool known)
{
    if (known)
        printf(format, value);
    else
        printf(" %*s", width, "-");
}

void perf_print(const perf_options *options, const perf_row *row, int ranks)
{
    printf("%12zu %12zu %9s %8s %14s %12.2f %9.3f %9.3f %12.2f", row->bytes, row->count,
           dist_type_name(options->type), dist_reduction_name(options->op), row->algo, row->time * 1e6,
           (double)row->bytes / row->time / 1e9, busbw(row, ranks) / 1e9, row->p95 * 1e6);
    print_or_dash(" %12.0f", 12, row->wan, row->wan >= 0);
    print_or_dash(" %12.1f", 12, row->bound * 1e6, row->bound > 0);
    print_or_dash(" %11.3f", 11, row->bound > 0 ? row->time / row->bound : 0, row->bound > 0);
    print_or_dash(" %7.0f", 7, (double)row->wrong, row->wrong >= 0);
    printf(" %8d\n", row->diverge);
    fflush(stdout);
}

int perf_write_json(const dist_context *context, const perf_options *options, const perf_row *row,
                    size_t rows)
{
    FILE *file = fopen(options->json, "w");
    if (!file) {
        fprintf(stderr, "dist_perf: '%s' cannot be written\n", options->json);
        return 1;
    }
    fprintf(file, "{\"version\":\"%s\",\"collective\":\"all-reduce\",\"results\":[", dist_version());
    for (size_t i = 0; i < rows; i++, row++) {
        fprintf(
            file,
            "%s\n{\"size\":%zu,\"algo\":\"%s\",\"codec\":\"%s\",\"type\":\"%s\",\"ranks\":%d,\"sites\":%d,"
            "\"time_us\":%.3f,\"algbw\":%.6f,\"busbw\":%.6f,\"p95_us\":%.3f",
            i ? "," : "", row->bytes, row->algo, options->codec, dist_type_name(options->type),
            dist_ranks(context), dist_sites(context), row->time * 1e6, (double)row->bytes / row->time / 1e9,
            busbw(row, dist_ranks(context)) / 1e9, row->p95 * 1e6);
        fprintf(file, row->wan >= 0 ? ",\"wan_bytes\":%.0f" : ",\"wan_bytes\":null", row->wan);
        fprintf(file, row->bound > 0 ? ",\"bound_us\":%.3f" : ",\"bound_us\":null", row->bound * 1e6);
        fprintf(file, row->bound > 0 ? ",\"time_over_bound\":%.4f" : ",\"time_over_bound\":null",
                row->bound > 0 ? row->time / row->bound : 0);
        fprintf(file, row->wrong >= 0 ? ",\"wrong\":%lld" : ",\"wrong\":null", row->wrong);
        fprintf(file, ",\"diverge\":%d}", row->diverge);
    }
    fprintf(file, "\n]}\n");
    return fclose(file) != 0;
}
