/* A program of somebody who installed libdist. */
#include <stdio.h>
#include <string.h>

#include <libdist/dist.h>

int main(void)
{
    if (strcmp(dist_version(), EXPECTED_VERSION) != 0) {
        fprintf(stderr, "the library is %s, its package %s\n", dist_version(), EXPECTED_VERSION);
        return 1;
    }
    dist_context *context;
    if (dist_init(&context, NULL) < 0) {
        fprintf(stderr, "%s\n", dist_last_error());
        return 1;
    }
    double ranks = 1;
    dist_status status = dist_reduce_scalars(context, &ranks, 1, DIST_SUM);
    if (status < 0)
        fprintf(stderr, "%s\n", dist_last_error());
    printf("rank %d of %g\n", dist_rank(context), ranks);
    return status < 0 || ranks != dist_ranks(context) || dist_finalize(context) < 0;
}
