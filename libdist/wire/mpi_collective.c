/* MPI's own collectives, and the element types that MPI does not have. */
#include <limits.h>

#include "base/error.h"
#include "base/type.h"
#include "device/device.h"
#include "wire/mpi_internal.h"

/* MPI_User_function has no closure, so every (type, reduction) is a function of its own. */
#define REDUCE_FUNCTION(name, type, reduction)                                                               \
    static void name(void *in, void *inout, int *count, MPI_Datatype *unused)                                \
    {                                                                                                        \
        (void)unused;                                                                                        \
        dist_device_host.reduce(type, reduction, inout, in, (size_t)*count);                                 \
    }
REDUCE_FUNCTION(float16_sum, DIST_FLOAT16, DIST_SUM)
REDUCE_FUNCTION(float16_min, DIST_FLOAT16, DIST_MIN)
REDUCE_FUNCTION(float16_max, DIST_FLOAT16, DIST_MAX)
REDUCE_FUNCTION(bfloat16_sum, DIST_BFLOAT16, DIST_SUM)
REDUCE_FUNCTION(bfloat16_min, DIST_BFLOAT16, DIST_MIN)
REDUCE_FUNCTION(bfloat16_max, DIST_BFLOAT16, DIST_MAX)

static dist_status sixteen_bits(MPI_Datatype *type, MPI_Op *op, MPI_User_function *sum,
                                MPI_User_function *min, MPI_User_function *max)
{
    DIST_MPI_TRY(MPI_Type_contiguous(2, MPI_BYTE, type));
    DIST_MPI_TRY(MPI_Type_commit(type));
    DIST_MPI_TRY(MPI_Op_create(sum, 1, &op[DIST_SUM]));
    DIST_MPI_TRY(MPI_Op_create(min, 1, &op[DIST_MIN]));
    DIST_MPI_TRY(MPI_Op_create(max, 1, &op[DIST_MAX]));
    return DIST_OK;
}

dist_status dist_mpi_types_create(dist_mpi_types *types)
{
    types->float16 = types->bfloat16 = MPI_DATATYPE_NULL;
    for (int r = 0; r < DIST_REDUCTIONS; r++)
        types->float16_op[r] = types->bfloat16_op[r] = MPI_OP_NULL;
    DIST_TRY(sixteen_bits(&types->float16, types->float16_op, float16_sum, float16_min, float16_max));
    return sixteen_bits(&types->bfloat16, types->bfloat16_op, bfloat16_sum, bfloat16_min, bfloat16_max);
}

void dist_mpi_types_free(dist_mpi_types *types)
{
    for (int r = 0; r < DIST_REDUCTIONS; r++) {
        if (types->float16_op[r] != MPI_OP_NULL)
            MPI_Op_free(&types->float16_op[r]);
        if (types->bfloat16_op[r] != MPI_OP_NULL)
            MPI_Op_free(&types->bfloat16_op[r]);
    }
    if (types->float16 != MPI_DATATYPE_NULL)
        MPI_Type_free(&types->float16);
    if (types->bfloat16 != MPI_DATATYPE_NULL)
        MPI_Type_free(&types->bfloat16);
}

static MPI_Datatype mpi_type(const dist_mpi_types *types, dist_type type)
{
    switch (type) {
    case DIST_FLOAT32:
        return MPI_FLOAT;
    case DIST_FLOAT64:
        return MPI_DOUBLE;
    case DIST_INT32:
        return MPI_INT32_T;
    case DIST_INT64:
        return MPI_INT64_T;
    case DIST_FLOAT16:
        return types->float16;
    default:
        return types->bfloat16;
    }
}

static MPI_Op mpi_op(const dist_mpi_types *types, dist_type type, dist_reduction reduction)
{
    if (type == DIST_FLOAT16)
        return types->float16_op[reduction];
    if (type == DIST_BFLOAT16)
        return types->bfloat16_op[reduction];
    return reduction == DIST_SUM ? MPI_SUM : reduction == DIST_MIN ? MPI_MIN : MPI_MAX;
}

dist_status dist_mpi_collective(dist_wire *base, const dist_wire_collective *call, dist_wire_request **out)
{
    dist_mpi_request *request;
    if (call->count > INT_MAX)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "MPI collectives count to %d elements, not %llu; choose another algorithm", INT_MAX,
                         (unsigned long long)call->count);
    DIST_TRY(dist_mpi_request_create((dist_mpi_wire *)base, &request));
    request->call = *call;
    *out = &request->base;
    return DIST_OK;
}

dist_status dist_mpi_collective_start(dist_mpi_wire *wire, dist_mpi_request *request)
{
    const dist_wire_collective *call = &request->call;
    const void *send = call->send == DIST_IN_PLACE ? MPI_IN_PLACE : call->send;
    void *receive = call->receive;
    int n = (int)call->count;
    MPI_Datatype type = mpi_type(&wire->types, call->type);
    MPI_Op op = mpi_op(&wire->types, call->type, call->reduction);
    MPI_Comm space = wire->space[call->space];
    MPI_Request *handle = &request->handle;
    switch (call->kind) {
    case DIST_NATIVE_ALL_REDUCE:
        DIST_MPI_TRY(MPI_Iallreduce(send, receive, n, type, op, space, handle));
        break;
    case DIST_NATIVE_REDUCE_SCATTER:
        DIST_MPI_TRY(MPI_Ireduce_scatter_block(send, receive, n, type, op, space, handle));
        break;
    case DIST_NATIVE_ALL_GATHER:
        DIST_MPI_TRY(MPI_Iallgather(send, n, type, receive, n, type, space, handle));
        break;
    case DIST_NATIVE_BROADCAST:
        DIST_MPI_TRY(MPI_Ibcast(receive, n, type, call->root, space, handle));
        break;
    case DIST_NATIVE_ALL_TO_ALL:
        DIST_MPI_TRY(MPI_Ialltoall(send, n, type, receive, n, type, space, handle));
        break;
    case DIST_NATIVE_BARRIER:
        DIST_MPI_TRY(MPI_Ibarrier(space, handle));
        break;
    }
    return DIST_OK;
}
