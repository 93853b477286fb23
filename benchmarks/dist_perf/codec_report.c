/* The table and the JSON of dist_perf codec. */
#include <math.h>

#include "codec_perf.h"

static double rate(double bytes, double time)
{
    return time > 0 ? bytes / time / 1e9 : 0;
}

void perf_codec_header(const perf_codec_options *o, const perf_vectors *vectors)
{
    printf("# libdist %s, %s\n", dist_version(), dist_build_info());
    printf("# codec, processor time of one core, %d iterations after %d, seed %llu\n", o->iterations,
           o->warmup, (unsigned long long)o->seed);
    if (o->gradient)
        printf("# gradients: %zu elements of %s\n", vectors->gradients, o->gradient);
    printf("#%11s %10s %9s %-19s %9s %6s %9s %6s %7s %10s %10s %10s %10s %10s %4s\n", "size(B)", "count",
           "type", "codec", "enc(GB/s)", "/copy", "dec(GB/s)", "/copy", "ratio", "nmse norm", "nmse stud",
           "nmse grad", "bound", "max error", "met");
}

static void print_known(double value, bool known)
{
    if (known)
        printf(" %10.3g", value);
    else
        printf(" %10s", "-");
}

void perf_codec_print(const perf_codec_options *o, const perf_codec_row *row)
{
    const bool bounded = row->bound < HUGE_VAL;
    const double bytes = (double)row->bytes;
    printf("%12zu %10zu %9s %-19s %9.3f %6.3f %9.3f %6.3f %7.3f", row->bytes, row->count,
           dist_type_name(o->type), row->codec, rate(bytes, row->encode.time), row->encode.share,
           rate(bytes, row->decode.time), row->decode.share, row->ratio);
    for (int kind = 0; kind < PERF_DATA; kind++)
        print_known(row->nmse[kind], row->nmse[kind] >= 0);
    print_known(row->bound, bounded);
    print_known(row->most, true);
    printf(" %4s\n", !row->met ? "no" : bounded ? "yes" : "-");
    fflush(stdout);
}

/* JSON has no infinity. */
static void write_number(FILE *file, const char *name, double value, bool known)
{
    if (known && isfinite(value))
        fprintf(file, ",\"%s\":%.9g", name, value);
    else
        fprintf(file, ",\"%s\":null", name);
}

static void write_row(FILE *file, const perf_codec_options *o, const perf_codec_row *row)
{
    static const char *const nmse[PERF_DATA] = {"nmse_normal", "nmse_student", "nmse_gradient"};
    const bool bounded = row->bound < HUGE_VAL;
    const double bytes = (double)row->bytes;
    fprintf(file, "{\"codec\":\"%s\",\"size\":%zu,\"elements\":%zu,\"type\":\"%s\"", row->codec, row->bytes,
            row->count, dist_type_name(o->type));
    write_number(file, "encode_gbps", rate(bytes, row->encode.time), true);
    write_number(file, "decode_gbps", rate(bytes, row->decode.time), true);
    write_number(file, "encode_of_copy", row->encode.share, true);
    write_number(file, "decode_of_copy", row->decode.share, true);
    write_number(file, "encode_moved_gbps", rate(row->encode.moved, row->encode.time), true);
    write_number(file, "encode_copy_gbps", rate(row->encode.moved, row->encode.copy), true);
    write_number(file, "decode_moved_gbps", rate(row->decode.moved, row->decode.time), true);
    write_number(file, "decode_copy_gbps", rate(row->decode.moved, row->decode.copy), true);
    write_number(file, "ratio", row->ratio, true);
    for (int kind = 0; kind < PERF_DATA; kind++)
        write_number(file, nmse[kind], row->nmse[kind], row->nmse[kind] >= 0);
    write_number(file, "bound", row->bound, bounded);
    write_number(file, "max_error", row->most, true);
    fprintf(file, ",\"bound_met\":%s}", !row->met ? "false" : bounded ? "true" : "null");
}

bool perf_codec_json(FILE *file, const perf_codec_options *o, const perf_vectors *vectors,
                     const perf_codec_row *row, size_t rows)
{
    fprintf(file, "{\"version\":\"%s\",\"command\":\"codec\",\"iterations\":%d,\"seed\":%llu,",
            dist_version(), o->iterations, (unsigned long long)o->seed);
    fprintf(file, "\"gradient_elements\":%zu,\"results\":[", vectors->gradients);
    for (size_t i = 0; i < rows; i++) {
        fputs(i ? ",\n" : "\n", file);
        write_row(file, o, &row[i]);
    }
    fputs("\n]}\n", file);
    return !ferror(file);
}
