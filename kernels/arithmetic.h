/* Float32 steps that every processor must take alike: one rounding each, to nearest even, never contracted.
 *
 * Shared by C and CUDA. Host code is compiled with -ffp-contract=off; a device would contract a*b+c without
 * the intrinsics below.
 */
#ifndef DIST_KERNELS_ARITHMETIC_H
#define DIST_KERNELS_ARITHMETIC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "libdist's bytes need IEEE arithmetic: compile without -ffast-math"
#endif

#ifdef __CUDACC__
#define DIST_HD __host__ __device__
#else
#define DIST_HD
#endif

static inline DIST_HD uint32_t dist_bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline DIST_HD float dist_float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#ifdef __CUDA_ARCH__
static inline __device__ float dist_add(float a, float b)
{
    return __fadd_rn(a, b);
}
static inline __device__ float dist_sub(float a, float b)
{
    return __fsub_rn(a, b);
}
static inline __device__ float dist_mul(float a, float b)
{
    return __fmul_rn(a, b);
}
static inline __device__ float dist_div(float a, float b)
{
    return __fdiv_rn(a, b);
}
static inline __device__ float dist_sqrt(float a)
{
    return __fsqrt_rn(a);
}
#else
static inline DIST_HD float dist_add(float a, float b)
{
    return a + b;
}
static inline DIST_HD float dist_sub(float a, float b)
{
    return a - b;
}
static inline DIST_HD float dist_mul(float a, float b)
{
    return a * b;
}
static inline DIST_HD float dist_div(float a, float b)
{
    return a / b;
}
static inline DIST_HD float dist_sqrt(float a)
{
    return sqrtf(a);
}
#endif

/* a + b where the sum is a result: a NaN is written as one pattern, because which operand's payload an
 * addition keeps differs between processors and compilers. */
#define DIST_NAN_BITS 0x7fc00000u

static inline DIST_HD float dist_sum(float a, float b)
{
    const float sum = dist_add(a, b);
    return (dist_bits_of(sum) & 0x7fffffffu) > 0x7f800000u ? dist_float_of(DIST_NAN_BITS) : sum;
}

#endif
