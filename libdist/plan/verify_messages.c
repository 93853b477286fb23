/* Which op of which rank each op meets. */
#include <inttypes.h>
#include <stdlib.h>

#include "plan/verify_internal.h"

/* The messages of all ranks, grouped by (rank, channel, direction, peer), in op order within a group. */
typedef struct message_index {
    size_t keys;   /* groups of one rank */
    size_t *first; /* [ranks * keys + 1] into op */
    uint32_t *op;
} message_index;

static size_t group(const message_index *index, int rank, int ranks, int channel, bool send, int peer)
{
    size_t key = ((size_t)channel * 2 + (send ? 0 : 1)) * (size_t)ranks + (size_t)peer;
    return (size_t)rank * index->keys + key;
}

static size_t group_of(const message_index *index, const dist_plan *plan, const dist_op *op)
{
    return group(index, plan->rank, plan->ranks, op->channel, op->kind == DIST_OP_SEND, op->peer);
}

/* The group that meets this op's group. */
static size_t group_that_meets(const message_index *index, const dist_plan *plan, const dist_op *op)
{
    return group(index, op->peer, plan->ranks, op->channel, op->kind != DIST_OP_SEND, plan->rank);
}

static dist_status fill_index(const dist_verifier *verifier, message_index *index)
{
    size_t groups = (size_t)verifier->ranks * index->keys;
    size_t *next = index->first + 1; /* first counts, then, summed up, where each group ends */
    for (int r = 0; r < verifier->ranks; r++) {
        const dist_plan *plan = verifier->plan[r];
        uint32_t sequences = 0;
        for (size_t i = 0; i < plan->ops; i++) {
            const dist_op *op = &plan->op[i];
            if (op->kind == DIST_OP_NATIVE && op->device && sequences == 0)
                sequences = 1; /* a team's collectives have a tag */
            if (!dist_op_is_message(op))
                continue;
            size_t before = next[group_of(index, plan, op)]++;
            if (op->sequence != before)
                return dist_fault(plan, i,
                                  "has sequence %" PRIu32 ", but %zu messages went before it on this channel",
                                  op->sequence, before);
            if (op->sequence >= sequences)
                sequences = op->sequence + 1;
        }
        if (plan->sequences != sequences)
            return dist_fail(DIST_ERR_PLAN, "rank %d says that it needs %" PRIu32 " tags; it needs %" PRIu32,
                             r, plan->sequences, sequences);
    }
    for (size_t g = 1; g <= groups; g++)
        index->first[g] += index->first[g - 1];
    for (int r = 0; r < verifier->ranks; r++)
        for (uint32_t i = 0; i < verifier->plan[r]->ops; i++) {
            const dist_op *op = dist_verify_op(verifier, r, i);
            if (dist_op_is_message(op))
                index->op[index->first[group_of(index, verifier->plan[r], op)] + op->sequence] = i;
        }
    return DIST_OK;
}

static size_t channels_of(const dist_verifier *verifier)
{
    int channels = DIST_CHANNELS;
    for (int r = 0; r < verifier->ranks; r++)
        channels = verifier->plan[r]->channels > channels ? verifier->plan[r]->channels : channels;
    return (size_t)channels;
}

/* Both sides of a message agree on its size and its wire. */
static dist_status check_pair(const dist_verifier *verifier, const dist_plan *plan, size_t send, size_t recv)
{
    const dist_op *op = &plan->op[send];
    const dist_plan *peer = verifier->plan[op->peer];
    char text[256];
    if (op->src.bytes == peer->op[recv].dst.bytes && op->device == peer->op[recv].device)
        return DIST_OK;
    dist_op_format(peer, recv, text, sizeof text);
    if (op->device != peer->op[recv].device)
        return dist_fault(plan, send, "%s over the device wire, but rank %d op %zu %s %s",
                          op->device ? "goes" : "does not go", op->peer, recv, text,
                          op->device ? "does not" : "does");
    return dist_fault(plan, send, "sends %" PRIu64 " bytes, but rank %d op %zu %s takes %" PRIu64,
                      op->src.bytes, op->peer, recv, text, peer->op[recv].dst.bytes);
}

static dist_status match(dist_verifier *verifier, const message_index *index, const dist_plan *plan, size_t i)
{
    const dist_op *op = &plan->op[i];
    bool send = op->kind == DIST_OP_SEND;
    size_t other = group_that_meets(index, plan, op);
    size_t count = index->first[other + 1] - index->first[other];
    if (op->sequence >= count)
        return dist_fault(plan, i, "meets no %s: rank %d %s %zu messages %s rank %d on channel %u",
                          send ? "RECV" : "SEND", op->peer, send ? "receives" : "sends", count,
                          send ? "from" : "to", plan->rank, op->channel);
    uint32_t partner = index->op[index->first[other] + op->sequence];
    verifier->meets[verifier->first_op[plan->rank] + i] = partner;
    return send ? check_pair(verifier, plan, i, partner) : DIST_OK;
}

static dist_status match_messages(dist_verifier *verifier)
{
    size_t ranks = (size_t)verifier->ranks, ops = verifier->first_op[ranks];
    message_index index = {.keys = ranks * channels_of(verifier) * 2};
    index.first = calloc(ranks * index.keys + 1, sizeof(size_t));
    index.op = calloc(ops + 1, sizeof(uint32_t));
    dist_status status =
        index.first && index.op ? fill_index(verifier, &index) : dist_verify_no_memory(verifier);
    for (size_t r = 0; r < ranks; r++)
        for (size_t i = 0; status == DIST_OK && i < verifier->plan[r]->ops; i++)
            if (dist_op_is_message(&verifier->plan[r]->op[i]))
                status = match(verifier, &index, verifier->plan[r], i);
    free(index.first);
    free(index.op);
    return status;
}

static dist_status match_natives(dist_verifier *verifier)
{
    dist_natives *natives = &verifier->natives;
    DIST_TRY(dist_natives_match(natives, verifier->plan, verifier->ranks));
    for (size_t n = 0; n < natives->count; n++)
        for (int m = 0; m < dist_native_group_of(natives, n)->members; m++)
            verifier
                ->meets[verifier->first_op[dist_native_rank(natives, n, m)] + dist_native_op(natives, n, m)] =
                (uint32_t)n;
    return DIST_OK;
}

dist_status dist_verify_messages(dist_verifier *verifier)
{
    DIST_TRY(match_messages(verifier));
    return match_natives(verifier);
}
