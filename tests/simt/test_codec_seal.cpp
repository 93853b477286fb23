/* The kernel that completes frames, on payloads of any bytes: header, gaps and checksum as the definition has them. */
#include "codec_run.h"

#include "kernels/codec_seal.cu"

namespace first_missing
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 1
#include "kernels/codec_seal.cu"
} // namespace first_missing
namespace second_missing
{
#undef DIST_PLANT_MISSING_BARRIER
#define DIST_PLANT_MISSING_BARRIER 2
#include "kernels/codec_seal.cu"
} // namespace second_missing

extern "C" {
#include "codec/crc32c.h"
}

/* The sections filled with anything, sealed as the definition says. */
static region sealed_as_defined(const region &filled, dist_coding coding, uint64_t count,
                                dist_frame_header header)
{
    region frame(filled, 0);
    const dist_layout layout = dist_layout_of(coding, count);
    for (int s = 1; s < DIST_SECTIONS; s++) {
        for (uint64_t i = layout.at[s - 1] + dist_section_bytes(coding, s - 1, count); i < layout.at[s]; i++)
            frame.data[i] = 0;
    }
    header.crc = dist_crc32c(0, &header, offsetof(dist_frame_header, crc));
    header.crc = dist_crc32c(header.crc, frame.data + DIST_FRAME_HEADER, frame.bytes - DIST_FRAME_HEADER);
    memcpy(frame.data, &header, sizeof header);
    return frame;
}

static bool seals(encode_launcher seal, const dist_codec &codec, uint64_t count, uint64_t nonfinite,
                  const simt::named_order &order)
{
    const dist_coding coding = dist_codec_coding(&codec, count);
    const region frame(dist_codec_bytes(&codec, count));
    inputs::stream draw = {count + nonfinite};
    for (uint64_t i = 0; i < frame.bytes; i++)
        frame.data[i] = static_cast<uint8_t>(inputs::draw_bits(&draw));
    dist_frame_header header = {};
    header.magic = DIST_FRAME_MAGIC;
    header.version = DIST_FRAME_VERSION;
    header.codec = static_cast<uint8_t>(codec.kind);
    header.flags = static_cast<uint16_t>((nonfinite ? 1 : 0) | (codec.stochastic ? 2 : 0));
    header.block = codec.block;
    header.count = count;
    header.kept = coding.kept;
    if (codec.kind == DIST_CODEC_INT4_HADAMARD)
        header.seed = dist_random_at(dist_random_key_of(codec.seed, 3, 0), 1024) ^ 0x9e3779b9u;
    uint64_t said = 99;
    dist_cuda_work work = {};
    work.nonfinite = nonfinite;
    dist_cuda_encode encode = {};
    encode.coding = coding;
    encode.count = count;
    encode.seed = codec.seed;
    encode.step = 3;
    encode.first = 1024;
    encode.stochastic = codec.stochastic;
    encode.frame = frame.data;
    encode.workspace = &work;
    encode.nonfinite = nonfinite % 2 ? nullptr : &said;
    const region wanted = sealed_as_defined(frame, coding, count, header);
    simt::set_order(order.by, order.seed + count);
    assert_int_equal(seal(&encode, nullptr), cudaSuccess);
    return wanted == frame && said == (nonfinite % 2 ? 99 : nonfinite);
}

static const char *const codecs[] = {"none",
                                     "bf16:sr",
                                     "fp16",
                                     "int8",
                                     "int8:block=16:sr",
                                     "int4",
                                     "int4:hadamard",
                                     "mxfp8",
                                     "mxfp4",
                                     "nvfp4",
                                     "topk:density=0.01",
                                     "sparseloco",
                                     "int4:sr:hadamard"};

static void completes_every_frame(void **)
{
    for (const char *text : codecs) {
        const dist_codec codec = scalar_codec(text);
        for (uint64_t count = 0; count < 70; count++) {
            if (!seals(dist_launch_seal, codec, count, count % 3, simt::orders[count % 4]))
                fail_msg("%s, %llu elements", text, static_cast<unsigned long long>(count));
        }
        for (uint64_t count : {255u, 256u, 257u, 1023u, 1024u, 1025u, 4097u, 16384u, 20011u, 65537u}) {
            if (!seals(dist_launch_seal, codec, count, count % 2, simt::orders[count % 4]))
                fail_msg("%s, %llu elements", text, static_cast<unsigned long long>(count));
        }
    }
}

/* More than one round of all threads. */
static void completes_a_long_frame(void **)
{
    const uint64_t floats = 3 * 512 * 256 * 4 + 4 * 77 + 3;
    assert_true(seals(dist_launch_seal, scalar_codec("none"), floats, 0, simt::orders[2]));
    assert_true(seals(dist_launch_seal, scalar_codec("int8"), 512 * 256 * 16, 0, simt::orders[1]));
}

/* The test of the test. */
static void a_missing_barrier_is_found(void **)
{
    const encode_launcher launchers[] = {first_missing::dist_launch_seal, second_missing::dist_launch_seal};
    const dist_codec codec = scalar_codec("int8");
    for (unsigned i = 0; i < 2; i++) {
        unsigned found = 0;
        for (const simt::named_order &order : simt::orders) {
            for (uint64_t count = 20000; count < 20004; count++)
                found += !seals(launchers[i], codec, count, 0, order);
        }
        print_message("without barrier %u: wrong in %u of 16\n", i + 1, found);
        assert_true(found > 0);
    }
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(completes_every_frame),
        cmocka_unit_test(completes_a_long_frame),
        cmocka_unit_test(a_missing_barrier_is_found),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
