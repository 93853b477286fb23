/* The engine runs plans: it polls the wire and starts each op when the ops before it are done, many plans at
 * once.
 *
 * A task is a plan bound to memory. It is made once and started many times; a start allocates nothing. The
 * engine is driven by its progress thread, or by whoever waits: one at a time, whoever waits first.
 */
#ifndef DIST_PLAN_ENGINE_H
#define DIST_PLAN_ENGINE_H

#include <stdbool.h>

#include "base/log.h"
#include "plan/plan.h"
#include "topology/topology.h"

typedef struct dist_engine dist_engine;
typedef struct dist_task dist_task;
struct dist_trace;
struct dist_gpu;

typedef struct dist_engine_options {
    dist_wire *wire; /* not owned */
    const dist_topology *topology;
    const dist_log *log;
    struct dist_trace *trace; /* NULL: no trace */
    bool threaded;            /* make progress on a thread of its own; needs wire->threaded */
    double timeout;           /* seconds that a task may run */
} dist_engine_options;

dist_status dist_engine_create(dist_engine **engine, const dist_engine_options *options);
/* Waits for the tasks in flight, ends the thread, frees the engine. DIST_ERR_TIMEOUT when they do not end in
 * time. */
dist_status dist_engine_destroy(dist_engine *engine);

/* The first failure of any task, again: its status, and its sentence as the last error. DIST_OK before. */
dist_status dist_engine_status(dist_engine *engine);
/* Another view of who is where, for counters and errors, while no task exists. */
dist_status dist_engine_locate(dist_engine *engine, const dist_topology *topology);
double dist_engine_timeout(const dist_engine *engine);
/* The device whose memory plans may have, and the wire that connects devices (or NULL); both stay the caller's and outlive the
 * engine's tasks. After a failure the engine closes the wire as failed, which its owner may do again. DIST_ERR_STATE when
 * another device is in use. */
dist_status dist_engine_use_device(dist_engine *engine, const struct dist_gpu *gpu, dist_wire *device_wire);
/* The wire that does what is the team's in host memory; it stays the caller's and outlives the engine's tasks. */
void dist_engine_use_team_wire(dist_engine *engine, dist_wire *team_wire);
/* Before device or pinned memory is allocated or freed, which CUDA may do only when all streams have come to their end: waits for the
 * runs that streams of the program wait for, because to end they need a device that is not held up. */
void dist_engine_settle(dist_engine *engine);
/* Of the job. */
int dist_engine_ranks(const dist_engine *engine);
void dist_engine_counters(dist_engine *engine, dist_counters *counters);

/* Compares the plan with the other ranks' and binds it to memory: user[i] is the address of the i-th USER
 * buffer. Takes the plan over, also when it fails. Collective; blocks until the engine's timeout.
 * DIST_ERR_MISMATCH leaves the engine usable. */
dist_status dist_task_create(dist_task **task, dist_engine *engine, dist_plan *plan, void *const *user);
/* The same with the tags of a task that exists, and without asking any rank: for plans of which only one runs at a time, and whose
 * messages meet as the program says. */
dist_status dist_task_create_beside(dist_task **task, const dist_task *beside, dist_plan *plan,
                                    void *const *user);
/* The largest `value` of all ranks of the job, and the lowest rank that gave it; `what` is in words what it is for, the same
 * on all. Collective, in one order with dist_task_create; blocks until the engine's timeout. */
dist_status dist_engine_most(dist_engine *engine, const char *what, uint64_t value, uint64_t *most,
                             int *rank);
/* Something that all ranks do together on the job's wire, beside plans. `patience` ends with the engine's timeout and keeps other
 * tasks moving. */
typedef dist_status dist_engine_work(dist_wire *wire, const dist_patience *patience, void *argument);
/* Agrees with the other ranks that all come for `what`, in words, and then does it. Collective, in one order with
 * dist_task_create; blocks. After DIST_ERR_TIMEOUT, DIST_ERR_MPI and DIST_ERR_NCCL the engine has failed. */
dist_status dist_engine_together(dist_engine *engine, const char *what, dist_engine_work *work,
                                 void *argument);

/* The same plan on other addresses. The task must not be running. Not collective. */
dist_status dist_task_bind(dist_task *task, void *const *user);
/* Not collective. A running task is waited for first. */
dist_status dist_task_destroy(dist_task *task);

/* Starts it; returns at once. DIST_ERR_STATE when it runs. */
dist_status dist_task_start(dist_task *task);
/* DIST_OK done or never started, DIST_IN_PROGRESS, or the failure. */
dist_status dist_task_test(dist_task *task);
/* Waits at most `timeout` seconds; 0: as long as it may run. */
dist_status dist_task_wait(dist_task *task, double timeout);
/* The next run starts behind what is queued on `stream` (a cudaStream_t) now; at most 8 streams a run, the same one as often as
 * wanted. For a task with device memory that is not running. */
dist_status dist_task_follow(dist_task *task, void *stream);
/* Work queued on `stream` from now on starts after the current run has ended, also when it fails. Returns at once where the device
 * can wait for a word in memory, else when the run has ended. */
dist_status dist_task_lead(dist_task *task, void *stream);

/* Whether its plan has device memory. */
bool dist_task_has_device(const dist_task *task);

/* Start and wait, without waking the progress thread. */
dist_status dist_task_run(dist_task *task);

/* A function of the program, for one CALL of the task. Not DIST_OK fails the engine with the last error. */
typedef dist_status dist_task_function(void *user, const dist_task *task, const dist_op *op);
/* Start and wait for a plan with CALLs: runs them in the calling thread, one after the other in the order of the plan,
 * each as soon as what it waits for is done. Messages and arithmetic go on meanwhile on the progress thread, or between CALLs
 * where there is none. The deadline counts the time in which nothing of the task moves; a CALL may take as long as it likes. */
dist_status dist_task_serve(dist_task *task, dist_task_function *function, void *user);
/* The same for CALLs on device memory, which only queue their work on `stream`: a CALL is called when all it waits for is queued, and
 * is done when what it has queued is. */
dist_status dist_task_serve_stream(dist_task *task, dist_task_function *function, void *user, void *stream);

/* Of the last run that was started with dist_task_start. */
typedef struct dist_task_stats {
    int64_t started, finished; /* dist_now() */
    int64_t codec, reduce;     /* nanoseconds in ENCODE and DECODE; in REDUCE, COPY and DIVIDE */
    int64_t calls;             /* nanoseconds in CALL */
    uint64_t bytes_inside, bytes_across, messages, nonfinite;
} dist_task_stats;

const dist_task_stats *dist_task_stats_of(const dist_task *task);
const dist_plan *dist_task_plan(const dist_task *task);

/* Where a buffer of its plan is, for who saves or restores what a STATE buffer keeps: of one in device memory a copy on the host,
 * which dist_task_pull makes and dist_task_push writes back. Both wait for the device and do nothing without one. The task must
 * not be running. */
void *dist_task_buffer(const dist_task *task, uint32_t buffer);
dist_status dist_task_pull(dist_task *task);
dist_status dist_task_push(dist_task *task);
/* How often it was started, which is what random numbers depend on; a task that goes on from another job's gets
 * that one's. The task must not be running. */
void dist_task_set_step(dist_task *task, uint64_t step);

#endif
