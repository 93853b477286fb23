/* What selections find hard: values that are equal, few, or one. */
#ifndef CODEC_SELECT_H
#define CODEC_SELECT_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec_run.h"

enum class picks { equal, few, zero, outlier, one_sign, nonfinite, kinds };

static const char *const picks_names[] = {"all equal",   "few distinct",        "all zero",
                                          "one outlier", "equal in both signs", "some not finite"};

static inline float pick(picks kind, uint64_t i, uint64_t count, inputs::stream *draw)
{
    const uint32_t bits = inputs::draw_bits(draw);
    switch (kind) {
    case picks::equal:
        return 1.5f;
    case picks::few:
        return static_cast<float>(static_cast<int>(bits % 7) - 3);
    case picks::zero:
        return bits % 2 ? 0.0f : -0.0f;
    case picks::outlier:
        return i == count / 2 ? 1e30f : 0x1p-100f;
    case picks::one_sign:
        return bits % 2 ? 0.25f : -0.25f;
    default:
        return bits % 1500 == 0   ? inputs::float_of(0x7f800001u + bits / 1500)
               : bits % 1500 == 1 ? -INFINITY
                                  : static_cast<float>(bits % 5) * 0.125f;
    }
}

static inline region picks_of(dist_type type, uint64_t count, picks kind, uint64_t seed)
{
    region made(count * size_of(type));
    inputs::stream draw = {seed};
    for (uint64_t i = 0; i < count; i++) {
        const float value = pick(kind, i, count, &draw);
        const uint16_t bits =
            type == DIST_FLOAT16 ? dist_half_from_float(value) : dist_bfloat_from_float(value);
        if (type == DIST_FLOAT32)
            memcpy(made.data + 4 * i, &value, 4);
        else
            memcpy(made.data + 2 * i, &bits, 2);
    }
    return made;
}

/* Encodes twice, so that the feedback of the first counts. */
static inline void check_picks(const dist_codec &codec, dist_type type, uint64_t count, picks kind,
                               uint64_t seed, encode_launcher launch, encode_launcher seal,
                               uint64_t workspace_bytes)
{
    region feedback(dist_feedback_bytes(codec.feedback, count));
    if (feedback.bytes)
        memset(feedback.data, 0, feedback.bytes);
    for (uint64_t step = 0; step < 2; step++) {
        const region values = picks_of(type, count, kind, seed + step);
        const region *const kept = codec.feedback ? &feedback : nullptr;
        const course way = course_of(seed + step);
        const encoded wanted = encode_as_defined(codec, type, values, kept, count, {});
        const encoded found =
            encode_by_kernels(codec, type, values, kept, count, {}, launch, seal, way, workspace_bytes);
        char what[200];
        snprintf(what, sizeof what, "%s, %llu elements, %s, type %d, %s, step %llu", codec.text,
                 static_cast<unsigned long long>(count), picks_names[static_cast<int>(kind)],
                 static_cast<int>(type), way.order.name, static_cast<unsigned long long>(step));
        if (!is_same(wanted, found, what))
            fail_msg("%s: not what the definition gives", what);
        if (feedback.bytes)
            memcpy(feedback.data, wanted.feedback.data, feedback.bytes);
    }
}

/* Of 4 launches in this order, how many differ from the definition. */
static inline unsigned differing(const char *text, uint64_t count, encode_launcher launch,
                                 encode_launcher seal, uint64_t workspace_bytes,
                                 const simt::named_order &order)
{
    const dist_codec codec = scalar_codec(text);
    unsigned wrong = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        const region values = values_of(DIST_FLOAT32, count, inputs::DATA_HEAVY, seed);
        region feedback(dist_feedback_bytes(codec.feedback, count));
        if (feedback.bytes)
            memset(feedback.data, 0, feedback.bytes);
        const region *const kept = codec.feedback ? &feedback : nullptr;
        const encoded wanted = encode_as_defined(codec, DIST_FLOAT32, values, kept, count, {});
        course way = {order, 0};
        way.order.seed += seed;
        const encoded found = encode_by_kernels(codec, DIST_FLOAT32, values, kept, count, {}, launch, seal,
                                                way, workspace_bytes);
        wrong += !(wanted.frame == found.frame && wanted.feedback == found.feedback);
    }
    return wrong;
}

/* The same in a process of its own, because a place that is wrong may lie outside the frame: then all 4. */
static inline unsigned misses_of(const char *text, uint64_t count, encode_launcher launch,
                                 encode_launcher seal, uint64_t workspace_bytes,
                                 const simt::named_order &order)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int number : {SIGSEGV, SIGABRT, SIGBUS})
            signal(number, SIG_DFL); /* cmocka's would go on with the tests */
        close(STDERR_FILENO);
        _exit(static_cast<int>(differing(text, count, launch, seal, workspace_bytes, order)));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) <= 4 ? static_cast<unsigned>(WEXITSTATUS(status)) : 4;
}

#endif
