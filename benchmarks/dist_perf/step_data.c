/* A step of data parallel: averages measured one at a time, a queue of buckets on paper, and the real thing. */
#include <math.h>
#include <stdlib.h>

#include "step.h"

#define TOGETHER     4   /* buckets that are measured one behind the other */
#define LONGEST_REST 1.0 /* seconds between two averages that are measured */

/* ---- the measurement ---- */

/* An average as large as a bucket, or some of them at once, by the same means as in the step. */
typedef struct probe {
    dist_data_parallel *dp;
    size_t buckets;
    double pace; /* seconds from one to the next */
    double bytes, across;
    double time[STEP_SAMPLES];
} probe;

typedef struct measurement {
    probe probe[STEP_SIZES];
    int sizes, each, samples; /* samples of a round, and so far */
    double began, took;       /* the last step that was replayed */
} measurement;

static dist_status open_probe(dist_context *context, const step_options *o, size_t bytes, size_t buckets,
                              probe *p)
{
    dist_parameter parameter[TOGETHER];
    dist_data_parallel_options options = step_averages(o);
    options.bucket_bytes = options.first_bucket_bytes = bytes;
    *p = (probe){.buckets = buckets, .bytes = (double)bytes * (double)buckets};
    for (size_t b = 0; b < buckets; b++)
        parameter[b] =
            (dist_parameter){.name = "probe", .count = bytes / dist_type_bytes(o->type), .type = o->type};
    const dist_status status = dist_data_parallel_create(context, parameter, buckets, &options, &p->dp);
    for (size_t b = 0; b < buckets && status == DIST_OK; b++)
        step_gradient_fill(context, dist_data_parallel_gradient(p->dp, b), bytes, o->type);
    return status;
}

/* Sizes up to that of the largest bucket, and some of those together: what the link carries while the next bucket is encoded
 * can be more, or less, than one alone tells. They come twice as fast as backward makes them: at once they would be in each
 * other's way more than they are in a step (int8 over 200 Mbit/s and 30 ms: 57 to 72 MB/s, in the step 63 to 78). */
static dist_status open_probes(dist_context *context, const step_options *o, const step_result *r,
                               measurement *m)
{
    size_t size[STEP_SIZES];
    const int sizes = step_sizes(r->largest, dist_type_bytes(o->type), size);
    const size_t together = r->buckets < TOGETHER ? r->buckets : TOGETHER;
    dist_status status = DIST_OK;
    if (together > 1) {
        probe *p = &m->probe[m->sizes++];
        status = open_probe(context, o, size[0], together, p);
        p->pace =
            o->compute / o->accumulate / 3 * (double)size[0] / (double)dist_type_bytes(o->type) / o->params;
    }
    for (int i = 0; i < sizes && m->sizes < STEP_SIZES && status == DIST_OK; i++)
        status = open_probe(context, o, size[i], 1, &m->probe[m->sizes++]);
    return status;
}

/* After a rest as long as a forward pass, as in a step: congestion control forgets what it knew of an idle link. */
static dist_status sample(const step_options *o, probe *p, int number)
{
    int64_t debt = 0, later = 0;
    dist_data_parallel_stats stats;
    const int64_t began = perf_wait(&debt, fmin(o->compute / o->accumulate / 3, LONGEST_REST));
    dist_status status = DIST_OK;
    for (size_t b = p->buckets; b-- > 0 && status == DIST_OK;) {
        status = dist_data_parallel_ready(p->dp, b, NULL);
        if (b > 0)
            perf_wait(&later, p->pace);
    }
    if (status == DIST_OK)
        status = dist_data_parallel_wait(p->dp, NULL);
    const double took = (double)(perf_now() - began) * 1e-9;
    if (status == DIST_OK)
        status = dist_data_parallel_stats_get(p->dp, &stats);
    if (status < 0 || number < 0)
        return status;
    p->time[number] = took;
    p->across = (double)stats.bytes_across;
    return status;
}

static dist_status close_probes(probe *p, dist_status status)
{
    for (int i = 0; i < STEP_SIZES; i++) {
        const dist_status ended = dist_data_parallel_destroy(p[i].dp);
        status = status < 0 ? status : ended;
    }
    return status;
}

/* Each size once, unseen. */
static dist_status warm_up(dist_context *context, const step_options *o, measurement *m)
{
    dist_status status = DIST_OK;
    const int64_t began = perf_now();
    for (int i = 0; i < m->sizes && status == DIST_OK; i++)
        status = sample(o, &m->probe[i], -1);
    return status < 0 ? status : step_samples(context, (double)(perf_now() - began) * 1e-9, &m->each);
}

/* All sizes in turn. The smallest goes first, unseen: ranks come out of what was before at different times. */
static dist_status sample_round(const step_options *o, measurement *m)
{
    dist_status status = sample(o, &m->probe[m->sizes - 1], -1);
    for (int e = 0; e < m->each; e++, m->samples++)
        for (int i = m->sizes; i-- > 0 && status == DIST_OK;)
            status = sample(o, &m->probe[i], m->samples);
    return status;
}

static dist_status fit(dist_context *context, measurement *m, step_result *r, step_line *across)
{
    probe *const p = m->probe;
    const int n = m->sizes;
    double bytes[STEP_SIZES], seconds[STEP_SIZES], sent[STEP_SIZES];
    for (int i = 0; i < n; i++) {
        bytes[i] = p[i].bytes;
        sent[i] = p[i].across;
        const dist_status status = step_median(context, p[i].time, m->samples, &seconds[i]);
        if (status < 0)
            return status;
    }
    /* where the link waited for those that came together, they tell nothing of it */
    const bool waited =
        n > 2 && p[0].buckets > 1 && seconds[0] < 1.1 * ((double)(p[0].buckets - 1) * p[0].pace + seconds[1]);
    r->average = step_line_through(&bytes[waited], &seconds[waited], n - waited);
    r->residual = step_residual(&r->average, &bytes[waited], &seconds[waited], n - waited);
    const dist_status status = dist_reduce_scalars(context, sent, (size_t)n, DIST_SUM);
    *across = step_line_through(bytes, sent, n);
    return status;
}

/* ---- on paper ---- */

/* Seconds of backward, of one round, that tensor i takes. */
static double backward_of(const step_options *o, const dist_parameter *tensor)
{
    return o->compute / o->accumulate * 2 / 3 * (double)tensor->count / o->params;
}

static double forward_of(const step_options *o)
{
    return o->compute / o->accumulate / 3;
}

static void draw_compute(step_timeline *t, int lane, const step_options *o, double end)
{
    const double round = o->compute / o->accumulate;
    for (int i = 0; i < o->accumulate; i++) {
        step_span(t, lane, i * round, i * round + round / 3, STEP_COMPUTES, "forward");
        step_span(t, lane, i * round + round / 3, (i + 1) * round, STEP_COMPUTES, "backward");
    }
    step_span(t, lane, o->compute, end, STEP_WAITS, "wait");
}

/* Buckets leave in the order in which they are ready, one at a time at the slope of the line; its start is latency, which
 * passes while the next one is on its way, so the last one alone pays it. */
static dist_status predict(dist_data_parallel *dp, const step_options *o, const dist_parameter *tensor,
                           const step_line *across, step_result *r)
{
    size_t next = (size_t)step_tensors(o, 1);
    double ready = o->compute - o->compute / o->accumulate * 2 / 3, free = 0;
    r->predicted = (step_figures){0, 0};
    for (size_t b = 0; b < r->buckets; b++) {
        dist_bucket_info info;
        const dist_status status = dist_data_parallel_bucket_get(dp, b, &info);
        if (status < 0)
            return status;
        while (next > info.first)
            ready += backward_of(o, &tensor[--next]);
        free = fmax(ready, free) + r->average.slope * (double)info.bytes;
        r->predicted.step = fmax(ready, free + r->average.start);
        step_span(r->timeline, STEP_PREDICTED_AVERAGES,
                  fmin(fmax(ready, free - r->average.slope * (double)info.bytes), r->predicted.step),
                  r->predicted.step, STEP_COMMUNICATES, "bucket %zu", b);
        r->predicted.across += step_line_at(across, (double)info.bytes);
    }
    r->predicted.step = fmax(r->predicted.step, o->compute);
    draw_compute(r->timeline, STEP_PREDICTED, o, r->predicted.step);
    return DIST_OK;
}

/* ---- the real thing ---- */

static dist_status run_step(dist_data_parallel *dp, const step_options *o, const dist_parameter *tensor,
                            measurement *m, double *seconds)
{
    int64_t debt = 0;
    const int64_t began = perf_now();
    dist_status status = DIST_OK;
    for (int round = 0; round < o->accumulate && status == DIST_OK; round++) {
        perf_wait(&debt, forward_of(o));
        for (size_t i = (size_t)step_tensors(o, 1); i-- > 0 && status == DIST_OK;) {
            perf_wait(&debt, backward_of(o, &tensor[i]));
            status = dist_data_parallel_ready(dp, i, NULL);
        }
        if (status == DIST_OK)
            status = dist_data_parallel_wait(dp, NULL);
    }
    *seconds = m->took = (double)(perf_now() - began) * 1e-9;
    m->began = (double)began * 1e-9;
    return status;
}

/* Steps of a round, after one, or the warm-up, that does not count. */
static dist_status replay_round(dist_data_parallel *dp, const step_options *o, const dist_parameter *tensor,
                                int round, measurement *m, double *time)
{
    double unseen;
    const int first = round ? step_steps_until(o, round - 1) : 0, end = step_steps_until(o, round);
    dist_status status = DIST_OK;
    for (int s = 0; s < (round || o->warmup == 0 ? 1 : o->warmup) && status == DIST_OK; s++)
        status = run_step(dp, o, tensor, m, &unseen);
    for (int s = first; s < end && status == DIST_OK; s++)
        status = run_step(dp, o, tensor, m, &time[s]);
    return status;
}

/* The last step. That waits take as long as they should is known: what is late is what is waited for. */
static void draw(dist_data_parallel *dp, const step_options *o, const measurement *m, step_result *r)
{
    for (size_t b = 0; b < r->buckets && r->timeline; b++) {
        dist_bucket_info info;
        if (dist_data_parallel_bucket_get(dp, b, &info) == DIST_OK)
            step_span(r->timeline, STEP_REPLAYED_AVERAGES, info.began - m->began, info.ended - m->began,
                      STEP_COMMUNICATES, "bucket %zu", b);
    }
    draw_compute(r->timeline, STEP_REPLAYED, o, m->took);
}

static dist_status take_figures(dist_context *context, dist_data_parallel *dp, const step_options *o,
                                double *time, step_figures *figures)
{
    dist_data_parallel_stats stats;
    dist_status status = dist_data_parallel_stats_get(dp, &stats);
    if (status == DIST_OK)
        status = step_median(context, time, o->steps, &figures->step);
    if (status < 0)
        return status;
    figures->across = (double)stats.bytes_across;
    return dist_reduce_scalars(context, &figures->across, 1, DIST_SUM);
}

static dist_status find_buckets(dist_data_parallel *dp, step_result *r)
{
    dist_data_parallel_stats stats;
    dist_status status = dist_data_parallel_stats_get(dp, &stats);
    r->buckets = status == DIST_OK ? stats.buckets : 0;
    for (size_t b = 0; b < r->buckets && status == DIST_OK; b++) {
        dist_bucket_info info;
        status = dist_data_parallel_bucket_get(dp, b, &info);
        r->largest = status == DIST_OK && info.bytes > r->largest ? info.bytes : r->largest;
    }
    return status;
}

static dist_status run_rounds(dist_context *context, dist_data_parallel *dp, const step_options *o,
                              const dist_parameter *tensor, measurement *m, double *time)
{
    dist_status status = warm_up(context, o, m);
    for (int round = 0; round < STEP_ROUNDS && status == DIST_OK; round++) {
        status = sample_round(o, m);
        if (status == DIST_OK)
            status = replay_round(dp, o, tensor, round, m, time);
    }
    return status;
}

static dist_status run(dist_context *context, dist_data_parallel *dp, const step_options *o,
                       const dist_parameter *tensor, step_result *r)
{
    measurement m = {0};
    step_line across = {0, 0};
    double *time = calloc((size_t)o->steps, sizeof *time);
    dist_status status = time ? find_buckets(dp, r) : DIST_ERR_MEMORY;
    if (status == DIST_OK)
        status = open_probes(context, o, r, &m);
    if (status == DIST_OK)
        status = run_rounds(context, dp, o, tensor, &m, time);
    if (status == DIST_OK)
        status = fit(context, &m, r, &across);
    if (status == DIST_OK)
        status = predict(dp, o, tensor, &across, r);
    if (status == DIST_OK)
        status = take_figures(context, dp, o, time, &r->replayed);
    if (status == DIST_OK)
        draw(dp, o, &m, r);
    free(time);
    return close_probes(m.probe, status);
}

dist_status step_data_parallel(dist_context *context, const step_options *o, step_result *r)
{
    const size_t n = (size_t)step_tensors(o, 1);
    const dist_data_parallel_options options = step_averages(o);
    dist_data_parallel *dp = NULL;
    dist_parameter *tensor = calloc(n, sizeof *tensor);
    if (!tensor)
        return DIST_ERR_MEMORY;
    step_tensors_fill(o, 0, 1, tensor);
    dist_status status = dist_data_parallel_create(context, tensor, n, &options, &dp);
    for (size_t i = 0; i < n && status == DIST_OK; i++)
        step_gradient_fill(context, dist_data_parallel_gradient(dp, i),
                           tensor[i].count * dist_type_bytes(o->type), o->type);
    if (status == DIST_OK)
        status = run(context, dp, o, tensor, r);
    const dist_status ended = dist_data_parallel_destroy(dp);
    free(tensor);
    return status < 0 ? status : ended;
}
