#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool gpt_history_create(gpt_history *history, size_t steps)
{
    *history = (gpt_history){.values = calloc(steps, GPT_FIGURES * sizeof *history->values),
                             .sorted = calloc(steps, sizeof *history->sorted)};
    if (history->values && history->sorted)
        return true;
    gpt_history_destroy(history);
    return false;
}

void gpt_history_destroy(gpt_history *history)
{
    free(history->values);
    free(history->sorted);
    *history = (gpt_history){0};
}

double *gpt_history_next(gpt_history *history)
{
    return history->values + history->steps++ * GPT_FIGURES;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gpt_history_median(const gpt_history *history, gpt_figure figure)
{
    const size_t steps = history->steps;
    if (steps == 0)
        return 0;
    for (size_t step = 0; step < steps; step++)
        history->sorted[step] = history->values[step * GPT_FIGURES + figure];
    qsort(history->sorted, steps, sizeof *history->sorted, ascending);
    return (history->sorted[(steps - 1) / 2] + history->sorted[steps / 2]) / 2;
}

double gpt_history_total(const gpt_history *history, gpt_figure figure)
{
    double total = 0;
    for (size_t step = 0; step < history->steps; step++)
        total += history->values[step * GPT_FIGURES + figure];
    return total;
}

/* JSON has no NaN and no infinity. */
static void write_number(FILE *file, const char *format, double number)
{
    if (isfinite(number))
        fprintf(file, format, number);
    else
        fputs("null", file);
}

static void write_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, "  \"%s\": \"", name);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(file, "\\%c", *text);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, file);
    fputs("\",\n", file);
}

static void write_field(FILE *file, const char *name, const char *format, double number)
{
    fprintf(file, "  \"%s\": ", name);
    write_number(file, format, number);
    fputs(",\n", file);
}

static void write_times(const gpt_report *report, FILE *file)
{
    const gpt_history *history = &report->history;
    const double step = gpt_history_median(history, GPT_STEP);
    const double exposed = gpt_history_median(history, GPT_EXPOSED);
    const double last = gpt_history_median(history, GPT_EXPOSED_LAST);
    const double communication = gpt_history_median(history, GPT_COMMUNICATION);
    const double tokens = (double)(report->batch * report->context);
    write_field(file, "step_ms_median", "%.3f", step * 1e3);
    write_field(file, "compute_ms_median", "%.3f", gpt_history_median(history, GPT_COMPUTE) * 1e3);
    write_field(file, "exposed_ms_median", "%.3f", exposed * 1e3);
    write_field(file, "exposed_last_rank_ms_median", "%.3f", last * 1e3);
    write_field(file, "communication_ms_median", "%.3f", communication * 1e3);
    write_field(file, "codec_ms_median", "%.3f", gpt_history_median(history, GPT_CODEC) * 1e3);
    write_field(file, "exposed_fraction", "%.4f", communication > 0 ? exposed / communication : 0);
    write_field(file, "exposed_last_rank_fraction", "%.4f", communication > 0 ? last / communication : 0);
    write_field(file, "tokens_per_second", "%.1f", step > 0 ? tokens / step : 0);
}

bool gpt_report_write(const gpt_report *report, FILE *file)
{
    const gpt_history *history = &report->history;
    const size_t steps = history->steps;
    const double across = gpt_history_total(history, GPT_ACROSS) * report->ranks;
    fprintf(file, "{\n  \"ranks\": %d,\n  \"sites\": %d,\n", report->ranks, report->sites);
    write_text(file, "algo", report->algo);
    write_text(file, "codec", report->codec);
    fprintf(file, "  \"steps\": %zu,\n  \"params\": %zu,\n  \"buckets\": %zu,\n", steps, report->parameters,
            report->buckets);
    fprintf(file, "  \"batch\": %zu,\n  \"context\": %zu,\n  \"accumulate\": %zu,\n", report->batch,
            report->context, report->accumulate);
    fprintf(file, "  \"seed\": %" PRIu64 ",\n", report->seed);
    write_field(file, "loss_first", "%.9g", steps ? history->values[GPT_LOSS] : NAN);
    write_field(file, "loss_last", "%.9g",
                steps ? history->values[(steps - 1) * GPT_FIGURES + GPT_LOSS] : NAN);
    write_field(file, "validation_loss", "%.9g", report->validation >= 0 ? report->validation : NAN);
    write_times(report, file);
    if (report->mesh) {
        const double span = gpt_history_median(history, GPT_SPAN),
                     predicted = gpt_history_median(history, GPT_PREDICTED);
        write_text(file, "mesh", report->mesh);
        write_text(file, "schedule", report->schedule);
        write_field(file, "microbatches", "%.0f", (double)report->microbatches);
        write_field(file, "pipeline_ms_median", "%.3f", span * 1e3);
        write_field(file, "pipeline_predicted_ms", "%.3f", predicted * 1e3);
        write_field(file, "pipeline_bubble", "%.4f", gpt_history_median(history, GPT_BUBBLE));
        write_field(file, "pipeline_bubble_predicted", "%.4f",
                    gpt_history_median(history, GPT_BUBBLE_PREDICTED));
    }
    /* MPI's own all-reduce does not tell which of its bytes go where */
    const bool known = across > 0 || report->sites == 1;
    write_field(file, "wan_bytes_per_step", "%.0f", known ? across / (double)steps : NAN);
    write_field(file, "wan_bytes_total", "%.0f", known ? across : NAN);
    fprintf(file, "  \"weights_hash\": \"%016" PRIx64 "\",\n", report->hash);
    fprintf(file, "  \"replicas_identical\": %s,\n  \"loss_curve\": [", report->identical ? "true" : "false");
    for (size_t step = 0; step < steps; step++) {
        fputs(step ? ", " : "", file);
        write_number(file, "%.9g", history->values[step * GPT_FIGURES + GPT_LOSS]);
    }
    fputs("]\n}\n", file);
    return fflush(file) == 0 && !ferror(file);
}
