#include "window.h"

#include <stdlib.h>

#include <cuda_runtime_api.h>

#include "report.h"

enum { MOST_STEPS = 128, MOST_BYTES = 64 << 20 };

bool gpt_window_create(gpt_window *window, gpt_device *device, size_t steps, size_t bytes)
{
    const size_t fit = bytes < MOST_BYTES ? MOST_BYTES / bytes : 1,
                 most = fit < MOST_STEPS ? fit : MOST_STEPS;
    *window = (gpt_window){.steps = steps < most ? steps : most, .bytes = bytes};
    window->tokens = gpt_device_pin(device, window->steps * bytes);
    window->known = gpt_device_pin(device, window->steps * sizeof *window->known);
    window->losses = gpt_device_allocate(device, window->steps * sizeof *window->losses);
    window->events = calloc(window->steps * GPT_MARKS, sizeof(cudaEvent_t));
    for (size_t i = 0; window->events && i < window->steps * GPT_MARKS; i++)
        gpt_device_keep(device, cudaEventCreate(&window->events[i]), "cudaEventCreate");
    return window->events && gpt_device_wait(device);
}

void gpt_window_destroy(gpt_window *window)
{
    for (size_t i = 0; window->events && i < window->steps * GPT_MARKS; i++)
        if (window->events[i])
            cudaEventDestroy(window->events[i]);
    free(window->events);
    gpt_device_unpin(window->tokens);
    gpt_device_unpin(window->known);
    gpt_device_free(window->losses);
    *window = (gpt_window){0};
}

unsigned char *gpt_window_tokens(const gpt_window *window)
{
    return window->tokens + window->filled * window->bytes;
}

double *gpt_window_loss(const gpt_window *window)
{
    return window->losses + window->filled;
}

void gpt_window_mark(gpt_window *window, gpt_device *device, gpt_mark mark)
{
    const cudaEvent_t event = window->events[window->filled * GPT_MARKS + mark];
    gpt_device_keep(device, cudaEventRecord(event, device->stream), "cudaEventRecord");
    if (mark == GPT_MARK_END)
        window->filled++;
}

bool gpt_window_wait(gpt_window *window, gpt_device *device)
{
    gpt_device_copy(device, window->known, window->losses, window->filled * sizeof *window->known);
    return gpt_device_wait(device);
}

static double seconds_between(gpt_device *device, struct CUevent_st *const *events, gpt_mark from,
                              gpt_mark to)
{
    float milliseconds = 0;
    gpt_device_keep(device, cudaEventElapsedTime(&milliseconds, events[from], events[to]),
                    "cudaEventElapsedTime");
    return (double)milliseconds * 1e-3;
}

void gpt_window_figures(const gpt_window *window, gpt_device *device, size_t step, double *figures)
{
    struct CUevent_st *const *events = window->events + step * GPT_MARKS;
    figures[GPT_LOSS] = window->known[step];
    figures[GPT_STEP] = seconds_between(device, events, GPT_MARK_BEGIN, GPT_MARK_END);
    figures[GPT_EXPOSED] = seconds_between(device, events, GPT_MARK_WAITS, GPT_MARK_WAITED);
    figures[GPT_COMPUTE] = figures[GPT_STEP] - figures[GPT_EXPOSED];
}
