#include <string.h>

#include "plan/plan.h"

/* FNV-1a over 64-bit words with a final avalanche: enough to tell two programs apart, the same everywhere. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    for (int byte = 0; byte < 8; byte++) {
        hash ^= (word >> (8 * byte)) & 0xff;
        hash *= 0x100000001b3u;
    }
    return hash;
}

static uint64_t mix_slice(uint64_t hash, dist_slice slice)
{
    hash = mix(hash, slice.buffer);
    return slice.buffer == DIST_NO_BUFFER ? hash : mix(mix(hash, slice.offset), slice.bytes);
}

static uint64_t mix_op(uint64_t hash, const dist_plan *plan, const dist_op *op)
{
    hash = mix(hash, (uint64_t)op->kind | (uint64_t)op->type << 8 | (uint64_t)op->reduction << 16 |
                         (uint64_t)op->native << 24 | (uint64_t)op->add << 32 | (uint64_t)op->variable << 33 |
                         (uint64_t)op->staged << 34 | (uint64_t)op->device << 35 | (uint64_t)op->head << 36 |
                         (uint64_t)op->channel << 40);
    hash = mix(hash, (uint64_t)(uint32_t)op->peer | (uint64_t)op->sequence << 32);
    hash = mix(mix(hash, op->divisor), op->count);
    hash = mix(mix(hash, (uint64_t)op->frames | (uint64_t)op->stream << 32), op->first);
    hash = mix_slice(mix_slice(mix_slice(hash, op->dst), op->src), op->state);
    for (uint32_t w = 0; w < op->waits; w++)
        hash = mix(hash, plan->wait[op->first_wait + w]);
    return hash;
}

uint64_t dist_plan_hash(const dist_plan *plan)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = plan->label; *c; c++)
        hash = mix(hash, (unsigned char)*c);
    hash = mix(mix(hash, (uint64_t)plan->rank | (uint64_t)plan->group << 32), (uint64_t)plan->ranks);
    for (size_t b = 0; b < plan->buffers; b++)
        hash = mix(mix(hash, (uint64_t)plan->buffer[b].kind | (uint64_t)plan->buffer[b].memory << 8),
                   plan->buffer[b].bytes);
    for (int t = 0; t < plan->teammates; t++)
        hash = mix(hash, (uint64_t)plan->team[t]);
    for (size_t i = 0; i < plan->ops; i++)
        hash = mix_op(hash, plan, &plan->op[i]);
    return hash;
}
