/* Shared by the files of the MPI wire. */
#ifndef DIST_WIRE_MPI_INTERNAL_H
#define DIST_WIRE_MPI_INTERNAL_H

#include "wire/mpi.h"

/* MPI 3 has no 16-bit floats: these are made of bytes, with operations of their own. */
typedef struct dist_mpi_types {
    MPI_Datatype float16, bfloat16;
    MPI_Op float16_op[DIST_REDUCTIONS], bfloat16_op[DIST_REDUCTIONS];
} dist_mpi_types;

typedef struct dist_mpi_wire {
    dist_wire base;
    MPI_Comm control;  /* exchange and notes */
    MPI_Comm *channel; /* [channels] */
    int channels;
    MPI_Comm *space; /* [base.spaces], for collectives */
    size_t space_capacity;
    dist_mpi_types types;

    /* running requests: parallel arrays for MPI_Testsome, as large as the number of requests that exist */
    MPI_Request *active;
    struct dist_mpi_request **active_of;
    dist_wire_request **done; /* what poll returned */
    int *index;
    MPI_Status *state;
    size_t actives, existing;
    size_t active_capacity, active_of_capacity, done_capacity, index_capacity, state_capacity;

    MPI_Request note_request;
    char note[DIST_NOTE_MAX];
    char *told; /* the note being sent; never freed once in flight */
} dist_mpi_wire;

typedef struct dist_mpi_request {
    dist_wire_request base;
    MPI_Request handle; /* persistent, or of the collective that runs */
    bool persistent, running;
    int at;                   /* position in wire->active while running */
    dist_wire_message parcel; /* of a variable send; else without buffer */
    dist_wire_collective call;
} dist_mpi_request;

/* DIST_ERR_MPI with MPI's own words for `code`. */
dist_status dist_mpi_fail(int code, const char *what);

/* Returns from the enclosing function with DIST_ERR_MPI unless the MPI call succeeds. */
#define DIST_MPI_TRY(call)                                                                                   \
    do {                                                                                                     \
        int dist_mpi_code = (call);                                                                          \
        if (dist_mpi_code != MPI_SUCCESS)                                                                    \
            return dist_mpi_fail(dist_mpi_code, #call);                                                      \
    } while (0)

/* Duplicates `parent` with errors returned instead of fatal. Blocks. */
dist_status dist_mpi_duplicate(MPI_Comm parent, MPI_Comm *out, const dist_patience *patience);
/* Waits for *request by testing; `what` goes into the sentence. */
dist_status dist_mpi_await(MPI_Request *request, const dist_patience *patience, const char *what);

/* mpi_device.c. Whether this MPI says that it sends from and receives into device memory. */
bool dist_mpi_takes_device_memory(void);

/* mpi_request.c */
dist_status dist_mpi_message(dist_wire *wire, const dist_wire_message *message, dist_wire_request **out);
dist_status dist_mpi_start(dist_wire_request *request);
dist_status dist_mpi_poll(dist_wire *wire, dist_wire_request *const **done, int *count,
                          dist_wire_request **failed);
void dist_mpi_release(dist_wire_request *request);
dist_status dist_mpi_request_create(dist_mpi_wire *wire, dist_mpi_request **out);

dist_status dist_mpi_post(dist_wire *wire, const dist_wire_message *message, dist_wire_token *token);
dist_status dist_mpi_finish(dist_wire *wire, dist_wire_token *token, bool *done);

/* mpi_collective.c */
dist_status dist_mpi_collective(dist_wire *wire, const dist_wire_collective *call, dist_wire_request **out);
dist_status dist_mpi_collective_start(dist_mpi_wire *wire, dist_mpi_request *request);
dist_status dist_mpi_types_create(dist_mpi_types *types);
void dist_mpi_types_free(dist_mpi_types *types);

/* mpi_control.c */
dist_status dist_mpi_exchange(dist_wire *wire, const void *mine, void *all, size_t bytes,
                              const dist_patience *patience);
dist_status dist_mpi_open_channels(dist_wire *wire, int channels, const dist_patience *patience);
dist_status dist_mpi_open_space(dist_wire *wire, int space, const dist_patience *patience);
dist_status dist_mpi_notes_open(dist_mpi_wire *wire);
void dist_mpi_tell(dist_wire *wire, const char note[DIST_NOTE_MAX]);
bool dist_mpi_hear(dist_wire *wire, char note[DIST_NOTE_MAX], int *from);

#endif
