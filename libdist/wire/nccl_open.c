/* Making the wire and its communicators: unique ids come from the first member, and NCCL starts without blocking. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "wire/nccl_internal.h"

#define MAGIC           0xcafebeefu
#define CONFIG_VERSION  21800
#define ABORT_SECONDS   5.0 /* for communicators that came to nothing */
#define PARTING_SECONDS 2.0 /* after an open that all know has failed */

/* Communicators in the job. */
typedef struct make_job {
    dist_nccl_comm *comm;
    int comms, mine; /* mine: this rank is in them */
    dist_status (*prepare)(dist_nccl_wire *wire, const void *argument);
    const void *argument;
    bool begun;
} make_job;

static dist_status no_space(dist_wire *wire, int space, const dist_patience *patience)
{
    (void)wire;
    (void)space;
    (void)patience;
    return DIST_OK;
}

static const dist_wire_ops nccl_ops = {.name = "nccl",
                                       .message = dist_nccl_message,
                                       .collective = dist_nccl_collective,
                                       .start = dist_nccl_start,
                                       .poll = dist_nccl_poll,
                                       .release = dist_nccl_release,
                                       .open_space = no_space,
                                       .close = dist_nccl_close};

int dist_nccl_position(const dist_nccl_wire *wire, int rank)
{
    for (int m = 0; m < wire->members; m++)
        if (wire->member[m] == rank)
            return m;
    return -1;
}

static bool takes_part(const dist_nccl_comm *comm, int rank)
{
    return comm->from < 0 || comm->from == rank || comm->to == rank;
}

/* ---- the steps ---- */

/* What can be done alone, before anybody waits for anybody. */
static dist_status prepare(dist_nccl_wire *wire, void *argument)
{
    make_job *job = argument;
    DIST_TRY(job->prepare(wire, job->argument));
    for (int c = 0; dist_nccl_leads(wire) && c < job->comms; c++) {
        const int result = wire->library.get_unique_id(&job->comm[c].id);
        if (result != DIST_NCCL_SUCCESS)
            return dist_nccl_fail(&wire->library, NULL, result, "ncclGetUniqueId");
    }
    return DIST_OK;
}

/* The next letter of ids for one member; false when it has all. */
static bool fill_ids(const make_job *job, dist_nccl_link *link, dist_nccl_letter *letter, int *count)
{
    int passed = 0;
    *count = 0;
    for (int c = 0; c < job->comms && *count < DIST_NCCL_IDS_MOST; c++)
        if (takes_part(&job->comm[c], link->peer) && passed++ >= link->ids)
            letter->as.id[(*count)++] = job->comm[c].id;
    link->ids += *count;
    return *count > 0;
}

static dist_status send_ids(dist_nccl_wire *wire, const make_job *job)
{
    for (int l = 0; l < wire->links; l++)
        for (;;) {
            dist_nccl_letter *letter;
            int count;
            DIST_TRY(dist_nccl_link_slot(wire, &wire->link[l], &letter));
            if (!letter)
                return DIST_IN_PROGRESS;
            if (!fill_ids(job, &wire->link[l], letter, &count))
                break;
            DIST_TRY(dist_nccl_link_send(wire, &wire->link[l], DIST_NCCL_IDS, count));
        }
    return DIST_OK;
}

static dist_status have_ids(dist_nccl_wire *wire, make_job *job)
{
    if (dist_nccl_leads(wire))
        return send_ids(wire, job);
    if (wire->ids < job->mine)
        return DIST_IN_PROGRESS;
    for (int c = 0, next = 0; c < job->comms; c++)
        if (takes_part(&job->comm[c], wire->base.rank))
            job->comm[c].id = wire->id[next++];
    return DIST_OK;
}

static dist_status begin_one(dist_nccl_wire *wire, dist_nccl_comm *comm)
{
    dist_nccl_config config = {.size = sizeof config,
                               .magic = MAGIC,
                               .version = CONFIG_VERSION,
                               .blocking = 0,
                               .cga_cluster_size = INT_MIN, /* NCCL_CONFIG_UNDEF_INT: NCCL's, or the user's */
                               .least_ctas = INT_MIN,
                               .most_ctas = INT_MIN,
                               .split_share = INT_MIN,
                               .padding = INT_MIN};
    const bool edge = comm->from >= 0;
    const int ranks = edge ? 2 : wire->members;
    const int rank = edge ? comm->to == wire->base.rank : wire->position;
    const int result = wire->library.init_rank(&comm->handle, ranks, comm->id, rank, &config);
    if (result == DIST_NCCL_SUCCESS || result == DIST_NCCL_IN_PROGRESS)
        return DIST_OK;
    return dist_nccl_fail(&wire->library, NULL, result, "ncclCommInitRankConfig");
}

/* All at once, so that no two ranks wait for each other's communicators. */
static dist_status begin_all(dist_nccl_wire *wire, make_job *job)
{
    dist_status status = DIST_OK;
    int result = wire->library.group_start();
    if (result != DIST_NCCL_SUCCESS)
        return dist_nccl_fail(&wire->library, NULL, result, "ncclGroupStart");
    for (int c = 0; status >= 0 && c < job->comms; c++)
        if (takes_part(&job->comm[c], wire->base.rank))
            status = begin_one(wire, &job->comm[c]);
    char sentence[DIST_ERROR_MAX];
    snprintf(sentence, sizeof sentence, "%s", dist_last_error());
    result = wire->library.group_end();
    if (status < 0)
        return dist_fail(status, "%s", sentence);
    if (result != DIST_NCCL_SUCCESS && result != DIST_NCCL_IN_PROGRESS)
        return dist_nccl_fail(&wire->library, NULL, result, "ncclCommInitRankConfig in a group");
    return DIST_OK;
}

static dist_status make(dist_nccl_wire *wire, void *argument)
{
    make_job *job = argument;
    bool ready = true;
    if (!job->begun) {
        const dist_status status = have_ids(wire, job);
        if (status != DIST_OK)
            return status;
        job->begun = true;
        DIST_TRY(begin_all(wire, job));
    }
    for (int c = 0; c < job->comms; c++) {
        int state = DIST_NCCL_SUCCESS;
        if (!job->comm[c].handle)
            continue;
        const int result = wire->library.async_error(job->comm[c].handle, &state);
        const int wrong = result != DIST_NCCL_SUCCESS ? result : state;
        if (wrong != DIST_NCCL_SUCCESS && wrong != DIST_NCCL_IN_PROGRESS)
            return dist_nccl_fail(&wire->library, job->comm[c].handle, wrong, "making a communicator");
        ready &= wrong == DIST_NCCL_SUCCESS;
    }
    return ready ? DIST_OK : DIST_IN_PROGRESS;
}

/* Two rounds: all have come and can; all are connected. Every call is two rounds, also one that ends after the first.
 */
static dist_status connect_members(dist_nccl_wire *wire, make_job *job, uint64_t check, const char *what,
                                   const dist_patience *patience)
{
    const uint64_t round = wire->round;
    const dist_nccl_step first = {prepare, job, check, what, true};
    const dist_nccl_step second = {make, job, check, what, false};
    wire->ids = 0;
    for (int c = 0; c < job->comms; c++)
        job->mine += takes_part(&job->comm[c], wire->base.rank);
    for (int l = 0; l < wire->links; l++)
        wire->link[l].ids = 0;
    if (!dist_grow(&wire->id, &wire->id_capacity, (size_t)job->mine, sizeof *wire->id))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d NCCL communicators", job->mine);
    dist_status status = dist_nccl_agree(wire, &first, patience);
    if (status >= 0 && job->comms > 0)
        status = dist_nccl_agree(wire, &second, patience);
    wire->round = round + 2;
    if (status < 0) {
        char sentence[DIST_ERROR_MAX];
        snprintf(sentence, sizeof sentence, "%s", dist_last_error());
        dist_nccl_end(wire, job->comm, job->comms, true, ABORT_SECONDS);
        dist_fail(status, "%s", sentence);
    }
    return status;
}

/* ---- open ---- */

static dist_status check_setup(const dist_nccl_setup *setup)
{
    bool here = false;
    for (int m = 0; m < setup->members; m++) {
        here |= setup->member[m] == setup->control->rank;
        if (setup->member[m] < 0 || setup->member[m] >= setup->control->ranks ||
            (m > 0 && setup->member[m] <= setup->member[m - 1]))
            return dist_fail(DIST_ERR_ARGUMENT, "member %d of the NCCL wire is rank %d of %d: not ascending",
                             m, setup->member[m], setup->control->ranks);
    }
    if (!here)
        return dist_fail(DIST_ERR_ARGUMENT, "rank %d opens an NCCL wire of which it is no member",
                         setup->control->rank);
    return DIST_OK;
}

static dist_status create(dist_nccl_wire **out, const dist_nccl_setup *setup)
{
    dist_nccl_wire *wire = *out = calloc(1, sizeof *wire);
    if (!wire)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the NCCL wire");
    wire->base = (dist_wire){.ops = &nccl_ops,
                             .rank = setup->control->rank,
                             .ranks = setup->control->ranks,
                             .tags = UINT32_MAX,
                             .threaded = setup->control->threaded};
    wire->control = setup->control;
    wire->cuda = setup->cuda;
    wire->log = setup->log;
    wire->channel = setup->channel;
    wire->device = setup->device;
    wire->members = setup->members;
    wire->member = malloc((size_t)setup->members * sizeof *wire->member);
    if (!wire->member)
        return dist_fail(DIST_ERR_MEMORY, "no memory for the NCCL wire");
    memcpy(wire->member, setup->member, (size_t)setup->members * sizeof *wire->member);
    wire->position = dist_nccl_position(wire, wire->base.rank);
    wire->links = dist_nccl_leads(wire) ? wire->members - 1 : 1;
    wire->link = calloc((size_t)wire->links + 1, sizeof *wire->link);
    wire->fare = calloc((size_t)wire->links + 1, sizeof *wire->fare);
    if (!wire->link || !wire->fare || !dist_grow(&wire->comm, &wire->comm_capacity, 1, sizeof *wire->comm))
        return dist_fail(DIST_ERR_MEMORY, "no memory for the NCCL wire");
    return DIST_OK;
}

static dist_status open_links(dist_nccl_wire *wire)
{
    for (int l = 0; l < wire->links; l++) {
        const int peer = dist_nccl_leads(wire) ? wire->member[l + 1] : wire->member[0];
        DIST_TRY(dist_nccl_link_open(wire, &wire->link[l], peer));
    }
    return DIST_OK;
}

static dist_status check_cuda(const dist_nccl_wire *wire, int error, const char *what)
{
    if (error == 0)
        return DIST_OK;
    return dist_fail(DIST_ERR_CUDA, "%s for the NCCL wire: CUDA error %d, %s", what, error,
                     wire->cuda->error_name(error));
}

static dist_status prepare_wire(dist_nccl_wire *wire, const void *argument)
{
    const dist_nccl_setup *setup = argument;
    DIST_TRY(dist_nccl_library_open(&wire->library, setup->library));
    DIST_TRY(check_cuda(wire, wire->cuda->stream_create(&wire->stream, 1), "creating a stream"));
    DIST_TRY(check_cuda(wire, wire->cuda->allocate(&wire->word, sizeof(int32_t)), "allocating a word"));
    return check_cuda(wire, wire->cuda->zero(wire->word, sizeof(int32_t), wire->stream), "zeroing a word");
}

static uint64_t hash_ints(uint64_t hash, const int *value, int count)
{
    for (int i = 0; i < count; i++)
        hash = (hash ^ (uint64_t)value[i]) * 0x100000001b3u;
    return hash;
}

dist_status dist_wire_nccl_open(dist_wire **out, const dist_nccl_setup *setup, const dist_patience *patience)
{
    dist_nccl_wire *wire;
    *out = NULL;
    DIST_TRY(check_setup(setup));
    dist_status status = create(&wire, setup);
    if (status >= 0)
        status = open_links(wire);
    if (status < 0) {
        if (wire)
            dist_nccl_free(wire, false);
        return status;
    }
    wire->comm[0] = (dist_nccl_comm){.from = -1, .to = -1};
    wire->comms = 1;
    make_job job = {.comm = wire->comm, .comms = 1, .prepare = prepare_wire, .argument = setup};
    const uint64_t check = hash_ints(0xcbf29ce484222325u, wire->member, wire->members);
    status = connect_members(wire, &job, check, "opening NCCL", patience);
    if (status < 0) {
        char sentence[DIST_ERROR_MAX];
        snprintf(sentence, sizeof sentence, "%s", dist_last_error());
        const bool all_know = status != DIST_ERR_TIMEOUT && status != DIST_ERR_STATE;
        const bool parted = all_know && dist_nccl_part(wire, dist_deadline(PARTING_SECONDS));
        dist_nccl_free(wire, parted);
        return dist_fail(status, "%s", sentence);
    }
    dist_log_write(wire->log, DIST_LOG_INFO, "NCCL %d.%d.%d connects %d ranks", wire->library.version / 10000,
                   wire->library.version % 10000 / 100, wire->library.version % 100, wire->members);
    *out = &wire->base;
    return DIST_OK;
}

/* ---- edges ---- */

typedef struct edge_list {
    const dist_nccl_edge *edge;
    int edges;
} edge_list;

static dist_status check_edges(dist_nccl_wire *wire, const void *argument)
{
    const edge_list *list = argument;
    for (int e = 0; e < list->edges; e++) {
        const dist_nccl_edge *edge = &list->edge[e];
        if (edge->from == edge->to || dist_nccl_position(wire, edge->from) < 0 ||
            dist_nccl_position(wire, edge->to) < 0)
            return dist_fail(DIST_ERR_ARGUMENT,
                             "an edge from rank %d to rank %d: not two members of the NCCL "
                             "wire",
                             edge->from, edge->to);
    }
    if (list->edges > 0 && (!wire->library.send || !wire->library.receive))
        return dist_fail(DIST_ERR_UNSUPPORTED, "this NCCL has no ncclSend and ncclRecv");
    return DIST_OK;
}

static bool exists(const dist_nccl_wire *wire, const dist_nccl_edge *edge)
{
    for (int c = 0; c < wire->comms; c++)
        if (wire->comm[c].from == edge->from && wire->comm[c].to == edge->to)
            return true;
    return false;
}

dist_status dist_wire_nccl_edges(dist_wire *base, const dist_nccl_edge *edge, int edges,
                                 const dist_patience *patience)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)base;
    const edge_list list = {edge, edges};
    uint64_t check = 0xcbf29ce484222325u;
    if (!dist_grow(&wire->comm, &wire->comm_capacity, (size_t)(wire->comms + edges), sizeof *wire->comm))
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d edges of the NCCL wire", edges);
    make_job job = {.comm = &wire->comm[wire->comms], .prepare = check_edges, .argument = &list};
    for (int e = 0; e < edges; e++) {
        check = hash_ints(check, (const int[]){edge[e].from, edge[e].to}, 2);
        if (!exists(wire, &edge[e]))
            job.comm[job.comms++] = (dist_nccl_comm){.from = edge[e].from, .to = edge[e].to};
    }
    DIST_TRY(connect_members(wire, &job, check, "connecting the edges of the NCCL wire", patience));
    wire->comms += job.comms;
    return DIST_OK;
}
