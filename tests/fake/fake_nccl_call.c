/* The operations that a program calls: their arguments are checked, and addresses of the device become bytes. */
#include "fake_nccl_internal.h"
#include "kernels/device_cuda.h"

/* Where `bytes` bytes are that a kernel may use; ends the process where there are not so many. */
static char *bytes_at(const char *call, const void *pointer, uint64_t bytes, size_t size)
{
    int where = DIST_CUDA_AT_HOST, device;
    if (bytes == 0)
        return NULL;
    if (pointer)
        dist_cuda_table(DIST_CUDA_VERSION)->locate(pointer, &where, &device);
    if (where == DIST_CUDA_AT_HOST)
        fake_nccl_die("%s is given %p, which is not memory of the device", call, pointer);
    char *const first = fake_cuda_bytes(pointer);
    const char *const last = fake_cuda_bytes((const char *)pointer + bytes - 1);
    dist_cuda_table(DIST_CUDA_VERSION)->locate((const char *)pointer + bytes - 1, &where, &device);
    if (where == DIST_CUDA_AT_HOST || !first || !last || (uint64_t)(last - first) != bytes - 1)
        fake_nccl_die("%s is given %p, where there are not %llu bytes", call, pointer,
                      (unsigned long long)bytes);
    if ((uintptr_t)pointer % size)
        fake_nccl_die("%s is given %p, which is not aligned to %zu bytes", call, pointer, size);
    return first;
}

/* `allowed`: where they may meet, in place. */
static void check_overlap(const char *call, const char *send, uint64_t sent, const char *receive,
                          uint64_t received, const char *same, const char *allowed)
{
    if (send && receive && send < receive + received && receive < send + sent && same != allowed)
        fake_nccl_die("%s: input and output overlap, and not as in place", call);
}

typedef struct arguments {
    const void *send;
    void *receive;
    size_t count;
    int type, reduction, root;
    void *comm, *stream;
} arguments;

static bool valid(const fake_comm *comm, fake_kind kind, const arguments *a)
{
    const bool reduces = kind == FAKE_ALL_REDUCE || kind == FAKE_REDUCE_SCATTER;
    return fake_type_bytes(a->type) > 0 && (!reduces || fake_reduces(a->type, a->reduction)) &&
           a->root >= 0 && a->root < comm->ranks;
}

static int call(const char *name, fake_kind kind, const arguments *a)
{
    fake_comm *comm = fake_comm_of(a->comm);
    if (!valid(comm, kind, a))
        return fake_nccl_error(FAKE_INVALID_ARGUMENT,
                               "fake NCCL: a type, reduction, root or peer that is not there");
    const size_t size = fake_type_bytes(a->type);
    const uint64_t bytes = a->count * size, all = bytes * (uint64_t)comm->ranks;
    const uint64_t own = bytes * (uint64_t)comm->rank;
    const bool sends =
        kind == FAKE_SEND || (kind == FAKE_BROADCAST && comm->rank == a->root) || kind < FAKE_BROADCAST;
    const uint64_t sent = !sends ? 0 : kind == FAKE_REDUCE_SCATTER ? all : bytes;
    const uint64_t received = kind == FAKE_SEND ? 0 : kind == FAKE_ALL_GATHER ? all : bytes;
    const bool message = kind >= FAKE_SEND;
    const fake_op op = {.kind = kind,
                        .what = {.kind = (int32_t)(message ? FAKE_SEND : kind),
                                 .type = a->type,
                                 .reduction = a->reduction,
                                 .root = message ? 0 : a->root,
                                 .count = a->count},
                        .send = bytes_at(name, a->send, sent, size),
                        .receive = bytes_at(name, a->receive, received, size),
                        .bytes = bytes,
                        .peer = a->root};
    check_overlap(name, op.send, sent, op.receive, received,
                  kind == FAKE_ALL_GATHER && op.receive ? op.receive + own : op.receive,
                  kind == FAKE_REDUCE_SCATTER && op.send ? op.send + own : op.send);
    return fake_group_add(comm, a->stream, &op);
}

FAKE_API int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, void *comm,
                           void *stream);
int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, void *comm, void *stream)
{
    return call("ncclAllReduce", FAKE_ALL_REDUCE,
                &(arguments){send, receive, count, type, op, 0, comm, stream});
}

FAKE_API int ncclReduceScatter(const void *send, void *receive, size_t count, int type, int op, void *comm,
                               void *stream);
int ncclReduceScatter(const void *send, void *receive, size_t count, int type, int op, void *comm,
                      void *stream)
{
    return call("ncclReduceScatter", FAKE_REDUCE_SCATTER,
                &(arguments){send, receive, count, type, op, 0, comm, stream});
}

FAKE_API int ncclAllGather(const void *send, void *receive, size_t count, int type, void *comm, void *stream);
int ncclAllGather(const void *send, void *receive, size_t count, int type, void *comm, void *stream)
{
    return call("ncclAllGather", FAKE_ALL_GATHER,
                &(arguments){send, receive, count, type, 0, 0, comm, stream});
}

FAKE_NEWER_API int ncclBroadcast(const void *send, void *receive, size_t count, int type, int root,
                                 void *comm, void *stream);
int ncclBroadcast(const void *send, void *receive, size_t count, int type, int root, void *comm, void *stream)
{
    return call("ncclBroadcast", FAKE_BROADCAST,
                &(arguments){send, receive, count, type, 0, root, comm, stream});
}

FAKE_NEWER_API int ncclSend(const void *data, size_t count, int type, int peer, void *comm, void *stream);
int ncclSend(const void *data, size_t count, int type, int peer, void *comm, void *stream)
{
    return call("ncclSend", FAKE_SEND, &(arguments){data, NULL, count, type, 0, peer, comm, stream});
}

FAKE_NEWER_API int ncclRecv(void *data, size_t count, int type, int peer, void *comm, void *stream);
int ncclRecv(void *data, size_t count, int type, int peer, void *comm, void *stream)
{
    return call("ncclRecv", FAKE_RECEIVE, &(arguments){NULL, data, count, type, 0, peer, comm, stream});
}
