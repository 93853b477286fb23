#include <string.h>

#include "base/memory.h"
#include "plan/verify_internal.h"

static const dist_value undefined = {.kind = DIST_VALUE_UNDEFINED, .detail = DIST_NO_OP};

dist_value dist_value_after(dist_value value, uint64_t bytes)
{
    if (value.kind != DIST_VALUE_UNDEFINED)
        value.position += bytes;
    return value;
}

static bool same(dist_value a, dist_value b)
{
    return a.kind == b.kind && a.position == b.position && a.source == b.source && a.detail == b.detail &&
           a.matrix == b.matrix;
}

bool dist_intervals_append(dist_intervals *list, dist_interval item)
{
    dist_interval *last = list->count ? &list->item[list->count - 1] : NULL;
    if (item.begin == item.end)
        return true;
    if (last && last->end == item.begin &&
        same(dist_value_after(last->value, last->end - last->begin), item.value)) {
        last->end = item.end;
        return true;
    }
    if (!dist_grow(&list->item, &list->capacity, list->count + 1, sizeof item))
        return false;
    list->item[list->count++] = item;
    return true;
}

/* The first interval that ends after `offset`. */
static size_t find(const dist_intervals *list, uint64_t offset)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->item[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool dist_intervals_read(const dist_intervals *from, uint64_t begin, uint64_t end, dist_intervals *to)
{
    uint64_t at = begin;
    to->count = 0;
    for (size_t i = find(from, begin); i < from->count && from->item[i].begin < end; i++) {
        dist_interval item = from->item[i];
        if (item.begin < at) {
            item.value = dist_value_after(item.value, at - item.begin);
            item.begin = at;
        }
        if (item.end > end)
            item.end = end;
        if (!dist_intervals_append(to, (dist_interval){at - begin, item.begin - begin, undefined}) ||
            !dist_intervals_append(to, (dist_interval){item.begin - begin, item.end - begin, item.value}))
            return false;
        at = item.end;
    }
    return dist_intervals_append(to, (dist_interval){at - begin, end - begin, undefined});
}

/* Puts `by` in the place of the items from `first` up to `last`. */
static bool splice(dist_intervals *list, size_t first, size_t last, const dist_intervals *by)
{
    size_t count = list->count - (last - first) + by->count;
    if (!dist_grow(&list->item, &list->capacity, count, sizeof(dist_interval)))
        return false;
    if (last < list->count)
        memmove(&list->item[first + by->count], &list->item[last],
                (list->count - last) * sizeof(dist_interval));
    memcpy(&list->item[first], by->item, by->count * sizeof(dist_interval));
    list->count = count;
    return true;
}

bool dist_intervals_write(dist_intervals *to, uint64_t begin, const dist_intervals *from,
                          dist_intervals *spare)
{
    if (from->count == 0)
        return true;
    uint64_t end = begin + from->item[from->count - 1].end;
    /* neighbours that only touch are taken along, because they may merge with what is written */
    size_t first = begin > 0 ? find(to, begin - 1) : 0, last = first;
    spare->count = 0;
    if (first < to->count && to->item[first].begin < begin) {
        dist_interval left = to->item[first];
        left.end = left.end < begin ? left.end : begin;
        if (!dist_intervals_append(spare, left))
            return false;
    }
    for (size_t i = 0; i < from->count; i++) {
        dist_interval item = from->item[i];
        if (!dist_intervals_append(spare, (dist_interval){begin + item.begin, begin + item.end, item.value}))
            return false;
    }
    for (; last < to->count && to->item[last].begin <= end; last++) {
        dist_interval right = to->item[last];
        if (right.end <= end)
            continue;
        if (right.begin < end) {
            right.value = dist_value_after(right.value, end - right.begin);
            right.begin = end;
        }
        if (!dist_intervals_append(spare, right))
            return false;
    }
    return splice(to, first, last, spare);
}
