#include "codec/payload.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "codec/names.h"
#include "kernels/quantize.h"
#include "kernels/scale.h"
#include "kernels/sparse.h"

typedef struct payload {
    const dist_sections *sections;
    uint64_t first, n; /* elements */
    dist_payload_faults *faults;
} payload;

static void fault(const payload *p, uint64_t element, const char *what)
{
    if (p->faults->what)
        return;
    p->faults->what = what;
    p->faults->element = element;
}

/* Plain loops, so that compilers make vectors of them. */
static bool any_byte(const uint8_t *code, uint64_t n, uint8_t mask, uint8_t bad)
{
    uint8_t any = 0;
    for (uint64_t i = 0; i < n; i++)
        any |= (code[i] & mask) == bad;
    return any;
}

static bool any_bit(const uint8_t *code, uint64_t n)
{
    uint8_t any = 0;
    for (uint64_t i = 0; i < n; i++)
        any |= code[i];
    return any;
}

static const uint8_t *section(const payload *p, int s)
{
    return dist_section_from(p->sections, s, p->first);
}

/* Bytes of a section that these elements have. */
static uint64_t section_bytes(const payload *p, int s)
{
    return dist_section_bytes(p->sections->coding, s, p->first + p->n) -
           dist_section_bytes(p->sections->coding, s, p->first);
}

/* Codes of a block that has none to say: its scale is 0 or NaN. */
static void check_silent(const payload *p, int s, uint64_t block)
{
    const dist_coding coding = p->sections->coding;
    const uint64_t begin = p->first + block * coding.block;
    const uint64_t end = p->first + p->n - begin < coding.block ? p->first + p->n : begin + coding.block;
    const uint64_t from = dist_section_bytes(coding, s, begin), to = dist_section_bytes(coding, s, end);
    if (any_bit(p->sections->frame + p->sections->layout.at[s] + from, to - from))
        fault(p, begin, "a block with scale 0 or NaN has codes");
}

typedef enum scale_state { SCALE_SPEAKS, SCALE_ZERO, SCALE_NAN, SCALE_WRONG } scale_state;

static scale_state state_of(uint32_t bits, uint32_t infinity, uint32_t nan)
{
    if (bits == 0)
        return SCALE_ZERO;
    if (bits < infinity)
        return SCALE_SPEAKS;
    return bits == nan ? SCALE_NAN : SCALE_WRONG;
}

static scale_state float_state(const uint8_t *scales, uint64_t b)
{
    uint32_t bits;
    memcpy(&bits, scales + 4 * b, 4);
    return state_of(bits, DIST_INFINITY_BITS, DIST_NAN_BITS);
}

/* Beyond what a peak of FLT_MAX gives, 127 scales would be infinite. */
static scale_state int8_state(const uint8_t *scales, uint64_t b)
{
    uint32_t bits;
    memcpy(&bits, scales + 4 * b, 4);
    return state_of(bits, DIST_SCALE8_MOST + 1, DIST_NAN_BITS);
}

static scale_state half_state(const uint8_t *scales, uint64_t b)
{
    uint16_t bits;
    memcpy(&bits, scales + 2 * b, 2);
    return state_of(bits, DIST_HALF_INFINITY, DIST_HALF_NAN);
}

static scale_state e4m3_state(const uint8_t *scales, uint64_t b)
{
    return state_of(scales[b], DIST_E4M3_NAN, DIST_E4M3_NAN);
}

static scale_state mxfp8_state(const uint8_t *scales, uint64_t b)
{
    return scales[b] <= DIST_MXFP8_MOST ? SCALE_SPEAKS : scales[b] == 0xff ? SCALE_NAN : SCALE_WRONG;
}

static scale_state mxfp4_state(const uint8_t *scales, uint64_t b)
{
    return scales[b] <= DIST_MXFP4_MOST ? SCALE_SPEAKS : scales[b] == 0xff ? SCALE_NAN : SCALE_WRONG;
}

static inline void check_scales(const payload *p, int scales, int codes,
                                scale_state (*state)(const uint8_t *, uint64_t))
{
    const uint32_t block = p->sections->coding.block;
    const uint8_t *at = section(p, scales);
    p->faults->counts_nonfinite = true;
    for (uint64_t b = 0; b * block < p->n; b++) {
        switch (state(at, b)) {
        case SCALE_SPEAKS:
            continue;
        case SCALE_WRONG:
            fault(p, p->first + b * block, "a scale that no encoder writes");
            continue;
        case SCALE_NAN:
            p->faults->nonfinite++;
            break;
        case SCALE_ZERO:
            break;
        }
        check_silent(p, codes, b);
    }
}

/* The unused half of a last byte. */
static void check_spare(const payload *p, int s)
{
    if (p->n % 2 && section(p, s)[p->n / 2] >> 4)
        fault(p, p->first + p->n - 1, "the unused half of the last byte is not 0");
}

static void check_int8(const payload *p)
{
    check_scales(p, 0, 1, int8_state);
    if (any_byte(section(p, 1), section_bytes(p, 1), 0xff, 0x80))
        fault(p, p->first, "a code is -128");
}

static void check_int4(const payload *p)
{
    check_scales(p, 0, 1, half_state);
    if (any_byte(section(p, 1), section_bytes(p, 1), 0x0f, 0x08) ||
        any_byte(section(p, 1), section_bytes(p, 1), 0xf0, 0x80))
        fault(p, p->first, "a code is -8");
    check_spare(p, 1);
}

static void check_hadamard(const payload *p)
{
    check_scales(p, 0, 1, float_state);
}

static void check_mxfp8(const payload *p)
{
    check_scales(p, 0, 1, mxfp8_state);
    if (any_byte(section(p, 1), section_bytes(p, 1), 0x7f, DIST_E4M3_NAN))
        fault(p, p->first, "a code is NaN");
}

static void check_mxfp4(const payload *p)
{
    check_scales(p, 0, 1, mxfp4_state);
    check_spare(p, 1);
}

/* Where the frame's scale is subnormal, that of a block may be 0 though its E4M3 is not. */
static void check_underflow(const payload *p, float global)
{
    const uint8_t *scales = section(p, 1);
    for (uint64_t b = 0; b * p->sections->coding.block < p->n; b++)
        if (dist_nvfp4_block_scale(scales[b], global) == 0.0f)
            check_silent(p, 2, b);
}

static void check_nvfp4(const payload *p)
{
    const scale_state global = float_state(section(p, 0), 0);
    float scale;
    memcpy(&scale, section(p, 0), 4);
    if ((global != SCALE_SPEAKS && global != SCALE_ZERO) || scale > DIST_NVFP4_GLOBAL_MAX)
        fault(p, p->first, "the frame's scale is one that no encoder writes");
    check_scales(p, 1, 2, e4m3_state);
    if (scale < 0x1p-126f)
        check_underflow(p, scale);
    check_spare(p, 2);
}

static uint32_t word_at(const uint8_t *words, uint64_t i)
{
    uint32_t word;
    memcpy(&word, words + 4 * i, 4);
    return word;
}

/* All of it at once: its indices do not lie by element. */
static void check_topk(const payload *p)
{
    const uint32_t kept = p->sections->coding.kept;
    const uint8_t *index = section(p, 0), *value = section(p, 1);
    p->faults->counts_nonfinite = true;
    for (uint64_t i = 0; p->first == 0 && i < kept; i++) {
        const uint32_t at = word_at(index, i), bits = word_at(value, i);
        if (at >= p->sections->count)
            fault(p, at, "an index lies beyond the end");
        if (i > 0 && at <= word_at(index, i - 1))
            fault(p, at, "indices do not rise");
        if ((bits & 0x7fffffffu) > DIST_INFINITY_BITS && bits != DIST_NAN_BITS)
            fault(p, at, "a NaN that no encoder writes");
        p->faults->nonfinite += (bits & 0x7fffffffu) >= DIST_INFINITY_BITS;
    }
}

/* The places of one chunk: indices rise until they are 0 for the rest, where codes are 0 too. */
static void check_chunk(const payload *p, uint64_t begin, uint64_t n, bool silent, bool only_hi)
{
    const dist_coding coding = p->sections->coding;
    const uint8_t *index = dist_section_from(p->sections, 1, begin),
                  *code = dist_section_from(p->sections, 2, begin);
    const uint32_t kept = dist_sparse_kept(n);
    uint32_t used = silent ? 0 : 1;
    while (used && used < kept && dist_sparse_index(index, used) > dist_sparse_index(index, used - 1))
        used++;
    for (uint32_t i = 0; i < used; i++) {
        if (dist_sparse_index(index, i) >= n)
            fault(p, begin, "an index lies beyond the end of its chunk");
        if (only_hi && !(dist_sparse_code(code, i) & 1u))
            fault(p, begin, "a code sends lo, which is 0");
    }
    for (uint32_t i = used; i < kept; i++)
        if (dist_sparse_index(index, i) || dist_sparse_code(code, i))
            fault(p, begin, silent ? "a block with scale 0 or NaN has codes" : "indices do not rise");
    const uint64_t indices = dist_section_bytes(coding, 1, begin + n) - dist_section_bytes(coding, 1, begin);
    const uint64_t codes = dist_section_bytes(coding, 2, begin + n) - dist_section_bytes(coding, 2, begin);
    if ((kept % 2 && index[indices - 1] >> 4) || (kept % 4 && code[codes - 1] >> 2 * (kept % 4)))
        fault(p, begin, "the unused bits of a chunk are not 0");
}

/* lo and hi. A middle one is not above the largest, and both are NaN together. */
static scale_state levels_state(const uint8_t *scales, uint64_t b)
{
    uint16_t level[2];
    memcpy(level, scales + 4 * b, 4);
    const scale_state hi = state_of(level[1], DIST_HALF_INFINITY, DIST_HALF_NAN);
    return hi == SCALE_SPEAKS     ? (level[0] <= level[1] ? hi : SCALE_WRONG)
           : level[0] == level[1] ? hi
                                  : SCALE_WRONG;
}

static void check_sparseloco(const payload *p)
{
    p->faults->counts_nonfinite = true;
    for (uint64_t b = 0, begin = 0; begin < p->n; b++, begin += DIST_SPARSE_CHUNK) {
        const uint8_t *levels = section(p, 0);
        const scale_state state = levels_state(levels, b);
        const bool only_hi = !levels[4 * b] && !levels[4 * b + 1]; /* lo is 0 */
        if (state == SCALE_WRONG)
            fault(p, p->first + begin, "a scale that no encoder writes");
        p->faults->nonfinite += state == SCALE_NAN;
        check_chunk(p, p->first + begin, p->n - begin < DIST_SPARSE_CHUNK ? p->n - begin : DIST_SPARSE_CHUNK,
                    state != SCALE_SPEAKS, only_hi);
    }
}

/* What can be told of each codec. Any bits are a value of none, bf16 and fp16. */
static const struct rule {
    void (*check)(const payload *p);
    unsigned least_block, most_block;
    bool stochastic;
} rule[DIST_CODEC_KINDS] = {
    [DIST_CODEC_NONE] = {NULL, 1, 1, false},
    [DIST_CODEC_BF16] = {NULL, 1, 1, true},
    [DIST_CODEC_FP16] = {NULL, 1, 1, false},
    [DIST_CODEC_INT8] = {check_int8, 16, 4096, true},
    [DIST_CODEC_INT4] = {check_int4, 16, 4096, true},
    [DIST_CODEC_INT4_HADAMARD] = {check_hadamard, 16, 4096, true},
    [DIST_CODEC_MXFP8] = {check_mxfp8, 32, 32, false},
    [DIST_CODEC_MXFP4] = {check_mxfp4, 32, 32, false},
    [DIST_CODEC_NVFP4] = {check_nvfp4, 16, 16, false},
    [DIST_CODEC_TOPK] = {check_topk, 1, 1, false},
    [DIST_CODEC_SPARSELOCO] = {check_sparseloco, DIST_SPARSE_CHUNK, DIST_SPARSE_CHUNK, false},
};

void dist_payload_check(const dist_sections *sections, uint64_t first, uint64_t n,
                        dist_payload_faults *faults)
{
    const payload p = {.sections = sections, .first = first, .n = n, .faults = faults};
    if (rule[sections->coding.kind].check && n > 0)
        rule[sections->coding.kind].check(&p);
}

dist_status dist_payload_codec(const dist_frame_header *header, dist_codec *codec)
{
    if (header->codec >= DIST_CODEC_POWERSGD)
        return dist_fail(DIST_ERR_FRAME,
                         "the frame was written by codec number %u, which this library does not know",
                         header->codec);
    const struct rule *r = &rule[header->codec];
    const unsigned block = header->block;
    if (block < r->least_block || block > r->most_block || (block & (block - 1)) != 0)
        return dist_fail(DIST_ERR_FRAME, "the frame has blocks of %u elements, which its codec cannot have",
                         block);
    if (header->flags & DIST_FRAME_STOCHASTIC && !r->stochastic)
        return dist_fail(DIST_ERR_FRAME,
                         "the frame is said to be rounded stochastically, which its codec cannot do");
    if (header->count > DIST_CODEC_MAX_COUNT)
        return dist_fail(DIST_ERR_FRAME, "the frame has %" PRIu64 " elements, more than any memory holds",
                         header->count);
    const bool topk = header->codec == DIST_CODEC_TOPK;
    if (topk ? header->kept > header->count || (header->kept == 0) != (header->count == 0)
             : header->kept != 0)
        return dist_fail(DIST_ERR_FRAME, "the frame keeps %u of %" PRIu64 " elements", header->kept,
                         header->count);
    if (topk && header->count > UINT32_MAX)
        return dist_fail(DIST_ERR_FRAME, "the frame has %" PRIu64 " elements, topk sends 32 bits of an index",
                         header->count);
    if (header->seed && header->codec != DIST_CODEC_INT4_HADAMARD)
        return dist_fail(DIST_ERR_FRAME, "the frame has a seed, but only int4:hadamard has one");
    codec->kind = (dist_codec_kind)header->codec;
    codec->feedback = dist_codec_names[header->codec].feedback;
    codec->block = block;
    codec->stochastic = header->flags & DIST_FRAME_STOCHASTIC;
    codec->density = topk && header->count ? (double)header->kept / (double)header->count : 1;
    return DIST_OK;
}
