/* Before a plan first runs, all ranks compare what they are about to do: a difference is an error, not a
 * hang. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "plan/engine_internal.h"

typedef struct proposal {
    char label[sizeof((dist_plan){0}.label)];
    uint32_t group;       /* of its plan */
    uint32_t number;      /* agreements before */
    uint32_t tag, room;   /* the first tags that would do on this rank, and how many are free there */
    uint32_t sequences;   /* tags that its plan needs */
    uint32_t channels;    /* that its messages use */
    uint32_t wants_space; /* it has collectives of the wire */
    uint64_t spaces_used;
    uint64_t value;   /* of dist_engine_most */
    uint64_t balance; /* hash of its messages: over all ranks the sum is 0 when every SEND meets its RECV */
} proposal;

/* The messages at the head of a plan, for finding the first one that does not fit. */
#define COMPARED_MESSAGES 128
typedef struct message_record {
    uint64_t bytes;
    uint32_t op, sequence;
    int32_t peer;
    uint8_t send;
    uint8_t channel;
    uint8_t used;
} message_record;

static uint64_t message_hash(int from, int to, const dist_op *op, uint64_t bytes)
{
    const uint64_t words[] = {(uint64_t)from, (uint64_t)to, op->channel, op->sequence, bytes};
    uint64_t hash = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = (hash ^ words[i]) * 0xbf58476d1ce4e5b9u;
        hash ^= hash >> 29;
    }
    return hash;
}

/* What this rank sends, less what it receives, as hashes of who, to whom, in which order and how much. */
static uint64_t balance_of(const dist_plan *plan)
{
    uint64_t balance = 0;
    for (size_t i = 0; i < plan->ops; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind == DIST_OP_SEND)
            balance += message_hash(plan->rank, op->peer, op, op->src.bytes);
        else if (op->kind == DIST_OP_RECV)
            balance -= message_hash(op->peer, plan->rank, op, op->dst.bytes);
    }
    return balance;
}

/* Puts mine->tag behind live tasks until mine->sequences tags are free there. */
static void find_room(const dist_engine *engine, proposal *mine)
{
    uint32_t end = engine->options.wire->tags;
    for (const dist_task *live = engine->live; live;) {
        bool before = live->tag + live->tags <= mine->tag;
        if (live->tags > 0 && !before && live->tag < (uint64_t)mine->tag + mine->sequences) {
            mine->tag = live->tag + live->tags;
            live = engine->live; /* the list is in no order */
            continue;
        }
        live = live->next_live;
    }
    for (const dist_task *live = engine->live; live; live = live->next_live)
        if (live->tags > 0 && live->tag >= mine->tag && live->tag < end)
            end = live->tag;
    mine->room = end - mine->tag;
}

static void propose(const dist_task *task, proposal *mine)
{
    const dist_engine *engine = task->engine;
    memset(mine, 0, sizeof *mine);
    snprintf(mine->label, sizeof mine->label, "%s", task->plan->label);
    mine->group = task->plan->group;
    mine->number = engine->agreements;
    mine->sequences = task->plan->sequences;
    mine->channels = (uint32_t)task->plan->channels;
    mine->spaces_used = engine->spaces_used;
    mine->balance = balance_of(task->plan);
    find_room(engine, mine);
    for (size_t op = 0; op < task->plan->ops; op++)
        mine->wants_space |= task->plan->op[op].kind == DIST_OP_NATIVE && !task->plan->op[op].device;
}

static void list_messages(const dist_plan *plan, message_record *record)
{
    size_t count = 0;
    memset(record, 0, COMPARED_MESSAGES * sizeof *record);
    for (uint32_t i = 0; i < plan->ops && count < COMPARED_MESSAGES; i++) {
        const dist_op *op = &plan->op[i];
        if (op->kind == DIST_OP_SEND || op->kind == DIST_OP_RECV)
            record[count++] =
                (message_record){.bytes = op->kind == DIST_OP_SEND ? op->src.bytes : op->dst.bytes,
                                 .op = i,
                                 .sequence = op->sequence,
                                 .peer = op->peer,
                                 .send = op->kind == DIST_OP_SEND,
                                 .channel = (uint8_t)op->channel,
                                 .used = 1};
    }
}

static const message_record *partner(const message_record *all, int rank, const message_record *of)
{
    const message_record *theirs = &all[of->peer * COMPARED_MESSAGES];
    for (int i = 0; i < COMPARED_MESSAGES && theirs[i].used; i++)
        if (theirs[i].peer == rank && theirs[i].send != of->send && theirs[i].channel == of->channel &&
            theirs[i].sequence == of->sequence)
            return &theirs[i];
    return NULL;
}

/* "op 3 SEND of 400 bytes on rank 0 meets op 2 RECV of 404 bytes on rank 1", or "" when all that was compared
 * fits. */
static void first_difference(dist_task *task, const dist_patience *patience, char *text, size_t size)
{
    int ranks = task->plan->ranks;
    dist_wire *wire = task->engine->options.wire;
    message_record mine[COMPARED_MESSAGES];
    message_record *all = malloc(sizeof mine * (size_t)ranks);
    text[0] = '\0';
    list_messages(task->plan, mine);
    if (!all || wire->ops->exchange(wire, mine, all, sizeof mine, patience) < 0) {
        free(all);
        return;
    }
    for (int i = 0; i < ranks * COMPARED_MESSAGES && !text[0]; i++) {
        const message_record *one = &all[i];
        if (!one->used)
            continue;
        const message_record *other = partner(all, i / COMPARED_MESSAGES, one);
        if (other && other->bytes != one->bytes)
            snprintf(text, size,
                     "op %u %s of %" PRIu64 " bytes on rank %d meets op %u %s of %" PRIu64
                     " bytes on rank %d",
                     one->op, one->send ? "SEND" : "RECV", one->bytes, i / COMPARED_MESSAGES, other->op,
                     other->send ? "SEND" : "RECV", other->bytes, one->peer);
        else if (!other && i % COMPARED_MESSAGES < COMPARED_MESSAGES / 2)
            snprintf(text, size, "op %u %s of %" PRIu64 " bytes on rank %d meets nothing on rank %d", one->op,
                     one->send ? "SEND" : "RECV", one->bytes, i / COMPARED_MESSAGES, one->peer);
    }
    free(all);
}

/* The first rank that must prepare the same as rank r: of its group. A plan of all ranks is in every group. */
static int model_of(const proposal *all, int r)
{
    int model = 0;
    while (all[model].group != all[r].group && all[model].group != 0 && all[r].group != 0)
        model++;
    return model;
}

static dist_status compare(dist_task *task, const proposal *all, const dist_patience *patience)
{
    int model = 0, other = 0;
    bool groups = false;
    uint64_t balance = all[0].balance;
    char where[256];
    for (int r = 1; r < task->plan->ranks; r++) {
        balance += all[r].balance;
        groups |= all[r].group != all[0].group;
        if (other != 0)
            continue;
        model = all[r].number == all[0].number ? model_of(all, r) : 0;
        if (all[r].number != all[0].number || strcmp(all[model].label, all[r].label) != 0)
            other = r;
    }
    if (other == 0 && balance == 0)
        return DIST_OK;
    first_difference(task, patience, where, sizeof where);
    if (other == 0)
        return dist_fail(DIST_ERR_MISMATCH, "ranks disagree: %s '%s', but their messages do not fit%s%s",
                         groups ? "each group prepares one plan, that of rank 0" : "all prepare",
                         all[0].label, where[0] ? "; first op that differs: " : "", where);
    return dist_fail(
        DIST_ERR_MISMATCH,
        "ranks disagree: rank %d prepares '%s' as its number %u, rank %d prepares '%s' as its number %u%s%s",
        model, all[model].label, all[model].number, other, all[other].label, all[other].number,
        where[0] ? "; first op that differs: " : "", where);
}

/* The first tags that are free on all ranks. Mostly all propose the same; where a rank has kept tasks that others have
 * destroyed, all look again from the furthest proposal on. */
static dist_status take_tags(dist_task *task, proposal *mine, proposal *all, const dist_patience *patience)
{
    dist_engine *engine = task->engine;
    dist_wire *wire = engine->options.wire;
    for (;;) {
        bool fits = true;
        for (int r = 0; r < wire->ranks; r++) {
            mine->tag = all[r].tag > mine->tag ? all[r].tag : mine->tag;
            mine->sequences = all[r].sequences > mine->sequences ? all[r].sequences : mine->sequences;
        }
        if (mine->sequences > wire->tags || mine->tag > wire->tags - mine->sequences)
            return dist_fail(DIST_ERR_UNSUPPORTED,
                             "%s: %u messages to one peer; the wire has tags for %u beside the plans that "
                             "exist: destroy some first",
                             task->plan->label, mine->sequences, wire->tags - mine->tag);
        for (int r = 0; r < wire->ranks; r++)
            fits &= all[r].tag == mine->tag && all[r].room >= mine->sequences;
        if (fits)
            break;
        find_room(engine, mine);
        DIST_TRY(wire->ops->exchange(wire, mine, all, sizeof *mine, patience));
    }
    task->tag = mine->tag;
    task->tags = mine->sequences;
    return DIST_OK;
}

static dist_status take_space(dist_task *task, const proposal *all, const dist_patience *patience)
{
    uint64_t used = 0, wanted = 0;
    int space = 0;
    dist_wire *wire = task->engine->options.wire;
    for (int r = 0; r < task->plan->ranks; r++) {
        used |= all[r].spaces_used;
        wanted |= all[r].wants_space;
    }
    if (!wanted)
        return DIST_OK;
    while (space < 64 && (used >> space & 1))
        space++;
    if (space == 64)
        return dist_fail(DIST_ERR_UNSUPPORTED,
                         "%s: more than 64 collectives of algorithm 'mpi' exist at once; use larger "
                         "buckets or another algorithm",
                         task->plan->label);
    DIST_TRY(wire->ops->open_space(wire, space, patience));
    task->space = space;
    return DIST_OK;
}

static dist_status open_channels(dist_task *task, const proposal *all, const dist_patience *patience)
{
    dist_wire *wire = task->engine->options.wire;
    uint32_t channels = 0;
    for (int r = 0; r < wire->ranks; r++)
        channels = all[r].channels > channels ? all[r].channels : channels;
    return channels > DIST_CHANNELS ? wire->ops->open_channels(wire, (int)channels, patience) : DIST_OK;
}

/* What a rank has to say, and the largest of it with the first rank that says so. */
typedef struct extreme {
    uint64_t value, largest;
    int rank;
} extreme;

static void find_largest(const proposal *all, int ranks, extreme *found)
{
    found->rank = 0;
    for (int r = 1; r < ranks; r++)
        if (all[r].value > all[found->rank].value)
            found->rank = r;
    found->largest = all[found->rank].value;
}

static dist_status agree(dist_task *task, extreme *found, const dist_patience *patience)
{
    dist_wire *wire = task->engine->options.wire;
    proposal mine;
    proposal *all = malloc(sizeof mine * (size_t)wire->ranks);
    if (!all)
        return dist_fail(DIST_ERR_MEMORY, "no memory to compare plans with %d ranks", wire->ranks);
    propose(task, &mine);
    mine.value = found->value;
    dist_status status = wire->ops->exchange(wire, &mine, all, sizeof mine, patience);
    if (status >= 0)
        status = compare(task, all, patience);
    if (status >= 0)
        find_largest(all, wire->ranks, found);
    if (status >= 0)
        status = take_tags(task, &mine, all, patience);
    if (status >= 0)
        status = take_space(task, all, patience);
    if (status >= 0)
        status = open_channels(task, all, patience);
    free(all);
    return status;
}

typedef struct keeper {
    dist_engine *engine;
    int64_t moved_at;
} keeper;

/* Keeps other tasks moving meanwhile: another rank may want them done before it comes here. */
static bool keep_moving(void *argument)
{
    keeper *k = argument;
    dist_engine *engine = k->engine;
    const bool moved = dist_engine_pass(engine);
    const int64_t now = dist_now();
    if (moved) {
        k->moved_at = now;
    } else {
        dist_engine_check(engine, now);
        dist_rest(now - k->moved_at, DIST_CALLER_SPIN);
    }
    return !atomic_load(&engine->failed);
}

/* What a rank comes for besides comparing plans. */
typedef struct joint_work {
    dist_engine_work *work; /* NULL: nothing */
    void *argument;
} joint_work;

/* A rank that does not come fails the engine, because half of an exchange cannot be taken back. */
static dist_status prepare(dist_task *task, extreme *found, joint_work joint)
{
    dist_engine *engine = task->engine;
    pthread_mutex_lock(&engine->drive);
    engine->preparing = task->plan->label;
    keeper k = {engine, dist_now()};
    dist_patience patience = {dist_deadline(engine->options.timeout), keep_moving, &k};
    dist_status status = agree(task, found, &patience);
    engine->agreements++;
    if (status >= 0 && joint.work)
        status = joint.work(engine->options.wire, &patience, joint.argument);
    if (status == DIST_ERR_TIMEOUT || status == DIST_ERR_MPI || status == DIST_ERR_NCCL) {
        char sentence[DIST_ERROR_MAX];
        snprintf(sentence, sizeof sentence, "preparing '%s': %s", task->plan->label, dist_last_error());
        dist_engine_fail(engine, status, sentence);
    }
    if (status < 0 && atomic_load(&engine->failed))
        status = dist_engine_status(engine);
    engine->preparing = NULL;
    pthread_mutex_unlock(&engine->drive);
    return status;
}

dist_status dist_task_agree(dist_task *task)
{
    return prepare(task, &(extreme){0}, (joint_work){NULL, NULL});
}

int dist_engine_ranks(const dist_engine *engine)
{
    return engine->options.wire->ranks;
}

/* An agreement like any other, on an empty plan: one that meets a task of another rank is found out. */
static dist_status come_together(dist_engine *engine, const char *what, extreme *found, joint_work joint)
{
    dist_plan *plan = dist_plan_create(engine->options.wire->rank, engine->options.wire->ranks, "%s", what);
    if (!plan)
        return DIST_ERR_MEMORY;
    dist_task task = {.engine = engine, .plan = plan, .space = -1};
    dist_status status = dist_engine_status(engine);
    if (status >= 0)
        status = prepare(&task, found, joint);
    dist_plan_destroy(plan);
    return status;
}

dist_status dist_engine_together(dist_engine *engine, const char *what, dist_engine_work *work,
                                 void *argument)
{
    return come_together(engine, what, &(extreme){0}, (joint_work){work, argument});
}

dist_status dist_engine_most(dist_engine *engine, const char *what, uint64_t value, uint64_t *most, int *rank)
{
    extreme found = {.value = value};
    const dist_status status = come_together(engine, what, &found, (joint_work){NULL, NULL});
    *most = found.largest;
    *rank = found.rank;
    return status;
}
