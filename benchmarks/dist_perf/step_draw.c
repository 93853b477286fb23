/* The timeline of one step on rank 0, as predicted and as replayed. */
#include <stdarg.h>
#include <stdlib.h>

#include "chart.h"
#include "step.h"

#define MOST_SPANS 20000 /* of a lane: more than anybody can tell apart */

typedef struct span {
    double begin, end;
    int kind;
    char name[24];
} span;

typedef struct lane {
    span *span;
    int spans, room;
} lane;

struct step_timeline {
    lane lane[STEP_LANES];
};

step_timeline *step_timeline_open(void)
{
    return calloc(1, sizeof(step_timeline));
}

void step_timeline_close(step_timeline *timeline)
{
    for (int l = 0; timeline && l < STEP_LANES; l++)
        free(timeline->lane[l].span);
    free(timeline);
}

void step_span(step_timeline *timeline, int number, double begin, double end, int kind, const char *format,
               ...)
{
    lane *const l = timeline ? &timeline->lane[number] : NULL;
    if (!l || !(end > begin) || l->spans == MOST_SPANS)
        return;
    if (l->spans == l->room) {
        const int room = l->room ? 2 * l->room : 64;
        span *const larger = realloc(l->span, (size_t)room * sizeof *larger);
        if (!larger)
            return; /* a span less in the picture */
        l->span = larger;
        l->room = room;
    }
    span *const s = &l->span[l->spans++];
    *s = (span){.begin = begin, .end = end, .kind = kind};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(s->name, sizeof s->name, format, arguments);
    va_end(arguments);
}

static bool fill_lane(const lane *from, const char *name, chart_lane *to)
{
    chart_span *all = calloc((size_t)from->spans + 1, sizeof *all);
    for (int i = 0; all && i < from->spans; i++)
        all[i] = (chart_span){.begin = from->span[i].begin * 1e3,
                              .end = from->span[i].end * 1e3,
                              .name = from->span[i].name,
                              .kind = from->span[i].kind};
    *to = (chart_lane){.name = name, .span = all, .spans = from->spans};
    return all != NULL;
}

int step_draw(const step_options *o, const step_result *r)
{
    static const char *const names[STEP_LANES] = {"predicted: rank 0", "predicted: averages",
                                                  "replayed: rank 0", "replayed: averages"};
    static const char *const mark_names[] = {"predicted", "replayed"};
    const double marks[] = {r->predicted.step * 1e3, r->replayed.step * 1e3};
    char title[128], subtitle[192], params[16];
    chart_lane lanes[STEP_LANES] = {{0}};
    bool whole = r->timeline != NULL;
    if (!o->svg)
        return PERF_FINE;
    for (int l = 0; l < STEP_LANES && whole; l++)
        whole = fill_lane(&r->timeline->lane[l], names[l], &lanes[l]);
    snprintf(title, sizeof title, "A training step: %s parameters, codec %s",
             step_count_text(o->params, params), o->codec);
    snprintf(subtitle, sizeof subtitle,
             "compute %.0f ms; predicted %.0f ms, replayed %.0f ms (median; drawn: the last step)%s",
             o->compute * 1e3, marks[0], marks[1], perf_emulated() ? "; emulated" : "");
    const chart_timeline chart = {.title = title,
                                  .subtitle = subtitle,
                                  .unit = "ms",
                                  .lane = lanes,
                                  .lanes = STEP_LANES,
                                  .mark = marks,
                                  .mark_name = mark_names,
                                  .marks = 2};
    const bool good = whole && chart_write_timeline(o->svg, &chart) == 0;
    for (int l = 0; l < STEP_LANES; l++)
        free((void *)lanes[l].span);
    if (!good)
        fprintf(stderr, "dist_perf: step: '%s' cannot be written\n", o->svg);
    return good ? PERF_FINE : PERF_USAGE;
}
