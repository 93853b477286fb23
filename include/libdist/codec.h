/* Codecs: fewer bytes across a slow link.
 *
 * A codec is named by a string that serves the API, the environment and the command line alike:
 *
 *     none            float32 as it is                                      4       bytes an element
 *     bf16            bfloat16, round to nearest even                       2
 *     int8[:block=N]  N elements (default 256) share a float32 scale        1 + 4/N
 *     int4[:block=N]  N elements (default 32) share a float16 scale         0.5 + 2/N
 *
 * `:ef=fp32` or `:ef=none` after any of them switches error feedback: what an encode rounds away is kept and
 * added before the next encode of the same elements. It is on for int8 and int4, off for none and bf16,
 * unless said otherwise. N is a power of two from 16 to 4096.
 *
 * A program only names a codec (dist_context_options.codec, dist_data_parallel_options.codec). The calls
 * below are for those who want the arithmetic itself: they need no context, do not block, may be called from
 * any thread, and two calls may run at once on the same codec. The bytes do not depend on the machine's
 * vector unit.
 *
 * Block quantization, qmax = 127 (int8) or 7 (int4), for each block of h = x + feedback:
 *
 *     a = max |h|
 *     scale = a * (1/qmax), rounded to the scale's type
 *     q = clamp(rint(h / scale), -qmax, qmax), ties to even
 *     feedback' = h - q * scale
 *
 * A block with a NaN or an infinity gets scale NaN and q = 0, leaves its feedback unchanged, and decodes to NaN. A
 * block whose scale is 0 gets q = 0 and feedback' = h. -128 and -8 are never written. The bytes are the scales of all
 * blocks, then the codes (int4: the even element in the low half of a byte); little endian. In bf16 an element that is
 * not finite, or becomes infinite by rounding, counts as a non-finite block of its own. Every NaN that is computed is
 * the same pattern.
 */
#ifndef LIBDIST_CODEC_H
#define LIBDIST_CODEC_H

#include <stdint.h>

#include <libdist/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dist_codec dist_codec;

/* Reads a codec string. DIST_ERR_ARGUMENT, with the known names, when it is not one. End with
 * dist_codec_destroy. */
DIST_API dist_status dist_codec_create(dist_codec **codec, const char *text);
DIST_API void dist_codec_destroy(dist_codec *codec);

/* The canonical string of a codec, defaults left out ("int8", "int8:block=128"). Valid until it is destroyed.
 */
DIST_API const char *dist_codec_text(const dist_codec *codec);

/* Bytes that `count` elements take when encoded: a function of the codec and count alone. 0 for a NULL codec.
 */
DIST_API uint64_t dist_codec_encoded_bytes(const dist_codec *codec, uint64_t count);

/* Encodes count float32. `feedback` (count float32, read and updated; left alone by a codec with ef=none) may be NULL:
 * then none is used.
 * `encoded` has room for dist_codec_encoded_bytes. *nonfinite, when not NULL, gets the number of blocks with
 * a NaN or an infinity. */
DIST_API dist_status dist_codec_encode(const dist_codec *codec, const float *values, float *feedback,
                                       uint64_t count, void *encoded, uint64_t *nonfinite);

/* Decodes: values = decoded, or values += decoded. `bytes` must be dist_codec_encoded_bytes, else
 * DIST_ERR_FRAME and values are untouched. */
DIST_API dist_status dist_codec_decode(const dist_codec *codec, const void *encoded, uint64_t bytes,
                                       uint64_t count, float *values);
DIST_API dist_status dist_codec_decode_add(const dist_codec *codec, const void *encoded, uint64_t bytes,
                                           uint64_t count, float *values);

#ifdef __cplusplus
}
#endif
#endif
