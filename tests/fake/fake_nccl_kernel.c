/* Kernels: they take their turn, come onto the device, and move data through the boxes of their communicator. */
#include <sched.h>

#include "fake_nccl_internal.h"

static bool stopped(const fake_comm *comm)
{
    return __atomic_load_n(&comm->aborted, __ATOMIC_SEQ_CST);
}

/* As a device does it: others can run in between. */
static void copy(char *to, const char *from, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += FAKE_PIECE) {
        memmove(to + at, from + at, bytes - at < FAKE_PIECE ? bytes - at : FAKE_PIECE);
        sched_yield();
    }
}

/* ---- boxes ---- */

static fake_box *box_of(const fake_comm *comm, int from, int to)
{
    return &comm->segment->box[from * comm->ranks + to];
}

static bool full(const fake_box *box)
{
    return __atomic_load_n(&box->written, __ATOMIC_ACQUIRE) != __atomic_load_n(&box->read, __ATOMIC_ACQUIRE);
}

static void fill(fake_box *box, const fake_what *what, const char *data, uint64_t bytes)
{
    box->what = *what;
    box->bytes = bytes;
    copy(box->data, data, bytes);
    __atomic_store_n(&box->written, box->written + 1, __ATOMIC_RELEASE);
}

static void empty(fake_box *box)
{
    __atomic_store_n(&box->read, box->read + 1, __ATOMIC_RELEASE);
}

static void compare(const fake_comm *comm, int peer, const fake_box *box, const fake_op *op, uint64_t bytes)
{
    static const char *const kinds[] = {"all-reduce", "reduce-scatter", "all-gather", "broadcast", "message"};
    const fake_what *mine = &op->what, *other = &box->what;
    if (memcmp(mine, other, sizeof *mine) != 0 || box->bytes != bytes)
        fake_nccl_die(
            "members of one communicator disagree: rank %d has a%s %s of %llu elements of type %d, reduction "
            "%d, root %d; rank %d a%s %s of %llu, %d, %d, %d",
            comm->rank, mine->kind ? "" : "n", kinds[mine->kind], (unsigned long long)mine->count, mine->type,
            mine->reduction, mine->root, peer, other->kind ? "" : "n", kinds[other->kind],
            (unsigned long long)other->count, other->type, other->reduction, other->root);
}

static bool post(const fake_comm *comm, int peer, const fake_op *op, const char *data, uint64_t bytes)
{
    fake_box *box = box_of(comm, comm->rank, peer);
    unsigned turns = 0;
    while (full(box)) {
        if (stopped(comm))
            return false;
        fake_nccl_pause(&turns);
    }
    fill(box, &op->what, data, bytes);
    return true;
}

/* What has come from a peer, or NULL when all is at an end. */
static fake_box *await(const fake_comm *comm, int peer, const fake_op *op, uint64_t bytes)
{
    fake_box *box = box_of(comm, peer, comm->rank);
    unsigned turns = 0;
    while (!full(box)) {
        if (stopped(comm))
            return NULL;
        fake_nccl_pause(&turns);
    }
    compare(comm, peer, box, op, bytes);
    return box;
}

/* ---- collectives ---- */

static bool speaks(const fake_op *op, int rank)
{
    return op->kind != FAKE_BROADCAST || rank == op->what.root;
}

/* A chunk of what is for `rank`. */
static const char *part_for(const fake_op *op, int rank, uint64_t at)
{
    return op->send + at + (op->kind == FAKE_REDUCE_SCATTER ? op->bytes * (uint64_t)rank : 0);
}

static void use(const fake_comm *comm, const fake_op *op, const char *const from[], uint64_t at,
                uint64_t bytes)
{
    switch (op->kind) {
    case FAKE_ALL_REDUCE:
    case FAKE_REDUCE_SCATTER:
        fake_reduce(op->what.type, op->what.reduction, comm->ranks, from, op->receive + at,
                    bytes / fake_type_bytes(op->what.type));
        break;
    case FAKE_ALL_GATHER:
        for (int r = 0; r < comm->ranks; r++)
            copy(op->receive + op->bytes * (uint64_t)r + at, from[r], bytes);
        break;
    default:
        copy(op->receive + at, from[op->what.root], bytes);
    }
}

/* Bytes of a chunk that a member sends. With the first all say that they have come, and what they mean. */
static uint64_t share(const fake_op *op, int rank, uint64_t bytes)
{
    return speaks(op, rank) ? bytes : 0;
}

static bool comes(const fake_op *op, int rank, uint64_t at)
{
    return at == 0 || speaks(op, rank);
}

/* What it reads first is its own input: as on a device, before anybody else has come. */
static bool exchange(const fake_comm *comm, const fake_op *op, uint64_t at, uint64_t bytes)
{
    const char *from[FAKE_RANKS_MOST] = {NULL};
    fake_box *box[FAKE_RANKS_MOST] = {NULL};
    const int self = comm->rank;
    if (speaks(op, self))
        from[self] = part_for(op, self, at);
    for (int r = 0; r < comm->ranks; r++)
        if (r != self && comes(op, self, at) &&
            !post(comm, r, op, speaks(op, self) ? part_for(op, r, at) : NULL, share(op, self, bytes)))
            return false;
    for (int r = 0; r < comm->ranks; r++) {
        if (r == self || !comes(op, r, at))
            continue;
        if (!(box[r] = await(comm, r, op, share(op, r, bytes))))
            return false;
        from[r] = box[r]->data;
    }
    use(comm, op, from, at, bytes);
    for (int r = 0; r < comm->ranks; r++)
        if (box[r])
            empty(box[r]);
    return true;
}

static void run_collective(const fake_comm *comm, const fake_op *op)
{
    bool goes_on = true;
    for (uint64_t at = 0; goes_on && at < op->bytes; at += FAKE_CHUNK)
        goes_on = exchange(comm, op, at, op->bytes - at < FAKE_CHUNK ? op->bytes - at : FAKE_CHUNK);
}

/* ---- messages ---- */

static uint64_t next_bytes(const fake_op *op)
{
    return op->bytes - op->at < FAKE_CHUNK ? op->bytes - op->at : FAKE_CHUNK;
}

/* True when it got on. One is done when the last of it has been taken. */
static bool move(const fake_comm *comm, fake_op *op)
{
    const bool sends = op->kind == FAKE_SEND;
    fake_box *box = sends ? box_of(comm, comm->rank, op->peer) : box_of(comm, op->peer, comm->rank);
    const uint64_t bytes = next_bytes(op);
    const bool all = op->begun && op->at == op->bytes;
    if (full(box) == sends)
        return false;
    if (sends && all)
        return op->done = true;
    if (sends)
        fill(box, &op->what, op->bytes ? op->send + op->at : NULL, bytes);
    else {
        compare(comm, op->peer, box, op, bytes);
        copy(op->bytes ? op->receive + op->at : NULL, box->data, bytes);
        empty(box);
    }
    op->at += bytes;
    op->begun = true;
    op->done = !sends && op->at == op->bytes;
    return true;
}

/* Those of one direction and peer follow each other. */
static bool has_turn(const fake_kernel *kernel, int i)
{
    for (int before = 0; before < i; before++)
        if (!kernel->op[before].done && kernel->op[before].kind == kernel->op[i].kind &&
            kernel->op[before].peer == kernel->op[i].peer)
            return false;
    return !kernel->op[i].done;
}

static void run_messages(fake_kernel *kernel)
{
    unsigned turns = 0;
    for (int left = kernel->ops; left > 0 && !stopped(kernel->comm);) {
        bool moved = false;
        for (int i = 0; i < kernel->ops; i++)
            if (has_turn(kernel, i) && move(kernel->comm, &kernel->op[i])) {
                moved = true;
                left -= kernel->op[i].done;
            }
        if (moved)
            turns = 0;
        else
            fake_nccl_pause(&turns);
    }
}

/* ---- kernels ---- */

/* NCCL orders kernels of one communicator, whatever their streams. */
static bool await_turn(const fake_kernel *kernel)
{
    unsigned turns = 0;
    while (__atomic_load_n(&kernel->comm->finished, __ATOMIC_ACQUIRE) != kernel->number) {
        if (stopped(kernel->comm))
            return false;
        fake_nccl_pause(&turns);
    }
    return !stopped(kernel->comm);
}

static bool come_onto(fake_device *device, const fake_comm *comm)
{
    unsigned turns = 0;
    for (;;) {
        long there = __atomic_load_n(&device->resident, __ATOMIC_RELAXED);
        if (stopped(comm))
            return false;
        if (there < fake_nccl_value(FAKE_NCCL_RESIDENT) &&
            __atomic_compare_exchange_n(&device->resident, &there, there + 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
        fake_nccl_pause(&turns);
    }
}

static void stay_for_ever(const fake_comm *comm)
{
    unsigned turns = 0;
    while (!stopped(comm))
        fake_nccl_pause(&turns);
}

static void run_on_device(fake_kernel *kernel)
{
    fake_comm *comm = kernel->comm;
    if (!come_onto(comm->device, comm))
        return;
    fake_nccl_add(FAKE_NCCL_RUNNING, 1);
    if (fake_nccl_broken() || comm->rank == fake_nccl_value(FAKE_NCCL_LOSE))
        stay_for_ever(comm);
    else if (kernel->op[0].kind < FAKE_SEND)
        run_collective(comm, &kernel->op[0]);
    else
        run_messages(kernel);
    fake_nccl_add(FAKE_NCCL_RUNNING, -1);
    __atomic_fetch_sub(&comm->device->resident, 1, __ATOMIC_RELAXED);
}

static void run(void *argument)
{
    fake_kernel *kernel = argument;
    fake_comm *comm = kernel->comm;
    __atomic_fetch_add(&comm->running, 1, __ATOMIC_SEQ_CST); /* before it is looked whether it may */
    if (!stopped(comm) && await_turn(kernel))
        run_on_device(kernel);
    __atomic_fetch_add(&comm->finished, 1, __ATOMIC_RELEASE);
    __atomic_fetch_sub(&comm->running, 1, __ATOMIC_SEQ_CST);
    free(kernel);
}

void fake_kernel_launch(fake_kernel *kernel)
{
    kernel->number = kernel->comm->launched++;
    fake_cuda_call(kernel->stream, run, kernel);
}
