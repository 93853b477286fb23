/* What a frame must be before a byte of it is decoded. */
#include "codec/frame.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "codec/payload.h"
#include "codec/sections.h"

enum {
    WINDOW = 16 * 1024
}; /* elements, a multiple of every block: checked while their checksum is fresh in the cache */

static dist_status check_codec(const dist_codec *codec, const dist_frame_header *header, uint64_t count)
{
    const dist_coding coding = dist_codec_coding(codec, count);
    if (header->codec != codec->kind)
        return dist_fail(
            DIST_ERR_FRAME,
            "the frame was written by codec number %u, not by %s; both ends must use the same codec",
            header->codec, codec->text);
    if (header->block != coding.block)
        return dist_fail(
            DIST_ERR_FRAME,
            "the frame has blocks of %u elements, codec %s has %u; both ends must use the same codec",
            header->block, codec->text, coding.block);
    if (header->count != count)
        return dist_fail(DIST_ERR_FRAME, "the frame has %" PRIu64 " elements, %" PRIu64 " are expected",
                         header->count, count);
    if (header->kept != coding.kept)
        return dist_fail(DIST_ERR_FRAME, "the frame keeps %u elements, codec %s keeps %u of %" PRIu64,
                         header->kept, codec->text, coding.kept, count);
    dist_codec named = {0};
    DIST_TRY(dist_payload_codec(header, &named));
    return DIST_OK;
}

/* Magic, version and flags: what every frame has. */
static dist_status read_header(const void *frame, uint64_t bytes, dist_frame_header *header)
{
    if (bytes < DIST_FRAME_HEADER)
        return dist_fail(DIST_ERR_FRAME, "%" PRIu64 " bytes are too few for the header of a frame, %d", bytes,
                         DIST_FRAME_HEADER);
    memcpy(header, frame, sizeof *header);
    if (header->magic != DIST_FRAME_MAGIC)
        return dist_fail(DIST_ERR_FRAME, "no frame: it begins with 0x%08x, not with \"DISF\"", header->magic);
    if (header->version != DIST_FRAME_VERSION)
        return dist_fail(DIST_ERR_FRAME,
                         "the frame has version %u of the format; this library reads version %d",
                         header->version, DIST_FRAME_VERSION);
    if (header->flags & ~(DIST_FRAME_NONFINITE | DIST_FRAME_STOCHASTIC))
        return dist_fail(DIST_ERR_FRAME, "the frame has unknown flags, 0x%04x", header->flags);
    return DIST_OK;
}

static dist_status check_gaps(const dist_sections *sections)
{
    for (int s = 1; s < DIST_SECTIONS; s++) {
        uint64_t i =
            sections->layout.at[s - 1] + dist_section_bytes(sections->coding, s - 1, sections->count);
        for (; i < sections->layout.at[s]; i++)
            if (sections->frame[i] != 0)
                return dist_fail(DIST_ERR_FRAME,
                                 "byte %" PRIu64 " of the frame, between two sections, is not 0", i);
    }
    return DIST_OK;
}

/* The checksum and the payload go through together, window by window. */
static dist_status check_payload(dist_sections *sections, const dist_frame_header *header)
{
    dist_payload_faults faults = {0};
    for (uint64_t first = 0; first < sections->count; first += WINDOW) {
        const uint64_t end = sections->count - first < WINDOW ? sections->count : first + WINDOW;
        dist_sections_advance(sections, end);
        dist_payload_check(sections, first, end - first, &faults);
    }
    const uint32_t crc = dist_sections_crc(sections, header);
    if (crc != header->crc)
        return dist_fail(DIST_ERR_FRAME,
                         "the frame's checksum is 0x%08x, its bytes give 0x%08x: they changed on the way",
                         header->crc, crc);
    if (faults.what)
        return dist_fail(DIST_ERR_FRAME, "%s, near element %" PRIu64, faults.what, faults.element);
    if ((faults.counts_nonfinite || sections->count == 0) &&
        (faults.nonfinite > 0) != ((header->flags & DIST_FRAME_NONFINITE) != 0))
        return dist_fail(DIST_ERR_FRAME,
                         "the frame %s a block that is not finite, but its flags say otherwise",
                         faults.nonfinite ? "has" : "has not");
    return DIST_OK;
}

dist_status dist_frame_check(const dist_codec *codec, const void *frame, uint64_t bytes, uint64_t count)
{
    dist_frame_header header;
    dist_sections sections;
    DIST_TRY(read_header(frame, bytes, &header));
    DIST_TRY(check_codec(codec, &header, count));
    const uint64_t wanted = dist_codec_bytes(codec, count);
    if (bytes != wanted)
        return dist_fail(DIST_ERR_FRAME,
                         "%" PRIu64 " bytes, but a frame of %" PRIu64 " elements of codec %s has %" PRIu64
                         "; it was %s",
                         bytes, count, codec->text, wanted, bytes < wanted ? "cut short" : "made longer");
    dist_sections_open(&sections, codec, count, frame);
    DIST_TRY(check_gaps(&sections));
    return check_payload(&sections, &header);
}

dist_status dist_frame_read(const void *frame, uint64_t bytes, dist_codec_frame *info)
{
    dist_frame_header header;
    dist_codec codec = {0};
    DIST_TRY(read_header(frame, bytes, &header));
    DIST_TRY(dist_payload_codec(&header, &codec));
    dist_codec_write_text(&codec);
    memset(info, 0, sizeof *info);
    memcpy(info->codec, codec.text,
           strlen(codec.text) < sizeof info->codec ? strlen(codec.text) : sizeof info->codec - 1);
    info->count = header.count;
    const dist_coding coding = {.kind = header.codec, .block = header.block, .kept = header.kept};
    info->bytes = dist_layout_of(coding, header.count).bytes;
    info->nonfinite = header.flags & DIST_FRAME_NONFINITE;
    info->stochastic = header.flags & DIST_FRAME_STOCHASTIC;
    return DIST_OK;
}
