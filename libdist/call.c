/* From the arguments of a collective to a task. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "base/type.h"
#include "devices.h"
#include "plan/stage.h"

bool dist_call_sends(const dist_call *c)
{
    return c->kind == DIST_SEND_RECV ? c->to >= 0 : c->send && c->send != DIST_IN_PLACE;
}

bool dist_call_receives(const dist_call *c)
{
    return c->kind != DIST_SEND_RECV || c->from >= 0;
}

static dist_status check_overlap(const dist_call *c, uint64_t in, uint64_t out, const char *advice)
{
    const char *send = c->send, *receive = c->receive;
    if (send < receive + out && receive < send + in)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the buffers overlap; %s", c->name, advice);
    return DIST_OK;
}

static dist_status check_size(const dist_call *c, uint64_t ranks)
{
    if (c->count > (UINT64_MAX >> 8) / dist_type_bytes(c->type) / ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %zu elements are more than memory holds", c->name, c->count);
    return DIST_OK;
}

static dist_status check_partners(const dist_call *c, int rank, int ranks)
{
    const uint64_t bytes = c->count * dist_type_bytes(c->type);
    if (c->to < -1 || c->to >= ranks || c->from < -1 || c->from >= ranks)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: to rank %d and from rank %d; ranks go from 0 to %d, and -1 is nobody", c->name,
                         c->to, c->from, ranks - 1);
    if ((c->to == rank) != (c->from == rank))
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: to rank %d and from rank %d on rank %d; what a rank sends to itself it has to "
                         "receive from itself",
                         c->name, c->to, c->from, rank);
    if (c->count == 0)
        return DIST_OK;
    DIST_TRY(check_size(c, 1));
    if ((dist_call_sends(c) && c->send == DIST_IN_PLACE) || c->receive == DIST_IN_PLACE)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: DIST_IN_PLACE; what is sent and what comes need memory of their own", c->name);
    if ((dist_call_sends(c) && !c->send) || (dist_call_receives(c) && !c->receive))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a buffer of %zu elements is NULL", c->name, c->count);
    if (dist_call_sends(c) && dist_call_receives(c))
        return check_overlap(c, bytes, bytes, "what is sent and what comes need memory of their own");
    return DIST_OK;
}

static dist_status check_buffers(const dist_call *c, uint64_t ranks)
{
    bool broadcast = c->kind == DIST_BROADCAST, exchange = c->kind == DIST_ALL_TO_ALL;
    if (c->count == 0)
        return DIST_OK;
    if (!c->receive || (!c->send && !broadcast))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a buffer of %zu elements is NULL", c->name, c->count);
    DIST_TRY(check_size(c, ranks));
    if (broadcast || c->send == DIST_IN_PLACE)
        return DIST_OK;
    uint64_t part = c->count * dist_type_bytes(c->type);
    uint64_t in = c->kind == DIST_REDUCE_SCATTER || exchange ? part * ranks : part;
    uint64_t out = c->kind == DIST_ALL_GATHER || exchange ? part * ranks : part;
    return check_overlap(c, in, out, "pass DIST_IN_PLACE as the send buffer");
}

static dist_status check(dist_context *context, const dist_call *c)
{
    int ranks = context->wire->ranks;
    if (!dist_type_valid(c->type))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %d is not a dist_type", c->name, (int)c->type);
    if (!dist_reduction_valid(c->reduction))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %d is not a dist_reduction", c->name, (int)c->reduction);
    if (c->root < 0 || c->root >= ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: root %d; ranks go from 0 to %d", c->name, c->root,
                         ranks - 1);
    const dist_collective_options *options = c->options;
    if (options && (options->size < sizeof *options || options->version != DIST_COLLECTIVE_OPTIONS_VERSION))
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: options have size %zu and version %d; start them with DIST_COLLECTIVE_OPTIONS_INIT", c->name,
            options->size, options->version);
    return c->kind == DIST_SEND_RECV ? check_partners(c, context->wire->rank, ranks)
                                     : check_buffers(c, (uint64_t)ranks);
}

/* Device memory takes the device into use. */
static dist_status find_memory(dist_context *context, const dist_call *c, dist_spec *spec)
{
    const void *const out = dist_call_receives(c) ? c->receive : dist_call_sends(c) ? c->send : NULL;
    const dist_location receive = dist_locate(context, out),
                        send = dist_call_sends(c) ? dist_locate(context, c->send) : receive;
    const bool device = receive.memory == DIST_MEMORY_CUDA && c->count > 0;
    if ((send.memory == DIST_MEMORY_CUDA) != (receive.memory == DIST_MEMORY_CUDA) && c->count > 0)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: send is %s memory and receive is %s memory; both must be on the device, or none", c->name,
            dist_memory_name(send.memory), dist_memory_name(receive.memory));
    if (!device && out && c->options && c->options->stream)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a stream was given, but the buffers are in host memory",
                         c->name);
    if (!device)
        return DIST_OK;
    DIST_TRY(dist_devices_use(context, receive.device));
    dist_devices_spec(context, spec);
    return DIST_OK;
}

/* Codecs are lossy, so a plain collective uses one only where the call itself names it. */
dist_status dist_call_spec(dist_context *context, const dist_call *c, dist_spec *spec)
{
    const char *codec = c->options && c->options->codec ? c->options->codec : "none";
    DIST_TRY(check(context, c));
    DIST_TRY(dist_context_spec(context, c->options ? c->options->algo : NULL, codec, spec));
    spec->kind = c->kind;
    spec->type = c->type;
    spec->reduction = c->reduction;
    spec->root = c->root;
    spec->to = c->to;
    spec->from = c->from;
    spec->count = c->count;
    spec->in_place = c->send == DIST_IN_PLACE && c->kind != DIST_SEND_RECV;
    DIST_TRY(find_memory(context, c, spec));
    return dist_choose(spec);
}

void dist_call_users(const dist_call *c, const dist_spec *spec, void *user[2])
{
    uint64_t before = spec->count * dist_type_bytes(spec->type) * (uint64_t)spec->rank;
    user[0] = spec->in_place || spec->kind == DIST_BROADCAST ? c->receive : (void *)(uintptr_t)c->send;
    user[1] = c->receive;
    if (spec->in_place && (spec->kind == DIST_REDUCE_SCATTER || spec->kind == DIST_ALL_GATHER))
        user[0] = (char *)c->receive - (spec->kind == DIST_REDUCE_SCATTER ? before : 0);
}

/* Other partners may need more messages. */
static void reserve_tags(dist_plan *plan, const dist_spec *spec)
{
    const uint32_t most = spec->kind == DIST_SEND_RECV ? dist_send_recv_sequences(spec) : 0;
    if (plan->sequences < most)
        plan->sequences = most;
}

dist_status dist_call_task(dist_context *context, const dist_spec *spec, void *user[2],
                           const dist_task *beside, dist_task **task)
{
    dist_plan *plan;
    DIST_TRY(dist_engine_status(context->engine));
    DIST_TRY(dist_collective_plan(&plan, spec));
    const dist_memory memory = spec->device ? DIST_MEMORY_CUDA : DIST_MEMORY_HOST;
    const dist_status status =
        dist_plan_stage(&plan, &(dist_staging){.user = (const dist_memory[2]){memory, memory},
                                               .direct = dist_devices_direct(context)});
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    reserve_tags(plan, spec);
    return beside ? dist_task_create_beside(task, beside, plan, user)
                  : dist_task_create(task, context->engine, plan, user);
}

dist_status dist_call_prepare(dist_context *context, const dist_call *c, dist_task **task)
{
    dist_spec spec;
    void *user[2];
    DIST_TRY(dist_call_spec(context, c, &spec));
    dist_call_users(c, &spec, user);
    return dist_call_task(context, &spec, user, NULL, task);
}
