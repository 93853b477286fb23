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

static void note_line(perf_sheet *sheet, const char *latency, const char *bandwidth, const step_line *line,
                      bool known)
{
    perf_sheet_head_number(sheet, latency, line->start * 1e6, known);
    perf_sheet_head_number(sheet, bandwidth, line->slope > 0 ? 1 / line->slope : 0, known && line->slope > 0);
}

static void note_model(perf_sheet *sheet, const step_options *o, const step_result *r)
{
    const bool stages = o->positions > 1;
    perf_sheet_head_number(sheet, "params", o->params, true);
    perf_sheet_head_text(sheet, "type", dist_type_name(o->type));
    perf_sheet_head_number(sheet, "tensors", step_tensors(o, o->positions), true);
    perf_sheet_head_number(sheet, "buckets", (double)r->buckets, true);
    perf_sheet_head_number(sheet, "compute_us", o->compute * 1e6, true);
    perf_sheet_head_number(sheet, "accumulate", o->accumulate, true);
    perf_sheet_head_number(sheet, "steps", o->steps, true);
    perf_sheet_head_text(sheet, "algo", text_or(o->algo, "auto"));
    perf_sheet_head_text(sheet, "codec", text_or(o->codec, "none"));
    perf_sheet_head_text(sheet, "mesh", text_or(o->mesh, ""));
    perf_sheet_head_text(sheet, "schedule", stages ? r->schedule : "");
    perf_sheet_head_number(sheet, "positions", o->positions, true);
    perf_sheet_head_number(sheet, "microbatches", o->microbatches, stages);
    perf_sheet_head_number(sheet, "boundary", (double)o->boundary, stages);
    note_line(sheet, "fit_average_us", "fit_average_bandwidth", &r->average, o->replicas > 1);
    note_line(sheet, "fit_boundary_us", "fit_boundary_bandwidth", &r->boundary, stages);
    perf_sheet_head_number(sheet, "fit_residual", r->residual, true);
    perf_sheet_head_number(sheet, "sharing", r->sharing, true);
    perf_sheet_head_number(sheet, "error", error_of(r->predicted.step, r->replayed.step), true);
}

void step_note(perf_sheet *sheet, const dist_context *context, const step_options *o, const step_result *r)
{
    const step_figures *rows[] = {&r->predicted, &r->replayed};
    note_model(sheet, o, r);
    for (int i = 0; i < 2; i++) {
        perf_sheet_row(sheet);
        perf_sheet_text(sheet, "what", i ? "replayed" : "predicted");
        perf_sheet_number(sheet, "step_us", "%.3f", rows[i]->step * 1e6, true);
        perf_sheet_number(sheet, "exposed_us", "%.3f", exposed(o, rows[i]) * 1e6, true);
        perf_sheet_number(sheet, "across_bytes", "%.0f", rows[i]->across, true);
        perf_sheet_number(sheet, "utilisation", "%.5f", utilisation(o, rows[i]), true);
        perf_sheet_text(sheet, "algo", text_or(o->algo, "auto"));
        perf_sheet_text(sheet, "codec", text_or(o->codec, "none"));
        perf_sheet_number(sheet, "ranks", "%.0f", dist_ranks(context), true);
        perf_sheet_number(sheet, "sites", "%.0f", dist_sites(context), true);
        perf_sheet_flag(sheet, "emulated", perf_emulated());
    }
}
