/* Frames that nobody encoded, for every decoder.
 *
 * An input is a byte that picks the codec, one of options, two of a count, and the bytes of a frame. What must
 * hold: a refused frame leaves the output alone; an accepted one decodes to the same bits with scalars and
 * vectors, alone and in sums, and to finite values unless it says otherwise; nothing is read or written out of
 * bounds, which a sanitizer sees because frames and outputs end where their memory ends.
 */
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/crc32c.h"
#include "codec/names.h"

enum { PREFIX = 4, COUNT_MOST = 4096 + 200, FRAME_MOST = DIST_FUZZ_ROOM, CANARY = 0xc5 };

/* Options: what is put right in a frame, so that mutations reach what is behind it. */
enum {
    REPAIR_CRC = 1,
    REPAIR_HEADER = 2,
    TYPE_SHIFT = 2,
    REPAIR_SIZE = 16,
    REPAIR_FLAG = 32,
    READ_HEADER = 128
};

static const char *const texts[] = {
    "none",
    "bf16",
    "bf16:sr",
    "fp16",
    "int8:block=16",
    "int8",
    "int8:block=32:sr",
    "int4:block=16",
    "int4",
    "int4:block=64:sr",
    "int4:block=16:hadamard",
    "int4:block=64:sr:hadamard",
    "int4:hadamard",
    "mxfp8",
    "mxfp4",
    "nvfp4",
    "topk:density=0.1",
    "topk:density=1",
    "topk:density=0.5",
    "sparseloco",
};
enum { TEXTS = sizeof texts / sizeof *texts };

const char *dist_fuzz_subject(unsigned subject)
{
    static const char *const names[] = {"none",  "bf16",  "fp16",  "int8", "int4",      "int4:hadamard",
                                        "mxfp8", "mxfp4", "nvfp4", "topk", "sparseloco"};
    return subject < sizeof names / sizeof *names ? names[subject] : NULL;
}

static dist_codec *codec_of(unsigned text, dist_simd simd)
{
    static dist_codec codecs[TEXTS][2];
    static bool made;
    for (unsigned t = 0; t < TEXTS && !made; t++) {
        FUZZ_REQUIRE(dist_codec_parse(texts[t], DIST_SIMD_AUTO, &codecs[t][0]) == DIST_OK);
        FUZZ_REQUIRE(dist_codec_parse(texts[t], DIST_SIMD_SCALAR, &codecs[t][1]) == DIST_OK);
    }
    made = true;
    return &codecs[text % TEXTS][simd == DIST_SIMD_SCALAR];
}

/* The end of `memory`, so many bytes before it. */
static uint8_t *at_end(uint8_t **memory, uint64_t room, uint64_t bytes)
{
    if (!*memory)
        *memory = malloc(room);
    FUZZ_REQUIRE(*memory && bytes <= room);
    return *memory + room - bytes;
}

typedef struct mutant {
    const dist_codec *codec, *scalar;
    dist_type type;
    uint64_t count;
    uint8_t *frame;
    uint64_t bytes;
} mutant;

static uint64_t element_bytes(dist_type type)
{
    return type == DIST_FLOAT32 ? 4 : 2;
}

/* An output of its own for each use, filled with `fill`. */
static void *output(const mutant *m, unsigned use, int fill)
{
    static uint8_t *memory[6];
    const uint64_t bytes = m->count * element_bytes(m->type);
    uint8_t *out = at_end(&memory[use], COUNT_MOST * 4, bytes);
    memset(out, fill, bytes);
    return out;
}

static void repair(const mutant *m, unsigned options)
{
    dist_frame_header header;
    const dist_coding coding = dist_codec_coding(m->codec, m->count);
    if (m->bytes < sizeof header)
        return;
    memcpy(&header, m->frame, sizeof header);
    if (options & REPAIR_HEADER) {
        header.magic = DIST_FRAME_MAGIC;
        header.version = DIST_FRAME_VERSION;
        header.codec = (uint8_t)coding.kind;
        header.flags &= m->codec->stochastic ? 3 : 1;
        header.block = coding.block;
        header.count = m->count;
        header.kept = coding.kept;
        header.seed = coding.kind == DIST_CODEC_INT4_HADAMARD ? header.seed : 0;
    }
    if (options & REPAIR_FLAG)
        header.flags ^= DIST_FRAME_NONFINITE;
    if (options & REPAIR_CRC) {
        header.crc = dist_crc32c(0, &header, offsetof(dist_frame_header, crc));
        header.crc = dist_crc32c(header.crc, m->frame + sizeof header, m->bytes - sizeof header);
    }
    memcpy(m->frame, &header, sizeof header);
}

static bool is_finite(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

static void check_refused(const mutant *m, void *out)
{
    static uint8_t canary[4 * COUNT_MOST];
    const uint64_t bytes = m->count * element_bytes(m->type);
    memset(canary, CANARY, canary[0] == CANARY ? 0 : sizeof canary);
    FUZZ_REQUIRE(memcmp(out, canary, bytes) == 0);
    FUZZ_REQUIRE(dist_codec_decode_add(m->codec, m->frame, m->bytes, m->type, m->count, out) ==
                 DIST_ERR_FRAME);
    FUZZ_REQUIRE(memcmp(out, canary, bytes) == 0);
    FUZZ_REQUIRE(dist_last_error()[0] != 0);
}

/* Both tables give the same bits, and sums of two frames are what decoding and adding gives. */
static void check_same(const mutant *m, const void *out)
{
    const uint64_t bytes = m->count * element_bytes(m->type);
    const void *const twice[2] = {m->frame, m->frame};
    void *scalar = output(m, 1, 0), *added = output(m, 2, 0), *scalar_added = output(m, 3, 0),
         *sum = output(m, 4, 0);
    FUZZ_REQUIRE(dist_codec_decode(m->scalar, m->frame, m->bytes, m->type, m->count, scalar) == DIST_OK);
    FUZZ_REQUIRE(memcmp(out, scalar, bytes) == 0);
    memcpy(added, out, bytes);
    memcpy(scalar_added, out, bytes);
    FUZZ_REQUIRE(dist_codec_decode_add(m->codec, m->frame, m->bytes, m->type, m->count, added) == DIST_OK);
    FUZZ_REQUIRE(dist_codec_decode_add(m->scalar, m->frame, m->bytes, m->type, m->count, scalar_added) ==
                 DIST_OK);
    FUZZ_REQUIRE(memcmp(added, scalar_added, bytes) == 0);
    FUZZ_REQUIRE(dist_codec_decode_sum(m->codec, twice, 2, m->bytes, 1, m->type, m->count, sum) == DIST_OK);
    FUZZ_REQUIRE(m->type != DIST_FLOAT32 || memcmp(added, sum, bytes) == 0);
}

static void check_accepted(const mutant *m, const void *out)
{
    dist_codec_frame info;
    double bound = -1;
    FUZZ_REQUIRE(dist_codec_frame_read(m->frame, m->bytes, &info) == DIST_OK);
    FUZZ_REQUIRE(info.count == m->count && info.bytes == m->bytes);
    FUZZ_REQUIRE(dist_codec_error_bound(m->codec, m->frame, m->bytes, m->count, &bound) == DIST_OK);
    FUZZ_REQUIRE(bound >= 0);
    /* Any bits are a value of none, bf16 and fp16, whatever the flag says. */
    const bool told = info.nonfinite || m->codec->kind <= DIST_CODEC_FP16;
    for (uint64_t i = 0; i < m->count && m->type == DIST_FLOAT32 && !told; i++)
        FUZZ_REQUIRE(is_finite(((const float *)out)[i]));
    check_same(m, out);
}

/* A header is read before anybody knows whether the rest is right; the codec it names can be made. */
static void check_header(const mutant *m)
{
    dist_codec_frame info;
    dist_codec *named;
    if (dist_codec_frame_read(m->frame, m->bytes, &info) != DIST_OK)
        return;
    FUZZ_REQUIRE(dist_codec_create(&named, info.codec) == DIST_OK);
    FUZZ_REQUIRE(dist_codec_encoded_bytes(named, info.count) == info.bytes);
    dist_codec_destroy(named);
}

dist_fuzz_result dist_fuzz_one(const uint8_t *data, size_t size)
{
    static const dist_type types[] = {DIST_FLOAT32, DIST_FLOAT32, DIST_BFLOAT16, DIST_FLOAT16};
    static uint8_t *memory;
    if (size < PREFIX || size > FRAME_MOST)
        return (dist_fuzz_result){0, 0};
    const unsigned options = data[1];
    mutant m = {codec_of(data[0], DIST_SIMD_AUTO),
                codec_of(data[0], DIST_SIMD_SCALAR),
                types[options >> TYPE_SHIFT & 3],
                (data[2] | (uint64_t)data[3] << 8) % COUNT_MOST,
                NULL,
                size - PREFIX};
    const uint64_t right = dist_codec_bytes(m.codec, m.count);
    m.bytes = options & REPAIR_SIZE && right <= FRAME_MOST ? right : m.bytes;
    m.frame = at_end(&memory, FRAME_MOST, m.bytes);
    memset(m.frame, 0, m.bytes);
    memcpy(m.frame, data + PREFIX, m.bytes < size - PREFIX ? m.bytes : size - PREFIX);
    repair(&m, options);
    void *out = output(&m, 0, CANARY);
    const dist_status status = dist_codec_decode(m.codec, m.frame, m.bytes, m.type, m.count, out);
    FUZZ_REQUIRE(status == DIST_OK || status == DIST_ERR_FRAME);
    if (status == DIST_OK)
        check_accepted(&m, out);
    else
        check_refused(&m, out);
    if (options & READ_HEADER)
        check_header(&m);
    return (dist_fuzz_result){(unsigned)m.codec->kind, status == DIST_OK};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dist_fuzz_one(data, size);
    return 0;
}

static float value_of(uint64_t *draw, uint32_t how)
{
    const uint32_t bits = fuzz_draw(draw), sign = bits & 0x80000000u;
    const float unit = (float)(int32_t)bits * 0x1p-31f;
    uint32_t pattern = sign;
    float value;
    switch (how) {
    case 0:
        pattern |= fuzz_draw(draw) % 9 ? 0x3f800000u : 0x7f800000u | fuzz_draw(draw) % 2 << 22;
        break;
    case 1:
        pattern |= 0x7f7fffffu - fuzz_draw(draw) % 0x2000000u;
        break;
    case 2:
        pattern |= fuzz_draw(draw) % 0x1000000u;
        break;
    case 3:
        pattern = bits % 3 ? sign : bits;
        break;
    default:
        return how == 4 && bits % 16 ? unit * 1e-3f : unit;
    }
    memcpy(&value, &pattern, 4);
    return value;
}

/* Small frames are many a second; now and then whole chunks and blocks. */
static uint64_t count_of(uint64_t *draw, dist_codec_kind kind)
{
    const uint32_t bits = fuzz_draw(draw);
    if (bits % 256 == 0 && kind == DIST_CODEC_SPARSELOCO)
        return 4095 + (bits >> 8) % 3 * 100;
    if (bits % 256 == 0)
        return 1023 + (bits >> 8) % 3;
    if (kind == DIST_CODEC_SPARSELOCO)
        return 1 + (bits >> 8) % 400;
    return 1 + (bits >> 8) % 70;
}

size_t dist_fuzz_seed(unsigned subject, uint64_t draw, uint8_t input[DIST_FUZZ_ROOM])
{
    static float values[COUNT_MOST];
    unsigned text = fuzz_draw(&draw) % TEXTS;
    while (codec_of(text, DIST_SIMD_AUTO)->kind != (dist_codec_kind)subject)
        text = (text + 1) % TEXTS;
    const dist_codec *codec = codec_of(text, DIST_SIMD_AUTO);
    uint64_t count = count_of(&draw, codec->kind);
    if (dist_codec_bytes(codec, count) > DIST_FUZZ_ROOM - PREFIX)
        count = 64;
    const uint32_t how = fuzz_draw(&draw) % 8;
    for (uint64_t i = 0; i < count; i++)
        values[i] = value_of(&draw, how);
    const uint64_t bytes = dist_codec_bytes(codec, count);
    const dist_codec_position position = {fuzz_draw(&draw), fuzz_draw(&draw), fuzz_draw(&draw)};
    FUZZ_REQUIRE(dist_codec_encode(codec, DIST_FLOAT32, values, NULL, count, &position, input + PREFIX,
                                   NULL) == DIST_OK);
    FUZZ_REQUIRE(dist_codec_check(codec, input + PREFIX, bytes, count) == DIST_OK);
    const uint32_t options = fuzz_draw(&draw);
    input[0] = (uint8_t)text;
    input[1] = (uint8_t)((options & 7 ? REPAIR_CRC : 0) | (options & 8 ? REPAIR_HEADER : 0) |
                         (options & 0x30) >> 2 | (options & 0x300 ? 0 : REPAIR_SIZE) |
                         (options & 0x1c00 ? 0 : REPAIR_FLAG) | (options & 0xe000 ? 0 : READ_HEADER));
    input[2] = (uint8_t)count;
    input[3] = (uint8_t)(count >> 8);
    return PREFIX + bytes;
}
