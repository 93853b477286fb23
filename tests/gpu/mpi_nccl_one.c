/* The NCCL wire with one rank and the NCCL of this machine: every collective on a device, and an orderly end. Exit 77 without NCCL.
 * DIST_NCCL may name another library. */
#include <mpi.h>
#include <string.h>

#include "base/clock.h"
#include "plugin.h"
#include "wire/mpi.h"
#include "wire/nccl.h"

enum { COUNT = 1 << 20 };

static const dist_cuda *cuda;

static void need(dist_status status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, dist_last_error());
    exit(1);
}

/* Runs a request that is started twice; false when it does not end in time. */
static bool run(dist_wire *wire, dist_wire_request *request)
{
    const int64_t deadline = dist_deadline(20);
    for (int again = 0; again < 2; again++) {
        dist_wire_request *const *done;
        dist_wire_request *failed = NULL;
        int count = 0;
        need(wire->ops->start(request), "start");
        while (count == 0 && dist_now() < deadline)
            need(wire->ops->poll(wire, &done, &count, &failed), "poll");
        if (count == 0)
            return false;
    }
    return true;
}

static int collective(dist_wire *wire, dist_native kind, const char *name, float *device, float *host)
{
    const dist_wire_collective call = {.kind = kind,
                                       .type = DIST_FLOAT32,
                                       .reduction = DIST_SUM,
                                       .ticket = (uint32_t)kind,
                                       .count = COUNT,
                                       .send = DIST_IN_PLACE,
                                       .receive = device};
    dist_wire_collective apart = call;
    dist_wire_request *request = NULL;
    size_t wrong = 0;
    if (kind == DIST_NATIVE_REDUCE_SCATTER)
        apart.send = device; /* of one rank the part is the whole */
    for (size_t i = 0; i < COUNT; i++)
        host[i] = (float)(i % 1000) * 0.5f;
    CUDA(copy(device, host, COUNT * sizeof *host, NULL));
    CUDA(synchronize(NULL));
    need(wire->ops->collective(wire, &apart, &request), name);
    if (!run(wire, request)) {
        printf("%s: does not end\n", name);
        return 1;
    }
    CUDA(copy(host, device, COUNT * sizeof *host, NULL));
    CUDA(synchronize(NULL));
    for (size_t i = 0; i < COUNT; i++)
        wrong += host[i] != (float)(i % 1000) * 0.5f;
    wire->ops->release(request);
    printf("%s: %zu of %d values are wrong\n", name, wrong, COUNT);
    return wrong > 0;
}

int main(int argc, char **argv)
{
    static const struct {
        dist_native kind;
        const char *name;
    } collectives[] = {{DIST_NATIVE_ALL_REDUCE, "all-reduce"},
                       {DIST_NATIVE_REDUCE_SCATTER, "reduce-scatter"},
                       {DIST_NATIVE_ALL_GATHER, "all-gather"},
                       {DIST_NATIVE_BROADCAST, "broadcast"},
                       {DIST_NATIVE_BARRIER, "barrier"}};
    const char *const library = getenv("DIST_NCCL");
    const int self = 0;
    int version = 0, failed = 0, granted;
    dist_wire *control = NULL, *wire = NULL;
    void *device, *host;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    if (dist_nccl_available(library, &version) < 0) {
        printf("%s\n", dist_last_error());
        MPI_Finalize();
        return 77;
    }
    cuda = plugin_table();
    CUDA(select(0));
    CUDA(allocate(&device, COUNT * sizeof(float)));
    CUDA(pin(&host, COUNT * sizeof(float)));
    need(dist_wire_mpi_open(&control, MPI_COMM_WORLD, 2), "the control wire");
    const dist_nccl_setup setup = {
        .control = control, .channel = 1, .member = &self, .members = 1, .cuda = cuda, .library = library};
    const dist_patience patience = {.deadline = dist_deadline(60)};
    need(dist_wire_nccl_open(&wire, &setup, &patience), "the NCCL wire");
    printf("NCCL %d\n", version);
    for (size_t c = 0; c < sizeof collectives / sizeof *collectives; c++)
        failed += collective(wire, collectives[c].kind, collectives[c].name, device, host);
    wire->ops->close(wire, false);
    control->ops->close(control, false);
    CUDA(release(device));
    CUDA(unpin(host));
    MPI_Finalize();
    return failed > 0;
}
