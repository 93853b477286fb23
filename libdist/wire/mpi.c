#include "wire/mpi.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "wire/mpi_internal.h"

#define ONE_WAY      65536 /* bytes: Open MPI's default btl_tcp_eager_limit, less on other paths */
#define OPEN_TIMEOUT 120.0 /* seconds: the ranks of a job may start far apart */

dist_status dist_mpi_fail(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return dist_fail(DIST_ERR_MPI, "%s: MPI error %d: %s", what, code, text);
}

dist_status dist_mpi_begin(bool *started)
{
    int initialized = 0, finalized = 0, granted;
    *started = false;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (finalized)
        return dist_fail(DIST_ERR_STATE,
                         "MPI has been finalized in this process and cannot be started again");
    if (initialized)
        return DIST_OK;
    DIST_MPI_TRY(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &granted));
    *started = true;
    return DIST_OK;
}

void dist_mpi_end(void)
{
    MPI_Finalize();
}

static void mpi_close(dist_wire *base, bool failed)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    if (failed)
        return; /* MPI may still write into what we would free; the process is about to end */
    if (wire->note_request != MPI_REQUEST_NULL) {
        MPI_Cancel(&wire->note_request);
        MPI_Wait(&wire->note_request, MPI_STATUS_IGNORE);
    }
    for (int s = 0; s < wire->base.spaces; s++)
        MPI_Comm_free(&wire->space[s]);
    for (int c = 0; c < wire->channels; c++)
        if (wire->channel && wire->channel[c] != MPI_COMM_NULL)
            MPI_Comm_free(&wire->channel[c]);
    if (wire->control != MPI_COMM_NULL)
        MPI_Comm_free(&wire->control);
    dist_mpi_types_free(&wire->types);
    free(wire->space);
    free(wire->channel);
    free(wire->active);
    free(wire->active_of);
    free(wire->done);
    free(wire->index);
    free(wire->state);
    free(wire->told);
    free(wire);
}

static const dist_wire_ops mpi_ops = {
    .name = "mpi",
    .message = dist_mpi_message,
    .collective = dist_mpi_collective,
    .start = dist_mpi_start,
    .poll = dist_mpi_poll,
    .release = dist_mpi_release,
    .post = dist_mpi_post,
    .finish = dist_mpi_finish,
    .exchange = dist_mpi_exchange,
    .open_channels = dist_mpi_open_channels,
    .open_space = dist_mpi_open_space,
    .tell = dist_mpi_tell,
    .hear = dist_mpi_hear,
    .close = mpi_close,
};

static dist_status open_communicators(dist_mpi_wire *wire, MPI_Comm parent)
{
    dist_patience patience = {.deadline = dist_deadline(OPEN_TIMEOUT)};
    DIST_TRY(dist_mpi_duplicate(parent, &wire->control, &patience));
    for (int c = 0; c < wire->channels; c++)
        DIST_TRY(dist_mpi_duplicate(parent, &wire->channel[c], &patience));
    DIST_MPI_TRY(MPI_Comm_rank(wire->control, &wire->base.rank));
    DIST_MPI_TRY(MPI_Comm_size(wire->control, &wire->base.ranks));
    DIST_TRY(dist_mpi_types_create(&wire->types));
    return dist_mpi_notes_open(wire);
}

dist_status dist_wire_mpi_open(dist_wire **out, MPI_Comm parent, int channels)
{
    int granted = MPI_THREAD_SINGLE, found = 0;
    int *most = NULL;
    dist_mpi_wire *wire = calloc(1, sizeof *wire);
    *out = NULL;
    if (!wire || !(wire->channel = malloc(sizeof(MPI_Comm) * (size_t)channels))) {
        free(wire);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the MPI wire");
    }
    wire->base.ops = &mpi_ops;
    wire->control = MPI_COMM_NULL;
    wire->note_request = MPI_REQUEST_NULL;
    wire->channels = channels;
    for (int c = 0; c < channels; c++)
        wire->channel[c] = MPI_COMM_NULL;
    dist_status status = open_communicators(wire, parent);
    if (status < 0) {
        mpi_close(&wire->base, false);
        return status;
    }
    MPI_Query_thread(&granted);
    wire->base.threaded = granted == MPI_THREAD_MULTIPLE;
    MPI_Comm_get_attr(wire->control, MPI_TAG_UB, &most, &found);
    wire->base.one_way = ONE_WAY;
    wire->base.device = dist_mpi_takes_device_memory();
    wire->base.tags = found && *most > 0 ? (uint32_t)*most : 32767;
    *out = &wire->base;
    return DIST_OK;
}

dist_status dist_wire_mpi_node(dist_wire *base, int *lowest)
{
    dist_mpi_wire *wire = (dist_mpi_wire *)base;
    MPI_Comm node;
    *lowest = base->rank;
    DIST_MPI_TRY(MPI_Comm_split_type(wire->control, MPI_COMM_TYPE_SHARED, base->rank, MPI_INFO_NULL, &node));
    int code = MPI_Bcast(lowest, 1, MPI_INT, 0, node);
    MPI_Comm_free(&node);
    return code == MPI_SUCCESS ? DIST_OK : dist_mpi_fail(code, "finding the ranks of this node");
}
