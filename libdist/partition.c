/* The public side of the partitioner. */
#include "base/error.h"
#include "parallel/partition.h"

dist_status dist_partition(const double *time, const double *memory, int layers, int stages, double limit,
                           int *first)
{
    if (!time || !first)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_partition: the times of the layers or the place for the split is NULL");
    return dist_partition_layers(time, memory, layers, stages, limit, first);
}
