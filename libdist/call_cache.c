/* Calls without a request that were made before are known again by their words and addresses. */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "devices.h"

#define VARIANTS_MOST 64 /* of a send-recv: partners that it has had, kept for the next time */

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
    dist_status status = dist_call_task(context, spec, user, beside, &entry->task);
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
    DIST_TRY(dist_call_spec(context, c, &spec));
    dist_call_users(c, &spec, user);
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
    return (!dist_call_receives(c) ||
            (dist_locate(context, c->receive).memory == DIST_MEMORY_CUDA) == device) &&
           (!dist_call_sends(c) || (dist_locate(context, c->send).memory == DIST_MEMORY_CUDA) == device);
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
