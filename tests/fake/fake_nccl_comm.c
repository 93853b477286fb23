/* Communicators: their beginning, state and end. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include "fake_nccl_internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static fake_comm *comms;
static fake_device *devices;

fake_comm *fake_comm_of(void *given)
{
    fake_comm *comm = given;
    if (!comm || !comm->alive)
        fake_nccl_die("a communicator is used that is not there");
    return comm;
}

static uint64_t draw(fake_comm *comm)
{
    comm->random = comm->random * 6364136223846793005u + 1442695040888963407u;
    return comm->random >> 33;
}

bool fake_comm_dawdles(fake_comm *comm)
{
    comm->polls = draw(comm) % 2 ? 0 : 1 + (int)(draw(comm) % 4);
    return comm->polls > 0 && !comm->blocking;
}

/* ---- beginning ---- */

static fake_device *device_in_use(void)
{
    uint8_t uuid[16];
    fake_device *found;
    fake_cuda_identity(uuid);
    pthread_mutex_lock(&lock);
    for (found = devices; found && memcmp(found->uuid, uuid, sizeof uuid) != 0;)
        found = found->next;
    if (!found && (found = calloc(1, sizeof *found)) != NULL) {
        memcpy(found->uuid, uuid, sizeof uuid);
        found->next = devices;
        devices = found;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static fake_comm *make_comm(int ranks, const dist_nccl_id *id, int rank, bool blocking)
{
    static uint64_t made;
    fake_comm *comm = calloc(1, sizeof *comm);
    if (!comm)
        fake_nccl_die("no memory");
    const char *seed = getenv("FAKE_CUDA_SEED");
    *comm = (fake_comm){.alive = true, .blocking = blocking, .ranks = ranks, .rank = rank, .id = *id};
    comm->random = __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15u +
                   (uint64_t)(seed ? strtol(seed, NULL, 10) : 1);
    comm->device = device_in_use();
    pthread_mutex_lock(&lock);
    comm->next = comms;
    comms = comm;
    pthread_mutex_unlock(&lock);
    return comm;
}

/* As NCCL reads it: `blocking` may be undefined. */
static int check_config(const dist_nccl_config *config)
{
    if (config->magic != 0xcafebeef || config->size < offsetof(dist_nccl_config, cga_cluster_size))
        return fake_nccl_error(FAKE_INVALID_ARGUMENT,
                               "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
    if (config->blocking != 0 && config->blocking != 1 && config->blocking != INT_MIN)
        return fake_nccl_error(FAKE_INVALID_ARGUMENT, "Invalid config blocking attribute value");
    return DIST_NCCL_SUCCESS;
}

void fake_comm_begin(fake_comm *comm)
{
    comm->phase = FAKE_STARTING;
    fake_comm_dawdles(comm);
    comm->segment = fake_segment_join(&comm->id, comm->ranks, comm->rank, comm->device->uuid);
}

static void wait_ready(fake_comm *comm)
{
    unsigned turns = 0;
    while (fake_comm_state(comm) == DIST_NCCL_IN_PROGRESS)
        fake_nccl_pause(&turns);
}

FAKE_API int ncclCommInitRankConfig(void **out, int ranks, dist_nccl_id id, int rank,
                                    dist_nccl_config *config);
int ncclCommInitRankConfig(void **out, int ranks, dist_nccl_id id, int rank, dist_nccl_config *config)
{
    *out = NULL;
    const int wrong = config ? check_config(config) : DIST_NCCL_SUCCESS;
    if (wrong)
        return wrong;
    if (ranks < 1 || ranks > FAKE_RANKS_MOST || rank < 0 || rank >= ranks)
        return fake_nccl_error(FAKE_INVALID_ARGUMENT,
                               "Invalid rank requested, or more ranks than the fake has");
    if (rank == fake_nccl_value(FAKE_NCCL_REFUSE))
        return fake_nccl_error(DIST_NCCL_INVALID_USAGE, "fake NCCL: this rank is refused");
    fake_comm *comm = make_comm(ranks, &id, rank, !config || config->blocking != 0);
    *out = comm;
    if (fake_group_open()) {
        fake_group_add_comm(comm);
        return DIST_NCCL_SUCCESS;
    }
    fake_comm_begin(comm);
    if (!comm->blocking)
        return DIST_NCCL_IN_PROGRESS;
    wait_ready(comm);
    return fake_comm_state(comm);
}

FAKE_API int ncclGetUniqueId(dist_nccl_id *id);
int ncclGetUniqueId(dist_nccl_id *id)
{
    return fake_segment_create(id);
}

/* ---- state ---- */

static bool shares_device(const fake_comm *comm)
{
    const fake_member *member = comm->segment->member;
    const char *enabled = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
    if (fake_nccl_value(FAKE_NCCL_VERSION) >= 23000 && enabled && strcmp(enabled, "1") == 0)
        return false;
    for (int a = 0; a < comm->ranks; a++)
        for (int b = 0; b < a; b++)
            if (memcmp(member[a].uuid, member[b].uuid, sizeof member[a].uuid) == 0)
                return true;
    return false;
}

static int start(fake_comm *comm)
{
    if (!comm->segment || comm->rank == fake_nccl_value(FAKE_NCCL_STICK) ||
        !fake_segment_complete(comm->segment, comm->ranks, false) || comm->polls-- > 0)
        return DIST_NCCL_IN_PROGRESS;
    fake_segment_seal(&comm->id);
    if (shares_device(comm))
        return comm->error = fake_nccl_error(DIST_NCCL_INVALID_USAGE,
                                             "Duplicate GPU detected : two ranks on one CUDA device");
    comm->phase = FAKE_READY;
    return DIST_NCCL_SUCCESS;
}

static int launch_pending(fake_comm *comm)
{
    if (comm->pending && comm->polls-- > 0)
        return DIST_NCCL_IN_PROGRESS;
    while (comm->pending) {
        fake_kernel *kernel = comm->pending;
        comm->pending = kernel->next;
        fake_kernel_launch(kernel);
    }
    return DIST_NCCL_SUCCESS;
}

static bool kernels_done(const fake_comm *comm)
{
    return __atomic_load_n(&comm->finished, __ATOMIC_ACQUIRE) == comm->launched;
}

static int finalize(fake_comm *comm)
{
    fake_member *self = &comm->segment->member[comm->rank];
    if (launch_pending(comm) == DIST_NCCL_IN_PROGRESS || !kernels_done(comm))
        return DIST_NCCL_IN_PROGRESS;
    __atomic_store_n(&self->finalized, 1, __ATOMIC_RELEASE);
    if (!fake_segment_complete(comm->segment, comm->ranks, true))
        return DIST_NCCL_IN_PROGRESS;
    comm->phase = FAKE_FINALIZED;
    return DIST_NCCL_SUCCESS;
}

int fake_comm_state(fake_comm *comm)
{
    if (fake_nccl_broken())
        return fake_nccl_error(FAKE_REMOTE_ERROR, FAKE_NCCL_SENTENCE);
    if (comm->error)
        return comm->error;
    switch (comm->phase) {
    case FAKE_HELD:
        return DIST_NCCL_IN_PROGRESS;
    case FAKE_STARTING:
        return start(comm);
    case FAKE_READY:
        return launch_pending(comm);
    case FAKE_FINALIZING:
        return finalize(comm);
    default:
        return DIST_NCCL_SUCCESS;
    }
}

FAKE_API int ncclCommGetAsyncError(void *given, int *state);
int ncclCommGetAsyncError(void *given, int *state)
{
    *state = fake_comm_state(fake_comm_of(given));
    return DIST_NCCL_SUCCESS;
}

int fake_comm_ready(fake_comm *comm)
{
    const int state = fake_comm_state(comm);
    if (state == DIST_NCCL_IN_PROGRESS)
        return fake_nccl_error(
            FAKE_INVALID_ARGUMENT,
            "Attempt to use communicator before the previous operation returned ncclSuccess");
    if (state == DIST_NCCL_SUCCESS && comm->phase != FAKE_READY)
        return fake_nccl_error(FAKE_INVALID_ARGUMENT, "a communicator is used after ncclCommFinalize");
    return state;
}

/* ---- end ---- */

FAKE_NEWER_API int ncclCommFinalize(void *given);
int ncclCommFinalize(void *given)
{
    fake_comm *comm = fake_comm_of(given);
    const int wrong = fake_comm_ready(comm);
    if (wrong)
        return wrong;
    comm->phase = FAKE_FINALIZING;
    fake_comm_state(comm); /* the others need not wait for this one to ask again */
    if (!comm->blocking)
        return DIST_NCCL_IN_PROGRESS;
    wait_ready(comm);
    return fake_comm_state(comm);
}

/* Waits for kernels that run; those that are still behind other work of their stream will do nothing. */
void fake_comm_bury(fake_comm *comm)
{
    unsigned turns = 0;
    while (__atomic_load_n(&comm->running, __ATOMIC_SEQ_CST))
        fake_nccl_pause(&turns);
    while (comm->pending) {
        fake_kernel *kernel = comm->pending;
        comm->pending = kernel->next;
        free(kernel);
    }
    fake_segment_seal(&comm->id);
    if (comm->segment)
        fake_segment_leave(comm->segment, comm->ranks);
    comm->segment = NULL;
}

FAKE_API int ncclCommAbort(void *given);
int ncclCommAbort(void *given)
{
    fake_comm *comm = fake_comm_of(given);
    __atomic_store_n(&comm->aborted, 1, __ATOMIC_SEQ_CST);
    comm->alive = false;
    if (fake_group_open())
        fake_group_add_comm(comm);
    else
        fake_comm_bury(comm);
    return DIST_NCCL_SUCCESS;
}

/* Without finalize before it, it waits for this member's kernels alone. */
FAKE_API int ncclCommDestroy(void *given);
int ncclCommDestroy(void *given)
{
    fake_comm *comm = fake_comm_of(given);
    unsigned turns = 0;
    comm->polls = 0;
    launch_pending(comm);
    while (!kernels_done(comm))
        fake_nccl_pause(&turns);
    return ncclCommAbort(comm);
}
