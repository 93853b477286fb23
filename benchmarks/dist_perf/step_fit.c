/* What the links do, from a few measurements. */
#include <math.h>

#include "step.h"

#define LONG     4.0 /* seconds: of the sizes one after the other */
#define SMALLEST 4096

double step_line_at(const step_line *line, double bytes)
{
    return line->start + line->slope * bytes;
}

double step_residual(const step_line *line, const double *x, const double *y, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        const double fitted = step_line_at(line, x[i]);
        most = fmax(most, fitted > 0 ? fabs(y[i] / fitted - 1) : 0);
    }
    return most;
}

/* Least squares of the relative deviation, so that small sizes count too. The slope is not negative. The start may be: what
 * limits a link often lets a burst pass after a rest, of more bytes than it carries in the time of its latency. */
step_line step_line_through(const double *x, const double *y, int n)
{
    double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
    for (int i = 0; i < n; i++) {
        const double weight = y[i] > 0 ? 1 / (y[i] * y[i]) : 0;
        w += weight;
        wx += weight * x[i];
        wy += weight * y[i];
        wxx += weight * x[i] * x[i];
        wxy += weight * x[i] * y[i];
    }
    const double spread = w * wxx - wx * wx;
    if (!(w > 0))
        return (step_line){0, 0};
    if (!(spread > 1e-9 * w * wxx)) /* one size: all of it is bandwidth */
        return (step_line){wxx > 0 ? 0 : wy / w, wxx > 0 ? wxy / wxx : 0};
    step_line line = {(wxx * wy - wx * wxy) / spread, (w * wxy - wx * wy) / spread};
    return line.slope < 0 ? (step_line){wy / w, 0} : line;
}

int step_sizes(size_t largest, size_t element, size_t *size)
{
    int n = 0;
    for (int i = 0; i < STEP_SIZES; i++) {
        const size_t bytes = (largest >> i) / element * element;
        if (i == 0 || (bytes >= SMALLEST && bytes < size[n - 1]))
            size[n++] = bytes ? bytes : element;
    }
    return n;
}

dist_status step_samples(dist_context *context, double passed, int *samples)
{
    const dist_status status = dist_reduce_scalars(context, &passed, 1, DIST_MAX);
    *samples = passed < LONG ? STEP_SAMPLES / STEP_ROUNDS : 1;
    return status;
}

int step_steps_until(const step_options *o, int round)
{
    return (int)((long long)o->steps * (round + 1) / STEP_ROUNDS);
}

dist_status step_median(dist_context *context, double *value, int samples, double *median)
{
    const dist_status status = dist_reduce_scalars(context, value, (size_t)samples, DIST_AVERAGE);
    *median = perf_median(value, samples);
    return status;
}
