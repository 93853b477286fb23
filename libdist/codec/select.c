#include "codec/select.h"

#include <string.h>

#include "kernels/quantize.h"

/* Of the 31 bits of a magnitude, pass p looks at those from shift[p] on. */
static const int shift[DIST_SELECT_PASSES] = {20, 10, 0};
static const uint32_t bins[DIST_SELECT_PASSES] = {2048, 1024, 1024};

void dist_select_begin(dist_selection *selection, uint64_t k)
{
    *selection = (dist_selection){.wanted = k};
}

void dist_select_count(dist_selection *selection, const float *h, uint64_t n)
{
    const int s = shift[selection->pass];
    const uint32_t mask = bins[selection->pass] - 1,
                   known = selection->pass ? ~0u << shift[selection->pass - 1] : 0u;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t magnitude = dist_magnitude(h[i]);
        if ((magnitude & known) == selection->prefix)
            selection->bin[magnitude >> s & mask]++;
    }
}

void dist_select_narrow(dist_selection *selection)
{
    uint32_t b = bins[selection->pass] - 1;
    for (; b > 0 && selection->bin[b] < selection->wanted; b--)
        selection->wanted -= selection->bin[b];
    selection->prefix |= b << shift[selection->pass];
    selection->pass++;
    memset(selection->bin, 0, bins[selection->pass - 1] * sizeof *selection->bin);
}

dist_threshold dist_select_end(const dist_selection *selection)
{
    return (dist_threshold){.magnitude = selection->prefix, .ties = selection->wanted};
}

/* Those of n elements that can still be the threshold; returns how many. */
static uint64_t keep(const dist_selection *selection, const float *h, uint64_t n, float *left)
{
    const uint32_t known = ~0u << shift[selection->pass - 1];
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; i++) { /* without a branch: which ones is not to be guessed */
        left[count] = h[i];
        count += (dist_magnitude(h[i]) & known) == selection->prefix;
    }
    return count;
}

dist_threshold dist_select(const float *h, uint64_t n, uint64_t k)
{
    dist_selection selection;
    float left[DIST_SELECT_MOST + 1];
    dist_select_begin(&selection, k);
    dist_select_count(&selection, h, n);
    dist_select_narrow(&selection);
    n = keep(&selection, h, n, left);
    while (selection.pass < DIST_SELECT_PASSES) {
        dist_select_count(&selection, left, n);
        dist_select_narrow(&selection);
    }
    return dist_select_end(&selection);
}
