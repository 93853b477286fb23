/* Shared by the files of the engine: engine.c (life, thread, waiting), drive.c (one pass), task.c (binding),
 * agree.c. */
#ifndef DIST_PLAN_ENGINE_INTERNAL_H
#define DIST_PLAN_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"
#include "device/gpu.h"
#include "plan/engine.h"

typedef enum dist_task_state { DIST_TASK_IDLE, DIST_TASK_RUNNING, DIST_TASK_FAILED } dist_task_state;
typedef enum dist_op_phase { DIST_PHASE_WAITING, DIST_PHASE_STARTED, DIST_PHASE_DONE } dist_op_phase;

/* Ops whose predecessors are done, in the order in which that happened. Every op enters once a run. */
typedef struct dist_ready {
    uint32_t *op;
    uint32_t head, tail;
} dist_ready;

/* An op that the device does: queued on a lane, done when its event is. */
typedef struct dist_device_op {
    dist_task *task;
    struct dist_device_op *next; /* behind it on its lane, while queued */
    void *event;
    uint64_t *nonfinite; /* of an ENCODE, in pinned memory */
    uint32_t number;
    uint8_t lane; /* dist_lane */
} dist_device_op;

/* A stream of the program's behind which a run starts. */
#define DIST_GATES_MOST 8
typedef struct dist_gate {
    void *stream, *event;
    uint64_t thread; /* whose stream it is, where a handle means another one in each */
} dist_gate;

/* What a task has besides when its plan has device memory (queue.c, gates.c). */
typedef struct dist_device_task {
    dist_device_op *op;  /* all of them */
    dist_device_op **of; /* [ops] NULL for ops that the device does not do */
    size_t ops;
    void *workspace;     /* of ENCODE, which are one after the other on their lane */
    uint64_t *nonfinite; /* pinned: a count for each ENCODE */
    uint32_t *word;      /* the number of the last run that has ended, for streams that wait for it */
    uint32_t led;        /* the last run for which a stream waits */
    void **shadow;       /* [buffers] host copies of STATE buffers, made when asked for */
    dist_gate gate[DIST_GATES_MOST];
    int gates;    /* of the coming or the current run, as far as they have not been seen open */
    bool held;    /* it has been started and begins when they are */
    void *stream; /* the program's, on which its functions queue */
} dist_device_task;

struct dist_task {
    dist_engine *engine;
    dist_plan *plan;
    dist_task *next_live;        /* all tasks that exist */
    dist_task *next;             /* submitted or active */
    char **memory;               /* [buffers] where each is */
    dist_wire_request **request; /* [ops], NULL for local ops */
    uint32_t *waits;             /* [ops] how many ops must be done before it starts, as built */
    uint32_t *pending;           /* [ops] the same, in this run */
    uint32_t *first_after;       /* [ops + 1] into after: the ops that wait for this one */
    uint32_t *after;
    uint8_t *phase; /* [ops] dist_op_phase */
    int64_t *began; /* [ops] when it started; only with a trace */
    dist_ready messages, local, calls, device;
    dist_device_task *on_device;  /* NULL: all its memory is the host's */
    uint64_t *range;              /* [ops] of NVTX; NULL: nobody listens */
    uint32_t runs;                /* starts in this process */
    dist_task_function *function; /* of a task that is served; NULL: none, and a CALL is an error */
    bool moved;                   /* an op was done since the deadline was last looked at */
    bool calling;                 /* the program is in a CALL, which may take as long as it likes */
    uint32_t remaining;
    uint32_t tag, tags; /* its range of the wire's tags */
    int space;          /* of its collectives; -1: has none */
    bool express;       /* short enough for dist_task_express */
    int64_t deadline;
    _Atomic int state; /* dist_task_state; RUNNING -> IDLE releases everything the run wrote */
    uint64_t step;     /* starts so far: what stochastic rounding draws from */
    dist_task_stats stats;
};

struct dist_engine {
    dist_engine_options options;
    pthread_mutex_t drive; /* held by whoever drives: guards the wire, the active list and all tasks' runs */
    pthread_mutex_t
        gate; /* guards stop, the sleep of the thread, and starts against failures; taken after drive */
    pthread_cond_t work;
    pthread_t thread;
    bool has_thread, stop;
    dist_task *_Atomic submitted; /* newest first */
    dist_task *active;            /* oldest first: the most urgent */
    dist_task *live;
    atomic_int in_flight; /* submitted and active tasks */
    atomic_int waiters;   /* callers who drive or want to */
    int64_t busy_since, last_check;
    _Atomic int64_t spin;   /* nanoseconds in which, lately, what was waited for has come */
    atomic_bool woken;      /* the wire can end a sleep, and has been asked to since something moved */
    const dist_gpu *gpu;    /* NULL: no device is in use */
    dist_wire *device_wire; /* NULL: none connects devices */
    dist_wire *team_wire;   /* NULL: none does for host memory */
    dist_device_op *lane_first[DIST_LANES_ALL], *lane_last[DIST_LANES_ALL]; /* queued, oldest first */
    uint64_t spaces_used;  /* bit s: collective space s belongs to a live task */
    uint32_t agreements;   /* tasks created so far */
    const char *preparing; /* label of the plan that is being compared with the other ranks; NULL: none */
    dist_counters counters;
    atomic_bool failed;
    dist_status failure;
    char sentence[DIST_ERROR_MAX];
};

/* drive.c. The caller holds drive. True when anything moved. */
bool dist_engine_pass(dist_engine *engine);

/* Notes that an op starts, for traces. */
void dist_engine_begin(dist_engine *engine, dist_task *task, uint32_t op);
/* What follows from an op that is done. */
void dist_engine_complete(dist_engine *engine, dist_task *task, uint32_t op);
/* What follows from an op that is queued: ops of the device need not wait for it to be done. */
void dist_engine_queued(dist_task *task, uint32_t op);
/* Puts the op in front of what a wire or a device said. */
dist_status dist_engine_blame(const dist_task *task, uint32_t op, dist_status status);

/* queue.c: ops of the device. The caller holds drive; the device is the thread's current one. */
bool dist_plan_has_device(const dist_plan *plan);
dist_status dist_device_task_create(dist_task *task);
void dist_device_task_destroy(dist_task *task);
/* Queues what is ready. */
dist_status dist_queue_start(dist_engine *engine, dist_task *task, bool *moved);
/* Around a function of the program that queues its work on the task's stream: what must come first on the device does. */
dist_status dist_queue_before_call(dist_task *task, uint32_t op);
dist_status dist_queue_after_call(dist_task *task, uint32_t op);
/* Completes what has ended. */
dist_status dist_queue_poll(dist_engine *engine, bool *moved);

/* warm.c. Has the kernels of the plan's codec loaded. Waits for the device. */
dist_status dist_device_warm(const dist_gpu *gpu, const dist_plan *plan);

/* gates.c. Whether all streams that the run starts behind have come to that point. */
dist_status dist_gates_open(dist_task *task, bool *open);
/* Lets streams go on that wait for the end of the run. From any thread. */
void dist_device_task_announce(dist_task *task);

/* serve.c. The caller holds drive: the deadline of a task with CALLs moves on with it. */
void dist_task_prolong(dist_task *task, int64_t now);

/* Any op but SEND, RECV, NATIVE and CALL, at once. */
dist_status dist_op_run(dist_engine *engine, dist_task *task, const dist_op *op);

/* Adds a SEND that starts to the counters. */
void dist_count_message(dist_engine *engine, dist_task *task, const dist_op *op);

/* express.c. Runs a short plan when nothing else is in flight: by the caller, op after op. */
dist_status dist_task_express(dist_task *task);

/* How long one who finds nothing to do looks again at once before it sleeps, in nanoseconds. A caller waits for
 * one answer and pays for every microsecond; the thread shares the processor with the program's own work. */
#define DIST_CALLER_SPIN 200000
#define DIST_THREAD_SPIN 10000

/* Gives the processor away, or sleeps, after `idle` nanoseconds with nothing to do. */
void dist_engine_rest(dist_engine *engine, int64_t idle, int64_t spin);

/* failure.c. Ends all tasks with `status`, after telling the other ranks and listening to what they say.
 * Holds drive. */
void dist_engine_fail(dist_engine *engine, dist_status status, const char *sentence);
/* Which op of a running task others would blame. */
void dist_task_describe(const dist_task *task, char *text, size_t size);
/* For times when nothing moves: fails tasks whose deadline has passed, and all when another rank says that it
 * failed. Looks no more often than once a millisecond. */
void dist_engine_check(dist_engine *engine, int64_t now);

/* engine.c. Hands a task to the drivers, or says why not; `wake`: the thread, too. */
dist_status dist_task_submit(dist_task *task, bool wake);
/* IDLE, RUNNING or FAILED as a status: done, DIST_IN_PROGRESS, the failure. */
dist_status dist_task_outcome(dist_task *task);

/* task.c. Makes a task that is not running ready to run from its beginning. */
void dist_task_reset(dist_task *task);

/* agree.c. Compares label and messages with the other ranks; sets tag, tags and space. */
dist_status dist_task_agree(dist_task *task);

/* The memory that a slice names. */
static inline char *dist_task_at(const dist_task *task, dist_slice slice)
{
    return slice.buffer == DIST_NO_BUFFER ? NULL : task->memory[slice.buffer] + slice.offset;
}

#endif
