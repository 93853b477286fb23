/* dist_perf compare: all-reduces by algorithm and codec in turn, where which one is best, and a tuning file that says so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "collective.h"

/* A new choice has to be better by this: less is noise. */
#define CLEARLY 1.03

typedef struct comparison {
    const dist_context *context;
    const perf_options *options;
    const perf_result *result;
    size_t sizes;
} comparison;

/* One algorithm is best from one size to another. */
typedef struct stretch {
    int variant;
    uint64_t from, to; /* bytes, inclusive */
} stretch;

static const perf_row *row_of(const comparison *c, size_t size, int variant)
{
    return &c->result->row[size * (size_t)c->result->variants + (size_t)variant];
}

static double time_of(const comparison *c, size_t size, int variant)
{
    return perf_chosen(row_of(c, size, variant))->p50;
}

/* Of those with this codec; `before` stays when nothing is clearly better. */
static int best_of(const comparison *c, size_t size, const char *codec, int before)
{
    int best = before;
    for (int v = 0; v < c->result->variants; v++)
        if (strcmp(row_of(c, size, v)->variant.codec, codec) == 0 &&
            (best < 0 || time_of(c, size, v) < time_of(c, size, best)))
            best = v;
    if (before >= 0 && time_of(c, size, best) * CLEARLY > time_of(c, size, before))
        return before;
    return best;
}

/* The size at which two variants take as long, between two measured sizes: the lines through both in logarithms. */
static uint64_t crossover(const comparison *c, size_t size, int before, int after)
{
    const double x0 = log((double)row_of(c, size - 1, 0)->bytes), x1 = log((double)row_of(c, size, 0)->bytes);
    const double d0 = log(time_of(c, size - 1, before) / time_of(c, size - 1, after)),
                 d1 = log(time_of(c, size, before) / time_of(c, size, after));
    const double share = d1 - d0 > 0 ? fmin(fmax(-d0 / (d1 - d0), 0), 1) : 0.5;
    return (uint64_t)exp(x0 + share * (x1 - x0));
}

/* Returns how many stretches there are, at most one a size. */
static int find_stretches(const comparison *c, const char *codec, stretch *list)
{
    int count = 0, now = -1;
    for (size_t s = 0; s < c->sizes; s++) {
        const int best = best_of(c, s, codec, now);
        if (best == now || best < 0)
            continue;
        const uint64_t at = now < 0 ? 0 : crossover(c, s, now, best) + 1;
        if (count > 0)
            list[count - 1].to = at - 1;
        list[count++] = (stretch){best, at, UINT64_MAX};
        now = best;
    }
    return count;
}

static void print_stretches(const comparison *c, const char *codec, const stretch *list, int count)
{
    char from[16], to[16];
    printf("# codec %s:", codec);
    for (int i = 0; i < count; i++) {
        const char *algo = row_of(c, 0, list[i].variant)->variant.algo;
        if (list[i].to == UINT64_MAX)
            printf("%s %s from %s on", i ? ";" : "", algo, perf_bytes_text((double)list[i].from, from));
        else
            printf("%s %s from %s to %s", i ? ";" : "", algo, perf_bytes_text((double)list[i].from, from),
                   perf_bytes_text((double)list[i].to, to));
    }
    putchar('\n');
}

/* The codecs, each once, "none" first as it was measured. */
static int list_codecs(const comparison *c, const char **codec)
{
    int count = 0;
    for (int v = 0; v < c->result->variants; v++) {
        const char *name = row_of(c, 0, v)->variant.codec;
        bool known = false;
        for (int i = 0; i < count; i++)
            known |= strcmp(codec[i], name) == 0;
        if (!known)
            codec[count++] = name;
    }
    return count;
}

/* The fastest of the codecs that pay, if any: what it gives up is for the user to judge. */
static void recommend(const comparison *c, const char *const *codec, int codecs)
{
    const size_t last = c->sizes - 1;
    int best = best_of(c, last, "none", -1);
    if (best < 0)
        return;
    for (int i = 0; i < codecs; i++) {
        const int other = best_of(c, last, codec[i], -1);
        best = time_of(c, last, other) * CLEARLY < time_of(c, last, best) ? other : best;
    }
    const perf_variant *v = &row_of(c, last, best)->variant;
    const bool lossy = strcmp(v->codec, "none") != 0;
    printf(
        "# recommended for large gradients: %s%s%s%s\n",
        c->options->tuning ? "DIST_TUNING=" : "DIST_ALGO=", c->options->tuning ? c->options->tuning : v->algo,
        lossy ? " DIST_CODEC=" : "", lossy ? v->codec : "");
}

/* What each codec is worth at the largest size, against the best without one, and from which size on. */
static void print_worth(const comparison *c, const char *const *codec, int codecs)
{
    const size_t last = c->sizes - 1;
    const int plain = best_of(c, last, "none", -1);
    for (int i = 0; i < codecs && plain >= 0; i++) {
        size_t from = c->sizes;
        char text[16];
        if (strcmp(codec[i], "none") == 0)
            continue;
        for (size_t s = c->sizes; s-- > 0;) {
            const double coded = time_of(c, s, best_of(c, s, codec[i], -1)),
                         without = time_of(c, s, best_of(c, s, "none", -1));
            if (coded * CLEARLY >= without)
                break;
            from = s;
        }
        const double gain = time_of(c, last, plain) / time_of(c, last, best_of(c, last, codec[i], -1));
        if (from < c->sizes)
            printf("# codec %s pays from %s on: %.2f times as fast as without at %s\n", codec[i],
                   perf_bytes_text((double)row_of(c, from, 0)->bytes, text), gain,
                   perf_bytes_text((double)row_of(c, last, 0)->bytes, (char[16]){0}));
        else
            printf("# codec %s does not pay here: %.2f times as fast as without at the largest size\n",
                   codec[i], gain);
    }
}

static dist_status add_stretches(dist_tuning *tuning, const comparison *c, const char *codec,
                                 const stretch *list, int count)
{
    dist_status status = DIST_OK;
    for (int i = 0; i < count && status >= 0; i++)
        status = dist_tuning_add(tuning, "all-reduce", codec, list[i].from, list[i].to,
                                 row_of(c, 0, list[i].variant)->variant.algo);
    return status;
}

/* A line of the best choices, a recommendation, and the file. */
static int conclude(const comparison *c)
{
    const char *codec[PERF_WORDS];
    const int codecs = list_codecs(c, codec);
    stretch *list = calloc(c->sizes, sizeof *list);
    dist_tuning *tuning = NULL;
    dist_status status = list ? DIST_OK : DIST_ERR_MEMORY;
    const char *path = c->options->tuning;
    if (status >= 0 && path)
        status = dist_tuning_create(c->context, &tuning);
    printf("# best all-reduce by size, a choice changes where another is %.0f %% faster:\n",
           100 * (CLEARLY - 1));
    for (int i = 0; i < codecs && status >= 0; i++) {
        const int count = find_stretches(c, codec[i], list);
        print_stretches(c, codec[i], list, count);
        if (tuning)
            status = add_stretches(tuning, c, codec[i], list, count);
    }
    if (status >= 0)
        print_worth(c, codec, codecs);
    if (status >= 0)
        recommend(c, codec, codecs);
    if (tuning && status >= 0)
        status = dist_tuning_write(tuning, path, "written by dist_perf compare");
    if (tuning && status >= 0)
        printf("# written: %s\n", path);
    dist_tuning_destroy(tuning);
    free(list);
    if (status < 0)
        fprintf(stderr, "dist_perf compare: %s\n", dist_last_error());
    return status < 0 ? PERF_FAILED : PERF_FINE;
}

int perf_compare(dist_context *context, const perf_options *options, perf_sheet *sheet)
{
    const perf_operation *operation = perf_operation_find("all-reduce");
    perf_result result;
    int status = perf_measure_collective(context, operation, options, sheet, &result);
    if (result.rows > 0 && dist_rank(context) == 0) {
        const comparison c = {context, options, &result, result.rows / (size_t)result.variants};
        perf_print_footer(&result, perf_mean_bus(operation, &result, dist_ranks(context)));
        const int concluded = conclude(&c);
        status = status == PERF_FINE ? concluded : status;
        status = perf_conclude(context, operation, options, &result, status);
    }
    free(result.row);
    return status;
}
