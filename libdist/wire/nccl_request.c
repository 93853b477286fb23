/* Requests: made once, with what NCCL will be told, and started many times. */
#include <stdlib.h>

#include "base/memory.h"
#include "wire/nccl_internal.h"

#define BYTE 0 /* ncclInt8 */
#define INT  2 /* ncclInt32 */
#define NONE (-1)

static int nccl_type(dist_type type)
{
    static const int of[DIST_TYPES] = {[DIST_FLOAT32] = 7, [DIST_FLOAT16] = 6, [DIST_BFLOAT16] = 9,
                                       [DIST_FLOAT64] = 8, [DIST_INT32] = INT, [DIST_INT64] = 4};
    return type >= 0 && type < DIST_TYPES ? of[type] : NONE;
}

static int nccl_op(dist_reduction reduction)
{
    return reduction == DIST_SUM ? 0 : reduction == DIST_MAX ? 2 : reduction == DIST_MIN ? 3 : NONE;
}

void dist_nccl_append(dist_nccl_list *list, dist_nccl_request *request)
{
    request->next = NULL;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

dist_nccl_request *dist_nccl_take(dist_nccl_list *list)
{
    dist_nccl_request *request = list->first;
    if (request && !(list->first = request->next))
        list->last = NULL;
    return request;
}

/* Arrays grow here, so that start and poll need not. */
static dist_status create(dist_nccl_wire *wire, dist_nccl_request **out)
{
    dist_nccl_request *request = calloc(1, sizeof *request);
    *out = NULL;
    if (!request || !dist_grow(&wire->done, &wire->done_capacity, wire->existing + 1, sizeof *wire->done) ||
        dist_nccl_order_reserve(wire) < 0) {
        free(request);
        return dist_fail(DIST_ERR_MEMORY, "no memory for request number %zu of the NCCL wire",
                         wire->existing + 1);
    }
    const int error = wire->cuda->event_create(&request->event);
    if (error != 0) {
        free(request);
        return dist_fail(DIST_ERR_CUDA, "creating an event for the NCCL wire: CUDA error %d, %s", error,
                         wire->cuda->error_name(error));
    }
    request->base.wire = &wire->base;
    wire->existing++;
    *out = request;
    return DIST_OK;
}

static void destroy(dist_nccl_request *request)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)request->base.wire;
    wire->cuda->event_destroy(request->event);
    wire->existing--;
    free(request);
}

dist_status dist_nccl_message(dist_wire *base, const dist_wire_message *message, dist_wire_request **out)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)base;
    dist_nccl_request *request;
    const int from = message->send ? base->rank : message->peer;
    const int to = message->send ? message->peer : base->rank;
    void *comm = NULL;
    for (int c = 1; c < wire->comms; c++)
        if (wire->comm[c].from == from && wire->comm[c].to == to)
            comm = wire->comm[c].handle;
    if (!comm)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "a message from rank %d to rank %d: the NCCL wire has no such edge", from, to);
    if (message->variable)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "a message of variable size over NCCL: its size would be in device memory");
    DIST_TRY(create(wire, &request));
    request->key = (dist_nccl_key){message->tag, (uint32_t)message->channel, from, to};
    request->message = *message;
    request->comm = comm;
    request->type = BYTE;
    request->root = message->send; /* the peer's rank in the edge's communicator: the receiver is 1 */
    *out = &request->base;
    return DIST_OK;
}

static dist_status check_call(const dist_nccl_wire *wire, const dist_wire_collective *call)
{
    const dist_nccl_library *library = &wire->library;
    const bool reduces = call->kind == DIST_NATIVE_ALL_REDUCE || call->kind == DIST_NATIVE_REDUCE_SCATTER;
    bool there = false;
    switch (call->kind) {
    case DIST_NATIVE_ALL_REDUCE:
    case DIST_NATIVE_BARRIER:
        there = library->all_reduce != NULL;
        break;
    case DIST_NATIVE_REDUCE_SCATTER:
        there = library->reduce_scatter != NULL;
        break;
    case DIST_NATIVE_ALL_GATHER:
        there = library->all_gather != NULL;
        break;
    case DIST_NATIVE_BROADCAST:
        there = library->broadcast != NULL;
        break;
    case DIST_NATIVE_ALL_TO_ALL:
        break;
    }
    if (call->kind == DIST_NATIVE_ALL_TO_ALL)
        return dist_fail(DIST_ERR_UNSUPPORTED, "the NCCL wire has no all-to-all; make it of messages");
    if (!there)
        return dist_fail(DIST_ERR_UNSUPPORTED, "this NCCL has no collective of kind %d", (int)call->kind);
    if (call->kind != DIST_NATIVE_BARRIER && nccl_type(call->type) == NONE)
        return dist_fail(DIST_ERR_ARGUMENT, "NCCL has no type for %s", dist_type_name(call->type));
    if (reduces && nccl_op(call->reduction) == NONE)
        return dist_fail(DIST_ERR_ARGUMENT, "the NCCL wire reduces by sum, min and max, not by %s",
                         dist_reduction_name(call->reduction));
    if (call->kind == DIST_NATIVE_BROADCAST && dist_nccl_position(wire, call->root) < 0)
        return dist_fail(DIST_ERR_ARGUMENT, "rank %d, the root of a broadcast, is no member of the NCCL wire",
                         call->root);
    if (call->count > SIZE_MAX / 8 / (uint64_t)wire->members)
        return dist_fail(DIST_ERR_ARGUMENT, "a collective of %llu elements: more than memory can hold",
                         (unsigned long long)call->count);
    return DIST_OK;
}

/* A barrier is an all-reduce of one word that the wire has for it. */
static void make_barrier(const dist_nccl_wire *wire, dist_wire_collective *call)
{
    call->type = DIST_INT32;
    call->reduction = DIST_MAX;
    call->count = 1;
    call->send = DIST_IN_PLACE;
    call->receive = wire->word;
}

dist_status dist_nccl_collective(dist_wire *base, const dist_wire_collective *call, dist_wire_request **out)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)base;
    dist_nccl_request *request;
    DIST_TRY(check_call(wire, call));
    DIST_TRY(create(wire, &request));
    request->call = *call;
    if (call->kind == DIST_NATIVE_BARRIER)
        make_barrier(wire, &request->call);
    request->key = (dist_nccl_key){call->ticket, (uint32_t)call->space, NONE, NONE};
    request->comm = wire->comm[0].handle;
    request->type = nccl_type(request->call.type);
    request->op = nccl_op(request->call.reduction);
    request->root = call->kind == DIST_NATIVE_BROADCAST ? dist_nccl_position(wire, call->root) : 0;
    *out = &request->base;
    return DIST_OK;
}

dist_status dist_nccl_start(dist_wire_request *base)
{
    dist_nccl_request *request = (dist_nccl_request *)base;
    if (request->running)
        return dist_fail(DIST_ERR_STATE, "a request of the NCCL wire is started while it runs");
    request->running = true;
    dist_nccl_order_start((dist_nccl_wire *)base->wire, request);
    return DIST_OK;
}

/* One that runs still takes its place in the order: the other ranks would wait for it, and so for all behind it. */
void dist_nccl_release(dist_wire_request *base)
{
    dist_nccl_request *request = (dist_nccl_request *)base;
    if (!request)
        return;
    if (request->running)
        request->abandoned = true;
    else
        destroy(request);
}

static void destroy_abandoned(dist_nccl_list *list)
{
    dist_nccl_request *request;
    while ((request = dist_nccl_take(list)))
        if (request->abandoned)
            destroy(request);
}

void dist_nccl_release_abandoned(dist_nccl_wire *wire)
{
    if (wire->launching && wire->launching->abandoned)
        destroy(wire->launching);
    destroy_abandoned(&wire->ordered);
    destroy_abandoned(&wire->launched);
    for (size_t b = 0; b < wire->buckets; b++) /* what is telling is there, too */
        while (wire->bucket[b]) {
            dist_nccl_request *request = wire->bucket[b];
            wire->bucket[b] = request->same;
            if (request->abandoned)
                destroy(request);
        }
}
