/* What is said beside the data: duplicated communicators, small exchanges with a deadline, notes about
 * failures. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "wire/mpi_internal.h"

#define NOTE_TAG   1
#define AWAIT_SPIN 200000 /* ns */

dist_status dist_mpi_await(MPI_Request *request, const dist_patience *patience, const char *what)
{
    int done = 0;
    const int64_t begun = dist_now();
    for (;;) {
        DIST_MPI_TRY(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (done)
            return DIST_OK;
        const int64_t now = dist_now();
        if (now > patience->deadline)
            return dist_fail(DIST_ERR_TIMEOUT, "%s: another rank did not take part in time", what);
        if (!patience->idle)
            dist_rest(now - begun, AWAIT_SPIN);
        else if (!patience->idle(patience->argument))
            return dist_fail(DIST_ERR_STATE, "%s: given up", what);
    }
}

dist_status dist_mpi_duplicate(MPI_Comm parent, MPI_Comm *out, const dist_patience *patience)
{
    MPI_Request request;
    DIST_MPI_TRY(MPI_Comm_idup(parent, out, &request));
    DIST_TRY(dist_mpi_await(&request, patience, "duplicating a communicator"));
    DIST_MPI_TRY(MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN));
    return DIST_OK;
}

dist_status dist_mpi_open_channels(dist_wire *base, int channels, const dist_patience *patience)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    size_t room = (size_t)wire->channels;
    if (channels <= wire->channels)
        return DIST_OK;
    if (!dist_grow(&wire->channel, &room, (size_t)channels, sizeof *wire->channel))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d channels", channels);
    for (; wire->channels < channels; wire->channels++)
        DIST_TRY(dist_mpi_duplicate(wire->control, &wire->channel[wire->channels], patience));
    return DIST_OK;
}

dist_status dist_mpi_open_space(dist_wire *base, int space, const dist_patience *patience)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    if (space < wire->base.spaces)
        return DIST_OK;
    if (!dist_grow(&wire->space, &wire->space_capacity, (size_t)space + 1, sizeof *wire->space))
        return dist_fail(DIST_ERR_MEMORY, "no memory for collective space %d", space);
    DIST_TRY(dist_mpi_duplicate(wire->control, &wire->space[space], patience));
    wire->base.spaces = space + 1;
    return DIST_OK;
}

/* Works on copies: after a timeout MPI may still use them, so they are then left to the end of the process.
 */
dist_status dist_mpi_exchange(dist_wire *base, const void *mine, void *all, size_t bytes,
                              const dist_patience *patience)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    MPI_Request request;
    size_t total = bytes * (size_t)base->ranks;
    char *copy = malloc(bytes + total);
    if (!copy)
        return dist_fail(DIST_ERR_MEMORY, "no memory to hear %zu bytes from %d ranks", bytes, base->ranks);
    memcpy(copy, mine, bytes);
    int code = MPI_Iallgather(copy, (int)bytes, MPI_BYTE, copy + bytes, (int)bytes, MPI_BYTE, wire->control,
                              &request);
    if (code != MPI_SUCCESS) {
        free(copy);
        return dist_mpi_fail(code, "MPI_Iallgather");
    }
    DIST_TRY(dist_mpi_await(&request, patience, "comparing calls between ranks"));
    memcpy(all, copy + bytes, total);
    free(copy);
    return DIST_OK;
}

dist_status dist_mpi_notes_open(dist_mpi_wire *wire)
{
    DIST_MPI_TRY(MPI_Recv_init(wire->note, DIST_NOTE_MAX, MPI_CHAR, MPI_ANY_SOURCE, NOTE_TAG, wire->control,
                               &wire->note_request));
    DIST_MPI_TRY(MPI_Start(&wire->note_request));
    return DIST_OK;
}

/* Sends are started and left: the peer may never listen. One note a process, for its first failure. */
void dist_mpi_tell(dist_wire *base, const char note[DIST_NOTE_MAX])
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    if (wire->told || !(wire->told = malloc(DIST_NOTE_MAX)))
        return;
    memcpy(wire->told, note, DIST_NOTE_MAX);
    for (int peer = 0; peer < base->ranks; peer++) {
        MPI_Request request;
        if (peer != base->rank && MPI_Isend(wire->told, DIST_NOTE_MAX, MPI_CHAR, peer, NOTE_TAG,
                                            wire->control, &request) == MPI_SUCCESS)
            MPI_Request_free(&request);
    }
}

bool dist_mpi_hear(dist_wire *base, char note[DIST_NOTE_MAX], int *from)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    MPI_Status state;
    int arrived = 0;
    if (MPI_Test(&wire->note_request, &arrived, &state) != MPI_SUCCESS || !arrived)
        return false;
    memcpy(note, wire->note, DIST_NOTE_MAX);
    note[DIST_NOTE_MAX - 1] = '\0';
    *from = state.MPI_SOURCE;
    MPI_Start(&wire->note_request);
    return true;
}
