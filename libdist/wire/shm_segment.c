/* Segments of /dev/shm: a head, then entries and staging, one after the other as they are asked for. Their names are gone as soon as
 * all have mapped them. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "device/numa.h"
#include "wire/shm_internal.h"

#define STAGING_LEAST 256
#define ADDRESSES     ((uint64_t)1 << 45) /* a quarter of what a process has */
#define MAGIC         0x6d68732d74736964u /* "dist-shm" */

static void name_of(char name[64], uint64_t job, int rank)
{
    snprintf(name, 64, "/libdist-%016llx-%d", (unsigned long long)job, rank);
}

/* Memory that the file has when it is touched, not a signal then. */
static dist_status grow(dist_shm_wire *wire, size_t needed)
{
    const size_t room = needed + DIST_SHM_GROWTH;
    if (room > wire->slots + dist_shm_slots_bytes(wire->mates) + DIST_SHM_ENTRIES)
        return dist_fail(DIST_ERR_MEMORY, "collectives would take more than %zu bytes of shared memory",
                         DIST_SHM_ENTRIES);
    const int code = posix_fallocate(wire->file, (off_t)wire->room, (off_t)(room - wire->room));
    if (code != 0)
        return dist_fail(DIST_ERR_MEMORY, "/dev/shm has no room for %zu bytes more: %s", room - wire->room,
                         strerror(code));
    wire->room = room;
    return DIST_OK;
}

static dist_status map(const dist_shm_wire *wire, dist_shm_peer *mate, int file)
{
    void *const at = mmap(NULL, wire->reserve, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (at == MAP_FAILED)
        return dist_fail(DIST_ERR_SYSTEM, "mapping %llu bytes of shared memory: %s",
                         (unsigned long long)wire->reserve, strerror(errno));
    mate->segment = at;
    return DIST_OK;
}

/* First what the ranks say to each other, then as much address space as the node has memory, as far as there is enough for all. */
static dist_status lay_out(dist_shm_wire *wire)
{
    const uint64_t page = 4096, share = ADDRESSES / (uint64_t)wire->mates / page * page;
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    memory = memory < share ? memory : share;
    wire->slots = (sizeof(dist_shm_head) + page - 1) / page * page;
    wire->slot = dist_shm_slot_bytes(wire->mates);
    wire->used = (size_t)(wire->slots + dist_shm_slots_bytes(wire->mates));
    const uint64_t heap = (wire->used + DIST_SHM_ENTRIES + page - 1) / page * page;
    wire->reserve = heap + memory;
    return dist_shm_heap_create(wire, heap, wire->reserve);
}

dist_status dist_shm_segment_create(dist_shm_wire *wire, uint64_t job)
{
    char name[64];
    dist_shm_peer *self = &wire->mate[wire->me];
    name_of(name, job, self->rank);
    wire->file = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (wire->file < 0)
        return dist_fail(DIST_ERR_SYSTEM, "shm_open of %s: %s", name, strerror(errno));
    DIST_TRY(lay_out(wire));
    DIST_TRY(map(wire, self, wire->file));
    /* before it has pages: all of them are the owner's, which reads most of them, or writes them for others to read once */
    dist_numa_place(self->segment, wire->reserve, wire->log);
    DIST_TRY(grow(wire, wire->used));
    ((dist_shm_head *)(void *)self->segment)->magic = MAGIC;
    return DIST_OK;
}

dist_status dist_shm_segment_map(dist_shm_wire *wire, uint64_t job)
{
    char name[64];
    for (int m = 0; m < wire->mates; m++) {
        dist_shm_peer *mate = &wire->mate[m];
        if (m == wire->me)
            continue;
        name_of(name, job, mate->rank);
        const int file = shm_open(name, O_RDWR | O_CLOEXEC, 0);
        if (file < 0)
            return dist_fail(DIST_ERR_SYSTEM, "shm_open of rank %d's %s: %s", mate->rank, name,
                             strerror(errno));
        const dist_status status = map(wire, mate, file);
        close(file);
        DIST_TRY(status);
        if (((dist_shm_head *)(void *)mate->segment)->magic != MAGIC)
            return dist_fail(DIST_ERR_SYSTEM, "%s is not rank %d's segment", name, mate->rank);
    }
    return DIST_OK;
}

void dist_shm_segment_unlink(const dist_shm_wire *wire, uint64_t job)
{
    char name[64];
    name_of(name, job, wire->mate[wire->me].rank);
    shm_unlink(name);
}

void dist_shm_segment_close(dist_shm_wire *wire)
{
    for (int m = 0; m < wire->mates; m++) {
        if (wire->mate[m].segment)
            munmap(wire->mate[m].segment, wire->reserve);
        free(wire->mate[m].entry);
    }
    if (wire->file >= 0)
        close(wire->file);
    dist_shm_heap_destroy(wire);
}

/* ---- entries ---- */

static size_t place_of(uint64_t key, size_t room)
{
    return (size_t)(key * 0x9e3779b97f4a7c15u >> 32) & (room - 1);
}

static bool note_entry(dist_shm_peer *mate, dist_shm_entry *entry)
{
    if (2 * (mate->entries + 1) > mate->room) {
        const size_t room = mate->room ? 2 * mate->room : 64;
        dist_shm_entry **table = calloc(room, sizeof(dist_shm_entry *));
        if (!table)
            return false;
        for (size_t i = 0; i < mate->room; i++) {
            size_t at = mate->entry[i] ? place_of(mate->entry[i]->key, room) : 0;
            while (mate->entry[i] && table[at])
                at = (at + 1) & (room - 1);
            if (mate->entry[i])
                table[at] = mate->entry[i];
        }
        free(mate->entry);
        mate->entry = table;
        mate->room = room;
    }
    size_t at = place_of(entry->key, mate->room);
    while (mate->entry[at])
        at = (at + 1) & (mate->room - 1);
    mate->entry[at] = entry;
    mate->entries++;
    return true;
}

static dist_shm_entry *look_up(const dist_shm_peer *mate, uint64_t key)
{
    if (mate->room == 0)
        return NULL;
    for (size_t at = place_of(key, mate->room); mate->entry[at]; at = (at + 1) & (mate->room - 1))
        if (mate->entry[at]->key == key)
            return mate->entry[at];
    return NULL;
}

/* What the mate has added to its chain since the last look. */
static bool catch_up(dist_shm_peer *mate)
{
    for (;;) {
        dist_shm_head *head = (dist_shm_head *)(void *)mate->segment;
        dist_shm_entry *last = mate->seen ? (dist_shm_entry *)(void *)(mate->segment + mate->seen) : NULL;
        const uint64_t next = atomic_load_explicit(last ? &last->next : &head->first, memory_order_acquire);
        if (next == 0)
            return true;
        if (!note_entry(mate, (dist_shm_entry *)(void *)(mate->segment + next)))
            return false;
        mate->seen = next;
    }
}

dist_shm_entry *dist_shm_entry_find(dist_shm_wire *wire, int mate, uint64_t key)
{
    dist_shm_peer *peer = &wire->mate[mate];
    dist_shm_entry *found = look_up(peer, key);
    return found || !catch_up(peer) ? found : look_up(peer, key);
}

static dist_status take(dist_shm_wire *wire, uint64_t bytes, uint64_t *offset)
{
    const size_t grains = (size_t)(bytes + 63) / 64 * 64;
    if (wire->used + grains > wire->room)
        DIST_TRY(grow(wire, wire->used + grains));
    *offset = wire->used;
    wire->used += grains;
    return DIST_OK;
}

dist_shm_entry *dist_shm_entry_make(dist_shm_wire *wire, uint64_t key, uint64_t staging)
{
    char *const segment = wire->mate[wire->me].segment;
    dist_shm_entry *entry = dist_shm_entry_find(wire, wire->me, key);
    uint64_t offset;
    if (!entry) {
        if (take(wire, sizeof *entry, &offset) < 0)
            return NULL;
        entry = (dist_shm_entry *)(void *)(segment + offset);
        entry->key = key;
        dist_shm_entry *last = wire->last ? (dist_shm_entry *)(void *)(segment + wire->last) : NULL;
        atomic_store_explicit(last ? &last->next : &((dist_shm_head *)(void *)segment)->first, offset,
                              memory_order_release);
        wire->last = offset;
    }
    if (staging > entry->staging_bytes) {
        uint64_t room =
            STAGING_LEAST; /* what it grows out of is lost: in powers of two no more than it has */
        while (room < staging)
            room *= 2;
        if (take(wire, room, &entry->staging[0]) < 0 || take(wire, room, &entry->staging[1]) < 0)
            return NULL;
        entry->staging_bytes = room;
    }
    return entry;
}

/* ---- memory by address ---- */

static dist_status reach(const dist_shm_peer *peer, bool write, char *mine, uint64_t address, size_t bytes)
{
    while (bytes > 0) {
        const struct iovec here = {mine, bytes}, there = {(void *)(uintptr_t)address, bytes};
        const ssize_t n = write ? process_vm_writev(peer->pid, &here, 1, &there, 1, 0)
                                : process_vm_readv(peer->pid, &here, 1, &there, 1, 0);
        if (n <= 0)
            return dist_fail(DIST_ERR_SYSTEM, "rank %d's memory cannot be %s: %s", peer->rank,
                             write ? "written" : "read",
                             n == 0 || errno == ESRCH ? "its process has ended" : strerror(errno));
        mine += n;
        address += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return DIST_OK;
}

dist_status dist_shm_read(const dist_shm_wire *wire, int mate, void *dst, uint64_t address, size_t bytes)
{
    return reach(&wire->mate[mate], false, dst, address, bytes);
}

dist_status dist_shm_write(const dist_shm_wire *wire, int mate, uint64_t address, const void *src,
                           size_t bytes)
{
    return reach(&wire->mate[mate], true, (char *)(uintptr_t)src, address, bytes);
}
