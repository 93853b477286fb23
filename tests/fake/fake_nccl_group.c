/* Operations as they are called, checked, and gathered into kernels at the end of a group. */
#include "fake_nccl_internal.h"
#include "kernels/device_cuda.h"

/* An operation alone is a group of one. */
typedef struct group {
    int depth;
    fake_kernel *first, **last;
    fake_comm *comms;
} group;

static _Thread_local group current;

bool fake_group_open(void)
{
    return current.depth > 0;
}

void fake_group_add_comm(fake_comm *comm)
{
    for (const fake_comm *other = current.comms; other; other = other->grouped)
        if (other == comm)
            return;
    comm->grouped = current.comms;
    current.comms = comm;
}

/* ---- kernels ---- */

/* Messages of one communicator on one stream are one kernel. */
static fake_kernel **kernel_for(const fake_comm *comm, const void *stream, const fake_op *op)
{
    if (op->kind >= FAKE_SEND)
        for (fake_kernel **at = &current.first; *at; at = &(*at)->next)
            if ((*at)->comm == comm && (*at)->stream == stream && (*at)->op[0].kind >= FAKE_SEND)
                return at;
    return NULL;
}

static void add_op(fake_comm *comm, void *stream, const fake_op *op)
{
    fake_kernel **at = kernel_for(comm, stream, op);
    const int ops = at ? (*at)->ops : 0;
    if (!at)
        at = current.last;
    fake_kernel *const before = *at;
    fake_kernel *kernel = realloc(before, sizeof *kernel + (size_t)(ops + 1) * sizeof *op);
    if (!kernel)
        fake_nccl_die("no memory");
    if (!before)
        *kernel = (fake_kernel){.comm = comm, .stream = stream};
    kernel->op[kernel->ops++] = *op;
    *at = kernel;
    if (!kernel->next)
        current.last = &kernel->next;
}

/* Each goes to its communicator, in the order of calls. */
static void hand_out(void)
{
    while (current.first) {
        fake_kernel *kernel = current.first, **at = &kernel->comm->pending;
        current.first = kernel->next;
        kernel->next = NULL;
        while (*at)
            at = &(*at)->next;
        if (!kernel->comm->pending)
            fake_comm_dawdles(kernel->comm);
        *at = kernel;
        fake_group_add_comm(kernel->comm);
    }
}

/* ---- start and end ---- */

FAKE_API int ncclGroupStart(void);
int ncclGroupStart(void)
{
    if (current.depth++ == 0)
        current.last = &current.first;
    return DIST_NCCL_SUCCESS;
}

/* What the group began for one communicator; that of one that may not block goes on behind ncclCommGetAsyncError. */
static int end_comm(fake_comm *comm)
{
    unsigned turns = 0;
    int state;
    if (__atomic_load_n(&comm->aborted, __ATOMIC_SEQ_CST)) {
        fake_comm_bury(comm);
        return DIST_NCCL_SUCCESS;
    }
    if (comm->phase == FAKE_STARTING && !comm->blocking)
        return DIST_NCCL_IN_PROGRESS;
    if (comm->polls > 0 && !comm->blocking)
        return DIST_NCCL_IN_PROGRESS;
    while ((state = fake_comm_state(comm)) == DIST_NCCL_IN_PROGRESS)
        fake_nccl_pause(&turns);
    return state;
}

FAKE_API int ncclGroupEnd(void);
int ncclGroupEnd(void)
{
    int result = DIST_NCCL_SUCCESS;
    if (current.depth == 0)
        return fake_nccl_error(DIST_NCCL_INVALID_USAGE, "ncclGroupEnd: not in a group call.");
    if (--current.depth > 0)
        return DIST_NCCL_SUCCESS;
    hand_out();
    for (fake_comm *comm = current.comms; comm; comm = comm->grouped)
        if (comm->phase == FAKE_HELD && comm->alive)
            fake_comm_begin(comm);
    while (current.comms) {
        fake_comm *comm = current.comms;
        current.comms = comm->grouped;
        comm->grouped = NULL;
        const int state = end_comm(comm);
        if (result == DIST_NCCL_SUCCESS || (state != DIST_NCCL_SUCCESS && state != DIST_NCCL_IN_PROGRESS))
            result = state;
    }
    return result;
}

int fake_group_add(fake_comm *comm, void *stream, const fake_op *op)
{
    int capturing = 0;
    const int wrong = fake_comm_ready(comm);
    if (wrong)
        return wrong;
    fake_nccl_count_operation();
    dist_cuda_table(DIST_CUDA_VERSION)->stream_capturing(stream, &capturing);
    if (capturing || (op->kind < FAKE_SEND && op->what.count == 0))
        return DIST_NCCL_SUCCESS;
    ncclGroupStart();
    add_op(comm, stream, op);
    return ncclGroupEnd();
}
