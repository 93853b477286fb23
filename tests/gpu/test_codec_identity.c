/* Whether the device writes and reads the bytes of the CPU, through the public calls alone.
 *
 *   test_codec_identity [--small] [--json FILE]
 *
 * --small leaves out what a sanitizer would take too long for. Exit: 0, 1 (something differs), 77 (no device).
 */
#include <stdarg.h>
#include <stdbool.h>

#include <libdist/codec.h>
#include <libdist/status.h>

#include "gpu.h"

static const char *const codecs[] = {"none",
                                     "bf16",
                                     "bf16:sr:seed=3",
                                     "fp16",
                                     "int8",
                                     "int8:block=16",
                                     "int8:block=2048",
                                     "int8:sr:seed=5",
                                     "int4",
                                     "int4:block=4096",
                                     "int4:sr",
                                     "int4:hadamard",
                                     "int4:block=16:hadamard",
                                     "int4:block=4096:hadamard",
                                     "int4:sr:hadamard:seed=7",
                                     "mxfp8",
                                     "mxfp4",
                                     "nvfp4",
                                     "topk:density=0.01",
                                     "topk:density=0.3",
                                     "sparseloco"};
static const char *const feedbacks[] = {":ef=none", ":ef=fp32", ":ef=bf16", ":ef=int8"};
static const dist_type types[] = {DIST_FLOAT32, DIST_FLOAT16, DIST_BFLOAT16};
static const uint64_t counts[] = {0,   1,   2,    15,   16,   17,   63,   64,   65,   255,
                                  256, 257, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 50021};

enum {
    CODECS = sizeof codecs / sizeof *codecs,
    FEEDBACKS = sizeof feedbacks / sizeof *feedbacks,
    TYPES = sizeof types / sizeof *types,
    COUNTS = sizeof counts / sizeof *counts,
    MOST_FRAMES = 4
};

typedef struct tally {
    uint64_t passed, failed;
} tally;

__attribute__((format(printf, 3, 4))) static void check(tally *made, bool same, const char *what, ...)
{
    made->passed += same;
    made->failed += !same;
    if (same || made->failed > 20)
        return;
    va_list values;
    va_start(values, what);
    fputs("FAILED: ", stdout);
    vprintf(what, values);
    fputc('\n', stdout);
    va_end(values);
}

static void require(dist_status status)
{
    if (status >= 0)
        return;
    fprintf(stderr, "%s\n", dist_last_error());
    exit(1);
}

/* Bytes on both sides; those beyond the end on the device must stay as they are. */
enum { GUARD = 64, GUARD_BYTE = 0x5a };

typedef struct buffer {
    uint8_t *host, *device, *back;
    uint64_t bytes;
    uint64_t shift; /* where it begins beyond a multiple of 256 on the device */
} buffer;

static void *allocate(uint64_t bytes)
{
    void *const at = malloc(bytes ? bytes : 1);
    if (!at) {
        fprintf(stderr, "no memory for %llu bytes\n", (unsigned long long)bytes);
        exit(1);
    }
    return at;
}

static buffer buffer_of(uint64_t bytes, uint64_t shift)
{
    buffer made = {.bytes = bytes, .shift = shift};
    made.host = allocate(bytes);
    made.back = allocate(bytes + GUARD);
    memset(made.host, 0, bytes);
    GPU(cudaMalloc((void **)&made.device, shift + bytes + GUARD));
    GPU(cudaMemset(made.device, GUARD_BYTE, shift + bytes + GUARD));
    GPU(cudaDeviceSynchronize()); /* the memset is in no order with streams that do not block */
    made.device += shift;
    return made;
}

static void buffer_free(buffer *b)
{
    GPU(cudaFree(b->device - b->shift));
    free(b->host);
    free(b->back);
}

static void upload(const buffer *b, cudaStream_t stream)
{
    GPU(cudaMemcpyAsync(b->device, b->host, b->bytes, cudaMemcpyHostToDevice, stream));
}

/* Whether the device has what the host has, and nothing was written beyond. */
static bool is_same(const buffer *b, cudaStream_t stream)
{
    GPU(cudaMemcpyAsync(b->back, b->device, b->bytes + GUARD, cudaMemcpyDeviceToHost, stream));
    GPU(cudaStreamSynchronize(stream));
    bool whole = true;
    for (uint64_t i = 0; i < GUARD; i++)
        whole = whole && b->back[b->bytes + i] == GUARD_BYTE;
    return whole && memcmp(b->back, b->host, b->bytes) == 0;
}

static uint64_t size_of(dist_type type)
{
    return type == DIST_FLOAT32 ? 4 : 2;
}

/* 16-bit types get the upper half of the float's bits, or its bits as they come: any pattern will do. */
static void fill(buffer *values, dist_type type, uint64_t count, int kind, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++) {
        const float value = draw_value(&seed, kind);
        uint32_t bits;
        memcpy(&bits, &value, 4);
        const uint16_t upper = (uint16_t)(kind == DATA_BITS ? bits : bits >> 16);
        if (type == DIST_FLOAT32)
            memcpy(values->host + 4 * i, &value, 4);
        else
            memcpy(values->host + 2 * i, &upper, 2);
    }
}

/* One codec with all that an encode of `count` elements needs. */
typedef struct setting {
    dist_codec *codec;
    dist_type type;
    uint64_t count;
    cudaStream_t stream;
    buffer values, feedback, frame, blocks, workspace;
} setting;

static setting setting_of(const char *text, dist_type type, uint64_t count, uint64_t shift,
                          cudaStream_t stream)
{
    setting made = {.type = type, .count = count, .stream = stream};
    require(dist_codec_create(&made.codec, text));
    const bool shorts = strstr(text, "ef=bf16") != NULL;
    made.values = buffer_of(count * size_of(type), shift * size_of(type));
    made.feedback = buffer_of(dist_codec_feedback_bytes(made.codec, count), shift * (shorts ? 2 : 4));
    made.frame = buffer_of(dist_codec_encoded_bytes(made.codec, count), 0);
    made.blocks = buffer_of(sizeof(uint64_t), 0);
    made.workspace = buffer_of(dist_codec_cuda_workspace_bytes(made.codec, count), 0);
    upload(&made.feedback, stream);
    return made;
}

static void setting_free(setting *s)
{
    GPU(cudaStreamSynchronize(s->stream));
    buffer_free(&s->values);
    buffer_free(&s->feedback);
    buffer_free(&s->frame);
    buffer_free(&s->blocks);
    buffer_free(&s->workspace);
    dist_codec_destroy(s->codec);
}

static void *kept_at(const setting *s, bool device)
{
    return s->feedback.bytes ? device ? s->feedback.device : s->feedback.host : NULL;
}

static void encode_on_device(const setting *s, const dist_codec_position *position)
{
    require(dist_codec_cuda_encode(s->codec, s->type, s->values.device, kept_at(s, true), s->count, position,
                                   s->frame.device, (uint64_t *)(void *)s->blocks.device, s->workspace.device,
                                   s->stream));
}

static void encode_on_host(const setting *s, const dist_codec_position *position)
{
    uint64_t blocks;
    require(dist_codec_encode(s->codec, s->type, s->values.host, kept_at(s, false), s->count, position,
                              s->frame.host, &blocks));
    memcpy(s->blocks.host, &blocks, sizeof blocks);
}

static void compare(tally *made, const setting *s, const char *what)
{
    const char *const text = dist_codec_text(s->codec);
    const unsigned long long count = s->count;
    check(made, is_same(&s->frame, s->stream), "%s, type %d, %llu elements, %s: the frame", text,
          (int)s->type, count, what);
    check(made, is_same(&s->feedback, s->stream), "%s, type %d, %llu elements, %s: the feedback", text,
          (int)s->type, count, what);
    check(made, is_same(&s->blocks, s->stream), "%s, type %d, %llu elements, %s: the non-finite blocks", text,
          (int)s->type, count, what);
}

/* Encodes `steps` times on both sides: each step has the feedback of the one before. */
static void check_encode(tally *made, const setting *s, int kind, uint64_t seed, int steps)
{
    char what[60];
    for (int step = 0; step < steps; step++) {
        const dist_codec_position position = {seed + (uint64_t)step, seed % 3 ? seed * 7 : 0,
                                              (uint32_t)(seed % 5)};
        setting filled = *s;
        fill(&filled.values, s->type, s->count, kind, seed * 31 + (uint64_t)step);
        upload(&s->values, s->stream);
        encode_on_device(s, &position);
        encode_on_host(s, &position);
        snprintf(what, sizeof what, "data %d, step %d", kind, step);
        compare(made, s, what);
    }
}

/* Sums of 1 to 4 frames of the codec, with and without adding and dividing, into each type. */
static void check_decode(tally *made, const char *text, uint64_t count, uint64_t seed, cudaStream_t stream)
{
    setting from[MOST_FRAMES];
    const void *host[MOST_FRAMES], *device[MOST_FRAMES];
    for (int f = 0; f < MOST_FRAMES; f++) {
        from[f] = setting_of(text, DIST_FLOAT32, count, 0, stream);
        fill(&from[f].values, DIST_FLOAT32, count, (int)((seed + (uint64_t)f * 4) % DATA_KINDS),
             seed + (uint64_t)f);
        encode_on_host(&from[f], NULL);
        upload(&from[f].frame, stream);
        host[f] = from[f].frame.host;
        device[f] = from[f].frame.device;
    }
    for (int way = 0; way < MOST_FRAMES * 4; way++) {
        const int frames = way / 4 + 1, divisor = way % 2 ? frames + 1 : 1;
        const bool add = way / 2 % 2;
        const dist_type type = types[(seed + (uint64_t)way) % TYPES];
        if (add && (divisor > 1 || frames > 1)) /* the public calls on the CPU add one frame, undivided */
            continue;
        buffer values = buffer_of(count * size_of(type), (uint64_t)(way % 3) * size_of(type));
        fill(&values, type, count, DATA_NORMAL, seed + 99);
        upload(&values, stream);
        require(dist_codec_cuda_decode_sum(from[0].codec, device, frames, divisor, add, type, count,
                                           values.device, stream));
        require(
            add ? dist_codec_decode_add(from[0].codec, host[0], from[0].frame.bytes, type, count, values.host)
                : dist_codec_decode_sum(from[0].codec, host, frames, from[0].frame.bytes, divisor, type,
                                        count, values.host));
        check(made, is_same(&values, stream), "%s, type %d, %llu elements, %d frames / %d, add %d: decoded",
              text, (int)type, (unsigned long long)count, frames, divisor, add);
        buffer_free(&values);
    }
    for (int f = 0; f < MOST_FRAMES; f++)
        setting_free(&from[f]);
}

static void all_codecs(tally *made, bool small, cudaStream_t stream)
{
    uint64_t seed = 0;
    for (int c = 0; c < CODECS; c++) {
        for (int f = 0; f < FEEDBACKS; f++) {
            char text[64];
            snprintf(text, sizeof text, "%s%s", codecs[c], feedbacks[f]);
            for (int i = 0; i < COUNTS; i++) {
                if (small && (counts[i] > 4097 || (uint64_t)i % 3 != seed % 3))
                    continue;
                for (int t = 0; t < (small ? 1 : TYPES); t++, seed++) {
                    setting s =
                        setting_of(text, types[(seed + (uint64_t)t) % TYPES], counts[i], seed % 4, stream);
                    check_encode(made, &s, (int)(seed % DATA_KINDS), seed, 2);
                    setting_free(&s);
                }
            }
            seed++;
        }
        for (int i = small ? COUNTS - 4 : 0; i < COUNTS; i += small ? 2 : 1)
            check_decode(made, codecs[c], counts[i], seed++, stream);
    }
}

/* All 65536 patterns of a 16-bit type, in two arrangements, so that each meets other neighbours. */
static void every_pattern(tally *made, cudaStream_t stream)
{
    for (int c = 0; c < CODECS; c++) {
        for (int t = 1; t < TYPES; t++) {
            for (uint32_t step = 1; step <= 7919; step += 7918) {
                setting s = setting_of(codecs[c], types[t], 65536, 0, stream);
                for (uint32_t i = 0; i < 65536; i++) {
                    const uint16_t bits = (uint16_t)(i * step);
                    memcpy(s.values.host + 2 * i, &bits, 2);
                }
                upload(&s.values, stream);
                encode_on_device(&s, NULL);
                encode_on_host(&s, NULL);
                compare(made, &s, "every pattern");
                setting_free(&s);
            }
        }
    }
}

/* The same inputs twice on the device alone. */
static void runs_agree(tally *made, uint64_t count, cudaStream_t stream)
{
    for (int c = 0; c < CODECS; c++) {
        setting first = setting_of(codecs[c], DIST_FLOAT32, count, 0, stream);
        setting second = setting_of(codecs[c], DIST_FLOAT32, count, 0, stream);
        fill(&first.values, DIST_FLOAT32, count, DATA_FEW, 5);
        memcpy(second.values.host, first.values.host, first.values.bytes);
        upload(&first.values, stream);
        upload(&second.values, stream);
        encode_on_device(&first, NULL);
        encode_on_device(&second, NULL);
        GPU(cudaMemcpyAsync(first.frame.host, first.frame.device, first.frame.bytes, cudaMemcpyDeviceToHost,
                            stream));
        GPU(cudaStreamSynchronize(stream));
        memcpy(second.frame.host, first.frame.host, first.frame.bytes);
        check(made, is_same(&second.frame, stream), "%s: two runs differ", codecs[c]);
        setting_free(&first);
        setting_free(&second);
    }
}

/* Two codecs at once, each in order on its own stream. */
static void streams_at_once(tally *made, uint64_t count)
{
    cudaStream_t streams[2];
    setting s[2];
    for (int i = 0; i < 2; i++)
        GPU(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
    for (int c = 0; c < CODECS; c++) {
        for (int i = 0; i < 2; i++) {
            s[i] = setting_of(codecs[(c + i * 7) % CODECS], DIST_FLOAT32, count, 0, streams[i]);
            fill(&s[i].values, DIST_FLOAT32, count, DATA_HEAVY, (uint64_t)(c * 2 + i));
            upload(&s[i].values, streams[i]);
        }
        for (uint64_t step = 0; step < 6; step++) {
            const dist_codec_position position = {.step = step};
            for (int i = 0; i < 2; i++)
                encode_on_device(&s[i], &position);
        }
        for (uint64_t step = 0; step < 6; step++) {
            const dist_codec_position position = {.step = step};
            for (int i = 0; i < 2; i++)
                encode_on_host(&s[i], &position);
        }
        for (int i = 0; i < 2; i++) {
            compare(made, &s[i], "two streams");
            setting_free(&s[i]);
        }
    }
    for (int i = 0; i < 2; i++)
        GPU(cudaStreamDestroy(streams[i]));
}

/* 64 Mi elements, as a model's gradients are: no 32-bit number of bytes is enough. */
static void large_frames(tally *made, cudaStream_t stream)
{
    static const char *const large[] = {"bf16",      "int8:ef=fp32", "int4",  "int4:hadamard:ef=fp32",
                                        "mxfp8",     "mxfp4",        "nvfp4", "topk:density=0.01",
                                        "sparseloco"};
    for (size_t c = 0; c < sizeof large / sizeof *large; c++) {
        setting s = setting_of(large[c], DIST_FLOAT32, (uint64_t)64 << 20, 0, stream);
        check_encode(made, &s, DATA_NORMAL, c, 1);
        buffer values = buffer_of(s.count * 4, 0);
        const void *const frame = s.frame.device;
        upload(&s.frame, stream);
        require(dist_codec_cuda_decode_sum(s.codec, &frame, 1, 1, false, DIST_FLOAT32, s.count, values.device,
                                           stream));
        require(dist_codec_decode(s.codec, s.frame.host, s.frame.bytes, DIST_FLOAT32, s.count, values.host));
        check(made, is_same(&values, stream), "%s, 64 Mi elements: decoded", large[c]);
        buffer_free(&values);
        setting_free(&s);
    }
}

int main(int arguments, char **argument)
{
    bool small = false;
    const char *json = NULL;
    for (int a = 1; a < arguments; a++) {
        small = small || strcmp(argument[a], "--small") == 0;
        json = strcmp(argument[a], "--json") == 0 && a + 1 < arguments ? argument[a + 1] : json;
    }
    if (dist_codec_cuda_available() < 0) {
        printf("skipped: %s\n", dist_last_error());
        return 77;
    }
    tally made = {0, 0};
    cudaStream_t stream;
    GPU(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    all_codecs(&made, small, stream);
    runs_agree(&made, small ? 5003 : 1000003, stream);
    streams_at_once(&made, small ? 5003 : 300007);
    if (!small) {
        every_pattern(&made, NULL); /* on the default stream */
        large_frames(&made, stream);
    }
    GPU(cudaStreamDestroy(stream));
    printf("%llu comparisons are equal, %llu are not\n", (unsigned long long)made.passed,
           (unsigned long long)made.failed);
    if (json) {
        FILE *const file = fopen(json, "w");
        if (!file ||
            fprintf(file, "{\"passed\": %llu, \"failed\": %llu}\n", (unsigned long long)made.passed,
                    (unsigned long long)made.failed) < 0 ||
            fclose(file) != 0) {
            perror(json);
            return 1;
        }
    }
    return made.failed || !made.passed ? 1 : 0;
}
