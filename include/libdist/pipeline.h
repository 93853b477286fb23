/* Pipeline parallel: the layers of a model lie on ranks one after the other, and the microbatches of a step flow through.
 *
 *     dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
 *     options.mesh = "pp:4,dp:2";                       // or "pp:4": the library lays the rest out
 *     options.schedule = "auto";                        // by measured latency, and the times below
 *     options.microbatches = 16;
 *     options.boundary_count = batch * context * width; // what a stage hands to the next, for one microbatch
 *     options.forward = my_forward;
 *     options.backward_input = my_backward;
 *     dist_pipeline_create(context, &options, &pipeline);
 *     dist_pipeline_shape_get(pipeline, &shape);
 *     for (i = 0; i < shape.local; i++) {
 *         stage = dist_pipeline_stage(pipeline, i);     // one of those whose layers this rank has to hold
 *         dist_pipeline_register(pipeline, stage, parameters_of(stage), n, NULL);
 *     }
 *     for (step = 0; step < steps; step++) {
 *         dist_pipeline_step(pipeline);                 // calls my_forward and my_backward in the schedule's order
 *         optimizer(...);                               // gradients are averaged over the replicas
 *     }
 *
 * p ranks make one pipeline of p * chunks stages (one chunk a rank but for interleaved and V-shaped schedules); the ranks
 * that hold the same stages in different pipelines are replicas, whose gradients are averaged. Activations and their
 * gradients travel in buffers of the library's; weights are the program's. Messages move while the program computes.
 *
 * Averages of a stage start when its last backward has returned, and share the links with what other stages still send.
 * Of messages that can start at the same time those of the pipeline go first, then averages in the order in which their
 * stages ended.
 */
#ifndef LIBDIST_PIPELINE_H
#define LIBDIST_PIPELINE_H

#include <libdist/data_parallel.h>
#include <libdist/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_pipeline dist_pipeline;

/* Seconds (or any one unit) that a rank spends on one microbatch, all its chunks together. */
typedef struct dist_stage_times {
    double forward;
    double backward; /* gradient of the input */
    double weight;   /* gradient of the weights */
} dist_stage_times;

/* One piece of work for the program. Buffers are valid during the call; input stays in place, unchanged, until the last
 * backward call of the same stage and microbatch. */
typedef struct dist_pipeline_call {
    int stage;      /* of the model, from 0 in the order of the layers */
    int microbatch; /* of the step, from 0 */
    /* backward_input, backward_weight: the first and the last of this stage in this step. In the first, gradients are set, not
     * added to; after the last of both they are sent. */
    bool first, last;
    /* What the stage before made; NULL at stage 0. */
    const void *input;
    size_t input_bytes;
    /* forward: to be filled, for the stage after; NULL at the last stage. output_bytes is the room; the program may make it
     * smaller, and only that much travels. */
    void *output;
    size_t output_bytes;
    /* backward_input: the gradient of output, from the stage after; NULL at the last stage. */
    const void *output_gradient;
    size_t output_gradient_bytes;
    /* backward_input: to be filled with the gradient of input; NULL at stage 0. Its size is that of input; the program may
     * change it up to the room. */
    void *input_gradient;
    size_t input_gradient_bytes;
    /* One pointer of the program's for this stage and microbatch: NULL before forward, kept until release. */
    void **stash;
} dist_pipeline_call;

/* Returns DIST_OK, or an error that ends the step on all ranks; the context has failed then, and stashes that are under way
 * are not released. No call of libdist may be made inside, but dist_rank and its like, dist_trace_begin and
 * dist_trace_end. */
typedef dist_status dist_pipeline_function(void *user, dist_pipeline_call *call);

typedef struct dist_pipeline_options {
    size_t size; /* set by the initializer */
    int version; /* set by the initializer */
    /* Axes from the one whose neighbours are furthest apart to the one whose neighbours have consecutive ranks: with
     * "pp:2,dp:3" rank r has stage r / 3 and replica r % 3. One axis alone ("pp:4") leaves the order to the library, which
     * takes what it predicts to be faster and says why (dist_pipeline_print). NULL: DIST_MESH, or one pipeline over all
     * ranks. */
    const char *mesh;
    /* gpipe, 1f1b, eager1f1b[:cap=D], interleaved:v=V, zb-h1, zb-h2, zb-v, v-half, v-min, dualpipev, wan-1f1b, wan-zb, auto, or
     * file:PATH (the text that dist_plan writes). NULL: DIST_SCHEDULE, or auto. */
    const char *schedule;
    int microbatches;        /* of one pipeline in one step */
    size_t boundary_count;   /* most elements that a stage hands to the next for a microbatch */
    dist_type boundary_type; /* of these */
    /* Codec of activations and their gradients between sites; NULL: none. Without error feedback. A message has the size of
     * the declared maximum then, with zeros behind what the program wrote. */
    const char *codec;
    const dist_stage_times *times; /* [pp], seconds: what auto and wan schedules go by. NULL: 1 ms each */
    size_t stash_bytes;    /* what the program keeps for a microbatch on a rank, all chunks; 0: not known */
    size_t memory_bytes;   /* most that all of them may take on a rank; 0: no limit */
    size_t gradient_bytes; /* of a rank's parameters, for the choice of the mesh's order; 0: not known */
    dist_pipeline_function *forward;
    /* Of the input and, without backward_weight, of the weights. */
    dist_pipeline_function *backward_input;
    /* NULL: backward_input does both, and schedules that split them are refused. */
    dist_pipeline_function *backward_weight;
    /* NULL: none. Before backward_input: makes the stash again from input. */
    dist_pipeline_function *recompute;
    /* NULL: none. After the last backward call of a microbatch: frees the stash. */
    dist_pipeline_function *release;
    void *user; /* handed to the functions */
    /* CUDA: inputs, outputs and their gradients are in memory of the thread's current device, and the functions queue their
     * work on `stream` (a cudaStream_t; NULL: the default stream) and return: what they read is there when the stream comes
     * to it. They are called as soon as what they need has been queued, so the host runs ahead of the device. Inside a site
     * NCCL moves what is between stages where each rank has a device of its own; then all of boundary_count travels,
     * whatever the size. dist_pipeline_step returns when the device has come to the end of the schedule; gradients are complete
     * for what is queued on `stream` after that. AUTO is host memory. */
    dist_memory memory;
    void *stream;
} dist_pipeline_options;

#define DIST_PIPELINE_OPTIONS_VERSION 1
#define DIST_PIPELINE_OPTIONS_INIT                                                                           \
    {                                                                                                        \
        .size = sizeof(dist_pipeline_options), .version = DIST_PIPELINE_OPTIONS_VERSION,                     \
        .boundary_type = DIST_FLOAT32                                                                        \
    }

/* Makes schedule and plans, and verifies them. Collective; blocking. All ranks pass the same options. Measures the links
 * between sites first when they have not been measured. End with dist_pipeline_destroy, before dist_finalize.
 * DIST_ERR_ARGUMENT with a sentence for a mesh, schedule or shape that cannot be. */
DIST_API dist_status dist_pipeline_create(dist_context *context, const dist_pipeline_options *options,
                                          dist_pipeline **pipeline);

/* The shape. `stages` of the model in all; this rank holds `local` of them; it is number `replica` of `replicas` at
 * position `position` of `positions` in its pipeline. */
typedef struct dist_pipeline_shape {
    int positions, position, replicas, replica, stages, local;
} dist_pipeline_shape;
DIST_API dist_status dist_pipeline_shape_get(const dist_pipeline *pipeline, dist_pipeline_shape *shape);

/* This rank's stages in the order of the layers: stage number i < local; -1 beyond. */
DIST_API int dist_pipeline_stage(const dist_pipeline *pipeline, int i);

/* Registers the parameters of one of this rank's stages, as dist_data_parallel_create does; their gradients are averaged over
 * the replicas, from the end of the stage's last backward call in a step on, and are complete when dist_pipeline_step returns.
 * Collective: every rank registers each of its stages once, in order. options may be NULL; accumulate must be left alone.
 * With one replica nothing travels, and the gradients are where dist_pipeline_gradient says all the same. */
DIST_API dist_status dist_pipeline_register(dist_pipeline *pipeline, int stage,
                                            const dist_parameter *parameters, size_t n,
                                            const dist_data_parallel_options *options);
DIST_API void *dist_pipeline_gradient(const dist_pipeline *pipeline, int stage, size_t i);

/* Bucket i of one of this rank's stages that has been registered, as dist_data_parallel_bucket_get tells it. Local.
 * DIST_ERR_ARGUMENT when there is no such stage or bucket. */
DIST_API dist_status dist_pipeline_bucket_get(dist_pipeline *pipeline, int stage, size_t i,
                                              dist_bucket_info *info);

/* One step: all microbatches forward and backward, and the averages. Calls the program's functions in the calling thread.
 * Collective; blocking. When no op of this rank moves for the context's timeout, DIST_ERR_TIMEOUT tells for each rank at which op
 * it waits and for whom. */
DIST_API dist_status dist_pipeline_step(dist_pipeline *pipeline);

typedef struct dist_pipeline_stats {
    uint64_t steps;
    /* The last step on this rank, in seconds: from start to the end of its last call; in calls; from there until the averages are
     * complete. */
    double span, busy, exposed;
    uint64_t bytes_inside, bytes_across; /* sent by this rank, averages included */
    /* By the options' times and the links: of one step without averages, over all ranks. */
    double predicted, bound;
} dist_pipeline_stats;
DIST_API dist_status dist_pipeline_stats_get(const dist_pipeline *pipeline, dist_pipeline_stats *stats);

/* Mesh, schedule and prediction, for people, with why they were chosen. */
DIST_API dist_status dist_pipeline_print(const dist_pipeline *pipeline, FILE *file);

/* NULL is legal. */
DIST_API dist_status dist_pipeline_destroy(dist_pipeline *pipeline);

/* Splits `layers` layers over `stages` stages, in order, each at least one: the largest sum of a stage's `time` is as small as can
 * be with every stage's sum of `memory` at most `limit` (memory may be NULL, limit 0: none). first[s] gets the first layer of stage
 * s, first[stages] == layers: room for stages + 1. Equal layers are spread as evenly as can be. Local. DIST_ERR_ARGUMENT when there
 * are fewer layers than stages, a time is negative or not finite; DIST_ERR_UNSUPPORTED, naming the least limit that would do,
 * when no split fits the memory. */
DIST_API dist_status dist_partition(const double *time, const double *memory, int layers, int stages,
                                    double limit, int *first);

#ifdef __cplusplus
}
#endif
#endif
