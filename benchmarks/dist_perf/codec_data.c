/* What dist_perf codec encodes. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec_perf.h"

static double uniform(uint64_t *state) /* in (-1, 1), by splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((double)((z ^ z >> 31) >> 12) + 0.5) * 0x1p-51 - 1;
}

/* A point of the unit disc, as Marsaglia's polar method needs it; Bailey (1994) makes Student's t of it. */
static void draw(float *to, size_t count, perf_data kind, uint64_t seed)
{
    uint64_t state = seed * 2 + (kind == PERF_STUDENT);
    for (size_t i = 0; i < count;) {
        const double u = uniform(&state), v = uniform(&state), w = u * u + v * v;
        if (w >= 1 || w == 0)
            continue;
        const double normal = -2 * log(w) / w, student = 3 * (pow(w, -2.0 / 3) - 1) / w;
        to[i++] = (float)(u * sqrt(kind == PERF_STUDENT ? student : normal));
    }
}

static float little_endian(const unsigned char *bytes)
{
    const uint32_t bits =
        (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Reads up to `count` float32 and repeats them up to `count`. */
static bool read_values(FILE *file, const char *name, float *to, size_t count, size_t *found)
{
    unsigned char bytes[4];
    size_t got = 4;
    for (*found = 0; *found < count && (got = fread(bytes, 1, 4, file)) == 4; ++*found) {
        to[*found] = little_endian(bytes);
        if (isfinite(to[*found]))
            continue;
        fprintf(stderr, "dist_perf: element %zu of %s is not finite; take the gradients of another step\n",
                *found, name);
        return false;
    }
    if (ferror(file) || *found == 0 || (got && got < 4)) {
        fprintf(stderr, "dist_perf: %s: %s\n", name,
                ferror(file)  ? strerror(errno)
                : *found == 0 ? "there are no elements in it"
                              : "its size is no multiple of 4; it must be raw float32");
        return false;
    }
    for (size_t i = *found; i < count; i++)
        to[i] = to[i - *found];
    return true;
}

static bool load(float *to, size_t count, const char *name, size_t *found)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        fprintf(stderr,
                "dist_perf: --data %s is not normal or student, and as a file it cannot be read: %s\n", name,
                strerror(errno));
        return false;
    }
    const bool good = read_values(file, name, to, count, found);
    fclose(file);
    return good;
}

/* The library's own rounding, by way of a frame of float32: elements of one type to another. */
static bool convert(dist_type type, const void *from, dist_type wanted, void *to, size_t count)
{
    dist_codec *codec;
    void *frame = NULL;
    bool good = dist_codec_create(&codec, "none") == DIST_OK;
    const uint64_t bytes = dist_codec_encoded_bytes(codec, count);
    good = good && (frame = perf_allocate(bytes)) != NULL &&
           dist_codec_encode(codec, type, from, NULL, count, NULL, frame, NULL) == DIST_OK &&
           dist_codec_decode(codec, frame, bytes, wanted, count, to) == DIST_OK;
    free(frame);
    dist_codec_destroy(codec);
    return good;
}

/* Values of a shorter type, and what they are as float32. */
static int shorten(perf_vectors *vectors, perf_data kind, dist_type type, size_t count)
{
    float *exact = vectors->exact[kind];
    vectors->values[kind] = exact;
    if (type == DIST_FLOAT32)
        return PERF_FINE;
    vectors->values[kind] = perf_allocate(count * dist_type_bytes(type));
    if (!vectors->values[kind] || !convert(DIST_FLOAT32, exact, type, vectors->values[kind], count) ||
        !convert(type, vectors->values[kind], DIST_FLOAT32, exact, count)) {
        fprintf(stderr, "dist_perf: no memory for %zu elements of %s\n", count, dist_type_name(type));
        return PERF_FAILED;
    }
    for (size_t i = 0; i < count; i++)
        if (!isfinite(exact[i])) {
            fprintf(stderr, "dist_perf: element %zu of the data is too large for %s\n", i,
                    dist_type_name(type));
            return PERF_USAGE;
        }
    return PERF_FINE;
}

int perf_vectors_make(perf_vectors *vectors, const perf_codec_options *o, size_t count)
{
    int status = PERF_FINE;
    *vectors = (perf_vectors){.gradients = 0};
    for (perf_data kind = 0; kind < PERF_DATA && status == PERF_FINE; kind++) {
        if (!o->data[kind])
            continue;
        vectors->exact[kind] = perf_allocate(count * sizeof(float));
        if (!vectors->exact[kind]) {
            fprintf(stderr, "dist_perf: no memory for %zu elements; lower -e\n", count);
            return PERF_FAILED;
        }
        if (kind != PERF_GRADIENT)
            draw(vectors->exact[kind], count, kind, o->seed);
        else if (!load(vectors->exact[kind], count, o->gradient, &vectors->gradients))
            return PERF_USAGE;
        status = shorten(vectors, kind, o->type, count);
    }
    return status;
}

void perf_vectors_free(perf_vectors *vectors)
{
    for (int kind = 0; kind < PERF_DATA; kind++) {
        if (vectors->values[kind] != vectors->exact[kind])
            free(vectors->values[kind]);
        free(vectors->exact[kind]);
    }
}

void *perf_allocate(size_t bytes)
{
    const size_t room = bytes / 64 * 64 + 64;
    void *memory = room > bytes ? aligned_alloc(64, room) : NULL;
    return memory ? memset(memory, 1, room) : NULL;
}
