/* Predicts the run of plans on a described cluster: a discrete-event simulation of all ranks' plans together.
 *
 * The model: a rank runs its CALLs one at a time on its compute resource and its other local ops one at a time on its engine;
 * an op starts when the ops it waits for are done and its resource is free, in the order in which it became ready. A message
 * starts when its SEND and its RECV are both started (rendezvous) and its link is free; it occupies the link for
 * bytes / bandwidth, the SEND is done then, and the RECV is done one latency later. Messages share a link in the order in
 * which they became able to start.
 */
#ifndef DIST_PLAN_PREDICT_H
#define DIST_PLAN_PREDICT_H

#include "plan/plan.h"
#include "topology/topology.h"

typedef struct dist_cluster_link {
    double latency;   /* seconds, one way */
    double bandwidth; /* bytes/s; 0: infinite */
} dist_cluster_link;

typedef struct dist_cluster {
    int ranks;
    int links;
    dist_cluster_link *link; /* [links]; each is one direction */
    /* The link that a message from rank `from` to rank `to` occupies, and the latency it has (often link[l].latency). */
    int (*route)(const void *user, int from, int to, double *latency);
    const void *user;
    /* bytes/s of the local ops (of op->dst, or of the values of ENCODE and DECODE); 0: they take no time */
    double copy_rate, reduce_rate, codec_rate;
} dist_cluster;

/* Links of a topology: link r is the egress of rank r inside its site (`inside`), link ranks + s * sites + t is that from site
 * s to site t (topology->link where measured, else `across`). The cluster refers to the topology. */
dist_status dist_cluster_create(dist_cluster **cluster, const dist_topology *topology,
                                dist_cluster_link inside, dist_cluster_link across);
/* A line of ranks, rank j to j + 1 by an edge of latency[j] (and the sum of those between for ranks further apart), each
 * directed pair of neighbours a link of its own of `bandwidth`: link 2j is j -> j + 1, link 2j + 1 is back. */
dist_status dist_cluster_line(dist_cluster **cluster, int ranks, const double *latency, double bandwidth);
void dist_cluster_destroy(dist_cluster *cluster);

typedef struct dist_predicted_rank {
    double begin, end; /* of its first and last op (CALLs only, where it has any) */
    double busy;       /* in CALLs; where it has none, in other local ops */
    double bubble;     /* makespan - busy */
    uint64_t peak;     /* bytes: scratch and state of the plan, and the most that CALLs held at once */
} dist_predicted_rank;

typedef struct dist_predicted_link {
    uint64_t bytes, messages;
    double busy;
} dist_predicted_link;

typedef struct dist_prediction {
    double makespan;           /* of all ops of all ranks, from 0 */
    double span;               /* longest end - begin of one rank */
    dist_predicted_rank *rank; /* [ranks] */
    dist_predicted_link *link; /* [cluster->links] */
    double **start, **end;     /* [ranks][ops], when asked for; else NULL */
} dist_prediction;

/* `keep_times`: fill start and end. DIST_ERR_PLAN when the plans deadlock, naming for the first rank that is stuck the op and
 * whom it waits for; DIST_ERR_MEMORY. A thousand ranks with 6,000 ops each take seconds and less than 2 GB. NATIVE ops take part
 * as one synchronisation of all ranks that moves 2 * bytes by the slowest link. */
dist_status dist_predict(const dist_plan *const *plan, const dist_cluster *cluster, bool keep_times,
                         dist_prediction *prediction);
void dist_prediction_end(dist_prediction *prediction, int ranks);

#endif
