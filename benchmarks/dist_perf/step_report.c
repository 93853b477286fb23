/* What dist_perf step found: for people, as JSON, as CSV. */

#include "step.h"

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

const char *step_count_text(double count, char text[16])
{
    static const char *const suffix[] = {"", "K", "M", "G"};
    int i = 0;
    for (; count >= 1000 && i < 3; i++)
        count /= 1000;
    snprintf(text, 16, "%.4g%s", count, suffix[i]);
    return text;
}

static double utilisation(const step_options *o, const step_figures *f)
{
    return f->step > 0 ? o->compute / f->step : 0;
}

/* Of a prediction, in parts of what it is compared with. */
static double error_of(double predicted, double replayed)
{
    return replayed > 0 ? predicted / replayed - 1 : 0;
}

static double exposed(const step_options *o, const step_figures *f)
{
    return f->step > o->compute ? f->step - o->compute : 0;
}

static void print_line(const char *what, const step_line *line)
{
    printf("# fit: %s takes %.3f ms", what, line->start * 1e3);
    if (line->slope > 0)
        printf(" and 1 s for each %.4g MB", 1e-6 / line->slope);
}

static void print_fit(const step_options *o, const step_result *r)
{
    if (o->replicas > 1) {
        print_line("a bucket alone", &r->average);
        printf("; measured up to %zu bytes, at most %.1f %% off this line\n", r->largest, r->residual * 100);
    }
    if (o->positions > 1) {
        print_line("a message between stages (slowest edge)", &r->boundary);
        printf("\n");
        if (o->replicas > 1)
            printf("# fit: averages of all %d positions at once take %.2f times as long\n", o->positions,
                   r->sharing);
    }
}

static void print_row(const step_options *o, const char *what, const step_figures *f)
{
    printf("  %-10s %12.3f %12.3f %14.0f %12.4f\n", what, f->step * 1e3, exposed(o, f) * 1e3, f->across,
           utilisation(o, f));
}

void step_print(const dist_context *context, const step_options *o, const step_result *r)
{
    const step_figures *p = &r->predicted, *m = &r->replayed;
    char params[16];
    printf("# libdist %s, %s\n", dist_version(), dist_build_info());
    printf("# step: %d ranks on %d nodes in %d sites", dist_ranks(context), dist_nodes(context),
           dist_sites(context));
    if (o->positions > 1)
        printf(", mesh %s, schedule %s, %d microbatches of %zu bytes", text_or(o->mesh, ""), r->schedule,
               o->microbatches, o->boundary);
    else if (o->accumulate > 1)
        printf(", %d rounds a step", o->accumulate);
    printf("; %s %s parameters, %d tensors and %zu buckets on rank 0; codec %s, algo %s; compute %g ms\n",
           step_count_text(o->params, params), dist_type_name(o->type), step_tensors(o, o->positions),
           r->buckets, o->codec, o->algo, o->compute * 1e3);
    if (perf_emulated())
        printf("# emulated\n");
    print_fit(o, r);
    printf("# %-10s %12s %12s %14s %12s\n", "", "step(ms)", "exposed(ms)", "across(B)", "utilisation");
    print_row(o, "predicted", p);
    print_row(o, "replayed", m);
    printf("  %-10s %11.1f%% %11.1f%% %13.1f%% %11.1f%%\n", "error", error_of(p->step, m->step) * 100,
           error_of(exposed(o, p), exposed(o, m)) * 100, error_of(p->across, m->across) * 100,
           error_of(utilisation(o, p), utilisation(o, m)) * 100);
    fflush(stdout);
}

static int finish(FILE *file, const char *path)
{
    const bool bad = ferror(file) != 0;
    if (fclose(file) == 0 && !bad)
        return PERF_FINE;
    fprintf(stderr, "dist_perf: step: '%s' cannot be written\n", path);
    return PERF_USAGE;
}

/* A text of the caller's, or null. */
static void write_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, ",\"%s\":", name);
    if (!text) {
        fputs("null", file);
        return;
    }
    fputc('"', file);
    for (; *text; text++)
        fprintf(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", (unsigned char)*text < 32 ? ' ' : *text);
    fputc('"', file);
}

static void write_line(FILE *file, const char *name, const step_line *line, bool known)
{
    if (!known)
        fprintf(file, ",\"%s\":null", name);
    else if (line->slope > 0)
        fprintf(file, ",\"%s\":{\"latency_us\":%.3f,\"bandwidth\":%.0f}", name, line->start * 1e6,
                1 / line->slope);
    else
        fprintf(file, ",\"%s\":{\"latency_us\":%.3f,\"bandwidth\":null}", name, line->start * 1e6);
}

static void write_figures(FILE *file, const step_options *o, const char *what, const step_figures *f)
{
    fprintf(file,
            "\n{\"what\":\"%s\",\"step_us\":%.3f,\"exposed_us\":%.3f,\"across_bytes\":%.0f,"
            "\"utilisation\":%.5f}",
            what, f->step * 1e6, exposed(o, f) * 1e6, f->across, utilisation(o, f));
}

int step_write_json(const dist_context *context, const step_options *o, const step_result *r)
{
    FILE *file = o->json ? fopen(o->json, "w") : NULL;
    if (!file)
        return o->json ? PERF_USAGE : PERF_FINE;
    fprintf(file,
            "{\"version\":\"%s\",\"command\":\"step\",\"emulated\":%s,\"ranks\":%d,\"nodes\":%d,\"sites\":%d,"
            "\"params\":%.0f,\"type\":\"%s\",\"tensors\":%d,\"buckets\":%zu,\"compute_us\":%.3f,"
            "\"accumulate\":%d,\"steps\":%d",
            dist_version(), perf_emulated() ? "true" : "false", dist_ranks(context), dist_nodes(context),
            dist_sites(context), o->params, dist_type_name(o->type), step_tensors(o, o->positions),
            r->buckets, o->compute * 1e6, o->accumulate, o->steps);
    write_text(file, "algo", o->algo);
    write_text(file, "codec", o->codec);
    write_text(file, "mesh", o->mesh);
    write_text(file, "schedule", o->positions > 1 ? r->schedule : NULL);
    fprintf(file, ",\"positions\":%d,\"microbatches\":%d,\"boundary\":%zu", o->positions,
            o->positions > 1 ? o->microbatches : 1, o->positions > 1 ? o->boundary : 0);
    write_line(file, "fit_average", &r->average, o->replicas > 1);
    write_line(file, "fit_boundary", &r->boundary, o->positions > 1);
    fprintf(file, ",\"fit_residual\":%.4f,\"sharing\":%.4f,\"error\":%.5f,\"results\":[", r->residual,
            r->sharing, error_of(r->predicted.step, r->replayed.step));
    write_figures(file, o, "predicted", &r->predicted);
    fputc(',', file);
    write_figures(file, o, "replayed", &r->replayed);
    fputs("\n]}\n", file);
    return finish(file, o->json);
}

int step_write_csv(const dist_context *context, const step_options *o, const step_result *r)
{
    const step_figures *rows[] = {&r->predicted, &r->replayed};
    FILE *file = o->csv ? fopen(o->csv, "w") : NULL;
    if (!file)
        return o->csv ? PERF_USAGE : PERF_FINE;
    fputs(
        "what,ranks,sites,emulated,params,type,codec,algo,mesh,schedule,compute_ms,step_ms,exposed_ms,across_"
        "bytes,utilisation,error\n",
        file);
    for (int i = 0; i < 2; i++)
        fprintf(file, "%s,%d,%d,%d,%.0f,%s,\"%s\",\"%s\",\"%s\",\"%s\",%.3f,%.3f,%.3f,%.0f,%.5f,%.5f\n",
                i ? "replayed" : "predicted", dist_ranks(context), dist_sites(context), perf_emulated(),
                o->params, dist_type_name(o->type), o->codec, o->algo, text_or(o->mesh, ""),
                o->positions > 1 ? r->schedule : "", o->compute * 1e3, rows[i]->step * 1e3,
                exposed(o, rows[i]) * 1e3, rows[i]->across, utilisation(o, rows[i]),
                error_of(rows[i]->step, r->replayed.step));
    return finish(file, o->csv);
}
