#include "agree.h"

#include <stdio.h>

bool gpt_all_agree(dist_context *context, bool well, const char *sentence)
{
    const int rank = dist_rank(context), ranks = dist_ranks(context);
    double first = well ? ranks : rank;
    if (dist_reduce_scalars(context, &first, 1, DIST_MIN) < 0) {
        fprintf(stderr, GPT_PROGRAM ": rank %d: %s\n", rank, dist_last_error());
        return false;
    }
    if ((int)first == rank)
        fprintf(stderr, GPT_PROGRAM ": %s%s\n", sentence, ranks > 1 ? " (no rank goes on)" : "");
    return (int)first == ranks;
}
