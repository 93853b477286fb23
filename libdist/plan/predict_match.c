/* Which op of which rank each op meets: the n-th SEND of a (sender, receiver, channel) its n-th RECV, a
 * NATIVE those of the others (verify_natives.c). Time and memory go by messages and by pairs that talk, not by pairs of
 * ranks. */
#include "plan/predict_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct message_stream {
    uint32_t from, to;
    uint16_t channel;
    uint32_t sends, recvs;
    size_t first; /* into the index's op */
} message_stream;

typedef struct stream_index {
    message_stream *item;
    size_t count, capacity;
    uint32_t *slot; /* hash table of numbers plus 1; 0: free */
    size_t slots;   /* a power of 2, at least twice the count */
    uint32_t *op;   /* of the message, the side that came first; DIST_NO_OP: none yet */
} stream_index;

static size_t hash(const message_stream *s)
{
    uint64_t x = ((uint64_t)s->from << 32 | s->to) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29 ^ s->channel) * 0xbf58476d1ce4e5b9u;
    return (size_t)(x ^ x >> 32);
}

/* Where it is, or where it belongs. */
static uint32_t *find(const stream_index *index, const message_stream *key)
{
    for (size_t at = hash(key);; at++) {
        uint32_t *slot = &index->slot[at & (index->slots - 1)];
        if (*slot == 0)
            return slot;
        const message_stream *s = &index->item[*slot - 1];
        if (s->from == key->from && s->to == key->to && s->channel == key->channel)
            return slot;
    }
}

static bool widen(stream_index *index)
{
    size_t slots = index->slots ? 2 * index->slots : 256;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (!slot)
        return false;
    free(index->slot);
    index->slot = slot;
    index->slots = slots;
    for (size_t i = 0; i < index->count; i++)
        *find(index, &index->item[i]) = (uint32_t)i + 1;
    return true;
}

static message_stream key_of(const dist_plan *plan, const dist_op *op)
{
    bool send = op->kind == DIST_OP_SEND;
    uint32_t own = (uint32_t)plan->rank, peer = (uint32_t)op->peer;
    return (message_stream){.from = send ? own : peer, .to = send ? peer : own, .channel = op->channel};
}

/* NULL when there is no memory. */
static message_stream *stream_of(stream_index *index, const dist_plan *plan, const dist_op *op)
{
    message_stream key = key_of(plan, op);
    if (2 * (index->count + 1) > index->slots && !widen(index))
        return NULL;
    uint32_t *slot = find(index, &key);
    if (*slot == 0) {
        if (!dist_grow(&index->item, &index->capacity, index->count + 1, sizeof *index->item))
            return NULL;
        index->item[index->count++] = key;
        *slot = (uint32_t)index->count;
    }
    return &index->item[*slot - 1];
}

static dist_status count_messages(const dist_simulation *s, stream_index *index, const dist_plan *plan)
{
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (!dist_op_is_message(op))
            continue;
        if (op->peer < 0 || op->peer >= s->ranks || op->peer == plan->rank)
            return dist_fault(plan, i, "peer %" PRId32 " is no other rank; there are %d", op->peer, s->ranks);
        message_stream *stream = stream_of(index, plan, op);
        if (!stream)
            return dist_predict_no_memory(s);
        uint32_t *count = op->kind == DIST_OP_SEND ? &stream->sends : &stream->recvs;
        if (op->sequence != *count)
            return dist_fault(plan, i, "has sequence %" PRIu32 ", but %" PRIu32 " messages went before it",
                              op->sequence, *count);
        ++*count;
    }
    return DIST_OK;
}

static dist_status pair(dist_simulation *s, stream_index *index, const dist_plan *plan)
{
    for (uint32_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (!dist_op_is_message(op))
            continue;
        const message_stream *stream = stream_of(index, plan, op);
        bool send = op->kind == DIST_OP_SEND;
        uint32_t others = send ? stream->recvs : stream->sends;
        if (op->sequence >= others)
            return dist_fault(plan, i,
                              "meets no %s: rank %d %s %" PRIu32 " messages %s rank %d on channel %u",
                              send ? "RECV" : "SEND", op->peer, send ? "receives" : "sends", others,
                              send ? "from" : "to", plan->rank, op->channel);
        uint32_t *first = &index->op[stream->first + op->sequence];
        if (*first == DIST_NO_OP) {
            *first = i;
            continue;
        }
        s->meets[dist_number_of(s, (uint32_t)plan->rank, i)] = *first;
        s->meets[dist_number_of(s, (uint32_t)op->peer, *first)] = i;
    }
    return DIST_OK;
}

static dist_status match_messages(dist_simulation *s, stream_index *index)
{
    size_t messages = 0;
    for (int r = 0; r < s->ranks; r++)
        DIST_TRY(count_messages(s, index, s->plan[r]));
    for (size_t i = 0; i < index->count; i++) {
        message_stream *stream = &index->item[i];
        stream->first = messages;
        messages += stream->sends > stream->recvs ? stream->sends : stream->recvs;
    }
    index->op = malloc((messages + 1) * sizeof *index->op);
    if (!index->op)
        return dist_predict_no_memory(s);
    memset(index->op, 0xff, messages * sizeof *index->op); /* DIST_NO_OP */
    for (int r = 0; r < s->ranks; r++)
        DIST_TRY(pair(s, index, s->plan[r]));
    return DIST_OK;
}

static dist_status match_natives(dist_simulation *s)
{
    dist_natives *natives = &s->natives;
    DIST_TRY(dist_natives_match(natives, s->plan, s->ranks));
    for (size_t n = 0; n < natives->count; n++)
        for (int m = 0; m < dist_native_group_of(natives, n)->members; m++)
            s->meets[dist_number_of(s, (uint32_t)dist_native_rank(natives, n, m),
                                    dist_native_op(natives, n, m))] = (uint32_t)n;
    return DIST_OK;
}

dist_status dist_predict_match(dist_simulation *s)
{
    stream_index index = {0};
    dist_status status = match_messages(s, &index);
    free(index.item);
    free(index.slot);
    free(index.op);
    return status < 0 ? status : match_natives(s);
}
