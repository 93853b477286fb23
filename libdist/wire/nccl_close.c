/* The end of communicators, which NCCL may never come back from: a thread does it, and is left behind if it must be. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "wire/nccl_internal.h"

#define PART_SECONDS  30.0 /* until all members have come to the end */
#define END_SECONDS   10.0
#define ABORT_SECONDS 5.0

enum { ENDING, ENDED, LEFT };

/* Belongs to the thread and to who waits for it; the last one frees it. */
typedef struct end_job {
    dist_nccl_library library;
    const dist_cuda *cuda;
    int device, comms;
    bool abort;
    int64_t deadline;
    atomic_int state;
    void *comm[];
} end_job;

/* In a group: all are told to stop before any is waited for. */
static void abort_all(end_job *job)
{
    job->library.group_start();
    for (int c = 0; c < job->comms; c++)
        if (job->comm[c])
            job->library.abort(job->comm[c]);
    job->library.group_end();
}

static int state_of(const end_job *job, void *comm)
{
    int state = DIST_NCCL_IN_PROGRESS;
    const int result = job->library.async_error(comm, &state);
    return result != DIST_NCCL_SUCCESS ? result : state;
}

/* Those that do not come to a good end in time are aborted. */
static void finalize_all(end_job *job)
{
    for (int c = 0; c < job->comms; c++)
        if (job->library.finalize)
            job->library.finalize(job->comm[c]);
    for (int c = 0; c < job->comms; c++) {
        int state;
        while ((state = state_of(job, job->comm[c])) == DIST_NCCL_IN_PROGRESS && dist_now() < job->deadline)
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        if (state == DIST_NCCL_SUCCESS) {
            job->library.destroy(job->comm[c]);
            job->comm[c] = NULL;
        }
    }
    abort_all(job);
}

static void *end(void *argument)
{
    end_job *job = argument;
    job->cuda->select(job->device);
    if (job->abort)
        abort_all(job);
    else
        finalize_all(job);
    if (atomic_exchange(&job->state, ENDED) == LEFT)
        free(job);
    return NULL;
}

/* The program's signals are for the program's threads. */
static int start_thread(pthread_t *thread, end_job *job)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(thread, NULL, end, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static end_job *collect(const dist_nccl_wire *wire, const dist_nccl_comm *comm, int comms)
{
    end_job *job = calloc(1, sizeof *job + (size_t)comms * sizeof(void *));
    if (!job)
        return NULL;
    job->library = wire->library;
    job->cuda = wire->cuda;
    job->device = wire->device;
    for (int c = 0; c < comms; c++)
        if (comm[c].handle)
            job->comm[job->comms++] = comm[c].handle;
    return job;
}

void dist_nccl_end(const dist_nccl_wire *wire, const dist_nccl_comm *comm, int comms, bool abort,
                   double seconds)
{
    pthread_t thread;
    end_job *job = collect(wire, comm, comms);
    if (!job)
        return; /* without memory they stay until the process ends */
    const int64_t deadline = dist_deadline(seconds);
    job->abort = abort;
    job->deadline = dist_deadline(seconds / 2);
    if (job->comms == 0 || start_thread(&thread, job) != 0) {
        free(job);
        return;
    }
    while (atomic_load(&job->state) != ENDED && dist_now() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    if (atomic_exchange(&job->state, LEFT) == ENDED) {
        pthread_join(thread, NULL);
        free(job);
        return;
    }
    pthread_detach(thread);
    dist_log_write(wire->log, DIST_LOG_WARN,
                   "NCCL does not end its communicators in %g s: they are left behind", seconds);
}

void dist_nccl_free(dist_nccl_wire *wire, bool links)
{
    dist_nccl_release_abandoned(wire);
    if (wire->stream)
        wire->cuda->stream_destroy(wire->stream);
    if (wire->word)
        wire->cuda->release(wire->word);
    for (int l = 0; wire->link && l < wire->links; l++)
        free(wire->link[l].queue);
    if (links)
        free(wire->link);
    free(wire->member);
    free(wire->comm);
    free(wire->fare);
    free(wire->id);
    free(wire->bucket);
    free(wire->told);
    free(wire->done);
    free(wire);
}

/* Failed: kernels that wait for a lost peer are stopped; the wire's memory stays, for requests that are still the
 * caller's and for letters that may still come. Again: nothing is left to be done. */
void dist_nccl_close(dist_wire *base, bool failed)
{
    dist_nccl_wire *wire = (dist_nccl_wire *)base;
    const bool parted = !failed && dist_nccl_part(wire, dist_deadline(PART_SECONDS));
    dist_nccl_end(wire, wire->comm, wire->comms, !parted, parted ? END_SECONDS : ABORT_SECONDS);
    wire->comms = 0;
    if (parted)
        dist_nccl_free(wire, true);
}
