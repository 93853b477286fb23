/* The tasks of the buckets: planned by each rank alone, then made by all ranks of the job together. */
#include <stdlib.h>

#include "base/error.h"
#include "parallel/data_parallel_internal.h"
#include "parallel/lowrank.h"
#include "plan/embed.h"
#include "plan/stage.h"

/* Plans that are to become tasks, in this order. */
typedef struct planned {
    dist_plan *plan;
    dist_task **task;
    size_t bucket;
} planned;

typedef struct agenda {
    planned *item;
    size_t items;
} agenda;

/* A codec works on floats of up to 32 bits: buckets of other types go as they are. */
static dist_spec bucket_spec(const dist_data_parallel *dp, const dist_bucket *b)
{
    dist_spec spec = dp->setup.spec;
    spec.stream = (uint32_t)(b - dp->bucket);
    spec.kind = DIST_ALL_REDUCE;
    spec.type = b->type;
    spec.count = b->bytes / dist_type_bytes(b->type);
    spec.in_place = true;
    if (b->type != DIST_FLOAT32 && b->type != DIST_FLOAT16 && b->type != DIST_BFLOAT16)
        spec.codec = (dist_codec){.kind = DIST_CODEC_NONE, .text = "none"};
    spec.feedback = spec.codec.feedback;
    return spec;
}

/* powersgd has a plan of its own, and any codec may leave the first steps alone. */
static bool begins_dense(const dist_codec *codec)
{
    return codec->kind == DIST_CODEC_POWERSGD || codec->dense > 0;
}

static dist_spec dense_spec(const dist_spec *spec)
{
    dist_spec dense = *spec;
    dense.codec.kind = DIST_CODEC_NONE;
    dense.feedback = false; /* the codec's text stays: ranks must agree on it from the start */
    return dense;
}

/* All USER buffers, the bucket and the gradients in it, are in the same memory. */
static dist_status stage(const dist_data_parallel *dp, dist_plan **plan)
{
    dist_memory *user = malloc(((*plan)->buffers + 1) * sizeof *user);
    if (!user)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the buffers of '%s'", (*plan)->label);
    for (size_t b = 0; b < (*plan)->buffers; b++)
        user[b] = dp->setup.memory;
    const dist_status status =
        dist_plan_stage(plan, &(dist_staging){.user = user, .direct = dp->setup.direct});
    free(user);
    return status;
}

/* Takes the plan over. */
static dist_status add(const dist_data_parallel *dp, agenda *a, size_t bucket, dist_plan *plan,
                       dist_task **task)
{
    planned *item = &a->item[a->items++];
    *item = (planned){plan, task, bucket};
    DIST_TRY(stage(dp, &item->plan));
    return dp->setup.member
               ? dist_plan_embed(item->plan, dp->setup.member, dist_engine_ranks(dp->setup.engine))
               : DIST_OK;
}

static dist_status add_bucket(const dist_data_parallel *dp, agenda *a, size_t bucket, dist_spec spec,
                              dist_task **task)
{
    dist_plan *plan;
    DIST_TRY(dist_choose(&spec));
    DIST_TRY(dist_bucket_plan(&plan, &spec, bucket, dp->parameter, dp->place, dp->parameters));
    return add(dp, a, bucket, plan, task);
}

static dist_status plan_bucket(const dist_data_parallel *dp, agenda *a, size_t bucket)
{
    dist_bucket *b = &dp->bucket[bucket];
    const dist_spec spec = bucket_spec(dp, b);
    dist_plan *plan;
    if (!begins_dense(&spec.codec))
        return add_bucket(dp, a, bucket, spec, &b->task);
    DIST_TRY(add_bucket(dp, a, bucket, dense_spec(&spec), &b->task));
    b->dense = spec.codec.dense;
    if (spec.codec.kind != DIST_CODEC_POWERSGD)
        return add_bucket(dp, a, bucket, spec, &b->coded);
    if (dist_lowrank_matrices(&spec, bucket, dp->parameter, dp->place, dp->parameters) == 0)
        return DIST_OK;
    DIST_TRY(dist_lowrank_plan(&plan, &spec, bucket, dp->parameter, dp->place, dp->parameters));
    return add(dp, a, bucket, plan, &b->coded);
}

static dist_status plan_all(const dist_data_parallel *dp, agenda *a)
{
    a->item = malloc((2 * dp->buckets + 1) * sizeof *a->item);
    if (!a->item)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the plans of %zu buckets", dp->buckets);
    for (size_t b = 0; b < dp->buckets; b++)
        DIST_TRY(plan_bucket(dp, a, b));
    return DIST_OK;
}

/* How many tasks all ranks make: as many as the group with the most. A rank that cannot make its own says so here, before
 * any other waits for it. */
static dist_status agree_on_tasks(const dist_data_parallel *dp, dist_status own, size_t items,
                                  uint64_t *tasks)
{
    int rank = 0;
    *tasks = items;
    if (!dp->setup.member)
        return own;
    char sentence[DIST_ERROR_MAX];
    snprintf(sentence, sizeof sentence, "%s", own < 0 ? dist_last_error() : "");
    dist_status status = dist_engine_most(dp->setup.engine, "data parallel in groups",
                                          own < 0 ? UINT64_MAX : items, tasks, &rank);
    if (own < 0)
        return dist_fail(own, "%s", sentence);
    if (status >= 0 && *tasks == UINT64_MAX)
        return dist_fail(DIST_ERR_MISMATCH,
                         "data parallel in groups: rank %d could not plan its buckets; its own error "
                         "says why",
                         rank);
    return status;
}

/* Takes the plan over. */
static dist_status make(const dist_data_parallel *dp, const planned *p)
{
    const dist_bucket *b = &dp->bucket[p->bucket];
    size_t users = 0;
    void **user = malloc((b->parameters + 1) * sizeof *user);
    if (!user) {
        dist_plan_destroy(p->plan);
        return dist_fail(DIST_ERR_MEMORY, "no memory for bucket %zu", p->bucket);
    }
    user[users++] = b->memory;
    for (size_t i = 0; i < dp->parameters; i++)
        if (dp->place[i].bucket == p->bucket && dp->parameter[i].gradient && dp->parameter[i].count > 0)
            user[users++] = dp->parameter[i].gradient;
    dist_status status = dist_task_create(p->task, dp->setup.engine, p->plan, user);
    free(user);
    return status;
}

/* Takes part where other groups have one more task. */
static dist_status make_idle(const dist_data_parallel *dp)
{
    const dist_spec *spec = &dp->setup.spec;
    dist_task *task;
    dist_plan *plan = dist_plan_create(spec->rank, spec->topology->ranks, "no bucket of data parallel");
    if (!plan)
        return DIST_ERR_MEMORY;
    dist_status status = dist_plan_finish(plan);
    if (status >= 0)
        status = dist_plan_embed(plan, dp->setup.member, dist_engine_ranks(dp->setup.engine));
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    DIST_TRY(dist_task_create(&task, dp->setup.engine, plan, NULL));
    return dist_task_destroy(task);
}

dist_status dist_dp_make_tasks(dist_data_parallel *dp, dist_status status)
{
    agenda a = {0};
    size_t made = 0;
    uint64_t tasks;
    if (status >= 0)
        status = plan_all(dp, &a);
    status = agree_on_tasks(dp, status, a.items, &tasks);
    while (status >= 0 && made < a.items) {
        status = make(dp, &a.item[made]);
        made++;
    }
    for (uint64_t t = a.items; status >= 0 && t < tasks; t++)
        status = make_idle(dp);
    for (; made < a.items; made++)
        dist_plan_destroy(a.item[made].plan);
    free(a.item);
    return status;
}
