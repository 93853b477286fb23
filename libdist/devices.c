#include "devices.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/cuda.h"
#include "wire/nccl.h"

#define NCCL_SHARES_DEVICES                                                                                  \
    23000 /* the first version that takes two ranks on a device, where the environment allows it */

dist_status dist_devices_plugin(const dist_context *context, dist_cuda_plugin *plugin)
{
    if (strcmp(dist_option_text(&context->options, DIST_OPTION_CUDA), "off") == 0)
        return dist_fail(DIST_ERR_UNSUPPORTED, "CUDA is switched off (DIST_CUDA=off)");
    return dist_cuda_plugin_find(plugin);
}

void dist_devices_find(dist_context *context)
{
    dist_cuda_plugin plugin;
    if (dist_devices_plugin(context, &plugin) < 0) {
        dist_log_write(&context->log, DIST_LOG_INFO, "host memory only: %s", dist_last_error());
        return;
    }
    context->cuda = plugin.device;
    context->cuda_codec = plugin.codec;
}

dist_location dist_locate(const dist_context *context, const void *pointer)
{
    int where = DIST_CUDA_AT_HOST, device = -1;
    dist_location found = {.memory = DIST_MEMORY_HOST, .device = -1};
    if (!context->cuda || !pointer || context->cuda->locate(pointer, &where, &device) != 0)
        return found;
    if (where == DIST_CUDA_AT_DEVICE)
        found = (dist_location){DIST_MEMORY_CUDA, device};
    else if (where == DIST_CUDA_AT_PINNED)
        found.memory = DIST_MEMORY_PINNED;
    return found;
}

/* What each rank says when devices are taken into use. */
typedef struct device_record {
    int32_t status; /* of its own device */
    int32_t nccl;   /* version; 0: none, or switched off */
    int32_t shares; /* the environment lets ranks share a device in NCCL */
    uint8_t uuid[16];
    char sentence[200];
} device_record;

typedef struct introduction {
    dist_context *context;
    device_record mine;
    bool team;       /* NCCL connects the devices of each site with several ranks */
    dist_wire *wire; /* this site's; NULL: none */
} introduction;

static const char *nccl_library(const dist_context *context)
{
    const char *library = dist_option_text(&context->options, DIST_OPTION_NCCL);
    return strcmp(library, "auto") == 0 ? NULL : library;
}

static void introduce(const dist_context *context, dist_status opened, device_record *mine)
{
    const char *library = dist_option_text(&context->options, DIST_OPTION_NCCL);
    const char *shares = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
    int version = 0;
    memset(mine, 0, sizeof *mine);
    mine->status = opened;
    if (opened < 0) {
        snprintf(mine->sentence, sizeof mine->sentence, "%s", dist_last_error());
        return;
    }
    memcpy(mine->uuid, context->gpu->identity.uuid, sizeof mine->uuid);
    mine->shares = shares && strcmp(shares, "1") == 0;
    if (strcmp(library, "off") == 0)
        snprintf(mine->sentence, sizeof mine->sentence, "DIST_NCCL=off");
    else if (dist_nccl_available(nccl_library(context), &version) < 0)
        snprintf(mine->sentence, sizeof mine->sentence, "%s", dist_last_error());
    mine->nccl = version;
}

/* Why the ranks of a site cannot be connected by NCCL, or "" when they can. */
static void reason_of_site(const dist_site_ranks *site, const device_record *all, char *text, size_t size)
{
    text[0] = '\0';
    for (int a = 0; a < site->count && !text[0]; a++) {
        const device_record *one = &all[site->rank[a]];
        if (one->nccl == 0)
            snprintf(text, size, "rank %d: %.200s", site->rank[a], one->sentence);
        else if (one->nccl / 100 != all[site->rank[0]].nccl / 100)
            snprintf(text, size, "ranks %d and %d have NCCL %d and %d", site->rank[0], site->rank[a],
                     all[site->rank[0]].nccl, one->nccl);
        for (int b = 0; b < a && !text[0]; b++)
            if (memcmp(one->uuid, all[site->rank[b]].uuid, sizeof one->uuid) == 0 &&
                (one->nccl < NCCL_SHARES_DEVICES || !one->shares))
                snprintf(text, size,
                         "ranks %d and %d share a device, which NCCL takes from 2.30 on with "
                         "NCCL_MULTI_RANK_GPU_ENABLE=1",
                         site->rank[b], site->rank[a]);
    }
}

/* Why NCCL connects no devices, or "" when it does: on all sites with several ranks or on none, because all ranks choose
 * algorithms alike. */
static void reason_against(const dist_topology *topology, const device_record *all, char *text, size_t size)
{
    snprintf(text, size, "one rank on each site");
    for (int s = 0; s < topology->sites; s++) {
        if (topology->site[s].count == 1)
            continue;
        reason_of_site(&topology->site[s], all, text, size);
        if (text[0])
            return;
    }
}

static dist_status connect(dist_wire *control, const dist_patience *patience, introduction *self)
{
    dist_context *context = self->context;
    const dist_topology *t = context->topology;
    const dist_site_ranks *site = &t->site[t->place[control->rank].site];
    const dist_nccl_setup setup = {.control = control,
                                   .channel = DIST_CHANNEL_ORDER,
                                   .member = site->rank,
                                   .members = site->count,
                                   .cuda = context->cuda,
                                   .device = context->gpu->device,
                                   .library = nccl_library(context),
                                   .log = &context->log};
    const int before = dist_gpu_enter(context->gpu);
    const dist_status status = dist_wire_nccl_open(&self->wire, &setup, patience);
    dist_gpu_leave(context->gpu, before);
    return status;
}

/* The first that cannot go on speaks for all. */
static dist_status agree(dist_wire *wire, const dist_patience *patience, const device_record *mine,
                         device_record *all)
{
    DIST_TRY(wire->ops->exchange(wire, mine, all, sizeof *mine, patience));
    for (int r = 0; r < wire->ranks; r++)
        if (all[r].status < 0)
            return dist_fail((dist_status)all[r].status, "rank %d cannot use its device: %.200s", r,
                             all[r].sentence);
    return DIST_OK;
}

static dist_status connect_sites(dist_wire *wire, const dist_patience *patience, introduction *self,
                                 device_record *all)
{
    const dist_topology *t = self->context->topology;
    dist_status status = DIST_OK;
    if (t->site[t->place[wire->rank].site].count > 1)
        status = connect(wire, patience, self);
    self->mine.status = status;
    if (status < 0)
        snprintf(self->mine.sentence, sizeof self->mine.sentence, "%s", dist_last_error());
    return agree(wire, patience, &self->mine, all);
}

/* On the wire, with all ranks. */
static dist_status meet(dist_wire *wire, const dist_patience *patience, void *argument)
{
    introduction *self = argument;
    const dist_context *context = self->context;
    char reason[400] = "";
    device_record *all = malloc(sizeof *all * (size_t)wire->ranks);
    if (!all)
        return dist_fail(DIST_ERR_MEMORY, "no memory for %d ranks", wire->ranks);
    dist_status status = agree(wire, patience, &self->mine, all);
    if (status >= 0)
        reason_against(context->topology, all, reason, sizeof reason);
    self->team = status >= 0 && !reason[0];
    if (reason[0])
        dist_log_write(&context->log, DIST_LOG_INFO, "inside sites through host memory: %s", reason);
    if (self->team)
        status = connect_sites(wire, patience, self, all);
    free(all);
    return status;
}

static void close_wire(const dist_gpu *gpu, dist_wire *wire, bool failed)
{
    if (!wire)
        return;
    const int before = dist_gpu_enter(gpu);
    wire->ops->close(wire, failed);
    dist_gpu_leave(gpu, before);
}

static dist_status open_device(dist_context *context, int device)
{
    const char *wait = dist_option_text(&context->options, DIST_OPTION_CUDA_WAIT);
    const bool host = strcmp(wait, "host") == 0;
    dist_cuda_plugin plugin;
    if (!context->cuda)
        return dist_devices_plugin(context, &plugin);
    if (!host && strcmp(wait, "stream") != 0)
        return dist_fail(DIST_ERR_CONFIG, "DIST_CUDA_WAIT is '%s'; it can be stream or host", wait);
    DIST_TRY(dist_gpu_open(&context->gpu, context->cuda, context->cuda_codec, device));
    if (host)
        context->gpu->identity.stream_values = 0;
    return DIST_OK;
}

dist_status dist_devices_use(dist_context *context, int device)
{
    introduction self = {.context = context};
    if (context->gpu && context->gpu->device == device)
        return DIST_OK;
    if (context->gpu)
        return dist_fail(DIST_ERR_STATE,
                         "memory on device %d, but this rank uses device %d; a rank has one device", device,
                         context->gpu->device);
    introduce(context, open_device(context, device), &self.mine);
    dist_status status = dist_engine_together(context->engine, "taking devices into use", meet, &self);
    if (status >= 0)
        status = dist_engine_use_device(context->engine, context->gpu, self.wire);
    if (status < 0) {
        close_wire(context->gpu, self.wire, true);
        dist_gpu_close(context->gpu);
        context->gpu = NULL;
        return status;
    }
    context->device_wire = self.wire;
    context->team = self.team;
    dist_log_write(&context->log, DIST_LOG_INFO, "device %d, %s%s", device, context->gpu->identity.name,
                   self.wire ? ", NCCL inside the site" : "");
    return DIST_OK;
}

void dist_devices_spec(const dist_context *context, dist_spec *spec)
{
    const bool extreme = spec->reduction == DIST_MIN || spec->reduction == DIST_MAX;
    const bool whole = spec->type == DIST_INT32 || spec->type == DIST_INT64;
    spec->device = true;
    spec->team = context->team && (!extreme || whole); /* NCCL's extremes of floats drop a NaN */
}

dist_status dist_devices_read(const dist_context *context, int device, void *dst, const void *src,
                              size_t bytes)
{
    const dist_cuda *cuda = context->cuda;
    int before = -1, error = cuda->current(&before);
    if (!error)
        error = cuda->select(device);
    if (!error)
        error = cuda->copy(dst, src, bytes, NULL);
    if (!error)
        error = cuda->synchronize(NULL);
    if (before >= 0)
        cuda->select(before);
    return error ? dist_fail(DIST_ERR_CUDA, "reading device memory: CUDA error %d, %s", error,
                             cuda->error_name(error))
                 : DIST_OK;
}

bool dist_devices_direct(const dist_context *context)
{
    return context->wire->device &&
           strcmp(dist_option_text(&context->options, DIST_OPTION_CUDA_AWARE), "off") != 0;
}

void dist_devices_release(dist_context *context, bool failed)
{
    close_wire(context->gpu, context->device_wire, failed);
    if (!failed) /* else streams may wait for what never comes */
        dist_gpu_close(context->gpu);
    context->device_wire = NULL;
    context->gpu = NULL;
}
