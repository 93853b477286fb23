/* The public side of tuning files: what the start of a context found, and forwarding to collective/. */
#include "collective/tuning.h"

#include <stdlib.h>
#include <string.h>

#include "base/text_file.h"
#include "context_internal.h"
#include "wire/route.h"
#include "wire/tcp.h"

#define CHECK(tuning)                                                                                        \
    do {                                                                                                     \
        if (!(tuning))                                                                                       \
            return dist_fail(DIST_ERR_ARGUMENT, "%s: the tuning is NULL; make one with dist_tuning_create",  \
                             __func__);                                                                      \
    } while (0)

/* Links that were not measured stay out, and so does a figure that no link has. */
static void keep_links(dist_tuning *tuning, const dist_link *link)
{
    for (int i = 0; link && i < tuning->sites * tuning->sites; i++)
        if (link[i].bandwidth > 0)
            (void)dist_tuning_put_link(tuning, i / tuning->sites, i % tuning->sites, &link[i]);
}

dist_status dist_tuning_create(const dist_context *context, dist_tuning **tuning)
{
    if (!tuning)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_tuning_create: the place for the tuning is NULL");
    *tuning = NULL;
    DIST_CHECK_CONTEXT(context);
    const dist_topology *t = context->topology;
    DIST_TRY(dist_tuning_new(tuning, t));
    dist_wire *tcp = dist_wire_route_added(context->wire);
    if (t->sites > 1)
        (*tuning)->wire = tcp ? DIST_WIRE_CHOICE_TCP : DIST_WIRE_CHOICE_MPI;
    if (tcp)
        (*tuning)->streams = dist_wire_tcp_streams(tcp);
    keep_links(*tuning, t->link ? t->link : t->probed);
    const dist_status status = context->tuning ? dist_tuning_copy_rows(*tuning, context->tuning) : DIST_OK;
    if (status < 0) {
        dist_tuning_free(*tuning);
        *tuning = NULL;
    }
    return status;
}

dist_status dist_tuning_add(dist_tuning *tuning, const char *collective, const char *codec, uint64_t from,
                            uint64_t to, const char *algo)
{
    CHECK(tuning);
    if (!collective || !codec || !algo)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_tuning_add: the collective, the codec or the algorithm is NULL");
    return dist_tuning_add_row(tuning, collective, codec, from, to, algo);
}

dist_status dist_tuning_set_streams(dist_tuning *tuning, int streams)
{
    CHECK(tuning);
    return dist_tuning_put_streams(tuning, streams);
}

dist_status dist_tuning_set_link(dist_tuning *tuning, int from, int to, const dist_link *link)
{
    CHECK(tuning);
    if (!link)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_tuning_set_link: the link is NULL");
    return dist_tuning_put_link(tuning, from, to, link);
}

dist_status dist_tuning_write(const dist_tuning *tuning, const char *path, const char *comment)
{
    char *text;
    size_t bytes;
    CHECK(tuning);
    if (!path || !*path)
        return dist_fail(DIST_ERR_ARGUMENT, "dist_tuning_write: the path is %s", path ? "empty" : "NULL");
    DIST_TRY(dist_tuning_text(tuning, comment, &text, &bytes));
    const dist_status status = dist_text_file_replace(path, "the tuning file", text, bytes);
    free(text);
    return status;
}

void dist_tuning_destroy(dist_tuning *tuning)
{
    dist_tuning_free(tuning);
}
