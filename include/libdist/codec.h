/* Codecs: fewer bytes across a slow link.
 *
 * A codec is named by a string that serves the API, the environment and the command line alike. Bytes are for
 * each element; e is the error feedback that is on unless said otherwise.
 *
 *     string                        bytes      e     an element is sent as
 *     none                          4          none  float32
 *     bf16[:sr]                     2          none  bfloat16
 *     fp16                          2          none  float16
 *     int8[:block=N][:sr]           1 + 4/N    none  q * scale, |q| <= 127; N elements (256) share a float32 scale
 *     int4[:block=N][:sr]           .5 + 2/N   fp32  q * scale, |q| <= 7; N elements (32) share a float16 scale
 *     int4[:block=N][:sr]:hadamard  .5 + 4/N   none  one of 16 centroids * scale, N elements (1024) rotated together
 *     mxfp8                         1 + 1/32   none  E4M3 * 2^x; 32 elements share x (OCP MX, E8M0)
 *     mxfp4                         .5 + 1/32  fp32  E2M1 * 2^x; 32 elements share x
 *     nvfp4                         .5 + 1/16  fp32  E2M1 * scale; 16 elements share E4M3, a frame a float32 scale
 *     topk:density=D[:dense=S]      8 D        fp32  the ceil(D count) largest of a frame as float32, others as 0
 *     sparseloco[:dense=S]          .028       fp32  up to 64 of the largest in 4096 as +-lo or +-hi, others as 0
 *     powersgd[:rank=R][:dense=S]   -          fp32  a product of two matrices of rank R (4)
 *
 * N is a power of two from 16 to 4096. Every string but powersgd's may end in `:ef=fp32`, `:ef=bf16`, `:ef=int8`
 * or `:ef=none`: whether what an encode rounds away is kept and added before the next encode of the same
 * elements, and in which precision. `:sr` rounds stochastically, without bias; it and the rotation take `:seed=S`
 * (0 to 2^64 - 1). In data parallel the first S steps go without the codec (`:dense=S`; powersgd: 10, else 0):
 * early gradients change too fast to be put off. powersgd is linear: it has no frames, sums are made of its
 * matrices, and data_parallel.h runs it; the calls below refuse it.
 *
 * A program only names a codec (dist_context_options.codec, dist_data_parallel_options.codec). The calls below
 * are for those who want the arithmetic itself: they need no context, do not block, may be called from any
 * thread, and two calls may run at once on the same codec. The bytes do not depend on the machine: the scalar
 * code, every vector unit and CUDA write the same.
 *
 * The wire format
 *
 * What is encoded is a frame: 32 bytes of header, then the payload. All integers are little endian.
 *
 *     byte  0  4  magic    "DISF"
 *           4  1  version  1
 *           5  1  codec    0 none, 1 bf16, 2 fp16, 3 int8, 4 int4, 5 int4:hadamard, 6 mxfp8, 7 mxfp4, 8 nvfp4, 9 topk,
 *                          10 sparseloco
 *           6  2  flags    1: a block is not finite; 2: stochastic rounding; other bits are 0
 *           8  4  block    N above (1 without blocks; mxfp8, mxfp4: 32; nvfp4: 16; sparseloco: 4096)
 *          12  4  seed     of the rotation's signs (int4:hadamard), else 0
 *          16  8  count    elements
 *          24  4  kept     topk: how many elements are sent, else 0
 *          28  4  crc      CRC32C (RFC 3720) of bytes 0 to 27 and of the payload
 *
 * The payload has up to three sections. Each begins at a multiple of 16 bytes from the start of the frame; bytes
 * between are 0. Four-bit codes lie two in a byte, the even element in the low half; unused bits are 0. The last
 * block may be partial.
 *
 *   none, bf16, fp16  count values
 *   int8, int4        scales of all blocks; codes in two's complement
 *   int4:hadamard     float32 scales; codes: bit 3 negative, the rest which centroid (a partial block is padded with
 *                     zeros to the next power of two, at least 2)
 *   mxfp8, mxfp4      E8M0 scales, a byte each; codes
 *   nvfp4             the frame's float32 scale; E4M3 scales, a byte each; codes
 *   topk              kept uint32 indices, rising; kept float32 values
 *   sparseloco        float16 lo and hi of each chunk; indices in their chunk, 12 bits each, two in 3 bytes, the first
 *                     in the low 12 bits; codes of 2 bits, four in a byte from the low bits: bit 0 hi, bit 1 negative.
 *                     A chunk of n elements has ceil(n/64) places for indices and codes, in whole bytes; places at its
 *                     end that are not used are 0
 *
 * A frame has one right form, so decoders check all of it before they write: header, checksum, zero bits, scales
 * that an encoder can write (never negative or infinite; NaN in one form, with codes 0), codes within +-qmax,
 * indices in range and rising. What fails is DIST_ERR_FRAME with a sentence, and the output is untouched.
 *
 * The arithmetic, in float32 with one rounding each, for h = x + feedback (sparseloco: x + 0.95 feedback):
 *
 *   int8, int4     scale = max|h| * (1/qmax) in the scale's type; q = clamp(rint(h / scale), -qmax, qmax), ties to even
 *   mxfp8, mxfp4   2^x = max|h| * (1/max) rounded up to a power of two, max = 448 or 6; code = nearest(h * 2^-x),
 *                  saturating
 *   nvfp4          g = max|h| of the frame * (1/2688); d = E4M3(max|h| * (1/6) / g); code = E2M1(h / (d g)), saturating
 *   int4:hadamard  x = H(signs * h); c = nearest centroid to x sqrt(N)/|x|; scale = |x|^2 / (N <c, x>); decoded =
 *                  signs * H(c) * scale (EDEN, Vargaftik et al. 2022). With sr c is one of the two nearest, and scale =
 *                  |x| / N^1.5
 *   topk           the kept largest |h|, equal ones by lowest index; index and value of each
 *   sparseloco     of the 64 largest of each 4096 that are not 0, hi is the largest and lo the 32nd (of fewer, the
 *                  middle one); from (lo+hi)/2 on as hi, from lo/2 on as lo, below not at all
 *   feedback'      = h - decoded
 *   sr             Philox4x32-10 keyed by (seed, step, stream), counter = index of the element (Salmon et al. 2011)
 *
 * A block with a NaN or an infinity is sent as NaN with codes 0, leaves its feedback unchanged, and decodes to
 * NaN (none, bf16, fp16 and topk: the element alone; in bf16 and fp16 also one that rounds to infinity). A block
 * whose scale is 0 has codes 0. Every NaN that is computed is the same pattern.
 *
 * Error bounds: |decoded - h| <= b for every element of a finite block, where b follows from its scale:
 *
 *     none           0
 *     bf16, fp16     half a unit in the last place (with sr a whole one)
 *     int8, int4     scale / 2 (with sr: scale)
 *     mxfp8, mxfp4   16 * 2^x, 2^x
 *     nvfp4          d g
 *     int4:hadamard  scale * sqrt(N) * |c| of the block (with sr: plus scale * N)
 *     topk           the least magnitude sent (0 when all are)
 *     sparseloco     the larger of lo and (hi - lo)/2
 *
 * plus the rounding of the formulas above. There is none where a scale saturated.
 */
#ifndef LIBDIST_CODEC_H
#define LIBDIST_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include <libdist/collective.h>
#include <libdist/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_codec dist_codec;

/* Reads a codec string. DIST_ERR_ARGUMENT, with the known names, when it is not one. End with dist_codec_destroy. */
DIST_API dist_status dist_codec_create(dist_codec **codec, const char *text);
DIST_API void dist_codec_destroy(dist_codec *codec);

/* The canonical string of a codec, defaults left out ("int8", "int8:block=128"). Valid until it is destroyed. */
DIST_API const char *dist_codec_text(const dist_codec *codec);

/* Bytes of a frame of `count` elements: a function of the codec and count alone. 0 for a NULL codec or one
 * without frames. */
DIST_API uint64_t dist_codec_encoded_bytes(const dist_codec *codec, uint64_t count);

/* Bytes of the error feedback of `count` elements: 4 (fp32) or 2 (bf16) each, or 260 for every 256 and 4 more
 * than the rest (int8), 0 without. Zeros are the feedback before the first encode. A part that begins at a
 * multiple of 256 elements and of the codec's block has its feedback at dist_codec_feedback_bytes of the elements
 * before it. */
DIST_API uint64_t dist_codec_feedback_bytes(const dist_codec *codec, uint64_t count);

/* Which random numbers an encode draws (sr, int4:hadamard). The same position gives the same bytes. */
typedef struct dist_codec_position {
    uint64_t step;   /* of training */
    uint64_t first;  /* index of the first element in its vector, so that pieces round as the whole does */
    uint32_t stream; /* which vector, such as the number of a bucket */
} dist_codec_position;

/* Encodes `count` elements of type DIST_FLOAT32, DIST_BFLOAT16 or DIST_FLOAT16 into a frame of
 * dist_codec_encoded_bytes. `feedback` (dist_codec_feedback_bytes, read and updated) may be NULL: then none is
 * used. `position` may be NULL: all zero. *nonfinite, when not NULL, gets the number of blocks with a NaN or an
 * infinity. `frame` and float32 `feedback` are aligned to 4 bytes; nothing overlaps. */
DIST_API dist_status dist_codec_encode(const dist_codec *codec, dist_type type, const void *values,
                                       void *feedback, uint64_t count, const dist_codec_position *position,
                                       void *frame, uint64_t *nonfinite);

/* Decodes: values = decoded, or values = values + decoded, as elements of `type`. DIST_ERR_FRAME when the `bytes`
 * at `frame` are not a frame of this codec with `count` elements; then values are untouched. */
DIST_API dist_status dist_codec_decode(const dist_codec *codec, const void *frame, uint64_t bytes,
                                       dist_type type, uint64_t count, void *values);
DIST_API dist_status dist_codec_decode_add(const dist_codec *codec, const void *frame, uint64_t bytes,
                                           dist_type type, uint64_t count, void *values);

/* values = (frame[0] + frame[1] + ...) / divisor in one pass, summed in this order in float32. `bytes` is the
 * size of each frame; there are 1 to 64 frames, and `divisor` is at least 1. Errors as above, naming the frame. */
DIST_API dist_status dist_codec_decode_sum(const dist_codec *codec, const void *const *frame, int frames,
                                           uint64_t bytes, int divisor, dist_type type, uint64_t count,
                                           void *values);

/* All that decoding checks, and nothing else. */
DIST_API dist_status dist_codec_check(const dist_codec *codec, const void *frame, uint64_t bytes,
                                      uint64_t count);

/* *bound gets the largest |decoded - h| that any element of a finite block can have: see above. HUGE_VAL where
 * the codec has no bound. DIST_ERR_FRAME as above. */
DIST_API dist_status dist_codec_error_bound(const dist_codec *codec, const void *frame, uint64_t bytes,
                                            uint64_t count, double *bound);

/* What a frame says of itself. */
typedef struct dist_codec_frame {
    char codec[48];  /* a string that dist_codec_create takes and that decodes the frame */
    uint64_t count;  /* elements */
    uint64_t bytes;  /* of the frame */
    bool nonfinite;  /* some block has a NaN or an infinity */
    bool stochastic; /* rounded stochastically */
} dist_codec_frame;

/* Reads the header at `frame`, of which `bytes` are there; the payload is not looked at. DIST_ERR_FRAME when it
 * is none. */
DIST_API dist_status dist_codec_frame_read(const void *frame, uint64_t bytes, dist_codec_frame *info);

/* Codecs of values that lie in the memory of a CUDA device
 *
 * The same bytes, bit for bit. Only queued: each call puts its work on `stream` (a cudaStream_t; NULL: the
 * default stream) of the current device and returns; it neither waits nor allocates, and errors of the work
 * itself are CUDA's to tell. All pointers but `frame` arrays are device pointers (or host memory that the device
 * can reach) and stay in use until the work is done. Frames and the workspace are aligned to 16 bytes, values to
 * their type, feedback to 4 bytes (bf16: 2). Two calls that are on their way at once need a workspace each.
 *
 * The kernels lie in a plugin, libdist_cuda, opened at the first call of these: the file that DIST_CUDA_PLUGIN
 * names, else the one beside libdist, else the one that the loader finds. Without it, a driver or a device they
 * are DIST_ERR_UNSUPPORTED, with the reason. */

/* Whether they can be used: DIST_OK or DIST_ERR_UNSUPPORTED. Creates no CUDA context. */
DIST_API dist_status dist_codec_cuda_available(void);

/* Bytes of the workspace that an encode of `count` elements needs; what is in it means nothing between calls. 0 for a
 * NULL codec, one without frames, and where these calls cannot be used. */
DIST_API uint64_t dist_codec_cuda_workspace_bytes(const dist_codec *codec, uint64_t count);

/* dist_codec_encode. `position` is read before the call returns; *nonfinite, when not NULL, is on the device. */
DIST_API dist_status dist_codec_cuda_encode(const dist_codec *codec, dist_type type, const void *values,
                                            void *feedback, uint64_t count,
                                            const dist_codec_position *position, void *frame,
                                            uint64_t *nonfinite, void *workspace, void *stream);

/* dist_codec_decode_sum, and with `add` values = values + sum / divisor. The array `frame` is on the host and is
 * read before the call returns. Frames are not checked: they must come from an encoder of this codec with this
 * count, or have passed dist_codec_check. */
DIST_API dist_status dist_codec_cuda_decode_sum(const dist_codec *codec, const void *const *frame, int frames,
                                                int divisor, bool add, dist_type type, uint64_t count,
                                                void *values, void *stream);

#ifdef __cplusplus
}
#endif
#endif
