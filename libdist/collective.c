/* The public collectives. */
#include <stdlib.h>

#include "call.h"

struct dist_request {
    dist_task *task;
    void *stream; /* of device memory: a post begins behind what is queued there */
};

static dist_status prepare(dist_context *context, const dist_call *c, dist_request **out)
{
    if (!out)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the place for the request is NULL", c->name);
    *out = NULL;
    dist_request *request = calloc(1, sizeof *request);
    if (!request)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a request");
    request->stream = c->options ? c->options->stream : NULL;
    dist_status status = dist_call_prepare(context, c, &request->task);
    if (status < 0) {
        free(request);
        return status;
    }
    *out = request;
    return DIST_OK;
}

dist_status dist_all_reduce(dist_context *context, const void *send, void *receive, size_t count,
                            dist_type type, dist_reduction reduction, const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_ALL_REDUCE, send, receive, count, type,
                                               reduction, 0, options, -1, -1});
}

dist_status dist_reduce_scatter(dist_context *context, const void *send, void *receive, size_t count,
                                dist_type type, dist_reduction reduction,
                                const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_REDUCE_SCATTER, send, receive, count, type,
                                               reduction, 0, options, -1, -1});
}

dist_status dist_all_gather(dist_context *context, const void *send, void *receive, size_t count,
                            dist_type type, const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_ALL_GATHER, send, receive, count, type,
                                               DIST_SUM, 0, options, -1, -1});
}

dist_status dist_broadcast(dist_context *context, void *buffer, size_t count, dist_type type, int root,
                           const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_BROADCAST, NULL, buffer, count, type, DIST_SUM,
                                               root, options, -1, -1});
}

dist_status dist_all_to_all(dist_context *context, const void *send, void *receive, size_t count,
                            dist_type type, const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_ALL_TO_ALL, send, receive, count, type,
                                               DIST_SUM, 0, options, -1, -1});
}

dist_status dist_send_recv(dist_context *context, const void *send, int to, void *receive, int from,
                           size_t count, dist_type type, const dist_collective_options *options)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(context, &(dist_call){__func__, DIST_SEND_RECV, send, receive, count, type, DIST_SUM,
                                               0, options, to, from});
}

dist_status dist_barrier(dist_context *context)
{
    DIST_CHECK_CONTEXT(context);
    return dist_call_run(
        context, &(dist_call){__func__, DIST_BARRIER, NULL, NULL, 0, DIST_INT32, DIST_SUM, 0, NULL, -1, -1});
}

dist_status dist_reduce_scalars(dist_context *context, double *values, size_t count, dist_reduction reduction)
{
    dist_collective_options options = DIST_COLLECTIVE_OPTIONS_INIT;
    DIST_CHECK_CONTEXT(context);
    options.algo = "doubling";
    return dist_call_run(context, &(dist_call){__func__, DIST_ALL_REDUCE, DIST_IN_PLACE, values, count,
                                               DIST_FLOAT64, reduction, 0, &options, -1, -1});
}

dist_status dist_all_reduce_init(dist_context *context, const void *send, void *receive, size_t count,
                                 dist_type type, dist_reduction reduction,
                                 const dist_collective_options *options, dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(
        context,
        &(dist_call){__func__, DIST_ALL_REDUCE, send, receive, count, type, reduction, 0, options, -1, -1},
        request);
}

dist_status dist_reduce_scatter_init(dist_context *context, const void *send, void *receive, size_t count,
                                     dist_type type, dist_reduction reduction,
                                     const dist_collective_options *options, dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(context,
                   &(dist_call){__func__, DIST_REDUCE_SCATTER, send, receive, count, type, reduction, 0,
                                options, -1, -1},
                   request);
}

dist_status dist_all_gather_init(dist_context *context, const void *send, void *receive, size_t count,
                                 dist_type type, const dist_collective_options *options,
                                 dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(
        context,
        &(dist_call){__func__, DIST_ALL_GATHER, send, receive, count, type, DIST_SUM, 0, options, -1, -1},
        request);
}

dist_status dist_broadcast_init(dist_context *context, void *buffer, size_t count, dist_type type, int root,
                                const dist_collective_options *options, dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(
        context,
        &(dist_call){__func__, DIST_BROADCAST, NULL, buffer, count, type, DIST_SUM, root, options, -1, -1},
        request);
}

dist_status dist_all_to_all_init(dist_context *context, const void *send, void *receive, size_t count,
                                 dist_type type, const dist_collective_options *options,
                                 dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(
        context,
        &(dist_call){__func__, DIST_ALL_TO_ALL, send, receive, count, type, DIST_SUM, 0, options, -1, -1},
        request);
}

dist_status dist_send_recv_init(dist_context *context, const void *send, int to, void *receive, int from,
                                size_t count, dist_type type, const dist_collective_options *options,
                                dist_request **request)
{
    DIST_CHECK_CONTEXT(context);
    return prepare(
        context,
        &(dist_call){__func__, DIST_SEND_RECV, send, receive, count, type, DIST_SUM, 0, options, to, from},
        request);
}

dist_status dist_request_post(dist_request *request)
{
    if (!request)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_request_post: the request is NULL");
    if (dist_task_has_device(request->task))
        DIST_TRY(dist_task_follow(request->task, request->stream));
    return dist_task_start(request->task);
}

dist_status dist_request_test(dist_request *request)
{
    if (!request)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_request_test: the request is NULL");
    return dist_task_test(request->task);
}

dist_status dist_request_wait(dist_request *request, double timeout)
{
    if (!request || !(timeout >= 0))
        return dist_fail(DIST_ERR_ARGUMENT, "dist_request_wait: the request is NULL or the timeout negative");
    return dist_task_wait(request->task, timeout);
}

dist_status dist_request_destroy(dist_request *request)
{
    if (!request)
        return DIST_OK;
    dist_status status = dist_task_destroy(request->task);
    free(request);
    return status;
}
