/* Predicts the run of plans on a described cluster: a discrete-event simulation of all ranks' plans together.
 *
 * The model: a rank runs its CALLs one at a time on its compute resource and its other local ops one at a time on
 * its engine; an op starts when the ops it waits for are done and its resource is free, in the order in which it
 * became ready. A message starts when its SEND and its RECV are both started (rendezvous) and its link is free; it
 * occupies the link for bytes / bandwidth, the SEND is done then, and the RECV is done one latency later. Messages
 * share a link in the order in which they became able to start. Of ops that became ready at the same time the one
 * of the lower number goes first, then the one of the lower rank (a message counts as its SEND), so that the same
 * plans give the same times to the last bit.
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
    /* The link, 0 to links - 1, that a message from rank `from` to rank `to` occupies, and the latency it has (often
     * link[l].latency). Asked several times for a message: the answer must not change. */
    int (*route)(const void *user, int from, int to, double *latency);
    const void *user;
    /* bytes/s of the local ops: COPY; REDUCE and DIVIDE (of op->dst); ENCODE, DECODE, PROJECT and EXPAND (of their
     * values, those of each frame for a DECODE of several). 0: they take no time */
    double copy_rate, reduce_rate, codec_rate;
} dist_cluster;

/* Links of a topology: link r is the egress of rank r inside its site (`inside`), link ranks + s * sites + t is
 * that from site s to site t (topology->link where measured, else `across`). The cluster refers to the topology.
 * The rates of local ops are 0, and may be set, as may the links. */
dist_status dist_cluster_create(dist_cluster **cluster, const dist_topology *topology,
                                dist_cluster_link inside, dist_cluster_link across);
/* A line of ranks, rank j to j + 1 by an edge of latency[j] (and the sum of those between for ranks further apart),
 * each directed pair of neighbours a link of its own of `bandwidth`: link 2j is j -> j + 1, link 2j + 1 is back. A
 * message that goes further occupies the first link of its way. */
dist_status dist_cluster_line(dist_cluster **cluster, int ranks, const double *latency, double bandwidth);
void dist_cluster_destroy(dist_cluster *cluster);

typedef struct dist_predicted_rank {
    double begin, end; /* of its first and last op (CALLs only, where it has any); 0 without ops */
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
    /* [ranks][ops], when asked for; else NULL. A SEND, RECV or NATIVE starts when its message starts on the link. */
    double **start, **end;
} dist_prediction;

/* `keep_times`: fill start and end. DIST_ERR_PLAN when the plans deadlock, naming for the first rank that is stuck
 * the op and whom it waits for, or when a message or collective meets none (sizes are the verifier's concern: a
 * message has that of its SEND); DIST_ERR_ARGUMENT when the cluster is not of these ranks or has a negative or
 * infinite latency; DIST_ERR_MEMORY. `prediction` is overwritten, and holds nothing after an error. A thousand
 * ranks with 7,000 ops each take a few seconds and, besides the plans, 20 bytes an op (36 with times). NATIVE ops of
 * all ranks are one synchronisation of theirs by one message on the slowest link (the least bandwidth, then the
 * largest latency): of 2 * bytes for an all-reduce, of the bytes of the larger side for the others. Those of a team of n keep
 * only its members; each link from one member to the next, and from the last to the first, has (n - 1) / n of such bytes, and
 * they take the time, and occupy the link, of the slowest of these. Teams that do not agree, and collectives that differ
 * from those they meet, are DIST_ERR_PLAN, too. */
dist_status dist_predict(const dist_plan *const *plan, const dist_cluster *cluster, bool keep_times,
                         dist_prediction *prediction);
void dist_prediction_end(dist_prediction *prediction, int ranks);

#endif
