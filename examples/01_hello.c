/* Who and where: the smallest program with libdist.
 *
 *     mpirun -n 2 -x DIST_SITE=east 01_hello : -n 2 -x DIST_SITE=west 01_hello
 */
#include <libdist/dist.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(dist_context *context)
{
    fprintf(stderr, "%s\n", dist_last_error());
    dist_finalize(context);
    return EXIT_FAILURE;
}

int main(void)
{
    dist_context *context;
    if (dist_init(&context, NULL) < 0)
        return fail(NULL);
    printf("rank %d of %d, site %s\n", dist_rank(context), dist_ranks(context),
           dist_site_name(context, dist_site(context)));

    /* What the way between each two sites is good for. All ranks measure; one prints. */
    if (dist_links_measure(context) < 0)
        return fail(context);
    const int sites = dist_rank(context) == 0 ? dist_sites(context) : 0;
    for (int from = 0; from < sites; from++)
        for (int to = 0; to < sites; to++) {
            dist_link link;
            if (from != to && dist_link_get(context, from, to, &link) == DIST_OK)
                printf("from %s to %s: %.3f ms, %.1f MB/s\n", dist_site_name(context, from),
                       dist_site_name(context, to), link.latency * 1e3, link.bandwidth * 1e-6);
        }
    return dist_finalize(context) < 0 ? fail(NULL) : EXIT_SUCCESS;
}
