/* Collectives: all ranks of a context take part, in the same order, with host memory or all with device memory (memory.h).
 *
 *     double loss = ...;
 *     dist_reduce_scalars(context, &loss, 1, DIST_AVERAGE);
 *
 *     dist_all_reduce(context, DIST_IN_PLACE, gradient, count, DIST_FLOAT32, DIST_SUM, NULL);
 *
 * Each collective is a plan (plan.h), built and checked against the other ranks when it is first called with
 * its arguments and reused afterwards: a second call with the same arguments and addresses allocates nothing.
 * All calls are collective. Results are bit-identical on all ranks and from run to run on the same topology:
 * sums run in a fixed order.
 *
 * Errors of all calls: DIST_ERR_ARGUMENT (NULL buffer, unknown type, operation, root, algorithm or codec),
 * DIST_ERR_MISMATCH (another rank called something else: the sentence names it), DIST_ERR_TIMEOUT (a rank did
 * not come within dist_context_options.timeout), DIST_ERR_STATE (the context failed earlier),
 * DIST_ERR_MEMORY, DIST_ERR_MPI.
 */
#ifndef LIBDIST_COLLECTIVE_H
#define LIBDIST_COLLECTIVE_H

#include <libdist/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dist_type {
    DIST_FLOAT32,
    DIST_FLOAT16,
    DIST_BFLOAT16,
    DIST_FLOAT64,
    DIST_INT32,
    DIST_INT64,
    DIST_TYPES /* how many there are */
} dist_type;

/* float16 and bfloat16 are added in float32 and rounded after each addition. DIST_AVERAGE is the sum divided
 * by the number of ranks; integers are truncated towards zero. A NaN in any input gives NaN, for DIST_MIN and
 * DIST_MAX too. */
typedef enum dist_reduction {
    DIST_SUM,
    DIST_AVERAGE,
    DIST_MIN,
    DIST_MAX,
    DIST_REDUCTIONS /* how many there are */
} dist_reduction;

/* As the send buffer: the input is where the output will be. */
#define DIST_IN_PLACE ((const void *)-1)

/* How to do one collective. A field left at NULL is taken from the context's options. */
typedef struct dist_collective_options {
    size_t size;      /* set by the initializer */
    int version;      /* set by the initializer */
    const char *algo; /* auto, mpi, ring, halving, doubling, hier; hier:shots=1 or hier:shots=2 fixes how
                          sites exchange */
    const char *
        codec; /* between sites, hier only, floats of 16 and 32 bits; default none. Without error feedback: see
                          data_parallel.h */
    void *
        stream; /* a cudaStream_t, for device memory: the collective begins after what is queued there when it is called or
                     posted; NULL is the default stream. It must be NULL for host memory */
} dist_collective_options;

#define DIST_COLLECTIVE_OPTIONS_VERSION 1
#define DIST_COLLECTIVE_OPTIONS_INIT                                                                         \
    {                                                                                                        \
        .size = sizeof(dist_collective_options), .version = DIST_COLLECTIVE_OPTIONS_VERSION                  \
    }

/* Bytes of one element; 0 for an unknown type. Names: "float32", "sum", ...; "unknown" otherwise. */
DIST_API size_t dist_type_bytes(dist_type type);
DIST_API const char *dist_type_name(dist_type type);
DIST_API const char *dist_reduction_name(dist_reduction reduction);

/* ---- Blocking: return when the result is in place on this rank ----
 *
 * With device memory too: the host waits, and no stream has to. send and receive are on one device. Inside a site NCCL moves the
 * data where every rank has a device of its own (algorithms hier and auto); everywhere else it goes through pinned host
 * memory, or straight to an MPI that says that it takes device memory (DIST_CUDA_AWARE). */

/* receive[i] = reduction over all ranks of send[i], i < count. send may be DIST_IN_PLACE; else the two must
 * not overlap. */
DIST_API dist_status dist_all_reduce(dist_context *context, const void *send, void *receive, size_t count,
                                     dist_type type, dist_reduction reduction,
                                     const dist_collective_options *options);

/* Rank r gets the reduction of the elements [r*count, (r+1)*count) of every rank's send, which has
 * ranks*count elements. DIST_IN_PLACE: the input is `receive - rank*count elements`, that is: receive points
 * at this rank's part of the input. */
DIST_API dist_status dist_reduce_scatter(dist_context *context, const void *send, void *receive, size_t count,
                                         dist_type type, dist_reduction reduction,
                                         const dist_collective_options *options);

/* receive (ranks*count elements) gets rank r's send (count elements) at r*count. DIST_IN_PLACE: this rank's
 * part of receive. */
DIST_API dist_status dist_all_gather(dist_context *context, const void *send, void *receive, size_t count,
                                     dist_type type, const dist_collective_options *options);

/* Every rank's buffer gets that of `root`. */
DIST_API dist_status dist_broadcast(dist_context *context, void *buffer, size_t count, dist_type type,
                                    int root, const dist_collective_options *options);

/* Block r of receive gets this rank's block of rank r's send: both have ranks*count elements, in blocks of count. DIST_IN_PLACE: the
 * blocks of receive are exchanged. */
DIST_API dist_status dist_all_to_all(dist_context *context, const void *send, void *receive, size_t count,
                                     dist_type type, const dist_collective_options *options);

/* Sends `count` elements to rank `to` and receives as many from rank `from`, both at once; -1: nobody, whose buffer may be NULL. A rank
 * may send to itself. Every rank calls it, one with nobody on both sides too, with the same count and type; whoever this rank sends to
 * receives from it. send and receive must not overlap, nor be DIST_IN_PLACE. options.algo is not looked at.
 *
 * Ranks compare whom they send to and receive from at the first call with a count and type: pairs that do not match are
 * DIST_ERR_MISMATCH. Later calls may have other partners, which no rank asks the others about, so that only the partners have to
 * be fast: one that does not come is DIST_ERR_TIMEOUT. The first use of device memory in a context needs all ranks to have some. */
DIST_API dist_status dist_send_recv(dist_context *context, const void *send, int to, void *receive, int from,
                                    size_t count, dist_type type, const dist_collective_options *options);

/* A few numbers (losses, counts, flags) reduced over all ranks, in place; exact order, latency first. */
DIST_API dist_status dist_reduce_scalars(dist_context *context, double *values, size_t count,
                                         dist_reduction reduction);

/* Returns when every rank has called it. */
DIST_API dist_status dist_barrier(dist_context *context);

/* ---- Requests: post once, start many times ---- */

typedef struct dist_request dist_request;

/* Prepares a collective on these buffers without starting it; collective; blocking (ranks compare what they
 * prepare). The buffers must live until dist_request_destroy. Start it as often as needed; a start allocates
 * nothing. */
DIST_API dist_status dist_all_reduce_init(dist_context *context, const void *send, void *receive,
                                          size_t count, dist_type type, dist_reduction reduction,
                                          const dist_collective_options *options, dist_request **request);
DIST_API dist_status dist_reduce_scatter_init(dist_context *context, const void *send, void *receive,
                                              size_t count, dist_type type, dist_reduction reduction,
                                              const dist_collective_options *options, dist_request **request);
DIST_API dist_status dist_all_gather_init(dist_context *context, const void *send, void *receive,
                                          size_t count, dist_type type,
                                          const dist_collective_options *options, dist_request **request);
DIST_API dist_status dist_broadcast_init(dist_context *context, void *buffer, size_t count, dist_type type,
                                         int root, const dist_collective_options *options,
                                         dist_request **request);
DIST_API dist_status dist_all_to_all_init(dist_context *context, const void *send, void *receive,
                                          size_t count, dist_type type,
                                          const dist_collective_options *options, dist_request **request);
/* Ranks compare their partners each time. */
DIST_API dist_status dist_send_recv_init(dist_context *context, const void *send, int to, void *receive,
                                         int from, size_t count, dist_type type,
                                         const dist_collective_options *options, dist_request **request);

/* Starts the collective; returns at once. The buffers belong to the library until it is done. DIST_ERR_STATE
 * when it is already running. Ranks may start several requests in different orders. */
DIST_API dist_status dist_request_post(dist_request *request);

/* DIST_OK when done (or never started), DIST_IN_PROGRESS when not; makes progress where there is no progress
 * thread. */
DIST_API dist_status dist_request_test(dist_request *request);

/* Waits until it is done, at most `timeout` seconds (0: the context's). DIST_ERR_TIMEOUT names the op that
 * waits, and for whom; after the context's own timeout the context has failed, after a shorter one the
 * request goes on and may be waited for again. */
DIST_API dist_status dist_request_wait(dist_request *request, double timeout);

/* Frees a request; one in flight is waited for first, up to the context's timeout. NULL is legal. Not
 * collective. */
DIST_API dist_status dist_request_destroy(dist_request *request);

#ifdef __cplusplus
}
#endif
#endif
