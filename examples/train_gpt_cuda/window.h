/* Steps that are queued on the device and whose figures the host does not know yet. A step waits for nothing: what it
 * reads lies in pinned memory of its own, and what it tells stays on the device until the window is read. */
#ifndef TRAIN_GPT_WINDOW_H
#define TRAIN_GPT_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "device.h"

/* Places in a step's work, in its order. */
typedef enum gpt_mark { GPT_MARK_BEGIN, GPT_MARK_WAITS, GPT_MARK_WAITED, GPT_MARK_END, GPT_MARKS } gpt_mark;

typedef struct gpt_window {
    size_t steps;               /* at most */
    size_t filled;              /* steps in it */
    size_t bytes;               /* of tokens of a step */
    unsigned char *tokens;      /* pinned: steps x bytes */
    double *losses;             /* on the device, one a step */
    double *known;              /* pinned: the same once read */
    struct CUevent_st **events; /* steps x GPT_MARKS, each a cudaEvent_t */
} gpt_window;

/* Room for `steps` steps that read `bytes` of tokens each, or for fewer. False when memory runs out; destroy it all
 * the same. */
bool gpt_window_create(gpt_window *window, gpt_device *device, size_t steps, size_t bytes);
void gpt_window_destroy(gpt_window *window);

/* Where the next step's tokens go, and its loss on the device. */
unsigned char *gpt_window_tokens(const gpt_window *window);
double *gpt_window_loss(const gpt_window *window);
/* Queues a mark of the next step; the last one of each kind counts. GPT_MARK_END ends the step. */
void gpt_window_mark(gpt_window *window, gpt_device *device, gpt_mark mark);

/* Returns when all its steps are done. False after a failure. */
bool gpt_window_wait(gpt_window *window, gpt_device *device);
/* Then: figures[] (report.h) of a step get its loss and times. */
void gpt_window_figures(const gpt_window *window, gpt_device *device, size_t step, double *figures);

#endif
