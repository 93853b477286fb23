/* Pipeline parallel: the layers of a model on ranks one after the other, microbatches flowing through.
 *
 * (work in progress: this header grows with the runtime)
 */
#ifndef LIBDIST_PIPELINE_H
#define LIBDIST_PIPELINE_H

#include <libdist/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds (or any one unit) that a rank spends on one microbatch. */
typedef struct dist_stage_times {
    double forward;
    double backward; /* gradient of the input */
    double weight;   /* gradient of the weights */
} dist_stage_times;

#ifdef __cplusplus
}
#endif
#endif
