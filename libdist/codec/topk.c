#include "codec/topk.h"

#include <string.h>

#include "codec/elements.h"
#include "codec/select.h"
#include "codec/staged.h"

/* Where the next element that is sent goes. */
typedef struct writing {
    dist_threshold threshold;
    uint8_t *index, *value;
    uint64_t sent, nonfinite;
} writing;

static dist_threshold find(const dist_staged *staged, uint64_t count, uint64_t kept)
{
    dist_selection selection;
    dist_select_begin(&selection, kept);
    for (int pass = 0; pass < DIST_SELECT_PASSES; pass++) {
        for (uint64_t first = 0; first < count; first += DIST_GROUP) {
            float h[DIST_GROUP], e[DIST_GROUP], *old;
            const uint64_t n = dist_least(DIST_GROUP, count - first);
            dist_select_count(&selection, dist_stage(staged, first, n, h, e, &old), n);
        }
        dist_select_narrow(&selection);
    }
    return dist_select_end(&selection);
}

static bool takes(writing *writer, uint32_t magnitude)
{
    if (magnitude != writer->threshold.magnitude)
        return magnitude > writer->threshold.magnitude;
    return writer->threshold.ties > 0 && writer->threshold.ties-- > 0;
}

/* Sends what is large enough of n elements; an element that is not finite leaves its feedback as it was. */
static void write_group(writing *writer, uint64_t first, uint64_t n, const float *h, float *old)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        const bool finite = magnitude < DIST_INFINITY_BITS, sent = takes(writer, magnitude);
        writer->nonfinite += !finite;
        if (sent) {
            const uint32_t index = (uint32_t)(first + i);
            const uint32_t bits = magnitude > DIST_INFINITY_BITS ? DIST_NAN_BITS : dist_bits_of(h[i]);
            memcpy(writer->index + 4 * writer->sent, &index, 4);
            memcpy(writer->value + 4 * writer->sent, &bits, 4);
            writer->sent++;
        }
        if (old && finite)
            old[i] = sent ? 0.0f : h[i];
    }
}

uint64_t dist_topk_encode(const dist_codec *codec, dist_type type, const void *values, void *feedback,
                          uint64_t count, dist_sections *sections)
{
    const dist_staged staged = dist_staged_of(codec, type, values, feedback);
    writing writer = {.index = dist_section_from(sections, 0, 0), .value = dist_section_from(sections, 1, 0)};
    if (count == 0)
        return 0;
    writer.threshold = find(&staged, count, sections->coding.kept);
    for (uint64_t first = 0; first < count; first += DIST_GROUP) {
        float copy[DIST_GROUP], e[DIST_GROUP], *old;
        const uint64_t n = dist_least(DIST_GROUP, count - first);
        const float *h = dist_stage(&staged, first, n, copy, e, &old);
        write_group(&writer, first, n, h, old);
        dist_stage_keep(&staged, first, n, old);
    }
    return writer.nonfinite;
}

static uint32_t word_at(const uint8_t *words, uint64_t i)
{
    uint32_t word;
    memcpy(&word, words + 4 * i, 4);
    return word;
}

void dist_topk_decode(const dist_sections *sections, uint64_t first, uint64_t n, float *out, bool add)
{
    const uint8_t *index = sections->frame + sections->layout.at[0],
                  *value = sections->frame + sections->layout.at[1];
    uint64_t low = 0, high = sections->coding.kept;
    while (low < high) { /* the first index that is not before this group */
        const uint64_t middle = low + (high - low) / 2;
        if (word_at(index, middle) < first)
            low = middle + 1;
        else
            high = middle;
    }
    if (!add)
        memset(out, 0, n * sizeof *out);
    for (; low < sections->coding.kept && word_at(index, low) < first + n; low++)
        dist_put(out, word_at(index, low) - first, dist_float_of(word_at(value, low)), add);
}
