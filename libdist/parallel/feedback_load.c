/* Putting parts where they belong: all ranks agree on them before any of them changes anything, then every part that
 * is not where it was written goes to all ranks, piece by piece. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/feedback_places.h"

enum { PIECE = 65536 /* 32-bit words that travel at once */, WORD = 4, SLICE_WORDS = 12 };

/* What a rank says of the parts that it was given. */
typedef struct opinion {
    int64_t status;
    int64_t parts;    /* that are not empty */
    int64_t in_place; /* it has its own part, of the same layout */
    dist_part job;    /* as the first of them tells it */
    char sentence[512];
} opinion;

/* One part of the job that wrote them. */
typedef struct entry {
    int64_t rank, holder, number; /* who wrote it; who has it now, as which of its parts */
    int64_t pieces;
} entry;

typedef struct load {
    dist_data_parallel *dp;
    const void *const *data;
    int parts;
    dist_part *part; /* [parts]; bytes are 0 where a part is empty */
    dist_kept_places places;
    uint32_t *buffer; /* PIECE */
    opinion *opinion; /* [ranks] */
    entry *entry;
    dist_part job;
    int64_t most, all; /* parts on one rank, on all */
} load;

_Static_assert(sizeof(dist_kept_slice) == SLICE_WORDS * WORD, "slices travel as words");
_Static_assert(sizeof(opinion) % 8 == 0 && sizeof(entry) % 8 == 0, "and so do these");

static int rank_of(const load *l)
{
    return l->dp->setup.spec.rank;
}

static size_t ranks_of(const load *l)
{
    return (size_t)l->dp->setup.spec.topology->ranks;
}

/* A collective in place, by a plan of its own. */
static dist_status make(const load *l, dist_collective_kind kind, dist_type type, int root, uint64_t count,
                        void *data, dist_task **task)
{
    const dist_spec *of = &l->dp->setup.spec;
    const dist_spec spec = {.kind = kind,
                            .type = type,
                            .reduction = DIST_MAX,
                            .root = root,
                            .count = count,
                            .in_place = true,
                            .codec = {.kind = DIST_CODEC_NONE, .text = "none"},
                            .topology = of->topology,
                            .rank = of->rank};
    dist_plan *plan;
    DIST_TRY(dist_collective_plan(&plan, &spec));
    return dist_task_create(task, l->dp->setup.engine, plan, &data);
}

static dist_status run(const load *l, dist_collective_kind kind, dist_type type, uint64_t count, void *data)
{
    dist_task *task;
    DIST_TRY(make(l, kind, type, 0, count, data, &task));
    dist_status status = dist_task_run(task);
    dist_status ended = dist_task_destroy(task);
    return status < 0 ? status : ended;
}

/* This rank's `bytes` lie at their place in `all`. */
static dist_status gather(const load *l, size_t bytes, void *all)
{
    return run(l, DIST_ALL_GATHER, DIST_INT64, bytes / 8, all);
}

static dist_status check_parameters(const load *l, int number, const dist_part *part)
{
    const dist_part own = dist_part_of(l->dp);
    if (part->parameters != own.parameters || part->elements != own.elements)
        return dist_fail(DIST_ERR_MISMATCH,
                         "part %d was saved with %" PRIu32 " parameters of about %" PRIu64
                         " elements, but this job has %" PRIu32 " of %" PRIu64,
                         number, part->parameters, part->elements, own.parameters, own.elements);
    if (part->hash != own.hash)
        return dist_fail(DIST_ERR_MISMATCH,
                         "part %d was saved with parameters of other names, types or order than this job's",
                         number);
    if (part->reduction != own.reduction)
        return dist_fail(DIST_ERR_MISMATCH,
                         "part %d was saved by a job that takes the %s of gradients, this one takes the %s",
                         number, dist_reduction_name(part->reduction), dist_reduction_name(own.reduction));
    return DIST_OK;
}

/* Empty when they are of one save. */
static void compare_jobs(const dist_part *a, const dist_part *b, char *text, size_t size)
{
    text[0] = '\0';
    if (a->ranks != b->ranks || a->sites != b->sites || a->steps != b->steps)
        snprintf(text, size,
                 "one was saved after %" PRIu64 " steps by %" PRIu32 " ranks on %" PRIu32
                 " sites, another after %" PRIu64 " steps by %" PRIu32 " on %" PRIu32,
                 a->steps, a->ranks, a->sites, b->steps, b->ranks, b->sites);
}

static dist_status check_part(load *l, int number, uint64_t bytes, opinion *own)
{
    char text[256];
    dist_part *part = &l->part[number];
    if (bytes == 0)
        return DIST_OK;
    if (!l->data[number])
        return dist_fail(DIST_ERR_ARGUMENT, "part %d of %" PRIu64 " bytes is NULL", number, bytes);
    dist_part read;
    dist_status status = dist_part_check(l->data[number], bytes, &read);
    if (status < 0) {
        snprintf(text, sizeof text, "%s", dist_last_error());
        return dist_fail(status, "part %d: %s", number, text);
    }
    DIST_TRY(check_parameters(l, number, &read));
    *part = read;
    if (own->parts++ == 0)
        own->job = read;
    compare_jobs(&own->job, &read, text, sizeof text);
    if (text[0])
        return dist_fail(DIST_ERR_MISMATCH, "parts are not of one save: %s", text);
    return DIST_OK;
}

/* Whether the only part is this rank's own, and has a value for each that it keeps, in the same order. */
static bool is_in_place(const load *l)
{
    const dist_part own = dist_part_of(l->dp);
    uint64_t at = DIST_PART_HEADER;
    dist_segment given;
    if (l->parts != 1 || l->part->bytes == 0 || l->part->rank != own.rank || l->part->ranks != own.ranks ||
        l->part->sites != own.sites || l->part->segments != l->places.places)
        return false;
    for (size_t t = 0; t < l->places.places; t++) {
        const dist_kept_place *to = &l->places.place[t];
        dist_segment wanted = to->kept.segment;
        dist_part_next(l->data[0], l->part, &at, &given);
        if (wanted.kind == DIST_KEPT_FACTOR) {
            wanted.owner = given.owner;
            wanted.count = dist_lowrank_factor_count(&to->kept.shape, given.owner);
        }
        if (given.kind != wanted.kind || given.width != wanted.width || given.owner != wanted.owner ||
            given.first != wanted.first || given.count != wanted.count)
            return false;
    }
    return true;
}

static dist_status examine(load *l, const uint64_t *bytes, opinion *own)
{
    if (!dist_dp_is_between_steps(l->dp))
        return dist_fail(DIST_ERR_STATE, "a state is loaded while gradients are being averaged; call "
                                         "dist_data_parallel_wait first");
    if (l->parts < 0 || (l->parts > 0 && (!l->data || !bytes)))
        return dist_fail(DIST_ERR_ARGUMENT, "%d parts, but the arrays of parts and of their sizes are NULL",
                         l->parts);
    l->part = calloc((size_t)l->parts + 1, sizeof *l->part);
    l->buffer = calloc(PIECE, WORD);
    if (!l->part || !l->buffer)
        return dist_fail(DIST_ERR_MEMORY, "no memory to load %d parts", l->parts);
    DIST_TRY(dist_kept_places_create(&l->places, l->dp));
    for (int p = 0; p < l->parts; p++)
        DIST_TRY(check_part(l, p, bytes[p], own));
    own->in_place = is_in_place(l);
    return DIST_OK;
}

/* What is wrong on any rank is wrong on all, in the words of the lowest of them. */
static dist_status agree(load *l)
{
    char text[256];
    int first = -1;
    DIST_TRY(gather(l, sizeof *l->opinion, l->opinion));
    for (size_t r = 0; r < ranks_of(l); r++)
        if (l->opinion[r].status < 0)
            return dist_fail((dist_status)l->opinion[r].status, "rank %zu: %s; nothing was loaded", r,
                             l->opinion[r].sentence);
    for (size_t r = 0; r < ranks_of(l); r++) {
        const opinion *o = &l->opinion[r];
        l->all += o->parts;
        l->most = o->parts > l->most ? o->parts : l->most;
        if (o->parts == 0)
            continue;
        if (first < 0)
            l->job = l->opinion[first = (int)r].job;
        compare_jobs(&l->job, &o->job, text, sizeof text);
        if (text[0])
            return dist_fail(DIST_ERR_MISMATCH,
                             "parts of ranks %d and %zu are not of one save: %s; nothing was loaded", first,
                             r, text);
    }
    return DIST_OK;
}

/* Fills the buffer with slices of a part from *at and *from on; a slice of no values ends it. False when nothing was
 * left. `fill`: else it only counts. */
static bool pack(const load *l, int number, uint64_t *at, uint64_t *from, bool fill)
{
    uint32_t *to = l->buffer, *end = to + PIECE - SLICE_WORDS;
    const dist_part *part = &l->part[number];
    bool some = false;
    while (*at < part->bytes && to + SLICE_WORDS < end) {
        uint64_t next = *at;
        dist_kept_slice s = {.from = *from};
        const char *values = dist_part_next(l->data[number], part, &next, &s.segment);
        const uint64_t left = s.segment.count - *from, room = (uint64_t)(end - to) - SLICE_WORDS;
        s.n = left < room ? left : room;
        if (fill) {
            memcpy(to, &s, sizeof s);
            memcpy(to + SLICE_WORDS, values + WORD * s.from, WORD * s.n);
        }
        to += SLICE_WORDS + s.n;
        *from = s.n == left ? 0 : *from + s.n;
        *at = s.n == left ? next : *at;
        some = true;
    }
    if (fill)
        memset(to, 0, sizeof(dist_kept_slice));
    return some;
}

static int by_rank(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Who has which part; the parts must be those of all ranks. */
static dist_status list_parts(load *l)
{
    const size_t each = (size_t)l->most, slots = each * ranks_of(l), wanted = l->job.ranks;
    size_t n = 0;
    entry *own;
    if (!(l->entry = calloc(slots, sizeof *l->entry)))
        return dist_fail(DIST_ERR_MEMORY, "no memory for a list of %zu parts", slots);
    own = l->entry + each * (size_t)rank_of(l);
    for (int p = 0; p < l->parts; p++) {
        uint64_t at = DIST_PART_HEADER, from = 0;
        if (l->part[p].bytes == 0)
            continue;
        *own = (entry){.rank = l->part[p].rank, .holder = rank_of(l), .number = p};
        while (pack(l, p, &at, &from, false))
            own->pieces++;
        own++;
    }
    DIST_TRY(gather(l, each * sizeof *l->entry, l->entry));
    for (size_t r = 0; r < ranks_of(l); r++) /* close the gaps */
        for (size_t p = 0; p < (size_t)l->opinion[r].parts; p++)
            l->entry[n++] = l->entry[r * each + p];
    qsort(l->entry, n, sizeof *l->entry, by_rank);
    for (size_t p = 0; p < n || p < wanted; p++) {
        if (p > 0 && p < n && l->entry[p].rank == l->entry[p - 1].rank)
            return dist_fail(DIST_ERR_MISMATCH,
                             "the part of rank %" PRId64 " of %zu was given twice, by ranks %" PRId64
                             " and %" PRId64 "; nothing was loaded",
                             l->entry[p].rank, wanted, l->entry[p - 1].holder, l->entry[p].holder);
        if (p >= n || l->entry[p].rank != (int64_t)p)
            return dist_fail(DIST_ERR_MISMATCH,
                             "the part of rank %zu of %zu is missing: every rank's part must be given to one "
                             "rank of this job; nothing was loaded",
                             p, wanted);
    }
    return DIST_OK;
}

static void unpack(load *l)
{
    const uint32_t *from = l->buffer;
    dist_kept_slice s;
    for (memcpy(&s, from, sizeof s); s.n > 0; memcpy(&s, from, sizeof s)) {
        dist_kept_give(&l->places, &l->job, &s, (const char *)(from + SLICE_WORDS));
        from += SLICE_WORDS + s.n;
    }
}

/* In the order of the ranks that wrote them, so that sums do not depend on who was given what. */
static dist_status move_all(load *l)
{
    for (size_t p = 0; p < l->job.ranks; p++) {
        const entry *e = &l->entry[p];
        uint64_t at = DIST_PART_HEADER, from = 0;
        dist_task *task;
        DIST_TRY(make(l, DIST_BROADCAST, DIST_INT32, (int)e->holder, PIECE, l->buffer, &task));
        dist_status status = DIST_OK;
        for (int64_t piece = 0; piece < e->pieces && status >= 0; piece++) {
            if (e->holder == rank_of(l))
                pack(l, (int)e->number, &at, &from, true);
            status = dist_task_run(task);
            if (status >= 0)
                unpack(l);
        }
        dist_status ended = dist_task_destroy(task);
        DIST_TRY(status < 0 ? status : ended);
    }
    return DIST_OK;
}

static void take_in_place(load *l)
{
    uint64_t at = DIST_PART_HEADER;
    dist_kept_slice s = {0};
    for (const char *values; (values = dist_part_next(l->data[0], l->part, &at, &s.segment)) != NULL;) {
        s.n = s.segment.count;
        dist_kept_give(&l->places, &l->job, &s, values);
    }
}

/* Random numbers and steps without the codec go on where the other job was. */
static void go_on_from(dist_data_parallel *dp, uint64_t steps)
{
    dp->steps = steps;
    for (size_t b = 0; b < dp->buckets; b++) {
        dist_bucket *bucket = &dp->bucket[b];
        const uint64_t dense = dp->setup.spec.codec.dense;
        const uint64_t before = bucket->coded && dense < steps ? dense : steps;
        bucket->dense = bucket->coded ? dense - before : 0;
        dist_task_set_step(bucket->task, before);
        if (bucket->coded)
            dist_task_set_step(bucket->coded, steps - before);
    }
}

static dist_status load_agreed(load *l)
{
    bool in_place = true;
    DIST_TRY(agree(l));
    if (l->all == 0)
        return DIST_OK;
    DIST_TRY(list_parts(l));
    DIST_TRY(run(l, DIST_ALL_REDUCE, DIST_INT32, 2 * l->dp->buckets, l->places.kept_in));
    for (size_t r = 0; r < ranks_of(l); r++)
        in_place = in_place && l->opinion[r].in_place;
    if (in_place)
        take_in_place(l);
    else
        DIST_TRY(move_all(l));
    dist_kept_places_store(&l->places);
    go_on_from(l->dp, l->job.steps);
    if (l->places.dropped > 0 && rank_of(l) == 0)
        dist_log_write(l->dp->setup.log, DIST_LOG_INFO,
                       "error feedback of %" PRIu64
                       " elements is dropped: codec '%s' on %d sites keeps none for them",
                       l->places.dropped, l->dp->setup.spec.codec.text, l->dp->setup.spec.topology->sites);
    return DIST_OK;
}

static void free_load(load *l)
{
    free(l->part);
    dist_kept_places_free(&l->places);
    free(l->buffer);
    free(l->opinion);
    free(l->entry);
}

dist_status dist_dp_state_load(dist_data_parallel *dp, const void *const *part, const uint64_t *bytes,
                               int parts)
{
    load l = {.dp = dp, .data = part, .parts = parts};
    if (dp->setup.member)
        return dist_fail(DIST_ERR_UNSUPPORTED, "the state of averages in groups of ranks cannot be loaded");
    if (!(l.opinion = calloc(ranks_of(&l), sizeof *l.opinion)))
        return dist_fail(DIST_ERR_MEMORY, "no memory to load a state on %zu ranks", ranks_of(&l));
    opinion *own = &l.opinion[rank_of(&l)];
    own->status = examine(&l, bytes, own);
    if (own->status < 0)
        snprintf(own->sentence, sizeof own->sentence, "%s", dist_last_error());
    dist_status status = load_agreed(&l);
    free_load(&l);
    return status;
}
