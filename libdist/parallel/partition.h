/* Which layers of a model go to which stage. */
#ifndef DIST_PARALLEL_PARTITION_H
#define DIST_PARALLEL_PARTITION_H

#include <libdist/pipeline.h>

/* As dist_partition, of arguments that are not NULL but for `memory`. The largest stage is as small as can
 * be; of the splits that reach it the one with the least sum of squares of the stages' times is taken, and of
 * these the one whose numbers of layers are the most even. O(stages * layers * log(layers)) time, stages *
 * layers * 4 bytes. */
dist_status dist_partition_layers(const double *time, const double *memory, int layers, int stages,
                                  double limit, int *first);

#endif
