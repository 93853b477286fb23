/* Memory that the members of a communicator share: a file without a name, which its maker holds open under /proc until all
 * have joined. So nothing is left behind, whoever dies. */
#define _GNU_SOURCE /* memfd_create */

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake_nccl_internal.h"

/* What a unique id says. */
typedef struct address {
    uint64_t token;
    int32_t process, file;
} address;

/* Of this process, those that others may still join. */
typedef struct opened {
    address at;
    struct opened *next;
} opened;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static opened *open_ones;

static address address_of(const dist_nccl_id *id)
{
    address at;
    memcpy(&at, id->bytes, sizeof at);
    return at;
}

static size_t size_for(int ranks)
{
    return sizeof(fake_segment) + (size_t)ranks * (size_t)ranks * sizeof(fake_box);
}

static uint64_t make_token(void)
{
    static uint64_t made;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)getpid() << 40 ^ (uint64_t)now.tv_sec * 1000000000u ^ (uint64_t)now.tv_nsec) +
           __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15u;
}

/* Pages that nobody touches take no memory. */
int fake_segment_create(dist_nccl_id *id)
{
    opened *entry = calloc(1, sizeof *entry);
    const int file = memfd_create("fake_nccl", MFD_CLOEXEC);
    if (!entry || file < 0 || ftruncate(file, (off_t)size_for(FAKE_RANKS_MOST)) != 0)
        return fake_nccl_error(FAKE_SYSTEM_ERROR, "fake NCCL: no shared memory");
    entry->at = (address){make_token(), getpid(), file};
    if (pwrite(file, &entry->at.token, sizeof entry->at.token, offsetof(fake_segment, token)) < 0)
        return fake_nccl_error(FAKE_SYSTEM_ERROR, "fake NCCL: no shared memory");
    memset(id, 0, sizeof *id);
    memcpy(id->bytes, &entry->at, sizeof entry->at);
    pthread_mutex_lock(&lock);
    entry->next = open_ones;
    open_ones = entry;
    pthread_mutex_unlock(&lock);
    return DIST_NCCL_SUCCESS;
}

void fake_segment_seal(const dist_nccl_id *id)
{
    const address at = address_of(id);
    if (at.process != getpid())
        return;
    pthread_mutex_lock(&lock);
    for (opened **entry = &open_ones; *entry; entry = &(*entry)->next)
        if ((*entry)->at.token == at.token) {
            opened *const found = *entry;
            *entry = found->next;
            close(found->at.file);
            free(found);
            break;
        }
    pthread_mutex_unlock(&lock);
}

/* The number of a file that was closed may be another's by now. */
static int open_file(const address *at)
{
    char path[64];
    uint64_t token = 0;
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", at->process, at->file);
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return -1;
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file >= 0 && pread(file, &token, sizeof token, offsetof(fake_segment, token)) == sizeof token &&
        token == at->token)
        return file;
    if (file >= 0)
        close(file);
    return -1;
}

fake_segment *fake_segment_join(const dist_nccl_id *id, int ranks, int rank, const uint8_t uuid[16])
{
    const address at = address_of(id);
    const int file = open_file(&at);
    uint32_t said = 0;
    if (file < 0)
        return NULL;
    fake_segment *segment = mmap(NULL, size_for(ranks), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (segment == MAP_FAILED)
        fake_nccl_die("no memory to share");
    if (!__atomic_compare_exchange_n(&segment->ranks, &said, (uint32_t)ranks, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED) &&
        said != (uint32_t)ranks)
        fake_nccl_die("members of one communicator disagree about their number: %u and %d", said, ranks);
    fake_member *self = &segment->member[rank];
    memcpy(self->uuid, uuid, sizeof self->uuid);
    if (__atomic_exchange_n(&self->joined, 1, __ATOMIC_ACQ_REL))
        fake_nccl_die("two members of one communicator are rank %d", rank);
    return segment;
}

void fake_segment_leave(fake_segment *segment, int ranks)
{
    munmap(segment, size_for(ranks));
}

bool fake_segment_complete(const fake_segment *segment, int ranks, bool finalized)
{
    for (int r = 0; r < ranks; r++) {
        const fake_member *member = &segment->member[r];
        if (!__atomic_load_n(finalized ? &member->finalized : &member->joined, __ATOMIC_ACQUIRE))
            return false;
    }
    return true;
}
