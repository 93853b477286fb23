/* Messages as persistent requests, and the poll over all that run. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "wire/mpi_internal.h"

/* Arrays grow when a request is made, so that start and poll never allocate. */
dist_status dist_mpi_request_create(dist_mpi_wire *wire, dist_mpi_request **out)
{
    size_t needed = wire->existing + 1;
    dist_mpi_request *request = calloc(1, sizeof *request);
    if (!request || !dist_grow(&wire->active, &wire->active_capacity, needed, sizeof *wire->active) ||
        !dist_grow(&wire->active_of, &wire->active_of_capacity, needed, sizeof *wire->active_of) ||
        !dist_grow(&wire->done, &wire->done_capacity, needed, sizeof *wire->done) ||
        !dist_grow(&wire->index, &wire->index_capacity, needed, sizeof *wire->index) ||
        !dist_grow(&wire->state, &wire->state_capacity, needed, sizeof *wire->state)) {
        free(request);
        return dist_fail(DIST_ERR_MEMORY, "no memory for message number %zu", needed);
    }
    request->base.wire = &wire->base;
    request->handle = MPI_REQUEST_NULL;
    wire->existing = needed;
    *out = request;
    return DIST_OK;
}

dist_status dist_mpi_message(dist_wire *base, const dist_wire_message *message, dist_wire_request **out)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    dist_mpi_request *request;
    if (message->bytes > INT_MAX)
        return dist_fail(DIST_ERR_UNSUPPORTED, "a message of %llu bytes: MPI counts to %d",
                         (unsigned long long)message->bytes, INT_MAX);
    DIST_TRY(dist_mpi_request_create(wire, &request));
    int bytes = (int)message->bytes, tag = (int)message->tag;
    MPI_Comm channel = wire->channel[message->channel];
    if (message->send && message->variable) { /* MPI has no persistent request whose size changes */
        request->parcel = *message;
        *out = &request->base;
        return DIST_OK;
    }
    int code =
        message->send
            ? MPI_Send_init(message->buffer, bytes, MPI_BYTE, message->peer, tag, channel, &request->handle)
            : MPI_Recv_init(message->buffer, bytes, MPI_BYTE, message->peer, tag, channel, &request->handle);
    if (code != MPI_SUCCESS) {
        dist_mpi_release(&request->base);
        return dist_mpi_fail(code, message->send ? "MPI_Send_init" : "MPI_Recv_init");
    }
    request->persistent = true;
    *out = &request->base;
    return DIST_OK;
}

static dist_status start_parcel(const dist_mpi_wire *wire, dist_mpi_request *request)
{
    const dist_wire_message *message = &request->parcel;
    dist_parcel head;
    memcpy(&head, message->buffer, sizeof head);
    if (head.bytes > message->bytes - sizeof head)
        return dist_fail(DIST_ERR_ARGUMENT, "%llu bytes are to be sent, but at most %llu were declared",
                         (unsigned long long)head.bytes, (unsigned long long)(message->bytes - sizeof head));
    DIST_MPI_TRY(MPI_Isend(message->buffer, (int)(sizeof head + head.bytes), MPI_BYTE, message->peer,
                           (int)message->tag, wire->channel[message->channel], &request->handle));
    return DIST_OK;
}

dist_status dist_mpi_start(dist_wire_request *base)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base->wire;
    dist_mpi_request *request = (dist_mpi_request *)base;
    if (request->persistent)
        DIST_MPI_TRY(MPI_Start(&request->handle));
    else if (request->parcel.buffer)
        DIST_TRY(start_parcel(wire, request));
    else
        DIST_TRY(dist_mpi_collective_start(wire, request));
    request->running = true;
    request->at = (int)wire->actives;
    wire->active[wire->actives] = request->handle;
    wire->active_of[wire->actives] = request;
    wire->actives++;
    return DIST_OK;
}

static void retire(dist_mpi_wire *wire, dist_mpi_request *request)
{
    size_t last = --wire->actives;
    wire->active[request->at] = wire->active[last];
    wire->active_of[request->at] = wire->active_of[last];
    wire->active_of[request->at]->at = request->at;
    request->running = false;
    if (!request->persistent)
        request->handle = MPI_REQUEST_NULL;
}

static dist_status poll_failed(dist_mpi_wire *wire, int code, int finished, dist_wire_request **failed)
{
    for (int i = 0; code == MPI_ERR_IN_STATUS && i < finished; i++)
        if (wire->state[i].MPI_ERROR != MPI_SUCCESS) {
            *failed = &wire->active_of[wire->index[i]]->base;
            return dist_mpi_fail(wire->state[i].MPI_ERROR, "a message");
        }
    return dist_mpi_fail(code, "MPI_Testsome");
}

dist_status dist_mpi_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                          dist_wire_request **failed)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    int finished = 0;
    *count = 0;
    *done = wire->done;
    *failed = NULL;
    if (wire->actives == 0)
        return DIST_OK;
    int code = MPI_Testsome((int)wire->actives, wire->active, &finished, wire->index, wire->state);
    if (code != MPI_SUCCESS)
        return poll_failed(wire, code, finished, failed);
    if (finished == MPI_UNDEFINED)
        return DIST_OK;
    for (int i = 0; i < finished; i++)
        wire->done[i] = &wire->active_of[wire->index[i]]->base;
    for (int i = 0; i < finished; i++)
        retire(wire, (dist_mpi_request *)wire->done[i]);
    *count = finished;
    return DIST_OK;
}

void dist_mpi_release(dist_wire_request *base)
{
    if (!base)
        return;
    dist_mpi_wire *wire = (dist_mpi_wire *)base->wire;
    dist_mpi_request *request = (dist_mpi_request *)base;
    if (request->running) {
        MPI_Request handle = request->handle;
        retire(wire, request);
        request->handle = handle;
        if (request->persistent)
            MPI_Cancel(&request->handle);
    }
    if (request->handle != MPI_REQUEST_NULL && request->persistent)
        MPI_Request_free(&request->handle);
    wire->existing--;
    free(request);
}

_Static_assert(sizeof(MPI_Request) <= sizeof(dist_wire_token), "a token holds a request");

dist_status dist_mpi_post(dist_wire *base, const dist_wire_message *message, dist_wire_token *token)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    MPI_Comm channel = wire->channel[message->channel];
    MPI_Request handle;
    int bytes = (int)message->bytes, tag = (int)message->tag;
    int code = message->send
                   ? MPI_Isend(message->buffer, bytes, MPI_BYTE, message->peer, tag, channel, &handle)
                   : MPI_Irecv(message->buffer, bytes, MPI_BYTE, message->peer, tag, channel, &handle);
    if (code != MPI_SUCCESS)
        return dist_mpi_fail(code, message->send ? "MPI_Isend" : "MPI_Irecv");
    memcpy(token, &handle, sizeof handle);
    return DIST_OK;
}

dist_status dist_mpi_finish(dist_wire *base, dist_wire_token *token, bool *done)
{
    MPI_Request handle;
    int complete = 0;
    (void)base;
    memcpy(&handle, token, sizeof handle);
    int code = MPI_Test(&handle, &complete, MPI_STATUS_IGNORE);
    memcpy(token, &handle, sizeof handle);
    *done = complete != 0;
    return code == MPI_SUCCESS ? DIST_OK : dist_mpi_fail(code, "a short message");
}
