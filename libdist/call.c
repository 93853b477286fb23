/* From the arguments of a collective to a task; calls made before are known again by their words and addresses. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#include "base/type.h"
#include "devices.h"
#include "plan/stage.h"

#define VARIANTS_MOST 64 /* of a send-recv: partners that it has had, kept for the next time */

static bool sends(const dist_call *c)
{
    return c->kind == DIST_SEND_RECV ? c->to >= 0 : c->send && c->send != DIST_IN_PLACE;
}

static bool receives(const dist_call *c)
{
    return c->kind != DIST_SEND_RECV || c->from >= 0;
}

static dist_status check_overlap(const dist_call *c, uint64_t in, uint64_t out, const char *advice)
{
    const char *send = c->send, *receive = c->receive;
    if (send < receive + out && receive < send + in)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: the buffers overlap; %s", c->name, advice);
    return DIST_OK;
}

static dist_status check_size(const dist_call *c, uint64_t ranks)
{
    if (c->count > (UINT64_MAX >> 8) / dist_type_bytes(c->type) / ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %zu elements are more than memory holds", c->name, c->count);
    return DIST_OK;
}

static dist_status check_partners(const dist_call *c, int rank, int ranks)
{
    const uint64_t bytes = c->count * dist_type_bytes(c->type);
    if (c->to < -1 || c->to >= ranks || c->from < -1 || c->from >= ranks)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: to rank %d and from rank %d; ranks go from 0 to %d, and -1 is nobody", c->name,
                         c->to, c->from, ranks - 1);
    if ((c->to == rank) != (c->from == rank))
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: to rank %d and from rank %d on rank %d; what a rank sends to itself it has to "
                         "receive from itself",
                         c->name, c->to, c->from, rank);
    if (c->count == 0)
        return DIST_OK;
    DIST_TRY(check_size(c, 1));
    if ((sends(c) && c->send == DIST_IN_PLACE) || c->receive == DIST_IN_PLACE)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "%s: DIST_IN_PLACE; what is sent and what comes need memory of their own", c->name);
    if ((sends(c) && !c->send) || (receives(c) && !c->receive))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a buffer of %zu elements is NULL", c->name, c->count);
    if (sends(c) && receives(c))
        return check_overlap(c, bytes, bytes, "what is sent and what comes need memory of their own");
    return DIST_OK;
}

static dist_status check_buffers(const dist_call *c, uint64_t ranks)
{
    bool broadcast = c->kind == DIST_BROADCAST, exchange = c->kind == DIST_ALL_TO_ALL;
    if (c->count == 0)
        return DIST_OK;
    if (!c->receive || (!c->send && !broadcast))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a buffer of %zu elements is NULL", c->name, c->count);
    DIST_TRY(check_size(c, ranks));
    if (broadcast || c->send == DIST_IN_PLACE)
        return DIST_OK;
    uint64_t part = c->count * dist_type_bytes(c->type);
    uint64_t in = c->kind == DIST_REDUCE_SCATTER || exchange ? part * ranks : part;
    uint64_t out = c->kind == DIST_ALL_GATHER || exchange ? part * ranks : part;
    return check_overlap(c, in, out, "pass DIST_IN_PLACE as the send buffer");
}

static dist_status check(dist_context *context, const dist_call *c)
{
    int ranks = context->wire->ranks;
    if (!dist_type_valid(c->type))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %d is not a dist_type", c->name, (int)c->type);
    if (!dist_reduction_valid(c->reduction))
        return dist_fail(DIST_ERR_ARGUMENT, "%s: %d is not a dist_reduction", c->name, (int)c->reduction);
    if (c->root < 0 || c->root >= ranks)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: root %d; ranks go from 0 to %d", c->name, c->root,
                         ranks - 1);
    const dist_collective_options *options = c->options;
    if (options && (options->size < sizeof *options || options->version != DIST_COLLECTIVE_OPTIONS_VERSION))
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: options have size %zu and version %d; start them with DIST_COLLECTIVE_OPTIONS_INIT", c->name,
            options->size, options->version);
    return c->kind == DIST_SEND_RECV ? check_partners(c, context->wire->rank, ranks)
                                     : check_buffers(c, (uint64_t)ranks);
}

/* Device memory takes the device into use. */
static dist_status find_memory(dist_context *context, const dist_call *c, dist_spec *spec)
{
    const void *const out = receives(c) ? c->receive : sends(c) ? c->send : NULL;
    const dist_location receive = dist_locate(context, out),
                        send = sends(c) ? dist_locate(context, c->send) : receive;
    const bool device = receive.memory == DIST_MEMORY_CUDA && c->count > 0;
    if ((send.memory == DIST_MEMORY_CUDA) != (receive.memory == DIST_MEMORY_CUDA) && c->count > 0)
        return dist_fail(
            DIST_ERR_ARGUMENT,
            "%s: send is %s memory and receive is %s memory; both must be on the device, or none", c->name,
            dist_memory_name(send.memory), dist_memory_name(receive.memory));
    if (!device && c->options && c->options->stream)
        return dist_fail(DIST_ERR_ARGUMENT, "%s: a stream was given, but the buffers are in host memory",
                         c->name);
    if (!device)
        return DIST_OK;
    DIST_TRY(dist_devices_use(context, receive.device));
    dist_devices_spec(context, spec);
    return DIST_OK;
}

/* Codecs are lossy, so a plain collective uses one only where the call itself names it. */
static dist_status spec_of(dist_context *context, const dist_call *c, dist_spec *spec)
{
    const char *codec = c->options && c->options->codec ? c->options->codec : "none";
    DIST_TRY(check(context, c));
    DIST_TRY(dist_context_spec(context, c->options ? c->options->algo : NULL, codec, spec));
    spec->kind = c->kind;
    spec->type = c->type;
    spec->reduction = c->reduction;
    spec->root = c->root;
    spec->to = c->to;
    spec->from = c->from;
    spec->count = c->count;
    spec->in_place = c->send == DIST_IN_PLACE && c->kind != DIST_SEND_RECV;
    DIST_TRY(find_memory(context, c, spec));
    return dist_choose(spec);
}

/* Addresses of the plan's USER buffers, in their order. */
static void users_of(const dist_call *c, const dist_spec *spec, void *user[2])
{
    uint64_t before = spec->count * dist_type_bytes(spec->type) * (uint64_t)spec->rank;
    user[0] = spec->in_place || spec->kind == DIST_BROADCAST ? c->receive : (void *)(uintptr_t)c->send;
    user[1] = c->receive;
    if (spec->in_place && (spec->kind == DIST_REDUCE_SCATTER || spec->kind == DIST_ALL_GATHER))
        user[0] = (char *)c->receive - (spec->kind == DIST_REDUCE_SCATTER ? before : 0);
}

/* Other partners may need more messages. */
static void reserve_tags(dist_plan *plan, const dist_spec *spec)
{
    const uint32_t most = spec->kind == DIST_SEND_RECV ? dist_send_recv_sequences(spec) : 0;
    if (plan->sequences < most)
        plan->sequences = most;
}

/* `beside`: a task whose tags it takes, without asking any rank; NULL: all ranks compare what they prepare. */
static dist_status make_task(dist_context *context, const dist_spec *spec, void *user[2],
                             const dist_task *beside, dist_task **task)
{
    dist_plan *plan;
    DIST_TRY(dist_engine_status(context->engine));
    DIST_TRY(dist_collective_plan(&plan, spec));
    const dist_memory memory = spec->device ? DIST_MEMORY_CUDA : DIST_MEMORY_HOST;
    const dist_status status =
        dist_plan_stage(&plan, &(dist_staging){.user = (const dist_memory[2]){memory, memory},
                                               .direct = dist_devices_direct(context)});
    if (status < 0) {
        dist_plan_destroy(plan);
        return status;
    }
    reserve_tags(plan, spec);
    return beside ? dist_task_create_beside(task, beside, plan, user)
                  : dist_task_create(task, context->engine, plan, user);
}

dist_status dist_call_prepare(dist_context *context, const dist_call *c, dist_task **task)
{
    dist_spec spec;
    void *user[2];
    DIST_TRY(spec_of(context, c, &spec));
    users_of(c, &spec, user);
    return make_task(context, &spec, user, NULL, task);
}

/* What a call without a request was, so that the same call again is known by its words and addresses.
 *
 * All ranks have the same list, because each of them has to know when the others make a new plan. Partners of a send-recv are a rank's
 * own affair: those that it has had with the same count and type are variants of one entry, and share its tags. */
struct dist_cached {
    dist_spec spec;
    dist_task *task;
    dist_call call;
    char algo[32], codec[80]; /* the words of call.options; "" when it had none */
    dist_cached *next;        /* of the first variant: the next entry */
    dist_cached *variant;     /* the one used before it */
};

static bool same_word(const char *kept, const char *given)
{
    return strcmp(kept, given ? given : "") == 0;
}

static bool same_call(const dist_cached *entry, const dist_call *c)
{
    const dist_call *kept = &entry->call;
    return kept->kind == c->kind && kept->receive == c->receive && kept->send == c->send &&
           kept->count == c->count && kept->type == c->type && kept->reduction == c->reduction &&
           kept->root == c->root && kept->to == c->to && kept->from == c->from &&
           same_word(entry->algo, c->options ? c->options->algo : NULL) &&
           same_word(entry->codec, c->options ? c->options->codec : NULL);
}

/* Whether a rank's partners, and the memory in which a send-recv has its buffers, are the same. */
static bool same_variant(const dist_spec *a, const dist_spec *b)
{
    return a->to == b->to && a->from == b->from && a->device == b->device;
}

static bool same_spec(const dist_spec *a, const dist_spec *b)
{
    return a->kind == b->kind && a->count == b->count && a->type == b->type && a->reduction == b->reduction &&
           a->root == b->root && a->in_place == b->in_place &&
           (a->kind == DIST_SEND_RECV || a->device == b->device) && a->algo.kind == b->algo.kind &&
           a->algo.shots == b->algo.shots && strcmp(a->codec.text, b->codec.text) == 0;
}

static void remember(dist_cached *entry, const dist_call *c)
{
    entry->call = *c;
    entry->call.options = NULL;
    snprintf(entry->algo, sizeof entry->algo, "%s", c->options && c->options->algo ? c->options->algo : "");
    snprintf(entry->codec, sizeof entry->codec, "%s",
             c->options && c->options->codec ? c->options->codec : "");
}

/* Takes the entry that does what `spec` asks out of the cache (*found), or else, when it is full, the one
 * that was not used for longest. The order is the same on all ranks because calls are. */
static dist_cached *take_cached(dist_context *context, const dist_spec *spec, bool *found)
{
    int length = 0;
    dist_cached **last = NULL;
    for (dist_cached **link = &context->cache; *link; link = &(*link)->next, length++) {
        last = link;
        if (same_spec(&(*link)->spec, spec)) {
            dist_cached *entry = *link;
            *link = entry->next;
            *found = true;
            return entry;
        }
    }
    *found = false;
    if (length < DIST_CACHE_MOST)
        return NULL;
    dist_cached *oldest = *last;
    *last = NULL;
    return oldest;
}

static dist_status make_cached(dist_context *context, const dist_spec *spec, void *user[2],
                               const dist_task *beside, dist_cached **out)
{
    dist_cached *entry = calloc(1, sizeof *entry);
    if (!entry)
        return dist_fail(DIST_ERR_MEMORY, "no memory for a collective");
    entry->spec = *spec;
    dist_status status = make_task(context, spec, user, beside, &entry->task);
    if (status < 0) {
        free(entry);
        return status;
    }
    *out = entry;
    return DIST_OK;
}

static dist_status free_cached(dist_cached *entry)
{
    dist_status status = DIST_OK;
    for (dist_cached *before; entry; entry = before) {
        before = entry->variant;
        const dist_status ended = dist_task_destroy(entry->task);
        status = status < 0 ? status : ended;
        free(entry);
    }
    return status;
}

void dist_context_forget(dist_context *context)
{
    while (context->cache) {
        dist_cached *entry = context->cache;
        context->cache = entry->next;
        free_cached(entry);
    }
}

/* Device memory is ready when what is queued on the stream is done. */
static dist_status run_behind(dist_task *task, const dist_call *c)
{
    if (dist_task_has_device(task))
        DIST_TRY(dist_task_follow(task, c->options ? c->options->stream : NULL));
    return dist_task_run(task);
}

/* Puts the variant at *at in front of those of the entry at *link. */
static dist_cached *use_variant(dist_cached **link, dist_cached **at)
{
    dist_cached *const first = *link, *const used = *at;
    if (used != first) {
        *at = used->variant;
        used->variant = first;
        used->next = first->next;
        *link = used;
    }
    return used;
}

/* Those used least go: no other rank minds. */
static dist_status keep_few(dist_cached *entry)
{
    for (int n = 1; n < VARIANTS_MOST && entry; n++)
        entry = entry->variant;
    if (!entry || !entry->variant)
        return DIST_OK;
    dist_cached *const rest = entry->variant;
    entry->variant = NULL;
    return free_cached(rest);
}

/* The entry in front of the cache has other partners, or had these among others. */
static dist_status change_partners(dist_context *context, const dist_spec *spec, void *user[2], bool *found)
{
    dist_cached **at = &context->cache, *made = NULL;
    while (*at && !same_variant(&(*at)->spec, spec))
        at = &(*at)->variant;
    *found = *at != NULL;
    if (*found) {
        use_variant(&context->cache, at);
        return DIST_OK;
    }
    DIST_TRY(make_cached(context, spec, user, context->cache->task, &made));
    made->variant = context->cache;
    made->next = context->cache->next;
    context->cache = made;
    return keep_few(made);
}

/* A call that was not made before in exactly this way: another plan, or the same on other memory. */
static dist_status run_new(dist_context *context, const dist_call *c)
{
    dist_spec spec;
    void *user[2];
    bool found;
    DIST_TRY(spec_of(context, c, &spec));
    users_of(c, &spec, user);
    dist_cached *entry = take_cached(context, &spec, &found);
    if (entry && !found)
        DIST_TRY(free_cached(entry));
    if (!found)
        DIST_TRY(make_cached(context, &spec, user, NULL, &entry));
    entry->next = context->cache;
    context->cache = entry;
    if (found && spec.kind == DIST_SEND_RECV)
        DIST_TRY(change_partners(context, &spec, user, &found));
    entry = context->cache;
    remember(entry, c);
    if (found) {
        dist_status status = dist_task_bind(entry->task, user);
        if (status < 0) {
            entry->call.count = SIZE_MAX; /* bound to nothing: no call is the same */
            return status;
        }
    }
    return run_behind(entry->task, c);
}

/* Memory that was freed may have come back elsewhere at the same address. */
static bool same_memory(const dist_context *context, const dist_cached *entry, const dist_call *c)
{
    if (!context->cuda || c->count == 0)
        return true;
    const bool device = entry->spec.device;
    return (!receives(c) || (dist_locate(context, c->receive).memory == DIST_MEMORY_CUDA) == device) &&
           (!sends(c) || (dist_locate(context, c->send).memory == DIST_MEMORY_CUDA) == device);
}

dist_status dist_call_run(dist_context *context, const dist_call *c)
{
    for (dist_cached **link = &context->cache; *link; link = &(*link)->next)
        for (dist_cached **at = link; *at; at = &(*at)->variant) {
            if (!same_call(*at, c))
                continue;
            if (!same_memory(context, *at, c))
                return run_new(context, c);
            dist_cached *const entry = use_variant(link, at);
            *link = entry->next; /* to the front: the most recently used */
            entry->next = context->cache;
            context->cache = entry;
            return run_behind(entry->task, c);
        }
    return run_new(context, c);
}
