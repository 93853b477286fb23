/* Takes idle time out of a split schedule of two chunks without raising its peak: a dry run in which every slot takes
 * one unit, and a rank that would wait runs a later slot instead.
 *
 * A rank takes the first slot of its order that can start. A forward may overtake others only where the rank then never
 * holds more than the peak; a weight gradient lets those backwards go first that can start and stand before the next
 * forward. In each class (kind and chunk) the order of microbatches stays, so that only six slots can be next.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "parallel/schedule_internal.h"

enum { CLASSES = 6 }; /* F, B, W of the lower chunk, then of the upper */

/* Chunks held after each slot of a rank's order: a tree in which a node has what is added to all below it, and the most
 * below it, that included. */
typedef struct levels {
    int *added, *most;
    size_t leaves;
} levels;

static void levels_add(const levels *tree, size_t node, size_t first, size_t last, size_t from, size_t to,
                       int add)
{
    if (from >= last || to <= first)
        return;
    if (from <= first && last <= to) {
        tree->added[node] += add;
        tree->most[node] += add;
        return;
    }
    const size_t middle = first + (last - first) / 2;
    levels_add(tree, 2 * node, first, middle, from, to, add);
    levels_add(tree, 2 * node + 1, middle, last, from, to, add);
    const int left = tree->most[2 * node], right = tree->most[2 * node + 1];
    tree->most[node] = tree->added[node] + (left > right ? left : right);
}

static int levels_most(const levels *tree, size_t node, size_t first, size_t last, size_t from, size_t to)
{
    if (from >= last || to <= first)
        return INT_MIN / 2;
    if (from <= first && last <= to)
        return tree->most[node];
    const size_t middle = first + (last - first) / 2;
    const int left = levels_most(tree, 2 * node, first, middle, from, to);
    const int right = levels_most(tree, 2 * node + 1, middle, last, from, to);
    return tree->added[node] + (left > right ? left : right);
}

typedef struct squeeze {
    dist_schedule *schedule; /* its slots are the order so far */
    dist_slot **out;         /* [ranks] the new order */
    size_t *done;            /* [ranks] slots of it */
    size_t (*next)
        [CLASSES]; /* [ranks] place in the order of the next slot of each class; its length at the end */
    levels *held;  /* [ranks] */
    int64_t *end;  /* [2][stages][microbatches] when forwards and backwards are done; 0: not yet */
    int most;      /* chunks */
} squeeze;

static int class_of(const squeeze *s, dist_slot slot)
{
    return (int)slot.kind + (slot.stage >= s->schedule->ranks ? CLASSES / 2 : 0);
}

static bool is_kind(int class, dist_slot_kind kind)
{
    return class % (CLASSES / 2) == (int)kind;
}

static int64_t *end_of(const squeeze *s, bool backward, int stage, uint32_t microbatch)
{
    const size_t stages = (size_t)s->schedule->stages, m = (size_t)s->schedule->microbatches;
    return &s->end[((backward ? stages : 0) + (size_t)stage) * m + microbatch];
}

static bool is_done(const squeeze *s, bool backward, int stage, uint32_t microbatch, int64_t time)
{
    const int64_t end = *end_of(s, backward, stage, microbatch);
    return end > 0 && end <= time;
}

static bool can_start(const squeeze *s, dist_slot slot, int64_t time)
{
    if (slot.kind == DIST_SLOT_FORWARD)
        return slot.stage == 0 || is_done(s, false, slot.stage - 1, slot.microbatch, time);
    if (slot.kind == DIST_SLOT_WEIGHT)
        return is_done(s, true, slot.stage, slot.microbatch, time);
    return is_done(s, false, slot.stage, slot.microbatch, time) &&
           (slot.stage + 1 == s->schedule->stages || is_done(s, true, slot.stage + 1, slot.microbatch, time));
}

/* The class whose next slot the rank runs at `time`; CLASSES when it waits. */
static int pick(const squeeze *s, int rank, int64_t time)
{
    const size_t *next = s->next[rank], all = s->schedule->slots[rank];
    size_t front = all, forward = all; /* the first of the order, the first forward */
    int first = CLASSES, backward = CLASSES;
    for (int c = 0; c < CLASSES; c++) {
        front = next[c] < front ? next[c] : front;
        forward = is_kind(c, DIST_SLOT_FORWARD) && next[c] < forward ? next[c] : forward;
    }
    for (int c = 0; c < CLASSES; c++) {
        if (next[c] == all || !can_start(s, s->schedule->slot[rank][next[c]], time))
            continue;
        const bool overtakes = is_kind(c, DIST_SLOT_FORWARD) && next[c] > front;
        if (overtakes && levels_most(&s->held[rank], 1, 0, s->held[rank].leaves, front, next[c]) >= s->most)
            continue;
        if (first == CLASSES || next[c] < next[first])
            first = c;
        if (is_kind(c, DIST_SLOT_BACKWARD) && next[c] < forward &&
            (backward == CLASSES || next[c] < next[backward]))
            backward = c;
    }
    return first < CLASSES && is_kind(first, DIST_SLOT_WEIGHT) && backward < CLASSES ? backward : first;
}

/* Runs the next slot of a class. What it holds or lets go, it now does before all that it overtakes. */
static void take(squeeze *s, int rank, int class, int64_t time)
{
    const dist_slot *order = s->schedule->slot[rank];
    size_t *next = &s->next[rank][class];
    const dist_slot slot = order[*next];
    s->out[rank][s->done[rank]++] = slot;
    if (slot.kind != DIST_SLOT_WEIGHT)
        *end_of(s, slot.kind == DIST_SLOT_BACKWARD, slot.stage, slot.microbatch) = time + 1;
    if (slot.kind != DIST_SLOT_BACKWARD)
        levels_add(&s->held[rank], 1, 0, s->held[rank].leaves, 0, *next,
                   slot.kind == DIST_SLOT_FORWARD ? 1 : -1);
    for (++*next; *next < s->schedule->slots[rank] && class_of(s, order[*next]) != class;)
        ++*next;
}

static bool begin_rank(squeeze *s, int rank)
{
    const size_t all = s->schedule->slots[rank];
    levels *held = &s->held[rank];
    for (held->leaves = 1; held->leaves < all;)
        held->leaves *= 2;
    held->added = calloc(2 * held->leaves, sizeof(int));
    held->most = calloc(2 * held->leaves, sizeof(int));
    s->out[rank] = malloc(all * sizeof(dist_slot));
    if (!held->added || !held->most || !s->out[rank])
        return false;
    for (int c = 0; c < CLASSES; c++)
        s->next[rank][c] = all;
    int level = 0;
    for (size_t k = 0; k < all; k++) {
        const dist_slot slot = s->schedule->slot[rank][k];
        level += (slot.kind == DIST_SLOT_FORWARD) - (slot.kind == DIST_SLOT_WEIGHT);
        held->added[held->leaves + k] = held->most[held->leaves + k] = level;
    }
    for (size_t node = held->leaves; --node > 0;) {
        const int left = held->most[2 * node], right = held->most[2 * node + 1];
        held->most[node] = left > right ? left : right;
    }
    for (size_t k = all; k-- > 0;)
        s->next[rank][class_of(s, s->schedule->slot[rank][k])] = k;
    return true;
}

static void squeeze_end(squeeze *s)
{
    for (int r = 0; s->held && r < s->schedule->ranks; r++) {
        free(s->held[r].added);
        free(s->held[r].most);
    }
    for (int r = 0; s->out && r < s->schedule->ranks; r++)
        free(s->out[r]);
    free(s->out);
    free(s->done);
    free(s->next);
    free(s->held);
    free(s->end);
}

static bool squeeze_begin(squeeze *s, dist_schedule *schedule)
{
    const size_t ranks = (size_t)schedule->ranks;
    *s = (squeeze){.schedule = schedule,
                   .out = calloc(ranks, sizeof(dist_slot *)),
                   .done = calloc(ranks, sizeof(size_t)),
                   .next = calloc(ranks, sizeof *s->next),
                   .held = calloc(ranks, sizeof(levels)),
                   .end =
                       calloc(2 * (size_t)schedule->stages * (size_t)schedule->microbatches, sizeof(int64_t)),
                   .most = (int)(dist_schedule_most(schedule) * 2)};
    bool whole = s->out && s->done && s->next && s->held && s->end;
    for (int r = 0; whole && r < schedule->ranks; r++)
        whole = begin_rank(s, r);
    return whole;
}

dist_status dist_schedule_squeeze(dist_schedule *schedule)
{
    squeeze s;
    if (!squeeze_begin(&s, schedule)) {
        squeeze_end(&s);
        return dist_fail(DIST_ERR_MEMORY, "%s: no memory to squeeze the slots", schedule->name);
    }
    size_t left = (size_t)schedule->ranks * schedule->slots[0];
    for (int64_t time = 0; left > 0; time++)
        for (int r = 0; r < schedule->ranks; r++) {
            const int class = pick(&s, r, time);
            if (class < CLASSES) {
                take(&s, r, class, time);
                left--;
            }
        }
    for (int r = 0; r < schedule->ranks; r++) {
        dist_slot *before = schedule->slot[r];
        schedule->slot[r] = s.out[r];
        s.out[r] = before;
    }
    squeeze_end(&s);
    return DIST_OK;
}
