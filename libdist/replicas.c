/* Whether all ranks hold the same bytes. */
#include <string.h>

#include <libdist/data_parallel.h>

#include "base/memory.h"
#include "context_internal.h"
#include "devices.h"

/* Four independent lanes, because a chain of multiplications would take longer than reading the memory. */
typedef struct hasher {
    uint64_t lane[4];
} hasher;

#define HASH_PRIME 0x9e3779b97f4a7c15u

/* All parts but the last are multiples of 32 bytes. */
static void hash_part(hasher *h, const unsigned char *data, size_t bytes)
{
    uint64_t word;
    size_t at = 0;
    for (; at + 32 <= bytes; at += 32)
        for (int l = 0; l < 4; l++) {
            memcpy(&word, data + at + 8 * l, 8);
            h->lane[l] = (h->lane[l] ^ word) * HASH_PRIME;
            h->lane[l] ^= h->lane[l] >> 29;
        }
    for (; at < bytes; at++)
        h->lane[at % 4] = (h->lane[at % 4] ^ data[at]) * HASH_PRIME;
}

static uint64_t hash_end(const hasher *h, size_t bytes)
{
    uint64_t hash = bytes;
    for (int l = 0; l < 4; l++) {
        hash = (hash ^ h->lane[l]) * HASH_PRIME;
        hash ^= hash >> 32;
    }
    return hash;
}

/* Device memory comes to the host in parts. */
static dist_status hash_bytes(const dist_context *context, const unsigned char *data, size_t bytes,
                              uint64_t *hash)
{
    hasher h = {{1, 2, 3, 4}};
    const dist_location at = dist_locate(context, data);
    if (at.memory != DIST_MEMORY_CUDA) {
        hash_part(&h, data, bytes);
    } else {
        const size_t most = (size_t)1 << 20;
        unsigned char *part = dist_alloc_zeroed(most);
        dist_status status = part ? DIST_OK : dist_fail(DIST_ERR_MEMORY, "no memory to compare replicas");
        for (size_t done = 0, now; done < bytes && status >= 0; done += now) {
            now = bytes - done < most ? bytes - done : most;
            status = dist_devices_read(context, at.device, part, data + done, now);
            if (status >= 0)
                hash_part(&h, part, now);
        }
        dist_free_zeroed(part);
        DIST_TRY(status);
    }
    *hash = hash_end(&h, bytes);
    return DIST_OK;
}

dist_status dist_replicas_identical(dist_context *context, const void *data, size_t bytes, bool *identical,
                                    uint64_t *hash)
{
    int64_t extremes[2];
    uint64_t own;
    DIST_CHECK_CONTEXT(context);
    if ((!data && bytes > 0) || !identical)
        return dist_fail(DIST_ERR_ARGUMENT,
                         "dist_replicas_identical: the data or the place for the answer is NULL");
    DIST_TRY(hash_bytes(context, data, bytes, &own));
    memcpy(&extremes[0], &own, sizeof own);
    extremes[1] = ~extremes[0]; /* the smallest of these is the complement of the largest hash */
    DIST_TRY(dist_all_reduce(context, DIST_IN_PLACE, extremes, 2, DIST_INT64, DIST_MIN, NULL));
    *identical = extremes[0] == ~extremes[1];
    if (hash)
        *hash = own;
    return DIST_OK;
}
