/* What the GPU tests and the benchmark share: a call that must succeed, and values of all kinds. */
#ifndef TESTS_GPU_H
#define TESTS_GPU_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>

/* Without the device nothing after it means anything. */
#define GPU(call)                                                                                            \
    do {                                                                                                     \
        const cudaError_t gpu_error = (call);                                                                \
        if (gpu_error != cudaSuccess) {                                                                      \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(gpu_error));    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static inline uint32_t draw_bits(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

/* Of mean 0 and variance 1, nearly normal: four uniform variables of 16 bits. */
static inline float draw_normal(uint64_t *state)
{
    const uint32_t a = draw_bits(state), b = draw_bits(state);
    const uint32_t sum = (a & 0xffffu) + (a >> 16) + (b & 0xffffu) + (b >> 16);
    return (float)((int)sum - 131070) * (1.0f / 37837.0f);
}

static inline float bits_as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

enum {
    DATA_NORMAL,
    DATA_HEAVY,
    DATA_EQUAL,
    DATA_FEW,
    DATA_TINY,
    DATA_HUGE,
    DATA_ZEROS,
    DATA_NONFINITE,
    DATA_BITS,
    DATA_KINDS
};

static inline float draw_value(uint64_t *state, int kind)
{
    const float normal = draw_normal(state);
    const uint32_t bits = draw_bits(state), sign = bits & 0x80000000u;
    switch (kind) {
    case DATA_HEAVY:
        return bits % 97 == 0 ? normal * 1e3f : normal * 1e-3f;
    case DATA_EQUAL:
        return bits_as_float(sign | 0x3fc00000u);
    case DATA_FEW:
        return (float)(int)(bits % 9) * 0.5f - 2.0f;
    case DATA_TINY: /* subnormals, and what they are scales of */
        return bits_as_float(sign | (bits & 0x7fffffffu) >> (7 + bits % 24));
    case DATA_HUGE:
        return bits_as_float(sign | (0x7f7fffffu - (bits & 0xffffffu)));
    case DATA_ZEROS:
        return bits % 700 == 0 ? normal : bits_as_float(sign);
    case DATA_NONFINITE:
        return bits % 3001 == 0 ? bits_as_float(sign | 0x7f800000u | bits >> 9) : normal;
    case DATA_BITS:
        return bits_as_float(bits);
    default:
        return normal;
    }
}

#endif
