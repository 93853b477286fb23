#define _GNU_SOURCE /* memfd_create */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_cuda_internal.h"

enum { MOST = 8192, FREED = 4096 };

typedef struct block {
    char *address, *bytes; /* of pinned memory the same */
    uint64_t size;         /* as asked for */
    uint64_t mapped;
    bool device;
    int number; /* of the device */
} block;

static struct {
    pthread_mutex_t lock;
    block item[MOST];
    size_t count;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The block that holds an address, or NULL. Holds the lock. */
static block *block_of(const void *pointer)
{
    const char *p = pointer;
    for (size_t i = 0; i < memory.count; i++)
        if (p >= memory.item[i].address &&
            p < memory.item[i].address + (memory.item[i].size ? memory.item[i].size : 1))
            return &memory.item[i];
    return NULL;
}

static int add(block made)
{
    int error = FAKE_INVALID_VALUE;
    pthread_mutex_lock(&memory.lock);
    if (memory.count < MOST) {
        memory.item[memory.count++] = made;
        error = 0;
    }
    pthread_mutex_unlock(&memory.lock);
    return error;
}

/* Two mappings: one at which the program may not touch it, one for the streams. */
int fake_allocate(void **out, uint64_t bytes)
{
    const uint64_t page = 4096, mapped = (bytes + page - 1) / page * page;
    fake_freeing();
    const int file = memfd_create("fake_cuda", MFD_CLOEXEC);
    if (bytes == 0 || file < 0 || ftruncate(file, (off_t)mapped) != 0)
        return FAKE_INVALID_VALUE;
    char *const inside = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *const outside = mmap(NULL, mapped, PROT_NONE, MAP_SHARED, file, 0);
    close(file);
    if (inside == MAP_FAILED || outside == MAP_FAILED)
        return FAKE_INVALID_VALUE;
    memset(inside, 0xa5, mapped); /* nobody may count on zeros */
    *out = outside;
    return add((block){outside, inside, bytes, mapped, true, fake_device()});
}

static int take(void *address, bool device, block *taken)
{
    pthread_mutex_lock(&memory.lock);
    block *b = block_of(address);
    if (!b || b->address != (char *)address || b->device != device)
        fake_die("memory is freed that is not there, or twice");
    *taken = *b;
    *b = memory.item[--memory.count];
    pthread_mutex_unlock(&memory.lock);
    return 0;
}

int fake_release(void *address)
{
    block b;
    fake_freeing();
    take(address, true, &b);
    munmap(b.bytes, b.mapped);
    munmap(b.address, b.mapped);
    return 0;
}

int fake_pin(void **out, uint64_t bytes)
{
    const uint64_t mapped = (bytes + 4095) / 4096 * 4096;
    fake_freeing();
    char *const made = aligned_alloc(4096, mapped ? mapped : 4096);
    if (!made)
        return FAKE_INVALID_VALUE;
    *out = made;
    return add((block){made, made, bytes, mapped, false, fake_device()});
}

int fake_unpin(void *address)
{
    block b;
    take(address, false, &b);
    free(b.bytes);
    return 0;
}

int fake_locate(const void *pointer, int *where, int *device)
{
    pthread_mutex_lock(&memory.lock);
    const block *b = block_of(pointer);
    *where = !b ? DIST_CUDA_AT_HOST : b->device ? DIST_CUDA_AT_DEVICE : DIST_CUDA_AT_PINNED;
    *device = b ? b->number : -1;
    pthread_mutex_unlock(&memory.lock);
    return 0;
}

void *fake_bytes(const void *pointer, uint64_t bytes)
{
    void *found = (void *)(uintptr_t)pointer;
    pthread_mutex_lock(&memory.lock);
    const block *b = block_of(pointer);
    if (b) {
        const uint64_t at = (uint64_t)((const char *)pointer - b->address);
        found = at + bytes <= b->size ? b->bytes + at : NULL;
    }
    pthread_mutex_unlock(&memory.lock);
    return found;
}

void *fake_cuda_bytes(const void *pointer)
{
    return fake_bytes(pointer, 0);
}

void *fake_kernel_bytes(const void *pointer, uint64_t bytes)
{
    int where, device;
    fake_locate(pointer, &where, &device);
    void *const found = where == DIST_CUDA_AT_HOST ? NULL : fake_bytes(pointer, bytes);
    if (pointer && !found)
        fake_cuda_break(FAKE_ILLEGAL_ADDRESS);
    return found;
}
