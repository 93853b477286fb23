#include "wire/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

typedef struct route {
    dist_wire base;
    dist_wire *first, *added; /* added: NULL until it is */
    bool *reaches;            /* [ranks] by `added` */
    bool turn;                /* the added wire is polled first: neither starves the other */
} route;

static dist_wire *wire_to(const route *r, int peer)
{
    return r->added && r->reaches[peer] ? r->added : r->first;
}

static dist_status route_message(dist_wire *base, const dist_wire_message *message, dist_wire_request **out)
{
    dist_wire *wire = wire_to((const route *)base, message->peer);
    return wire->ops->message(wire, message, out);
}

static dist_status route_collective(dist_wire *base, const dist_wire_collective *call,
                                    dist_wire_request **out)
{
    dist_wire *first = ((route *)base)->first;
    return first->ops->collective(first, call, out);
}

static dist_status route_poll(dist_wire *base, dist_wire_request *const **done, int *count,
                              dist_wire_request **failed)
{
    route *r = (route *)base;
    if (!r->added)
        return r->first->ops->poll(r->first, done, count, failed);
    dist_wire *const order[2] = {r->turn ? r->added : r->first, r->turn ? r->first : r->added};
    r->turn = !r->turn;
    DIST_TRY(order[0]->ops->poll(order[0], done, count, failed));
    return *count > 0 ? DIST_OK : order[1]->ops->poll(order[1], done, count, failed);
}

static dist_status route_post(dist_wire *base, const dist_wire_message *message, dist_wire_token *token)
{
    token->wire = wire_to((const route *)base, message->peer);
    return token->wire->ops->post(token->wire, message, token);
}

static dist_status route_finish(dist_wire *base, dist_wire_token *token, bool *done)
{
    (void)base;
    return token->wire->ops->finish(token->wire, token, done);
}

/* Whoever waits for a message over the added wire may be waited for on the first, and the other way round. */
static dist_status route_exchange(dist_wire *base, const void *mine, void *all, size_t bytes,
                                  const dist_patience *patience)
{
    dist_wire *first = ((route *)base)->first;
    return first->ops->exchange(first, mine, all, bytes, patience);
}

static dist_status route_open_channels(dist_wire *base, int channels, const dist_patience *patience)
{
    dist_wire *first = ((route *)base)->first;
    return first->ops->open_channels(first, channels, patience);
}

static dist_status route_open_space(dist_wire *base, int space, const dist_patience *patience)
{
    dist_wire *first = ((route *)base)->first;
    DIST_TRY(first->ops->open_space(first, space, patience));
    base->spaces = first->spaces;
    return DIST_OK;
}

static void route_tell(dist_wire *base, const char note[DIST_NOTE_MAX])
{
    dist_wire *first = ((route *)base)->first;
    first->ops->tell(first, note);
}

static bool route_hear(dist_wire *base, char note[DIST_NOTE_MAX], int *from)
{
    dist_wire *first = ((route *)base)->first;
    return first->ops->hear(first, note, from);
}

static bool route_rest(dist_wire *base, int64_t nanoseconds)
{
    dist_wire *added = ((route *)base)->added;
    return added && added->ops->rest && added->ops->rest(added, nanoseconds);
}

static void route_describe(dist_wire *base, char *text, size_t size)
{
    dist_wire *added = ((route *)base)->added;
    text[0] = '\0';
    if (added && added->ops->describe)
        added->ops->describe(added, text, size);
}

static void route_close(dist_wire *base, bool failed)
{
    route *r = (route *)base;
    if (r->added) /* it may need the first */
        r->added->ops->close(r->added, failed);
    r->first->ops->close(r->first, failed);
    free(r->reaches);
    free(r);
}

static const dist_wire_ops route_ops = {
    .name = "route",
    .message = route_message,
    .collective = route_collective,
    .poll = route_poll,
    .post = route_post,
    .finish = route_finish,
    .exchange = route_exchange,
    .open_channels = route_open_channels,
    .open_space = route_open_space,
    .tell = route_tell,
    .hear = route_hear,
    .rest = route_rest,
    .describe = route_describe,
    .close = route_close,
};

dist_status dist_wire_route_create(dist_wire **out, dist_wire *first)
{
    route *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) {
        first->ops->close(first, false);
        return dist_fail(DIST_ERR_MEMORY, "no memory for a wire");
    }
    r->base = *first;
    r->base.ops = &route_ops;
    r->first = first;
    *out = &r->base;
    return DIST_OK;
}

dist_status dist_wire_route_add(dist_wire *base, dist_wire *wire, const bool *reaches)
{
    route *r = (route *)base;
    const size_t ranks = (size_t)base->ranks;
    if (!(r->reaches = malloc(ranks * sizeof *reaches))) {
        wire->ops->close(wire, false);
        return dist_fail(DIST_ERR_MEMORY, "no memory for the routes to %zu ranks", ranks);
    }
    memcpy(r->reaches, reaches, ranks * sizeof *reaches);
    r->added = wire;
    base->tags = wire->tags < base->tags ? wire->tags : base->tags;
    base->one_way = wire->one_way; /* the slow links are what this is asked about */
    base->device = base->device && wire->device;
    return DIST_OK;
}

void dist_wire_route_drop(dist_wire *base)
{
    route *r = (route *)base;
    if (r->added)
        r->added->ops->close(r->added, false);
    free(r->reaches);
    r->reaches = NULL;
    r->added = NULL;
    base->tags = r->first->tags;
    base->one_way = r->first->one_way;
    base->device = r->first->device;
}

dist_wire *dist_wire_route_added(dist_wire *base)
{
    return ((route *)base)->added;
}

dist_wire *dist_wire_route_first(dist_wire *base)
{
    return ((route *)base)->first;
}
