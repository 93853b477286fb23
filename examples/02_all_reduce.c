/* Sums over all ranks: once, and again and again while the program does something else.
 *
 *     mpirun -n 4 02_all_reduce
 */
#include <libdist/dist.h>

#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 1000, ROUNDS = 3 };

static int fail(dist_context *context)
{
    fprintf(stderr, "%s\n", dist_last_error());
    dist_finalize(context);
    return EXIT_FAILURE;
}

/* Every rank gives its number plus one, so the sum over n ranks is n * (n + 1) / 2. */
static void fill(dist_context *context, float *values)
{
    for (int i = 0; i < COUNT; i++)
        values[i] = (float)(dist_rank(context) + 1);
}

static dist_status once(dist_context *context, float *values)
{
    fill(context, values);
    return dist_all_reduce(context, DIST_IN_PLACE, values, COUNT, DIST_FLOAT32, DIST_SUM, NULL);
}

/* A request is prepared once; each start allocates nothing and returns at once. */
static dist_status repeatedly(dist_context *context, float *values)
{
    dist_request *request;
    dist_status status =
        dist_all_reduce_init(context, DIST_IN_PLACE, values, COUNT, DIST_FLOAT32, DIST_SUM, NULL, &request);
    if (status < 0)
        return status;
    for (int round = 0; round < ROUNDS && status >= 0; round++) {
        fill(context, values);
        status = dist_request_post(request);
        /* ... something useful that leaves `values` alone ... */
        if (status >= 0)
            status = dist_request_wait(request, 0);
    }
    dist_request_destroy(request);
    return status;
}

static int check(dist_context *context, const char *how, const float *values)
{
    const int ranks = dist_ranks(context);
    const float expected = (float)(ranks * (ranks + 1) / 2);
    for (int i = 0; i < COUNT; i++)
        if (values[i] < expected || values[i] > expected) {
            fprintf(stderr, "%s: element %d is %g, not %g\n", how, i, (double)values[i], (double)expected);
            return EXIT_FAILURE;
        }
    if (dist_rank(context) == 0)
        printf("%s: every element is %g on every rank\n", how, (double)expected);
    return EXIT_SUCCESS;
}

int main(void)
{
    static float values[COUNT];
    dist_context *context;
    if (dist_init(&context, NULL) < 0)
        return fail(NULL);
    if (once(context, values) < 0)
        return fail(context);
    int code = check(context, "once", values);
    if (repeatedly(context, values) < 0)
        return fail(context);
    code |= check(context, "repeatedly", values);
    return dist_finalize(context) < 0 ? fail(NULL) : code;
}
