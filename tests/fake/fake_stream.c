#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "fake_cuda_internal.h"

enum { ALIVE = 0x51ea11fe };

typedef struct node {
    fake_work work;
    struct node *next;
} node;

/* `lock` orders the program with the stream, which CUDA does too; two streams share no lock. */
typedef struct stream {
    unsigned alive;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    node *first, *last;
    int device;
    bool stop, busy, capturing;
    uint64_t random;
    struct stream *next; /* of all that there are */
} stream;

typedef struct event {
    unsigned alive;
    int device;
    struct event *older; /* of all that ever were: a stream may still come to one that is destroyed */
    uint64_t recorded;   /* by the program */
    uint64_t done;       /* by streams: release; whoever waits for it: acquire */
} event;

static struct {
    pthread_mutex_t lock;
    stream *first;
} streams = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void pause_for(uint64_t microseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(microseconds * 1000)}, NULL);
}

static uint64_t next_random(stream *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

/* Half of the work comes at once, the other half late. */
static void delay(stream *s)
{
    const long most = fake_number("FAKE_CUDA_DELAY_US", 200);
    if (most > 0 && next_random(s) % 2)
        pause_for(next_random(s) % (uint64_t)most);
}

static node *take(stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    pthread_cond_broadcast(&s->changed);
    while (!s->first && !s->stop)
        pthread_cond_wait(&s->changed, &s->lock);
    node *taken = s->first;
    if (taken) {
        s->first = taken->next;
        s->last = s->first ? s->last : NULL;
        s->busy = true;
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

static void *serve(void *argument)
{
    stream *s = argument;
    node *taken;
    while ((taken = take(s)) != NULL) {
        delay(s);
        taken->work.run(&taken->work);
        free(taken->work.more);
        free(taken);
    }
    return NULL;
}

int fake_stream_create(void **out, int urgent)
{
    static uint64_t created;
    stream *s = calloc(1, sizeof *s);
    const uint64_t number = __atomic_add_fetch(&created, 1, __ATOMIC_RELAXED);
    (void)urgent;
    if (!s)
        return FAKE_INVALID_VALUE;
    s->alive = ALIVE;
    s->device = fake_device();
    s->random =
        ((uint64_t)fake_number("FAKE_CUDA_SEED", 1) * 0x9e3779b97f4a7c15u + number) * 0xbf58476d1ce4e5b9u | 1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (pthread_create(&s->thread, NULL, serve, s) != 0)
        return FAKE_INVALID_VALUE;
    pthread_mutex_lock(&streams.lock);
    s->next = streams.first;
    streams.first = s;
    pthread_mutex_unlock(&streams.lock);
    *out = s;
    return 0;
}

/* The default stream is made when it is first used, and stays. */
static stream *default_stream;
static void make_default(void)
{
    void *made;
    if (fake_stream_create(&made, 0) != 0)
        fake_die("no default stream");
    default_stream = made;
}

static stream *stream_of(void *given)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local void *of_thread;
    stream *s = given;
    if (!s) {
        pthread_once(&once, make_default);
        s = default_stream;
    }
    if (given == FAKE_STREAM_PER_THREAD && !of_thread && fake_stream_create(&of_thread, 0) != 0)
        fake_die("no stream of a thread");
    if (given == FAKE_STREAM_PER_THREAD)
        s = of_thread;
    if (s->alive != ALIVE)
        fake_die("a stream is used that is not there");
    return s;
}

/* There is one default stream for all devices. */
bool fake_stream_is_here(void *given)
{
    return !given || stream_of(given)->device == fake_device();
}

int fake_synchronize(void *given)
{
    stream *s = stream_of(given);
    pthread_mutex_lock(&s->lock);
    while (s->first || s->busy)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static bool all_idle(void)
{
    bool idle = true;
    pthread_mutex_lock(&streams.lock);
    for (stream *s = streams.first; s && idle; s = s->next) {
        pthread_mutex_lock(&s->lock);
        idle = !s->first && !s->busy;
        pthread_mutex_unlock(&s->lock);
    }
    pthread_mutex_unlock(&streams.lock);
    return idle;
}

void fake_synchronize_all(void)
{
    while (!all_idle())
        pause_for(20);
}

int fake_stream_destroy(void *given)
{
    stream *s = stream_of(given);
    pthread_mutex_lock(&streams.lock);
    for (stream **link = &streams.first; *link; link = &(*link)->next)
        if (*link == s) {
            *link = s->next;
            break;
        }
    pthread_mutex_unlock(&streams.lock);
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->alive = 0;
    free(s);
    return 0;
}

int fake_queue(void *given, const fake_work *work)
{
    stream *s = stream_of(given);
    node *made = malloc(sizeof *made);
    if (!made)
        fake_die("no memory");
    *made = (node){.work = *work};
    pthread_mutex_lock(&s->lock);
    const bool capturing = s->capturing;
    if (!capturing) {
        if (s->last)
            s->last->next = made;
        else
            s->first = made;
        s->last = made;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    if (capturing) { /* what belongs to a graph does not run: tests only look whether it was asked for */
        free(made->work.more);
        free(made);
    }
    return 0;
}

int fake_stream_capturing(void *given, int *capturing)
{
    stream *s = stream_of(given);
    pthread_mutex_lock(&s->lock);
    *capturing = s->capturing;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

void fake_cuda_capture(void *given, int capturing)
{
    stream *s = stream_of(given);
    pthread_mutex_lock(&s->lock);
    s->capturing = capturing != 0;
    pthread_mutex_unlock(&s->lock);
}

static void run_call(const fake_work *w)
{
    void (*run)(void *) = NULL;
    __builtin_memcpy(&run, &w->b, sizeof run);
    run(w->a);
}

void fake_cuda_call(void *given, void (*run)(void *argument), void *argument)
{
    fake_work work = {.run = run_call, .a = argument};
    __builtin_memcpy(&work.b, &run, sizeof run);
    fake_queue(given, &work);
}

/* ---- events ---- */

static event *event_of(void *given)
{
    event *e = given;
    if (!e || e->alive != ALIVE)
        fake_die("an event is used that is not there");
    return e;
}

int fake_event_create(void **out)
{
    static event *newest;
    event *e = calloc(1, sizeof *e);
    if (!e)
        return FAKE_INVALID_VALUE;
    e->alive = ALIVE;
    e->device = fake_device();
    e->older = __atomic_load_n(&newest, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&newest, &e->older, e, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    *out = e;
    return 0;
}

int fake_event_destroy(void *given)
{
    event_of(given)->alive = 0;
    return 0;
}

static void run_record(const fake_work *w)
{
    event *e = w->a;
    uint64_t before = __atomic_load_n(&e->done, __ATOMIC_RELAXED);
    while (before < w->n &&
           !__atomic_compare_exchange_n(&e->done, &before, w->n, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        continue;
}

int fake_event_record(void *given, void *on)
{
    event *e = event_of(given);
    if (on && stream_of(on)->device != e->device)
        return FAKE_INVALID_HANDLE;
    const uint64_t number = __atomic_add_fetch(&e->recorded, 1, __ATOMIC_RELAXED);
    return fake_queue(on, &(fake_work){.run = run_record, .a = e, .n = number});
}

int fake_event_query(void *given)
{
    event *e = event_of(given);
    const uint64_t recorded = __atomic_load_n(&e->recorded, __ATOMIC_RELAXED);
    return __atomic_load_n(&e->done, __ATOMIC_ACQUIRE) >= recorded ? 0 : DIST_CUDA_NOT_READY;
}

static void run_wait(const fake_work *w)
{
    event *e = w->a;
    while (__atomic_load_n(&e->done, __ATOMIC_ACQUIRE) < w->n)
        pause_for(5);
}

int fake_stream_wait_event(void *on, void *given)
{
    event *e = event_of(given);
    if (fake_drops_wait())
        return 0;
    const uint64_t recorded = __atomic_load_n(&e->recorded, __ATOMIC_RELAXED);
    return fake_queue(on, &(fake_work){.run = run_wait, .a = e, .n = recorded});
}

static void run_wait_value(const fake_work *w)
{
    uint32_t *word = w->a;
    while ((int32_t)(__atomic_load_n(word, __ATOMIC_ACQUIRE) - (uint32_t)w->n) < 0)
        pause_for(5);
}

int fake_stream_wait_value(void *on, uint32_t *word, uint32_t value)
{
    if (fake_number("FAKE_CUDA_NO_VALUES", 0))
        return FAKE_NOT_SUPPORTED;
    return fake_queue(on, &(fake_work){.run = run_wait_value, .a = word, .n = value});
}

static void run_write_value(const fake_work *w)
{
    __atomic_store_n((uint32_t *)w->a, (uint32_t)w->n, __ATOMIC_RELEASE);
}

int fake_stream_write_value(void *on, uint32_t *word, uint32_t value)
{
    return fake_queue(on, &(fake_work){.run = run_write_value, .a = word, .n = value});
}
