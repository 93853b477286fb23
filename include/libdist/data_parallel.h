/* Data parallel: average gradients over all ranks while backward goes on.
 *
 *     dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
 *     options.codec = "int8";                                    // between sites only
 *     dist_data_parallel_create(context, parameters, n, &options, &dp);
 *     for (step = 0; step < steps; step++) {
 *         forward(...);
 *         for (i = n; i-- > 0;) {
 *             backward(i);                                       // writes the gradient of parameter i
 *             dist_data_parallel_ready(dp, i, NULL);             // any order
 *         }
 *         dist_data_parallel_wait(dp, NULL);                     // all gradients now hold the average
 *         optimizer(...);
 *     }
 *     dist_data_parallel_destroy(dp);
 *
 * Gradients are grouped into buckets in reverse order of registration. A bucket's all-reduce starts when the
 * last of its gradients is ready and runs on the progress thread; cross-site bytes go through the codec with
 * error feedback. After wait the averages are bit-identical on all ranks. A step allocates nothing.
 *
 * Gradients in CUDA device memory stay there, except for encoded bytes between sites (and for what ranks that share a device, or
 * have no NCCL, exchange). The program passes its streams:
 *
 *     dist_data_parallel_ready(dp, i, stream);   // after the kernels that write gradient i were queued on it: returns at once
 *     dist_data_parallel_wait(dp, stream);       // what is queued on it from now on sees the averages: returns at once
 *
 * Any number of streams will do, up to 8 for the gradients of one bucket. The host may run ahead of the device by one step: the first
 * ready of a bucket waits for its average of the step before. What the device knows of only later, a lost peer, say, is the
 * status of the next call; streams that wait go on then, with gradients that mean nothing. Where the device cannot wait
 * for a word in memory, with DIST_CUDA_WAIT=host and without a progress thread, wait returns only when the averages are there.
 *
 * CUDA knows nothing of what a stream waits for in that way: a call of the program's that waits for the whole device holds the
 * averages up if libdist needs the driver meanwhile. The loading of kernels at their first launch can be such a call: warm up
 * before training, set CUDA_MODULE_LOADING=EAGER, or set DIST_CUDA_WAIT=host. libdist loads its own when plans are made.
 *
 * CUDA graphs: forward, backward and optimizer may be captured and launched as graphs, with ready called for each gradient after
 * the launch of the graph that writes it, and wait before the launch of the one that reads it; several graphs for
 * backward overlap as its kernels would. ready and wait themselves cannot be captured (DIST_ERR_STATE): what they start
 * depends on messages, of which a graph knows nothing.
 */
#ifndef LIBDIST_DATA_PARALLEL_H
#define LIBDIST_DATA_PARALLEL_H

#include <libdist/collective.h>
#include <libdist/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_data_parallel dist_data_parallel;

/* Codec powersgd[:rank=R][:dense=S] (PowerSGD: Vogels, Karimireddy and Jaggi 2019, arXiv:1905.13727) sends a
 * matrix as a product of two of rank R (4) with error feedback, which loses least where gradients are close to
 * low rank, as those of linear layers are. The first S (10) steps are as with codec none. From then on a step
 * sends one factor of each matrix, that of its rows in one step and that of its columns in the next, and every
 * rank multiplies the sum by the other one, which all have. It needs to know the shapes: dist_parameter.rows.
 *
 *     compressed  float32 parameters of n rows and m columns with (n + m) R 2 < n m. All others travel
 *                 uncompressed in the same vector. On one site nothing is compressed
 *     bytes       R max(n, m) float32 instead of n m, summed over all ranks by an uncompressed all-reduce:
 *                 192 times less for n = 768, m = 3072, R = 4
 *     memory      n m + R max(n, m) more float32 on every rank
 *     time        6 n m R float32 operations on every rank, in three passes over the matrix
 *     NaN         a NaN or an infinity on one rank makes all of that matrix NaN on every rank, in that step */

/* One parameter tensor, in the order in which forward uses them. */
typedef struct dist_parameter {
    const char *name; /* for messages; may be NULL */
    void *gradient;   /* count elements of the program's, or NULL: the library places it
                         (dist_data_parallel_gradient) */
    size_t count;     /* may be 0; the same on every rank */
    dist_type type;
    size_t rows; /* of a matrix that lies row by row, for codec powersgd; divides count. 0 or 1: a vector */
} dist_parameter;

typedef struct dist_data_parallel_options {
    size_t size;         /* set by the initializer */
    int version;         /* set by the initializer */
    const char *algo;    /* as for dist_all_reduce; NULL: the context's */
    const char *codec;   /* between sites; NULL: the context's; float64 and integers go uncompressed */
    size_t bucket_bytes; /* 0: DIST_BUCKET or 25 MiB, at most an eighth of all gradients */
    size_t
        first_bucket_bytes; /* 0: 1 MiB, at most bucket_bytes: the first bucket starts early, and the last ends early */
    int accumulate; /* how many times each gradient becomes ready before it is averaged; 0 or 1: each time */
    dist_reduction reduction; /* DIST_AVERAGE (the initializer's) or DIST_SUM */
    dist_memory
        memory; /* where the library places gradients: AUTO (the initializer's) is where the program's are, else host
                           memory. All gradients of a rank are in one memory, and all ranks' in the same kind */
} dist_data_parallel_options;

#define DIST_DATA_PARALLEL_OPTIONS_VERSION 1
#define DIST_DATA_PARALLEL_OPTIONS_INIT                                                                      \
    {                                                                                                        \
        .size = sizeof(dist_data_parallel_options), .version = DIST_DATA_PARALLEL_OPTIONS_VERSION,           \
        .reduction = DIST_AVERAGE                                                                            \
    }

/* Registers `n` parameters (the array is copied, the gradients are not) and builds the plans. Collective;
 * blocking. options may be NULL. DIST_ERR_MISMATCH when ranks register different counts or types. End with
 * dist_data_parallel_destroy, before dist_finalize. */
DIST_API dist_status dist_data_parallel_create(dist_context *context, const dist_parameter *parameters,
                                               size_t n, const dist_data_parallel_options *options,
                                               dist_data_parallel **out);

/* Where the gradient of parameter i is. For one registered with gradient NULL this is bucket memory: writing
 * there saves both copies. It starts zeroed; libdist never clears it. NULL when there is no such parameter.
 */
DIST_API void *dist_data_parallel_gradient(const dist_data_parallel *dp, size_t i);

/* Says that gradient i is complete; from now until wait it belongs to the library. Returns at once. Not
 * collective: ranks may call in different orders. With accumulate = k, the k-th call counts and the program
 * adds up the gradients itself before that. `stream` is the one on which the gradient is written, NULL the default
 * stream; it must be NULL for host memory. DIST_ERR_STATE when i is ready already, or the stream is being captured. */
DIST_API dist_status dist_data_parallel_ready(dist_data_parallel *dp, size_t i, void *stream);

/* Returns when every gradient holds its average. DIST_ERR_STATE, naming the first, when a gradient was not
 * made ready (then nothing is lost: make it ready and wait again). With accumulate = k it returns DIST_OK at
 * once before the k-th round. Errors of a collective otherwise. `stream` as above. */
DIST_API dist_status dist_data_parallel_wait(dist_data_parallel *dp, void *stream);

/* What the last step cost, and the sum of all. Times in seconds; bytes as sent by this rank. In device memory: the last step of
 * which all averages were there when it was looked at; codec is 0, and exposed is what the host spent in wait. */
typedef struct dist_data_parallel_stats {
    uint64_t steps;
    double exposed;        /* last step: time spent in wait */
    double communication;  /* last step: time with at least one bucket in flight */
    double codec;          /* last step: time in ENCODE and DECODE */
    uint64_t bytes_inside; /* last step: sent to ranks of this site */
    uint64_t bytes_across; /* last step: sent to ranks of other sites */
    uint64_t nonfinite;    /* last step: encoded blocks (powersgd: matrices) with a NaN or an infinity */
    double exposed_total;  /* all steps */
    double communication_total;
    double codec_total;
    uint64_t bytes_inside_total;
    uint64_t bytes_across_total;
    size_t buckets;
    size_t gradient_bytes; /* of all parameters */
} dist_data_parallel_stats;

DIST_API dist_status dist_data_parallel_stats_get(dist_data_parallel *dp, dist_data_parallel_stats *stats);

/* A bucket: the gradients of parameters first to last, which travel together. Bucket 0 has the parameter that was registered
 * last; there are dist_data_parallel_stats.buckets. */
typedef struct dist_bucket_info {
    size_t bytes; /* of the vector, with the gaps between gradients */
    size_t first, last;
    /* Seconds by CLOCK_MONOTONIC at which its average started and was there on this rank, in the last step of which all
     * averages were there; 0 before. */
    double began, ended;
} dist_bucket_info;

/* Local. DIST_ERR_ARGUMENT when there is no bucket i. */
DIST_API dist_status dist_data_parallel_bucket_get(dist_data_parallel *dp, size_t i, dist_bucket_info *info);

/* What averages keep from step to step, so that training goes on from a checkpoint as if it had not ended: what the
 * codec rounded away and is still owed to the weights (error feedback), powersgd's factors, and how many steps
 * there were, on which random numbers and the steps without a codec (dense) depend. Each rank saves a part beside
 * the optimizer's state; a later job loads the parts of all ranks:
 *
 *     bytes = dist_data_parallel_state_bytes(dp);                // each rank its own file, say
 *     dist_data_parallel_state_save(dp, state, bytes);
 *     ...
 *     dist_data_parallel_create(...);                            // the same parameters
 *     dist_data_parallel_state_load(dp, parts, sizes, count);    // before the first step
 *
 * A job of the same ranks, sites and options goes on bit for bit. Any other number of ranks or sites, other
 * buckets, another codec or precision of feedback (ef=) will do too. Then what old site s owes becomes what new site
 * s mod sites owes, and with powersgd rank by rank; when gradients are averaged it is multiplied by new ranks / old
 * ranks, because it is a part of a sum that is divided by the ranks. What this job has no place for (ef=none, one
 * site) is dropped, which log level info tells.
 *
 * A part has a header, CRC32C and float32 values, little endian: 4 bytes for each element of which a rank keeps
 * feedback (it is not kept on one site; with algorithm hier a rank keeps that of its share of its site's sum). */

/* Bytes of this rank's part. The same on all ranks is only whether it is 0: nothing is kept, on one site or with a
 * codec without feedback and random numbers. Local. 0 for NULL. */
DIST_API uint64_t dist_data_parallel_state_bytes(const dist_data_parallel *dp);

/* Writes this rank's part to `state`, of which `bytes` are dist_data_parallel_state_bytes. Local; between steps:
 * DIST_ERR_STATE when a gradient was made ready after the last average. Nothing changes but `state`, which stays the
 * program's and may lie at any address. */
DIST_API dist_status dist_data_parallel_state_save(dist_data_parallel *dp, void *state, uint64_t bytes);

/* Replaces what is kept by what the parts of a job tell. Collective; blocking. part[0] to part[parts - 1], of bytes[i]
 * bytes, are those that this rank hands in: its own, all of them, or none (then both arrays may be NULL), as long as
 * each part of the job that saved them is handed in by one rank. Parts of 0 bytes count for nothing, and with none on
 * any rank nothing changes. They stay the program's. When each rank hands in the part of its own number and all else
 * is as it was, no values travel; otherwise every part goes to every rank.
 *
 * Errors come on all ranks alike, with what is kept as it was: DIST_ERR_FRAME when a part is truncated, damaged or
 * none; DIST_ERR_MISMATCH when it is of other parameters (counts, types, names, order) or another reduction, of another
 * save than the rest, missing, or there twice; DIST_ERR_STATE when a gradient was made ready after the last average;
 * DIST_ERR_ARGUMENT for a NULL. The sentence names rank and part. */
DIST_API dist_status dist_data_parallel_state_load(dist_data_parallel *dp, const void *const *part,
                                                   const uint64_t *bytes, int parts);

/* *identical: whether `bytes` at `data` are the same on every rank (weights after a step, say), compared by a
 * 64-bit hash, which *hash gets (of this rank; may be NULL). Collective; blocking. Device memory is read after what the
 * default stream holds: the program has synchronized the streams that write it. */
DIST_API dist_status dist_replicas_identical(dist_context *context, const void *data, size_t bytes,
                                             bool *identical, uint64_t *hash);

/* Frees it; buckets in flight are waited for first, up to the context's timeout. NULL is legal. Gradients
 * that the library placed are gone afterwards. */
DIST_API dist_status dist_data_parallel_destroy(dist_data_parallel *dp);

#ifdef __cplusplus
}
#endif
#endif
