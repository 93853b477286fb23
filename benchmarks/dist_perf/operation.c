#include "operation.h"

#include <string.h>

static const void *input_of(const perf_call *c)
{
    return c->place == PERF_IN_PLACE ? DIST_IN_PLACE : c->send;
}

static void *mpi_input_of(const perf_call *c)
{
    return c->place == PERF_IN_PLACE ? MPI_IN_PLACE : (void *)c->send;
}

/* Of a scatter in place libdist takes this rank's part of the input. */
static void *part_of(const perf_call *c)
{
    const size_t part = c->count * dist_type_bytes(c->type);
    return c->place == PERF_IN_PLACE ? c->receive + part * (size_t)dist_rank(c->context) : c->receive;
}

static int next_of(const perf_call *c)
{
    return (dist_rank(c->context) + 1) % dist_ranks(c->context);
}

static int before_of(const perf_call *c)
{
    return (dist_rank(c->context) + dist_ranks(c->context) - 1) % dist_ranks(c->context);
}

/* ---- libdist ---- */

static dist_status all_reduce(const perf_call *c)
{
    return dist_all_reduce(c->context, input_of(c), c->receive, c->count, c->type, c->op, &c->options);
}

static dist_status all_reduce_init(const perf_call *c, dist_request **request)
{
    return dist_all_reduce_init(c->context, input_of(c), c->receive, c->count, c->type, c->op, &c->options,
                                request);
}

static dist_status reduce_scatter(const perf_call *c)
{
    return dist_reduce_scatter(c->context, input_of(c), part_of(c), c->count, c->type, c->op, &c->options);
}

static dist_status reduce_scatter_init(const perf_call *c, dist_request **request)
{
    return dist_reduce_scatter_init(c->context, input_of(c), part_of(c), c->count, c->type, c->op,
                                    &c->options, request);
}

static dist_status all_gather(const perf_call *c)
{
    return dist_all_gather(c->context, input_of(c), c->receive, c->count, c->type, &c->options);
}

static dist_status all_gather_init(const perf_call *c, dist_request **request)
{
    return dist_all_gather_init(c->context, input_of(c), c->receive, c->count, c->type, &c->options, request);
}

static dist_status broadcast(const perf_call *c)
{
    return dist_broadcast(c->context, c->receive, c->count, c->type, c->root, &c->options);
}

static dist_status broadcast_init(const perf_call *c, dist_request **request)
{
    return dist_broadcast_init(c->context, c->receive, c->count, c->type, c->root, &c->options, request);
}

static dist_status all_to_all(const perf_call *c)
{
    return dist_all_to_all(c->context, input_of(c), c->receive, c->count, c->type, &c->options);
}

static dist_status all_to_all_init(const perf_call *c, dist_request **request)
{
    return dist_all_to_all_init(c->context, input_of(c), c->receive, c->count, c->type, &c->options, request);
}

static dist_status send_recv(const perf_call *c)
{
    return dist_send_recv(c->context, c->send, next_of(c), c->receive, before_of(c), c->count, c->type,
                          &c->options);
}

static dist_status send_recv_init(const perf_call *c, dist_request **request)
{
    return dist_send_recv_init(c->context, c->send, next_of(c), c->receive, before_of(c), c->count, c->type,
                               &c->options, request);
}

/* ---- MPI ---- */

static int mpi_all_reduce(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    return MPI_Allreduce(mpi_input_of(c), c->receive, (int)c->count, type, op, MPI_COMM_WORLD);
}

static int mpi_reduce_scatter(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    return MPI_Reduce_scatter_block(mpi_input_of(c), c->receive, (int)c->count, type, op, MPI_COMM_WORLD);
}

static int mpi_all_gather(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    (void)op;
    return MPI_Allgather(mpi_input_of(c), (int)c->count, type, c->receive, (int)c->count, type,
                         MPI_COMM_WORLD);
}

static int mpi_broadcast(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    (void)op;
    return MPI_Bcast(c->receive, (int)c->count, type, c->root, MPI_COMM_WORLD);
}

static int mpi_all_to_all(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    (void)op;
    return MPI_Alltoall(mpi_input_of(c), (int)c->count, type, c->receive, (int)c->count, type,
                        MPI_COMM_WORLD);
}

static int mpi_send_recv(const perf_call *c, MPI_Datatype type, MPI_Op op)
{
    (void)op;
    return MPI_Sendrecv(c->send, (int)c->count, type, next_of(c), 0, c->receive, (int)c->count, type,
                        before_of(c), 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

MPI_Datatype perf_mpi_type(dist_type type)
{
    return type == DIST_FLOAT32   ? MPI_FLOAT
           : type == DIST_FLOAT64 ? MPI_DOUBLE
           : type == DIST_INT32   ? MPI_INT32_T
           : type == DIST_INT64   ? MPI_INT64_T
                                  : MPI_DATATYPE_NULL;
}

MPI_Op perf_mpi_op(dist_reduction op)
{
    return op == DIST_MIN ? MPI_MIN : op == DIST_MAX ? MPI_MAX : op == DIST_SUM ? MPI_SUM : MPI_OP_NULL;
}

/* ---- the table ---- */

static double twice_parts(double n)
{
    return 2 * (n - 1) / n;
}

static double parts(double n)
{
    return (n - 1) / n;
}

static double one(double n)
{
    (void)n;
    return 1;
}

static const perf_operation operations[] = {
    {.name = "all-reduce",
     .reduces = true,
     .replicates = true,
     .places = {true, true},
     .call = all_reduce,
     .init = all_reduce_init,
     .mpi = mpi_all_reduce,
     .bus = twice_parts},
    {.name = "reduce-scatter",
     .reduces = true,
     .wide_input = true,
     .places = {true, true},
     .call = reduce_scatter,
     .init = reduce_scatter_init,
     .mpi = mpi_reduce_scatter,
     .bus = parts},
    {.name = "all-gather",
     .wide_output = true,
     .replicates = true,
     .places = {true, true},
     .call = all_gather,
     .init = all_gather_init,
     .mpi = mpi_all_gather,
     .bus = parts},
    {.name = "broadcast",
     .rooted = true,
     .replicates = true,
     .places = {false, true},
     .call = broadcast,
     .init = broadcast_init,
     .mpi = mpi_broadcast,
     .bus = one},
    {.name = "all-to-all",
     .wide_input = true,
     .wide_output = true,
     .places = {true, false},
     .call = all_to_all,
     .init = all_to_all_init,
     .mpi = mpi_all_to_all,
     .bus = parts},
    {.name = "send-recv",
     .places = {true, false},
     .call = send_recv,
     .init = send_recv_init,
     .mpi = mpi_send_recv,
     .bus = one},
};

const perf_operation *perf_operation_find(const char *name)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    return NULL;
}

/* Parts in the larger side. */
static size_t parts_of(const perf_operation *operation, int ranks)
{
    return operation->wide_input || operation->wide_output ? (size_t)ranks : 1;
}

size_t perf_operation_count(const perf_operation *operation, size_t bytes, dist_type type, int ranks)
{
    const size_t count = bytes / dist_type_bytes(type) / parts_of(operation, ranks);
    return count > 0 ? count : 1;
}

size_t perf_operation_bytes(const perf_operation *operation, size_t count, dist_type type, int ranks)
{
    return count * dist_type_bytes(type) * parts_of(operation, ranks);
}

/* ---- bounds ---- */

/* Ranks of site s, and messages that send-recv's ring sends out of it (as many come in). */
static void look_at_site(const dist_context *context, int s, double *count, double *out)
{
    const int ranks = dist_ranks(context);
    *count = *out = 0;
    for (int r = 0; r < ranks; r++)
        if (dist_site_of(context, r) == s) {
            *count += 1;
            *out += dist_site_of(context, (r + 1) % ranks) != s;
        }
}

double perf_operation_across(const perf_operation *operation, const dist_context *context, double bytes)
{
    const double n = dist_ranks(context), k = dist_sites(context);
    double most = 0;
    for (int s = 0; s < dist_sites(context); s++) {
        double mine, out, needed;
        look_at_site(context, s, &mine, &out);
        if (operation->replicates && operation->reduces)
            needed = 2 * (k - 1) / k * bytes;
        else if (operation->rooted)
            needed = bytes;
        else if (operation->wide_input && operation->wide_output) /* each of its ranks to each other rank */
            needed = mine * (n - mine) / n * bytes;
        else if (operation->wide_input ||
                 operation->wide_output) /* all parts of others: sums out, or data in */
            needed = (n - mine) / n * bytes;
        else
            needed = out * bytes;
        most = needed > most ? needed : most;
    }
    return k > 1 ? most : 0;
}

double perf_operation_copied(const perf_operation *operation, double bytes, int ranks)
{
    const bool scattered = operation->reduces && !operation->replicates;
    return scattered ? bytes * (1 + 1.0 / ranks) / 2 : bytes;
}
