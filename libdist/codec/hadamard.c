#include "codec/hadamard.h"

#include <string.h>

#include "codec/elements.h"
#include "kernels/hadamard.h"

/* signs * h * 2^-x, padded with zeros to d: with the peak in [1, 2) no square overflows. */
static void load(const dist_encode_group *group, uint64_t first, uint64_t n, uint32_t d, float inverse,
                 float *x)
{
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t sign = (group->signs[i / 32] >> i % 32 & 1u) << 31;
        x[i] = dist_float_of(dist_bits_of(dist_mul(group->h[first + i], inverse)) ^ sign);
    }
    memset(x + n, 0, (d - n) * sizeof *x);
}

/* The centroid of each code, rotated back. */
static void rotate_back(const uint8_t *codes, uint32_t d, float *y)
{
    for (uint32_t i = 0; i < d; i++)
        y[i] = dist_centroid((unsigned)codes[i / 2] >> i % 2 * 4 & 15u);
    dist_hadamard(y, d);
}

static float decoded_at(const float *y, const uint32_t *signs, uint64_t i, float scale)
{
    const float value = dist_saturated(dist_mul(y[i], scale));
    return dist_float_of(dist_bits_of(value) ^ (signs[i / 32] >> i % 32 & 1u) << 31);
}

/* Writes the codes of a block whose peak is in (0, infinity) and returns its scale. */
static float encode_block(const dist_encode_group *group, uint64_t first, uint64_t n, uint32_t peak,
                          uint8_t *codes)
{
    float x[DIST_GROUP_MOST], c[DIST_GROUP_MOST];
    const uint32_t d = dist_rotation_of(n, group->codec->block);
    const dist_hadamard_unit unit = dist_hadamard_unit_of(peak);
    load(group, first, n, d, unit.inverse, x);
    dist_hadamard(x, d);
    const float squares = dist_sum_squares16(x, d), by = dist_hadamard_by(squares, d);
    for (uint32_t i = 0; i < d; i++) {
        const float z = dist_mul(x[i], by);
        const unsigned code = group->random ? dist_centroid_code_stochastic(z, group->random[first + i])
                                            : dist_centroid_code(z);
        c[i] = dist_centroid(code);
        codes[i / 2] = (uint8_t)(i % 2 ? codes[i / 2] | code << 4 : code);
    }
    return dist_hadamard_scale(squares, dist_dot16(c, x, d), d, unit.unit, group->random != NULL);
}

static bool encode_at(const dist_encode_group *group, uint64_t first, uint64_t n, uint8_t *stored,
                      uint8_t *codes)
{
    const uint32_t d = dist_rotation_of(n, group->codec->block);
    const uint32_t peak = dist_peak_elements(group->h + first, n);
    float scale = peak >= DIST_INFINITY_BITS ? dist_float_of(DIST_NAN_BITS) : 0.0f;
    if (peak > 0 && peak < DIST_INFINITY_BITS)
        scale = encode_block(group, first, n, peak, codes);
    if (!(scale > 0))
        memset(codes, 0, d / 2);
    memcpy(stored, &scale, 4);
    if (group->kept && dist_is_finite(scale)) {
        float y[DIST_GROUP_MOST];
        rotate_back(codes, d, y);
        for (uint64_t i = 0; i < n; i++)
            group->kept[first + i] = dist_sub(group->h[first + i], decoded_at(y, group->signs, i, scale));
    }
    return dist_is_finite(scale);
}

uint64_t dist_hadamard_encode(const dist_encode_group *group)
{
    const uint64_t block = group->codec->block;
    uint64_t nonfinite = 0, b = 0;
    for (uint64_t first = 0; first < group->n; first += block, b++)
        nonfinite += !encode_at(group, first, dist_least(block, group->n - first), group->section[0] + 4 * b,
                                group->section[1] + first / 2);
    return nonfinite;
}

void dist_hadamard_decode(const dist_decode_group *group)
{
    const uint64_t block = group->codec->block;
    uint64_t b = 0;
    for (uint64_t first = 0; first < group->n; first += block, b++) {
        const uint64_t n = dist_least(block, group->n - first);
        float y[DIST_GROUP_MOST], scale;
        memcpy(&scale, group->section[0] + 4 * b, 4);
        if (dist_is_finite(scale))
            rotate_back(group->section[1] + first / 2, dist_rotation_of(n, (uint32_t)block), y);
        for (uint64_t i = 0; i < n; i++) {
            if (dist_is_finite(scale))
                dist_put(group->out, first + i, decoded_at(y, group->signs, i, scale), group->write == DIST_WRITE_ADD);
            else
                group->out[first + i] = dist_float_of(DIST_NAN_BITS);
        }
    }
}
