/* Which rank is where in a data x pipeline mesh. */
#ifndef DIST_PARALLEL_MESH_H
#define DIST_PARALLEL_MESH_H

#include <stdbool.h>

#include <libdist/status.h>

typedef struct dist_mesh {
    int positions; /* ranks of one pipeline */
    int replicas;  /* pipelines */
    bool chosen;   /* the text names both axes, so that their order is given */
    bool outer;    /* positions are the outer axis: neighbours in a pipeline are `replicas` ranks apart */
} dist_mesh;

/* "pp:4,dp:2", "dp:2,pp:4", "pp:4" (with `ranks` / 4 replicas) or NULL (one pipeline over all). DIST_ERR_ARGUMENT with a
 * sentence when it is neither or does not make `ranks` ranks. */
dist_status dist_mesh_parse(const char *text, int ranks, dist_mesh *mesh);

static inline int dist_mesh_rank(const dist_mesh *mesh, int position, int replica)
{
    return mesh->outer ? position * mesh->replicas + replica : replica * mesh->positions + position;
}

static inline int dist_mesh_position(const dist_mesh *mesh, int rank)
{
    return mesh->outer ? rank / mesh->replicas : rank % mesh->positions;
}

static inline int dist_mesh_replica(const dist_mesh *mesh, int rank)
{
    return mesh->outer ? rank % mesh->replicas : rank / mesh->positions;
}

#endif
