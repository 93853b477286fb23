#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agree.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static gpt_stage *stage_of(gpt_pipeline *p, int number)
{
    gpt_stage *stage = p->stage;
    while (stage->number != number)
        stage++;
    return stage;
}

/* The sequences of a microbatch: the same as in data parallel, dealt to replicas and microbatches in order. */
static void load_microbatch(const gpt_pipeline *p, int microbatch)
{
    const size_t batch = p->config.batch, context = p->config.context;
    const size_t first = ((size_t)p->shape.replica * p->options->microbatches + (size_t)microbatch) * batch;
    for (size_t i = 0; i < batch; i++)
        gpt_text_sequence(p->text, p->options->seed, p->step, first + i, context, p->inputs + i * context,
                          p->targets + i * context);
}

static gpt_stash *take_stash(gpt_pipeline *p, const gpt_stage *stage)
{
    gpt_stash **list = &p->free[stage - p->stage], *stash = *list;
    if (stash) {
        *list = stash->next;
        return stash;
    }
    stash = calloc(1, sizeof *stash);
    if (stash && gpt_activations_create(&stash->activations, &stage->model.config, true))
        return stash;
    free(stash);
    return NULL;
}

static dist_status forward(void *user, dist_pipeline_call *call)
{
    gpt_pipeline *p = user;
    gpt_stage *stage = stage_of(p, call->stage);
    gpt_stash *stash = take_stash(p, stage);
    if (!stash)
        return DIST_ERR_MEMORY;
    *call->stash = stash;
    stage->model.active = &stash->activations;
    load_microbatch(p, call->microbatch);
    p->loss +=
        gpt_stage_forward(&stage->model, p->config.batch, call->input, p->inputs, call->output, p->targets) /
        (double)p->options->microbatches;
    return DIST_OK;
}

static void backward(gpt_pipeline *p, dist_pipeline_call *call, gpt_part part)
{
    gpt_stage *stage = stage_of(p, call->stage);
    const double tokens = (double)(p->options->microbatches * p->config.batch * p->config.context);
    stage->model.active = &((gpt_stash *)*call->stash)->activations;
    load_microbatch(p, call->microbatch);
    gpt_stage_backward(&stage->model, part, p->config.batch, call->input, p->inputs, call->output_gradient,
                       call->input_gradient, p->targets, (float)(1.0 / tokens), !call->first, NULL, NULL);
}

static dist_status backward_input(void *user, dist_pipeline_call *call)
{
    backward(user, call, GPT_INPUTS);
    return DIST_OK;
}

static dist_status backward_weight(void *user, dist_pipeline_call *call)
{
    backward(user, call, GPT_WEIGHTS);
    return DIST_OK;
}

static dist_status release(void *user, dist_pipeline_call *call)
{
    gpt_pipeline *p = user;
    gpt_stash *stash = *call->stash, **list = &p->free[stage_of(p, call->stage) - p->stage];
    stash->next = *list;
    *list = stash;
    return DIST_OK;
}

/* One block's forward, gradient of the input and of the weights, in seconds: the mean of a few, while the
 * other ranks of this machine are at it, too. */
static bool time_block(const gpt_pipeline *p, double time[3])
{
    enum { ROUNDS = 4 };
    gpt_config config = p->config;
    gpt_model model;
    gpt_activations activations = {0};
    config.layers = 3; /* the one in the middle has neither embedding nor head */
    config.first = 1;
    config.end = 2;
    const size_t count = config.batch * config.context * config.width;
    float *stream = calloc(count, sizeof *stream), *out = calloc(count, sizeof *out), *gradients = NULL;
    bool well = gpt_model_create(&model, &config);
    if (well) {
        gpt_model_initialize(&model, 1);
        gradients = calloc(model.weights_count, sizeof *gradients);
        for (size_t i = 0; gradients && i < model.parameters_count; i++)
            model.parameters[i].gradient = gradients + (model.parameters[i].weight - model.weights);
        well = stream && out && gradients && gpt_activations_create(&activations, &config, true);
        model.active = &activations;
    }
    well = well && dist_barrier(p->context) == DIST_OK;
    for (int round = 0; well && round < ROUNDS; round++) {
        double at[4] = {seconds()};
        gpt_stage_forward(&model, config.batch, stream, NULL, out, NULL);
        at[1] = seconds();
        gpt_stage_backward(&model, GPT_INPUTS, config.batch, stream, NULL, out, out, NULL, 1, false, NULL,
                           NULL);
        at[2] = seconds();
        gpt_stage_backward(&model, GPT_WEIGHTS, config.batch, stream, NULL, NULL, NULL, NULL, 1, false, NULL,
                           NULL);
        at[3] = seconds();
        for (int i = 0; round > 0 && i < 3; i++) /* the first finds cold memory */
            time[i] += (at[i + 1] - at[i]) / (ROUNDS - 1);
    }
    gpt_activations_destroy(&activations);
    gpt_model_destroy(&model);
    free(stream);
    free(out);
    free(gradients);
    return well;
}

/* What a block and the head cost beside each other, in multiplications. */
static double head_share(const gpt_config *config)
{
    const double width = (double)config->width;
    return (double)config->vocabulary / (12 * width + 2 * (double)config->context);
}

/* What all ranks measured, evenly: blocks are dealt to stages as evenly as can be, and the last has the head. */
static dist_status measure_times(gpt_pipeline *p, int positions, dist_stage_times **times)
{
    double time[3] = {0};
    const double blocks = ((double)p->config.layers + head_share(&p->config)) / positions;
    *times = calloc((size_t)positions, sizeof **times);
    if (!time_block(p, time) || !*times)
        return DIST_ERR_MEMORY;
    const dist_status status = dist_reduce_scalars(p->context, time, 3, DIST_AVERAGE);
    for (int i = 0; i < positions; i++)
        (*times)[i] = (dist_stage_times){blocks * time[0], blocks * time[1], blocks * time[2]};
    return status;
}

/* What forward and backward of a block keep: activations 16 widths and the scores, gradients 11 widths. */
static size_t block_stash_bytes(const gpt_config *config)
{
    return config->batch * config->context * (27 * config->width + config->heads * config->context) *
           sizeof(float);
}

static dist_status open_pipeline(gpt_pipeline *p, dist_stage_times **times)
{
    const gpt_options *o = p->options;
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    const gpt_config *c = &p->config;
    const dist_status status = measure_times(p, (int)o->positions, times);
    if (status < 0)
        return status;
    options.mesh = o->mesh;
    options.schedule = o->schedule;
    options.microbatches = (int)o->microbatches;
    options.boundary_count = c->batch * c->context * c->width;
    options.codec = o->boundary_codec;
    options.times = *times;
    options.stash_bytes = block_stash_bytes(c) * c->layers / o->positions;
    options.gradient_bytes = 12 * c->width * c->width * sizeof(float) * c->layers / o->positions;
    options.forward = forward;
    options.backward_input = backward_input;
    options.backward_weight = backward_weight;
    options.release = release;
    options.user = p;
    return dist_pipeline_create(p->context, &options, &p->pipeline);
}

/* Which blocks are on which stage. */
static bool deal_blocks(gpt_pipeline *p, char *sentence, size_t size)
{
    const int layers = (int)p->config.layers;
    double *time = malloc((size_t)layers * sizeof *time);
    p->first_block = calloc((size_t)p->shape.stages + 1, sizeof *p->first_block);
    snprintf(sentence, size, "not enough memory");
    if (!time || !p->first_block) {
        free(time);
        return false;
    }
    for (int i = 0; i < layers; i++)
        time[i] = i + 1 < layers ? 1 : 1 + head_share(&p->config);
    const dist_status status = dist_partition(time, NULL, layers, p->shape.stages, 0, p->first_block);
    free(time);
    if (status < 0)
        snprintf(sentence, size, "--layers %d on %d stages: %s", layers, p->shape.stages, dist_last_error());
    return status == DIST_OK;
}

static bool create_stage(gpt_pipeline *p, gpt_stage *stage, int number)
{
    gpt_config config = p->config;
    stage->number = number;
    config.first = (size_t)p->first_block[number];
    config.end = (size_t)p->first_block[number + 1];
    if (!gpt_model_create(&stage->model, &config))
        return false;
    return gpt_adamw_create(&stage->optimizer, &stage->model, p->options->weight_decay);
}

static bool create_stages(gpt_pipeline *p)
{
    const size_t local = (size_t)p->shape.local;
    const size_t tokens = p->config.batch * p->config.context;
    p->stage = calloc(local, sizeof *p->stage);
    p->free = calloc(local, sizeof(gpt_stash *));
    p->inputs = malloc(tokens);
    p->targets = malloc(tokens);
    p->gathered = calloc((size_t)dist_ranks(p->context), 2 * sizeof *p->gathered);
    bool well = p->stage && p->free && p->inputs && p->targets && p->gathered;
    for (size_t i = 0; well && i < local; i++)
        well = create_stage(p, &p->stage[i], dist_pipeline_stage(p->pipeline, (int)i));
    return well;
}

/* libm may differ from machine to machine: only rank 0's first weights count. */
static dist_status first_weights(gpt_pipeline *p)
{
    gpt_model whole;
    if (!gpt_model_create(&whole, &p->config))
        return DIST_ERR_MEMORY;
    gpt_model_initialize(&whole, p->options->seed);
    const dist_status status =
        dist_broadcast(p->context, whole.weights, whole.weights_count, DIST_FLOAT32, 0, NULL);
    for (int s = 0; s < p->shape.local; s++)
        for (size_t i = 0; i < whole.parameters_count; i++) {
            const gpt_parameter *to = &p->stage[s].model.parameters[i];
            memcpy(to->weight, whole.parameters[i].weight, to->count * sizeof *to->weight);
        }
    gpt_model_destroy(&whole);
    return status;
}

static dist_status register_stage(gpt_pipeline *p, gpt_stage *stage)
{
    gpt_model *model = &stage->model;
    dist_parameter *list = calloc(model->parameters_count, sizeof *list);
    dist_data_parallel_options options = DIST_DATA_PARALLEL_OPTIONS_INIT;
    size_t held = 0;
    if (!list)
        return DIST_ERR_MEMORY;
    options.algo = p->options->algo;
    options.codec = p->options->codec;
    options.bucket_bytes = p->options->bucket;
    for (size_t i = 0; i < model->parameters_count; i++)
        if (model->parameters[i].count > 0)
            list[held++] = (dist_parameter){.name = model->parameters[i].name,
                                            .count = model->parameters[i].count,
                                            .type = DIST_FLOAT32,
                                            .rows = model->parameters[i].rows};
    const dist_status status = dist_pipeline_register(p->pipeline, stage->number, list, held, &options);
    for (size_t i = 0, n = 0; status == DIST_OK && i < model->parameters_count; i++)
        if (model->parameters[i].count > 0)
            model->parameters[i].gradient = dist_pipeline_gradient(p->pipeline, stage->number, n++);
    free(list);
    return status;
}

static bool fail(const gpt_pipeline *p)
{
    fprintf(stderr, "train_gpt: rank %d: %s\n", dist_rank(p->context), dist_last_error());
    return false;
}

bool gpt_pipeline_start(gpt_pipeline *p, const gpt_options *options, const gpt_text *text,
                        dist_context *context, gpt_report *report)
{
    char sentence[512] = "not enough memory";
    *p = (gpt_pipeline){.options = options, .text = text, .context = context};
    p->config = (gpt_config){.layers = options->layers,
                             .heads = options->heads,
                             .width = options->width,
                             .context = options->context,
                             .vocabulary = 256,
                             .batch = options->batch / options->microbatches /
                                      ((size_t)dist_ranks(context) / options->positions),
                             .untied = options->untied};
    const dist_status opened = open_pipeline(p, &p->times);
    if (opened < 0)
        snprintf(sentence, sizeof sentence, "%s", dist_last_error());
    bool well = opened == DIST_OK && dist_pipeline_shape_get(p->pipeline, &p->shape) == DIST_OK &&
                deal_blocks(p, sentence, sizeof sentence) && create_stages(p);
    if (!gpt_all_agree(context, well, sentence))
        return false;
    for (int i = 0; i < p->shape.local; i++)
        if (register_stage(p, &p->stage[i]) < 0)
            return fail(p);
    if (first_weights(p) < 0)
        return fail(p);
    double counted = 0;
    for (int i = 0; i < p->shape.local; i++)
        counted += (double)p->stage[i].model.weights_count;
    if (dist_reduce_scalars(context, &counted, 1, DIST_SUM) < 0)
        return fail(p);
    report->parameters = (size_t)counted / (size_t)p->shape.replicas;
    if (!options->quiet && dist_rank(context) == 0)
        dist_pipeline_print(p->pipeline, stdout);
    return true;
}

/* What is left of `whole` beside `part`, as a share of it. */
static double share_left(double whole, double part)
{
    return whole > 0 ? 1 - part / whole : 0;
}

/* What the library was told that ranks compute in a step, in seconds, on average. */
static double busy_expected(const gpt_pipeline *p)
{
    double sum = 0;
    for (int i = 0; i < p->shape.positions; i++)
        sum += p->times[i].forward + p->times[i].backward + p->times[i].weight;
    return sum / p->shape.positions * (double)p->options->microbatches;
}

dist_status gpt_pipeline_step(gpt_pipeline *p, size_t step, double learning_rate, double *figures)
{
    dist_pipeline_stats stats;
    const double began = seconds();
    p->step = step;
    p->loss = 0;
    dist_status status = dist_pipeline_step(p->pipeline);
    if (status < 0 || (status = dist_pipeline_stats_get(p->pipeline, &stats)) < 0)
        return status;
    const int64_t span = dist_trace_begin(p->context);
    for (int i = 0; i < p->shape.local; i++)
        gpt_adamw_step(&p->stage[i].optimizer, &p->stage[i].model, learning_rate);
    dist_trace_end(p->context, "optimizer", span);
    const double total = seconds() - began, waited = stats.span - stats.busy + stats.exposed;
    figures[GPT_LOSS] =
        p->loss * p->shape.positions; /* only the last of them have it, and all are averaged */
    figures[GPT_STEP] = total;
    figures[GPT_COMPUTE] = total - waited;
    figures[GPT_EXPOSED] = waited;
    figures[GPT_ACROSS] = (double)stats.bytes_across;
    figures[GPT_SPAN] = stats.span;
    figures[GPT_PREDICTED] = stats.predicted;
    figures[GPT_BUBBLE] = stats.busy;
    figures[GPT_BUBBLE_PREDICTED] = share_left(stats.predicted, busy_expected(p));
    double most[2] = {-waited, stats.span};
    status = dist_reduce_scalars(p->context, figures, GPT_FIGURES, DIST_AVERAGE);
    if (status == DIST_OK)
        status = dist_reduce_scalars(p->context, most, 2, DIST_MAX);
    figures[GPT_EXPOSED_LAST] = -most[0];
    figures[GPT_SPAN] = most[1];
    figures[GPT_BUBBLE] = share_left(most[1], figures[GPT_BUBBLE]);
    return status;
}

dist_status gpt_pipeline_compare(gpt_pipeline *p, bool *identical, uint64_t *hash)
{
    const int ranks = dist_ranks(p->context);
    uint64_t mine = 0;
    for (int i = 0; i < p->shape.local; i++) {
        const gpt_model *model = &p->stage[i].model;
        bool alone;
        uint64_t one;
        const dist_status status = dist_replicas_identical(
            p->context, model->weights, model->weights_count * sizeof *model->weights, &alone, &one);
        if (status < 0)
            return status;
        mine = mine * 31 + one;
    }
    const int64_t said[2] = {p->shape.position, (int64_t)mine};
    const dist_status status = dist_all_gather(p->context, said, p->gathered, 2, DIST_INT64, NULL);
    *identical = true;
    *hash = 0;
    for (int position = 0; status == DIST_OK && position < p->shape.positions; position++) {
        const int64_t *first = NULL; /* of the ranks with this position */
        for (int rank = 0; rank < ranks; rank++) {
            const int64_t *other = p->gathered + 2 * (size_t)rank;
            if (other[0] != position)
                continue;
            first = first ? first : other;
            *identical &= other[1] == first[1];
        }
        *hash = *hash * 31 + (uint64_t)(first ? first[1] : 0);
    }
    return status;
}

void gpt_pipeline_end(gpt_pipeline *p)
{
    dist_pipeline_destroy(p->pipeline);
    for (int i = 0; i < p->shape.local; i++) {
        for (gpt_stash *stash = p->free ? p->free[i] : NULL; stash;) {
            gpt_stash *next = stash->next;
            gpt_activations_destroy(&stash->activations);
            free(stash);
            stash = next;
        }
        if (p->stage) {
            gpt_model_destroy(&p->stage[i].model);
            gpt_adamw_destroy(&p->stage[i].optimizer);
        }
    }
    free(p->stage);
    free(p->free);
    free(p->first_block);
    free(p->inputs);
    free(p->targets);
    free(p->times);
    free(p->gathered);
    *p = (gpt_pipeline){0};
}
