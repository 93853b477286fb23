/* The tensors of a model that is known by its size alone. */
#include <stdlib.h>

#include "step.h"

#define SMALL 1024.0 /* elements of a norm or a bias */

static double of_stage(const step_options *o, int stage, int stages)
{
    double sizes[2];
    for (int i = 0; i < 2; i++) {
        const double share = o->params / stages * (stage + i);
        sizes[i] = stage + i == stages ? o->params : (double)(uint64_t)share;
    }
    return sizes[1] - sizes[0];
}

int step_tensors(const step_options *o, int stages)
{
    const double fewest = (double)(uint64_t)(o->params / stages);
    const int wanted = o->tensors > stages ? o->tensors / stages : 1;
    return wanted < fewest || fewest < 1 ? wanted : (int)fewest;
}

/* All alike, but for the first and the last, which are small, and the one before, which has the rest. */
void step_tensors_fill(const step_options *o, int stage, int stages, dist_parameter *parameter)
{
    const int n = step_tensors(o, stages);
    const double all = of_stage(o, stage, stages);
    const bool ends = n >= 4;
    double small = ends ? all / n / 4 : 0;
    small = small < SMALL ? (double)(uint64_t)small : SMALL;
    const int large = ends ? n - 2 : n;
    const double each = (double)(uint64_t)((all - (ends ? 2 * small : 0)) / large);
    double left = all;
    for (int i = 0; i < n; i++) {
        double count = ends && (i == 0 || i == n - 1) ? small : each;
        if (i == (ends ? n - 2 : n - 1))
            count = left - (ends ? small : 0);
        left -= count;
        parameter[i] = (dist_parameter){.name = "tensor", .count = (size_t)count, .type = o->type};
    }
}

dist_data_parallel_options step_averages(const step_options *o)
{
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    options.algo = o->algo;
    options.codec = o->codec;
    options.bucket_bytes = o->bucket;
    return options;
}

void step_gradient_fill(const dist_context *context, void *gradient, size_t bytes, dist_type type)
{
    if (gradient)
        perf_fill(gradient, type, bytes / dist_type_bytes(type), dist_rank(context), dist_ranks(context));
}
