#include "parallel/data_parallel_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "parallel/feedback.h"

#define FIRST_BUCKET_DEFAULT ((uint64_t)1 << 20)
#define BUCKETS_WANTED       8 /* a small model still overlaps */

static bool is_pinned(const dist_data_parallel *dp)
{
    return dp->setup.memory == DIST_MEMORY_PINNED && dp->setup.cuda;
}

static bool is_host(const dist_data_parallel *dp)
{
    return dp->setup.memory != DIST_MEMORY_CUDA && !is_pinned(dp);
}

/* Pinned memory takes no device into use, which all ranks would have to do. */
static dist_status allocate_bucket(const dist_data_parallel *dp, uint64_t bytes, void **memory)
{
    const dist_cuda *cuda = dp->setup.cuda;
    if (is_host(dp)) {
        *memory = dist_wire_alloc(dp->setup.team_wire, bytes);
        return *memory ? DIST_OK
                       : dist_fail(DIST_ERR_MEMORY, "no memory for %" PRIu64 " bytes of gradients", bytes);
    }
    if (!is_pinned(dp))
        return dist_gpu_alloc(dp->setup.gpu, dp->setup.memory, bytes, memory);
    const int error = cuda->pin(memory, bytes ? bytes : 1);
    if (error)
        return dist_fail(DIST_ERR_CUDA, "pinning %" PRIu64 " bytes of gradients: CUDA error %d, %s", bytes,
                         error, cuda->error_name(error));
    memset(*memory, 0, bytes);
    return DIST_OK;
}

static void free_bucket(const dist_data_parallel *dp, void *memory)
{
    if (is_host(dp))
        dist_wire_free(dp->setup.team_wire, memory);
    else if (!is_pinned(dp))
        dist_gpu_free(dp->setup.gpu, dp->setup.memory, memory);
    else if (memory)
        dp->setup.cuda->unpin(memory);
}

static void free_all(dist_data_parallel *dp)
{
    for (size_t i = 0; dp->name && i < dp->parameters; i++)
        free(dp->name[i]);
    for (size_t b = 0; dp->bucket && b < dp->buckets; b++)
        free_bucket(dp, dp->bucket[b].memory);
    free(dp->name);
    free(dp->parameter);
    free(dp->place);
    free(dp->ready);
    free(dp->round);
    free(dp->bucket);
    free(dp->flight);
    free(dp->member);
    free(dp);
}

static bool copy_members(dist_data_parallel *dp)
{
    const size_t members = dp->setup.member ? (size_t)dp->setup.spec.topology->ranks : 0;
    dp->member = malloc((members ? members : 1) * sizeof *dp->member);
    for (size_t m = 0; dp->member && m < members; m++)
        dp->member[m] = dp->setup.member[m];
    dp->setup.member = members ? dp->member : NULL;
    return dp->member != NULL;
}

static bool copy_parameters(dist_data_parallel *dp, const dist_parameter *parameters, size_t n)
{
    size_t some = n ? n : 1;
    dp->parameters = n;
    dp->parameter = malloc(some * sizeof *dp->parameter);
    dp->name = calloc(some, sizeof *dp->name);
    dp->place = calloc(some, sizeof *dp->place);
    dp->ready = calloc(some, sizeof *dp->ready);
    dp->round = calloc(some, sizeof *dp->round);
    if (!dp->parameter || !dp->name || !dp->place || !dp->ready || !dp->round)
        return false;
    for (size_t i = 0; i < n; i++) {
        const char *name = parameters[i].name ? parameters[i].name : "";
        dp->parameter[i] = parameters[i];
        if (!(dp->name[i] = malloc(strlen(name) + 1)))
            return false;
        strcpy(dp->name[i], name);
        dp->parameter[i].name = dp->name[i];
        dp->stats.gradient_bytes += parameters[i].count * dist_type_bytes(parameters[i].type);
    }
    return true;
}

static dist_status make_buckets(dist_data_parallel *dp)
{
    uint64_t bytes = dp->setup.bucket_bytes, first = dp->setup.first_bucket_bytes;
    if (bytes == 0) {
        uint64_t even = dp->stats.gradient_bytes / BUCKETS_WANTED;
        bytes = even < DIST_BUCKET_DEFAULT ? even : DIST_BUCKET_DEFAULT;
    }
    first = first ? first : FIRST_BUCKET_DEFAULT;
    dp->buckets =
        dist_buckets_place(dp->parameter, dp->parameters, first < bytes ? first : bytes, bytes, dp->place);
    dp->bucket = calloc(dp->buckets ? dp->buckets : 1, sizeof *dp->bucket);
    dp->flight = calloc(dp->buckets ? dp->buckets : 1, sizeof *dp->flight);
    if (!dp->bucket || !dp->flight)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %zu buckets", dp->buckets);
    for (size_t i = 0; i < dp->parameters; i++) {
        dist_bucket *b = &dp->bucket[dp->place[i].bucket];
        uint64_t end = dp->place[i].offset + dp->parameter[i].count * dist_type_bytes(dp->parameter[i].type);
        b->type = dp->parameter[i].type;
        b->first = b->parameters == 0 ? i : b->first;
        b->last = i;
        b->bytes = end > b->bytes ? end : b->bytes;
        b->parameters++;
    }
    dist_engine_settle(dp->setup.engine);
    for (size_t b = 0; b < dp->buckets; b++) {
        void *memory;
        dp->bucket[b].missing = dp->bucket[b].parameters;
        DIST_TRY(allocate_bucket(dp, dp->bucket[b].bytes, &memory));
        dp->bucket[b].memory = memory;
    }
    dp->stats.buckets = dp->buckets;
    return DIST_OK;
}

dist_status dist_dp_create(dist_data_parallel **out, const dist_data_parallel_setup *setup,
                           const dist_parameter *parameters, size_t n)
{
    dist_data_parallel *dp = calloc(1, sizeof *dp);
    *out = NULL;
    if (!dp)
        return dist_fail(DIST_ERR_MEMORY, "no memory for data parallel");
    dp->setup = *setup;
    dp->setup.spec.team = setup->spec.team && !setup->member; /* a team is a whole site */
    dp->setup.spec.group = setup->member != NULL;
    dist_status status = DIST_OK;
    if (!copy_members(dp) || !copy_parameters(dp, parameters, n))
        status = dist_fail(DIST_ERR_MEMORY, "no memory for %zu parameters", n);
    if (status >= 0)
        status = make_buckets(dp);
    status = dist_dp_make_tasks(dp, status);
    if (status < 0) {
        dist_dp_destroy(dp);
        return status;
    }
    *out = dp;
    return DIST_OK;
}

void *dist_dp_gradient(const dist_data_parallel *dp, size_t i)
{
    if (i >= dp->parameters)
        return NULL;
    return dp->parameter[i].gradient ? dp->parameter[i].gradient
                                     : dp->bucket[dp->place[i].bucket].memory + dp->place[i].offset;
}

/* Nanoseconds with at least one bucket in flight. */
static int64_t union_of(dist_flight *flights, size_t n)
{
    int64_t covered = 0, until = INT64_MIN;
    for (size_t i = 1; i < n; i++) /* insertion: nearly sorted, few, and qsort may allocate */
        for (size_t j = i; j > 0 && flights[j - 1].began > flights[j].began; j--) {
            dist_flight swap = flights[j];
            flights[j] = flights[j - 1];
            flights[j - 1] = swap;
        }
    for (size_t i = 0; i < n; i++) {
        int64_t from = flights[i].began > until ? flights[i].began : until;
        if (flights[i].ended > from)
            covered += flights[i].ended - from;
        until = flights[i].ended > until ? flights[i].ended : until;
    }
    return covered;
}

/* All buckets of a step have ended. */
static void count_step(dist_data_parallel *dp)
{
    dist_data_parallel_stats *s = &dp->stats;
    const dist_data_parallel_stats *step = &dp->counted;
    s->codec = step->codec;
    s->bytes_inside = step->bytes_inside;
    s->bytes_across = step->bytes_across;
    s->nonfinite = step->nonfinite;
    s->steps++;
    s->exposed = dp->exposed;
    s->communication = dist_seconds(union_of(dp->flight, dp->buckets));
    s->exposed_total += s->exposed;
    s->communication_total += s->communication;
    s->codec_total += s->codec;
    s->bytes_inside_total += s->bytes_inside;
    s->bytes_across_total += s->bytes_across;
}

/* What a bucket's last run cost joins the figures of its step. */
static void count_bucket(dist_data_parallel *dp, size_t bucket)
{
    dist_bucket *b = &dp->bucket[bucket];
    const dist_task_stats *task = dist_task_stats_of(b->begun);
    dist_data_parallel_stats *sum = &dp->counted;
    b->flight = (dist_flight){task->started, task->finished};
    dp->flight[dp->buckets - dp->uncounted--] = b->flight;
    sum->codec += dist_seconds(task->codec);
    sum->bytes_inside += task->bytes_inside;
    sum->bytes_across += task->bytes_across;
    sum->nonfinite += task->nonfinite;
    b->begun = NULL;
    if (dp->uncounted == 0)
        count_step(dp);
}

/* Waits for a bucket's last run. */
static dist_status end_bucket(dist_data_parallel *dp, size_t bucket)
{
    if (!dp->bucket[bucket].begun)
        return DIST_OK;
    DIST_TRY(dist_task_wait(dp->bucket[bucket].begun, 0));
    if (dp->uncounted > 0)
        count_bucket(dp, bucket);
    return DIST_OK;
}

/* In device memory the host may be a step ahead of the device: then the bucket's last average comes first. */
static dist_status follow(dist_data_parallel *dp, size_t bucket, void *stream)
{
    DIST_TRY(end_bucket(dp, bucket));
    return dist_task_follow(dist_bucket_task(&dp->bucket[bucket]), stream);
}

dist_status dist_dp_ready(dist_data_parallel *dp, size_t i, void *stream)
{
    if (i >= dp->parameters)
        return dist_fail(DIST_ERR_ARGUMENT, "gradient %zu is ready, but there are %zu parameters", i,
                         dp->parameters);
    if (dp->ready[i])
        return dist_fail(DIST_ERR_STATE,
                         "gradient %zu '%s' is ready already; call dist_data_parallel_wait first", i,
                         dp->name[i]);
    if (dp->round[i] + 1 < dp->setup.accumulate) {
        dp->round[i]++;
        return DIST_OK;
    }
    dist_bucket *b = &dp->bucket[dp->place[i].bucket];
    if (dist_dp_on_device(dp))
        DIST_TRY(follow(dp, dp->place[i].bucket, stream));
    dp->round[i]++;
    dp->ready[i] = true;
    if (--b->missing > 0)
        return DIST_OK;
    b->begun = dist_bucket_task(b);
    return dist_task_start(b->begun);
}

/* With accumulation: whether every gradient stands at the same round before the last, so that there is
 * nothing to wait for. */
static bool between_rounds(const dist_data_parallel *dp)
{
    if (dp->parameters == 0 || dp->round[0] == 0 || dp->round[0] >= dp->setup.accumulate)
        return false;
    for (size_t i = 1; i < dp->parameters; i++)
        if (dp->round[i] != dp->round[0])
            return false;
    return true;
}

static dist_status check_all_ready(const dist_data_parallel *dp)
{
    for (size_t i = 0; i < dp->parameters; i++)
        if (!dp->ready[i])
            return dist_fail(DIST_ERR_STATE,
                             "gradient %zu '%s' has not been made ready in this step (%d of %d times); call "
                             "dist_data_parallel_ready for it, then wait again",
                             i, dp->name[i], dp->round[i], dp->setup.accumulate);
    return DIST_OK;
}

/* The bytes behind gradient i. */
static dist_slice gap_behind(const dist_data_parallel *dp, size_t i)
{
    const dist_bucket *b = &dp->bucket[dp->place[i].bucket];
    const uint64_t size = dist_type_bytes(b->type),
                   begin = dp->place[i].offset + dp->parameter[i].count * size;
    const uint64_t end = dp->place[i].offset + dist_parameter_span(&dp->parameter[i]) * size;
    return dist_slice_of(0, begin, begin < b->bytes ? (end < b->bytes ? end : b->bytes) - begin : 0);
}

/* What a codec put behind a gradient, a NaN of its block or the rest of a rotation, must not be sent as one. */
static dist_status clear_gaps(const dist_data_parallel *dp, void *stream)
{
    const dist_gpu *gpu = dp->setup.gpu;
    for (size_t i = 0; i < dp->parameters; i++) {
        const dist_slice gap = gap_behind(dp, i);
        char *const at = dp->bucket[dp->place[i].bucket].memory + gap.offset;
        if (gap.bytes == 0)
            continue;
        if (dist_dp_on_device(dp))
            DIST_TRY(dist_gpu_check(gpu, gpu->cuda->zero(at, gap.bytes, stream), "clearing a gap"));
        else
            memset(at, 0, gap.bytes);
    }
    return DIST_OK;
}

/* The device's streams wait, not the host. */
static dist_status wait_on_stream(dist_data_parallel *dp, void *stream)
{
    for (size_t b = 0; b < dp->buckets; b++)
        DIST_TRY(dist_task_lead(dist_bucket_task(&dp->bucket[b]), stream));
    const int before = dist_gpu_enter(dp->setup.gpu);
    const dist_status status = clear_gaps(dp, stream);
    dist_gpu_leave(dp->setup.gpu, before);
    return status;
}

static dist_status wait_on_host(dist_data_parallel *dp)
{
    for (size_t b = 0; b < dp->buckets; b++)
        DIST_TRY(dist_task_wait(dist_bucket_task(&dp->bucket[b]), 0));
    return clear_gaps(dp, NULL);
}

static void begin_step(dist_data_parallel *dp)
{
    for (size_t b = 0; b < dp->buckets; b++)
        dp->bucket[b].missing = dp->bucket[b].parameters;
    memset(dp->ready, 0, dp->parameters * sizeof *dp->ready);
    memset(dp->round, 0, dp->parameters * sizeof *dp->round);
    dp->steps++;
    for (size_t b = 0; b < dp->buckets; b++)
        dp->bucket[b].dense -= dp->bucket[b].dense > 0;
}

/* Counts what of the last step has ended. A bucket of which nothing is missing has begun again since. */
static void count_ended(dist_data_parallel *dp)
{
    for (size_t b = 0; b < dp->buckets && dp->uncounted > 0; b++)
        if (dp->bucket[b].begun && dp->bucket[b].missing > 0 &&
            dist_task_test(dp->bucket[b].begun) == DIST_OK)
            count_bucket(dp, b);
}

dist_status dist_dp_wait(dist_data_parallel *dp, void *stream)
{
    const int64_t began = dist_now();
    if (between_rounds(dp))
        return DIST_OK;
    DIST_TRY(check_all_ready(dp));
    DIST_TRY(dist_dp_on_device(dp) ? wait_on_stream(dp, stream) : wait_on_host(dp));
    dp->exposed = dist_seconds(dist_now() - began);
    dp->counted = (dist_data_parallel_stats){0};
    dp->uncounted = dp->buckets;
    begin_step(dp);
    if (dp->buckets == 0)
        count_step(dp);
    else if (!dist_dp_on_device(dp))
        count_ended(dp);
    return DIST_OK;
}

bool dist_dp_takes_streams(const dist_data_parallel *dp)
{
    return dist_dp_on_device(dp);
}

void dist_dp_stats(dist_data_parallel *dp, dist_data_parallel_stats *stats)
{
    count_ended(dp);
    *stats = dp->stats;
}

dist_status dist_dp_bucket(dist_data_parallel *dp, size_t i, dist_bucket_info *info)
{
    if (i >= dp->buckets)
        return dist_fail(DIST_ERR_ARGUMENT, "bucket %zu was asked for, but there are %zu", i, dp->buckets);
    count_ended(dp);
    const dist_bucket *b = &dp->bucket[i];
    *info = (dist_bucket_info){.bytes = b->bytes,
                               .first = b->first,
                               .last = b->last,
                               .began = dist_seconds(b->flight.began),
                               .ended = dist_seconds(b->flight.ended)};
    return DIST_OK;
}

dist_status dist_dp_pull(dist_data_parallel *dp)
{
    if (!dist_dp_is_between_steps(dp))
        return DIST_OK;
    for (size_t b = 0; b < dp->buckets; b++) {
        DIST_TRY(end_bucket(dp, b));
        DIST_TRY(dist_task_pull(dp->bucket[b].task));
        if (dp->bucket[b].coded)
            DIST_TRY(dist_task_pull(dp->bucket[b].coded));
    }
    return DIST_OK;
}

dist_status dist_dp_push(dist_data_parallel *dp)
{
    for (size_t b = 0; b < dp->buckets; b++) {
        DIST_TRY(dist_task_push(dp->bucket[b].task));
        if (dp->bucket[b].coded)
            DIST_TRY(dist_task_push(dp->bucket[b].coded));
    }
    return DIST_OK;
}

dist_status dist_dp_destroy(dist_data_parallel *dp)
{
    dist_status status = DIST_OK;
    if (!dp)
        return DIST_OK;
    for (size_t b = 0; dp->bucket && b < dp->buckets; b++) {
        dist_status ended = dist_task_destroy(dp->bucket[b].task);
        status = status < 0 ? status : ended;
        ended = dist_task_destroy(dp->bucket[b].coded);
        status = status < 0 ? status : ended;
    }
    if (status >=
        0) /* after a failure the wire may still touch the buckets: they stay until the process ends */
        free_all(dp);
    return status;
}
