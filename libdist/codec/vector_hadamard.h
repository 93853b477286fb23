/* int4:hadamard on vectors of 16. Small blocks and stochastic rounding go to hadamard.c, which defines it. */
#include "codec/hadamard.h"
#include "kernels/hadamard.h"

static const float centroids[16] = {DIST_CENTROIDS, -0.1284f, -0.3880f, -0.6568f, -0.9423f,
                                    -1.2562f,       -1.6180f, -2.0690f, -2.7326f};

/* dist_hadamard: stages of stride 1 to 8 inside a vector, the others between vectors. */
VECTOR static void rotate(float *x, uint32_t d)
{
    for (uint32_t i = 0; i < d; i += 16)
        store(x + i, butterfly8(butterfly4(butterfly2(butterfly1(load(x + i))))));
    for (uint32_t stride = 16; stride < d; stride *= 2)
        for (uint32_t first = 0; first < d; first += 2 * stride)
            for (uint32_t i = first; i < first + stride; i += 16) {
                const vec a = load(x + i), b = load(x + i + stride);
                store(x + i, add(a, b));
                store(x + i + stride, subtract(a, b));
            }
}

/* dist_dot16 */
VECTOR static float dot(const float *a, const float *b, uint32_t d)
{
    float partial[16];
    vec total = all(0.0f);
    for (uint32_t i = 0; i < d; i += 16)
        total = add(total, multiply(load(a + i), load(b + i)));
    store(partial, total);
    for (int s = 8; s > 0; s /= 2)
        for (int j = 0; j < s; j++)
            partial[j] = dist_add(partial[j], partial[j + s]);
    return partial[0];
}

/* dist_centroid_code */
VECTOR DIST_INLINE ivec centroid_codes(vec z)
{
    static const float threshold[7] = {DIST_CENTROID_THRESHOLDS};
    const vec size = absolute(z);
    ivec index = iand(shift_right(bits_of(z), 28), iall(8));
    for (int t = 0; t < 7; t++)
        index = iadd(index, iselect_less(size, all(threshold[t]), iall(0), iall(1)));
    return index;
}

VECTOR DIST_INLINE unsigned signs_at(const uint32_t *signs, uint32_t i)
{
    return signs[i / 32] >> i % 32 & 0xffffu;
}

VECTOR static void rotate_back(const uint8_t *codes, uint32_t d, float *y)
{
    for (uint32_t i = 0; i < d; i += 16)
        store(y + i, table16(centroids, iand(load_nibbles(codes + i / 2), iall(15))));
    rotate(y, d);
}

VECTOR DIST_INLINE vec decoded_at(const float *y, const uint32_t *signs, uint32_t i, float scale)
{
    const float most = dist_float_of(0x7f7fffffu);
    return flipped(larger(smaller(multiply(load(y + i), all(scale)), all(most)), all(-most)),
                   signs_at(signs, i));
}

/* The codes and the scale of a whole block whose peak is in (0, infinity). */
VECTOR static float encode_whole(const dist_encode_group *group, const float *h, uint32_t d, uint32_t peak,
                                 uint8_t *codes)
{
    float x[DIST_GROUP_MOST], c[DIST_GROUP_MOST];
    const dist_hadamard_unit unit = dist_hadamard_unit_of(peak);
    for (uint32_t i = 0; i < d; i += 16)
        store(x + i, flipped(multiply(load(h + i), all(unit.inverse)), signs_at(group->signs, i)));
    rotate(x, d);
    const float squares = dot(x, x, d), by = dist_hadamard_by(squares, d);
    for (uint32_t i = 0; i < d; i += 16) {
        const ivec code = centroid_codes(multiply(load(x + i), all(by)));
        store_nibbles(codes + i / 2, code);
        store(c + i, table16(centroids, code));
    }
    return dist_hadamard_scale(squares, dot(c, x, d), d, unit.unit, false);
}

/* A block that is not whole, as a group of its own. */
static uint64_t encode_rest(const dist_encode_group *group, uint64_t first)
{
    dist_encode_group rest = *group;
    rest.h += first;
    rest.kept = group->kept ? group->kept + first : NULL;
    rest.section[0] += 4 * (first / group->codec->block);
    rest.section[1] += first / 2;
    rest.n -= first;
    return dist_hadamard_encode(&rest);
}

VECTOR static uint64_t hadamard_encode(const dist_encode_group *group)
{
    const uint32_t d = group->codec->block;
    uint64_t nonfinite = 0, first = 0;
    if (group->random)
        return dist_hadamard_encode(group);
    for (; first + d <= group->n; first += d) {
        const float *h = group->h + first;
        uint8_t *codes = group->section[1] + first / 2;
        const uint32_t peak = peak_of(h, d);
        float scale = peak >= DIST_INFINITY_BITS ? dist_float_of(DIST_NAN_BITS) : 0.0f;
        if (peak > 0 && peak < DIST_INFINITY_BITS)
            scale = encode_whole(group, h, d, peak, codes);
        if (!(scale > 0))
            memset(codes, 0, d / 2);
        memcpy(group->section[0] + 4 * (first / d), &scale, 4);
        nonfinite += !dist_is_finite(scale);
        if (group->kept && dist_is_finite(scale)) {
            float y[DIST_GROUP_MOST];
            rotate_back(codes, d, y);
            for (uint32_t i = 0; i < d; i += 16)
                store(group->kept + first + i, subtract(load(h + i), decoded_at(y, group->signs, i, scale)));
        }
    }
    return nonfinite + (first < group->n ? encode_rest(group, first) : 0);
}

VECTOR static void hadamard_decode(const dist_decode_group *group)
{
    const uint32_t d = group->codec->block;
    uint64_t first = 0;
    for (; first + d <= group->n; first += d) {
        float y[DIST_GROUP_MOST], scale;
        memcpy(&scale, group->section[0] + 4 * (first / d), 4);
        if (dist_is_finite(scale))
            rotate_back(group->section[1] + first / 2, d, y);
        for (uint32_t i = 0; i < d; i += 16) {
            if (dist_is_finite(scale))
                put(group->out + first + i, decoded_at(y, group->signs, i, scale), group->write);
            else
                store(group->out + first + i, all(dist_float_of(DIST_NAN_BITS)));
        }
    }
    if (first < group->n) {
        dist_decode_group rest = *group;
        rest.out += first;
        rest.section[0] += 4 * (first / d);
        rest.section[1] += first / 2;
        rest.n -= first;
        dist_hadamard_decode(&rest);
    }
}
