#include "plan/predict_internal.h"

#include "base/memory.h"

static bool before(const dist_event *a, const dist_event *b)
{
    if (a->time < b->time || a->time > b->time)
        return a->time < b->time;
    return a->op < b->op || (a->op == b->op && a->rank < b->rank);
}

bool dist_event_push(dist_event_heap *heap, dist_event event)
{
    if (!dist_grow(&heap->item, &heap->capacity, heap->count + 1, sizeof *heap->item))
        return false;
    size_t at = heap->count++;
    for (; at > 0 && before(&event, &heap->item[(at - 1) / 2]); at = (at - 1) / 2)
        heap->item[at] = heap->item[(at - 1) / 2];
    heap->item[at] = event;
    return true;
}

dist_event dist_event_pop(dist_event_heap *heap)
{
    dist_event first = heap->item[0], last = heap->item[--heap->count];
    size_t at = 0, child = 1;
    for (; child < heap->count; child = 2 * at + 1) {
        child += child + 1 < heap->count && before(&heap->item[child + 1], &heap->item[child]);
        if (!before(&heap->item[child], &last))
            break;
        heap->item[at] = heap->item[child];
        at = child;
    }
    heap->item[at] = last;
    return first;
}
