/* Poll: letters, launches in the global order on one stream, the events behind them, and NCCL's own errors. */
#include "base/clock.h"
#include "wire/nccl_internal.h"

#define LOOK_INTERVAL 1000000 /* ns between two questions for errors */

static dist_status cuda_fail(const dist_nccl_wire *wire, int error, const char *what)
{
    return dist_fail(DIST_ERR_CUDA, "%s for the NCCL wire: CUDA error %d, %s", what, error,
                     wire->cuda->error_name(error));
}

static int call_collective(dist_nccl_wire *wire, const dist_nccl_request *request)
{
    const dist_nccl_library *nccl = &wire->library;
    const dist_wire_collective *call = &request->call;
    const size_t count = (size_t)call->count;
    char *const receive = call->receive;
    const void *send = call->send;
    if (send == DIST_IN_PLACE && call->kind == DIST_NATIVE_ALL_GATHER)
        send = receive + count * dist_type_bytes(call->type) * (size_t)wire->position;
    else if (send == DIST_IN_PLACE)
        send = receive;
    switch (call->kind) {
    case DIST_NATIVE_REDUCE_SCATTER:
        return nccl->reduce_scatter(send, receive, count, request->type, request->op, request->comm,
                                    wire->stream);
    case DIST_NATIVE_ALL_GATHER:
        return nccl->all_gather(send, receive, count, request->type, request->comm, wire->stream);
    case DIST_NATIVE_BROADCAST:
        return nccl->broadcast(receive, receive, count, request->type, request->root, request->comm,
                               wire->stream);
    default:
        return nccl->all_reduce(send, receive, count, request->type, request->op, request->comm,
                                wire->stream);
    }
}

/* What is empty on one rank is empty on all. */
static int call_nccl(dist_nccl_wire *wire, const dist_nccl_request *request)
{
    const dist_wire_message *message = &request->message;
    const size_t bytes = (size_t)message->bytes;
    if (request->key.from < 0)
        return request->call.count > 0 ? call_collective(wire, request) : DIST_NCCL_SUCCESS;
    if (bytes == 0)
        return DIST_NCCL_SUCCESS;
    if (message->send)
        return wire->library.send(message->buffer, bytes, request->type, request->root, request->comm,
                                  wire->stream);
    return wire->library.receive(message->buffer, bytes, request->type, request->root, request->comm,
                                 wire->stream);
}

static int state_of(const dist_nccl_wire *wire, void *comm)
{
    int state = DIST_NCCL_SUCCESS;
    const int result = wire->library.async_error(comm, &state);
    return result != DIST_NCCL_SUCCESS ? result : state;
}

/* One operation a launch: NCCL chooses the algorithm, and with it the order of a sum, for all that is in a group
 * together, and which operations come together depends on time. And one launch at a time: the next may not come onto
 * the stream before. */
static dist_status launch(dist_nccl_wire *wire, dist_wire_request **failed)
{
    for (;;) {
        dist_nccl_request *request = wire->launching;
        int result;
        if (request)
            result = state_of(wire, request->comm);
        else if ((request = dist_nccl_take(&wire->ordered)))
            result = call_nccl(wire, request);
        else
            return DIST_OK;
        if (result == DIST_NCCL_IN_PROGRESS && wire->launching)
            return DIST_OK;
        wire->launching = request;
        if (result == DIST_NCCL_IN_PROGRESS)
            continue;
        if (result != DIST_NCCL_SUCCESS) {
            *failed = &request->base;
            return dist_nccl_fail(&wire->library, request->comm, result, "launching");
        }
        const int error = wire->cuda->event_record(request->event, wire->stream);
        if (error != 0) {
            *failed = &request->base;
            return cuda_fail(wire, error, "recording an event");
        }
        wire->launching = NULL;
        dist_nccl_append(&wire->launched, request);
    }
}

/* They end in the order of the stream. */
static dist_status collect(dist_nccl_wire *wire, int *count, dist_wire_request **failed)
{
    while (wire->launched.first) {
        dist_nccl_request *request = wire->launched.first;
        const int error = wire->cuda->event_query(request->event);
        if (error == DIST_CUDA_NOT_READY)
            return DIST_OK;
        if (error != 0) {
            *failed = &request->base;
            return cuda_fail(wire, error, "an operation");
        }
        dist_nccl_take(&wire->launched);
        request->running = false;
        if (request->abandoned)
            dist_nccl_release(&request->base);
        else
            wire->done[(*count)++] = &request->base;
    }
    return DIST_OK;
}

static dist_wire_request *oldest_of(const dist_nccl_wire *wire, const void *comm)
{
    for (dist_nccl_request *request = wire->launched.first; request; request = request->next)
        if (request->comm == comm)
            return &request->base;
    return wire->launching && wire->launching->comm == comm ? &wire->launching->base : NULL;
}

static dist_status look(dist_nccl_wire *wire, dist_wire_request **failed)
{
    const int64_t now = dist_now();
    if (now - wire->looked < LOOK_INTERVAL)
        return DIST_OK;
    wire->looked = now;
    for (int c = 0; c < wire->comms; c++) {
        void *const comm = wire->comm[c].handle;
        const int state = comm ? state_of(wire, comm) : DIST_NCCL_SUCCESS;
        if (state != DIST_NCCL_SUCCESS && state != DIST_NCCL_IN_PROGRESS) {
            *failed = oldest_of(wire, comm);
            return dist_nccl_fail(&wire->library, comm, state, "an operation under way");
        }
    }
    return DIST_OK;
}

/* An abandoned request has no owner who could be blamed. */
static dist_status poll_all(dist_nccl_wire *wire, int *count, dist_wire_request **failed)
{
    DIST_TRY(dist_nccl_hear(wire));
    DIST_TRY(dist_nccl_order_tell(wire));
    DIST_TRY(launch(wire, failed));
    DIST_TRY(collect(wire, count, failed));
    return look(wire, failed);
}

dist_status dist_nccl_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                           dist_wire_request **failed)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)base;
    *count = 0;
    *failed = NULL;
    *done = wire->done;
    const dist_status status = poll_all(wire, count, failed);
    if (*failed && ((dist_nccl_request *)*failed)->abandoned)
        *failed = NULL;
    return status;
}
